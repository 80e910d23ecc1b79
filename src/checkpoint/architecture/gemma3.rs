//! Gemma 3 of text (Gemma team 2025, arXiv 2503.19786, section 2): embeddings times the root of the width, norms before and behind
//! each branch, a norm of each head of queries and keys, GEGLU, and windows in all but every sixth layer, which rotate by a base of
//! their own.
//!
//! `transformers` keeps gains less 1; llama.cpp's converter has added it.

use std::collections::BTreeMap;

use super::decoder::{self, LLAMA, Norms, Sizes, Traits};
use super::described::Described;
use super::rotation;
use crate::checkpoint::facts::Facts;
use crate::checkpoint::stored::Stored;

const TRAITS: Traits = Traits {
    pairs: false,
    qk_norm: Some("head"),
    norms: Norms::Around,
    gains_less_one: true,
    ffn: ("geglu", "gelu_pytorch_tanh"),
    head_width: Some(256),
    theta: 1e6,
    all_but_every: Some(6),
    ..LLAMA
};

/// Base of the rotation in layers with windows: no GGUF file says it.
const LOCAL_THETA: f64 = 10_000.0;

/// Layers of the one size, 27B, whose scores are not scaled by the width of a head; no GGUF file says that either.
const LAYERS_OF_27B: usize = 62;

/// What it is here.
pub(super) fn describe(
    facts: &Facts,
    tensors: &mut BTreeMap<String, Stored>,
) -> Result<Described, String> {
    if !facts.is_gguf() && facts.architecture() == "gemma3" {
        return Err(
            "it is of pictures and text; of text alone (model_type gemma3_text) it is known here"
                .to_owned(),
        );
    }
    let mut found = decoder::describe(facts, tensors, &TRAITS)?;
    let sizes = Sizes::read(facts, &TRAITS)?;
    let keys = &mut found.keys;
    keys.push(("model.embedding_scale", (sizes.width as f64).sqrt().into()));
    let scale = scaled_by(facts, &sizes)?;
    if scale != sizes.head_width as f64 {
        keys.push(("model.mixer.score_scale", scale.powf(-0.5).into()));
    }
    if keys.iter().any(|(key, _)| *key == "model.pattern") {
        let theta = rotation::local_theta(facts, LOCAL_THETA)?;
        keys.push(("model.layer.sliding.mixer.theta", theta.into()));
    }
    let cap = ("final_logit_softcapping", "final_logit_softcapping");
    let cap = facts.number_or(cap, 0.0)?;
    if cap != 0.0 {
        keys.push(("model.head.softcap", cap.into()));
    }
    Ok(found)
}

/// The number whose root scores are divided by.
fn scaled_by(facts: &Facts, sizes: &Sizes) -> Result<f64, String> {
    let own = match facts.is_gguf() && sizes.layers == LAYERS_OF_27B {
        true => sizes.width / sizes.heads,
        false => sizes.head_width,
    };
    let said = facts.number_or(("", "query_pre_attn_scalar"), own as f64)?;
    match said > 0.0 {
        true => Ok(said),
        false => Err(format!("query_pre_attn_scalar = {said}: it has no root")),
    }
}
