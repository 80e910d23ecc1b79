//! Decoders that are built as Llama is: rotated queries and keys, RMSNorm, a gated feed-forward layer, no biases; and what sets one
//! apart from another.

use std::collections::BTreeMap;

use super::described::{CONTEXT, Described, Keys, believed, rows, turned, whole};
use super::rotation;
use super::windows::Windows;
use crate::checkpoint::facts::Facts;
use crate::checkpoint::stored::{Piece, Stored, Turn};

/// Where norms stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Norms {
    /// Before each branch.
    Before,
    /// Behind each branch.
    Behind,
    /// Before and behind.
    Around,
}

/// What sets a decoder apart from Llama.
#[derive(Debug, Clone, Copy)]
pub(super) struct Traits {
    /// Whether llama.cpp's converter lays the two of a rotated pair side by side.
    pub pairs: bool,
    /// Whether queries, keys and values have biases.
    pub qkv_bias: bool,
    /// What the norm of queries and keys goes over, where they have one.
    pub qk_norm: Option<&'static str>,
    /// Where norms stand.
    pub norms: Norms,
    /// Whether `transformers` keeps what is added to 1 in place of gains.
    pub gains_less_one: bool,
    /// The feed-forward layer, and what `transformers` calls its activation.
    pub ffn: (&'static str, &'static str),
    /// Channels of a head where `config.json` does not say them: the width over the heads, unless this.
    pub head_width: Option<usize>,
    /// Base of the rotation where nothing says it.
    pub theta: f64,
    /// Where a file has a window and does not say of which layers: of all but every so many-th.
    pub all_but_every: Option<usize>,
}

/// Llama's.
pub(super) const LLAMA: Traits = Traits {
    pairs: true,
    qkv_bias: false,
    qk_norm: None,
    norms: Norms::Before,
    gains_less_one: false,
    ffn: ("swiglu", "silu"),
    head_width: None,
    theta: 10_000.0,
    all_but_every: None,
};

/// Counts of a header.
pub(super) struct Sizes {
    pub width: usize,
    pub layers: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub head_width: usize,
    hidden: usize,
    longest: usize,
}

impl Sizes {
    pub fn read(facts: &Facts, traits: &Traits) -> Result<Self, String> {
        let width = facts.count(("embedding_length", "hidden_size"))?;
        let heads = facts.count(("attention.head_count", "num_attention_heads"))?;
        let kv_heads = facts.count_or_none(("attention.head_count_kv", "num_key_value_heads"))?;
        let head_width = facts.count_or_none(("attention.key_length", "head_dim"))?;
        let usual = traits.head_width.filter(|_| !facts.is_gguf());
        Ok(Self {
            width,
            layers: facts.count(("block_count", "num_hidden_layers"))?,
            heads,
            kv_heads: kv_heads.unwrap_or(heads),
            head_width: head_width.or(usual).unwrap_or(width / heads),
            hidden: facts.count(("feed_forward_length", "intermediate_size"))?,
            longest: facts.count(("context_length", "max_position_embeddings"))?,
        })
    }
}

