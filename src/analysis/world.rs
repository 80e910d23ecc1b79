//! Trials that may be compared: those that saw the same data through the same window. A loss on other data is another thing.

use std::collections::BTreeSet;

use serde_json::Value;

use super::axis::Spent;
use crate::record::{Machine, ResultFile, Status, Trial, metric};
use crate::spec::Price;

/// Trials on the same data with the same context, sweeps left out.
#[derive(Debug, Clone)]
pub struct World<'a> {
    /// `synthetic language`, `tinyshakespeare.txt`.
    pub data: String,
    /// Whether the data are generated: what holds there need not hold on text.
    pub generated: bool,
    /// In the file's order.
    pub trials: Vec<&'a Trial>,
    machines: &'a [Machine],
    price: Option<&'a Price>,
}

/// The worlds of a file, the one with the most trials first; `price` says what was spent in money and carbon.
pub fn worlds<'a>(file: &'a ResultFile, price: Option<&'a Price>) -> Vec<World<'a>> {
    let mut found: Vec<([Option<&Value>; 2], Vec<&'a Trial>)> = Vec::new();
    for trial in file.trials.iter().filter(|trial| !trial.in_sweep()) {
        let key = ["/data", "/model/context"].map(|place| trial.spec.pointer(place));
        match found.iter_mut().find(|(known, _)| *known == key) {
            Some((_, trials)) => trials.push(trial),
            None => found.push((key, vec![trial])),
        }
    }
    found.sort_by_key(|(_, trials)| std::cmp::Reverse(trials.len()));
    let alone = found.len() == 1;
    let world = |(key, trials): ([Option<&Value>; 2], _)| {
        let data = key[0];
        World {
            data: if alone { file.run.data.clone() } else { words(data, &file.run.data) },
            generated: data.and_then(|data| data.get("kind")?.as_str()).is_some_and(|kind| kind != "text"),
            trials,
            machines: &file.machines,
            price,
        }
    };
    found.into_iter().map(world).collect()
}

/// What data are called where a file holds several.
pub fn words(data: Option<&Value>, otherwise: &str) -> String {
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

    /// What one of its trials spent.
    pub fn spent(&self, trial: &Trial) -> Spent {
        let machine = usize::try_from(trial.machine).ok().and_then(|place| self.machines.get(place));
        machine.map_or_else(Spent::default, |machine| Spent::of(trial, machine, self.price))
    }

    /// Excess loss where every finished trial has it, else validation loss.
    pub fn loss_metric(&self) -> &'static str {
        let mut finished = self.trials.iter().filter(|trial| trial.status == Status::Ok);
        let all = finished.all(|trial| trial.metric(metric::EXCESS_LOSS_NATS).is_some());
        if all { metric::EXCESS_LOSS_NATS } else { metric::VAL_LOSS_NATS }
    }
}
