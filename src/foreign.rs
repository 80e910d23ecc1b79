//! Files as people keep them: packed by gzip or zstd, UTF-8 with or without its mark, UTF-16 as PowerShell redirects it. One reader
//! for everything that this program did not write: logs, tables, corpora, result files that somebody packed.

use std::fs;
use std::io::Read;
use std::path::Path;

use flate2::read::MultiGzDecoder;
use ruzstd::decoding::StreamingDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};

use crate::error::{Error, Result, plain};

/// A packed file may hold no more than this when it is unpacked, in bytes: one that unpacks without end is refused.
const MOST: u64 = 4 << 30;
/// Whether bytes begin as zstd's do: with a frame, or with one that is to be skipped, as `pzstd` writes.
fn is_zstd(bytes: &[u8]) -> bool {
    matches!(
        bytes,
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..]
    )
}

/// A file's bytes, unpacked where they are packed; `-` is standard input.
///
/// # Errors
/// A file that cannot be read or unpacked.
pub fn bytes(path: &Path) -> Result<Vec<u8>> {
    let shown = path.display();
    let unreadable =
        |e: std::io::Error| Error::input(format!("{shown}: cannot be read: {}", plain(&e)));
    let bytes = if path == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin()
            .read_to_end(&mut bytes)
            .map_err(unreadable)?;
        bytes
    } else {
        fs::read(path).map_err(unreadable)?
    };
    unpacked(&shown.to_string(), bytes)
}

/// Why a path cannot be read again by another process, where it cannot: every trial is one.
pub fn once(path: &Path) -> Option<&'static str> {
    let own = ["/dev/fd", "/dev/stdin", "/proc/self"];
    let of_this_process = own.iter().any(|folder| path.starts_with(folder));
    let about = fs::metadata(path).ok();
    let is_stream = about.is_some_and(|about| !about.is_file() && !about.is_dir());
    (of_this_process || is_stream).then_some(
        "a pipe or a stream is read once, and every trial is a process of its own that reads again",
    )
}

/// The text of a file: unpacked, decoded, without a byte-order mark.
///
/// # Errors
/// As of [`bytes`] and [`decoded`].
pub fn text(path: &Path) -> Result<String> {
    decoded(&path.display().to_string(), bytes(path)?)
}

/// What packed bytes hold; other bytes as they are.
///
/// # Errors
/// Bytes that are damaged, cut off, packed by something else, or more than 4 GiB when unpacked.
pub fn unpacked(shown: &str, bytes: Vec<u8>) -> Result<Vec<u8>> {
    let (name, test, unpacked) = if bytes.starts_with(b"\x1f\x8b") {
        ("gzip", "gunzip --test FILE", un_gzip(&bytes))
    } else if is_zstd(&bytes) {
        ("zstd", "zstd --test FILE", un_zstd(&bytes))
    } else {
        return otherwise_packed(shown, bytes);
    };
    let held = unpacked.ok_or_else(|| {
        Error::input(format!("{shown}: packed by {name}, and damaged or cut off"))
            .hint(format!("`{test}` says the same; copy it again"))
    })?;
    if held.len() as u64 > MOST {
        let most = MOST >> 30;
        return Err(Error::input(format!(
            "{shown}: more than {most} GiB when it is unpacked"
        )));
    }
    Ok(held)
}

fn un_gzip(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut held = Vec::new();
    let mut decoder = MultiGzDecoder::new(bytes).take(MOST + 1);
    decoder.read_to_end(&mut held).ok()?;
    Some(held)
}

/// All frames, one behind the other; a frame that is to be skipped is skipped.
fn un_zstd(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut held = Vec::new();
    while !bytes.is_empty() && held.len() as u64 <= MOST {
        let most = MOST + 1 - held.len() as u64;
        match StreamingDecoder::new(&mut bytes) {
            Ok(decoder) => decoder.take(most).read_to_end(&mut held).ok()?,
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                length,
                ..
            })) => {
                bytes = bytes.get(length as usize..)?;
                0
            }
            Err(_) => return None,
        };
    }
    Some(held)
}

/// Bytes as they are, unless something packed them that is not read here.
fn otherwise_packed(shown: &str, bytes: Vec<u8>) -> Result<Vec<u8>> {
    let packed = [
        (&b"\xfd7zXZ\x00"[..], "xz", "unxz --keep FILE"),
        (b"BZh", "bzip2", "bunzip2 --keep FILE"),
        (b"PK\x03\x04", "zip", "unzip FILE"),
    ];
    match packed.iter().find(|(magic, ..)| bytes.starts_with(magic)) {
        Some((_, name, command)) => Err(Error::input(format!("{shown}: packed by {name}")).hint(
            format!("`{command}` unpacks it; gzip and zstd are read as they are"),
        )),
        None => Ok(bytes),
    }
}

/// The text that bytes are, without a byte-order mark.
///
/// # Errors
/// Bytes that are neither UTF-8 nor UTF-16.
pub fn decoded(shown: &str, bytes: Vec<u8>) -> Result<String> {
    if let Some(wide) = utf_16(&bytes) {
        return wide.ok_or_else(|| {
            Error::input(format!(
                "{shown}: begins like UTF-16 and goes on like something else"
            ))
            .hint("`iconv -f utf-16 -t utf-8 FILE > NEW` says where")
        });
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(match text.strip_prefix('\u{feff}') {
            Some(rest) => rest.to_owned(),
            None => text,
        }),
        // No encoding of a text has this byte but the wide ones.
        Err(error) if error.as_bytes().contains(&0) => Err(Error::input(format!(
            "{shown}: no text, but bytes of another kind"
        ))),
        Err(error) => {
            let sound = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = sound.iter().filter(|b| **b == b'\n').count() + 1;
            Err(Error::input(format!("{shown}:{line}: not UTF-8 text"))
                .hint("`iconv -f latin1 -t utf-8 FILE > NEW` turns a Western European encoding into it"))
        }
    }
}

