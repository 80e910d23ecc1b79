//! The text of a file as people keep logs: UTF-8 with or without its mark, UTF-16 as PowerShell redirects it, compressed by gzip.

use std::fs;
use std::io::Read;
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::error::{Error, Result};
use crate::record::store::plain;

/// A compressed log may hold no more than this when it is unpacked, in bytes: a file that unpacks without end is refused.
const MOST: u64 = 4 << 30;

/// A file's bytes, unpacked where they are compressed.
///
/// # Errors
/// A file that cannot be read or unpacked.
pub fn bytes(path: &Path) -> Result<Vec<u8>> {
    let shown = path.display();
    let unreadable =
        |e: std::io::Error| Error::input(format!("{shown}: cannot be read: {}", plain(&e)));
    if path == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin()
            .read_to_end(&mut bytes)
            .map_err(unreadable)?;
        return Ok(bytes);
    }
    let bytes = fs::read(path).map_err(unreadable)?;
    if bytes.starts_with(b"\x1f\x8b") {
        let mut plain = Vec::new();
        let mut unpacked = MultiGzDecoder::new(bytes.as_slice()).take(MOST + 1);
        unpacked.read_to_end(&mut plain).map_err(|_| {
            Error::input(format!(
                "{shown}: compressed by gzip, and damaged or cut off"
            ))
            .hint("`gunzip --test FILE` says the same; copy it again")
        })?;
        if plain.len() as u64 > MOST {
            return Err(Error::input(format!(
                "{shown}: more than {} GiB of text",
                MOST >> 30
            )));
        }
        return Ok(plain);
    }
    let packed = [
        (&b"\x28\xb5\x2f\xfd"[..], "zstd", "zstd -d FILE"),
        (b"\xfd7zXZ\x00", "xz", "unxz --keep FILE"),
        (b"BZh", "bzip2", "bunzip2 --keep FILE"),
        (b"PK\x03\x04", "zip", "unzip FILE"),
    ];
    match packed.iter().find(|(magic, ..)| bytes.starts_with(magic)) {
        Some((_, name, command)) => Err(Error::input(format!("{shown}: compressed by {name}"))
            .hint(format!("`{command}` unpacks it; gzip is read as it is"))),
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
        Err(error) => {
            let sound = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = sound.iter().filter(|b| **b == b'\n').count() + 1;
            Err(Error::input(format!("{shown}:{line}: not UTF-8 text"))
                .hint("`iconv -f latin1 -t utf-8 FILE > NEW` turns a Western European encoding into it"))
        }
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
        assert!(decoded("x", b"\xff\xfea".to_vec()).is_err(), "half a unit");
        let latin = decoded("x", b"step\n1\nb\xfc\n".to_vec()).unwrap_err();
        assert!(latin.message.starts_with("x:3: not UTF-8"), "{latin}");
    }

    #[test]
    fn gzip_is_unpacked_and_other_packers_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.csv.gz");
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(b"step,loss\n1,2\n").unwrap();
        let packed = packed.finish().unwrap();
        fs::write(&path, &packed).unwrap();
        assert_eq!(bytes(&path).unwrap(), b"step,loss\n1,2\n");
        fs::write(&path, &packed[..packed.len() - 9]).unwrap();
        assert!(
            bytes(&path)
                .unwrap_err()
                .message
                .ends_with("damaged or cut off")
        );
        fs::write(&path, b"\x28\xb5\x2f\xfd and so on").unwrap();
        let error = bytes(&path).unwrap_err();
        assert!(error.hint.unwrap().contains("zstd -d"), "{}", error.message);
    }

    #[test]
    fn colours_are_no_text() {
        let coloured = "\u{1b}[31m\u{1b}[1mstep: 1\u{1b}[0m loss: 2\u{1b}[39m";
        assert_eq!(uncoloured(coloured), "step: 1 loss: 2");
        assert_eq!(uncoloured("cut \u{1b}[3"), "cut ");
    }
}
