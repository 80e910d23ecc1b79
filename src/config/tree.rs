//! A spec before it is settled: dotted keys, raw values, and where each was written.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use crate::error::{Error, Result};

/// How long to train: exactly one of these is given, and a higher layer's choice replaces a lower one's.
pub const BUDGETS: [&str; 3] = ["train.steps", "train.tokens", "train.tokens_per_param"];

/// Where a value was written, for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// A file's name, `--set`, or `settled spec`.
    pub file: Arc<str>,
    /// 1-based; 0 where lines mean nothing.
    pub line: usize,
}

impl Origin {
    /// An origin without lines, such as `--set`.
    pub fn named(file: &str) -> Self {
        Self {
            file: file.into(),
            line: 0,
        }
    }

    /// Puts the place before a message that does not know it.
    pub fn blame(&self, error: Error) -> Error {
        Error {
            message: format!("{self}: {}", error.message),
            ..error
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            write!(f, "{}", self.file)
        } else {
            write!(f, "{}:{}", self.file, self.line)
        }
    }
}

/// A raw value and where it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Number, string, boolean or array of such.
    pub value: Value,
    /// For messages.
    pub origin: Origin,
}

/// Keys of a slot that every kind in it has: another kind keeps them.
const OF_SLOTS: [&str; 1] = ["model.norm.place"];

/// Dotted keys (`model.mixer.kind`) and their raw values.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tree {
    entries: BTreeMap<String, Entry>,
}

impl Tree {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// Whether both hold the same values, wherever they were written.
    pub fn same_values(&self, other: &Tree) -> bool {
        self.entries.len() == other.entries.len()
            && self
                .iter()
                .zip(other.iter())
                .all(|((a, x), (b, y))| a == b && x.value == y.value)
    }

    /// All keys in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().map(|(k, e)| (k.as_str(), e))
    }

    /// Sets one key over what is here. Giving `x.kind` another value than it had drops what stood below `x` (the old
    /// kind's knobs); giving one of the training budget's keys drops the others.
    pub fn set(&mut self, key: &str, value: Value, origin: Origin) {
        self.displace(key, &value);
        self.insert(key, value, origin);
    }

    /// Writes one key beside the others of the same layer: nothing is dropped.
    pub fn insert(&mut self, key: &str, value: Value, origin: Origin) {
        self.entries.insert(key.to_owned(), Entry { value, origin });
    }

    /// Takes a key away.
    pub fn remove(&mut self, key: &str) {
        self.entries.remove(key);
    }

    /// Lays `upper` over this tree. What its keys displace goes first, so that a new kind keeps its own knobs, and two
    /// rival keys in one layer stay both, to be refused.
    pub fn overlay(&mut self, upper: &Tree) {
        for (key, entry) in upper.iter() {
            self.displace(key, &entry.value);
        }
        self.entries.extend(upper.entries.clone());
    }

    fn displace(&mut self, key: &str, value: &Value) {
        if let Some(slot) = key.strip_suffix("kind")
            && slot.ends_with('.')
            && self.entries.get(key).is_some_and(|old| old.value != *value)
        {
            self.entries
                .retain(|k, _| !k.starts_with(slot) || OF_SLOTS.contains(&k.as_str()));
        }
        if BUDGETS.contains(&key) {
            self.entries
                .retain(|k, _| k == key || !BUDGETS.contains(&k.as_str()));
        }
    }

    /// Flattens a JSON object into dotted keys; `null` leaves are skipped.
    pub fn from_json(value: &Value, origin: &Origin) -> Result<Self> {
        let mut tree = Self::default();
        flatten("", value, origin, &mut tree)?;
        Ok(tree)
    }
}

fn flatten(prefix: &str, value: &Value, origin: &Origin, tree: &mut Tree) -> Result<()> {
    let Value::Object(map) = value else {
        return Err(Error::input(format!(
            "{origin}: expected a table at `{prefix}`, found {value}"
        )));
    };
    for (name, value) in map {
        let key = if prefix.is_empty() {
            name.clone()
        } else {
            format!("{prefix}.{name}")
        };
        match value {
            Value::Object(_) => flatten(&key, value, origin, tree)?,
            Value::Null => {}
            _ => {
                tree.entries.insert(
                    key,
                    Entry {
                        value: value.clone(),
                        origin: origin.clone(),
                    },
                );
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_new_kind_drops_the_old_kinds_knobs() {
        let file = Origin::named("base");
        let mut tree = Tree::from_json(
            &json!({"train": {"optimizer": {"kind": "adamw", "beta2": 0.99}, "batch": 4}}),
            &file,
        )
        .unwrap();
        let upper = Tree::from_json(
            &json!({"train": {"optimizer": {"kind": "muon", "lr": 0.1}}}),
            &Origin::named("v"),
        )
        .unwrap();
        tree.overlay(&upper);
        let keys: Vec<&str> = tree.iter().map(|(k, _)| k).collect();
        assert_eq!(
            keys,
            ["train.batch", "train.optimizer.kind", "train.optimizer.lr"]
        );
    }

    #[test]
    fn a_budget_of_a_higher_layer_replaces_a_lower_one_but_two_in_one_layer_stay() {
        let layer =
            |value| Tree::from_json(&json!({"train": value}), &Origin::named("layer")).unwrap();
        let keys = |tree: &Tree| tree.iter().map(|(k, _)| k.to_owned()).collect::<Vec<_>>();
        let mut tree = layer(json!({"steps": 800, "batch": 4}));
        tree.overlay(&layer(json!({"tokens": 1000})));
        assert_eq!(keys(&tree), ["train.batch", "train.tokens"]);
        let mut tree = layer(json!({"steps": 800}));
        tree.overlay(&layer(json!({"tokens": 1000, "steps": 5})));
        assert_eq!(keys(&tree), ["train.steps", "train.tokens"]);
    }
}
