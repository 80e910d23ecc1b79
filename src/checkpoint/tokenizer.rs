//! The tokenizer that a GGUF file carries, as the text of a `tokenizer.json`.
//!
//! Byte-level byte-pair encodings (`tokenizer.ggml.model = "gpt2"`): the vocabulary, the merges, and by `tokenizer.ggml.pre` how a
//! text is cut before merging. Tokens of kinds 3 and 4 (control, user-defined) are found in the text before anything else.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::Facts;

const CONTROL: u64 = 3;
const USER_DEFINED: u64 = 4;

/// The file that a checkpoint's tokenizer is in, where it has one: a GGUF file itself, or a folder's `tokenizer.json`.
pub fn of(checkpoint: &Path) -> Option<PathBuf> {
    if !checkpoint.is_dir() {
        return Some(checkpoint.to_owned());
    }
    let json = checkpoint.join("tokenizer.json");
    json.is_file().then_some(json)
}

/// The `tokenizer.json` of a GGUF file's metadata.
///
/// # Errors
/// Where it carries none, or one of a kind that is not known here.
pub fn of_gguf(facts: &Facts) -> Result<String, String> {
    let text = |key: &str| facts.named(key).and_then(Value::as_str);
    match text("tokenizer.ggml.model") {
        Some("gpt2") => {}
        Some(other) => {
            return Err(format!(
                "its tokenizer is of kind `{other}`; byte-level pairs (`gpt2`) are read"
            ));
        }
        None => return Err("it carries no tokenizer".to_owned()),
    }
    let words = |key: &str| -> Result<Vec<&str>, String> {
        let all = facts.named(key).and_then(Value::as_array);
        let all = all.ok_or_else(|| format!("it has no {key}"))?;
        let words: Option<Vec<&str>> = all.iter().map(Value::as_str).collect();
        words.ok_or_else(|| format!("{key} is no list of texts"))
    };
    let tokens = words("tokenizer.ggml.tokens")?;
    let merges = words("tokenizer.ggml.merges")?;
    let mut vocab = Map::new();
    for (id, token) in tokens.iter().enumerate() {
        if vocab.insert((*token).to_owned(), id.into()).is_some() {
            return Err(format!("its tokenizer has the token {token:?} twice"));
        }
    }
    let kinds = facts
        .named("tokenizer.ggml.token_type")
        .and_then(Value::as_array);
    let special = |id: usize| {
        let kind = kinds?.get(id)?.as_u64()?;
        (kind == CONTROL || kind == USER_DEFINED).then_some(kind == CONTROL)
    };
    let added: Vec<Value> = tokens
        .iter()
        .enumerate()
        .filter_map(|(id, content)| {
            let control = special(id)?;
            Some(json!({
                "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
                "special": control,
            }))
        })
        .collect();
    let document = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added, "normalizer": null,
        "pre_tokenizer": cuts(text("tokenizer.ggml.pre").unwrap_or("default"))?,
        "post_processor": null,
        "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null, "end_of_word_suffix": null,
            "fuse_unk": false, "byte_fallback": false, "ignore_merges": false, "vocab": vocab, "merges": merges,
        },
    });
    Ok(document.to_string())
}

/// How a text is cut before merging, by the name that llama.cpp has for it.
fn cuts(name: &str) -> Result<Value, String> {
    let digits = json!({"type": "Digits", "individual_digits": true});
    let bytes = |use_regex: bool| json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": use_regex});
    let split = |pattern: &str| json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false});
    Ok(match name {
        // SmolLM's own tokenizer.json: each digit by itself, then GPT-2's pattern.
        "smollm" => json!({"type": "Sequence", "pretokenizers": [digits, bytes(true)]}),
        "gpt-2" | "gpt2" | "default" => bytes(true),
        "llama-bpe" | "llama3" | "llama-v3" => {
            json!({"type": "Sequence", "pretokenizers": [split(LLAMA3), bytes(false)]})
        }
        "qwen2" => json!({"type": "Sequence", "pretokenizers": [split(QWEN2), bytes(false)]}),
        other => {
            return Err(format!(
                "how its tokenizer cuts texts (`{other}`) is not known here"
            ));
        }
    })
}

/// Llama 3's pattern, as in its `tokenizer.json`.
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Qwen2's, which is that but for digits one by one.
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
