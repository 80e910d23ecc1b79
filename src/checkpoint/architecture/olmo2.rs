//! OLMo 2 (OLMo team 2024, arXiv 2501.00656, section 2): Llama with norms behind its branches in place of those before, and a norm
//! of all heads of queries together and of keys together.

use std::collections::BTreeMap;

use super::decoder::{self, LLAMA, Norms, Traits};
use super::described::Described;
use crate::checkpoint::facts::Facts;
use crate::checkpoint::stored::Stored;

const TRAITS: Traits = Traits {
    pairs: false,
    qk_norm: Some("projection"),
    norms: Norms::Behind,
    ..LLAMA
};

/// What it is here.
pub(super) fn describe(
    facts: &Facts,
    tensors: &mut BTreeMap<String, Stored>,
) -> Result<Described, String> {
    // llama.cpp keeps OLMo 3 under this name too.
    let window = ("attention.sliding_window", "sliding_window");
    if facts.count_or_none(window)?.is_some() {
        return Err("it has windows, as OLMo 3 has and OLMo 2 has not".to_owned());
    }
    decoder::describe(facts, tensors, &TRAITS)
}
