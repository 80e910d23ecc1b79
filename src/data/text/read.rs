//! Reading a file or a folder into documents, and their identity.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, plain};
use crate::foreign;

/// What was read.
#[derive(Debug)]
pub(super) struct Corpus {
    /// The file, or the folder's files by path.
    pub documents: Vec<Document>,
    /// Of the file's bytes; of a folder, of every relative path, length and contents.
    pub blake3: String,
}

/// One file.
#[derive(Debug)]
pub(super) struct Document {
    /// For messages: the path below the folder, or the file's name.
    pub name: String,
    pub bytes: Vec<u8>,
}

/// Reads a file, or every file below a folder but hidden ones, in the order of their paths. The error is a reason.
pub(super) fn read(path: &Path) -> Result<Corpus, String> {
    let facts = fs::metadata(path).map_err(|error| format!("cannot be read: {}", plain(&error)))?;
    if let Some(why) = foreign::once(path) {
        return Err(format!("{why}: write it to a file first"));
    }
    if !facts.is_dir() {
        let bytes = read_file(path)?;
        if bytes.is_empty() {
            return Err("the file is empty".to_owned());
        }
        let blake3 = blake3::hash(&bytes).to_hex().to_string();
        return Ok(Corpus {
            documents: vec![Document {
                name: file_name(path),
                bytes,
            }],
            blake3,
        });
    }
    let mut files = Vec::new();
    list(path, "", &mut files)?;
    files.sort();
    let mut hash = blake3::Hasher::new();
    let mut documents = Vec::new();
    for (name, file) in files {
        let bytes = read_file(&file)?;
        hash.update(name.as_bytes())
            .update(&[0])
            .update(&(bytes.len() as u64).to_le_bytes())
            .update(&bytes);
        documents.push(Document { name, bytes });
    }
    if documents.iter().all(|document| document.bytes.is_empty()) {
        return Err("the folder holds no text".to_owned());
    }
    Ok(Corpus {
        documents,
        blake3: hash.finalize().to_hex().to_string(),
    })
}

/// The last component of a path, which may be recorded; the rest may say who owns the machine.
pub(super) fn file_name(path: &Path) -> String {
    let name = |path: &Path| {
        path.file_name()
            .map(|name| name.to_string_lossy().into_owned())
    };
    name(path)
        .or_else(|| name(&fs::canonicalize(path).ok()?))
        .unwrap_or_else(|| "text".to_owned())
}

fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    let name = file_name(path);
    let bytes =
        fs::read(path).map_err(|error| format!("`{name}` cannot be read: {}", plain(&error)))?;
    let said = |error: Error| match error.hint {
        Some(hint) => format!("{} ({hint})", error.message),
        None => error.message,
    };
    foreign::unpacked(&name, bytes)
        .map(foreign::unmarked)
        .map_err(said)
}

/// Lists files below a folder with their relative paths. Links to folders are not followed: they may lead in circles.
fn list(folder: &Path, prefix: &str, files: &mut Vec<(String, PathBuf)>) -> Result<(), String> {
    let refused = |error| format!("`{}` cannot be read: {error}", file_name(folder));
    for entry in fs::read_dir(folder).map_err(refused)? {
        let entry = entry.map_err(refused)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue;
        }
        let (path, below) = (entry.path(), format!("{prefix}{name}"));
        if entry.file_type().map_err(refused)?.is_dir() {
            list(&path, &format!("{below}/"), files)?;
        } else if path.is_file() {
            files.push((below, path));
        }
    }
    Ok(())
}

impl Document {
    /// The document as text. The error is a reason.
    pub fn text(&self) -> Result<&str, String> {
        let binary =
            |what: &str, at: usize| format!("`{}` is not text: {what} at byte {at}", self.name);
        let text = std::str::from_utf8(&self.bytes)
            .map_err(|error| binary("not UTF-8", error.valid_up_to()))?;
        match text.find('\0') {
            Some(at) => Err(binary("a NUL", at)),
            None => Ok(text),
        }
    }
}
