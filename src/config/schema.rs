//! JSON Schemas of the files that describe runs, so that an editor completes and checks them. They are made of what is declared
//! where it is read, and say no more than that.

use serde_json::{Map, Value, json};

use super::field::{SPEC, described, object};
use super::keys::Key;
use super::knob::Declarations;
use super::table::SPEC_TABLES;
use super::{change, library, price, suite, variant};

/// A kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum File {
    /// `models/variants/*.toml`
    Variant,
    /// `models/changes/*.toml`
    Change,
    /// `models/suites/*.toml`
    Suite,
    /// `models/prices/*.toml`
    Price,
    /// `models/rates/*.toml`
    Rates,
}

impl File {
    fn title(self) -> &'static str {
        match self {
            File::Variant => "A variant of effbench: an algorithm, as a difference from another",
            File::Change => "A change of effbench: one difference that any variant can take",
            File::Suite => "A suite of effbench: what `effbench run` runs",
            File::Price => "Prices of effbench: what an hour and a kilowatt-hour cost",
            File::Rates => "Learning rates of effbench, as sweeps chose them",
        }
    }

    fn fields(self) -> Declarations {
        match self {
            File::Variant => variant::FIELDS,
            File::Change => change::FIELDS,
            File::Suite => suite::fields::FIELDS,
            File::Price => price::fields::FIELDS,
            File::Rates => library::RATES_FIELDS,
        }
    }

    /// Whether it holds spec keys at its top, beside its own fields.
    fn is_a_spec(self) -> bool {
        matches!(self, File::Variant | File::Change)
    }
}

/// The JSON Schema of a kind of file, given every key that a spec can have.
pub fn schema(of: File, keys: &[Key]) -> Value {
    let mut schema = Map::from_iter([
        (
            "$schema".to_owned(),
            json!("https://json-schema.org/draft/2020-12/schema"),
        ),
        ("title".to_owned(), json!(of.title())),
    ]);
    schema.extend(object(of.fields()));
    if of.is_a_spec()
        && let Some(Value::Object(properties)) = schema.get_mut("properties")
    {
        let table = |name: &str| json!({"$ref": format!("{SPEC}/properties/{name}")});
        properties.extend(SPEC_TABLES.map(|name| (name.to_owned(), table(name))));
    }
    let holds_spec = matches!(of, File::Variant | File::Change | File::Suite);
    schema.extend(holds_spec.then(|| ("$defs".to_owned(), json!({"spec": spec(keys)}))));
    Value::Object(schema)
}

/// A table of spec keys: each in its place, and none of another kind than the one that stands beside it.
fn spec(keys: &[Key]) -> Value {
    let mut root = table();
    for key in keys {
        add(&mut root, &key.key, key);
    }
    // Tables of a spec's own names, which say what differs in a layer, hold what the model's own do.
    if let Some(Value::Object(model)) = root.pointer_mut("/properties/model/properties") {
        let about = "What differs in layers, by a word of the pattern or by a layer's number.";
        let layers = json!({"type": "object", "description": about});
        model.insert("layer".to_owned(), layers);
    }
    let mut slots: Vec<&str> = keys.iter().map(|key| key.table).collect();
    slots.dedup();
    for slot in slots {
        let rules = rules(slot, keys);
        let at = format!("/properties/{}", slot.replace('.', "/properties/"));
        if let Some(Value::Object(table)) = root.pointer_mut(&at).filter(|_| !rules.is_empty()) {
            table.insert("allOf".to_owned(), json!(rules));
        }
    }
    // What is mixed into the data is described as they are.
    let data = root.pointer("/properties/data").cloned();
    let mixed = root.pointer_mut("/properties/mixed/properties");
    if let (Some(data), Some(Value::Object(mixed))) = (data, mixed) {
        mixed.insert("data".to_owned(), data);
    }
    root
}

fn table() -> Value {
    json!({"type": "object", "properties": {}, "additionalProperties": false})
}

