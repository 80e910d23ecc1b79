//! Result files on disk: read with an error that says what to do, written whole or not at all.

use std::path::Path;

use serde::Deserialize;

pub(crate) use super::file::write_json;
pub use super::file::{check_new, check_writable, write_whole};
use super::journal::HEAD;
pub use super::journal::{Journal, journal_trial, merge, read_journal};
use super::validate::validate;
use super::{OLDER, ResultFile, SCHEMA, Trial};
use crate::error::{Error, Result};
use crate::foreign;

/// What every version's name begins with.
const FAMILY: &str = "effbench.result/";

/// The one key that every version has.
#[derive(Deserialize)]
struct Probe {
    schema: Option<String>,
}

/// Reads a result file; [`validate`] says whether it also makes sense.
pub fn read(path: &Path) -> Result<ResultFile> {
    let name = path.display();
    if is_unfinished(path) {
        return so_far(path);
    }
    if path.is_dir() {
        return Err(
            Error::input(format!("{name}: is a folder, not a result file")).hint(
                "name a file in it, or the folder `....json.partial` of a run that is not done yet",
            ),
        );
    }
    let bytes = foreign::unmarked(foreign::bytes(path)?);
    match serde_json::from_slice::<ResultFile>(&bytes) {
        Ok(mut file) if file.schema == SCHEMA || OLDER.contains(&file.schema.as_str()) => {
            for trial in &mut file.trials {
                trial.count_as_executed();
                trial.withhold_impossible();
            }
            Ok(ResultFile {
                schema: SCHEMA.to_owned(),
                ..file
            })
        }
        Ok(file) => Err(wrong_schema(path, Some(&file.schema))),
        Err(error) => Err(why_not(path, &bytes, &error)),
    }
}

/// Whether a folder is that of a run that is not done yet, which has got as far as its head.
pub fn is_unfinished(folder: &Path) -> bool {
    folder.join(HEAD).is_file()
}

/// The trials that an unfinished run has kept so far, as a result file without an end.
///
/// # Errors
/// A head that cannot be read.
pub fn so_far(folder: &Path) -> Result<ResultFile> {
    let head = read(&folder.join(HEAD))?;
    let mut trials = read_journal(folder)?.trials;
    trials.sort_by_key(|trial| trial.order);
    let mut file = ResultFile { trials, ..head };
    file.run.finished_at = None;
    file.trials.iter_mut().for_each(Trial::withhold_impossible);
    Ok(file)
}

/// What another version's file says of itself goes before how it differs from this one's.
fn why_not(path: &Path, bytes: &[u8], error: &serde_json::Error) -> Error {
    match serde_json::from_slice::<Probe>(bytes) {
        Err(no_json) => not_readable(path, &no_json),
        Ok(Probe {
            schema: Some(schema),
        }) if schema == SCHEMA || OLDER.contains(&schema.as_str()) => not_readable(path, error),
        Ok(probe) => wrong_schema(path, probe.schema.as_deref()),
    }
}

/// Reads a result file and refuses one that makes no sense, with its first problem.
pub fn read_valid(path: &Path) -> Result<ResultFile> {
    let file = read(path)?;
    match validate(&file).first() {
        None => Ok(file),
        Some(problem) => Err(
            Error::input(format!("{}: {problem}", path.display())).hint(format!(
                "`effbench validate {}` lists every problem",
                path.display()
            )),
        ),
    }
}

/// A result file's text.
///
/// # Errors
/// What [`validate`] refuses.
pub fn text(file: &ResultFile) -> Result<String> {
    if let Some(problem) = validate(file).first() {
        return Err(Error::internal(format!("no sound result file: {problem}")));
    }
    let text = super::layout::to_text(file).map_err(|e| Error::internal(e.to_string()))?;
    String::from_utf8(text).map_err(|e| Error::internal(e.to_string()))
}

/// Writes a result file whole or not at all: a temporary file beside it, synced, then renamed over it.
///
/// Refuses what [`validate`] refuses, and what JSON could not hold.
pub fn write(path: &Path, file: &ResultFile) -> Result<()> {
    if let Some(problem) = validate(file).first() {
        return Err(Error::internal(format!(
            "{}: not written, {problem}",
            path.display()
        )));
    }
    write_json(path, file)
}

