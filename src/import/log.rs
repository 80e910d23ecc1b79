//! Training logs as tables, whatever they are written in: delimited text, JSON lines, or lines of `key:value` words as the
//! modded-nanogpt speedruns print them (`step:125/5100 val_loss:5.4789 train_time:19493ms`).

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::delimited::{Passed, Table, delimiter};
use crate::error::{Error, Result};
use crate::record::store::plain;

/// A log, its table and what tells its content apart from any other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// The file's name without its folders.
    pub name: String,
    /// The file's name without its extension.
    pub stem: String,
    /// As it was given, with its folders: what a pattern may be read from, and never written down.
    pub path: String,
    /// Of the content, in hexadecimal.
    pub blake3: String,
    /// When it was last written: RFC 3339, UTC, to the second.
    pub written_at: String,
    /// What it says.
    pub table: Table,
    /// Lines that hold no figures and are passed over: a program's own text, warnings.
    pub passed: Passed,
}

/// Reads a log: lines of JSON objects where the first says so, `key:value` lines in a `.log` or `.txt` that has some,
/// delimited text otherwise.
pub fn read(path: &Path) -> Result<Log> {
    let shown = path.display().to_string();
    let unreadable =
        |e: std::io::Error| Error::input(format!("{shown}: cannot be read: {}", plain(&e)));
    if path.is_dir() {
        return Err(Error::input(format!("{shown}: is a folder"))
            .hint("name its files: `effbench import runs/*.csv`"));
    }
    let bytes = fs::read(path).map_err(unreadable)?;
    let modified = fs::metadata(path)
        .and_then(|about| about.modified())
        .map_err(unreadable)?;
    let part =
        |part: Option<&std::ffi::OsStr>| part.map(|text| text.to_string_lossy().into_owned());
    let (table, passed) = table(path, &shown, &bytes)?;
    Ok(Log {
        name: part(path.file_name()).unwrap_or_else(|| shown.clone()),
        stem: part(path.file_stem()).unwrap_or_else(|| shown.clone()),
        path: shown.clone(),
        blake3: blake3::hash(&bytes).to_hex().to_string(),
        written_at: utc(modified)?,
        table,
        passed,
    })
}

/// A file's time to the second, in UTC.
pub(super) fn utc(time: impl TryInto<jiff::Timestamp>) -> Result<String> {
    let whole = time
        .try_into()
        .ok()
        .and_then(|t| jiff::Timestamp::from_second(t.as_second()).ok());
    whole
        .map(|t| t.to_string())
        .ok_or_else(|| Error::internal("a file's time is out of range"))
}

/// The table of a log, and the lines that are none of it.
fn table(path: &Path, shown: &str, bytes: &[u8]) -> Result<(Table, Passed)> {
    let extension = path
        .extension()
        .and_then(|e| e.to_str())
        .unwrap_or_default()
        .to_ascii_lowercase();
    // A log may well hold a stray byte of a terminal; its lines of figures are ASCII.
    if extension == "log" || extension == "txt" {
        let (table, passed) = key_values(shown, &String::from_utf8_lossy(bytes));
        if table.rows() > 0 {
            return Ok((table, passed));
        }
    }
    let text = std::str::from_utf8(bytes).map_err(|e| {
        let line = bytes[..e.valid_up_to()]
            .iter()
            .filter(|b| **b == b'\n')
            .count()
            + 1;
        Error::input(format!("{shown}:{line}: not UTF-8 text"))
            .hint("`iconv -t utf-8` turns other encodings into it")
    })?;
    let table = match text
        .trim_start_matches('\u{feff}')
        .trim_start()
        .chars()
        .next()
    {
        Some('{') => json_lines(shown, text)?,
        Some('[') => {
            return Err(Error::input(format!(
                "{shown}: one JSON array, expected one object a line"
            ))
            .hint("`jq -c '.[]' FILE > FILE.jsonl` writes it so"));
        }
        _ => Table::parse(shown, text, delimiter(path, text))?,
    };
    Ok((table, Passed::default()))
}

/// Collects named cells row by row; columns stand in the order in which they first appear.
#[derive(Default)]
struct Sparse {
    columns: Vec<String>,
    places: BTreeMap<String, usize>,
    rows: Vec<(usize, Vec<(usize, String)>)>,
}

impl Sparse {
    fn push(&mut self, line: usize, cells: impl IntoIterator<Item = (String, String)>) {
        let place = |name: String| {
            *self.places.entry(name.clone()).or_insert_with(|| {
                self.columns.push(name);
                self.columns.len() - 1
            })
        };
        let (names, texts): (Vec<String>, Vec<String>) = cells.into_iter().unzip();
        let places: Vec<usize> = names.into_iter().map(place).collect();
        self.rows
            .push((line, places.into_iter().zip(texts).collect()));
    }

    /// What a row does not say is an empty cell.
    fn table(self, file: &str) -> Table {
        let width = self.columns.len();
        let mut table = Table::new(file, self.columns);
        for (line, cells) in &self.rows {
            let mut row = vec![""; width];
            for (place, text) in cells {
                row[*place] = text;
            }
            table.push(*line, row);
        }
        table
    }
}

