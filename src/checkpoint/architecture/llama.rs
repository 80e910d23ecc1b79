//! Llama (Touvron et al. 2023, arXiv 2302.13971) and what is built alike: SmolLM2, TinyLlama, Mistral.
//!
//! llama.cpp's converter lays the rows of q and k of these, and of these alone, so that the two of a rotated pair are neighbours.

use std::collections::BTreeMap;

use super::described::{CONTEXT, Described, rows, turned, whole};
use crate::checkpoint::facts::Facts;
use crate::checkpoint::stored::{Piece, Stored, Turn};

/// Names of a block's tensors.
struct Names {
    mixer_norm: String,
    qkv: [String; 3],
    out: String,
    ffn_norm: String,
    gate: String,
    up: String,
    down: String,
}

impl Names {
    fn of(gguf: bool, layer: usize) -> Self {
        let name = |gguf_name: &str, config_name: &str| match gguf {
            true => format!("blk.{layer}.{gguf_name}.weight"),
            false => format!("model.layers.{layer}.{config_name}.weight"),
        };
        Self {
            mixer_norm: name("attn_norm", "input_layernorm"),
            qkv: [
                name("attn_q", "self_attn.q_proj"),
                name("attn_k", "self_attn.k_proj"),
                name("attn_v", "self_attn.v_proj"),
            ],
            out: name("attn_output", "self_attn.o_proj"),
            ffn_norm: name("ffn_norm", "post_attention_layernorm"),
            gate: name("ffn_gate", "mlp.gate_proj"),
            up: name("ffn_up", "mlp.up_proj"),
            down: name("ffn_down", "mlp.down_proj"),
        }
    }
}

/// What it is here.
pub(super) fn describe(
    facts: &Facts,
    tensors: &mut BTreeMap<String, Stored>,
) -> Result<Described, String> {
    let gguf = facts.is_gguf();
    let of = |gguf_name: &str, config_name: &str| match gguf {
        true => gguf_name.to_owned(),
        false => config_name.to_owned(),
    };
    let width = facts.count(("embedding_length", "hidden_size"))?;
    let layers = facts.count(("block_count", "num_hidden_layers"))?;
    let heads = facts.count(("attention.head_count", "num_attention_heads"))?;
    let kv_heads = facts.count_or_none(("attention.head_count_kv", "num_key_value_heads"))?;
    let kv_heads = kv_heads.unwrap_or(heads);
    let hidden = facts.count(("feed_forward_length", "intermediate_size"))?;
    let longest = facts.count(("context_length", "max_position_embeddings"))?;
    let window = facts.count_or_none(("attention.sliding_window", "sliding_window"))?;
    as_here(facts, tensors, width, heads, hidden)?;
    let tokens = of("token_embd.weight", "model.embed_tokens.weight");
    let head = of("output.weight", "lm_head.weight");
    let (vocab, tied) = (rows(tensors, &tokens)?, !tensors.contains_key(&head));

    let outside = (
        tokens,
        (!tied).then_some(head),
        of("output_norm.weight", "model.norm.weight"),
    );
    let parts = parts(gguf, layers, [heads, kv_heads], outside);
    let eps = ("attention.layer_norm_rms_epsilon", "rms_norm_eps");
    Ok(Described {
        base: "llama",
        keys: vec![
            ("model.width", width.into()),
            ("model.layers", layers.into()),
            ("model.heads", heads.into()),
            ("model.kv_heads", kv_heads.into()),
            ("model.vocab", vocab.into()),
            (
                "model.context",
                longest.min(window.unwrap_or(longest)).min(CONTEXT).into(),
            ),
            ("model.bias", false.into()),
            ("model.ffn.kind", "swiglu".into()),
            ("model.ffn.ratio", (hidden as f64 / width as f64).into()),
            ("model.norm.kind", "rmsnorm".into()),
            ("model.norm.eps", facts.number_or(eps, 1e-6)?.into()),
            ("model.position.kind", "rope".into()),
            ("model.position.theta", theta(facts)?.into()),
            ("model.head.tied", tied.into()),
            ("model.scaling.kind", "standard".into()),
        ],
        parts,
    })
}

