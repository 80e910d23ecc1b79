//! A run cell by cell: how many trials finished, and the mean of each figure over the repeats that did.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::record::identity::cell_id;
use crate::record::{ResultFile, Status, Trial, metric};
use crate::stat;

/// A figure over a cell's finished repeats.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// Mean.
    pub mean: f64,
    /// Standard deviation over repeats; absent for one.
    pub sd: Option<f64>,
    /// Repeats that have the figure.
    pub n: usize,
    /// Standard error over what all repeats are judged by, a text or tasks; the mean of theirs.
    pub se: Option<f64>,
    /// Parts of it that the standard error takes as independent.
    pub se_parts: Option<u64>,
}

/// One cell of a run, in one arm.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CellSummary {
    /// `gpt2/w32@800`.
    pub cell: String,
    /// The cell's name again, or a build's label.
    pub arm: String,
    /// All parameters, where counted.
    pub params_total: Option<u64>,
    /// Trials by how they ended.
    pub status: BTreeMap<Status, usize>,
    /// By metric name; only figures that some finished repeat has.
    pub metrics: BTreeMap<&'static str, Spread>,
}

impl CellSummary {
    /// Trials, finished or not.
    pub fn trials(&self) -> usize {
        self.status.values().sum()
    }

    /// Trials that finished.
    pub fn finished(&self) -> usize {
        self.status.get(&Status::Ok).copied().unwrap_or_default()
    }
}

/// Every cell of a file, in the order in which they first ran.
pub fn summarise(file: &ResultFile) -> Vec<CellSummary> {
    // A sweep beside what it chose for says nothing of its own.
    let sweep_only = file.trials.iter().all(Trial::in_sweep);
    let mut trials: Vec<&Trial> = file
        .trials
        .iter()
        .filter(|t| sweep_only || !t.in_sweep())
        .collect();
    trials.sort_by_key(|t| t.order);
    let mut cells: Vec<(&str, &str, Vec<&Trial>)> = Vec::new();
    let mut places: BTreeMap<(&str, &str, String), usize> = BTreeMap::new();
    for trial in trials {
        let place = *places
            .entry((&trial.cell, &trial.arm, cell_id(trial)))
            .or_insert_with(|| {
                cells.push((&trial.cell, &trial.arm, Vec::new()));
                cells.len() - 1
            });
        cells[place].2.push(trial);
    }
    cells
        .into_iter()
        .map(|(cell, arm, trials)| summary(cell, arm, &trials))
        .collect()
}

/// One cell's summary from its trials.
pub fn summary(cell: &str, arm: &str, trials: &[&Trial]) -> CellSummary {
    let mut status = BTreeMap::new();
    for trial in trials {
        *status.entry(trial.status).or_insert(0) += 1;
    }
    let spread = |name: &'static str| {
        let finished = || trials.iter().filter(|t| t.status == Status::Ok);
        let values: Vec<f64> = finished().filter_map(|t| t.metric(name)).collect();
        let found = stat::summary(&values)?;
        let metrics = || finished().filter_map(|t| t.metrics.get(name));
        let errors: Vec<f64> = metrics().filter_map(|metric| metric.se).collect();
        Some((
            name,
            Spread {
                mean: found.mean,
                sd: found.sd,
                n: found.n,
                se: stat::summary(&errors).map(|errors| errors.mean),
                se_parts: metrics().filter_map(|metric| metric.se_parts).min(),
            },
        ))
    };
    CellSummary {
        cell: cell.to_owned(),
        arm: arm.to_owned(),
        params_total: trials.iter().find_map(|t| t.params()),
        status,
        metrics: metric::REGISTRY
            .iter()
            .filter_map(|row| spread(row.name))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::example::study;

    #[test]
    fn a_cell_is_the_mean_of_its_finished_repeats() {
        let file = study(3, |variant, _, repeat| {
            (variant == "modern" || repeat < 2).then_some(1.0 + repeat as f64)
        });
        let cells = summarise(&file);
        let names: Vec<&str> = cells.iter().map(|cell| cell.cell.as_str()).collect();
        assert_eq!(
            names,
            [
                "gpt2/w32@400",
                "gpt2/w32@800",
                "gpt2/w32@1600",
                "modern/w32@400",
                "modern/w32@800"
            ]
        );
        let (gpt2, modern) = (&cells[0], &cells[3]);
        assert_eq!(
            (
                gpt2.trials(),
                gpt2.finished(),
                gpt2.status[&Status::Diverged]
            ),
            (3, 2, 1)
        );
        assert_eq!(
            gpt2.metrics[metric::EXCESS_LOSS_NATS],
            Spread {
                mean: 1.5,
                sd: Some(0.5_f64.sqrt()),
                n: 2,
                se: Some(0.003),
                se_parts: None,
            }
        );
        assert_eq!(
            modern.metrics[metric::EXCESS_LOSS_NATS],
            Spread {
                mean: 2.0,
                sd: Some(1.0),
                n: 3,
                ..modern.metrics[metric::EXCESS_LOSS_NATS]
            }
        );
        assert!(
            !modern.metrics.contains_key(metric::VAL_BITS_PER_BYTE),
            "absent figures have no mean"
        );
        assert_eq!(modern.params_total, Some(31_000));
    }
}