/// What it is here.
pub(super) fn describe(
    facts: &Facts,
    tensors: &mut BTreeMap<String, Stored>,
    traits: &Traits,
) -> Result<Described, String> {
    let sizes = Sizes::read(facts, traits)?;
    believed(sizes.layers, tensors)?;
    as_here(facts, &sizes, traits)?;
    let gguf = facts.is_gguf();
    let of = |gguf_name: &str, config_name: &str| match gguf {
        true => gguf_name.to_owned(),
        false => config_name.to_owned(),
    };
    let tokens = of("token_embd.weight", "model.embed_tokens.weight");
    let head = of("output.weight", "lm_head.weight");
    let (vocab, tied) = (rows(tensors, &tokens)?, !tensors.contains_key(&head));
    let mut keys = sized(facts, &sizes, traits)?;
    keys.push(("model.vocab", vocab.into()));
    keys.push(("model.head.tied", tied.into()));
    keys.extend(rotation::keys(facts, tensors, traits.theta)?);
    let windows = Windows::read(facts, sizes.layers, traits.all_but_every)?;
    keys.extend(windows.iter().flat_map(Windows::keys));

    let gain = gain(gguf, traits);
    let norm = of("output_norm.weight", "model.norm.weight");
    let mut parts = BTreeMap::from([
        ("embedding.tokens".to_owned(), vec![whole(tokens)]),
        ("final_norm.gain".to_owned(), vec![turned(norm, gain)]),
    ]);
    if !tied {
        parts.insert("head.weight".to_owned(), vec![whole(head)]);
    }
    for layer in 0..sizes.layers {
        let block = block(gguf, layer, &sizes, traits).into_iter();
        let named =
            |(name, pieces): (&str, Vec<Piece>)| (format!("blocks.{layer:02}.{name}"), pieces);
        parts.extend(block.map(named));
    }
    Ok(Described {
        base: "llama",
        keys,
        parts,
    })
}

/// The keys that follow from counts and from what kind of decoder it is.
fn sized(facts: &Facts, sizes: &Sizes, traits: &Traits) -> Result<Keys, String> {
    let eps = ("attention.layer_norm_rms_epsilon", "rms_norm_eps");
    let eps = facts.number_or(eps, 1e-6)?;
    let ratio = sizes.hidden as f64 / sizes.width as f64;
    let mut keys: Keys = vec![
        ("model.width", sizes.width.into()),
        ("model.layers", sizes.layers.into()),
        ("model.heads", sizes.heads.into()),
        ("model.kv_heads", sizes.kv_heads.into()),
        ("model.context", sizes.longest.min(CONTEXT).into()),
        ("model.bias", false.into()),
        ("model.ffn.kind", traits.ffn.0.into()),
        ("model.ffn.ratio", ratio.into()),
        ("model.norm.kind", "rmsnorm".into()),
        ("model.norm.eps", eps.into()),
        ("model.scaling.kind", "standard".into()),
    ];
    if sizes.head_width * sizes.heads != sizes.width {
        keys.push(("model.head_width", sizes.head_width.into()));
    }
    if !sizes.hidden.is_multiple_of(8) {
        keys.push(("model.ffn.hidden", sizes.hidden.into()));
    }
    match traits.norms {
        Norms::Before => {}
        Norms::Behind => keys.push(("model.norm.place", "reordered".into())),
        Norms::Around => keys.push(("model.norm.place", "sandwich".into())),
    }
    if traits.qkv_bias {
        keys.push(("model.mixer.qkv_bias", true.into()));
    }
    if let Some(over) = traits.qk_norm {
        keys.push(("model.mixer.qk_norm", true.into()));
        keys.push(("model.mixer.qk_norm_over", over.into()));
        keys.push(("model.mixer.qk_norm_eps", eps.into()));
    }
    Ok(keys)
}

fn gain(gguf: bool, traits: &Traits) -> Turn {
    match traits.gains_less_one && !gguf {
        true => Turn::LessOne,
        false => Turn::AsIs,
    }
}

/// The norms of a block: as they are called here, in GGUF, in safetensors.
fn norms(norms: Norms) -> &'static [(&'static str, &'static str, &'static str)] {
    match norms {
        Norms::Before => &[
            ("mixer_norm.gain", "attn_norm", "input_layernorm"),
            ("ffn_norm.gain", "ffn_norm", "post_attention_layernorm"),
        ],
        Norms::Behind => &[
            (
                "mixer_end_norm.gain",
                "post_attention_norm",
                "post_attention_layernorm",
            ),
            (
                "ffn_end_norm.gain",
                "post_ffw_norm",
                "post_feedforward_layernorm",
            ),
        ],
        Norms::Around => &[
            ("mixer_norm.gain", "attn_norm", "input_layernorm"),
            (
                "mixer_end_norm.gain",
                "post_attention_norm",
                "post_attention_layernorm",
            ),
            ("ffn_norm.gain", "ffn_norm", "pre_feedforward_layernorm"),
            (
                "ffn_end_norm.gain",
                "post_ffw_norm",
                "post_feedforward_layernorm",
            ),
        ],
    }
}

