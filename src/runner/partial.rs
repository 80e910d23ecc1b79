//! The folder `<out>.partial` in which a run lives until it is done: a journal, and a lock that keeps a second run out.
//!
//! The journal's head is written last when a run begins and removed first when it is merged: with it the folder says what
//! is finished, without it the folder says nothing. The lock falls with its process, and is taken before anything is looked at:
//! what a run that just ends leaves behind is seen as it is.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::record::journal::HEAD;
use crate::record::{ResultFile, Status, Trial, journal, store};

/// How the file of a comparison's second stage ends.
pub const CONFIRM: &str = "-confirm.json";

const LOCK: &str = "lock";
const CHECKPOINT: &str = "checkpoint";
const UNFINISHED: &str = "unfinished";
const PATIENCE: Duration = Duration::from_secs(1);

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

    /// Whether there is a run that got as far as its head.
    pub fn has_begun(out: &Path) -> bool {
        Self::folder_of(out).join(HEAD).exists()
    }

    /// Makes the folder, or opens the one that is there, and locks it. A run that ends takes its lock's file along: then the lock
    /// that was waited for holds nothing, and there is a new one to take.
    pub fn open(out: &Path) -> Result<Self> {
        let folder = Self::folder_of(out);
        let unwritable = |error: io::Error| {
            Error::input(format!("{}: cannot be written: {error}", folder.display()))
        };
        let path = folder.join(LOCK);
        let began = Instant::now();
        loop {
            fs::create_dir_all(&folder).map_err(unwritable)?;
            let lock = match File::options()
                .create(true)
                .truncate(false)
                .write(true)
                .open(&path)
            {
                // It went together with its folder, just now.
                Err(error)
                    if error.kind() == io::ErrorKind::NotFound && began.elapsed() < PATIENCE =>
                {
                    continue;
                }
                other => other.map_err(unwritable)?,
            };
            lock_within(&lock, PATIENCE).map_err(|error| match error {
                TryLockError::WouldBlock => {
                    Error::input(format!("another run is writing to {}", folder.display()))
                        .hint("wait for it to end, or give this run another `--out`")
                }
                TryLockError::Error(error) => unwritable(error),
            })?;
            if is_at(&lock, &path) {
                return Ok(Self { folder, lock });
            }
        }
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where a trial keeps what lets it go on after a kill.
    pub fn checkpoint_of(&self, id: &str) -> PathBuf {
        self.folder.join(format!("{id}.{CHECKPOINT}"))
    }

    /// Writes the head: from now on the folder counts.
    pub fn begin(&self, head: &ResultFile) -> Result<()> {
        store::write_json(
            &self.folder.join(HEAD),
            &ResultFile {
                trials: Vec::new(),
                ..head.clone()
            },
        )
    }

    /// Keeps a trial. One that is tried again, as its process was killed, goes on from its checkpoint; the others need none.
    pub fn keep(&self, trial: &Trial) -> Result<()> {
        journal::journal_trial(&self.folder, trial)?;
        if matches!(trial.status, Status::Ok | Status::Diverged) {
            let _ = fs::remove_file(self.checkpoint_of(&trial.id));
        }
        Ok(())
    }

    /// What the run began with and the trials kept so far; `None` where it did not get as far as its head. Torn files
    /// are moved to `<out>.set-aside`, and the notes name them.
    pub fn read(&self, notes: &mut Vec<String>) -> Result<Option<(ResultFile, Vec<Trial>)>> {
        let journal = journal::read_journal(&self.folder)?;
        let head = head_of(&self.folder)?;
        let aside = self.folder.with_extension("set-aside");
        for (path, why) in journal.rejected {
            let moved = fs::create_dir_all(&aside)
                .and_then(|()| fs::rename(&path, aside.join(path.file_name().unwrap_or_default())));
            let what = match moved {
                Ok(()) => format!("moved to {}", aside.display()),
                Err(error) => format!("left where it is ({error})"),
            };
            notes.push(format!("{} is not a trial: {why}; {what}", path.display()));
        }
        Ok(head.map(|head| (head, journal.trials)))
    }

    /// Empties the journal, head first; the lock, checkpoints and what is not the journal's stay.
    pub fn clear(&self) -> Result<()> {
        self.clear_of(&["json", UNFINISHED])
    }

    /// The same with checkpoints: the run starts over.
    pub fn clear_all(&self) -> Result<()> {
        self.clear_of(&["json", UNFINISHED, CHECKPOINT])
    }

    fn clear_of(&self, endings: &[&str]) -> Result<()> {
        let failed = |error: io::Error| {
            Error::input(format!(
                "{}: cannot be emptied: {error}",
                self.folder.display()
            ))
        };
        match fs::remove_file(self.folder.join(HEAD)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        for entry in fs::read_dir(&self.folder).map_err(failed)?.flatten() {
            let own = |ending: &std::ffi::OsStr| endings.iter().any(|known| ending == *known);
            if entry.path().extension().is_some_and(own) && entry.path().is_file() {
                fs::remove_file(entry.path()).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Removes the folder of a run that is merged. It stays where trials left checkpoints to go on from, or somebody put other
    /// files into it, and says nothing.
    pub fn remove(self) -> Result<()> {
        self.clear()?;
        self.leave();
        Ok(())
    }

    /// Lets go of the folder, and takes it along where nothing but the lock is in it.
    pub fn leave(self) {
        let others = fs::read_dir(&self.folder)
            .map(|entries| entries.flatten().filter(|e| e.file_name() != LOCK).count());
        if others.is_ok_and(|others| others == 0) {
            let _ = fs::remove_file(self.folder.join(LOCK));
            let _ = fs::remove_dir(&self.folder);
        }
        drop(self.lock);
    }
}

/// Whether an open file is the one that a path names now.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let identity = |meta: fs::Metadata| (meta.dev(), meta.ino());
    file.metadata()
        .map(identity)
        .ok()
        .is_some_and(|own| fs::metadata(path).map(identity).ok() == Some(own))
}

/// Elsewhere a file that is open is not removed.
#[cfg(not(unix))]
fn is_at(_file: &File, _path: &Path) -> bool {
    true
}

/// Without its head a journal says nothing; one whose head cannot be read is not for this program to throw away.
fn head_of(folder: &Path) -> Result<Option<ResultFile>> {
    let path = folder.join(HEAD);
    if !path.exists() {
        return Ok(None);
    }
    let hint = "another version of effbench may have written it; `--fresh` starts over";
    store::read(&path)
        .map(Some)
        .map_err(|error| Error::input(error.message).hint(hint))
}

/// Takes the lock, waiting a moment for a process that is just going away: a kill is not over when it returns.
fn lock_within(file: &File, patience: Duration) -> std::result::Result<(), TryLockError> {
    let began = Instant::now();
    loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if began.elapsed() < patience => {
                thread::sleep(Duration::from_millis(20))
            }
            // A file system without locks: nothing can be said about other runs.
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
                return Ok(());
            }
            outcome => return outcome,
        }
    }
}

/// The `out` of the newest unfinished run of a suite in a folder.
pub fn newest_partial(results: &Path, suite: &str) -> Option<PathBuf> {
    let runs = fs::read_dir(results).ok()?.flatten().filter_map(|entry| {
        let folder = entry.path();
        let out = folder.to_str()?.strip_suffix(".partial")?.to_owned();
        // The second stage of a comparison is resumed with its first.
        if out.ends_with(CONFIRM) {
            return None;
        }
        let run = head_of(&folder).ok()??.run;
        (run.suite == suite).then_some((run.started_at, PathBuf::from(out)))
    });
    runs.max().map(|(_, out)| out)
}
