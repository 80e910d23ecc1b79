//! Tests of `local`.

use super::*;
use crate::analysis::answer::answer_pairs;
use crate::analysis::gain::{Blank, Gain};
use crate::analysis::pairs::pair;
use crate::analysis::question::Question;
use crate::analysis::stratum::strata;
use crate::record::ResultFile;
use crate::record::example::study_of;
use crate::stream::stream;

fn judged(file: &ResultFile, budget: u64) -> crate::analysis::Answer {
    let (base, variant, scale) = ("gpt2".to_owned(), "modern".to_owned(), "w32".to_owned());
    let strata = strata(file, None);
    let (stratum, pairs) = pair(
        &strata,
        &Question {
            base,
            variant,
            scale,
            budget: Some(budget),
        },
    )
    .unwrap();
    answer_pairs(file, &pairs, Scatter::of(stratum).as_ref())
}

fn value(gain: Gain) -> f64 {
    let Gain::Solved(estimate) = gain else {
        panic!("{gain:?}")
    };
    estimate.value
}

/// Random falling curves over factors of up to 1000: a variant that reaches what the base reached at another budget is worth
/// the ratio of the two, and at equal cost what the trials differ by. No law is right for all of them.
#[test]
fn a_gain_agrees_with_the_trials_that_ran() {
    let mut luck = stream("local", 0, 0);
    for _ in 0..25 {
        let count = 2 + luck.below(4);
        let (mut steps, mut loss) = (100.0, 4.0);
        let points: Vec<(u64, f64)> = std::iter::repeat_with(|| {
            steps *= 1.2 + 3.0 * luck.uniform();
            loss *= 0.99 - 0.3 * luck.uniform();
            (steps as u64, loss)
        })
        .take(count)
        .collect();
        let (own, other) = (points[luck.below(count)], points[luck.below(count)]);
        let cells: Vec<(&str, u64)> = points
            .iter()
            .map(|(steps, _)| ("gpt2", *steps))
            .chain([("modern", own.0)])
            .collect();
        let mut file = study_of(&cells, 2, |variant, steps, repeat| {
            let known = points.iter().find(|point| point.0 == steps).unwrap().1;
            Some(if variant == "modern" { other.1 } else { known } + 1e-3 * repeat as f64)
        });
        for trial in &mut file.trials {
            trial.cost.as_mut().unwrap().train_flops = 7.7e7 * trial.budget.unwrap() as f64;
        }
        let answer = judged(&file, own.0);
        let ratio = other.0 as f64 / own.0 as f64;
        for axis in [Axis::ModelFlops, Axis::Tokens] {
            assert!(
                (value(answer.on(axis)) / ratio - 1.0).abs() < 1e-6,
                "{points:?}: {answer:?}"
            );
        }
        assert!((answer.equal_compute_nats.unwrap().value - (own.1 - other.1)).abs() < 1e-9);
        assert!(answer.equal_compute_measured);
    }
}

/// A base that may grow needs less to keep up: its second size goes on where the first flattens. In tokens a larger model is no
/// dearer, so that there its own size alone counts; and a ray of sizes is a path.
#[test]
fn the_base_may_grow_in_size() {
    let cells = [
        ("gpt2", 400),
        ("gpt2", 800),
        ("gpt2", 1600),
        ("gpt2", 3200),
        ("modern", 400),
    ];
    let small = |steps: f64| 1.0 + 1.5 * (steps / 400.0).powf(-0.5);
    let mut file = study_of(&cells, 3, |variant, steps, repeat| {
        let loss = if variant == "modern" {
            1.6
        } else {
            small(steps as f64)
        };
        Some(loss + 1e-3 * repeat as f64)
    });
    let alone = judged(&file, 400);
    let larger: Vec<_> = file
        .trials
        .iter()
        .filter(|trial| trial.variant == "gpt2")
        .cloned()
        .collect();
    for mut trial in larger {
        trial.id.push_str("-w64");
        trial.scale = "w64".to_owned();
        trial.cell = trial.cell.replace("w32", "w64");
        let cost = trial.cost.as_mut().unwrap();
        (cost.params_total, cost.train_flops) = (4 * cost.params_total, 4.0 * cost.train_flops);
        let excess = trial
            .metrics
            .get_mut(crate::record::metric::EXCESS_LOSS_NATS)
            .unwrap();
        // At its second budget, and so at equal tokens to a parameter as the small one's at 200: well ahead of it.
        excess.value = excess.value.map(|loss| 0.62 * loss);
        file.trials.push(trial);
    }
    let both = judged(&file, 400);
    assert_eq!(
        (alone.base_scales.len(), &both.base_scales[..]),
        (1, &["w32".to_owned(), "w64".to_owned()][..])
    );
    let (one, two) = (value(alone.headline()), value(both.headline()));
    assert!(two < one && two > 1.0, "{one} {two}");
    // At 4 times the cost the larger size is at 0.62 x 2.5, below 1.6.
    assert!((two - 4.0 * 7.7 / 8.0).abs() < 0.1, "{two}");
    // The interval may differ: more cells show what repeats share.
    assert_eq!(value(both.on(Axis::Tokens)), value(alone.on(Axis::Tokens)));
}

/// Where more compute makes the base worse, as it does with a text that is learned by heart, no cost stands for a loss; what the trials
/// differ by is still told.
#[test]
fn a_base_that_rises_prices_nothing() {
    let losses = [(400, 2.6), (800, 3.9), (1600, 5.2)];
    let cells: Vec<(&str, u64)> = losses.map(|(steps, _)| ("gpt2", steps)).into();
    let cells = [cells, vec![("modern", 800)]].concat();
    let mut file = study_of(&cells, 3, |variant, steps, repeat| {
        let known = losses.iter().find(|known| known.0 == steps).unwrap().1;
        let ahead = f64::from(u8::from(variant == "modern"));
        Some(known - 0.1 * ahead + 1e-3 * repeat as f64)
    });
    for trial in &mut file.trials {
        trial.cost.as_mut().unwrap().train_flops = 7.7e7 * trial.budget.unwrap() as f64;
    }
    let answer = judged(&file, 800);
    let gain = answer.headline();
    assert!(
        matches!(
            gain,
            Gain::Unknown {
                why: Blank::BaseRises,
                ..
            }
        ),
        "{gain:?}"
    );
    assert!((answer.equal_compute_nats.unwrap().value - 0.1).abs() < 1e-9);
}
