//! A model's parameters in a file that others read: GGUF for llama.cpp, a folder for `transformers`. Matrices that are one here are cut
//! into theirs, rows laid as theirs lie, and muP's multipliers, which they do not know, folded into the parameters beside them.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use candle_core::quantized::{GgmlDType, QTensor, gguf_file};
use candle_core::{Device, Tensor};
use serde_json::Value;

use super::param::{Decl, Params};
use super::shape::Shape;
use super::weights::save;
use crate::checkpoint::outward::{Form, Outward, outward};
use crate::checkpoint::tokenizer::byte_words;
use crate::checkpoint::{Piece, Turn};
use crate::error::{Error, Result};

/// GGUF's key of what byte-level pairs merge.
const MERGES: &str = "tokenizer.ggml.merges";
/// Bytes that the header of a vocabulary of bytes lies within.
const MOST_HEADER: u64 = 1 << 20;

/// What stands beside the numbers in the file.
#[derive(Debug, Clone, PartialEq)]
pub struct Besides<'a> {
    /// The settled `model` table.
    pub model: &'a Value,
    /// What the model is called.
    pub title: &'a str,
    /// Whether its tokens are bytes.
    pub bytes: bool,
}

/// Writes what logits are made with, in f32: a GGUF file where the path ends so, else a folder.
///
/// # Errors
/// A model of which neither has a kind, with what it has that they have not; a file that cannot be written.
pub fn write(
    path: &Path,
    decls: &[Decl],
    params: &Params,
    shape: &Shape,
    beside: &Besides,
) -> Result<()> {
    let gguf = path.extension().is_some_and(|ending| ending == "gguf");
    let form = if gguf { Form::Gguf } else { Form::Folder };
    let find = |name: &str| decls.iter().find(|decl| decl.name == name && decl.serves);
    let hidden = find("blocks.00.ffn.down").and_then(|decl| decl.shape.get(1).copied());
    let hidden = hidden
        .ok_or_else(|| refused("it has no feed-forward layer of one matrix up and one down"))?;
    let tied = find("head.weight").is_none();
    let mut header = outward(beside.model, hidden, tied, form).map_err(|why| refused(&why))?;
    if form == Form::Gguf {
        header
            .values
            .insert("general.name".to_owned(), beside.title.into());
        let words = if beside.bytes { of_bytes() } else { no_words() };
        header.values.extend(words);
    }
    let tensors = cut(decls, params, shape, &header)?;
    match form {
        Form::Gguf => to_gguf(path, &header, &tensors),
        Form::Folder => to_folder(path, &header, tensors),
    }
    .map_err(|why| {
        Error::input(format!("{} cannot be written: {why}", path.display()))
            .hint("a folder that is there and can be written, with room")
    })
}

fn refused(why: &str) -> Error {
    Error::input(format!("no file of others holds this model: {why}"))
        .hint("llama (rmsnorm, rope, swiglu, no biases) and gpt2 (layernorm, learned positions, gelu, biases) go out")
}

/// Every parameter as the tensors that it becomes.
fn cut(
    decls: &[Decl],
    params: &Params,
    shape: &Shape,
    header: &Outward,
) -> Result<BTreeMap<String, Tensor>> {
    let mut parts = header.parts.clone();
    let mut tensors = BTreeMap::new();
    for (id, decl) in decls.iter().enumerate().filter(|(_, decl)| decl.serves) {
        let Some(pieces) = parts.remove(&decl.name) else {
            return Err(refused(&format!(
                "`{}` has no place in a {}",
                decl.name, header.architecture
            )));
        };
        let numbers = params.numbers(id)?.to_device(&Device::Cpu)?;
        let numbers = (numbers * folded(&decl.name, shape))?;
        let mut from = 0;
        for (piece, rows) in pieces.iter().zip(rows(&pieces, decl, shape)) {
            let own = numbers.narrow(0, from, rows)?;
            tensors.insert(piece.tensor.clone(), laid(piece, &own)?);
            from += rows;
        }
    }
    match parts.keys().next() {
        Some(name) => Err(refused(&format!(
            "a {} has `{name}`, which this model has not",
            header.architecture
        ))),
        None => Ok(tensors),
    }
}

/// Rows of each piece: queries, keys and values, or equal shares.
fn rows(pieces: &[Piece], decl: &Decl, shape: &Shape) -> Vec<usize> {
    let head = shape.head_width();
    match pieces.len() {
        3 => vec![
            shape.heads * head,
            shape.kv_heads * head,
            shape.kv_heads * head,
        ],
        several => vec![decl.shape[0] / several.max(1); several],
    }
}

/// muP's multiplier that falls to a parameter: of logits to the last norm, of branches to what ends them.
fn folded(name: &str, shape: &Shape) -> f64 {
    let ends = [
        ".mixer.out",
        ".mixer.out_bias",
        ".ffn.down",
        ".ffn.down_bias",
    ];
    match name {
        name if name.starts_with("final_norm.") => shape.scaling.of_logits(),
        name if ends.iter().any(|end| name.ends_with(end)) => shape.scaling.of_branches(),
        _ => 1.0,
    }
}

