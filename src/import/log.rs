//! Training logs as tables, whatever they are written in: delimited text, JSON, or the lines that a training program prints.

use std::fs;
use std::path::Path;

use super::delimited::{Passed, Table, delimiter};
use super::dialect::{self, Dialect};
use super::{json, markdown, mlflow, prefix, shape, unfit};
use crate::error::{Error, Result, plain};
use crate::foreign;

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
    /// What it was read as: a dialect's name, `table`, `json`.
    pub dialect: &'static str,
}

/// The columns of a tag that TensorBoard wrote.
const OF_TENSORBOARD: [&str; 3] = ["Wall time", "Step", "Value"];
/// What such a file is read as.
pub const TAGS: &str = "tags of TensorBoard";

/// The run and the tag that the name of such a file says: `run-NAME-tag-TAG`.
pub fn tagged(stem: &str) -> Option<(&str, &str)> {
    let (run, tag) = stem.rsplit_once("-tag-")?;
    Some((
        run.trim_start_matches("run-").trim_start_matches("run_"),
        tag,
    ))
}

/// Reads a log: JSON where it begins so, lines that one of the [dialects](super::dialect) knows, delimited text otherwise; `-` is
/// standard input. `dialect` insists on one.
///
/// # Errors
/// A file that cannot be read, is no text, or is in none of these forms.
pub fn read(path: &Path, dialect: Option<&'static Dialect>) -> Result<Log> {
    let shown = path.display().to_string();
    let unreadable =
        |e: std::io::Error| Error::input(format!("{shown}: cannot be read: {}", plain(&e)));
    if path.is_dir() {
        return Err(Error::input(format!("{shown}: is a folder"))
            .hint("name its files: `effbench import runs/*.csv`"));
    }
    let bytes = foreign::bytes(path)?;
    let written_at = match shown.as_str() {
        "-" => "1970-01-01T00:00:00Z".to_owned(),
        _ => utc(fs::metadata(path)
            .and_then(|about| about.modified())
            .map_err(unreadable)?)?,
    };
    let name = path
        .file_name()
        .map_or_else(|| shown.clone(), |name| name.to_string_lossy().into_owned());
    let named = [".gz", ".zst"]
        .iter()
        .find_map(|packed| name.strip_suffix(packed))
        .unwrap_or(&name)
        .to_owned();
    let stem = Path::new(&named).file_stem();
    let stem = stem.map_or_else(|| named.clone(), |stem| stem.to_string_lossy().into_owned());
    let blake3 = blake3::hash(&bytes).to_hex().to_string();
    let Read {
        table,
        passed,
        dialect,
    } = table(Path::new(&named), &shown, bytes, dialect)?;
    let dialect = shape::of(&table).map_or(dialect, |shape| shape.name);
    Ok(Log {
        name,
        stem,
        path: shown.clone(),
        blake3,
        written_at,
        table,
        passed,
        dialect,
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

/// What a file says.
struct Read {
    table: Table,
    passed: Passed,
    dialect: &'static str,
}

/// The table of a log, and the lines that are none of it.
fn table(
    path: &Path,
    shown: &str,
    bytes: Vec<u8>,
    dialect: Option<&'static Dialect>,
) -> Result<Read> {
    let ends = |endings: &[&str]| {
        let ending = path.extension().unwrap_or_default().to_string_lossy();
        endings
            .iter()
            .any(|known| ending.eq_ignore_ascii_case(known))
    };
    let lines = dialect.is_some() || ends(&["log", "txt", "out", "err"]);
    // A log may well hold a stray byte of a terminal; its lines of figures are ASCII.
    let lossy = lines && std::str::from_utf8(&bytes).is_err() && !foreign::is_wide(&bytes);
    let text = match lossy {
        true => String::from_utf8_lossy(&bytes).into_owned(),
        false => foreign::decoded(shown, bytes)?,
    };
    let text = foreign::uncoloured(&text);
    if let Some(dialect) = dialect {
        let (table, passed) = dialect.read(shown, &text);
        if table.rows() == 0 {
            let message = format!("{shown}: no line of {}'s", dialect.name);
            return Err(Error::input(message).hint(format!("expected {}", dialect.about)));
        }
        return Ok(Read::of((dialect, table, passed)));
    }
    let of_table = |table, dialect| Read {
        table,
        passed: Passed::default(),
        dialect,
    };
    if json::begins(&text) {
        // Among a program's own text the lines that are JSON are a log.
        let among = |error| match dialect::of(shown, &text).filter(|_| lines) {
            Some(found) if found.0.name == "jsonl" => Ok(Read::of(found)),
            _ => Err(error),
        };
        return json::table(shown, &text)
            .map(|(table, dialect)| of_table(table, dialect))
            .or_else(among);
    }
    let found = match ends(&["csv", "tsv", "tab"]) {
        true => dialect::of_delimited(shown, &text),
        false => printed(shown, &text),
    };
    if let Some(found) = found {
        return Ok(Read::of(found));
    }
    if let Some((table, passed)) = markdown::table(shown, &text) {
        return Ok(Read {
            table,
            passed,
            dialect: "a table in Markdown",
        });
    }
    let (table, dialect) = delimited(path, shown, &text, lines)?;
    Ok(of_table(table, dialect))
}

impl Read {
    fn of((dialect, table, passed): dialect::Found) -> Self {
        Self {
            table,
            passed,
            dialect: dialect.name,
        }
    }
}

/// What a program printed: as it stands, or without what a launcher set before its lines where that says more.
fn printed(shown: &str, text: &str) -> Option<dialect::Found> {
    let cells = |found: &dialect::Found| found.1.rows() * found.1.columns.len();
    let whole = dialect::of(shown, text);
    let most = whole.as_ref().map_or(0, cells);
    let bare = prefix::stripped(text).and_then(|bare| dialect::of(shown, &bare));
    bare.filter(|bare| cells(bare) > most).or(whole)
}

/// Delimited text, and what it was read as; `lines` where a training program's own lines were expected.
fn delimited(path: &Path, shown: &str, text: &str, lines: bool) -> Result<(Table, &'static str)> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    if let Some(table) = mlflow::table(&stem, shown, text) {
        return Ok((table, "a metric of MLflow"));
    }
    unfit::text(shown, text).map_or(Ok(()), Err)?;
    let table = Table::parse(shown, text, delimiter(path, text)).map_err(|error| {
        let known = dialect::CATALOG
            .each_ref()
            .map(|dialect| dialect.name)
            .join(", ");
        match lines {
            true => Error::input(format!(
                "{shown}: no line of a training log that is known ({known}), and no table"
            ))
            .hint("`effbench import --help` says what is read; `--dialect NAME` insists on one"),
            false => error,
        }
    })?;
    let mut table = table;
    // TensorBoard writes one tag a file, whose name says which.
    if table.columns == OF_TENSORBOARD {
        let tag = tagged(&stem).map_or(stem.as_ref(), |(_, tag)| tag);
        table.columns[2] = tag.to_owned();
        return Ok((table, TAGS));
    }
    Ok((table, "table"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, text: &str) -> Result<Table> {
        Ok(table(Path::new(name), name, text.as_bytes().to_vec(), None)?.table)
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
        let bytes = nanogpt.as_bytes().to_vec();
        let passed = super::table(Path::new("a.txt"), "a.txt", bytes, None)
            .unwrap()
            .passed;
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
            (
                "a.json",
                "{\n\"a\": [{\"b\": 1}]}",
                "a.json: one JSON document",
            ),
        ];
        for (name, text, says) in rows {
            let error = of(name, text).unwrap_err();
            assert!(error.message.starts_with(says), "{error}");
        }
        let bytes = b"step\n1\n\xff\xfe\n".to_vec();
        let error = table(Path::new("a.csv"), "a.csv", bytes, None)
            .err()
            .unwrap();
        assert!(error.message.starts_with("a.csv:3: not UTF-8"), "{error}");
        let folder = tempfile::tempdir().unwrap();
        assert!(
            read(folder.path(), None)
                .unwrap_err()
                .message
                .ends_with("is a folder")
        );
        assert!(
            read(&folder.path().join("none.csv"), None)
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
        let log = read(&path, None).unwrap();
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