/// Each parameter of a block, and the tensors that it is made of.
fn block(
    gguf: bool,
    layer: usize,
    sizes: &Sizes,
    traits: &Traits,
) -> Vec<(&'static str, Vec<Piece>)> {
    let name = |gguf_name: &str, config_name: &str, end: &str| match gguf {
        true => format!("blk.{layer}.{gguf_name}.{end}"),
        false => format!("model.layers.{layer}.{config_name}.{end}"),
    };
    let weight = |gguf_name: &str, config_name: &str| name(gguf_name, config_name, "weight");
    let pairs = |heads: usize| match gguf && traits.pairs {
        true => Turn::Pairs { heads },
        false => Turn::AsIs,
    };
    let qkv = [
        ("attn_q", "self_attn.q_proj", pairs(sizes.heads)),
        ("attn_k", "self_attn.k_proj", pairs(sizes.kv_heads)),
        ("attn_v", "self_attn.v_proj", Turn::AsIs),
    ];
    let gain = gain(gguf, traits);
    let mut parts = vec![
        (
            "mixer.qkv",
            Vec::from(qkv.map(|(gguf, config, turn)| turned(weight(gguf, config), turn))),
        ),
        (
            "mixer.out",
            vec![whole(weight("attn_output", "self_attn.o_proj"))],
        ),
        (
            "ffn.gate_up",
            vec![
                whole(weight("ffn_gate", "mlp.gate_proj")),
                whole(weight("ffn_up", "mlp.up_proj")),
            ],
        ),
        ("ffn.down", vec![whole(weight("ffn_down", "mlp.down_proj"))]),
    ];
    for (own, gguf_name, config_name) in norms(traits.norms) {
        parts.push((own, vec![turned(weight(gguf_name, config_name), gain)]));
    }
    if traits.qkv_bias {
        let biases = qkv.map(|(gguf, config, _)| whole(name(gguf, config, "bias")));
        parts.push(("mixer.qkv_bias", biases.into()));
    }
    if traits.qk_norm.is_some() {
        let (q, k) = (
            weight("attn_q_norm", "self_attn.q_norm"),
            weight("attn_k_norm", "self_attn.k_norm"),
        );
        parts.push(("mixer.q_gain", vec![turned(q, gain)]));
        parts.push(("mixer.k_gain", vec![turned(k, gain)]));
    }
    parts
}

/// Refuses what such a decoder may have and a model here has not.
fn as_here(facts: &Facts, sizes: &Sizes, traits: &Traits) -> Result<(), String> {
    let own = sizes.head_width;
    for (names, what) in [
        (("attention.value_length", ""), "heads of values are"),
        (("rope.dimension_count", ""), "what is rotated of them is"),
    ] {
        let given = facts.count_or_none(names)?;
        if let Some(given) = given.filter(|given| *given != own) {
            return Err(format!(
                "heads are {own} channels wide, and {what} {given}, which no attention here does"
            ));
        }
    }
    if facts.is_set(("", "attention_bias")) || facts.is_set(("", "mlp_bias")) {
        return Err(
            "it has biases in products that have none in models of its kind as they are known here"
                .to_owned(),
        );
    }
    if facts.is_set(("", "use_bidirectional_attention")) {
        return Err("its tokens see those behind them".to_owned());
    }
    if facts.number_or(("attn_logit_softcapping", "attn_logit_softcapping"), 0.0)? != 0.0 {
        return Err("its scores are capped, which no attention here does".to_owned());
    }
    let known = traits.ffn.1;
    let said = ["hidden_activation", "hidden_act"].map(|key| facts.word(("", key)));
    match said.into_iter().flatten().next() {
        Some(other) if other != known => Err(format!(
            "its feed-forward layers are gated by {other}, not by {known}"
        )),
        _ => Ok(()),
    }
}
