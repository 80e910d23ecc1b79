//! Little-endian numbers out of a file whose end is known, so that no count in it is believed beyond what is there.

use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::Path;

/// A file that is read from its beginning.
pub(super) struct Bytes {
    file: BufReader<File>,
    left: u64,
    length: u64,
}

type Found<T> = Result<T, String>;

impl Bytes {
    pub fn open(path: &Path) -> Found<Self> {
        let file = File::open(path).map_err(|error| format!("it cannot be read: {error}"))?;
        let data = file
            .metadata()
            .map_err(|error| format!("it cannot be read: {error}"))?;
        if !data.is_file() {
            return Err("it is no file".to_owned());
        }
        let length = data.len();
        Ok(Self {
            file: BufReader::new(file),
            left: length,
            length,
        })
    }

    /// Of the whole file.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Bytes before the next.
    pub fn place(&mut self) -> Found<u64> {
        self.file
            .stream_position()
            .map_err(|error| error.to_string())
    }

    /// The next so many bytes.
    pub fn take(&mut self, count: u64) -> Found<Vec<u8>> {
        if count > self.left {
            return Err("it is cut: it ends within its header".to_owned());
        }
        let mut all = vec![0; usize::try_from(count).map_err(|_| "it is too large".to_owned())?];
        self.file
            .read_exact(&mut all)
            .map_err(|error| error.to_string())?;
        self.left -= count;
        Ok(all)
    }

    fn array<const N: usize>(&mut self) -> Found<[u8; N]> {
        let bytes = self.take(N as u64)?;
        bytes.try_into().map_err(|_| "it ends too early".to_owned())
    }

    pub fn u8(&mut self) -> Found<u8> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    pub fn u16(&mut self) -> Found<u16> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub fn u32(&mut self) -> Found<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub fn u64(&mut self) -> Found<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A length, and so many bytes of UTF-8.
    pub fn text(&mut self) -> Found<String> {
        let length = self.u64()?;
        let bytes = self.take(length)?;
        String::from_utf8(bytes).map_err(|_| "a text in it is not UTF-8".to_owned())
    }
}
