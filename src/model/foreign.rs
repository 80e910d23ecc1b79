//! A checkpoint's numbers as this model's parameters: read, unpacked to f32, and turned to lie as they do here.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use candle_core::quantized::{GgmlDType, QStorage, QTensor};
use candle_core::{DType, Device, Tensor};

use super::param::{Decl, Params};
use crate::checkpoint::{Checkpoint, Kind, Piece, Stored, Turn};
use crate::error::{Error, Result};

/// Whether a checkpoint is this model, by its header; else why not.
pub(super) fn fits(checkpoint: &Checkpoint, decls: &[Decl]) -> std::result::Result<(), String> {
    let serving = || decls.iter().filter(|decl| decl.serves);
    for decl in serving() {
        let Some(pieces) = checkpoint.parts.get(&decl.name) else {
            return Err(format!("it has nothing that `{}` is made of", decl.name));
        };
        let mut rows = 0;
        for piece in pieces {
            let stored = &checkpoint.tensors[&piece.tensor];
            let shape = turned(piece, &stored.shape);
            let alike = shape.len() == decl.shape.len() && shape[1..] == decl.shape[1..];
            if !alike {
                return Err(format!(
                    "`{}` is {shape:?} there, and `{}` {:?} in this model",
                    piece.tensor, decl.name, decl.shape
                ));
            }
            rows += shape[0];
        }
        // A table of positions may be longer than the windows that are asked for.
        let longer = decl.name == POSITIONS && rows > decl.shape[0];
        if rows != decl.shape[0] && !longer {
            return Err(format!(
                "`{}` has {rows} rows there, and {} in this model",
                decl.name, decl.shape[0]
            ));
        }
    }
    let known = |name: &&String| serving().any(|decl| decl.name == **name);
    match checkpoint.parts.keys().find(|name| !known(name)) {
        Some(name) => Err(format!("it has `{name}`, which this model has not")),
        None => Ok(()),
    }
}

const POSITIONS: &str = "embedding.position";

fn turned(piece: &Piece, shape: &[usize]) -> Vec<usize> {
    match piece.turn {
        Turn::Transposed => shape.iter().rev().copied().collect(),
        Turn::AsIs | Turn::Pairs { .. } | Turn::LessOne => shape.to_vec(),
    }
}

/// Puts a checkpoint's numbers in place of what parameters started with; a loss's own keep that.
pub(super) fn load(checkpoint: &Checkpoint, decls: &[Decl], params: &Params) -> Result<()> {
    for (id, (decl, var)) in decls.iter().zip(params.vars()).enumerate() {
        if !decl.serves || params.is_packed(id) {
            continue;
        }
        let pieces = checkpoint.parts[&decl.name].iter();
        let pieces = pieces.map(|piece| read(piece, &checkpoint.tensors[&piece.tensor]));
        let all = pieces.collect::<Result<Vec<Tensor>>>()?;
        let whole = match all.as_slice() {
            [one] => one.clone(),
            several => Tensor::cat(several, 0)?,
        };
        let whole = whole.narrow(0, 0, decl.shape[0])?.contiguous()?;
        var.set(&whole.to_device(var.device())?)?;
    }
    Ok(())
}

/// One tensor in f32, its rows as they lie here.
fn read(piece: &Piece, stored: &Stored) -> Result<Tensor> {
    let tensor = numbers(stored)?;
    Ok(match piece.turn {
        Turn::AsIs => tensor,
        Turn::Transposed => tensor.t()?.contiguous()?,
        Turn::LessOne => (tensor + 1.0)?,
        Turn::Pairs { heads } => {
            let (rows, columns) = tensor.dims2()?;
            if heads == 0 || !rows.is_multiple_of(2 * heads) {
                let why = format!(
                    "`{}`: {rows} rows are not pairs of {heads} heads",
                    piece.tensor
                );
                return Err(Error::input(why));
            }
            let pairs = tensor.reshape((heads, rows / heads / 2, 2, columns))?;
            pairs
                .transpose(1, 2)?
                .contiguous()?
                .reshape((rows, columns))?
        }
    })
}

/// The bytes of a tensor, as they are in the file.
pub(super) fn bytes(stored: &Stored) -> Result<Vec<u8>> {
    let unreadable = |error: std::io::Error| Error::input(format!("it cannot be read: {error}"));
    let mut file = File::open(&stored.file).map_err(unreadable)?;
    file.seek(SeekFrom::Start(stored.offset))
        .map_err(unreadable)?;
    let mut bytes = vec![0; stored.bytes as usize];
    file.read_exact(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}

fn numbers(stored: &Stored) -> Result<Tensor> {
    let bytes = bytes(stored)?;
    let (device, shape) = (&Device::Cpu, stored.shape.as_slice());
    let plain = |dtype| Tensor::from_raw_buffer(&bytes, dtype, shape, device)?.to_dtype(DType::F32);
    match stored.kind.name {
        "F32" => Ok(plain(DType::F32)?),
        "F16" => Ok(plain(DType::F16)?),
        "BF16" => Ok(plain(DType::BF16)?),
        _ => {
            let storage = QStorage::from_data(bytes.into(), device, packed(stored.kind)?)?;
            Ok(QTensor::new(storage, shape)?.dequantize(device)?)
        }
    }
}

fn packed(kind: Kind) -> Result<GgmlDType> {
    Ok(match kind.name {
        "Q4_0" => GgmlDType::Q4_0,
        "Q4_1" => GgmlDType::Q4_1,
        "Q5_0" => GgmlDType::Q5_0,
        "Q5_1" => GgmlDType::Q5_1,
        "Q8_0" => GgmlDType::Q8_0,
        "Q8_1" => GgmlDType::Q8_1,
        "Q2_K" => GgmlDType::Q2K,
        "Q3_K" => GgmlDType::Q3K,
        "Q4_K" => GgmlDType::Q4K,
        "Q5_K" => GgmlDType::Q5K,
        "Q6_K" => GgmlDType::Q6K,
        "Q8_K" => GgmlDType::Q8K,
        other => {
            return Err(Error::input(format!(
                "numbers of kind {other} are not unpacked here"
            )));
        }
    })
}
