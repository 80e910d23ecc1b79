//! Files that describe runs, held against the JSON Schemas that the program prints: every one that ships is accepted, and what
//! cannot be is refused where it stands.
#![cfg(feature = "run")]

use std::path::{Path, PathBuf};
use std::process::Command;

use jsonschema::Validator;
use serde_json::{Map, Value, json};
use toml_edit::{Document, Item};

fn schema(of: &str) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_effbench"));
    let output = command.args(["schema", of]).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

fn validator(of: &str) -> Validator {
    let schema = schema(of);
    assert!(jsonschema::meta::is_valid(&schema), "{of}");
    jsonschema::validator_for(&schema).unwrap()
}

fn document(text: &str) -> Value {
    let document = Document::parse(text).unwrap();
    table(document.as_table().iter())
}

fn table<'a>(fields: impl Iterator<Item = (&'a str, &'a Item)>) -> Value {
    let fields = fields.map(|(name, item)| (name.to_owned(), value_of(item)));
    Value::Object(fields.collect::<Map<String, Value>>())
}

fn value_of(item: &Item) -> Value {
    if let Some(found) = item.as_table_like() {
        return table(found.iter());
    }
    if let Some(rows) = item.as_array_of_tables() {
        return rows.iter().map(|row| table(row.iter())).collect();
    }
    match item.as_value().unwrap() {
        toml_edit::Value::Array(values) => {
            let items = values
                .iter()
                .map(|value| value_of(&Item::Value(value.clone())));
            items.collect()
        }
        toml_edit::Value::String(text) => json!(text.value()),
        toml_edit::Value::Integer(number) => json!(number.value()),
        toml_edit::Value::Float(number) => json!(number.value()),
        toml_edit::Value::Boolean(flag) => json!(flag.value()),
        other => panic!("{other:?} has no place in a spec"),
    }
}

fn faults(validator: &Validator, document: &Value) -> Vec<String> {
    let errors = validator.iter_errors(document);
    errors
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect()
}

#[test]
fn every_file_that_ships_is_as_its_schema_says() {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    let folders = [
        ("variants", "variant"),
        ("changes", "change"),
        ("suites", "suite"),
        ("prices", "price"),
        ("rates", "rates"),
    ];
    let mut seen = 0;
    for (folder, of) in folders {
        let validator = validator(of);
        let entries = std::fs::read_dir(models.join(folder)).unwrap();
        let paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        for path in paths {
            let found = faults(
                &validator,
                &document(&std::fs::read_to_string(&path).unwrap()),
            );
            assert!(found.is_empty(), "{}: {found:#?}", path.display());
            seen += 1;
        }
    }
    assert!(seen >= 30, "{seen} files");
    let folders = std::fs::read_dir(&models).unwrap().count();
    assert_eq!(folders, 5, "a folder of models/ has no schema");
}

#[test]
fn what_cannot_be_is_refused_where_it_stands() {
    let rows = [
        ("variant", "[model]\nwdith = 32", "/model"),
        ("variant", "[model]\nwidth = 0", "/model/width"),
        (
            "variant",
            "[model]\nmixer.kind = \"atention\"",
            "/model/mixer/kind",
        ),
        (
            "variant",
            "[train.optimizer]\nkind = \"adamw\"\nmomentum = 0.9",
            "/train/optimizer/momentum",
        ),
        ("variant", "[train]\nclip = \"1\"", "/train/clip"),
        ("variant", "repeats = 3", ""),
        ("variant", "[[tuned]]\nscale = \"w32\"", "/tuned/0"),
        ("change", "base = \"gpt2\"", ""),
        ("suite", "[[cells]]\nscales = [\"w32\"]", "/cells/0"),
        (
            "suite",
            "[[cells]]\nvariants = [\"gpt2\"]\nset = { train.clipp = 1 }",
            "/cells/0/set/train",
        ),
        (
            "suite",
            "tune = { lr = [] }\n[[cells]]\nvariants = [\"gpt2\"]",
            "/tune/lr",
        ),
        ("price", "[energy]\npue = 0.9", "/energy/pue"),
        ("price", "[energy]\npue = { value = 1.2 }", "/energy/pue"),
        ("rates", "[[surface]]\nvalley = [1]", "/surface/0"),
    ];
    for (of, text, place) in rows {
        let said = "about = \"Something that is tried.\"\n";
        let source = "source = \"a test\"\n";
        let head = match of {
            "variant" | "change" => format!("{said}{source}"),
            "suite" => said.to_owned(),
            _ => String::new(),
        };
        let found = faults(&validator(of), &document(&format!("{head}{text}\n")));
        let there = found
            .iter()
            .any(|fault| fault.starts_with(&format!("{place}: ")));
        assert!(there, "{of}: {text}\n{found:#?}");
    }
}

/// A field of one line each: descriptions are what an editor shows.
#[test]
fn every_property_is_described() {
    fn walk(schema: &Value, path: &str, bare: &mut Vec<String>) {
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}/{name}");
            let said = property.get("description").is_some();
            let is_table = property.get("properties").is_some() || property.get("$ref").is_some();
            if !said && !is_table && *property != json!(false) {
                bare.push(path.clone());
            }
            walk(property, &path, bare);
        }
    }
    let mut bare = Vec::new();
    for of in ["variant", "change", "suite", "price", "rates"] {
        let schema = schema(of);
        walk(&schema, of, &mut bare);
        walk(&schema["$defs"]["spec"], of, &mut bare);
    }
    assert!(bare.is_empty(), "{bare:#?}");
}