/// A file that is not JSON, or JSON of another shape; serde's message ends in line and column.
fn not_readable(path: &Path, error: &serde_json::Error) -> Error {
    let name = path.display();
    match error.classify() {
        serde_json::error::Category::Data => Error::input(format!("{name}: not a result file: {error}"))
            .hint("`effbench schema` prints what a result file holds"),
        serde_json::error::Category::Eof => Error::input(format!("{name}: not JSON: {error}"))
            .hint("the file is empty or cut off: copy it again, or run its command again with `--resume`"),
        _ => Error::input(format!("{name}: not JSON: {error}"))
            .hint("JSON has no NaN, no comments and no trailing commas"),
    }
}

fn wrong_schema(path: &Path, found: Option<&str>) -> Error {
    let name = path.display();
    let Some(found) = found else {
        return Error::input(format!(
            "{name}: no `schema` in it: not a result file of effbench"
        ))
        .hint(format!("expected \"schema\": \"{SCHEMA}\""));
    };
    let version = |schema: &str| {
        schema
            .strip_prefix(FAMILY)
            .and_then(|v| v.parse::<u64>().ok())
    };
    match (version(found), version(SCHEMA)) {
        (Some(theirs), Some(ours)) if theirs > ours => Error::input(format!(
            "{name}: schema `{found}` is newer than this build reads, `{SCHEMA}`"
        ))
        .hint("use the effbench that wrote it, or a newer one"),
        _ => Error::input(format!(
            "{name}: schema `{}` is not one of effbench's",
            found.escape_debug()
        ))
        .hint(format!("expected `{SCHEMA}`")),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::record::example::example;

    #[test]
    fn what_is_written_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/folder/result.json");
        check_writable(&path).unwrap();
        assert!(
            !folder.path().join("new").exists(),
            "looking must not write"
        );
        write(&path, &example()).unwrap();
        assert_eq!(read_valid(&path).unwrap(), example());
        assert_eq!(
            fs::read_dir(path.parent().unwrap()).unwrap().count(),
            1,
            "a temporary file is left"
        );
    }

    #[test]
    fn nothing_unsound_is_written_and_the_old_file_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("result.json");
        write(&path, &example()).unwrap();
        let mut hidden = example();
        hidden.trials[0]
            .cost
            .as_mut()
            .unwrap()
            .six_n_flops_per_token = f64::NAN;
        let mut open = example();
        open.trials[0].metrics.get_mut("mfu").unwrap().value = Some(f64::INFINITY);
        for (file, says) in [(hidden, "not a finite number"), (open, "metrics.mfu.value")] {
            let error = write(&path, &file).unwrap_err();
            assert!(error.message.contains(says), "{error}");
            assert_eq!(read(&path).unwrap(), example());
        }
    }

    #[test]
    fn an_error_says_what_was_found_and_what_would_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("result.json");
        let whole = serde_json::to_string_pretty(&example()).unwrap();
        let rows: [(Vec<u8>, &str, &str); 9] = [
            (
                Vec::new(),
                "not JSON: EOF while parsing a value at line 1",
                "empty or cut off",
            ),
            (
                whole.as_bytes()[..whole.len() / 2].to_vec(),
                "not JSON: EOF",
                "--resume",
            ),
            (
                b"{\"schema\": NaN}".to_vec(),
                "not JSON: expected value at line 1 column 12",
                "no NaN",
            ),
            (
                vec![0, 159, 146, 150],
                "not JSON: expected value at line 1",
                "no NaN",
            ),
            (b"[1, 2]".to_vec(), "not a result file", "effbench schema"),
            (b"{}".to_vec(), "no `schema` in it", SCHEMA),
            (
                b"{\"schema\": \"effbench.result/3\"}".to_vec(),
                "newer than this build reads",
                "a newer one",
            ),
            (
                b"{\"schema\": \"other/1\"}".to_vec(),
                "is not one of effbench's",
                SCHEMA,
            ),
            (
                format!("{{\"schema\": \"{SCHEMA}\"}}").into_bytes(),
                "missing field `run` at line 1",
                "effbench schema",
            ),
        ];
        for (bytes, message, hint) in rows {
            fs::write(&path, bytes).unwrap();
            let error = read(&path).unwrap_err();
            assert!(error.message.contains(message), "{error}");
            assert!(
                error.hint.as_deref().unwrap_or_default().contains(hint),
                "{error}"
            );
        }
        assert!(
            read(&folder.path().join("none.json"))
                .unwrap_err()
                .message
                .ends_with("no such file or directory")
        );
        assert!(
            read(folder.path())
                .unwrap_err()
                .message
                .contains("is a folder")
        );
    }

    #[test]
    fn an_unwritable_path_is_refused_before_anything_runs() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "x").unwrap();
        for path in [folder.path().to_owned(), file.join("below-a-file.json")] {
            assert!(check_writable(&path).is_err(), "{}", path.display());
        }
    }
}
