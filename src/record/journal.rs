//! What survives a kill: while a suite runs, each finished trial is a file of its own in `<out>.partial/`.
//!
//! Every file is written under a temporary name, synced and renamed, so a kill loses at most the trial in flight. Reading
//! names what is torn instead of passing over it; a torn trial simply counts as not run.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::file::{TEMPORARY, write_json};
use super::validate::validate_trial;
use super::{ResultFile, Trial};
use crate::error::{Error, Result, plain};

/// What a journal begins with: the run, before any trial.
pub const HEAD: &str = "run.json";
/// What follows a trial's id in the name of its file.
const ENDING: &str = ".trial.json";

/// What a journal's folder holds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Journal {
    /// Finished trials by their place in the run.
    pub trials: Vec<Trial>,
    /// Files of the journal that do not hold what their name says, unfinished writes among them, and what is wrong.
    pub rejected: Vec<(PathBuf, String)>,
    /// Everything else in the folder: the runner's own files, or somebody's.
    pub foreign: Vec<PathBuf>,
}

/// Journals one finished trial as `<id>.trial.json`, all of it or nothing. One that would spoil the result file is refused
/// here, while the run can still be stopped.
pub fn journal_trial(folder: &Path, trial: &Trial) -> Result<()> {
    let plain = trial
        .id
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    if trial.id.is_empty() || !plain {
        return Err(Error::internal(format!(
            "a trial's id must be a hash, not `{}`",
            trial.id.escape_debug()
        )));
    }
    if let Some(problem) = validate_trial(trial).first() {
        return Err(Error::internal(format!(
            "a trial's record is not sound: {problem}"
        )));
    }
    write_json(&folder.join(format!("{}{ENDING}", trial.id)), trial)
}

/// Reads a journal's folder; one that is not there is empty.
pub fn read_journal(folder: &Path) -> Result<Journal> {
    let mut journal = Journal::default();
    if !folder.exists() {
        return Ok(journal);
    }
    let refuse = |e: std::io::Error| {
        Error::input(format!(
            "{}: cannot be read: {}",
            folder.display(),
            plain(&e)
        ))
    };
    for entry in fs::read_dir(folder).map_err(refuse)? {
        let entry = entry.map_err(refuse)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_file = entry.file_type().map_err(refuse)?.is_file();
        if is_file && name.starts_with(TEMPORARY) {
            journal
                .rejected
                .push((entry.path(), "an unfinished write".to_owned()));
        } else if is_file && let Some(id) = name.strip_suffix(ENDING) {
            let bytes = fs::read(entry.path()).map_err(refuse)?;
            match trial(id, &bytes) {
                Ok(trial) => journal.trials.push(trial),
                Err(why) => journal.rejected.push((entry.path(), why)),
            }
        } else {
            journal.foreign.push(entry.path());
        }
    }
    journal
        .trials
        .sort_by(|a, b| (a.order, &a.id).cmp(&(b.order, &b.id)));
    journal.rejected.sort();
    journal.foreign.sort();
    Ok(journal)
}

/// The trial in a journal's file, which must be the one that its name says.
fn trial(id: &str, bytes: &[u8]) -> std::result::Result<Trial, String> {
    let trial: Trial = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    if trial.id == id {
        Ok(trial)
    } else {
        Err(format!("holds the trial `{}`", trial.id.escape_debug()))
    }
}

/// The result file of a head and more trials: by their place in the run, the same trial only once.
pub fn merge(head: ResultFile, trials: Vec<Trial>) -> Result<ResultFile> {
    let mut merged = head;
    let mut places: BTreeMap<String, usize> = merged
        .trials
        .iter()
        .map(|t| t.id.clone())
        .zip(0..)
        .collect();
    for trial in trials {
        let Some(&place) = places.get(&trial.id) else {
            places.insert(trial.id.clone(), merged.trials.len());
            merged.trials.push(trial);
            continue;
        };
        if merged.trials[place] != trial {
            let message = format!(
                "two different results for one trial: {}, repeat {}",
                trial.cell, trial.repeat
            );
            return Err(
                Error::input(message).hint("they come from different runs: merge only one of them")
            );
        }
    }
    merged
        .trials
        .sort_by(|a, b| (a.order, &a.id).cmp(&(b.order, &b.id)));
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
        for trial in whole.trials.iter().rev() {
            journal_trial(&partial, trial).unwrap();
        }
        journal_trial(&partial, &whole.trials[0]).unwrap();
        let journal = read_journal(&partial).unwrap();
        assert_eq!(
            (&journal.rejected[..], &journal.foreign[..]),
            (&[][..], &[][..])
        );
        let head = ResultFile {
            trials: Vec::new(),
            ..whole.clone()
        };
        let merged = merge(head, journal.trials.clone()).unwrap();
        assert_eq!(merged, whole);
        assert_eq!(
            merge(merged, journal.trials).unwrap(),
            whole,
            "merging twice changes nothing"
        );
    }

    #[test]
    fn torn_and_foreign_files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let kept = &example().trials[0];
        journal_trial(folder.path(), kept).unwrap();
        let text = fs::read_to_string(at(&format!("{}.trial.json", kept.id))).unwrap();
        fs::write(at("cut.trial.json"), &text[..text.len() / 3]).unwrap();
        fs::write(at("renamed.trial.json"), &text).unwrap();
        fs::write(at(".unfinished-x1.json"), "").unwrap();
        fs::write(at("run.json"), "{}").unwrap();
        fs::write(at("lock"), "").unwrap();
        fs::create_dir(at("folder.trial.json")).unwrap();
        let journal = read_journal(folder.path()).unwrap();
        assert_eq!(journal.trials.iter().collect::<Vec<_>>(), [kept]);
        let rejected: Vec<PathBuf> = journal.rejected.into_iter().map(|(path, _)| path).collect();
        assert_eq!(
            rejected,
            [
                ".unfinished-x1.json",
                "cut.trial.json",
                "renamed.trial.json"
            ]
            .map(at)
        );
        assert_eq!(
            journal.foreign,
            ["folder.trial.json", "lock", "run.json"].map(at)
        );
    }

    #[test]
    fn what_would_spoil_the_result_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let whole = example();
        for id in ["", "../x", "a/b"] {
            let trial = Trial {
                id: id.to_owned(),
                ..whole.trials[0].clone()
            };
            assert!(journal_trial(folder.path(), &trial).is_err(), "{id}");
        }
        let unsound = Trial {
            started_at: "now".to_owned(),
            ..whole.trials[0].clone()
        };
        assert!(
            journal_trial(folder.path(), &unsound)
                .unwrap_err()
                .message
                .contains("started_at")
        );
        assert_eq!(read_journal(folder.path()).unwrap(), Journal::default());
        let other = Trial {
            seed: 99,
            ..whole.trials[0].clone()
        };
        assert!(
            merge(whole, vec![other])
                .unwrap_err()
                .message
                .contains("two different results")
        );
    }
}
