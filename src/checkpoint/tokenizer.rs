//! The tokenizer that a GGUF file carries, as the text of a `tokenizer.json`.
//!
//! Byte-level byte-pair encodings (`tokenizer.ggml.model = "gpt2"`): the vocabulary, the merges, and by `tokenizer.ggml.pre` how a
//! text is cut before merging. SentencePiece's (`llama`): pieces and their scores. User-defined tokens are found in a text before
//! anything else; of byte-level pairs control tokens are too, of SentencePiece's they are not, whose `<unk>` and `<s>` stand in texts
//! as words (as in llama.cpp's perplexity).

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::Facts;
use super::bytes::Bytes;
use super::cuts::{self, Cut};
use super::sentencepiece;

const CONTROL: u64 = 3;
const USER_DEFINED: u64 = 4;
/// The largest `tokenizer.json` that is looked into.
const MOST_JSON_BYTES: u64 = 1 << 28;

/// The file that a checkpoint's tokenizer is in, where it has one: a GGUF file itself, or a folder's `tokenizer.json`.
pub fn of(checkpoint: &Path) -> Option<PathBuf> {
    if !checkpoint.is_dir() {
        return Some(checkpoint.to_owned());
    }
    let json = checkpoint.join("tokenizer.json");
    json.is_file().then_some(json)
}

/// Whether a checkpoint's texts begin with its tokenizer's token for a beginning.
pub fn begins(checkpoint: &Path, facts: &Facts) -> bool {
    if facts.is_gguf() {
        return first(facts).is_some();
    }
    let read = || -> Option<Value> {
        let mut file = Bytes::open(&of(checkpoint)?).ok()?;
        let length = file.length();
        let bytes = file.take(length.min(MOST_JSON_BYTES)).ok()?;
        serde_json::from_slice(&bytes).ok()
    };
    read().is_some_and(|document| beginning(&document["post_processor"]).is_some())
}

/// The token that a `post_processor` puts before a text, where it puts one there.
pub fn beginning(processor: &Value) -> Option<u32> {
    if let Some(several) = processor["processors"].as_array() {
        return several.iter().find_map(beginning);
    }
    let name = processor["single"].get(0)?["SpecialToken"]["id"].as_str()?;
    let id = processor["special_tokens"][name]["ids"].get(0)?.as_u64()?;
    u32::try_from(id).ok()
}

/// The token that llama.cpp puts before a text, where it does: as the file says, else by the kind of tokenizer.
fn first(facts: &Facts) -> Option<u64> {
    let text = |key: &str| facts.named(key).and_then(Value::as_str);
    let said = facts.named("tokenizer.ggml.add_bos_token");
    let cut = text("tokenizer.ggml.pre").and_then(cuts::named);
    let usual = of_pieces(facts) || cut.is_some_and(|cut| cut.begins);
    if !said.and_then(Value::as_bool).unwrap_or(usual) {
        return None;
    }
    facts.named("tokenizer.ggml.bos_token_id")?.as_u64()
}

/// What GPT-2's byte-level encodings call each of the 256 bytes.
pub fn byte_words() -> Vec<String> {
    let printable = |byte: u32| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    let mut further = 256;
    let words = (0..256).map(|byte| {
        let point = match printable(byte) {
            true => byte,
            false => {
                further += 1;
                further - 1
            }
        };
        char::from_u32(point).map(String::from).unwrap_or_default()
    });
    words.collect()
}

