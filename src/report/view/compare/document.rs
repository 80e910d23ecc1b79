//! A comparison as one JSON document, `effbench.compare/1`: the findings, opened by their sentence; and its JSON Schema.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Serialize;
use serde_json::Value;

use super::sentence;
use crate::analysis::compare::Comparison;

/// What `--format json` prints.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(title = "effbench comparison")]
pub struct Document<'a> {
    /// The answer, to be repeated to somebody who has not seen the rest.
    pub sentence: String,
    /// Everything else.
    #[serde(flatten)]
    pub found: &'a Comparison,
}

impl<'a> Document<'a> {
    /// Of a comparison.
    pub fn of(found: &'a Comparison) -> Self {
        Self {
            sentence: sentence(found),
            found,
        }
    }
}

/// The JSON Schema of [`Document`] as it is written: what is not known is there and null.
pub fn json_schema() -> Value {
    let generator = SchemaSettings::draft2020_12()
        .for_serialize()
        .into_generator();
    generator.into_root_schema_for::<Document>().to_value()
}
