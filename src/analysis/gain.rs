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
            let bound = bound(one_sided, end, two_sided.is_some_and(|log| log > 0.0));
            bound.map_or(unknown(Blank::OutOfReach), |bound| {
                (Gain::MoreThan(bound), None)
            })
        }
        Some(Crossing::Below {
            one_sided,
            two_sided,
            end,
        }) => {
            let bound = bound(one_sided, end, two_sided.is_some_and(|log| log < 0.0));
            bound.map_or(unknown(Blank::OutOfReach), |bound| {
                (Gain::LessThan(bound), None)
            })
        }
        None => unknown(Blank::OutOfReach),
    }
}
