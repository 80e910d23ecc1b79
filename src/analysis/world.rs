//! Trials that may be compared: those that saw the same data through the same window. A loss on other data is another thing.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::record::{ResultFile, Status, Trial, metric};

/// Trials on the same data with the same context, sweeps left out.
#[derive(Debug, Clone, PartialEq)]
pub struct World<'a> {
    /// `synthetic language`, `tinyshakespeare.txt`.
    pub data: String,
    /// Whether the data are generated: what holds there need not hold on text.
    pub generated: bool,
    /// In the file's order.
    pub trials: Vec<&'a Trial>,
}

/// The worlds of a file, the one with the most trials first.
pub fn worlds(file: &ResultFile) -> Vec<World<'_>> {
    let mut found: Vec<([Option<&Value>; 2], Vec<&Trial>)> = Vec::new();
    for trial in file.trials.iter().filter(|trial| !trial.in_sweep()) {
        let key = ["/data", "/model/context"].map(|place| trial.spec.pointer(place));
        match found.iter_mut().find(|(known, _)| *known == key) {
            Some((_, trials)) => trials.push(trial),
            None => found.push((key, vec![trial])),
        }
    }
    found.sort_by_key(|(_, trials)| std::cmp::Reverse(trials.len()));
    let alone = found.len() == 1;
    found.into_iter().map(|(key, trials)| world(file, key[0], trials, alone)).collect()
}

fn world<'a>(file: &ResultFile, data: Option<&Value>, trials: Vec<&'a Trial>, alone: bool) -> World<'a> {
    World {
        data: if alone { file.run.data.clone() } else { words(data, &file.run.data) },
        generated: data.and_then(|data| data.get("kind")?.as_str()).is_some_and(|kind| kind != "text"),
        trials,
    }
}

/// What data are called where a file holds several.
fn words(data: Option<&Value>, otherwise: &str) -> String {
    let text = |key: &str| data.and_then(|data| data.get(key)?.as_str());
    match (text("kind"), text("preset"), text("path")) {
        (Some("text"), _, Some(path)) => path.rsplit('/').next().unwrap_or(path).to_owned(),
        (Some("language"), Some(preset), _) => format!("synthetic language ({preset})"),
        (Some(kind), _, _) => format!("data `{kind}`"),
        (None, ..) => otherwise.to_owned(),
    }
}

impl World<'_> {
    /// The variants that finished a trial, in the order in which they first stand.
    pub fn variants(&self) -> Vec<&str> {
        let mut seen = BTreeSet::new();
        let finished = self.trials.iter().filter(|trial| trial.status == Status::Ok);
        finished.map(|trial| trial.variant.as_str()).filter(|variant| seen.insert(*variant)).collect()
    }

    /// Excess loss where every finished trial has it, else validation loss.
    pub fn loss_metric(&self) -> &'static str {
        let mut finished = self.trials.iter().filter(|trial| trial.status == Status::Ok);
        let all = finished.all(|trial| trial.metric(metric::EXCESS_LOSS_NATS).is_some());
        if all { metric::EXCESS_LOSS_NATS } else { metric::VAL_LOSS_NATS }
    }
}
