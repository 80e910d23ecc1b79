//! JSON as tables: one object a line, a list of objects, or a document that holds such a list under a name that is known.

use serde_json::{Map, Value};

use super::delimited::Table;
use super::shape;
use super::sparse::Sparse;
use crate::error::{Error, Result};

/// What Hugging Face's Trainer keeps beside a checkpoint.
pub const TRAINER_STATE: &str = "trainer_state.json";
/// What Hugging Face's Trainer adds to its last entry, whose `train_loss` is a mean over the run and no point of it.
const SUMMARY: &str = "train_runtime";

/// A step and the last one in one text.
const STEP_OF: &str = "global_step/max_steps";

/// The one list that is kept: llama-bench's tokens per second, repetition by repetition.
const SAMPLES: &str = "samples_ts";

/// Whether a text begins like JSON that may hold a table; `[2025-01-31 12:00:00] iteration ..` does not.
pub fn begins(text: &str) -> bool {
    let text = text.trim_start();
    let list = text.strip_prefix('[').map(str::trim_start);
    // Python's dicts are none.
    let object = text.starts_with('{') && !text.starts_with("{'");
    object || list.is_some_and(|inner| inner.starts_with(['{', ']']))
}

/// The table, and what it was read as.
///
/// # Errors
/// What is neither, with the line.
pub fn table(file: &str, text: &str) -> Result<(Table, &'static str)> {
    // One object a line is read line by line, however long the file is.
    let first = text.trim_start().lines().next().unwrap_or_default();
    let by_lines = first.trim_start().starts_with('{')
        && serde_json::from_str::<Value>(&not_a_number_quoted(first))
            .is_ok_and(|value| value.is_object());
    if by_lines && text.trim().lines().count() > 1 {
        return Ok((lines(file, text)?, "json lines"));
    }
    match serde_json::from_str(&not_a_number_quoted(text)) {
        Ok(Value::Array(rows)) => Ok((rows_of(file, &rows)?, "json list")),
        Ok(Value::Object(document)) => match document.get("log_history") {
            Some(Value::Array(rows)) => {
                let points = rows
                    .iter()
                    .filter(|row| !row.as_object().is_some_and(is_summary));
                let points: Vec<Value> = points.cloned().collect();
                Ok((rows_of(file, &points)?, TRAINER_STATE))
            }
            _ if is_lm_eval(&document) => Ok((rows_of(file, &tasks(&document))?, "lm-eval")),
            _ if by_lines => Ok((lines(file, text)?, "json lines")),
            _ => known(file, document),
        },
        Ok(_) => Err(Error::input(format!("{file}: JSON, and no object in it"))),
        Err(_) if by_lines || first.trim().len() > 2 => Ok((lines(file, text)?, "json lines")),
        Err(error) => Err(Error::input(format!(
            "{file}:{}: not JSON (column {})",
            error.line(),
            error.column()
        ))
        .hint("the file may be cut off; one object a line is read as well")),
    }
}

/// Whether an entry is about the whole run; some trainers say the time so far beside each loss.
fn is_summary(entry: &Map<String, Value>) -> bool {
    entry.contains_key(SUMMARY) && !entry.contains_key("loss")
}

/// Whether a document is what lm-evaluation-harness writes of its tasks.
fn is_lm_eval(document: &Map<String, Value>) -> bool {
    let of_tasks = |results: &Map<String, Value>| {
        !results.is_empty() && results.values().all(Value::is_object)
    };
    let results = document.get("results").and_then(Value::as_object);
    let told = ["versions", "configs", "n-shot"];
    results.is_some_and(of_tasks) && told.iter().any(|key| document.contains_key(*key))
}

/// A row for each task: its name, the model's, and what was measured; `acc,none` is `acc` through no filter. A checkpoint of a model is
/// another model, and a task with examples in its prompt another task.
fn tasks(document: &Map<String, Value>) -> Vec<Value> {
    let config = &document.get("config").unwrap_or(&Value::Null);
    let given = config["model_args"].as_str().unwrap_or_default();
    let argument = |name: &str| {
        let parts = given.split(',').filter_map(|part| part.split_once('='));
        let mut found = parts.filter(|(known, _)| *known == name);
        found.next().map(|(_, value)| value)
    };
    let named = document.get("model_name").and_then(Value::as_str);
    let mut model = named.or(argument("pretrained")).unwrap_or(given).to_owned();
    for (name, mark) in [("revision", '@'), ("peft", '+')] {
        if let Some(value) = argument(name).filter(|value| *value != "main") {
            model.extend([mark.to_string().as_str(), value]);
        }
    }
    let shots = |task: &str| {
        let own = document
            .get("n-shot")
            .and_then(|shots| shots[task].as_u64());
        own.or(config["num_fewshot"].as_u64())
            .filter(|shots| *shots > 0)
    };
    let results = document.get("results").and_then(Value::as_object);
    let row = |(name, task): (&String, &Value)| {
        let mut row = Map::new();
        let shots = shots(name).map_or(String::new(), |shots| format!(", {shots}-shot"));
        row.insert("task".to_owned(), format!("{name}{shots}").into());
        row.insert("model".to_owned(), model.as_str().into());
        row.insert("alias".to_owned(), name.as_str().into());
        for (key, value) in task.as_object().into_iter().flatten() {
            let key = key.strip_suffix(",none").unwrap_or(key);
            row.insert(key.to_owned(), value.clone());
        }
        Value::Object(row)
    };
    results.into_iter().flatten().map(row).collect()
}

