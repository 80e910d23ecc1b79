//! Whether the interval of a gain covers what it promises: simulated studies, swept, tuned and judged as real ones are.
//!
//! A study is of the shape of the suite `gain`: a base at five budgets and seven variants at three. Losses follow a law with a floor
//! (known to the judge, or not), a penalty for a learning rate off its optimum in a valley one side of which is 4.8 times
//! steeper, the luck of each seed, part of it shared by the arms of a repeat, and an error of each cell that all its repeats share.
//! The rates come from a sweep of every cell on other seeds: from one smooth surface for each arm, drawn anew in every repeat from
//! its uncertainty as `runner::sweep` does, or, as in files of before, from a parabola through one seed of each cell.
//! Curvature and noise are those of the first committed sweeps and runs (`tests/fixtures/one_width`): 0.11 nats per squared log
//! rate, a standard deviation of 0.013 nats; the cells' own errors, 0.018 and 0.038 nats, are what `results/gain-text-*` and
//! `gain-*` there scatter by around a parabola.
//!
//! Of 2000 studies a row at n = 3, 5 and 8 the interval of a solved gain held the truth in 94.0 to 97.0%: of a base at one width in
//! 95.0 to 97.0%, of one at three widths, read on its frontier, in 94.0 to 96.3%. Where the gain is 1 each of the two false signs
//! came in 1.2 to 2.7%, and at 1.05 (n = 3, 5) the false one in 0.8% at most; a bound was false in 3.9 to 4.9% of studies where
//! the gain is 3.7, just within the base's runs, and in none where it is 4.2, beyond them.
//!
//! ```text
//! cargo test --release --no-default-features --lib coverage -- --ignored --nocapture
//! ```

mod truth;
mod sized;

use truth::{NOISE, SHARED, Truth, best, penalty};

use crate::analysis::axis::Axis;
use crate::analysis::gain::{Gain, Sign, gain};
use crate::analysis::pairs::pair;
use crate::analysis::question::Question;
use crate::analysis::scatter::Scatter;
use crate::analysis::stratum::strata;
use crate::record::example::study_of;
use crate::record::{Metric, ResultFile, metric};
use crate::stat::lowest_of_parabola;
use crate::stat::surface::{Point, Surface, fit};
use crate::stream::{Stream, stream};

/// Rates of the sweep.
const RATES: [f64; 6] = [0.0025, 0.005, 0.01, 0.02, 0.04, 0.08];
/// The base's budgets in steps ...
const BASE: [u64; 5] = [100, 200, 400, 800, 1600];
/// ... and the variants'.
const BUDGETS: [u64; 3] = [200, 400, 800];
/// Variants beside the one in question, and what they are worth.
const OTHERS: [(&str, f64); 6] = [
    ("a", 0.9),
    ("b", 1.0),
    ("c", 1.2),
    ("d", 1.6),
    ("e", 2.0),
    ("f", 2.6),
];

impl Truth {
    /// Expected loss of an arm at its best rate.
    fn loss(&self, variant: &str, steps: u64) -> f64 {
        let other = OTHERS
            .iter()
            .find(|(name, _)| *name == variant)
            .map(|(_, worth)| *worth);
        let worth = if variant == "modern" {
            self.gain
        } else {
            other.unwrap_or(1.0)
        };
        let floor = if self.known { 0.0 } else { self.floor };
        floor + 2.0 * (worth * steps as f64 / 400.0).powf(-self.exponent)
    }

    fn sweep(&self, variant: &str, steps: u64, own: f64, luck: &mut Stream) -> Vec<(f64, f64)> {
        let seen = |rate: &f64| {
            let off = rate.ln() - best(steps, own);
            (
                rate.ln(),
                self.loss(variant, steps) + penalty(off) + self.noise * luck.normal(),
            )
        };
        RATES.iter().map(seen).collect()
    }

