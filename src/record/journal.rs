//! What survives a kill: while a suite runs, each finished trial is a file of its own in `<out>.partial/`.
//!
//! Every file is written under a temporary name, synced and renamed, so a kill loses at most the trial in flight. Reading
//! names what is torn or foreign instead of passing over it; a torn trial simply counts as not run.

use std::fs;
use std::path::{Path, PathBuf};

use super::store::{TEMPORARY, plain, write_json};
use super::{ResultFile, Trial};
use crate::error::{Error, Result};

/// The journal's file for everything of a result file but its trials.
const HEAD: &str = "run.json";

/// What a journal's folder holds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Journal {
    /// The result file to be, still without trials; absent where it was never written or is torn.
    pub head: Option<ResultFile>,
    /// Finished trials by their place in the run.
    pub trials: Vec<Trial>,
    /// Files of the journal that do not hold what their name says, and unfinished writes.
    pub torn: Vec<Torn>,
    /// Names of files that are none of the journal's.
    pub foreign: Vec<String>,
}

/// A file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Torn {
    /// File name within the folder.
    pub name: String,
    /// What is wrong with it.
    pub why: String,
}

/// Journals what a result file holds beside its trials.
pub fn journal_head(folder: &Path, head: &ResultFile) -> Result<PathBuf> {
    let path = folder.join(HEAD);
    write_json(&path, &ResultFile { trials: Vec::new(), ..head.clone() })?;
    Ok(path)
}

/// Journals one finished trial as `<id>.json`.
pub fn journal_trial(folder: &Path, trial: &Trial) -> Result<PathBuf> {
    let plain = trial.id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    if trial.id.is_empty() || !plain || trial.id == HEAD.trim_end_matches(".json") {
        return Err(Error::internal(format!("a trial's id must be a hash, not `{}`", trial.id.escape_debug())));
    }
    let path = folder.join(format!("{}.json", trial.id));
    write_json(&path, trial)?;
    Ok(path)
}

/// Reads a journal's folder; one that is not there is empty.
pub fn read_journal(folder: &Path) -> Result<Journal> {
    let mut journal = Journal::default();
    if !folder.exists() {
        return Ok(journal);
    }
    let refuse = |e: std::io::Error| Error::input(format!("{}: cannot be read: {}", folder.display(), plain(&e)));
    for entry in fs::read_dir(folder).map_err(refuse)? {
        let entry = entry.map_err(refuse)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_file = entry.file_type().map_err(refuse)?.is_file();
        if name.starts_with(TEMPORARY) && is_file {
            journal.torn.push(Torn { name, why: "an unfinished write".to_owned() });
        } else if is_file && name.ends_with(".json") {
            let bytes = fs::read(entry.path()).map_err(refuse)?;
            take(&mut journal, name, &bytes);
        } else {
            journal.foreign.push(name);
        }
    }
    journal.trials.sort_by(|a, b| (a.order, &a.id).cmp(&(b.order, &b.id)));
    journal.torn.sort_by(|a, b| a.name.cmp(&b.name));
    journal.foreign.sort();
    Ok(journal)
}

/// Puts one file's content where it belongs.
fn take(journal: &mut Journal, name: String, bytes: &[u8]) {
    let kept = if name == HEAD {
        serde_json::from_slice(bytes).map(|head| journal.head = Some(head)).map_err(|e| e.to_string())
    } else {
        serde_json::from_slice(bytes).map_err(|e| e.to_string()).and_then(|trial: Trial| {
            if name == format!("{}.json", trial.id) {
                journal.trials.push(trial);
                Ok(())
            } else {
                Err(format!("holds the trial `{}`", trial.id.escape_debug()))
            }
        })
    };
    if let Err(why) = kept {
        journal.torn.push(Torn { name, why });
    }
}

/// The result file of a head and more trials: by their place in the run, the same trial only once.
pub fn merge(head: ResultFile, trials: Vec<Trial>) -> Result<ResultFile> {
    let mut merged = head;
    for trial in trials {
        match merged.trials.iter().find(|known| known.id == trial.id) {
            None => merged.trials.push(trial),
            Some(known) if *known == trial => {}
            Some(known) => {
                let message = format!("two different results for one trial: {}, repeat {}", known.cell, known.repeat);
                return Err(Error::input(message).hint("they come from different runs: merge only one of them"));
            }
        }
    }
    merged.trials.sort_by(|a, b| (a.order, &a.id).cmp(&(b.order, &b.id)));
    Ok(merged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::example::example;

    #[test]
    fn a_journal_gives_back_what_was_put_in() {
        let folder = tempfile::tempdir().unwrap();
        let partial = folder.path().join("result.json.partial");
        assert_eq!(read_journal(&partial).unwrap(), Journal::default());
        let whole = example();
        journal_head(&partial, &whole).unwrap();
        for trial in whole.trials.iter().rev() {
            journal_trial(&partial, trial).unwrap();
        }
        journal_trial(&partial, &whole.trials[0]).unwrap();
        let journal = read_journal(&partial).unwrap();
        assert_eq!((&journal.torn[..], &journal.foreign[..]), (&[][..], &[][..]));
        let merged = merge(journal.head.unwrap(), journal.trials.clone()).unwrap();
        assert_eq!(merged, whole);
        assert_eq!(merge(merged, journal.trials).unwrap(), whole, "merging twice changes nothing");
    }

    #[test]
    fn torn_and_foreign_files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let trial = &example().trials[0];
        let kept = journal_trial(folder.path(), trial).unwrap();
        let text = fs::read_to_string(&kept).unwrap();
        fs::write(folder.path().join("cut.json"), &text[..text.len() / 3]).unwrap();
        fs::write(folder.path().join("renamed.json"), &text).unwrap();
        fs::write(folder.path().join("run.json"), "{}").unwrap();
        fs::write(folder.path().join(".unfinished-x1.json"), "").unwrap();
        fs::write(folder.path().join("notes.txt"), "mine").unwrap();
        fs::create_dir(folder.path().join("folder.json")).unwrap();
        let journal = read_journal(folder.path()).unwrap();
        assert_eq!(journal.trials, [trial.clone()]);
        assert_eq!(journal.head, None);
        let torn: Vec<&str> = journal.torn.iter().map(|torn| torn.name.as_str()).collect();
        assert_eq!(torn, [".unfinished-x1.json", "cut.json", "renamed.json", "run.json"]);
        assert_eq!(journal.foreign, ["folder.json", "notes.txt"]);
    }

    #[test]
    fn ids_that_could_leave_the_folder_and_results_that_disagree_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let whole = example();
        for id in ["", "../x", "a/b", "run"] {
            let trial = Trial { id: id.to_owned(), ..whole.trials[0].clone() };
            assert!(journal_trial(folder.path(), &trial).is_err(), "{id}");
        }
        let other = Trial { seed: 99, ..whole.trials[0].clone() };
        assert!(merge(whole, vec![other]).unwrap_err().message.contains("two different results"));
    }
}
