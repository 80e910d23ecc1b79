//! Ladders: runs of one kind of data at several sizes and budgets, and the law of loss in compute that is fitted to them.

use std::collections::BTreeSet;

use super::fit::points::{Counted, of_trials};
use super::fit::{self, Findings as Fit, Plan, Point as Run, Points, power};
use super::stratum::{Stratum, strata};
use crate::record::{ResultFile, Trial};

/// Resamples behind the bands.
const DRAWS: usize = 400;
/// A law with fewer budgets is a line through its points.
const BUDGETS: usize = 4;

/// Runs of one kind of data at several sizes and budgets, and the law fitted to them.
#[derive(Debug, Clone)]
pub struct Ladder {
    /// What the data are.
    pub data: String,
    /// The runs.
    pub points: Points,
    /// The law.
    pub found: Fit,
}

/// The ladders of a file, one a kind of data.
pub fn ladders(file: &ResultFile) -> Vec<Ladder> {
    let ladder = |stratum: &Stratum| {
        let points = rungs(&stratum.trials)?;
        let found = fitted(&points)?;
        Some(Ladder {
            data: stratum.data.clone(),
            points,
            found,
        })
    };
    strata(file, None).iter().filter_map(ladder).collect()
}

/// The runs of variants that were given several sizes and budgets.
fn rungs(trials: &[&Trial]) -> Option<Points> {
    let mut points = of_trials(trials, Counted::Total).ok()?;
    let several = |group: &str| {
        let own = || points.points.iter().filter(|point| point.group == group);
        let budgets: BTreeSet<u64> = own().map(|point| point.flops.to_bits()).collect();
        let sizes: BTreeSet<u64> = own()
            .filter_map(|point| Some(point.params?.to_bits()))
            .collect();
        budgets.len() >= BUDGETS && sizes.len() > 1
    };
    let kept: Vec<Run> = points
        .points
        .iter()
        .filter(|point| several(&point.group))
        .cloned()
        .collect();
    points.points = kept;
    (!points.points.is_empty()).then_some(points)
}

/// The law with its bands.
fn fitted(points: &Points) -> Option<Fit> {
    let plan = Plan {
        irreducible: None,
        drop_highest: 0,
        draws: DRAWS,
    };
    fit::fit(&power::LAW, points, &plan).ok()
}