    /// How far each repeat's rates lie from the optimum, by budget and repeat.
    fn rates(&self, variant: &str, budgets: &[u64], n: u64, luck: &mut Stream) -> Vec<Vec<f64>> {
        // Each arm's rates lie elsewhere on the grid.
        let own = (RATES[1] / RATES[0]).ln() * (luck.uniform() - 0.5);
        if !self.surface {
            let chosen = |steps: &u64| {
                vec![
                    parabola(&self.sweep(variant, *steps, own, luck)) - best(*steps, own);
                    n as usize
                ]
            };
            return budgets.iter().map(chosen).collect();
        }
        let mut points = Vec::new();
        for seed in 0..2 {
            for (cell, steps) in budgets.iter().enumerate() {
                let point = |(ln_lr, loss): (f64, f64)| {
                    let ln_steps = (*steps as f64).ln();
                    Point {
                        cell,
                        seed,
                        ln_steps,
                        ln_size: 0.0,
                        ln_lr,
                        loss_nats: Some(loss),
                    }
                };
                points.extend(
                    self.sweep(variant, *steps, own, luck)
                        .into_iter()
                        .map(point),
                );
            }
        }
        let surface: Surface = fit(&points).unwrap();
        let draws: Vec<[f64; 3]> = (0..n)
            .map(|_| [luck.normal(), luck.normal(), luck.normal()])
            .collect();
        let off = |steps: u64, draw: &[f64; 3]| {
            let ln_steps = (steps as f64).ln();
            surface.at(ln_steps, 0.0).ln_lr + surface.drawn(ln_steps, 0.0, *draw) - best(steps, own)
        };
        budgets
            .iter()
            .map(|steps| draws.iter().map(|draw| off(*steps, draw)).collect())
            .collect()
    }

    /// A whole study: swept once, judged `n` times.
    fn study(&self, n: u64, index: u64) -> ResultFile {
        let mut luck = stream("coverage", n, index);
        let arms = [("gpt2", 1.0), ("modern", 1.0)]
            .iter()
            .chain(&OTHERS)
            .map(|(variant, _)| *variant);
        let arms: Vec<(&str, &[u64])> = arms
            .map(|variant| {
                (
                    variant,
                    if variant == "gpt2" {
                        &BASE[..]
                    } else {
                        &BUDGETS[..]
                    },
                )
            })
            .collect();
        let shared: Vec<f64> = (0..n)
            .map(|_| SHARED.sqrt() * self.noise * luck.normal())
            .collect();
        let mut cells: Vec<(&str, u64, Vec<f64>)> = Vec::new();
        for (variant, budgets) in arms {
            for (steps, off) in budgets
                .iter()
                .zip(self.rates(variant, budgets, n, &mut luck))
            {
                let level = self.loss(variant, *steps) + self.cell * luck.normal();
                let own = |(off, shared): (&f64, &f64)| {
                    level
                        + penalty(*off)
                        + shared
                        + (1.0 - SHARED).sqrt() * self.noise * luck.normal()
                };
                cells.push((variant, *steps, off.iter().zip(&shared).map(own).collect()));
            }
        }
        let names: Vec<(&str, u64)> = cells
            .iter()
            .map(|(variant, steps, _)| (*variant, *steps))
            .collect();
        let mut file = study_of(&names, n, |variant, steps, repeat| {
            let cell = cells
                .iter()
                .find(|(of, at, _)| *of == variant && *at == steps)
                .unwrap();
            Some(cell.2[repeat as usize])
        });
        if !self.known {
            for trial in &mut file.trials {
                let excess = trial
                    .metrics
                    .remove(metric::EXCESS_LOSS_NATS)
                    .and_then(|excess| excess.value)
                    .unwrap();
                let name = metric::VAL_LOSS_NATS;
                trial
                    .metrics
                    .insert(name.to_owned(), Metric::value(name, excess));
            }
        }
        file
    }

    fn judged(&self, n: u64, index: u64) -> Gain {
        if self.sized {
            return sized::judged(self, n, index);
        }
        let file = self.study(n, index);
        let strata = strata(&file, None);
        let question = Question {
            base: "gpt2".into(),
            variant: "modern".into(),
            scale: "w32".into(),
            budget: Some(400),
        };
        let (stratum, pairs) = pair(&strata, &question).unwrap();
        // In tokens: the example's arms cost the same there.
        gain(&pairs, Axis::Tokens, Scatter::of(stratum).as_ref()).0
    }
}

/// The log rate that a parabola through a sweep's lowest and its neighbours chooses.
fn parabola(tried: &[(f64, f64)]) -> f64 {
    let lowest = (0..tried.len())
        .min_by(|&a, &b| tried[a].1.total_cmp(&tried[b].1))
        .unwrap();
    let inside = lowest > 0 && lowest + 1 < tried.len();
    let around = inside.then(|| [tried[lowest - 1], tried[lowest], tried[lowest + 1]]);
    around
        .and_then(lowest_of_parabola)
        .unwrap_or(tried[lowest].0)
}

/// What became of many studies.
#[derive(Debug, Default)]
struct Counts {
    /// The gain is solved, and of those the interval holds it.
    solved: u64,
    held: u64,
    /// There is a bound, and of those it is false.
    bounds: u64,
    false_bounds: u64,
    /// The gain is told to be above 1 where it is not, and below 1 where it is not.
    false_more: u64,
    false_less: u64,
}