/// Puts what a key may hold at its path below a table; two kinds may each have a key of one name.
fn add(within: &mut Value, path: &str, key: &Key) {
    let Value::Object(properties) = &mut within["properties"] else {
        return;
    };
    if let Some((name, rest)) = path.split_once('.') {
        return add(properties.entry(name).or_insert_with(table), rest, key);
    }
    let new = described(&key.facts);
    let same_value = |a: &Value, b: &Value| {
        let bare = |schema: &Value| {
            let mut schema = schema.as_object().cloned().unwrap_or_default();
            for said in ["description", "default"] {
                schema.remove(said);
            }
            schema
        };
        bare(a) == bare(b)
    };
    match properties.get_mut(path) {
        None => _ = properties.insert(path.to_owned(), new),
        // Kinds differ in the default, which a file without a kind leaves open.
        Some(Value::Object(old)) if same_value(&Value::Object(old.clone()), &new) => {
            _ = old.remove("default");
        }
        Some(old) => {
            let said = old["description"].clone();
            *old = json!({"description": said, "anyOf": [old.clone(), new]});
        }
    }
}

/// For each kind of a table: the keys of other kinds alone are none of its.
fn rules(slot: &str, keys: &[Key]) -> Vec<Value> {
    let own: Vec<&Key> = keys.iter().filter(|key| key.table == slot).collect();
    let named = format!("{slot}.kind");
    let all = own.iter().find(|key| key.key == named);
    let all = all.and_then(|key| key.facts.schema.get("enum")?.as_array());
    let rule = |kind: &Value| {
        let has = |key: &&Key| key.kinds.iter().any(|of| *kind == *of);
        let of_it = |name: &str| {
            own.iter()
                .any(|key| key.key == name && (key.kinds.is_empty() || has(key)))
        };
        let others = own.iter().filter(|key| !of_it(&key.key));
        let none: Map<String, Value> = others
            .filter_map(|key| key.key.strip_prefix(slot)?.strip_prefix('.'))
            .map(|name| (name.to_owned(), json!(false)))
            .collect();
        (!none.is_empty()).then(|| {
            json!({
                "if": {"properties": {"kind": {"const": kind}}, "required": ["kind"]},
                "then": {"properties": none},
            })
        })
    };
    all.into_iter().flatten().filter_map(rule).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::change::Change;
    use crate::config::price::Price;
    use crate::config::suite::Suite;
    use crate::config::variant::Variant;
    use crate::error::Result;

    const VARIANT: &str = r#"about = "Something is tried."
source = "a test"
base = "gpt2"
[[tuned]]
data = "language/easy"
scale = "w32"
steps = 400
tokens_per_step = 512
lr = 0.01
edge = true
from = "a.json"
[[surface]]
variant = "mine"
data = "language/easy"
tokens_per_step = 512
steps = [100.0, 1600.0]
widths = [32.0, 128.0]
rates = [0.0025, 0.08]
centre = [400.0, 32.0]
coefficients = [-4.1, -0.3, 0.0]
covariance = [0.01, 0.001, 0.004, 0.0, 0.0, 0.0]
freedom = 5.0
scatter = 0.2
valley = [0.05, 0.08]
cells = [5, 1]
from = "a.json"
"#;

    const SUITE: &str = r#"about = "Something is run."
data_label = "a language"
base = "gpt2"
repeats = 2
first_seed = 1
headline.variant = "gpt2"
headline.scale = "w32"
headline.budget = 400
tune.lr = [0.1, 0.2, 0.4]
tune.at = ["w32@200"]
tune.missing = true
tune.repeats = 2
tune.first_seed = 1001
set = {}
shapes.s = {}
[[cells]]
variants = ["gpt2"]
scales = ["w32"]
steps = [400]
lr = [0.1]
set = {}
[[cells]]
variants = ["gpt2"]
shapes = ["s"]
stage = "tuned"
from = "gpt2/w32@400"
teacher = "gpt2/w32@400"
"#;

    const PRICE: &str = r#"about = "Mine."
currency = "EUR"
hardware.rent_per_h = 1
hardware.rent_includes_energy = false
hardware.lifetime_years = 5
hardware.utilisation = 0.5
hardware.embodied_kgco2e = 300
energy.per_kwh = 0.3
energy.pue = 1.1
energy.gco2e_per_kwh = 300
data.per_m_tokens = 2
data.per_label = 0.1
modelled.idle_w = 10
modelled.max_w = 100
"#;

    fn read(of: File, text: &str) -> Result<()> {
        let name = || "mine".to_owned();
        match of {
            File::Variant => Variant::parse(name(), "mine.toml", text).map(drop),
            File::Change => Change::parse(name(), "mine.toml", text).map(drop),
            File::Suite => Suite::parse(name(), "mine.toml", text, Path::new("")).map(drop),
            File::Price | File::Rates => Price::parse(name(), "mine.toml", text, None).map(drop),
        }
    }

    /// Paths of all fields that a schema names.
    fn names(schema: &Value, path: &str, found: &mut Vec<String>) {
        let within = [schema, &schema["items"]];
        let alternatives = schema["anyOf"].as_array().into_iter().flatten();
        for schema in within.into_iter().chain(alternatives) {
            for (name, property) in schema["properties"].as_object().into_iter().flatten() {
                let path = format!("{path}/{name}");
                found.push(path.clone());
                names(property, &path, found);
            }
        }
    }

    /// A field that is read refuses what it cannot hold: one that accepts anything is declared and not read.
    #[test]
    fn every_declared_field_is_read() {
        let sources = "coal oil gas solar geothermal nuclear hydro wind".split(' ');
        let mix: String = sources
            .map(|source| format!("energy.mix.{source} = 0.125\n"))
            .collect();
        let mixed = PRICE.replace("energy.gco2e_per_kwh = 300\n", &mix);
        let others = PRICE.replace("rent_per_h = 1", "bought = 1");
        let others = others.replace("hardware.rent_includes_energy = false\n", "");
        let by_core = PRICE.replace("rent_per_h = 1", "rent_per_vcpu_h = 1");
        let by_core = by_core.replace("hardware.embodied_kgco2e = 300\n", "");
        let cited = PRICE.replace(
            "pue = 1.1",
            "pue.value = 1.1\nenergy.pue.source = \"a bill\"",
        );
        let multiples = SUITE.replace("tune.lr", "tune.times");
        let change = "about = \"x.\"\nsource = \"y\"\npublished = \"z\"\n";
        let texts = [
            (File::Variant, VARIANT),
            (File::Change, change),
            (File::Suite, SUITE),
            (File::Suite, &multiples),
            (File::Price, PRICE),
            (File::Price, &mixed),
            (File::Price, &others),
            (File::Price, &by_core),
            (File::Price, &cited),
        ];
        let mut seen = Vec::new();
        for (of, text) in texts {
            read(of, text).unwrap();
            let mut header = String::new();
            for line in text.lines() {
                if line.starts_with('[') {
                    header = format!("{}/", line.trim_matches(['[', ']']));
                }
                let Some((field, value)) = line.split_once(" = ") else {
                    continue;
                };
                seen.push(format!("/{header}{}", field.replace('.', "/")));
                if value != "{}" {
                    let wrong = text.replacen(line, &format!("{field} = [[true]]"), 1);
                    let refused = read(of, &wrong).expect_err(line).message;
                    let leaf = field.rsplit('.').next().unwrap_or(field);
                    assert!(refused.contains(leaf), "{line}: {refused}");
                }
            }
        }
        for of in [File::Variant, File::Change, File::Suite, File::Price] {
            let mut declared = Vec::new();
            names(&Value::Object(object(of.fields())), "", &mut declared);
            // That a figure may say its source is looked at for one of them.
            declared.retain(|path| !path.ends_with("/value") || path.contains("pue"));
            declared.retain(|path| path.matches('/').count() < 3 || !path.ends_with("/source"));
            for path in declared {
                let is_there =
                    |seen: &String| *seen == path || seen.starts_with(&format!("{path}/"));
                assert!(
                    seen.iter().any(is_there),
                    "{of:?}: {path} is in no text of this test"
                );
            }
        }
    }
}
