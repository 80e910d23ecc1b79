//! What a trial was, by its settled spec: the settings that make an algorithm, key by key. The name of a cell is for people.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::record::Trial;

/// Settings by key: `model.position.kind`.
pub type Settings = BTreeMap<String, Value>;

/// Model and training settings that make an algorithm; not how long it learns and how fast, which are chosen for it.
pub fn settings(trial: &Trial) -> Settings {
    let mut flat = BTreeMap::new();
    for table in ["model", "train"] {
        trial.spec.get(table).into_iter().for_each(|value| flatten(table, value, &mut flat));
    }
    let dial = |key: &str| {
        let length = trial.budget.is_some() && ["train.steps", "train.tokens", "train.tokens_per_param"].contains(&key);
        length || key == "train.optimizer.lr"
    };
    flat.retain(|key, _| !dial(key));
    flat
}

fn flatten(key: &str, value: &Value, into: &mut Settings) {
    match value {
        Value::Object(table) => table.iter().for_each(|(name, value)| flatten(&format!("{key}.{name}"), value, into)),
        value => drop(into.insert(key.to_owned(), value.clone())),
    }
}

/// The keys in which trials of one cell differ although they have one name, each with what is found there.
pub fn conflicts<'a>(trials: impl Iterator<Item = &'a Trial>) -> BTreeMap<String, Vec<Value>> {
    let mut cells: BTreeMap<(&str, &str, Option<u64>), (&str, Settings)> = BTreeMap::new();
    let mut found: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for trial in trials {
        let key = (trial.variant.as_str(), trial.scale.as_str(), trial.budget);
        let Some((known, first)) = cells.get(&key) else {
            cells.insert(key, (&trial.spec_sha256, settings(trial)));
            continue;
        };
        if *known == trial.spec_sha256 {
            continue;
        }
        let other = settings(trial);
        for key in first.keys().chain(other.keys()).filter(|key| first.get(*key) != other.get(*key)) {
            let values = found.entry(key.clone()).or_default();
            for value in [first.get(key), other.get(key)].map(|value| value.cloned().unwrap_or(Value::Null)) {
                if !values.contains(&value) {
                    values.push(value);
                }
            }
        }
    }
    found
}
