//! What an architecture answers with.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::checkpoint::stored::{Piece, Stored, Turn};

/// Keys of a spec and their values.
pub type Keys = Vec<(&'static str, Value)>;

/// A checkpoint's model in words of a spec.
#[derive(Debug, Clone, PartialEq)]
pub struct Described {
    /// The variant that is nearest.
    pub base: &'static str,
    /// What differs from it.
    pub keys: Keys,
    /// Each parameter, by its name here, and the tensors that it is made of, one below the other.
    pub parts: BTreeMap<String, Vec<Piece>>,
}

/// Windows of a checkpoint are at most so long unless a spec says otherwise: what `llama-perplexity` evaluates by, and what a small
/// machine bears; `model.context` may be as long as the file's.
pub(super) const CONTEXT: usize = 512;

/// A tensor as it lies.
pub(super) fn whole(tensor: impl Into<String>) -> Piece {
    turned(tensor, Turn::AsIs)
}

pub(super) fn turned(tensor: impl Into<String>, turn: Turn) -> Piece {
    Piece {
        tensor: tensor.into(),
        turn,
    }
}

/// A number of blocks, of which each has a tensor at least.
pub(super) fn believed(layers: usize, tensors: &BTreeMap<String, Stored>) -> Result<usize, String> {
    match layers <= tensors.len() {
        true => Ok(layers),
        false => Err(format!(
            "it claims {layers} layers and has {} tensors",
            tensors.len()
        )),
    }
}

/// Rows of a table.
pub(super) fn rows(tensors: &BTreeMap<String, Stored>, name: &str) -> Result<usize, String> {
    let found = tensors.get(name).and_then(|tensor| tensor.shape.first());
    found
        .copied()
        .ok_or_else(|| format!("it has no tensor `{name}`"))
}
