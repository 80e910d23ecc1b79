//! A metric of one cell over time, on one kind of machine: how much it usually moves, and where it changed for good.
//!
//! The fence is rustc-perf's: Q3 + 3 (Q3 - Q1) of the past absolute changes from one run to the next; a change beyond it is
//! unusual. The step is the split into before and after that leaves the smallest sum of squares, if the two means lie further
//! apart than the fence: a report, not a gate.

use std::collections::BTreeMap;

use serde::Serialize;

use super::matching::Seen;
use super::measure::{Measure, Scale};
use crate::record::ResultFile;
use crate::stat::{mean, median, quantile};

/// Fewer changes make no fence.
const FEWEST_CHANGES: usize = 4;

/// One run's figure.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Point {
    /// When the run began.
    pub started_at: String,
    /// The commit, where it is known.
    pub commit: Option<String>,
    /// Trials.
    pub n: usize,
    /// Their median.
    pub value: f64,
    /// From the run before: a ratio minus 1, or a difference.
    pub change: Option<f64>,
    /// Whether that is beyond the fence of the changes before it.
    pub unusual: bool,
}

/// A metric of one cell over time.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct History {
    /// The cell.
    pub cell: String,
    /// The metric.
    pub metric: &'static str,
    /// Its unit.
    pub unit: &'static str,
    /// The kind of machine.
    pub class_id: String,
    /// What the data are.
    pub data: String,
    /// In the order of time.
    pub points: Vec<Point>,
    /// What a change must exceed to be unusual: a share, or in the unit; none with too few runs.
    pub fence: Option<f64>,
    /// The first point after the step, and the change there.
    pub step: Option<(usize, f64)>,
}

/// One history for each kind of machine that ran the cell, and each kind of data.
pub fn histories(files: &[(String, ResultFile)], cell: &str, measure: &Measure) -> Vec<History> {
    let all = files.iter().flat_map(|(_, file)| file.trials.iter().map(move |trial| Seen { trial, file }));
    let of_cell = all.filter(|seen| seen.trial.cell == cell && !seen.trial.in_sweep() && seen.counts());
    let mut places: BTreeMap<(&str, String), Vec<Seen>> = BTreeMap::new();
    for seen in of_cell {
        places.entry((&seen.machine().class_id, seen.world())).or_default().push(seen);
    }
    let found = places.iter().map(|((class, _), seen)| history(seen, cell, class, measure));
    found.filter(|history| !history.points.is_empty()).collect()
}

fn history(seen: &[Seen], cell: &str, class: &str, measure: &Measure) -> History {
    let mut runs: Vec<(&str, &str, Vec<&Seen>)> = Vec::new();
    for one in seen.iter().filter(|seen| measure.value(seen.trial).is_some()) {
        let (when, build) = (one.file.run.started_at.as_str(), one.trial.arm.as_str());
        match runs.iter_mut().find(|(time, arm, _)| (*time, *arm) == (when, build)) {
            Some((.., trials)) => trials.push(one),
            None => runs.push((when, build, vec![one])),
        }
    }
    runs.sort_by_key(|(when, ..)| (*when).to_owned());
    let figures = |trials: &[&Seen]| trials.iter().filter_map(|seen| measure.value(seen.trial)).collect::<Vec<f64>>();
    let values: Vec<f64> = runs.iter().filter_map(|(.., trials)| median(&figures(trials))).collect();
    let scaled: Vec<f64> = values.iter().map(|value| on_scale(measure, *value)).collect();
    let changes: Vec<f64> = scaled.windows(2).map(|two| two[1] - two[0]).collect();
    let point = |(k, (when, _, trials)): (usize, &(&str, &str, Vec<&Seen>))| Point {
        started_at: (*when).to_owned(),
        commit: trials[0].build().commit.clone(),
        n: trials.len(),
        value: values[k],
        change: k.checked_sub(1).map(|before| shown(measure, changes[before])),
        unusual: k > 0 && fence(&changes[..k - 1]).is_some_and(|fence| changes[k - 1].abs() > fence),
    };
    let fence = fence(&changes);
    let step = step(&scaled).filter(|(_, size)| fence.is_some_and(|fence| size.abs() > fence));
    History {
        cell: cell.to_owned(),
        metric: measure.name,
        unit: measure.unit,
        class_id: class.to_owned(),
        data: seen[0].file.run.data.clone(),
        points: runs.iter().enumerate().map(point).collect(),
        fence: fence.map(|fence| shown(measure, fence)),
        step: step.map(|(at, size)| (at, shown(measure, size))),
    }
}

