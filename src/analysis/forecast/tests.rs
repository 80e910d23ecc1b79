//! Forecasts in simulated studies, whose truth is known.

use super::*;
use crate::analysis::stratum::strata;
use crate::analysis::study::studies;
use crate::record::ResultFile;
use crate::record::example::study_of;
use crate::stream::stream;

const BASE: [u64; 5] = [200, 400, 800, 1600, 3200];
const BUDGETS: [u64; 3] = [400, 800, 1600];
/// Variants, their gap at 400 steps in nats, and what a doubling adds.
const VARIANTS: [(&str, f64, f64); 6] = [
    ("a", 0.10, -0.02),
    ("b", 0.00, 0.00),
    ("c", -0.08, 0.03),
    ("d", 0.20, -0.05),
    ("e", 0.03, 0.01),
    ("f", 0.25, 0.02),
];

/// What a simulated study scatters by: of a seed, and of a cell, in nats.
#[derive(Clone, Copy, Debug)]
struct World {
    seed: f64,
    cell: f64,
    /// How many times the slopes of [`VARIANTS`]: at 0 all gaps stay what they are.
    slopes: f64,
}

/// The luck of a seed and of a cell as in the committed files.
const QUIET: World = World {
    seed: 0.02,
    cell: 0.02,
    slopes: 0.0,
};

impl World {
    /// A study of the shape of the suite `zoo`.
    fn study(self, repeats: u64, index: u64) -> ResultFile {
        let mut luck = stream("forecast", repeats, index);
        let base = |steps: u64| 1.2 * (steps as f64 / 400.0).powf(-0.3);
        let mut cells: Vec<(&str, u64, Vec<f64>)> = Vec::new();
        let mut run = |variant, steps, loss: f64| {
            let mean = loss + self.cell * luck.normal();
            let losses = (0..repeats).map(|_| mean + self.seed * luck.normal());
            cells.push((variant, steps, losses.collect()));
        };
        BASE.iter()
            .for_each(|steps| run("gpt2", *steps, base(*steps)));
        for (variant, at, more) in VARIANTS {
            for steps in BUDGETS {
                let doublings = (steps as f64 / 400.0).log2();
                run(
                    variant,
                    steps,
                    base(steps) - at - self.slopes * more * doublings,
                );
            }
        }
        let names: Vec<(&str, u64)> = cells.iter().map(|(name, at, _)| (*name, *at)).collect();
        let mut file = study_of(&names, repeats, |variant, steps, repeat| {
            let cell = cells.iter().find(|c| c.0 == variant && c.1 == steps);
            cell.map(|cell| cell.2[repeat as usize])
        });
        // Every arm takes the same FLOPs, so that the base ran at the cost of each.
        let costs: Vec<_> = file
            .trials
            .iter()
            .filter(|trial| trial.variant == "gpt2")
            .map(|trial| (trial.budget, trial.cost.clone()))
            .collect();
        for trial in &mut file.trials {
            let same = costs.iter().find(|(budget, _)| *budget == trial.budget);
            trial.cost = same.and_then(|(_, cost)| cost.clone());
        }
        file
    }

    fn calibration(self, repeats: u64, studies: u64) -> Calibration {
        let all: Vec<Forecast> = (0..studies)
            .flat_map(|index| told(&self.study(repeats, index)))
            .collect();
        assert_eq!(all.len(), VARIANTS.len() * studies as usize);
        Calibration::of(all.iter()).unwrap()
    }
}

fn told(file: &ResultFile) -> Vec<Forecast> {
    studies(file, None, None, None).unwrap().remove(0).forecasts
}

/// Without luck a straight gap is foretold to the digit.
#[test]
fn a_straight_gap_is_foretold() {
    let world = World {
        seed: 0.0,
        cell: 0.0,
        slopes: 1.0,
    };
    let found = told(&world.study(3, 0));
    for (one, (variant, at, more)) in found.iter().zip(VARIANTS) {
        assert_eq!((one.variant.as_str(), one.levels, one.n), (variant, 2, 3));
        for nats in [one.predicted_nats, one.outcome_nats] {
            assert!((nats - at - 2.0 * more).abs() < 1e-9, "{one:?}");
        }
        assert!((one.last_nats - at - more).abs() < 1e-9, "{one:?}");
        assert!((one.at_flops / one.from_flops - 2.0).abs() < 1e-9);
    }
}

