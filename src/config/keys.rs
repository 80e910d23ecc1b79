//! Where declared keys stand in a spec, and what is said to who writes one that is none.

use serde::Serialize;

use super::holds::one_of;
use super::knob::{Declarations, Facts};
use super::tree::Entry;
use crate::error::{Error, near};

/// A table of a spec and the keys that every spec has in it.
#[derive(Clone, Copy)]
pub struct Section {
    /// Where it stands: `model.head`.
    pub path: &'static str,
    /// Its keys.
    pub knobs: Declarations,
}

/// A table of a spec whose keys depend on its `kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// Where it stands: `model.mixer`.
    pub path: &'static str,
    /// The kind where nobody chooses one.
    pub default: &'static str,
    /// What the kind decides, in one sentence.
    pub about: &'static str,
}

/// One key of a spec, as it is listed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Key {
    /// In full: `train.optimizer.lr`.
    pub key: String,
    /// Those kinds of its table that have it; none where every spec has it.
    pub kinds: Vec<&'static str>,
    /// What is said of it.
    #[serde(flatten)]
    pub facts: Facts,
    /// The table whose kind or section declares it.
    #[serde(skip)]
    pub table: &'static str,
}

impl Section {
    /// Its keys, as they are listed.
    pub fn keys(&self) -> impl Iterator<Item = Key> {
        self.knobs.iter().map(|knob| Key {
            key: format!("{}.{}", self.path, knob.name()),
            kinds: Vec::new(),
            facts: knob.facts(),
            table: self.path,
        })
    }
}

/// Puts a kind's key among those of the kinds before it: one of which all the same is said is listed once.
pub(super) fn add(keys: &mut Vec<Key>, key: Key) {
    let same = |other: &&mut Key| other.key == key.key && other.facts == key.facts;
    match keys.iter_mut().find(same) {
        Some(other) => other.kinds.extend(key.kinds),
        None => keys.push(key),
    }
}

/// Refuses a key that nothing reads; `kind_of` is the kind chosen for a table that has one.
pub(super) fn refuse(
    key: &str,
    entry: &Entry,
    known: &[Key],
    kind_of: impl Fn(&str) -> Option<String>,
) -> Error {
    let origin = &entry.origin;
    let chosen = |known: &&Key| {
        known.kinds.is_empty()
            || kind_of(known.table).is_some_and(|kind| known.kinds.contains(&kind.as_str()))
    };
    let named: Vec<&Key> = known.iter().filter(|known| known.key == key).collect();
    if let Some(idle) = named.iter().copied().find(chosen) {
        return Error::input(format!(
            "{origin}: {key} has no effect beside the other keys"
        ))
        .hint(idle.facts.about.clone());
    }
    if let Some(table) = named.first().map(|known| known.table) {
        let kinds: Vec<&str> = named.iter().flat_map(|key| &key.kinds).copied().collect();
        let kind = kind_of(table).unwrap_or_default();
        let message = format!("{origin}: {key} is no key of {table}.kind = \"{kind}\"");
        return Error::input(message).hint(format!("it is a key of kind {}", one_of(&kinds)));
    }
    let error = Error::input(format!("{origin}: unknown key `{key}`"));
    let keys: Vec<&str> = known
        .iter()
        .filter(chosen)
        .map(|known| known.key.as_str())
        .collect();
    let below = |known: &&Key| {
        known
            .key
            .strip_prefix(key)
            .is_some_and(|rest| rest.starts_with('.'))
    };
    if let Some(inner) = known.iter().find(below) {
        return error.hint(format!(
            "`{key}` is a table of keys, such as `{}`",
            inner.key
        ));
    }
    if key.rsplit('.').next() == Some("seed") {
        let hint = "repeats set the seeds, so that variants share them: `--repeats N`, from the `first_seed` of a suite's file";
        return error.hint(hint);
    }
    match suggestion(key, &keys) {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

fn table_of(key: &str) -> Option<&str> {
    key.rsplit_once('.').map(|(table, _)| table)
}

/// What may have been meant, and what else the table has, the nearest first.
fn suggestion(key: &str, keys: &[&str]) -> Option<String> {
    let leaf = |key: &str| key.rsplit('.').next().map(str::to_owned);
    // `train.lr` means `train.optimizer.lr`: a leaf that stands elsewhere is a better guess than a near spelling.
    let elsewhere: Vec<&&str> = keys.iter().filter(|k| leaf(k) == leaf(key)).collect();
    let meant = match elsewhere.as_slice() {
        [only] => Some(**only),
        _ => None,
    };
    let mut table = table_of(key).unwrap_or_default();
    let mut found = names(table, keys);
    while found.is_empty() && !table.is_empty() {
        table = table_of(table).unwrap_or_default();
        found = names(table, keys);
    }
    let asked = key
        .strip_prefix(table)
        .unwrap_or(key)
        .trim_start_matches('.');
    let near_here = near(asked, found.iter().copied());
    let alike = |name: &str| strsim::jaro_winkler(asked, name);
    let nearest = |a: &&&str, b: &&&str| alike(a).total_cmp(&alike(b));
    let alike_at_all = found.iter().filter(|name| alike(name) > 0.5);
    if let Some(nearest) = alike_at_all.max_by(nearest).copied() {
        found.retain(|name| *name != nearest);
        found.insert(0, nearest);
    }
    let meant = meant.map(str::to_owned).or_else(|| {
        near_here.map(|name| {
            if table.is_empty() {
                name.to_owned()
            } else {
                format!("{table}.{name}")
            }
        })
    });
    if found.is_empty() {
        return meant.map(|meant| format!("did you mean `{meant}`?"));
    }
    let place = if table.is_empty() {
        "a spec has the tables".to_owned()
    } else {
        format!("`{table}` has")
    };
    let has = format!("{place}: {}", found.join(", "));
    Some(match meant {
        Some(meant) => format!("did you mean `{meant}`? {has}"),
        None => has,
    })
}

/// The keys and tables that stand right in a table, without what stands below those; in the order of `keys`.
fn names<'a>(table: &str, keys: &[&'a str]) -> Vec<&'a str> {
    let mut found = Vec::new();
    for key in keys {
        let below = if table.is_empty() {
            Some(*key)
        } else {
            key.strip_prefix(table)
                .and_then(|rest| rest.strip_prefix('.'))
        };
        let name = below.and_then(|below| below.split('.').next());
        found.extend(name.filter(|name| !found.contains(name)));
    }
    found
}
