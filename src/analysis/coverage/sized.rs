//! Studies of the shape of the suite `quick`: a base at three widths, read on its frontier over sizes and budgets, and two variants.

use super::truth::{SHARED, Truth, best, penalty};
use crate::analysis::axis::Axis;
use crate::analysis::gain::{Gain, gain};
use crate::analysis::pairs::pair;
use crate::analysis::question::Question;
use crate::analysis::scatter::Scatter;
use crate::analysis::stratum::strata;
use crate::record::ResultFile;
use crate::record::example::study_of;
use crate::stat::surface::{Point, Surface, fit};
use crate::stream::{Stream, stream};

/// A width, and its parameters over those of the width in question.
struct Size {
    scale: &'static str,
    width: f64,
    params: f64,
    steps: &'static [u64],
}

/// The base's cells.
const SIZES: [Size; 3] = [
    Size {
        scale: "w32",
        width: 32.0,
        params: 0.476,
        steps: &[400, 800, 1600],
    },
    Size {
        scale: "w48",
        width: 48.0,
        params: 1.0,
        steps: &[200, 400, 800, 1600],
    },
    Size {
        scale: "w64",
        width: 64.0,
        params: 1.81,
        steps: &[120, 240, 480],
    },
];
/// Where an arm's rates are swept: width, steps.
const SWEPT: [(f64, u64); 3] = [(32.0, 120), (32.0, 1600), (64.0, 240)];
/// At these rates.
const RATES: [f64; 4] = [0.0075, 0.015, 0.03, 0.06];
/// What `llama` is worth.
const LLAMA: f64 = 1.2;
/// Of parameters and of tokens in the law of the loss.
const EXPONENT: f64 = 0.35;
/// Model FLOPs of a step at the width in question.
const STEP_FLOPS: f64 = 1.6e8;

/// Excess loss at so many times the parameters in question and so many steps.
fn law(params: f64, steps: f64) -> f64 {
    params.powf(-EXPONENT) + (steps / 400.0).powf(-EXPONENT)
}

/// The least loss that a base of the sizes that ran reaches at this cost, in that of the cell in question.
fn frontier(cost: f64) -> f64 {
    let reached = |size: &Size| {
        let steps = 400.0 * cost / size.params;
        let most = *size.steps.last().unwrap() as f64;
        (steps >= size.steps[0] as f64).then(|| law(size.params, steps.min(most)))
    };
    SIZES
        .iter()
        .filter_map(reached)
        .fold(f64::INFINITY, f64::min)
}

/// An arm's cell: where it stands, and what it reaches at its best rate.
struct Cell {
    variant: &'static str,
    scale: &'static str,
    width: f64,
    params: f64,
    steps: u64,
    loss: f64,
}

fn cells(gain: f64) -> Vec<Cell> {
    let of_base = SIZES.iter().flat_map(|size| {
        size.steps.iter().map(|&steps| Cell {
            variant: "gpt2",
            scale: size.scale,
            width: size.width,
            params: size.params,
            steps,
            loss: law(size.params, steps as f64),
        })
    });
    let variant = |variant, steps: u64, worth: f64| Cell {
        variant,
        scale: "w48",
        width: 48.0,
        params: 1.0,
        steps,
        loss: frontier(worth * steps as f64 / 400.0),
    };
    let variants = [
        variant("llama", 400, LLAMA),
        variant("modern", 400, gain),
        variant("modern", 800, gain),
    ];
    of_base.chain(variants).collect()
}

/// An arm's surface of rates, from two seeds at each place that is swept.
fn swept(truth: &Truth, own: f64, luck: &mut Stream) -> Surface {
    let mut points = Vec::new();
    for seed in 0..2 {
        for (cell, (width, steps)) in SWEPT.iter().enumerate() {
            points.extend(RATES.map(|rate| Point {
                cell,
                seed,
                ln_steps: (*steps as f64).ln(),
                ln_size: width.ln(),
                ln_lr: rate.ln(),
                loss_nats: Some(
                    2.0 + penalty(rate.ln() - best(*steps, own)) + truth.noise * luck.normal(),
                ),
            }));
        }
    }
    fit(&points).unwrap()
}

fn study(truth: &Truth, n: u64, index: u64) -> ResultFile {
    let mut luck = stream("coverage of sizes", n, index);
    let arms = ["gpt2", "llama", "modern"].map(|variant| {
        let own = std::f64::consts::LN_2 * (luck.uniform() - 0.5);
        let surface = swept(truth, own, &mut luck);
        let draws: Vec<[f64; 3]> = (0..n)
            .map(|_| [luck.normal(), luck.normal(), luck.normal()])
            .collect();
        (variant, own, surface, draws)
    });
    let shared: Vec<f64> = (0..n)
        .map(|_| SHARED.sqrt() * truth.noise * luck.normal())
        .collect();
    let mut whole: Option<ResultFile> = None;
    for cell in cells(truth.gain) {
        let (_, own, surface, draws) = arms.iter().find(|arm| arm.0 == cell.variant).unwrap();
        let place = ((cell.steps as f64).ln(), cell.width.ln());
        let level = cell.loss + truth.cell * luck.normal();
        let losses: Vec<f64> = (0..n as usize)
            .map(|k| {
                let chosen =
                    surface.at(place.0, place.1).ln_lr + surface.drawn(place.0, place.1, draws[k]);
                let own_luck = (1.0 - SHARED).sqrt() * truth.noise * luck.normal();
                level + penalty(chosen - best(cell.steps, *own)) + shared[k] + own_luck
            })
            .collect();
        let mut file = study_of(&[(cell.variant, cell.steps)], n, |_, _, repeat| {
            Some(losses[repeat as usize])
        });
        for trial in &mut file.trials {
            let cost = trial.cost.as_mut().unwrap();
            cost.train_flops = STEP_FLOPS * cell.params * cell.steps as f64;
            cost.params_total = (62_000.0 * cell.params) as u64;
            trial.scale = cell.scale.to_owned();
            trial.cell = trial.cell.replace("w32", cell.scale);
            trial.arm = trial.cell.clone();
            trial.id.push_str(cell.scale);
        }
        match &mut whole {
            Some(whole) => whole.trials.append(&mut file.trials),
            None => whole = Some(file),
        }
    }
    whole.unwrap()
}

pub(super) fn judged(truth: &Truth, n: u64, index: u64) -> Gain {
    let file = study(truth, n, index);
    let strata = strata(&file, None);
    let question = Question {
        base: "gpt2".into(),
        variant: "modern".into(),
        scale: "w48".into(),
        budget: Some(400),
    };
    let (stratum, pairs) = pair(&strata, &question).unwrap();
    gain(&pairs, Axis::ModelFlops, Scatter::of(stratum).as_ref()).0
}
