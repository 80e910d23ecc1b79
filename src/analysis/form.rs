//! A figure that is a sum of what trials reached, with everything that makes it uncertain: the luck of each seed, and what all
//! repeats of a cell share.

use std::collections::BTreeMap;

use super::scatter::Scatter;
use crate::stat::interval::LEVEL;
use crate::stat::{Estimate, Interval, Shift, sd};

/// A mean over seeds, to first order in every loss that it is made of.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Form {
    /// What it is.
    pub value: f64,
    /// How far each seed lies from it.
    pub by_seed: BTreeMap<u64, f64>,
    /// By cell: what a shared error of one nat does to it.
    pub loads: BTreeMap<String, f64>,
    /// A standard error besides: of reading between points.
    pub reading_se: f64,
}

impl Form {
    /// This minus `factor` times another of the same seeds; seeds that only one has are left out of the spread.
    pub fn minus(&self, other: &Self, factor: f64) -> Self {
        let common = self
            .by_seed
            .iter()
            .filter_map(|(seed, a)| Some((*seed, a - factor * other.by_seed.get(seed)?)));
        let mut loads = self.loads.clone();
        for (cell, load) in &other.loads {
            *loads.entry(cell.clone()).or_default() -= factor * load;
        }
        Self {
            value: self.value - factor * other.value,
            by_seed: common.collect(),
            loads,
            reading_se: self.reading_se.hypot(factor * other.reading_se),
        }
    }

    /// Times a number.
    pub fn times(&self, factor: f64) -> Self {
        Self::default().with_seeds(self).minus(self, -factor)
    }

    fn with_seeds(mut self, of: &Self) -> Self {
        self.by_seed = of.by_seed.keys().map(|seed| (*seed, 0.0)).collect();
        self
    }

    /// Seeds.
    pub fn n(&self) -> usize {
        self.by_seed.len()
    }

    /// Its standard error with the degrees of freedom of that; `None` for one seed, whose luck nobody knows.
    pub fn shift(&self, scatter: Option<&Scatter>) -> Option<Shift> {
        let of_seeds: Vec<f64> = self.by_seed.values().copied().collect();
        let squares: f64 = self.loads.values().map(|load| load * load).sum();
        let luck = sd(&of_seeds)?.powi(2) / of_seeds.len() as f64;
        Some(shift(
            self.value,
            (luck, of_seeds.len()),
            squares,
            self.reading_se,
            scatter,
        ))
    }

    /// The figure with its interval.
    pub fn estimate(&self, scatter: Option<&Scatter>) -> Estimate {
        let interval = self.shift(scatter).map(|shift| shift.interval(LEVEL));
        Estimate {
            value: self.value,
            interval,
            n: self.n(),
        }
    }

    /// The same turned back, where the figure is the logarithm of a ratio.
    pub fn ratio(&self, scatter: Option<&Scatter>) -> Estimate {
        let Estimate { value, interval, n } = self.estimate(scatter);
        let interval = interval.map(|i| Interval {
            low: i.low.exp(),
            high: i.high.exp(),
            ..i
        });
        Estimate {
            value: value.exp(),
            interval,
            n,
        }
    }
}

/// A mean with the standard error of its luck (its variance, and from how many seeds), of what repeats share (`squares`: the sum
/// of squared loads) and of reading, and the degrees of freedom of that (Satterthwaite 1946).
pub fn shift(
    value: f64,
    luck: (f64, usize),
    squares: f64,
    reading_se: f64,
    scatter: Option<&Scatter>,
) -> Shift {
    let (luck, seeds) = (luck.0, luck.1 as f64 - 1.0);
    let shared = scatter.map_or(0.0, |scatter| scatter.shared_sd_nats.powi(2) * squares);
    let freedom = scatter.map_or(f64::INFINITY, |scatter| scatter.freedom);
    let variance = luck + shared + reading_se.powi(2);
    let spread = luck * luck / seeds + shared * shared / freedom;
    let freedom = if spread > 0.0 {
        variance * variance / spread
    } else {
        seeds
    };
    Shift {
        value,
        se: variance.sqrt(),
        freedom,
    }
}
