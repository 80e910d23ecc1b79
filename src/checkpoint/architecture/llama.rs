//! Llama (Touvron et al. 2023, arXiv 2302.13971) and what is built alike: SmolLM2, TinyLlama; Mistral, which may have a window
//! (Jiang et al. 2023, arXiv 2310.06825, section 2).
//!
//! llama.cpp's converter lays the rows of q and k of these, and of these alone, so that the two of a rotated pair are neighbours.

use std::collections::BTreeMap;

use super::decoder::{self, LLAMA};
use super::described::Described;
use crate::checkpoint::facts::Facts;
use crate::checkpoint::stored::Stored;

/// What it is here.
pub(super) fn describe(
    facts: &Facts,
    tensors: &mut BTreeMap<String, Stored>,
) -> Result<Described, String> {
    decoder::describe(facts, tensors, &LLAMA)
}
