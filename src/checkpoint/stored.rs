//! Tensors in files of weights, and how their rows lie there.

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
}

/// A part of a parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// By its name in the file.
    pub tensor: String,
    /// How it lies there.
    pub turn: Turn,
}
