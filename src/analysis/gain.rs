//! The gain: how many times the variant's compute the base needs to reach the variant's loss (compute-equivalent gain, Hernandez
//! and Brown 2020, arXiv 2005.04305; Gundlach et al. 2025), paired by seed.
//!
//! The base is read locally (`local.rs`); the error that repeats share is in every interval (`scatter.rs`). Beyond the base's
//! runs nothing is extrapolated: there an interval is open, or the answer is a bound that is false in at most 5% of studies.
//! Whether the intervals cover what they promise is for the simulated studies of `coverage.rs` to say.

use serde::{Deserialize, Serialize};

use super::axis::Axis;
use super::form::Form;
use super::local::{Crossing, Local};
use super::pairs::Pairs;
use super::scatter::Scatter;
use crate::stat::interval::LEVEL;
use crate::stat::{Estimate, Interval};

/// How many times the variant's cost the base must spend.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Gain {
    /// The base reaches the variant's loss within its runs. An end of the interval beyond them is open: 0, or infinite (`null`).
    Solved(Estimate),
    /// The base's largest run does not reach the variant's loss: the gain is above this.
    MoreThan(Bound),
    /// The base's smallest run is already ahead of the variant: the gain is below this.
    LessThan(Bound),
    /// There is neither figure nor bound.
    Unknown {
        /// Repeats.
        n: usize,
        /// Why.
        why: Blank,
    },
}

/// One end of a one-sided interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Bound {
    /// The gain lies beyond it.
    pub bound: f64,
    /// With this confidence; `null` for one repeat, where it is as measured.
    pub level: Option<f64>,
    /// Repeats.
    pub n: usize,
    /// Whether the two-sided interval leaves out 1.
    pub told: bool,
}

/// Why there is no gain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Blank {
    /// What was spent is not known in every repeat, or the arms ran on different machines.
    CostUnknown,
    /// The base ran nothing of this size.
    NoSuchSize,
    /// The variant lies beyond the base's runs, and repeats scatter too far for a bound.
    OutOfReach,
    /// The base's loss rises with what it spends.
    BaseRises,
}

impl Blank {
    /// For prose, after "because".
    pub fn words(self) -> &'static str {
        match self {
            Self::CostUnknown => {
                "what was spent is not known in every repeat, or the arms ran on different machines"
            }
            Self::NoSuchSize => "the base ran nothing of this size",
            Self::BaseRises => {
                "the base's loss rises with its budget, as where few data are learned by heart: no cost stands for a loss"
            }
            Self::OutOfReach => {
                "the variant lies beyond the base's runs, and repeats scatter too far for a bound"
            }
        }
    }
}

/// What a gain says against 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sign {
    /// The variant is worth more than its cost.
    More,
    /// The variant is worth less.
    Less,
    /// The interval includes 1, or there is no telling.
    Unclear,
}

impl Gain {
    /// The gain, or the bound that stands for it.
    pub fn value(&self) -> Option<f64> {
        match *self {
            Self::Solved(estimate) => Some(estimate.value),
            Self::MoreThan(bound) | Self::LessThan(bound) => Some(bound.bound),
            Self::Unknown { .. } => None,
        }
    }

    /// On which side of 1 it lies, by its two-sided interval.
    pub fn sign(&self) -> Sign {
        match *self {
            Self::Solved(Estimate {
                interval: Some(interval),
                ..
            }) if interval.low > 1.0 => Sign::More,
            Self::Solved(Estimate {
                interval: Some(interval),
                ..
            }) if interval.high < 1.0 => Sign::Less,
            Self::MoreThan(Bound { told: true, .. }) => Sign::More,
            Self::LessThan(Bound { told: true, .. }) => Sign::Less,
            _ => Sign::Unclear,
        }
    }
}

