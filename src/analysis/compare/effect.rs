//! One metric's change in one cell, from plain numbers: the trial is the replicate.
//!
//! Paired by repeat where both sides ran together, Welch's test otherwise; on logarithms for ratios. Beside it stands an exact
//! test, wherever that can reach the level at all.

use schemars::JsonSchema;
use serde::Serialize;

use super::measure::Scale;
use crate::stat::exact::{permutation, sign_flip};
use crate::stat::interval::{Interval, LEVEL};
use crate::stat::{Estimate, Shift, mean, sd, student};

/// The level of every test.
pub const ALPHA: f64 = 1.0 - LEVEL;

/// Fewer pairs, or fewer trials on a side, decide nothing.
pub const FEWEST: usize = 3;

/// How the two sides were set against each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Counted: the same or not.
    Equality,
    /// Student's t on differences by repeat.
    PairedT,
    /// Welch's t on the two sides' trials.
    WelchT,
    /// The exact permutation test of ranks, where a trial never reached a figure.
    Ranks,
    /// Only within each machine, against a reference.
    WithinMachines,
}

/// A change on the scale that is computed on: of logarithms for a ratio.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Effect {
    /// Ratio or difference.
    pub scale: Scale,
    /// How it was found.
    pub method: Method,
    /// new - base.
    pub value: f64,
    /// With its uncertainty, where there are two pairs, or two trials on each side.
    pub shift: Option<Shift>,
    /// Standard deviation of one pair's difference, or what it would be for independent trials.
    pub sd: Option<f64>,
    /// Pairs, or trials on each side; of several cells in the one that has the fewest.
    pub n: [usize; 2],
    /// Cells whose mean it is: 1, but for a whole suite.
    pub cells: usize,
    /// Every value of one side is the other's, to the bit.
    pub identical: bool,
    /// Every trial of one side never arrived, and every one of the other did.
    pub apart: bool,
    /// The exact test's answer, where the t test sees something and this one could.
    pub exact_p: Option<f64>,
}

/// From pairs (base, new); `None` without a pair, and for a ratio of what is not above 0.
pub fn paired(scale: Scale, pairs: &[(f64, f64)]) -> Option<Effect> {
    let differences = pairs
        .iter()
        .map(|pair| difference(scale, *pair))
        .collect::<Option<Vec<f64>>>()?;
    let identical = pairs.iter().all(|(base, new)| base == new);
    // Logarithms of equal values differ by exactly nothing.
    let value = mean(&differences)?;
    let n = [pairs.len(); 2];
    let (shift, sd) = (student::paired(&differences), sd(&differences));
    let exact_p = told(shift).and_then(|_| exact_of_pairs(&differences));
    Some(Effect {
        scale,
        method: Method::PairedT,
        value,
        shift,
        sd,
        n,
        cells: 1,
        identical,
        apart: false,
        exact_p,
    })
}

/// A pair's difference on the scale that is computed on.
pub fn difference(scale: Scale, (base, new): (f64, f64)) -> Option<f64> {
    Some(on(scale, new)? - on(scale, base)?)
}

/// By flipping signs, where six pairs or more let that reach the level.
pub fn exact_of_pairs(differences: &[f64]) -> Option<f64> {
    if differences.len() >= 6 {
        sign_flip(differences)
    } else {
        None
    }
}

/// By permuting, where four trials or more on each side let that reach the level.
pub fn exact_of_sides(base: &[f64], new: &[f64]) -> Option<f64> {
    if base.len() >= 4 && new.len() >= 4 {
        permutation(base, new)
    } else {
        None
    }
}

/// A shift that the t test tells from nothing: only there is anything to check, and going through every case takes its time.
pub fn told(shift: Option<Shift>) -> Option<Shift> {
    shift.filter(|shift| shift.p() <= ALPHA)
}

/// From the two sides' trials; `None` without a trial on a side, and for a ratio of what is not above 0.
pub fn unpaired(scale: Scale, base: &[f64], new: &[f64]) -> Option<Effect> {
    let side = |values: &[f64]| {
        values
            .iter()
            .map(|value| on(scale, *value))
            .collect::<Option<Vec<f64>>>()
    };
    let (base, new) = (side(base)?, side(new)?);
    let identical = same(&base, &new);
    let n = [base.len(), new.len()];
    let value = if identical {
        0.0
    } else {
        mean(&new)? - mean(&base)?
    };
    let shift = student::welch(&base, &new);
    let exact_p = told(shift).and_then(|_| exact_of_sides(&base, &new));
    // So that the standard error is sd / sqrt n for n trials on each side, whatever the sides' sizes.
    let harmonic = 2.0 / (1.0 / n[0] as f64 + 1.0 / n[1] as f64);
    let sd = shift.map(|shift| shift.se * harmonic.sqrt());
    Some(Effect {
        scale,
        method: Method::WelchT,
        value,
        shift,
        sd,
        n,
        cells: 1,
        identical,
        apart: false,
        exact_p,
    })
}

/// Whether both sides have the same values, in whatever order: a file against itself.
fn same(base: &[f64], new: &[f64]) -> bool {
    let sorted = |values: &[f64]| {
        let mut values = values.to_vec();
        values.sort_by(f64::total_cmp);
        values
    };
    let all_one = base
        .iter()
        .chain(new)
        .all(|value| Some(value) == base.first());
    all_one || sorted(base) == sorted(new)
}

