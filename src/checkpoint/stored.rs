//! Tensors in files of weights, and how their rows lie there.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

use super::kind::Kind;

/// One tensor of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The file that holds it.
    pub file: PathBuf,
    /// How its numbers are written.
    pub kind: Kind,
    /// Rows first: a matrix is (out, in).
    pub shape: Vec<usize>,
    /// Where its bytes begin in the file.
    pub offset: u64,
    /// How many they are.
    pub bytes: u64,
}

/// The most numbers that are read for what they say of a model.
const MOST_NUMBERS: u64 = 1 << 16;

impl Stored {
    /// The numbers of a short vector of f32, for what they say of the model.
    pub(super) fn numbers(&self) -> Result<Vec<f32>, String> {
        if self.kind.name != "F32" || self.shape.len() != 1 || self.bytes > 4 * MOST_NUMBERS {
            return Err(format!(
                "{:?} of kind {}, not a short vector of F32",
                self.shape, self.kind.name
            ));
        }
        let unreadable = |error: std::io::Error| format!("it cannot be read: {error}");
        let mut file = File::open(&self.file).map_err(unreadable)?;
        file.seek(SeekFrom::Start(self.offset))
            .map_err(unreadable)?;
        let mut bytes = vec![0; self.bytes as usize];
        file.read_exact(&mut bytes).map_err(unreadable)?;
        let (numbers, _) = bytes.as_chunks();
        Ok(numbers
            .iter()
            .map(|&bytes| f32::from_le_bytes(bytes))
            .collect())
    }
}

/// How a tensor's rows lie in the file, where they do not lie as they do here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// As here.
    AsIs,
    /// Rows of so many heads, each with the two of a rotated pair side by side, (2i, 2i + 1), where here they are (i, i + D/2).
    Pairs {
        /// Heads.
        heads: usize,
    },
    /// (in, out), as GPT-2's `Conv1D` keeps a matrix.
    Transposed,
    /// Gains of which 1 is taken, as Gemma's code keeps them.
    LessOne,
}

/// A part of a parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// By its name in the file.
    pub tensor: String,
    /// How it lies there.
    pub turn: Turn,
}
