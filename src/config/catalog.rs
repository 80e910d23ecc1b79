//! What every extension point is: a catalog, a table of kinds, each with a name and one sentence about itself, which obeys the
//! law of its catalog or [breaks](Broken) it.

use std::fmt;
use std::sync::Arc;

use crate::config::Knobs;
use crate::error::Result;

/// What every kind answers, whatever it is a kind of.
pub trait Named: Send + Sync {
    /// The word in `x.kind = "..."`.
    fn name(&self) -> &'static str;
    /// One sentence, with its source.
    fn about(&self) -> &'static str;
}

/// A table of kinds of one thing.
pub struct Catalog<K: ?Sized> {
    /// What these are, in the plural: `mixers`.
    pub what: &'static str,
    rows: Vec<Arc<K>>,
}

impl<K: ?Sized> Clone for Catalog<K> {
    fn clone(&self) -> Self {
        Self {
            what: self.what,
            rows: self.rows.clone(),
        }
    }
}

impl<K: Named + ?Sized> Catalog<K> {
    /// A catalog of `rows`.
    pub fn new(what: &'static str, rows: Vec<Arc<K>>) -> Self {
        Self { what, rows }
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

    /// The kind that `knobs` asks for by its knob `kind`, else the default; an unknown one is refused with a suggestion.
    pub fn pick(&self, knobs: &Knobs, default: &str) -> Result<Arc<K>> {
        let name = knobs.text("kind", default)?;
        self.find(&name).cloned().ok_or_else(|| {
            let known = self.rows.iter().map(|row| row.name());
            knobs
                .refuse("kind", &format!("not one of the {}", self.what))
                .suggest(&name, known)
        })
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
