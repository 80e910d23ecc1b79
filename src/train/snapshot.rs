//! What a trainer has learnt as one safetensors file, with a note beside the tensors.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::Path;

use candle_core::{Device, Tensor, safetensors};

use crate::error::Result;

/// Everything that a trainer has learnt: with the same setup and the same batches it goes on to the same bits.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Steps done.
    pub step: u64,
    /// Parameters, in the declarations' order.
    pub params: Vec<Tensor>,
    /// The optimizer's state, in its own order.
    pub optimizer: Vec<Tensor>,
}

const NOTE: &str = "note";
const STEP: &str = "step";

impl Snapshot {
    /// Writes it in place of what is there, whole or not at all, and says whether that went well.
    pub fn write(&self, path: &Path, note: &[u8]) -> Result<bool> {
        let mut tensors: HashMap<String, Tensor> = HashMap::new();
        tensors.insert(
            NOTE.to_owned(),
            Tensor::from_slice(note, note.len(), &Device::Cpu)?,
        );
        tensors.insert(
            STEP.to_owned(),
            Tensor::new(
                &[i64::try_from(self.step).unwrap_or(i64::MAX)],
                &Device::Cpu,
            )?,
        );
        for (name, list) in [("param", &self.params), ("optimizer", &self.optimizer)] {
            tensors.extend(
                list.iter()
                    .enumerate()
                    .map(|(k, tensor)| (format!("{name}.{k}"), tensor.clone())),
            );
        }
        let unfinished = path.with_extension("unfinished");
        let written = safetensors::save(&tensors, &unfinished).is_ok_and(|()| {
            File::open(&unfinished)
                .and_then(|file| file.sync_all())
                .is_ok()
        }) && fs::rename(&unfinished, path).is_ok();
        if !written {
            let _ = fs::remove_file(&unfinished);
        }
        Ok(written)
    }

    /// What [`write`](Self::write) wrote, and its note; `None` where that is not what the file holds.
    pub fn read(path: &Path, device: &Device) -> Option<(Self, Vec<u8>)> {
        let mut tensors = safetensors::load(path, device).ok()?;
        let note = tensors.remove(NOTE)?.to_vec1().ok()?;
        let step = u64::try_from(*tensors.remove(STEP)?.to_vec1::<i64>().ok()?.first()?).ok()?;
        let mut list = |name: &str| {
            (0..)
                .map_while(|k| tensors.remove(&format!("{name}.{k}")))
                .collect::<Vec<Tensor>>()
        };
        Some((
            Self {
                step,
                params: list("param"),
                optimizer: list("optimizer"),
            },
            note,
        ))
    }
}
