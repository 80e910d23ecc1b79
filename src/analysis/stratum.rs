//! Trials that may be compared: those that saw the same data through the same window. A loss on other data is another thing.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::axis::Spent;
use super::question::Unanswered;
use super::settings::{conflicts, facts};
use crate::config::Price;
use crate::record::{Build, Machine, ResultFile, Status, Trial, metric};
use crate::unit::{Count, Share};

/// Trials on the same data with the same context, sweeps left out.
#[derive(Debug, Clone)]
pub struct Stratum<'a> {
    /// `synthetic language`, `tinyshakespeare.txt`.
    pub data: String,
    /// Whether the data are generated: what holds there need not hold on text.
    pub generated: bool,
    /// In the file's order.
    pub trials: Vec<&'a Trial>,
    builds: &'a [Build],
    machines: &'a [Machine],
    price: Option<&'a Price>,
}

/// The worlds of a file, the one with the most trials first; `price` says what was spent in money and carbon.
pub fn strata<'a>(file: &'a ResultFile, price: Option<&'a Price>) -> Vec<Stratum<'a>> {
    let judged = || file.trials.iter().filter(|trial| !trial.in_sweep());
    let by_data = grouped(judged(), |trial| {
        let of = ["/data", "/model/context"].map(|place| trial.spec.pointer(place));
        (of, trial.is_per_byte())
    });
    let alone = by_data.len() == 1;
    // Said only where it tells two worlds apart.
    let units: BTreeSet<bool> = by_data.iter().map(|((_, bytes), _)| *bytes).collect();
    let unit = |per_byte: bool| match (units.len(), per_byte) {
        (2, true) => ", per byte",
        (2, false) => ", per token",
        _ => "",
    };
    let mut strata: Vec<Stratum> = Vec::new();
    for ((key, per_byte), trials) in by_data {
        let data = if alone {
            file.run.data.clone()
        } else {
            words(key[0], &file.run.data) + unit(per_byte)
        };
        let generated = key[0]
            .and_then(|data| data.get("kind")?.as_str())
            .is_some_and(|kind| kind != "text");
        // Cells of one name and different settings are different cells: they share no world.
        let differing: Vec<String> = conflicts(trials.iter().copied()).into_iter().collect();
        let setting = |trial: &Trial| -> Vec<Option<String>> {
            let facts = if differing.is_empty() {
                BTreeMap::new()
            } else {
                facts(trial)
            };
            differing
                .iter()
                .map(|key| facts.get(key).cloned())
                .collect()
        };
        for (values, trials) in grouped(trials.into_iter(), setting) {
            let said = differing
                .iter()
                .zip(&values)
                .map(|(key, value)| match value {
                    Some(value) => format!(", {key} = {value}"),
                    None => format!(", no {key}"),
                });
            let data = format!("{data}{}", said.collect::<String>());
            strata.push(Stratum {
                data,
                generated,
                trials,
                builds: &file.builds,
                machines: &file.machines,
                price,
            });
        }
    }
    strata.sort_by_key(|stratum| std::cmp::Reverse(stratum.trials.len()));
    strata
}

/// Trials by what they have in common, in the order in which that is first seen.
fn grouped<'a, K: PartialEq>(
    trials: impl Iterator<Item = &'a Trial>,
    key: impl Fn(&'a Trial) -> K,
) -> Vec<(K, Vec<&'a Trial>)> {
    let mut found: Vec<(K, Vec<&Trial>)> = Vec::new();
    for trial in trials {
        let key = key(trial);
        match found.iter_mut().find(|(known, _)| *known == key) {
            Some((_, trials)) => trials.push(trial),
            None => found.push((key, vec![trial])),
        }
    }
    found
}

/// What data are called where a file holds several.
pub fn words(data: Option<&Value>, otherwise: &str) -> String {
    let text = |key: &str| data.and_then(|data| data.get(key)?.as_str());
    let number = |key: &str| data.and_then(|data| data.get(key)?.as_f64());
    let named = match (text("kind"), text("preset"), text("path")) {
        (Some("text"), _, Some(path)) => path.rsplit('/').next().unwrap_or(path).to_owned(),
        (Some("language"), Some(preset), _) => match number("changed").map(Share) {
            Some(changed) => format!("synthetic language ({preset}, {changed} changed)"),
            None => format!("synthetic language ({preset})"),
        },
        (Some(kind), _, _) => format!("data `{kind}`"),
        (None, ..) => otherwise.to_owned(),
    };
    match number("unique_tokens").map(Count) {
        Some(unique) => format!("{unique} tokens of {named}, over and over"),
        None => named,
    }
}

impl<'a> Stratum<'a> {
    /// The same with some of its trials.
    pub(super) fn where_trial(&self, keep: impl Fn(&Trial) -> bool) -> Self {
        let mut some = self.clone();
        some.trials.retain(|trial| keep(trial));
        some
    }

    /// The variants that finished a trial, in the order in which they first stand.
    pub fn variants(&self) -> Vec<&'a str> {
        let mut seen = BTreeSet::new();
        let finished = self
            .trials
            .iter()
            .filter(|trial| trial.status == Status::Ok);
        finished
            .map(|trial| trial.variant.as_str())
            .filter(|variant| seen.insert(*variant))
            .collect()
    }

    /// What one of its trials spent.
    pub fn spent(&self, trial: &Trial) -> Spent {
        let machine = usize::try_from(trial.machine)
            .ok()
            .and_then(|place| self.machines.get(place));
        machine.map_or_else(Spent::default, |machine| {
            Spent::of(trial, machine, self.price)
        })
    }

    /// Whether each cell among `trials` ran in one build only: a build is part of what was tried, and averages over builds are of
    /// nothing in particular.
    pub fn of_one_kind(&self, trials: &[&Trial]) -> Result<(), Unanswered> {
        let mut seen: BTreeMap<(&str, &str, Option<u64>), BTreeSet<String>> = BTreeMap::new();
        for trial in trials.iter().filter(|trial| trial.status == Status::Ok) {
            let build = usize::try_from(trial.build)
                .ok()
                .and_then(|place| self.builds.get(place))
                .map(name_of);
            let builds = seen
                .entry((&trial.variant, &trial.scale, trial.budget))
                .or_default();
            builds.insert(build.unwrap_or_default());
            if builds.len() > 1 {
                let builds = std::mem::take(builds).into_iter().collect();
                return Err(Unanswered::SeveralBuilds {
                    cell: trial.cell.clone(),
                    builds,
                });
            }
        }
        Ok(())
    }

    /// Excess loss where every finished trial has it, else validation loss.
    pub fn loss_metric(&self) -> &'static str {
        let mut finished = self
            .trials
            .iter()
            .filter(|trial| trial.status == Status::Ok);
        let all = finished.all(|trial| trial.metric(metric::EXCESS_LOSS_NATS).is_some());
        if all {
            metric::EXCESS_LOSS_NATS
        } else {
            metric::VAL_LOSS_NATS
        }
    }
}

/// What tells a build from others: its version and commit, and the program file where those do not.
fn name_of(build: &Build) -> String {
    let clean = build.commit.as_ref().filter(|_| build.dirty == Some(false));
    let told = clean
        .or(build.executable_id.as_ref())
        .or(build.commit.as_ref());
    told.map_or_else(
        || build.version.clone(),
        |told| format!("{} {told}", build.version),
    )
}