/// One object a line; `{"train": {"loss": 3.1}}` is the column `train.loss`, null is an empty cell, arrays are left out.
fn json_lines(file: &str, text: &str) -> Result<Table> {
    let mut table = Sparse::default();
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let mut cells = Vec::new();
        match serde_json::from_str(&not_a_number_quoted(line)) {
            Ok(Value::Object(object)) => flatten("", &Value::Object(object), &mut cells),
            Ok(_) => {
                return Err(Error::input(format!(
                    "{file}:{}: expected an object",
                    index + 1
                )));
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
    Ok(table.table(file))
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
        Value::Array(_) => {}
        Value::Null => cells.push((prefix.to_owned(), String::new())),
        Value::String(text) => cells.push((prefix.to_owned(), text.trim().to_owned())),
        other => cells.push((prefix.to_owned(), other.to_string())),
    }
}

/// Lines made of `key:value` or `key=value` words, one of which is `step`; everything else in the file is passed over.
/// `step:125/5100` gives the columns `step` and `steps`.
fn key_values(file: &str, text: &str) -> (Table, Passed) {
    let (mut table, mut passed) = (Sparse::default(), Passed::default());
    for (index, line) in text.lines().enumerate() {
        match words(line).filter(|cells| cells.iter().any(|(key, _)| key == "step")) {
            Some(cells) => table.push(index + 1, cells),
            None if line.trim().is_empty() => {}
            None => passed.add(index + 1),
        }
    }
    (table.table(file), passed)
}

/// The words of a line where all of it is `key:value` words.
fn words(line: &str) -> Option<Vec<(String, String)>> {
    let mut cells = Vec::new();
    for word in line.split_whitespace() {
        let (key, value) = word.trim_end_matches(',').split_once([':', '='])?;
        let plain = !key.is_empty()
            && key
                .chars()
                .all(|c| c.is_alphanumeric() || "_-./".contains(c));
        if !plain || value.is_empty() {
            return None;
        }
        match value.split_once('/') {
            Some((done, all)) => {
                cells.push((key.to_owned(), done.to_owned()));
                cells.push((format!("{key}s"), all.to_owned()));
            }
            None => cells.push((key.to_owned(), value.to_owned())),
        }
    }
    (!cells.is_empty()).then_some(cells)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, text: &str) -> Result<Table> {
        Ok(table(Path::new(name), name, text.as_bytes())?.0)
    }

    fn cells(table: &Table) -> Vec<Vec<&str>> {
        (0..table.rows())
            .map(|row| {
                (0..table.columns.len())
                    .map(|k| table.cell(row, k))
                    .collect()
            })
            .collect()
    }

    #[test]
    fn each_kind_of_log_is_a_table() {
        let nanogpt = "import os\n# step: 5\nstep:0/5100 val_loss:16.0012 train_time:387ms step_avg:nanms\n\
                       ====\nstep:1/5100 train_loss:15.9 train_time:23767ms step_avg:nanms\n";
        let table = of("a.txt", nanogpt).unwrap();
        assert_eq!(
            table.columns,
            [
                "step",
                "steps",
                "val_loss",
                "train_time",
                "step_avg",
                "train_loss"
            ]
        );
        let expected = [
            ["0", "5100", "16.0012", "387ms", "nanms", ""],
            ["1", "5100", "", "23767ms", "nanms", "15.9"],
        ];
        assert_eq!(
            (cells(&table), table.line(1)),
            (expected.map(Vec::from).to_vec(), 5)
        );
        let (_, passed) = super::table(Path::new("a.txt"), "a.txt", nanogpt.as_bytes()).unwrap();
        assert_eq!(passed, Passed { count: 3, first: 1 }, "the program's text");

        let lines = "{\"step\": 1, \"val\": {\"loss\": NaN}, \"tags\": [1]}\n\n{\"step\": 2, \"lr\": null, \"val\": {\"loss\":3.25}}\n";
        let table = of("a.jsonl", lines).unwrap();
        assert_eq!(table.columns, ["step", "val.loss", "lr"]);
        assert_eq!(cells(&table), [["1", "nan", ""], ["2", "3.25", ""]]);
        assert_eq!(table.line(1), 3);

        assert_eq!(
            cells(&of("a.tsv", "step\tloss\n1\t2\n").unwrap()),
            [["1", "2"]]
        );
        assert_eq!(
            cells(&of("a.txt", "step,loss\n1,2\n").unwrap()),
            [["1", "2"]]
        );
    }

    #[test]
    fn what_is_no_log_is_placed() {
        let rows = [
            (
                "a.jsonl",
                "{\"a\": 1}\n{\"a\": }\n",
                "a.jsonl:2: not a line of JSON (column 7)",
            ),
            (
                "a.jsonl",
                "{\"a\": 1}\n3\n",
                "a.jsonl:2: expected an object",
            ),
            ("a.json", "[{\"a\": 1}]", "a.json: one JSON array"),
        ];
        for (name, text, says) in rows {
            let error = of(name, text).unwrap_err();
            assert!(error.message.starts_with(says), "{error}");
        }
        let error = table(Path::new("a.csv"), "a.csv", b"step\n1\n\xff\xfe\n").unwrap_err();
        assert!(error.message.starts_with("a.csv:3: not UTF-8"), "{error}");
        let folder = tempfile::tempdir().unwrap();
        assert!(
            read(folder.path())
                .unwrap_err()
                .message
                .ends_with("is a folder")
        );
        assert!(
            read(&folder.path().join("none.csv"))
                .unwrap_err()
                .message
                .ends_with("no such file or directory")
        );
    }

    #[test]
    fn a_log_knows_its_name_hash_and_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("adam.csv");
        fs::write(&path, "step,loss\n1,2\n").unwrap();
        let log = read(&path).unwrap();
        assert_eq!(
            (log.name.as_str(), log.stem.as_str(), log.blake3.len()),
            ("adam.csv", "adam", 64)
        );
        assert!(
            log.written_at.ends_with('Z') && log.written_at.parse::<jiff::Timestamp>().is_ok(),
            "{}",
            log.written_at
        );
    }
}
