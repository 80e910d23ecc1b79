//! What every extension point is: a catalog, a table of kinds, each with a name and one sentence about itself, which obeys the
//! law of its catalog or [breaks](Broken) it.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, json};

use super::holds::one_of;
use super::keys::{Key, Slot, add};
use super::knob::{Declarations, Facts};
use super::knobs::{Knobs, Spec};
use crate::error::{Error, Result};

/// What every kind answers, whatever it is a kind of.
pub trait Named: Send + Sync {
    /// The word in `x.kind = "..."`.
    fn name(&self) -> &'static str;
    /// One sentence, with its source.
    fn about(&self) -> &'static str;
    /// What kinds that have keys in common share, so that layers of one such kind take what is said of another: itself alone.
    fn family(&self) -> &'static str {
        self.name()
    }
    /// The keys that it reads below `x`; it can read no others.
    fn knobs(&self) -> Declarations {
        &[]
    }
}

/// A table of kinds of one thing.
pub struct Catalog<K: ?Sized> {
    /// What these are, in the plural: `mixers`.
    pub what: &'static str,
    /// The table whose `kind` chooses one; none where nobody chooses.
    slot: Option<Slot>,
    rows: Vec<Arc<K>>,
}

impl<K: ?Sized> Clone for Catalog<K> {
    fn clone(&self) -> Self {
        Self {
            what: self.what,
            slot: self.slot,
            rows: self.rows.clone(),
        }
    }
}

impl<K: Named + ?Sized> Catalog<K> {
    /// A catalog of `rows`, of which `slot` says where one is chosen.
    pub fn new(what: &'static str, slot: Option<Slot>, rows: Vec<Arc<K>>) -> Self {
        Self { what, slot, rows }
    }

    /// Adds a kind, or replaces the one of the same name.
    pub fn add(&mut self, kind: Arc<K>) {
        self.rows.retain(|row| row.name() != kind.name());
        self.rows.push(kind);
    }

    /// All kinds, in the table's order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<K>> {
        self.rows.iter()
    }

    /// The kind of that name.
    pub fn find(&self, name: &str) -> Option<&Arc<K>> {
        self.rows.iter().find(|row| row.name() == name)
    }

    /// The kind that a spec asks for, else the default, and a reader of its keys; an unknown one is refused with a suggestion.
    pub fn pick<'a>(&self, spec: &Spec<'a>) -> Result<(Arc<K>, Knobs<'a>)> {
        let slot = self.slot()?;
        let (kind, given) = self.kind(spec, slot)?;
        if !given {
            spec.write_kind(slot.path, kind.name());
        }
        let knobs = spec.open(vec![slot.path.to_owned()], kind.knobs());
        Ok((kind, knobs))
    }

    /// The same for a part that may differ from the others of its slot. `tables`, from far to near, may say so, each with the kind
    /// that it means where it names none; the reader takes keys from every table that means a kind of the same family. A settled
    /// spec keeps silent about the slot itself where `silent` and nobody chooses.
    pub fn pick_near<'a>(
        &self,
        spec: &Spec<'a>,
        tables: Vec<(String, Option<Arc<K>>)>,
        silent: bool,
    ) -> Result<(Arc<K>, Knobs<'a>)> {
        let slot = self.slot()?;
        let (mut kind, given) = self.kind(spec, slot)?;
        if !given && !silent {
            spec.write_kind(slot.path, kind.name());
        }
        let mut read = vec![(kind.family(), slot.path.to_owned())];
        for (table, meant) in tables {
            if let Some(own) = spec.kind_in(&table, self.what, &self.known())?.or(meant) {
                kind = own;
            }
            read.push((kind.family(), table));
        }
        let own = read.into_iter().rev();
        let own = own.filter(|(family, _)| *family == kind.family());
        let tables = own.map(|(_, table)| table).collect();
        let knobs = spec.open(tables, kind.knobs());
        Ok((kind, knobs))
    }

    fn slot(&self) -> Result<Slot> {
        self.slot
            .ok_or_else(|| Error::internal(format!("no key chooses among the {}", self.what)))
    }

    fn known(&self) -> Vec<(&'static str, Arc<K>)> {
        let rows = self.rows.iter();
        rows.map(|row| (row.name(), row.clone())).collect()
    }

    /// The kind that a slot has, and whether that was given.
    fn kind(&self, spec: &Spec, slot: Slot) -> Result<(Arc<K>, bool)> {
        let known = self.known();
        if let Some(kind) = spec.kind_in(slot.path, self.what, &known)? {
            return Ok((kind, true));
        }
        let default = self.find(slot.default).cloned();
        let missing = || {
            let name = slot.default;
            Error::internal(format!("`{name}` is not among the {}", self.what))
        };
        Ok((default.ok_or_else(missing)?, false))
    }

    /// The key that chooses a kind, and those of every kind.
    pub fn keys(&self) -> Vec<Key> {
        let Some(slot) = self.slot else {
            return Vec::new();
        };
        let key = |name: &str, kinds: Vec<&'static str>, facts: Facts| Key {
            key: format!("{}.{name}", slot.path),
            kinds,
            facts,
            table: slot.path,
        };
        let mut keys = vec![key("kind", Vec::new(), self.facts(slot))];
        for row in &self.rows {
            for knob in row.knobs() {
                add(&mut keys, key(knob.name(), vec![row.name()], knob.facts()));
            }
        }
        keys
    }

    /// What is said of the key that chooses a kind.
    fn facts(&self, slot: Slot) -> Facts {
        let names: Vec<&str> = self.rows.iter().map(|row| row.name()).collect();
        Facts {
            about: slot.about.to_owned(),
            holds: one_of(&names),
            unit: None,
            required: false,
            default: Some(slot.default.into()),
            default_rule: None,
            schema: Map::from_iter([("enum".to_owned(), json!(names))]),
        }
    }
}

/// A rule of its catalog's law that a kind does not keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The rule's name: `work is what is counted`.
    pub rule: &'static str,
    /// What the rule asks for.
    pub expected: String,
    /// What the kind did.
    pub found: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self {
            rule,
            expected,
            found,
        } = self;
        write!(f, "{rule}: expected {expected}, found {found}")
    }
}
