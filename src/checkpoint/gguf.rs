//! The header of a GGUF file, versions 2 and 3 (`docs/gguf.md` of ggml): metadata by key, tensors by name, and behind them, aligned,
//! the numbers.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Number, Value};

use super::bytes::Bytes;
use super::facts::Facts;
use super::kind::Kind;
use super::stored::Stored;

type Found<T> = Result<T, String>;

/// More entries than any model has.
const MOST_ENTRIES: u64 = 1 << 16;
/// Elements of all arrays together: the largest vocabularies, and their merges and scores, are below a million.
const MOST_ELEMENTS: u64 = 1 << 22;
const MOST_AXES: u32 = 4;

/// Reads a file's header.
pub(super) fn read(path: &Path) -> Found<(Facts, BTreeMap<String, Stored>)> {
    let mut bytes = Bytes::open(path)?;
    if bytes.length() < 24 || bytes.take(4)? != b"GGUF" {
        return Err("it is no GGUF file".to_owned());
    }
    match bytes.u32()? {
        2 | 3 => {}
        other if other.swap_bytes() < 16 => {
            return Err("it is written for big-endian machines".to_owned());
        }
        other => return Err(format!("it is GGUF of version {other}; 2 and 3 are read")),
    }
    let (tensors, entries) = (bytes.u64()?, bytes.u64()?);
    if tensors > MOST_ENTRIES || entries > MOST_ENTRIES {
        return Err(format!(
            "it claims {tensors} tensors and {entries} facts, more than any model has"
        ));
    }
    let mut facts = BTreeMap::new();
    let mut elements = MOST_ELEMENTS;
    for _ in 0..entries {
        let key = bytes.text()?;
        let kind = bytes.u32()?;
        let value = value(&mut bytes, kind, &mut elements)?;
        if facts.insert(key.clone(), value).is_some() {
            return Err(format!("it says `{key}` twice"));
        }
    }
    let found = (0..tensors)
        .map(|_| tensor(&mut bytes))
        .collect::<Found<Vec<_>>>()?;
    let alignment = match facts.get("general.alignment") {
        None => 32,
        Some(value) => value
            .as_u64()
            .filter(|n| n.is_power_of_two() && *n <= 1 << 20)
            .ok_or_else(|| format!("general.alignment = {value}: no power of two"))?,
    };
    let data = bytes.place()?.next_multiple_of(alignment);
    let tensors = placed(found, path, data, alignment, bytes.length())?;
    Ok((Facts::of_gguf(facts)?, tensors))
}

/// One value of a kind, by the numbers of `gguf_metadata_value_type`.
fn value(bytes: &mut Bytes, kind: u32, elements: &mut u64) -> Found<Value> {
    let float = |number: f64| Number::from_f64(number).map_or(Value::Null, Value::Number);
    Ok(match kind {
        0 => bytes.u8()?.into(),
        1 => (bytes.u8()? as i8).into(),
        2 => bytes.u16()?.into(),
        3 => (bytes.u16()? as i16).into(),
        4 => bytes.u32()?.into(),
        5 => (bytes.u32()? as i32).into(),
        // Seven digits are what a single holds: 1e-5 is not 9.999999747378752e-6.
        6 => float(short(f32::from_bits(bytes.u32()?))),
        7 => (bytes.u8()? != 0).into(),
        8 => bytes.text()?.into(),
        9 => {
            let (kind, count) = (bytes.u32()?, bytes.u64()?);
            if kind == 9 {
                return Err("it has lists of lists, which no model has".to_owned());
            }
            *elements = elements
                .checked_sub(count)
                .ok_or_else(|| format!("a list in it claims {count} elements"))?;
            let all = (0..count).map(|_| value(bytes, kind, elements));
            Value::Array(all.collect::<Found<Vec<_>>>()?)
        }
        10 => bytes.u64()?.into(),
        11 => (bytes.u64()? as i64).into(),
        12 => float(f64::from_bits(bytes.u64()?)),
        other => {
            return Err(format!(
                "it has a value of kind {other}, which GGUF does not know"
            ));
        }
    })
}

/// The number that a single is written for: the shortest that rounds to it.
fn short(single: f32) -> f64 {
    single.to_string().parse().unwrap_or(f64::NAN)
}

/// A tensor's name, shape, kind, and where it begins behind the header.
fn tensor(bytes: &mut Bytes) -> Found<(String, Vec<usize>, Kind, u64)> {
    let name = bytes.text()?;
    let axes = bytes.u32()?;
    if axes == 0 || axes > MOST_AXES {
        return Err(format!("tensor `{name}` has {axes} axes"));
    }
    let mut shape = Vec::new();
    for _ in 0..axes {
        let length = bytes.u64()?;
        let length = usize::try_from(length)
            .ok()
            .filter(|n| (1..=1 << 31).contains(n));
        shape.push(length.ok_or_else(|| format!("tensor `{name}` has an axis that cannot be"))?);
    }
    // Written fastest first.
    shape.reverse();
    let number = bytes.u32()?;
    let kind = Kind::of_ggml(number)
        .ok_or_else(|| format!("tensor `{name}` is of kind {number}, which is not read here"))?;
    Ok((name, shape, kind, bytes.u64()?))
}

/// The tensors with their places in the file: inside of it, and none over another.
fn placed(
    found: Vec<(String, Vec<usize>, Kind, u64)>,
    path: &Path,
    data: u64,
    alignment: u64,
    length: u64,
) -> Found<BTreeMap<String, Stored>> {
    let mut tensors = BTreeMap::new();
    for (name, shape, kind, offset) in found {
        let bytes = kind.bytes_of(&shape).ok_or_else(|| {
            format!(
                "tensor `{name}` of shape {shape:?} is no whole blocks of {}",
                kind.name
            )
        })?;
        if !offset.is_multiple_of(alignment) {
            return Err(format!(
                "tensor `{name}` is not aligned to {alignment} bytes"
            ));
        }
        let begins = data.checked_add(offset);
        let ends = begins.and_then(|begins| begins.checked_add(bytes));
        let (Some(offset), Some(ends)) = (begins, ends) else {
            return Err(format!("tensor `{name}` lies where no file reaches"));
        };
        if ends > length {
            return Err(format!(
                "it is cut: tensor `{name}` ends at byte {ends}, the file at {length}"
            ));
        }
        let stored = Stored {
            file: path.to_owned(),
            kind,
            shape,
            offset,
            bytes,
        };
        if tensors.insert(name.clone(), stored).is_some() {
            return Err(format!("it has tensor `{name}` twice"));
        }
    }
    apart(&tensors)?;
    Ok(tensors)
}

/// Refuses tensors that share bytes.
pub(super) fn apart(tensors: &BTreeMap<String, Stored>) -> Found<()> {
    let mut order: Vec<(&String, &Stored)> = tensors.iter().collect();
    order.sort_by_key(|(_, tensor)| (&tensor.file, tensor.offset));
    for pair in order.windows(2) {
        let [(first, a), (second, b)] = [pair[0], pair[1]];
        if a.file == b.file && a.offset + a.bytes > b.offset {
            return Err(format!("tensors `{first}` and `{second}` overlap"));
        }
    }
    Ok(())
}
