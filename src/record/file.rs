//! Files that are written whole or not at all.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tempfile::NamedTempFile;

use super::layout;
use crate::error::{Error, Result, plain};

/// Refuses a path that [`write`](super::store::write) could not write, without leaving anything behind.
pub fn check_writable(path: &Path) -> Result<()> {
    let name = path.display();
    let as_folder = path
        .as_os_str()
        .to_string_lossy()
        .ends_with(std::path::is_separator);
    if path.is_dir() || as_folder {
        return Err(Error::input(format!("{name}: is a folder"))
            .hint("name a file: `--out results/mine.json`"));
    }
    if path.exists() && !path.is_file() {
        return Err(Error::input(format!("{name}: is no ordinary file"))
            .hint("name a file: `--out results/mine.json`"));
    }
    let existing = folder_of(path)
        .ancestors()
        .find(|folder| folder.exists())
        .unwrap_or(Path::new("."))
        .to_owned();
    let tried = if existing.is_dir() {
        temporary(&existing).map(drop)
    } else {
        Err(std::io::ErrorKind::NotADirectory.into())
    };
    tried.map_err(|e| {
        Error::input(format!(
            "{name}: cannot be written: {}: {}",
            existing.display(),
            plain(&e)
        ))
        .hint("name a file in a folder of yours: `--out FILE`")
    })
}

/// Refuses to replace a file that is there, unless that is asked for; one that may not be written stays in any case.
///
/// # Errors
/// Such a file.
pub fn check_new(path: &Path, force: bool) -> Result<()> {
    let name = path.display();
    let Ok(there) = fs::metadata(path) else {
        return Ok(());
    };
    if there.permissions().readonly() {
        return Err(
            Error::input(format!("{name}: is write-protected")).hint("write under another name")
        );
    }
    match force {
        true => Ok(()),
        false => Err(Error::input(format!("{name}: is already there"))
            .hint("`--force` replaces it; or write under another name")),
    }
}

/// Writes any part of the record as JSON, atomically. What does not come back from JSON as it went in is refused.
pub(crate) fn write_json<T: Serialize + DeserializeOwned + PartialEq>(
    path: &Path,
    value: &T,
) -> Result<()> {
    let text =
        layout::to_text(value).map_err(|e| Error::internal(format!("{}: {e}", path.display())))?;
    let back: Option<T> = serde_json::from_slice(&text).ok();
    if back.as_ref() != Some(value) {
        let message = format!(
            "{}: not written, a figure in it is not a finite number",
            path.display()
        );
        return Err(Error::internal(message));
    }
    write_whole(path, &text)
}

/// Writes a file whole or not at all, whatever is in it; its folder is made if need be.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = folder_of(path);
    let written = (|| {
        fs::create_dir_all(&folder)?;
        let mut file = temporary(&folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|e| e.error)?;
        sync_folder(&folder)
    })();
    written.map_err(|e| {
        Error::input(format!(
            "{}: cannot be written: {}",
            path.display(),
            plain(&e)
        ))
    })
}

/// What the name of every unfinished write begins with.
pub(super) const TEMPORARY: &str = ".unfinished-";

fn temporary(folder: &Path) -> std::io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY).suffix(".json");
    // Readable as any other file: the umask narrows it.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
}

/// The rename itself reaches the disk only with its folder.
fn sync_folder(folder: &Path) -> std::io::Result<()> {
    if cfg!(unix) {
        File::open(folder)?.sync_all()
    } else {
        Ok(())
    }
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}