fn counted(truth: Truth, n: u64, studies: u64) -> Counts {
    let mut counts = Counts::default();
    for index in 0..studies {
        let found = truth.judged(n, index);
        match found {
            Gain::Solved(estimate) => {
                let interval = estimate.interval.unwrap();
                counts.solved += 1;
                counts.held += u64::from(interval.low <= truth.gain && truth.gain <= interval.high);
            }
            Gain::MoreThan(bound) => {
                counts.bounds += 1;
                counts.false_bounds += u64::from(bound.bound > truth.gain);
            }
            Gain::LessThan(bound) => {
                counts.bounds += 1;
                counts.false_bounds += u64::from(bound.bound < truth.gain);
            }
            Gain::Unknown { .. } => {}
        }
        let sign = found.sign();
        counts.false_more += u64::from(sign == Sign::More && truth.gain <= 1.0);
        counts.false_less += u64::from(sign == Sign::Less && truth.gain >= 1.0);
    }
    counts
}

/// As `results/gain-text-*` scatter.
const USUAL: Truth = Truth {
    gain: 1.5,
    floor: 0.0,
    exponent: 0.3,
    known: true,
    cell: 0.018,
    surface: true,
    noise: NOISE,
    sized: false,
};

/// The laws in use, slow and fast, with the floor known and not, and cells that err by nothing, by as much as on text, and by as
/// much as on the language; rates as files of before chose them; and a base at three widths.
const TRUTHS: [Truth; 10] = [
    Truth {
        gain: 1.3,
        cell: 0.0,
        ..USUAL
    },
    Truth {
        floor: 1.5,
        known: false,
        ..USUAL
    },
    Truth {
        gain: 1.2,
        exponent: 0.2,
        cell: 0.038,
        ..USUAL
    },
    Truth { gain: 1.0, ..USUAL },
    Truth {
        gain: 1.05,
        ..USUAL
    },
    Truth {
        cell: 0.038,
        surface: false,
        ..USUAL
    },
    Truth {
        sized: true,
        ..USUAL
    },
    Truth {
        gain: 1.0,
        sized: true,
        ..USUAL
    },
    Truth {
        gain: 1.05,
        sized: true,
        ..USUAL
    },
    Truth {
        gain: 1.2,
        cell: 0.0,
        sized: true,
        ..USUAL
    },
];

/// Just within what the base ran, and beyond.
const CENSORED: [Truth; 2] = [Truth { gain: 3.7, ..USUAL }, Truth { gain: 4.2, ..USUAL }];

/// The quick form of the slow test: far too few studies to tell 95 from 93, enough to see an interval that lies.
#[test]
fn the_interval_is_not_far_from_its_promise() {
    for truth in [TRUTHS[1], TRUTHS[4]] {
        let counts = counted(truth, 5, 60);
        assert!(
            counts.solved >= 55 && 100 * counts.held >= 88 * counts.solved,
            "{truth:?}: {counts:?}"
        );
    }
}

#[test]
fn a_bound_is_seldom_false() {
    let counts = counted(CENSORED[0], 5, 60);
    assert!(counts.false_bounds <= 6, "{counts:?}");
}

#[test]
#[ignore = "2000 studies a row: cargo test --release --no-default-features --lib coverage -- --ignored --nocapture"]
#[allow(clippy::print_stdout, reason = "its figures are what it is run for")]
fn coverage_of_the_gain() {
    let mut missed = Vec::new();
    for truth in TRUTHS {
        for n in [3, 5, 8] {
            let counts = counted(truth, n, 2000);
            let share = 100.0 * counts.held as f64 / counts.solved as f64;
            println!("{truth:?} n = {n}: {share:.1}% {counts:?}");
            // Where the gain is 1 itself, either side is as likely as an interval leaves it out there: 2.5%, and three
            // standard errors of 2000 studies.
            let most = if truth.gain == 1.0 { 70 } else { 2000 / 40 };
            let falsely = counts.false_more.max(counts.false_less);
            if !(92.5..=97.5).contains(&share) || falsely > most {
                missed.push(format!("{truth:?}, n = {n}: {share:.1}% {counts:?}"));
            }
        }
    }
    assert!(missed.is_empty(), "\n{}", missed.join("\n"));
}

#[test]
#[ignore = "2000 studies a row: cargo test --release --no-default-features --lib coverage -- --ignored --nocapture"]
#[allow(clippy::print_stdout, reason = "its figures are what it is run for")]
fn bounds_near_the_ceiling() {
    for truth in CENSORED {
        for n in [3, 5, 8] {
            let counts = counted(truth, n, 2000);
            println!("{truth:?} n = {n}: {counts:?}");
            assert!(counts.false_bounds <= 120, "{truth:?}, n = {n}: {counts:?}");
        }
    }
}
