//! What a field of a file holds that is itself a table: declared like a key, with the fields inside.

use serde_json::{Map, Value, json};

use super::knob::{Declarations, Declared, Facts};

/// A declared table of a file.
#[derive(Clone, Copy)]
pub struct Inner {
    name: &'static str,
    about: &'static str,
    holds: Kind,
    required: bool,
}

#[derive(Clone, Copy)]
enum Kind {
    Table(Declarations),
    Rows(Declarations),
    Spec,
    Specs,
}

impl Inner {
    /// A table with these fields.
    pub const fn table(name: &'static str, about: &'static str, fields: Declarations) -> Self {
        Self::new(name, about, Kind::Table(fields))
    }

    /// Rows of tables with these fields.
    pub const fn rows(name: &'static str, about: &'static str, fields: Declarations) -> Self {
        Self::new(name, about, Kind::Rows(fields))
    }

    /// A table of spec keys.
    pub const fn spec(name: &'static str, about: &'static str) -> Self {
        Self::new(name, about, Kind::Spec)
    }

    /// Tables of spec keys by names of one's own.
    pub const fn specs(name: &'static str, about: &'static str) -> Self {
        Self::new(name, about, Kind::Specs)
    }

    const fn new(name: &'static str, about: &'static str, holds: Kind) -> Self {
        Self {
            name,
            about,
            holds,
            required: false,
        }
    }

    /// It must be there.
    #[must_use]
    pub const fn required(self) -> Self {
        let required = true;
        Self { required, ..self }
    }
}

impl Declared for Inner {
    fn name(&self) -> &'static str {
        self.name
    }

    fn facts(&self) -> Facts {
        let spec = || json!({"$ref": SPEC});
        let (holds, schema) = match self.holds {
            Kind::Table(fields) => ("a table", object(fields)),
            Kind::Rows(fields) => {
                let rows = json!({"type": "array", "minItems": 1, "items": object(fields)});
                ("rows", as_map(rows))
            }
            Kind::Spec => ("spec keys", as_map(spec())),
            Kind::Specs => {
                let named = json!({"type": "object", "additionalProperties": spec()});
                ("tables of spec keys", as_map(named))
            }
        };
        Facts {
            about: self.about.to_owned(),
            holds: holds.to_owned(),
            unit: None,
            required: self.required,
            default: None,
            default_rule: None,
            schema,
        }
    }
}

/// Where a JSON Schema of a file has that of a spec.
pub(super) const SPEC: &str = "#/$defs/spec";

/// A table of exactly these fields, as a JSON Schema.
pub(super) fn object(fields: Declarations) -> Map<String, Value> {
    let described = |field: &&dyn Declared| (field.name().to_owned(), described(&field.facts()));
    let properties: Map<String, Value> = fields.iter().map(described).collect();
    let required: Vec<&str> = fields
        .iter()
        .filter(|field| field.facts().required)
        .map(|field| field.name())
        .collect();
    as_map(json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    }))
}

/// What a key may hold, with what is said of it, as a JSON Schema.
pub(super) fn described(facts: &Facts) -> Value {
    let unit = facts.unit.map(|unit| format!(" Unit: {unit}."));
    let rule = facts.default_rule.map(|rule| format!(" Default: {rule}."));
    let said = [unit, rule].into_iter().flatten().collect::<String>();
    let description = json!(format!("{}{said}", facts.about));
    let mut schema = Map::from_iter([("description".to_owned(), description)]);
    schema.extend(facts.schema.clone());
    schema.extend(
        facts
            .default
            .clone()
            .map(|value| ("default".to_owned(), value)),
    );
    Value::Object(schema)
}

fn as_map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
