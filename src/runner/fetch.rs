//! Fetches a corpus: resumable, checked by size and SHA-256, unpacked, and put in its place whole or not at all.
//!
//! It stands in `runner` because it talks to the outside and takes long; `data::corpus` only says what there is. A transfer
//! goes to `NAME.part`, which stays when it is cut and is continued by a Range request. Nothing that was fetched is deleted
//! before it has been checked, and what fails the check is left for its owner to look at.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use flate2::read::DeflateDecoder;
use sha2::{Digest, Sha256};

use crate::data::corpus::{Content, Corpus, Packing};
use crate::error::{Error, Result};

/// Until a server must have answered, and between two pieces of its answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often one address is tried while each try brings something.
const TRIES: usize = 5;
const PIECE: usize = 1 << 16;

/// A corpus in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The text.
    pub path: PathBuf,
    /// Whether it was there already.
    pub already: bool,
}

/// Told how many bytes of how many are there.
pub type Progress<'a> = &'a mut dyn FnMut(u64, u64);

/// Puts a corpus into `folder`; `from` replaces its addresses. What is there already is checked and left alone.
///
/// # Errors
///
/// A file in its place that is another, no address that answers, a transfer that was cut, a wrong size or hash: each says
/// what to do, and which file stays.
pub fn fetch(
    corpus: &Corpus,
    folder: &Path,
    from: Option<&str>,
    progress: Progress,
) -> Result<Fetched> {
    let path = folder.join(corpus.file);
    if path.exists() {
        check(
            &path,
            corpus.text,
            "delete it, or choose another folder with --dir, and get it again",
        )?;
        return Ok(Fetched {
            path,
            already: true,
        });
    }
    fs::create_dir_all(folder).map_err(|e| unwritable(folder, &e))?;
    let part = folder.join(format!("{}.part", corpus.file));
    match from {
        Some(url) => download(&[url], corpus.download, &part, progress)?,
        None => download(corpus.urls, corpus.download, &part, progress)?,
    }
    check(
        &part,
        corpus.download,
        "delete it and get it again, or from another address with --from URL",
    )?;
    match corpus.packing {
        Packing::Plain => fs::rename(&part, &path).map_err(|e| unwritable(&path, &e))?,
        Packing::Zip => {
            unpack(&part, &path, corpus.text)?;
            fs::remove_file(&part).map_err(|e| unwritable(&part, &e))?;
        }
    }
    Ok(Fetched {
        path,
        already: false,
    })
}

/// Refuses a file that is not what it should be.
fn check(path: &Path, expected: Content, remedy: &str) -> Result<()> {
    let mut file = File::open(path).map_err(|e| unreadable(path, &e))?;
    let (bytes, sha256) =
        copy_hashed(&mut file, &mut io::sink()).map_err(|e| unreadable(path, &e))?;
    let found = Found { bytes, sha256 };
    if found.is(expected) {
        Ok(())
    } else {
        Err(found.is_not(path, expected).hint(remedy))
    }
}

struct Found {
    bytes: u64,
    sha256: String,
}

impl Found {
    fn is(&self, expected: Content) -> bool {
        self.bytes == expected.bytes && self.sha256 == expected.sha256
    }

    fn is_not(&self, path: &Path, expected: Content) -> Error {
        let found = match self.bytes == expected.bytes {
            true => format!("SHA-256 {}, expected {}", self.sha256, expected.sha256),
            false => format!("{} bytes, expected {}", self.bytes, expected.bytes),
        };
        Error::input(format!(
            "{}: not the file that was asked for: {found}",
            path.display()
        ))
    }
}

fn copy_hashed(from: &mut impl Read, to: &mut impl Write) -> io::Result<(u64, String)> {
    let (mut hasher, mut bytes, mut piece) = (Sha256::new(), 0, vec![0; PIECE]);
    loop {
        match from.read(&mut piece)? {
            0 => return Ok((bytes, format!("{:x}", hasher.finalize()))),
            n => {
                hasher.update(&piece[..n]);
                to.write_all(&piece[..n])?;
                bytes += n as u64;
            }
        }
    }
}

