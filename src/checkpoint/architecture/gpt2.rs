//! GPT-2 (Radford et al. 2019): learned positions, LayerNorm, biases everywhere, GELU in its tanh form.
//!
//! OpenAI's code, and `transformers` after it, keeps matrices as (in, out); llama.cpp's converter has turned them.

use std::collections::BTreeMap;

use super::described::{CONTEXT, Described, believed, rows, turned, whole};
use crate::checkpoint::facts::Facts;
use crate::checkpoint::stored::{Piece, Stored, Turn};

/// A block's tensors, as a parameter is called here, in GGUF, and in safetensors.
const BLOCK: [(&str, &str, &str); 12] = [
    ("mixer_norm.gain", "attn_norm.weight", "ln_1.weight"),
    ("mixer_norm.bias", "attn_norm.bias", "ln_1.bias"),
    ("mixer.qkv", "attn_qkv.weight", "attn.c_attn.weight"),
    ("mixer.qkv_bias", "attn_qkv.bias", "attn.c_attn.bias"),
    ("mixer.out", "attn_output.weight", "attn.c_proj.weight"),
    ("mixer.out_bias", "attn_output.bias", "attn.c_proj.bias"),
    ("ffn_norm.gain", "ffn_norm.weight", "ln_2.weight"),
    ("ffn_norm.bias", "ffn_norm.bias", "ln_2.bias"),
    ("ffn.up", "ffn_up.weight", "mlp.c_fc.weight"),
    ("ffn.up_bias", "ffn_up.bias", "mlp.c_fc.bias"),
    ("ffn.down", "ffn_down.weight", "mlp.c_proj.weight"),
    ("ffn.down_bias", "ffn_down.bias", "mlp.c_proj.bias"),
];

/// Matrices among those.
const MATRICES: [&str; 4] = ["mixer.qkv", "mixer.out", "ffn.up", "ffn.down"];

/// What stands outside of blocks.
const OUTSIDE: [(&str, &str, &str); 4] = [
    ("embedding.tokens", "token_embd.weight", "wte.weight"),
    ("embedding.position", "position_embd.weight", "wpe.weight"),
    ("final_norm.gain", "output_norm.weight", "ln_f.weight"),
    ("final_norm.bias", "output_norm.bias", "ln_f.bias"),
];

/// What it is here.
pub(super) fn describe(
    facts: &Facts,
    tensors: &mut BTreeMap<String, Stored>,
) -> Result<Described, String> {
    let gguf = facts.is_gguf();
    // The whole model's names begin with its trunk's; the trunk alone has none.
    let prefix = match tensors.contains_key("transformer.wte.weight") {
        true => "transformer.",
        false => "",
    };
    let width = facts.count(("embedding_length", "n_embd"))?;
    let layers = believed(facts.count(("block_count", "n_layer"))?, tensors)?;
    let heads = facts.count(("attention.head_count", "n_head"))?;
    let hidden = facts.count_or_none(("feed_forward_length", "n_inner"))?;
    let longest = facts.count(("context_length", "n_positions"))?;
    if let Some(other) = facts
        .word(("", "activation_function"))
        .filter(|word| !["gelu_new", "gelu_pytorch_tanh"].contains(word))
    {
        return Err(format!(
            "its feed-forward layers have {other}, not GELU in its tanh form"
        ));
    }
    // What is no parameter: masks, and the head where it is the table again.
    tensors.retain(|name, _| {
        let mask = name.ends_with(".attn.bias") || name.ends_with(".attn.masked_bias");
        !(mask || name == "lm_head.weight")
    });
    let mut parts = parts(gguf, prefix, layers);
    let tied = !tensors.contains_key("output.weight");
    if !tied {
        parts.insert("head.weight".to_owned(), vec![whole("output.weight")]);
    }
    let vocab = rows(tensors, &parts["embedding.tokens"][0].tensor)?;
    let eps = ("attention.layer_norm_epsilon", "layer_norm_epsilon");
    Ok(Described {
        base: "gpt2",
        keys: vec![
            ("model.width", width.into()),
            ("model.layers", layers.into()),
            ("model.heads", heads.into()),
            ("model.vocab", vocab.into()),
            ("model.context", longest.min(CONTEXT).into()),
            ("model.bias", true.into()),
            ("model.ffn.kind", "gelu".into()),
            (
                "model.ffn.ratio",
                (hidden.unwrap_or(4 * width) as f64 / width as f64).into(),
            ),
            ("model.norm.kind", "layernorm".into()),
            ("model.norm.eps", facts.number_or(eps, 1e-5)?.into()),
            ("model.position.kind", "learned".into()),
            ("model.head.tied", tied.into()),
            ("model.scaling.kind", "standard".into()),
        ],
        parts,
    })
}

/// Each parameter, and the tensor that it is.
fn parts(gguf: bool, prefix: &str, layers: usize) -> BTreeMap<String, Vec<Piece>> {
    let own = |gguf_name: &str, config_name: &str| match gguf {
        true => gguf_name.to_owned(),
        false => format!("{prefix}{config_name}"),
    };
    let mut parts: BTreeMap<String, Vec<Piece>> = OUTSIDE
        .map(|(name, gguf_name, config_name)| {
            (name.to_owned(), vec![whole(own(gguf_name, config_name))])
        })
        .into();
    for layer in 0..layers {
        for (name, gguf_name, config_name) in BLOCK {
            let tensor = match gguf {
                true => format!("blk.{layer}.{gguf_name}"),
                false => format!("{prefix}h.{layer}.{config_name}"),
            };
            let turn = match !gguf && MATRICES.contains(&name) {
                true => Turn::Transposed,
                false => Turn::AsIs,
            };
            parts.insert(
                format!("blocks.{layer:02}.{name}"),
                vec![turned(tensor, turn)],
            );
        }
    }
    parts
}