/// The gain on one axis, and its logarithm to first order where it is solved.
pub fn gain(pairs: &Pairs, axis: Axis, scatter: Option<&Scatter>) -> (Gain, Option<Form>) {
    let n = pairs.pairs.len();
    let unknown = |why| (Gain::Unknown { n, why }, None);
    let known = |point: &super::pairs::Point| point.spent.on(axis).is_some();
    if !pairs
        .pairs
        .iter()
        .all(|pair| known(&pair.variant) && pair.base.iter().all(known))
    {
        return unknown(Blank::CostUnknown);
    }
    let local = match Local::of(pairs, axis, scatter) {
        None => return unknown(Blank::NoSuchSize),
        Some(local) if local.rises() => return unknown(Blank::BaseRises),
        Some(local) => local,
    };
    let bound = |one_sided: Option<f64>, end: f64, told: bool| match (one_sided, n) {
        (Some(log), _) => Some(Bound {
            bound: log.exp(),
            level: Some(LEVEL),
            n,
            told,
        }),
        (None, 1) => Some(Bound {
            bound: end.exp(),
            level: None,
            n,
            told: false,
        }),
        _ => None,
    };
    match local.crossing(LEVEL) {
        Some(Crossing::At(form, ends)) => {
            let interval = ends.map(|(low, high)| Interval {
                low: low.exp(),
                high: high.exp(),
                level: LEVEL,
            });
            (
                Gain::Solved(Estimate {
                    value: form.value.exp(),
                    interval,
                    n,
                }),
                Some(form),
            )
        }
        Some(Crossing::Beyond {
            one_sided,
            two_sided,
            end,
        }) => {
            let bound = bound(one_sided, end, two_sided.is_some_and(|log| log >= 0.0));
            bound.map_or(unknown(Blank::OutOfReach), |bound| {
                (Gain::MoreThan(bound), None)
            })
        }
        Some(Crossing::Below {
            one_sided,
            two_sided,
            end,
        }) => {
            let bound = bound(one_sided, end, two_sided.is_some_and(|log| log <= 0.0));
            bound.map_or(unknown(Blank::OutOfReach), |bound| {
                (Gain::LessThan(bound), None)
            })
        }
        None => unknown(Blank::OutOfReach),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::study::studies;
    use crate::record::example::{add_variant, study};
    use crate::record::parents::with_parents_counted;
    use crate::record::{ResultFile, Trial};
    use crate::stream::stream;

    /// Costs that differ by less than 2% are equal: which side of the base's dearest or cheapest run the variant's own fall by a
    /// hair decides nothing, and the sign is that of the test at equal cost.
    #[test]
    fn at_equal_budgets_the_sign_is_that_of_the_difference() {
        for (steps, worth, sign) in [
            (1600, 1.5, Sign::More),
            (1600, 0.6, Sign::Less),
            (400, 0.6, Sign::Less),
            (400, 1.5, Sign::More),
        ] {
            for off in [1.0, 1.0 + 1e-12, 1.0 - 1e-12, 1.01, 0.99] {
                let mut file = study(4, |_, steps, k| {
                    Some(2.0 * (steps as f64 / 400.0).powf(-0.3) * (1.0 + 0.005 * k as f64))
                });
                let base = 7.7e7 * steps as f64;
                for trial in file.trials.iter_mut().filter(|t| t.variant == "modern") {
                    let cell = (trial.budget == Some(800)).then_some(steps);
                    trial.budget = cell.or(Some(200));
                    trial.cost.as_mut().unwrap().train_flops = off * base;
                    let loss = 2.0 * (worth * steps as f64 / 400.0).powf(-0.3);
                    let loss = loss * (1.0 + 0.005 * trial.repeat as f64);
                    for metric in trial.metrics.values_mut().filter(|m| m.unit == "nats") {
                        metric.value = Some(loss);
                    }
                }
                file.run.headline.as_mut().unwrap().budget = steps;
                let answer = crate::analysis::answer(&file).unwrap();
                let told = answer.p.is_some_and(|p| p < 0.05);
                assert!(
                    told && answer.headline().sign() == sign,
                    "{steps} {worth} {off}: p {:?}, {:?}",
                    answer.p,
                    answer.headline()
                );
            }
        }
    }

    /// A base of three budgets and two variants, scattered by luck, that all begin with models of another data; who pays for those is
    /// no luck, so that a gain is what it was over the ratio of costs, and so is each end of its interval.
    #[test]
    fn parents_that_are_counted_divide_a_gain_and_its_interval() {
        for seed in 0..40 {
            let mut luck = stream("parents", seed, 0);
            let noise: Vec<f64> = (0..64).map(|_| 0.02 * luck.normal()).collect();
            let worth = 0.4 * (8.0_f64).powf(luck.uniform());
            let mut file = study(4, |variant, steps, repeat| {
                let worth = if variant == "modern" { worth } else { 1.0 };
                let place = (steps / 100 + 16 * repeat) as usize % noise.len();
                Some(2.0 * (worth * steps as f64 / 400.0).powf(-0.3) + noise[place])
            });
            add_variant(&mut file, "other", &[("model", "position", "rope")], |k| {
                1.3 + noise[k as usize]
            });
            let parents = adopt(&mut file);
            let (free, paid) = (
                answers(&file),
                answers(&with_parents_counted(&file).unwrap()),
            );
            for (free, paid) in free.iter().zip(&paid) {
                for axis in [
                    Axis::ModelFlops,
                    Axis::TotalFlops,
                    Axis::Tokens,
                    Axis::Steps,
                ] {
                    let ratio = 1.0 + parents / free.budget.unwrap() as f64;
                    same(free.on(axis), paid.on(axis), ratio, seed);
                }
            }
        }
    }

    /// Gives each trial of a variant a parent of the base's cost at 800 steps, on other data; returns the parent's steps in those of
    /// the child, which are as dear.
    fn adopt(file: &mut ResultFile) -> f64 {
        let of_base = |t: &&Trial| t.variant == "gpt2" && t.budget == Some(800);
        let parents: Vec<Trial> = file.trials.iter().filter(of_base).cloned().collect();
        for mut parent in parents {
            let repeat = parent.repeat;
            parent.id = format!("parent-{repeat}");
            parent.variant = "first".to_owned();
            parent.cell = "first/w32@800".to_owned();
            parent.spec["data"]["vocab"] = 999.into();
            let steps = parent.budget.unwrap() as f64;
            for child in &mut file.trials {
                if child.variant != "gpt2" && child.repeat == repeat && child.parent.is_none() {
                    child.parent = Some(parent.id.clone());
                    let per_step = |of: &Trial, steps: f64| of.train_flops().unwrap() / steps;
                    let times =
                        per_step(&parent, steps) / per_step(child, child.budget.unwrap() as f64);
                    let cost = child.cost.as_mut().unwrap();
                    cost.train_flops *= times;
                    cost.optimizer_flops = parent.cost.as_ref().unwrap().optimizer_flops / steps
                        * child.budget.unwrap() as f64;
                }
            }
            file.trials.push(parent);
        }
        800.0
    }

    fn answers(file: &ResultFile) -> Vec<crate::analysis::Answer> {
        let of_base = |study: &crate::analysis::study::Study| !study.answers.is_empty();
        let mut found = studies(file, None, None, None).unwrap();
        found.retain(of_base);
        let mut answers = found.remove(0).answers;
        answers.retain(|answer| answer.variant != "first");
        assert_eq!(answers.len(), 3);
        answers
    }

    fn same(free: Gain, paid: Gain, ratio: f64, seed: u64) {
        let near = |a: f64, b: f64| a == b / ratio || (a * ratio / b - 1.0).abs() < 1e-9;
        match (free, paid) {
            (Gain::Solved(free), Gain::Solved(paid)) => {
                let (a, b) = (paid.interval.unwrap(), free.interval.unwrap());
                assert!(near(paid.value, free.value), "{seed}: {paid:?} {free:?}");
                assert!(
                    near(a.low, b.low) && near(a.high, b.high),
                    "{seed}: {a:?} {b:?}"
                );
            }
            (Gain::MoreThan(free), Gain::MoreThan(paid))
            | (Gain::LessThan(free), Gain::LessThan(paid)) => {
                assert!(near(paid.bound, free.bound), "{seed}: {paid:?} {free:?}");
            }
            (Gain::Unknown { .. }, Gain::Unknown { .. }) => {}
            other => panic!("{seed}: {other:?}"),
        }
    }
}