/// The `tokenizer.json` of a GGUF file's metadata.
///
/// # Errors
/// Where it carries none, or one of a kind that is not known here.
pub fn of_gguf(facts: &Facts) -> Result<String, String> {
    let text = |key: &str| facts.named(key).and_then(Value::as_str);
    let tokens = words(facts, "tokenizer.ggml.tokens");
    let parts = match text("tokenizer.ggml.model") {
        Some("gpt2") => json!({
            "normalizer": null,
            "pre_tokenizer": cut(facts)?.pre_tokenizer,
            "ignore_merges": cut(facts)?.ignores_merges,
            "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
            "unk_token": null,
            "merges": words(facts, "tokenizer.ggml.merges")?,
        }),
        Some("llama") => sentencepiece::parts(facts, &tokens.clone()?)?,
        Some(other) => {
            return Err(format!(
                "its tokenizer is of kind `{other}`; byte-level pairs (`gpt2`) and SentencePiece's (`llama`) are read"
            ));
        }
        None => return Err("it carries no tokenizer".to_owned()),
    };
    let tokens = tokens?;
    let mut vocab = Map::new();
    for (id, token) in tokens.iter().enumerate() {
        if vocab.insert((*token).to_owned(), id.into()).is_some() {
            return Err(format!("its tokenizer has the token {token:?} twice"));
        }
    }
    let in_bytes = of_pieces(facts);
    let document = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added(facts, &tokens),
        "normalizer": parts["normalizer"], "pre_tokenizer": parts["pre_tokenizer"],
        "post_processor": processor(facts, &tokens)?, "decoder": parts["decoder"],
        "model": {
            "type": "BPE", "dropout": null, "unk_token": parts["unk_token"], "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": in_bytes, "byte_fallback": in_bytes,
            "ignore_merges": parts["ignore_merges"].as_bool().unwrap_or(false),
            "vocab": vocab, "merges": parts["merges"],
        },
    });
    Ok(document.to_string())
}

/// How it cuts texts before it merges.
fn cut(facts: &Facts) -> Result<Cut, String> {
    let name = facts.named("tokenizer.ggml.pre").and_then(Value::as_str);
    let name = name.unwrap_or("default");
    cuts::named(name)
        .ok_or_else(|| format!("how its tokenizer cuts texts (`{name}`) is not known here"))
}

/// Whether it is SentencePiece's.
fn of_pieces(facts: &Facts) -> bool {
    facts.named("tokenizer.ggml.model").and_then(Value::as_str) == Some("llama")
}

fn words<'f>(facts: &'f Facts, key: &str) -> Result<Vec<&'f str>, String> {
    let all = facts.named(key).and_then(Value::as_array);
    let all = all.ok_or_else(|| format!("it has no {key}"))?;
    let words: Option<Vec<&str>> = all.iter().map(Value::as_str).collect();
    words.ok_or_else(|| format!("{key} is no list of texts"))
}

/// Tokens that are found in a text before anything else.
fn added(facts: &Facts, tokens: &[&str]) -> Vec<Value> {
    let kinds = facts.named("tokenizer.ggml.token_type");
    let kinds = kinds.and_then(Value::as_array);
    let special = |id: usize| {
        let kind = kinds?.get(id)?.as_u64()?;
        (kind == USER_DEFINED || kind == CONTROL && !of_pieces(facts)).then_some(kind == CONTROL)
    };
    let all = tokens.iter().enumerate();
    all.filter_map(|(id, content)| {
        let control = special(id)?;
        Some(json!({
            "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
            "special": control,
        }))
    })
    .collect()
}

/// What puts a token before a text, where one stands there.
fn processor(facts: &Facts, tokens: &[&str]) -> Result<Value, String> {
    let Some(id) = first(facts) else {
        return Ok(Value::Null);
    };
    let name = usize::try_from(id).ok().and_then(|id| tokens.get(id));
    let name = name.ok_or_else(|| format!("its texts begin with token {id}, which it has not"))?;
    let (token, text) = (
        json!({"SpecialToken": {"id": name, "type_id": 0}}),
        |of: &str| json!({"Sequence": {"id": of, "type_id": 0}}),
    );
    Ok(json!({
        "type": "TemplateProcessing", "single": [token, text("A")], "pair": [token, text("A"), text("B")],
        "special_tokens": {*name: {"id": name, "ids": [id], "tokens": [name]}},
    }))
}