/// Fills `part` up to the expected size, from the first address that gives it.
fn download(urls: &[&str], expected: Content, part: &Path, progress: Progress) -> Result<()> {
    let mut file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(part)
        .map_err(|e| unwritable(part, &e))?;
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .user_agent(concat!("effbench/", env!("CARGO_PKG_VERSION")))
        // Sizes and ranges are of the file itself.
        .accept_encoding("identity")
        .timeout_connect(Some(PATIENCE))
        .timeout_recv_response(Some(PATIENCE))
        .timeout_per_read(Some(PATIENCE))
        .build()
        .into();
    let mut why = Vec::new();
    for url in urls {
        for _ in 0..TRIES {
            let before = size(&mut file, part)?;
            // All of it, or already more: whether it is the right file is for the check to say.
            if before >= expected.bytes {
                return Ok(());
            }
            match transfer(&agent, url, expected, &mut file, progress) {
                Ok(()) => return Ok(()),
                Err(reason) => why.push(format!("{url}: {reason}")),
            }
            if size(&mut file, part)? <= before {
                break;
            }
        }
    }
    let there = size(&mut file, part)?;
    let error = Error::input(format!(
        "cannot fetch {}: {}",
        part.with_extension("").display(),
        why.join("; ")
    ));
    drop(file);
    if there == 0 {
        let _ = fs::remove_file(part);
        return Err(
            error.hint("no network here? --from URL takes a mirror; or put the file there by hand")
        );
    }
    Err(error.hint(format!(
        "the same command continues: {there} of {} bytes are in {}",
        expected.bytes,
        part.display()
    )))
}

fn size(file: &mut File, part: &Path) -> Result<u64> {
    file.seek(SeekFrom::End(0))
        .map_err(|e| unwritable(part, &e))
}

/// One request: what is missing, or everything where the server knows no ranges. The reason where it ends too early.
fn transfer(
    agent: &ureq::Agent,
    url: &str,
    expected: Content,
    file: &mut File,
    progress: Progress,
) -> std::result::Result<(), String> {
    let disk = |e: io::Error| format!("cannot be written: {e}");
    let mut done = file.seek(SeekFrom::End(0)).map_err(disk)?;
    let mut request = agent.get(url);
    if done > 0 {
        request = request.header("Range", format!("bytes={done}-"));
    }
    let response = request.call().map_err(|e| e.to_string())?;
    let range = response
        .headers()
        .get("content-range")
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    match response.status().as_u16() {
        206 if range.starts_with(&format!("bytes {done}-")) => {}
        206 => {
            return Err(format!(
                "asked for bytes from {done} and was offered `{}`",
                range.escape_debug()
            ));
        }
        200 => {
            file.set_len(0).and_then(|()| file.rewind()).map_err(disk)?;
            done = 0;
        }
        other => return Err(format!("HTTP status {other}")),
    }
    let mut body = response.into_body().into_reader();
    let mut piece = vec![0; PIECE];
    progress(done, expected.bytes);
    loop {
        match body
            .read(&mut piece)
            .map_err(|e| format!("cut after {done} of {} bytes: {e}", expected.bytes))?
        {
            0 if done >= expected.bytes => return Ok(()),
            0 => return Err(format!("ended after {done} of {} bytes", expected.bytes)),
            n => {
                file.write_all(&piece[..n]).map_err(disk)?;
                done += n as u64;
                progress(done, expected.bytes);
            }
        }
        if done > expected.bytes {
            return Ok(());
        }
    }
}

/// Writes the first member of a ZIP archive to `path`, checked before it is put there. (APPNOTE.TXT 4.3.7: a local header of
/// 30 bytes, name, extra field, then the deflated data, whose end they themselves tell.)
fn unpack(archive: &Path, path: &Path, expected: Content) -> Result<()> {
    const HEADER: usize = 30;
    let damaged = |what: &str| {
        Error::input(format!("{}: {what}", archive.display())).hint("delete it and get it again")
    };
    let mut file = File::open(archive).map_err(|e| unreadable(archive, &e))?;
    let mut header = [0; HEADER];
    file.read_exact(&mut header)
        .map_err(|_| damaged("too short for a ZIP archive"))?;
    let u16_at = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
    if !header.starts_with(b"PK\x03\x04") || u16_at(8) != 8 {
        return Err(damaged("not a ZIP archive with a deflated first member"));
    }
    let data = HEADER as u64 + u64::from(u16_at(26)) + u64::from(u16_at(28));
    file.seek(SeekFrom::Start(data))
        .map_err(|e| unreadable(archive, &e))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut text = tempfile::NamedTempFile::new_in(folder).map_err(|e| unwritable(folder, &e))?;
    let mut inflated = DeflateDecoder::new(io::BufReader::new(file)).take(expected.bytes + 1);
    let (bytes, sha256) =
        copy_hashed(&mut inflated, &mut text).map_err(|e| damaged(&format!("damaged: {e}")))?;
    let found = Found { bytes, sha256 };
    if !found.is(expected) {
        return Err(found
            .is_not(archive, expected)
            .hint("the archive was the expected one, its member is not"));
    }
    text.as_file()
        .sync_all()
        .and_then(|()| text.persist(path).map_err(|e| e.error))
        .map_err(|e| unwritable(path, &e))?;
    Ok(())
}

fn unwritable(path: &Path, error: &io::Error) -> Error {
    Error::input(format!("{}: cannot be written: {error}", path.display()))
        .hint("choose another folder: --dir DIR")
}

fn unreadable(path: &Path, error: &io::Error) -> Error {
    Error::input(format!("{}: cannot be read: {error}", path.display()))
}

#[cfg(test)]
mod tests;