/// A document of a known tool's, which is a row.
fn known(file: &str, document: Map<String, Value>) -> Result<(Table, &'static str)> {
    let row = Value::Object(document);
    let table = rows_of(file, std::slice::from_ref(&row))?;
    match (shape::of(&table), row) {
        (Some(shape), _) => Ok((table, shape.name)),
        (None, Value::Object(document)) => Err(one_document(file, &document)),
        (None, _) => Ok((table, "json")),
    }
}

/// A document that holds no list that is known, with the lists that it has.
fn one_document(file: &str, document: &Map<String, Value>) -> Error {
    let of_objects = |value: &Value| {
        value
            .as_array()
            .is_some_and(|rows| rows.first().is_some_and(Value::is_object))
    };
    let list = document.iter().find(|(_, value)| of_objects(value));
    let error = Error::input(format!("{file}: one JSON document, and none that is known"));
    match list {
        Some((name, _)) => error.hint(format!("`jq -c '.{name}[]' FILE > FILE.jsonl` writes its list, one object a line")),
        None => error.hint("a list of objects is read, or one object a line, such as {\"step\": 100, \"loss\": 3.2}"),
    }
}

fn rows_of(file: &str, rows: &[Value]) -> Result<Table> {
    let mut table = Sparse::default();
    for (index, row) in rows.iter().enumerate() {
        let mut cells = Vec::new();
        match row {
            Value::Object(_) => flatten("", row, &mut cells),
            _ => {
                return Err(Error::input(format!(
                    "{file}: entry {} is no object",
                    index + 1
                )));
            }
        }
        table.push(index + 1, cells);
    }
    Ok(table.table(file, false))
}

/// One object a line; `{"train": {"loss": 3.1}}` is the column `train.loss`, null is an empty cell, arrays are left out.
fn lines(file: &str, text: &str) -> Result<Table> {
    let mut table = Sparse::default();
    let mut torn = None;
    let count = text.lines().count();
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let mut cells = Vec::new();
        match serde_json::from_str(&not_a_number_quoted(line)) {
            Ok(Value::Object(object)) if is_summary(&object) => continue,
            Ok(Value::Object(object)) => flatten("", &Value::Object(object), &mut cells),
            Ok(_) => {
                return Err(Error::input(format!(
                    "{file}:{}: expected an object",
                    index + 1
                )));
            }
            Err(_) if index > 0 && index + 1 == count && !text.ends_with('\n') => {
                torn = Some(index + 1);
                continue;
            }
            Err(error) => {
                let (line, column) = (index + 1, error.column());
                return Err(Error::input(format!(
                    "{file}:{line}: not a line of JSON (column {column})"
                ))
                .hint("one object a line, such as {\"step\": 100, \"loss\": 3.2}"));
            }
        }
        table.push(index + 1, cells);
    }
    let mut table = table.table(file, false);
    table.torn_at(torn);
    Ok(table)
}

/// Python writes NaN and Infinity where JSON has no word for them; here they become text, which the reader of numbers knows.
fn not_a_number_quoted(line: &str) -> String {
    let words = [
        ("-Infinity", "\"-inf\""),
        ("Infinity", "\"inf\""),
        ("NaN", "\"nan\""),
    ];
    let mut text = line.to_owned();
    for lead in [": ", ":"] {
        for (word, quoted) in words {
            text = text.replace(&format!("{lead}{word}"), &format!("{lead}{quoted}"));
        }
    }
    text
}

/// The object that a text begins with, whatever stands behind it.
pub(super) fn object(text: &str) -> Option<Map<String, Value>> {
    let text = not_a_number_quoted(text);
    let mut values = serde_json::Deserializer::from_str(&text).into_iter::<Value>();
    match values.next()?.ok()? {
        Value::Object(object) => Some(object),
        _ => None,
    }
}

/// An object's cells: nested names are joined by points, lists left out.
pub(super) fn cells(object: &Map<String, Value>) -> Vec<(String, String)> {
    let mut cells = Vec::new();
    flatten("", &Value::Object(object.clone()), &mut cells);
    cells
}

fn flatten(prefix: &str, value: &Value, cells: &mut Vec<(String, String)>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                let key = if prefix.is_empty() {
                    key.clone()
                } else {
                    format!("{prefix}.{key}")
                };
                flatten(&key, value, cells);
            }
        }
        Value::Array(samples) if prefix == SAMPLES => {
            let samples: Vec<String> = samples.iter().map(Value::to_string).collect();
            cells.push((prefix.to_owned(), samples.join(";")));
        }
        Value::Array(_) => {}
        // ms-swift's `12/94`.
        Value::String(text) if prefix == STEP_OF => {
            let step = text.split('/').next().unwrap_or_default();
            cells.push(("global_step".to_owned(), step.trim().to_owned()));
        }
        Value::Null => cells.push((prefix.to_owned(), String::new())),
        Value::String(text) => cells.push((prefix.to_owned(), text.trim().to_owned())),
        other => cells.push((prefix.to_owned(), other.to_string())),
    }
}
