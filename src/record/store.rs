//! Read, write, validate.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::{Error, Result};
use crate::record::{ResultFile, Trial};

/// What a folder of journaled trials holds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Journal {
    /// Whole ones.
    pub trials: Vec<Trial>,
    /// Files that are not, and why.
    pub rejected: Vec<(PathBuf, String)>,
}

/// Keeps one trial as a file of its own: all of it or nothing.
pub fn journal_trial(dir: &Path, trial: &Trial) -> Result<()> {
    write_json(&dir.join(format!("{}.trial.json", trial.id)), trial)
}

/// All trials of a folder.
pub fn read_journal(dir: &Path) -> Result<Journal> {
    let mut journal = Journal::default();
    let entries = fs::read_dir(dir).map_err(|e| Error::input(format!("{}: {e}", dir.display())))?;
    for path in entries.flatten().map(|entry| entry.path()) {
        if !path.to_string_lossy().ends_with(".trial.json") {
            continue;
        }
        let text = fs::read(&path).map_err(|e| Error::input(format!("{}: {e}", path.display())))?;
        match serde_json::from_slice(&text) {
            Ok(trial) => journal.trials.push(trial),
            Err(error) => journal.rejected.push((path, error.to_string())),
        }
    }
    Ok(journal)
}

/// Writes a result file: all of it or nothing.
pub fn write(path: &Path, file: &ResultFile) -> Result<()> {
    write_json(path, file)
}

/// Reads a result file.
pub fn read(path: &Path) -> Result<ResultFile> {
    let text = fs::read(path).map_err(|e| Error::input(format!("{}: {e}", path.display())))?;
    serde_json::from_slice(&text).map_err(|e| Error::input(format!("{}: {e}", path.display())))
}

fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    let failed = |e: std::io::Error| Error::input(format!("cannot write {}: {e}", path.display()));
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    serde_json::to_writer(&mut file, value).map_err(|e| failed(e.into()))?;
    file.flush().and_then(|()| file.as_file().sync_all()).map_err(failed)?;
    file.persist(path).map_err(|e| failed(e.error))?;
    Ok(())
}