/// The bytes of a corpus, of which any are allowed: text in UTF-16 or behind a mark as UTF-8 without one, others as they are.
pub fn unmarked(bytes: Vec<u8>) -> Vec<u8> {
    match utf_16(&bytes) {
        Some(Some(text)) => text.into_bytes(),
        _ => match bytes.strip_prefix(b"\xef\xbb\xbf") {
            Some(rest) => rest.to_vec(),
            None => bytes,
        },
    }
}

/// Whether bytes are UTF-16.
pub fn is_wide(bytes: &[u8]) -> bool {
    utf_16(bytes).is_some()
}

/// The text of UTF-16 with its mark, or without one where every other byte of the beginning is 0; `None` where it is none.
fn utf_16(bytes: &[u8]) -> Option<Option<String>> {
    let start = &bytes[..bytes.len().min(64)];
    let zeros = |odd: usize| {
        start.len() >= 8
            && start.iter().skip(odd).step_by(2).all(|b| *b == 0)
            && start.iter().skip(1 - odd).step_by(2).all(|b| *b != 0)
    };
    let (little, from) = match bytes {
        [0xff, 0xfe, ..] => (true, 2),
        [0xfe, 0xff, ..] => (false, 2),
        _ if zeros(1) => (true, 0),
        _ if zeros(0) => (false, 0),
        _ => return None,
    };
    let pairs = bytes[from..].chunks_exact(2);
    let whole = pairs.remainder().is_empty();
    let units = pairs.map(|pair| {
        let pair = [pair[0], pair[1]];
        if little {
            u16::from_le_bytes(pair)
        } else {
            u16::from_be_bytes(pair)
        }
    });
    let text: std::result::Result<String, _> = char::decode_utf16(units).collect();
    Some(text.ok().filter(|_| whole))
}

/// The same without what colours a terminal: `ESC [ ... m` and its like.
pub fn uncoloured(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("\u{1b}[") {
        plain.push_str(&rest[..at]);
        let code = &rest[at + 2..];
        let end = code.find(|c: char| ('@'..='~').contains(&c));
        rest = end.map_or("", |end| &code[end + 1..]);
    }
    plain + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn text_is_text_in_any_wrapping() {
        let wide = |big: bool, mark: bool| {
            let text = if mark {
                "\u{feff}step,loss\n1,2\n"
            } else {
                "step,loss\n1,2\n"
            };
            let units = text.encode_utf16();
            let bytes = units.flat_map(|u| {
                if big {
                    u.to_be_bytes()
                } else {
                    u.to_le_bytes()
                }
            });
            bytes.collect::<Vec<u8>>()
        };
        let marked = "\u{feff}step,loss\n1,2\n".as_bytes().to_vec();
        let rows = [
            marked,
            wide(true, true),
            wide(false, true),
            wide(true, false),
            wide(false, false),
        ];
        for bytes in rows {
            assert_eq!(
                decoded("x", bytes.clone()).unwrap(),
                "step,loss\n1,2\n",
                "{bytes:?}"
            );
        }
        for bytes in [b"\xef\xbb\xbfab".to_vec(), b"\xff\xfea\0b\0".to_vec()] {
            assert_eq!(unmarked(bytes), b"ab");
        }
        assert_eq!(unmarked(b"\xff\xfea".to_vec()), b"\xff\xfea");
        assert!(decoded("x", b"\xff\xfea".to_vec()).is_err(), "half a unit");
        let latin = decoded("x", b"step\n1\nb\xfc\n".to_vec()).unwrap_err();
        assert!(latin.message.starts_with("x:3: not UTF-8"), "{latin}");
    }

    #[test]
    fn packed_files_are_unpacked_and_other_packers_are_named() {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(b"step,loss\n1,2\n").unwrap();
        let gzip = packed.finish().unwrap();
        let zstd = ruzstd::encoding::compress_to_vec(
            &b"step,loss\n1,2\n"[..],
            ruzstd::encoding::CompressionLevel::Fastest,
        );
        for packed in [&gzip, &zstd] {
            let held = |bytes: &[u8]| unpacked("x", bytes.to_vec());
            assert_eq!(held(packed).unwrap(), b"step,loss\n1,2\n");
            // Two, one behind the other, are what `cat` makes of them.
            let two = [&packed[..], &packed[..]].concat();
            assert_eq!(held(&two).unwrap(), b"step,loss\n1,2\nstep,loss\n1,2\n");
            let torn = held(&packed[..packed.len() - 6]).unwrap_err();
            assert!(torn.message.ends_with("damaged or cut off"), "{torn}");
        }
        let skipped = [
            zstd.clone(),
            vec![0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 7, 7],
            zstd,
        ]
        .concat();
        assert_eq!(unpacked("x", skipped).unwrap().len(), 28);
        let other = unpacked("x", b"BZh91AY".to_vec()).unwrap_err();
        assert_eq!(other.message, "x: packed by bzip2");
        assert_eq!(unpacked("x", b"BZ".to_vec()).unwrap(), b"BZ");
    }

    #[test]
    fn colours_are_no_text() {
        let coloured = "\u{1b}[31m\u{1b}[1mstep: 1\u{1b}[0m loss: 2\u{1b}[39m";
        assert_eq!(uncoloured(coloured), "step: 1 loss: 2");
        assert_eq!(uncoloured("cut \u{1b}[3"), "cut ");
    }
}
