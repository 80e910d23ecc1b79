//! One figure of a price file, what it may be, and who says so.

use serde::Serialize;

use crate::config::table::Table;
use crate::error::Result;

/// A figure and who says so.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figure {
    /// In the unit of its key.
    pub value: f64,
    /// A sentence, or the file and line where it stands without one.
    pub source: String,
    /// It is of the prices that ship, not of the user's file.
    pub by_default: bool,
}

/// What a figure may be, in words and as a test.
pub(super) type Law = (&'static str, fn(f64) -> bool);

pub(super) const ANY: Law = ("a number of at least 0", |v| v >= 0.0);
pub(super) const POSITIVE: Law = ("a number above 0", |v| v > 0.0);
pub(super) const PUE: Law = ("a number of at least 1", |v| v >= 1.0);
pub(super) const SHARE: Law = ("a share above 0 and up to 1", |v| v > 0.0 && v <= 1.0);

impl Figure {
    /// A number, or `{ value, source }`; a number's source is its place.
    pub(super) fn read(table: &Table, name: &str, law: Law) -> Result<Option<Self>> {
        let Some(inner) = table.inner(name) else {
            let source = table.origin(name).to_string();
            let value = table.number(name, law.0, law.1)?;
            return Ok(value.map(|value| Self {
                value,
                source,
                by_default: false,
            }));
        };
        inner.check(&["value", "source"])?;
        let value = inner.need("value", inner.number("value", law.0, law.1)?)?;
        let source = inner.need("source", inner.text("source")?)?;
        Ok(Some(Self {
            value,
            source,
            by_default: false,
        }))
    }

    /// The same where a user's file says nothing of it.
    pub(super) fn defaulted(&self) -> Self {
        Self {
            by_default: true,
            ..self.clone()
        }
    }
}

/// The file's own figure, else the default.
pub(super) fn over(own: Option<Figure>, default: Option<&Figure>) -> Option<Figure> {
    own.or_else(|| default.map(Figure::defaulted))
}