fn on_scale(measure: &Measure, value: f64) -> f64 {
    if measure.scale == Scale::Ratio { value.max(f64::MIN_POSITIVE).ln() } else { value }
}

fn shown(measure: &Measure, value: f64) -> f64 {
    if measure.scale == Scale::Ratio { value.exp_m1() } else { value }
}

/// Q3 + 3 IQR of absolute changes.
pub fn fence(changes: &[f64]) -> Option<f64> {
    let sizes: Vec<f64> = changes.iter().map(|change| change.abs()).collect();
    let (low, high) = (quantile(&sizes, 0.25)?, quantile(&sizes, 0.75)?);
    (sizes.len() >= FEWEST_CHANGES).then_some(high + 3.0 * (high - low))
}

/// The split that leaves the smallest sum of squares, at least two on each side, and the second mean minus the first.
fn step(values: &[f64]) -> Option<(usize, f64)> {
    let squares = |part: &[f64]| mean(part).map_or(0.0, |m| part.iter().map(|x| (x - m).powi(2)).sum::<f64>());
    let splits = 2..(values.len().saturating_sub(1));
    let cost = |at: &usize| squares(&values[..*at]) + squares(&values[*at..]);
    let at = splits.min_by(|a, b| cost(a).total_cmp(&cost(b)))?;
    Some((at, mean(&values[at..])? - mean(&values[..at])?))
}

#[cfg(test)]
mod tests {
    use super::super::catalog;
    use super::*;
    use crate::record::example::example;
    use crate::record::metric;

    /// Runs a day apart whose speed is as given.
    fn days(speeds: &[f64]) -> Vec<(String, ResultFile)> {
        let day = |(k, speed): (usize, &f64)| {
            let mut file = example();
            file.run.started_at = format!("2026-10-{:02}T10:00:00Z", k + 1);
            for trial in &mut file.trials {
                trial.metrics.get_mut(metric::TRAIN_TOKENS_PER_S).unwrap().value = Some(*speed);
            }
            (format!("{k}.json"), file)
        };
        // Files come in any order.
        speeds.iter().enumerate().map(day).rev().collect()
    }

    fn found(speeds: &[f64]) -> History {
        let measure = catalog().into_iter().find(|m| m.name == metric::TRAIN_TOKENS_PER_S).unwrap();
        histories(&days(speeds), "gpt2/w32@400", &measure).remove(0)
    }

    #[test]
    fn a_step_is_found_where_it_is() {
        let history = found(&[100.0, 101.0, 100.5, 99.8, 100.2, 120.0, 121.0, 119.5, 120.4]);
        let (at, size) = history.step.unwrap();
        assert_eq!(at, 5);
        assert!((size - 0.2).abs() < 0.01 && history.fence.unwrap() < 0.05, "{history:?}");
        assert!(history.points[5].unusual && history.points.iter().filter(|p| p.unusual).count() == 1);
        assert_eq!((history.points[0].n, history.points[0].change), (4, None));
    }

    #[test]
    fn noise_is_no_step() {
        let history = found(&[100.0, 101.0, 99.0, 100.4, 99.6, 100.9, 99.4]);
        assert_eq!((history.step, history.points.iter().any(|p| p.unusual)), (None, false));
        assert_eq!(found(&[100.0, 90.0]).fence, None);
    }
}
