//! The other way round: what a file must say of a model of this program, so that others read it and [`super::Checkpoint`] finds the same
//! model in it. Names of tensors, and how their rows lie, are those that the reader of the architecture asks for.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::architecture::{self, Described};
use super::facts::Facts;
use super::kind::KINDS;
use super::stored::{Piece, Stored};

/// What kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// llama.cpp's.
    Gguf,
    /// A folder as `transformers` reads it.
    Folder,
}

/// A header, and what each parameter becomes below it.
#[derive(Debug, Clone, PartialEq)]
pub struct Outward {
    /// `llama`, `gpt2`.
    pub architecture: &'static str,
    /// GGUF's metadata, or `config.json`.
    pub values: BTreeMap<String, Value>,
    /// Each parameter, by its name here, and the tensors that it is cut into.
    pub parts: BTreeMap<String, Vec<Piece>>,
}

/// Of a model by its settled `model` table, its feed-forward layers' hidden width, and whether its head is the token table again.
///
/// # Errors
/// Where the table lacks a count, and what a form has no place for.
pub fn outward(model: &Value, hidden: usize, tied: bool, form: Form) -> Result<Outward, String> {
    let learned = model.pointer("/position/kind") == Some(&json!("learned"));
    let architecture = if learned { "gpt2" } else { "llama" };
    if learned && !tied && form == Form::Folder {
        return Err("a folder's GPT-2 has its token table for a head, and this one has a head of its own: GGUF has room for it".to_owned());
    }
    let mut values: BTreeMap<String, Value> = BTreeMap::new();
    for ([gguf, llama, gpt2], value) in sizes(model, hidden, learned)? {
        let name = match (form, learned) {
            (Form::Gguf, _) => format!("{architecture}.{gguf}"),
            (Form::Folder, false) => llama.to_owned(),
            (Form::Folder, true) => gpt2.to_owned(),
        };
        if !name.is_empty() {
            values.insert(name, value);
        }
    }
    values.extend(besides(form, learned, tied));
    let counts = (count(model, "vocab")?, count(model, "layers")?);
    let parts = parts(architecture, &values, counts, tied)?;
    Ok(Outward {
        architecture,
        values,
        parts,
    })
}

fn count(model: &Value, key: &str) -> Result<u64, String> {
    let found = model.get(key).and_then(Value::as_u64);
    found.ok_or_else(|| format!("its spec does not say model.{key}"))
}

/// A thing's names in GGUF, in a folder of Llama's, in one of GPT-2's; and what it is.
type Named = ([&'static str; 3], Value);

fn sizes(model: &Value, hidden: usize, learned: bool) -> Result<Vec<Named>, String> {
    let of = |key: &str| count(model, key).map(Value::from);
    let (width, heads) = (count(model, "width")?, count(model, "heads")?);
    let mut all: Vec<Named> = vec![
        (["embedding_length", "hidden_size", "n_embd"], width.into()),
        (
            ["block_count", "num_hidden_layers", "n_layer"],
            of("layers")?,
        ),
        (
            ["attention.head_count", "num_attention_heads", "n_head"],
            heads.into(),
        ),
        (
            ["feed_forward_length", "intermediate_size", "n_inner"],
            hidden.into(),
        ),
        (
            ["context_length", "max_position_embeddings", "n_positions"],
            of("context")?,
        ),
        (["vocab_size"; 3], of("vocab")?),
    ];
    let number = |place: &str, otherwise: f64| {
        let found = model.pointer(place).and_then(Value::as_f64);
        Value::from(found.unwrap_or(otherwise))
    };
    if learned {
        let eps = number("/norm/eps", 1e-5);
        all.push((
            ["attention.layer_norm_epsilon", "", "layer_norm_epsilon"],
            eps,
        ));
        return Ok(all);
    }
    let head = model.get("head_width").and_then(Value::as_u64);
    let head: Value = head.unwrap_or(width / heads.max(1)).into();
    let eps = number("/norm/eps", 1e-6);
    let theta = number("/position/theta", 10_000.0);
    all.extend([
        (
            ["attention.head_count_kv", "num_key_value_heads", ""],
            of("kv_heads")?,
        ),
        (["attention.key_length", "head_dim", ""], head.clone()),
        (["attention.value_length", "", ""], head.clone()),
        (["rope.dimension_count", "", ""], head),
        (
            ["attention.layer_norm_rms_epsilon", "rms_norm_eps", ""],
            eps,
        ),
        (["rope.freq_base", "rope_theta", ""], theta),
    ]);
    Ok(all)
}

/// What does not depend on sizes.
fn besides(form: Form, learned: bool, tied: bool) -> Vec<(String, Value)> {
    let architecture = if learned { "gpt2" } else { "llama" };
    let of = |all: &[(&str, Value)]| -> Vec<(String, Value)> {
        all.iter()
            .map(|(k, v)| ((*k).to_owned(), v.clone()))
            .collect()
    };
    match (form, learned) {
        (Form::Gguf, _) => of(&[
            ("general.architecture", json!(architecture)),
            ("general.file_type", json!(0)),
        ]),
        (Form::Folder, false) => of(&[
            ("model_type", json!("llama")),
            ("architectures", json!(["LlamaForCausalLM"])),
            ("hidden_act", json!("silu")),
            ("attention_bias", json!(false)),
            ("mlp_bias", json!(false)),
            ("tie_word_embeddings", json!(tied)),
            ("torch_dtype", json!("float32")),
        ]),
        (Form::Folder, true) => of(&[
            ("model_type", json!("gpt2")),
            ("architectures", json!(["GPT2LMHeadModel"])),
            ("activation_function", json!("gelu_new")),
            ("tie_word_embeddings", json!(true)),
            ("torch_dtype", json!("float32")),
        ]),
    }
}

/// What the reader asks for when it finds this header, before there is a tensor.
fn parts(
    architecture: &str,
    values: &BTreeMap<String, Value>,
    (vocab, layers): (u64, u64),
    tied: bool,
) -> Result<BTreeMap<String, Vec<Piece>>, String> {
    let gguf = values.contains_key("general.architecture");
    let facts = match gguf {
        true => Facts::of_gguf(values.clone())?,
        false => Facts::of_config(values.clone())?,
    };
    let (table, head) = match (gguf, architecture) {
        (true, _) => ("token_embd.weight", "output.weight"),
        (false, "gpt2") => ("transformer.wte.weight", ""),
        (false, _) => ("model.embed_tokens.weight", "lm_head.weight"),
    };
    let stored = || Stored {
        file: PathBuf::new(),
        kind: KINDS[0],
        shape: vec![vocab as usize],
        offset: 0,
        bytes: 0,
    };
    // A tensor a layer, as many as the reader believes in.
    let mut tensors: BTreeMap<String, Stored> = (0..layers)
        .map(|layer| (format!("blocks.{layer}"), stored()))
        .collect();
    tensors.insert(table.to_owned(), stored());
    if !tied {
        tensors.insert(head.to_owned(), stored());
    }
    let known = architecture::find(architecture).ok_or("no such architecture")?;
    let Described { parts, .. } = (known.describe)(&facts, &mut tensors)?;
    Ok(parts)
}