/// Rows as they lie there.
fn laid(piece: &Piece, own: &Tensor) -> Result<Tensor> {
    Ok(match piece.turn {
        // Of a part of a matrix candle would pack the whole.
        Turn::AsIs => own.force_contiguous()?,
        Turn::Transposed => own.t()?.contiguous()?,
        Turn::LessOne => (own - 1.0)?,
        Turn::Pairs { heads } => {
            let (rows, columns) = own.dims2()?;
            let halves = own.reshape((heads, 2, rows / heads / 2, columns))?;
            let pairs = halves.transpose(1, 2)?.contiguous()?;
            pairs.reshape((rows, columns))?
        }
    })
}

/// A vocabulary of the 256 bytes, spelled as byte-level pairs spell them, without a pair.
fn of_bytes() -> Vec<(String, Value)> {
    let tokens = byte_words();
    let kinds = vec![1; tokens.len()];
    vec![
        ("tokenizer.ggml.model".to_owned(), "gpt2".into()),
        ("tokenizer.ggml.pre".to_owned(), "gpt-2".into()),
        ("tokenizer.ggml.tokens".to_owned(), tokens.into()),
        ("tokenizer.ggml.token_type".to_owned(), kinds.into()),
        (MERGES.to_owned(), Vec::<String>::new().into()),
        ("tokenizer.ggml.add_bos_token".to_owned(), false.into()),
    ]
}

fn no_words() -> Vec<(String, Value)> {
    vec![("tokenizer.ggml.model".to_owned(), "none".into())]
}

fn to_gguf(
    path: &Path,
    header: &Outward,
    tensors: &BTreeMap<String, Tensor>,
) -> std::result::Result<(), String> {
    let packed = tensors.iter().map(|(name, tensor)| {
        let packed = QTensor::quantize(tensor, GgmlDType::F32);
        Ok((name.as_str(), packed.map_err(|error| error.to_string())?))
    });
    let packed: Vec<(&str, QTensor)> = packed.collect::<std::result::Result<_, String>>()?;
    let values = header
        .values
        .iter()
        .map(|(key, value)| (key.as_str(), as_gguf(value)));
    let values: Vec<(&str, gguf_file::Value)> = values.collect();
    let values: Vec<(&str, &gguf_file::Value)> = values.iter().map(|(k, v)| (*k, v)).collect();
    let packed: Vec<(&str, &QTensor)> = packed.iter().map(|(k, t)| (*k, t)).collect();
    let file = fs::File::options()
        .create(true)
        .truncate(true)
        .read(true)
        .write(true)
        .open(path);
    let mut file = BufWriter::new(file.map_err(|error| error.to_string())?);
    gguf_file::write(&mut file, &values, &packed).map_err(|error| error.to_string())?;
    let mut file = file.into_inner().map_err(|error| error.to_string())?;
    no_merges_are_texts(&mut file).map_err(|error| error.to_string())?;
    file.sync_all().map_err(|error| error.to_string())
}

/// The library writes a list of nothing as one of numbers; llama.cpp loads no model whose merges are not texts, be there none.
fn no_merges_are_texts(file: &mut fs::File) -> std::io::Result<()> {
    const LIST: u32 = 9;
    const NUMBERS: u32 = 4;
    const TEXTS: u32 = 8;
    let mut before = (MERGES.len() as u64).to_le_bytes().to_vec();
    before.extend(MERGES.as_bytes());
    before.extend(LIST.to_le_bytes());
    let none = [&before[..], &NUMBERS.to_le_bytes(), &[0; 8]].concat();
    let mut header = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.take(MOST_HEADER).read_to_end(&mut header)?;
    let at = header.windows(none.len()).position(|bytes| bytes == none);
    if let Some(at) = at {
        file.seek(SeekFrom::Start((at + before.len()) as u64))?;
        file.write_all(&TEXTS.to_le_bytes())?;
    }
    Ok(())
}

fn as_gguf(value: &Value) -> gguf_file::Value {
    match value {
        Value::Bool(value) => gguf_file::Value::Bool(*value),
        Value::String(text) => gguf_file::Value::String(text.clone()),
        // Counts in a list have a sign: llama.cpp loads no kinds of tokens that have none.
        Value::Array(all) => {
            let element = |value: &Value| match value.as_i64().map(i32::try_from) {
                Some(Ok(count)) => gguf_file::Value::I32(count),
                _ => as_gguf(value),
            };
            gguf_file::Value::Array(all.iter().map(element).collect())
        }
        other => match other.as_u64().and_then(|count| u32::try_from(count).ok()) {
            Some(count) => gguf_file::Value::U32(count),
            None => gguf_file::Value::F32(other.as_f64().unwrap_or(0.0) as f32),
        },
    }
}

fn to_folder(
    path: &Path,
    header: &Outward,
    tensors: BTreeMap<String, Tensor>,
) -> std::result::Result<(), String> {
    fs::create_dir_all(path).map_err(|error| error.to_string())?;
    let config = serde_json::to_string_pretty(&header.values).map_err(|error| error.to_string())?;
    fs::write(path.join("config.json"), config).map_err(|error| error.to_string())?;
    let tensors: HashMap<String, Tensor> = tensors.into_iter().collect();
    let weights = path.join("model.safetensors");
    save(&tensors, &weights)
}
