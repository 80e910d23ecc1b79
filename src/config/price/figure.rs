//! One figure of a price file, what it may be, and who says so.

use serde::Serialize;
use serde_json::{Map, json};

use crate::config::field::object;
use crate::config::knob::{Declared, Facts, Knob, Number, Text};
use crate::config::table::Fields;
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

/// A declared figure: a number, or a table that also says who says so.
#[derive(Clone, Copy)]
pub(super) struct Cited(Knob<Number>);

impl Cited {
    /// A figure of at least 0 that may be left out.
    pub(super) const fn new(name: &'static str, about: &'static str) -> Self {
        Self(Knob::number(name, about).at_least(0.0).optional())
    }

    /// At least this.
    pub(super) const fn at_least(self, low: f64) -> Self {
        Self(self.0.at_least(low))
    }

    /// More than this.
    pub(super) const fn above(self, low: f64) -> Self {
        Self(self.0.above(low))
    }

    /// More than 0 and at most 1.
    pub(super) const fn share(self) -> Self {
        Self(self.0.within(0.0, 1.0).above(0.0))
    }

    /// What it is measured in.
    pub(super) const fn unit(self, unit: &'static str) -> Self {
        Self(self.0.unit(unit))
    }
}

const VALUE: Knob<Number> = Knob::number("value", "The figure.");
const SOURCE: Knob<Text> = Knob::text("source", "Who says so.");

impl Declared for Cited {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn facts(&self) -> Facts {
        let plain = self.0.facts();
        let mut cited = object(&[&VALUE, &SOURCE]);
        cited["properties"]["value"] = json!(plain.schema);
        let schema = json!([plain.schema, cited]);
        Facts {
            schema: Map::from_iter([("anyOf".to_owned(), schema)]),
            ..plain
        }
    }
}

impl Figure {
    /// A number, or `{ value, source }`; a number's source is its place.
    pub(super) fn read(fields: &Fields, knob: &Cited) -> Result<Option<Self>> {
        let Some(inner) = fields.inner(knob)? else {
            let source = fields.origin(knob).to_string();
            let value = fields.find(&knob.0)?;
            return Ok(value.map(|value| Self {
                value,
                source,
                by_default: false,
            }));
        };
        let inner = inner.fields(&[&VALUE, &SOURCE])?;
        let value = inner.find(&knob.0.named(VALUE.name()))?;
        Ok(Some(Self {
            value: inner.need(&VALUE, value)?,
            source: inner.read(&SOURCE)?,
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
