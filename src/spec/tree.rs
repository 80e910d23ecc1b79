//! A spec before it is settled: dotted keys, raw values, and where each was written.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use crate::error::{Error, Result};

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
        Self { file: file.into(), line: 0 }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 { write!(f, "{}", self.file) } else { write!(f, "{}:{}", self.file, self.line) }
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

    /// All keys in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().map(|(k, e)| (k.as_str(), e))
    }

    /// Sets one key. Giving `x.kind` another value than it had drops what stood below `x`: those were the old kind's knobs.
    pub fn set(&mut self, key: &str, value: Value, origin: Origin) {
        if let Some(slot) = key.strip_suffix("kind")
            && slot.ends_with('.')
            && self.entries.get(key).is_some_and(|old| old.value != value)
        {
            self.entries.retain(|k, _| !k.starts_with(slot));
        }
        self.entries.insert(key.to_owned(), Entry { value, origin });
    }

    /// Lays `upper` over this tree: kinds first, so that a new kind drops the old kind's knobs and keeps its own.
    pub fn overlay(&mut self, upper: &Tree) {
        let (kinds, rest): (Vec<_>, Vec<_>) = upper.iter().partition(|(k, _)| k.ends_with(".kind"));
        for (key, entry) in kinds.into_iter().chain(rest) {
            self.set(key, entry.value.clone(), entry.origin.clone());
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
        return Err(Error::input(format!("{origin}: expected a table at `{prefix}`, found {value}")));
    };
    for (name, value) in map {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        match value {
            Value::Object(_) => flatten(&key, value, origin, tree)?,
            Value::Null => {}
            _ => {
                tree.entries.insert(key, Entry { value: value.clone(), origin: origin.clone() });
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
        let mut tree =
            Tree::from_json(&json!({"train": {"optimizer": {"kind": "adamw", "beta2": 0.99}, "batch": 4}}), &file)
                .unwrap();
        let upper = Tree::from_json(&json!({"train": {"optimizer": {"kind": "muon", "lr": 0.1}}}), &Origin::named("v"))
            .unwrap();
        tree.overlay(&upper);
        let keys: Vec<&str> = tree.iter().map(|(k, _)| k).collect();
        assert_eq!(keys, ["train.batch", "train.optimizer.kind", "train.optimizer.lr"]);
    }
}
