//! Cells: trials that are repeats of one thing on one machine and one data source.

use std::collections::BTreeMap;

use super::CellSummary;
use super::stratum::words;
use super::summary::summary;
use crate::record::identity::{cell_id, unlike};
use crate::record::{ResultFile, Status, Trial};
use crate::stat::interval::LEVEL;
use crate::stat::{Estimate, mean_estimate};

/// A cell on one machine and one data source: what may be averaged.
#[derive(Debug)]
pub struct Cell<'a> {
    /// The cell's name, with whatever else tells it apart in this file.
    pub name: String,
    /// Means and spreads over its finished repeats.
    pub summary: CellSummary,
    /// Its trials, finished or not; at least one.
    pub trials: Vec<&'a Trial>,
    /// Which of the file's data.
    pub data: usize,
}

impl<'a> Cell<'a> {
    /// Any of its trials: variant, scale, budget and machine are the same in all.
    pub fn any(&self) -> &'a Trial {
        self.trials[0]
    }

    /// The trials that finished.
    pub fn finished(&self) -> impl Iterator<Item = &'a Trial> {
        self.trials
            .iter()
            .copied()
            .filter(|trial| trial.status == Status::Ok)
    }

    /// The mean of a metric over finished repeats.
    pub fn mean(&self, name: &str) -> Option<f64> {
        self.summary.metrics.get(name).map(|spread| spread.mean)
    }

    /// The same with its interval over repeats.
    pub fn estimate(&self, name: &str) -> Option<Estimate> {
        mean_estimate(
            &self
                .finished()
                .filter_map(|trial| trial.metric(name))
                .collect::<Vec<_>>(),
            LEVEL,
        )
    }

    /// Model FLOPs of training.
    pub fn train_flops(&self) -> Option<f64> {
        self.any().train_flops().filter(|flops| *flops > 0.0)
    }

    /// `n = 4`, or `n = 3 of 4`.
    pub fn count(&self) -> String {
        let (finished, trials) = (self.summary.finished(), self.summary.trials());
        if finished == trials {
            format!("n = {trials}")
        } else {
            format!("n = {finished} of {trials}")
        }
    }
}

/// Behind the name of data whose losses are counted so.
const PER_BYTE: &str = ", per byte";

/// What makes trials repeats of one thing.
type Key<'a> = (&'a str, &'a str, u64, usize, String);

/// Trials that judge, in the order in which they ran: a sweep beside what it chose for says nothing of its own.
pub fn judged(file: &ResultFile) -> Vec<&Trial> {
    let sweep_only = file.trials.iter().all(Trial::in_sweep);
    let mut trials: Vec<&Trial> = file
        .trials
        .iter()
        .filter(|t| sweep_only || !t.in_sweep())
        .collect();
    trials.sort_by_key(|trial| trial.order);
    trials
}

/// The cells of these trials, in the order in which they first ran, and what their data are called.
pub fn cells<'a>(file: &ResultFile, trials: Vec<&'a Trial>) -> (Vec<Cell<'a>>, Vec<String>) {
    let mut data: Vec<String> = Vec::new();
    let mut groups: Vec<(Key, Vec<&Trial>)> = Vec::new();
    let mut places: BTreeMap<Key, usize> = BTreeMap::new();
    for trial in trials {
        let source = trial.spec.get("data").map(ToString::to_string);
        // Nats a byte stand beside no nats a token, as if they were of other data.
        let each = if trial.is_per_byte() { PER_BYTE } else { "" };
        let source = source.unwrap_or_default() + each;
        let source = data
            .iter()
            .position(|known| *known == source)
            .unwrap_or_else(|| {
                data.push(source);
                data.len() - 1
            });
        let key = (
            trial.cell.as_str(),
            trial.arm.as_str(),
            trial.machine,
            source,
            cell_id(trial),
        );
        let place = *places.entry(key.clone()).or_insert_with(|| {
            groups.push((key, Vec::new()));
            groups.len() - 1
        });
        groups[place].1.push(trial);
    }
    let several = data.len() > 1;
    let settings: Vec<String> = groups
        .iter()
        .map(|group| other_settings(&groups, group))
        .collect();
    let named = groups.into_iter().zip(settings);
    let cells = named
        .map(|((key, trials), settings)| cell(file, key, trials, (several, &settings)))
        .collect();
    (cells, names(file, &data))
}

/// What tells a group from the others of its name, where there are others: `, train.batch 8`.
fn other_settings(groups: &[(Key, Vec<&Trial>)], (key, trials): &(Key, Vec<&Trial>)) -> String {
    let same = |other: &&(Key, Vec<&Trial>)| {
        (other.0.0, other.0.1, other.0.2, other.0.3) == (key.0, key.1, key.2, key.3)
    };
    let other = groups.iter().filter(same).find(|other| other.0.4 != key.4);
    let unlike = other
        .map(|(_, others)| unlike(others[0], trials[0]))
        .unwrap_or_default();
    let said = unlike
        .iter()
        .map(|u| format!(", {} {}", u.key, u.new.as_deref().unwrap_or("absent")));
    said.collect()
}

fn cell<'a>(file: &ResultFile, key: Key, trials: Vec<&'a Trial>, told: (bool, &str)) -> Cell<'a> {
    let (name, arm, machine, data, _) = key;
    let (several_data, settings) = told;
    let mut full = format!("{name}{settings}");
    if arm != name {
        full += &format!(" [{arm}]");
    }
    if file.machines.len() > 1 {
        full += &file
            .machines
            .get(machine as usize)
            .map(|m| format!(" on {}", m.class_id))
            .unwrap_or_default();
    }
    if several_data {
        full += &format!(" (data {})", data + 1);
    }
    Cell {
        name: full,
        summary: summary(name, arm, &trials),
        trials,
        data,
    }
}

/// What to call each data source; those that would be called the same are numbered.
fn names(file: &ResultFile, data: &[String]) -> Vec<String> {
    if let [_] = data {
        return vec![file.run.data.clone()];
    }
    let name = |spec: &String| {
        let (spec, each) = spec
            .strip_suffix(PER_BYTE)
            .map_or((spec.as_str(), ""), |spec| (spec, PER_BYTE));
        words(serde_json::from_str(spec).ok().as_ref(), &file.run.data) + each
    };
    let names: Vec<String> = data.iter().map(name).collect();
    let again = |name: &String| names.iter().filter(|other| *other == name).count() > 1;
    let numbered = |(k, name): (usize, &String)| {
        if again(name) {
            format!("{name} {}", k + 1)
        } else {
            name.clone()
        }
    };
    names.iter().enumerate().map(numbered).collect()
}