/// Each parameter, and the tensors that it is made of; of the table, the head where it is its own, and the last norm by their names.
fn parts(
    gguf: bool,
    layers: usize,
    [heads, kv_heads]: [usize; 2],
    (tokens, head, norm): (String, Option<String>, String),
) -> BTreeMap<String, Vec<Piece>> {
    let mut parts = BTreeMap::new();
    let mut part = |name: String, pieces: Vec<Piece>| parts.insert(name, pieces);
    part("embedding.tokens".to_owned(), vec![whole(tokens)]);
    part("final_norm.gain".to_owned(), vec![whole(norm)]);
    head.map(|head| part("head.weight".to_owned(), vec![whole(head)]));
    let pairs = |heads: usize| match gguf {
        true => Turn::Pairs { heads },
        false => Turn::AsIs,
    };
    for layer in 0..layers {
        let Names {
            mixer_norm,
            qkv: [q, k, v],
            out,
            ffn_norm,
            gate,
            up,
            down,
        } = Names::of(gguf, layer);
        let name = |name: &str| format!("blocks.{layer:02}.{name}");
        part(name("mixer_norm.gain"), vec![whole(mixer_norm)]);
        let q = turned(q, pairs(heads));
        let k = turned(k, pairs(kv_heads));
        part(name("mixer.qkv"), vec![q, k, whole(v)]);
        part(name("mixer.out"), vec![whole(out)]);
        part(name("ffn_norm.gain"), vec![whole(ffn_norm)]);
        part(name("ffn.gate_up"), vec![whole(gate), whole(up)]);
        part(name("ffn.down"), vec![whole(down)]);
    }
    parts
}

/// Base of the rotation's wavelengths; newer configurations have it in a table of its own.
fn theta(facts: &Facts) -> Result<f64, String> {
    let table = facts
        .named("rope_parameters")
        .and_then(|table| table.get("rope_theta"));
    match table.and_then(|theta| theta.as_f64()) {
        Some(theta) => Ok(theta),
        None => facts.number_or(("rope.freq_base", "rope_theta"), 10_000.0),
    }
}

/// Refuses what a Llama may have and a model here has not.
fn as_here(
    facts: &Facts,
    tensors: &BTreeMap<String, Stored>,
    width: usize,
    heads: usize,
    hidden: usize,
) -> Result<(), String> {
    let own_width = width / heads;
    for names in [
        ("attention.key_length", "head_dim"),
        ("attention.value_length", "head_dim"),
        ("rope.dimension_count", "head_dim"),
    ] {
        if let Some(given) = facts
            .count_or_none(names)?
            .filter(|given| *given != own_width)
        {
            return Err(format!(
                "heads (or what is rotated of them) are {given} channels wide, not width over heads, {own_width}, as here"
            ));
        }
    }
    if !hidden.is_multiple_of(8) {
        return Err(format!(
            "its feed-forward layers are {hidden} wide, no multiple of 8 as here"
        ));
    }
    let rope_type = |table: &serde_json::Value| {
        let kind = table.get("rope_type").or(table.get("type"))?.as_str()?;
        (kind != "default").then(|| kind.to_owned())
    };
    let tables =
        ["rope_scaling", "rope_parameters"].map(|name| facts.named(name).and_then(rope_type));
    let scaling = facts
        .word(("rope.scaling.type", ""))
        .filter(|kind| *kind != "none");
    let scaled = tables
        .into_iter()
        .flatten()
        .next()
        .or(scaling.map(str::to_owned));
    if let Some(kind) = scaled {
        return Err(format!(
            "its rotation is scaled ({kind}), which no position here does"
        ));
    }
    if tensors.contains_key("rope_freqs.weight") {
        return Err(
            "its rotation is scaled (rope_freqs.weight), which no position here does".to_owned(),
        );
    }
    if facts.is_set(("", "attention_bias")) || facts.is_set(("", "mlp_bias")) {
        return Err(
            "it has biases in some products, where a model here has all or none".to_owned(),
        );
    }
    match facts.word(("", "hidden_act")) {
        None | Some("silu") => Ok(()),
        Some(other) => Err(format!(
            "its feed-forward layers are gated by {other}, not by silu"
        )),
    }
}
