//! The folder `<out>.partial` in which a run lives until it is done: a header, and one file per finished trial.
//!
//! The header, `run.json`, is written last when a run begins and removed first when it is merged: with it the folder says
//! what is finished, without it the folder says nothing. A lock keeps a second run out; it falls with its process.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::record::{ResultFile, Trial, store};

const HEADER: &str = "run.json";
const LOCK: &str = "lock";
const PATIENCE: Duration = Duration::from_secs(1);

/// What a run began with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// The result file without its trials.
    pub file: ResultFile,
    /// Ids of all trials, in the order planned.
    pub planned: Vec<String>,
}

/// An open, locked partial folder.
#[derive(Debug)]
pub struct Partial {
    folder: PathBuf,
    lock: File,
}

impl Partial {
    /// Where the run that will end in `out` lives: `x.json` gives `x.json.partial`.
    pub fn folder_of(out: &Path) -> PathBuf {
        let mut name = out.as_os_str().to_owned();
        name.push(".partial");
        PathBuf::from(name)
    }

    /// Makes the folder, or opens the one that is there, and locks it. This is where an unwritable `out` shows.
    pub fn open(out: &Path) -> Result<Self> {
        let folder = Self::folder_of(out);
        let unwritable = |error: io::Error| {
            Error::input(format!("cannot write {}: {error}", folder.display()))
                .hint("give `--out` a file in a folder that may be written to")
        };
        fs::create_dir_all(&folder).map_err(unwritable)?;
        let lock =
            File::options().create(true).truncate(false).write(true).open(folder.join(LOCK)).map_err(unwritable)?;
        lock_within(&lock, PATIENCE).map_err(|error| match error {
            TryLockError::WouldBlock => Error::input(format!("another run is writing to {}", folder.display()))
                .hint("wait for it to end, or give this run another `--out`"),
            TryLockError::Error(error) => unwritable(error),
        })?;
        // Really writes: a full disk or a read-only mount lets an existing lock be opened.
        tempfile::NamedTempFile::new_in(&folder).and_then(|mut probe| probe.write_all(b"{}")).map_err(unwritable)?;
        Ok(Self { folder, lock })
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What the run in this folder began with; `None` where it did not get that far.
    pub fn header(&self) -> Result<Option<Header>> {
        read_header(&self.folder)
    }

    /// Writes the header: from now on the folder counts.
    pub fn begin(&self, header: &Header) -> Result<()> {
        let path = self.folder.join(HEADER);
        let failed = |error: io::Error| Error::internal(format!("cannot write {}: {error}", path.display()));
        let mut file = tempfile::NamedTempFile::new_in(&self.folder).map_err(failed)?;
        serde_json::to_writer_pretty(&mut file, header).map_err(|error| failed(error.into()))?;
        file.as_file().sync_all().map_err(failed)?;
        file.persist(&path).map_err(|error| failed(error.error))?;
        Ok(())
    }

    /// Keeps a finished trial.
    pub fn keep(&self, trial: &Trial) -> Result<()> {
        store::journal_trial(&self.folder, trial)
    }

    /// The trials kept so far. Files that are torn or foreign are moved to `<out>.set-aside` and named in the second list.
    pub fn finished(&self) -> Result<(Vec<Trial>, Vec<String>)> {
        let journal = store::read_journal(&self.folder)?;
        let mut notes = Vec::new();
        for (path, reason) in journal.rejected {
            let aside = self.folder.with_extension("set-aside");
            let moved = fs::create_dir_all(&aside)
                .and_then(|()| fs::rename(&path, aside.join(path.file_name().unwrap_or_default())));
            let what = match moved {
                Ok(()) => format!("moved to {}", aside.display()),
                Err(error) => format!("left where it is ({error})"),
            };
            notes.push(format!("{} is not a trial: {reason}; {what}", path.display()));
        }
        Ok((journal.trials, notes))
    }

    /// Empties the folder, header first; the lock stays.
    pub fn clear(&self) -> Result<()> {
        let failed = |error: io::Error| Error::internal(format!("cannot empty {}: {error}", self.folder.display()));
        match fs::remove_file(self.folder.join(HEADER)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        for entry in fs::read_dir(&self.folder).map_err(failed)?.flatten() {
            if entry.file_name() != LOCK {
                fs::remove_file(entry.path()).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Removes the folder of a run that is merged. What cannot be removed does not matter: without a header it says nothing.
    pub fn remove(self) -> Result<()> {
        self.clear()?;
        let _ = fs::remove_file(self.folder.join(LOCK));
        drop(self.lock);
        let _ = fs::remove_dir(&self.folder);
        Ok(())
    }
}

/// Takes the lock, waiting a moment for a process that is just going away: a kill is not over when it returns.
fn lock_within(file: &File, patience: Duration) -> std::result::Result<(), TryLockError> {
    let began = Instant::now();
    loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if began.elapsed() < patience => thread::sleep(Duration::from_millis(20)),
            // A file system without locks: nothing can be said about other runs.
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => return Ok(()),
            outcome => return outcome,
        }
    }
}

fn read_header(folder: &Path) -> Result<Option<Header>> {
    let path = folder.join(HEADER);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::input(format!("cannot read {}: {error}", path.display()))),
    };
    serde_json::from_slice(&text).map(Some).map_err(|error| {
        Error::input(format!("{}: {error}", path.display()))
            .hint("another version of effbench may have written it; `--fresh` starts over")
    })
}

/// The `out` of the newest unfinished run of a suite in a folder.
pub fn newest_partial(results: &Path, suite: &str) -> Option<PathBuf> {
    let runs = fs::read_dir(results).ok()?.flatten().filter_map(|entry| {
        let folder = entry.path();
        let out = folder.to_str()?.strip_suffix(".partial")?.to_owned();
        let run = read_header(&folder).ok()??.file.run;
        (run.suite == suite).then_some((run.started_at, PathBuf::from(out)))
    });
    runs.max().map(|(_, out)| out)
}
