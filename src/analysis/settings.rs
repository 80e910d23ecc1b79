//! What a trial was, by its settled spec: the settings that make an algorithm, key by key. The name of a cell is for people.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::record::{Trial, identity};

/// Settings by key: `model.position.kind`.
pub type Settings = BTreeMap<String, Value>;

/// Model and training settings that make an algorithm; not how long it learns and how fast, which are chosen for it.
pub fn settings(trial: &Trial) -> Settings {
    let mut flat = BTreeMap::new();
    for table in ["model", "train"] {
        trial
            .spec
            .get(table)
            .into_iter()
            .for_each(|value| flatten(table, value, &mut flat));
    }
    let dial = |key: &str| {
        let length = trial.budget.is_some()
            && ["train.steps", "train.tokens", "train.tokens_per_param"].contains(&key);
        length || key == "train.optimizer.lr"
    };
    flat.retain(|key, _| !dial(key));
    flat
}

fn flatten(key: &str, value: &Value, into: &mut Settings) {
    match value {
        Value::Object(table) => table
            .iter()
            .for_each(|(name, value)| flatten(&format!("{key}.{name}"), value, into)),
        value => drop(into.insert(key.to_owned(), value.clone())),
    }
}

/// What makes a trial's cell beside its data, by key; not how long it learns where its budget says so.
pub fn facts(trial: &Trial) -> BTreeMap<String, String> {
    let length = ["train.steps", "train.tokens", "train.tokens_per_param"];
    let mut facts = identity::facts(trial);
    facts.retain(|key, _| {
        let of_algorithm = key.starts_with("model.") || key.starts_with("train.");
        of_algorithm && !(trial.budget.is_some() && length.contains(&key.as_str()))
    });
    facts
}

/// The keys in which trials of one cell differ although they have one name.
pub fn conflicts<'a>(trials: impl Iterator<Item = &'a Trial>) -> BTreeSet<String> {
    let mut cells: BTreeMap<(&str, &str, Option<u64>), (&str, BTreeMap<String, String>)> =
        BTreeMap::new();
    let mut found = BTreeSet::new();
    for trial in trials {
        let key = (trial.variant.as_str(), trial.scale.as_str(), trial.budget);
        let Some((known, first)) = cells.get(&key) else {
            cells.insert(key, (&trial.spec_sha256, facts(trial)));
            continue;
        };
        if *known != trial.spec_sha256 {
            let other = facts(trial);
            let keys = first.keys().chain(other.keys());
            found.extend(
                keys.filter(|key| first.get(*key) != other.get(*key))
                    .cloned(),
            );
        }
    }
    found
}