/// Where some trials are infinitely bad (a loss that diverged): the exact test of ranks, the medians' order for a direction.
pub fn ranked(scale: Scale, base: &[f64], new: &[f64]) -> Option<Effect> {
    let all: Vec<f64> = base.iter().chain(new).copied().collect();
    let rank = |value: &f64| {
        let below = all.iter().filter(|other| *other < value).count() as f64;
        below + 0.5 * (all.iter().filter(|other| *other == value).count() as f64 + 1.0)
    };
    let ranks = |values: &[f64]| values.iter().map(rank).collect::<Vec<f64>>();
    let (of_base, of_new) = (ranks(base), ranks(new));
    let value = mean(&of_new)? - mean(&of_base)?;
    let n = [base.len(), new.len()];
    let exact_p = permutation(&of_base, &of_new);
    let gone = |values: &[f64]| values.iter().filter(|value| value.is_infinite()).count();
    let all = (gone(base), gone(new));
    let apart = all == (0, new.len()) || all == (base.len(), 0);
    let (method, identical) = (Method::Ranks, value == 0.0);
    Some(Effect {
        scale,
        method,
        value,
        shift: None,
        sd: None,
        n,
        cells: 1,
        identical,
        apart,
        exact_p,
    })
}

/// On the scale that is computed on.
pub fn on(scale: Scale, value: f64) -> Option<f64> {
    match scale {
        Scale::Ratio => (value > 0.0).then(|| value.ln()),
        Scale::Difference => value.is_finite().then_some(value),
    }
}

impl Effect {
    /// The smaller side's trials.
    pub fn least(&self) -> usize {
        self.n[0].min(self.n[1])
    }

    /// Whether there are trials enough to decide anything: of one cell three a side, of several together two.
    pub fn is_enough(&self) -> bool {
        self.least() >= if self.cells > 1 { 2 } else { FEWEST }
    }

    /// The chance of such a change where there is none; `None` where too few trials can tell anything.
    pub fn p(&self) -> Option<f64> {
        if self.identical {
            return Some(1.0);
        }
        match self.method {
            Method::Ranks => self.exact_p,
            _ => self
                .shift
                .filter(|_| self.is_enough())
                .map(|shift| shift.p()),
        }
    }

    /// The interval on the scale that is computed on.
    pub fn interval(&self, level: f64) -> Option<Interval> {
        self.shift.map(|shift| shift.interval(level))
    }

    /// As it is shown: new / base, or new - base, with its 95% interval.
    pub fn estimate(&self) -> Option<Estimate> {
        if self.method == Method::Ranks {
            return None;
        }
        let show = |value: f64| {
            if self.scale == Scale::Ratio {
                value.exp()
            } else {
                value
            }
        };
        let interval = self.interval(LEVEL).filter(|i| i.low.is_finite());
        let interval = interval.map(|i| Interval {
            low: show(i.low),
            high: show(i.high),
            level: i.level,
        });
        Some(Estimate {
            value: show(self.value),
            interval,
            n: self.least(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identical_values_are_a_ratio_of_one() {
        let same = paired(Scale::Ratio, &[(3.0, 3.0), (5.0, 5.0), (4.0, 4.0)]).unwrap();
        let estimate = same.estimate().unwrap();
        let interval = estimate.interval.unwrap();
        assert_eq!(
            (estimate.value, interval.low, interval.high, same.p()),
            (1.0, 1.0, 1.0, Some(1.0))
        );
        let sides = unpaired(Scale::Difference, &[2.0; 3], &[2.0; 3]).unwrap();
        assert_eq!(
            (sides.estimate().unwrap().value, sides.identical, sides.p()),
            (0.0, true, Some(1.0))
        );
        let itself = unpaired(Scale::Ratio, &[2.0, 3.0, 5.0], &[5.0, 2.0, 3.0]).unwrap();
        assert!(
            itself.identical && itself.p() == Some(1.0) && itself.estimate().unwrap().value == 1.0
        );
        let one = paired(Scale::Ratio, &[(2.0, 2.0)]).unwrap();
        assert_eq!((one.estimate().unwrap().value, one.p()), (1.0, Some(1.0)));
    }

    #[test]
    fn what_never_arrived_is_the_worst_and_not_nothing() {
        let (fine, gone) = ([1.0, 1.1, 0.9, 1.05, 1.2], [f64::INFINITY; 5]);
        let effect = ranked(Scale::Difference, &fine, &gone).unwrap();
        assert!(effect.value > 0.0 && effect.p().unwrap() < 0.01 && effect.estimate().is_none());
        let both = ranked(Scale::Difference, &gone, &gone).unwrap();
        assert_eq!(
            (both.value, both.identical, both.p()),
            (0.0, true, Some(1.0))
        );
        let few = ranked(Scale::Difference, &fine[..3], &gone[..3]).unwrap();
        assert!(
            few.p().unwrap() > ALPHA && few.apart,
            "three against three cannot reach it"
        );
        assert!(
            effect.apart
                && !ranked(Scale::Difference, &fine, &[1.0, f64::INFINITY])
                    .unwrap()
                    .apart
        );
    }

    #[test]
    fn a_ratio_needs_values_above_zero() {
        assert_eq!(paired(Scale::Ratio, &[(0.0, 1.0)]), None);
        assert_eq!(unpaired(Scale::Ratio, &[1.0], &[-1.0]), None);
        assert!(paired(Scale::Difference, &[(0.0, -0.1)]).is_some());
        assert_eq!(paired(Scale::Ratio, &[]), None);
    }
}
