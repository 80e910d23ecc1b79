//! Qwen3 (Yang et al. 2025, arXiv 2505.09388, section 2): Llama with a norm of each head of queries and keys, heads of 128 channels
//! whatever the width.

use std::collections::BTreeMap;

use super::decoder::{self, LLAMA, Traits};
use super::described::Described;
use crate::checkpoint::facts::Facts;
use crate::checkpoint::stored::Stored;

const TRAITS: Traits = Traits {
    pairs: false,
    qk_norm: Some("head"),
    head_width: Some(128),
    ..LLAMA
};

/// What it is here.
pub(super) fn describe(
    facts: &Facts,
    tensors: &mut BTreeMap<String, Stored>,
) -> Result<Described, String> {
    decoder::describe(facts, tensors, &TRAITS)
}
