//! A folder as Hugging Face's `transformers` writes it: `config.json`, and the weights as safetensors in one file or in shards.
//!
//! A safetensors file is the length of a JSON header (8 bytes), the header (name to dtype, shape and a range of bytes), the numbers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use super::bytes::Bytes;
use super::facts::Facts;
use super::gguf::apart;
use super::kind::Kind;
use super::stored::Stored;

type Found<T> = Result<T, String>;

/// The largest header that is read; a model of 100,000 tensors has one of 10 MB.
const MOST_HEADER_BYTES: u64 = 1 << 26;
/// The largest `config.json` and index.
const MOST_JSON_BYTES: u64 = 1 << 26;
/// The most files that a model lies in.
const MOST_SHARDS: usize = 4096;

/// Reads a folder's configuration.
pub(super) fn facts(folder: &Path) -> Found<Facts> {
    let config = json(&folder.join("config.json"))?;
    let config: BTreeMap<String, Value> = serde_json::from_value(config)
        .map_err(|error| format!("its config.json is no table: {error}"))?;
    Facts::of_config(config)
}

/// Reads the headers of a folder's weights.
pub(super) fn tensors(folder: &Path) -> Found<BTreeMap<String, Stored>> {
    let mut tensors = BTreeMap::new();
    for file in files(folder)? {
        for (name, stored) in header(&file)? {
            if tensors.insert(name.clone(), stored).is_some() {
                return Err(format!("it has tensor `{name}` twice"));
            }
        }
    }
    apart(&tensors)?;
    Ok(tensors)
}

/// `model.safetensors`, or the files that its index names.
fn files(folder: &Path) -> Found<Vec<PathBuf>> {
    let one = folder.join("model.safetensors");
    if one.is_file() {
        return Ok(vec![one]);
    }
    let index = folder.join("model.safetensors.index.json");
    if !index.is_file() {
        return Err("it has neither model.safetensors nor model.safetensors.index.json".to_owned());
    }
    let index = json(&index)?;
    let map = index.get("weight_map").and_then(Value::as_object);
    let map = map.ok_or("its index has no weight_map")?;
    let mut names: Vec<&str> = map.values().filter_map(Value::as_str).collect();
    names.sort_unstable();
    names.dedup();
    if names.len() > MOST_SHARDS {
        return Err(format!("its index names {} files", names.len()));
    }
    let inside = |name: &&&str| Path::new(name).components().count() == 1 && **name != "..";
    match names.iter().find(|name| !inside(name)) {
        Some(name) => Err(format!(
            "its index names `{name}`, which lies outside of the folder"
        )),
        None => Ok(names.iter().map(|name| folder.join(name)).collect()),
    }
}

fn json(path: &Path) -> Found<Value> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut bytes = Bytes::open(path).map_err(|why| format!("{name}: {why}"))?;
    let length = bytes.length();
    if length > MOST_JSON_BYTES {
        return Err(format!("{name} has {length} bytes"));
    }
    serde_json::from_slice(&bytes.take(length)?).map_err(|error| format!("{name}: {error}"))
}

/// What the header of a safetensors file says of a tensor.
#[derive(Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [u64; 2],
}

fn header(file: &Path) -> Found<Vec<(String, Stored)>> {
    let named = |why: String| {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        format!("{name}: {why}")
    };
    let mut bytes = Bytes::open(file).map_err(named)?;
    let length = bytes.u64().map_err(named)?;
    if length > MOST_HEADER_BYTES {
        return Err(named(format!("its header claims {length} bytes")));
    }
    let header = bytes.take(length).map_err(named)?;
    let all: BTreeMap<String, Value> =
        serde_json::from_slice(&header).map_err(|error| named(format!("its header: {error}")))?;
    let data = 8 + length;
    let tensors = all.into_iter().filter(|(name, _)| name != "__metadata__");
    tensors
        .map(|(name, entry)| {
            let stored = stored(&name, entry, file, data, bytes.length()).map_err(named)?;
            Ok((name, stored))
        })
        .collect()
}

fn stored(name: &str, entry: Value, file: &Path, data: u64, length: u64) -> Found<Stored> {
    let entry: Entry =
        serde_json::from_value(entry).map_err(|error| format!("tensor `{name}`: {error}"))?;
    let kind = Kind::of_name(&entry.dtype).ok_or_else(|| {
        format!(
            "tensor `{name}` is of kind {}, which is not read here",
            entry.dtype
        )
    })?;
    let bytes = kind
        .bytes_of(&entry.shape)
        .filter(|_| !entry.shape.contains(&0));
    let [from, to] = entry.data_offsets;
    if bytes.is_none() || to.checked_sub(from) != bytes {
        return Err(format!(
            "tensor `{name}` of shape {:?} does not lie in {from}..{to}",
            entry.shape
        ));
    }
    let (begins, ends) = (data.checked_add(from), data.checked_add(to));
    match (begins, ends) {
        (Some(offset), Some(ends)) if ends <= length => Ok(Stored {
            file: file.to_owned(),
            kind,
            shape: entry.shape,
            offset,
            bytes: to - from,
        }),
        _ => Err(format!("it is cut: tensor `{name}` ends behind the file")),
    }
}