/// The intervals hold about what they promise, of parallel curves and others, whether or not cells scatter besides their seeds.
#[test]
fn intervals_hold_about_what_they_promise() {
    for (cell, slopes) in [(0.0, 0.0), (0.03, 0.0), (0.02, 1.0)] {
        let world = World {
            cell,
            slopes,
            ..QUIET
        };
        let found = world.calibration(4, 40);
        let share = found.held.map(|held| held as f64 / found.forecasts as f64);
        let promised = found.rms_promised_nats / found.rms_nats;
        assert!((0.74..=0.92).contains(&share[0]), "{world:?}: {found:?}");
        assert!(share[1] >= 0.92, "{world:?}: {found:?}");
        assert!((0.85..=1.6).contains(&promised), "{world:?}: {found:?}");
    }
}

/// Whoever promises too much or too little is told so.
#[test]
fn intervals_that_lie_are_told() {
    let all: Vec<Forecast> = (0..10)
        .flat_map(|index| told(&QUIET.study(4, index)))
        .collect();
    let off = |outcome: fn(&Forecast) -> f64| {
        let moved = all.iter().map(|one| Forecast {
            outcome_nats: outcome(one),
            ..one.clone()
        });
        let moved: Vec<Forecast> = moved.collect();
        Calibration::of(moved.iter()).unwrap().off()
    };
    assert_eq!(off(|one| one.outcome_nats), [None, None]);
    assert_eq!(off(|one| one.predicted_nats + 1.0), [Some(Off::Short); 2]);
    // All of 60 are too few to tell from 95%.
    assert_eq!(off(|one| one.predicted_nats), [Some(Off::Over), None]);
    assert_eq!(Calibration::of(std::iter::empty()), None);
}

/// Nothing of its dearest cell is in a variant's forecast: with another outcome it is the same.
#[test]
fn a_forecast_has_not_seen_the_outcome() {
    let world = World {
        slopes: 1.0,
        ..QUIET
    };
    let file = world.study(4, 7);
    let mut other = file.clone();
    let dearest = |trial: &&mut crate::record::Trial| {
        trial.variant == "a" && trial.budget == Some(BUDGETS[2])
    };
    for (k, trial) in other.trials.iter_mut().filter(dearest).enumerate() {
        let excess = trial.metrics.get_mut("excess_loss_nats").unwrap();
        excess.value = excess.value.map(|nats| nats + 0.05 * (k % 3) as f64);
    }
    let forecast = |one: &Forecast| (one.predicted_nats, one.intervals, one.last_nats);
    let of = |file: &ResultFile| told(file).remove(0);
    let (one, two) = (of(&file), of(&other));
    assert_eq!(one.variant, "a");
    assert_eq!(forecast(&one), forecast(&two));
    assert!((one.outcome_nats - two.outcome_nats).abs() > 0.01);
}

#[test]
fn too_few_budgets_or_repeats_are_told() {
    let world = World {
        slopes: 1.0,
        ..QUIET
    };
    let reasons = |file: &ResultFile| {
        let strata = strata(file, None);
        let cells = |steps: u64| Question {
            base: "gpt2".into(),
            variant: "a".into(),
            scale: "w32".into(),
            budget: Some(steps),
        };
        let (told, untold) = forecasts(&strata[0], &BUDGETS.map(cells));
        assert!(told.is_empty(), "{told:?}");
        untold.into_iter().map(|one| one.reason).collect::<Vec<_>>()
    };
    let mut file = world.study(4, 0);
    file.trials
        .retain(|trial| trial.budget != Some(800) || trial.variant == "gpt2");
    assert!(reasons(&file)[0].contains("2 of 3 budgets"));
    assert!(reasons(&world.study(1, 0))[0].contains("no cell ran twice"));
}

/// What the file's header says.
#[test]
#[ignore = "100 studies a row: cargo test --lib forecast -- --ignored"]
fn coverage_of_forecasts() {
    for (cell, slopes) in [(0.0, 0.0), (0.03, 0.0), (0.02, 1.0)] {
        for repeats in [3, 5] {
            let world = World {
                cell,
                slopes,
                ..QUIET
            };
            let found = world.calibration(repeats, 100);
            let share = found.held.map(|held| held as f64 / found.forecasts as f64);
            let held = (0.775..0.87).contains(&share[0]) && (0.955..0.995).contains(&share[1]);
            assert!(held, "{world:?}, n = {repeats}: {share:?}");
        }
    }
}
