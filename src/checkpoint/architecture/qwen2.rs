//! Qwen2 and Qwen2.5 (Yang et al. 2024, arXiv 2407.10671, section 2.2.1): Llama with biases on queries, keys and values.

use std::collections::BTreeMap;

use super::decoder::{self, LLAMA, Traits};
use super::described::Described;
use crate::checkpoint::facts::Facts;
use crate::checkpoint::stored::Stored;

const TRAITS: Traits = Traits {
    pairs: false,
    qkv_bias: true,
    ..LLAMA
};

/// What it is here.
pub(super) fn describe(
    facts: &Facts,
    tensors: &mut BTreeMap<String, Stored>,
) -> Result<Described, String> {
    decoder::describe(facts, tensors, &TRAITS)
}
