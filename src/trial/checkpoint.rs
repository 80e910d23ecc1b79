//! What lets a long trial go on after a kill, to the same bits: parameters, optimizer state, position and what was seen so
//! far, in one safetensors file that is replaced as a whole. Batches are functions of seed and step, so the position is all
//! that the random streams need.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::PathBuf;

use candle_core::{Device, Tensor, safetensors};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::train::Snapshot;

/// Seconds of training between checkpoints: what a kill costs at most. Shorter trials never write one.
pub const EVERY_S: f64 = 60.0;

/// Where a trial's checkpoint lies, and whose it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// The file.
    pub path: PathBuf,
    /// The trial's id: a file of another trial is not taken.
    pub id: String,
    /// Seconds between two.
    pub every_s: f64,
}

/// What stands beside the tensors.
#[derive(Serialize, Deserialize)]
struct Header {
    id: String,
    step: u64,
    params: usize,
    optimizer: usize,
    log: Value,
}

const HEADER: &str = "header";

impl Checkpoint {
    /// Writes one in place of the last. Not being able to (a full disk) is no reason to lose the trial: then the last one, or
    /// none, stays.
    pub fn save(&self, snapshot: &Snapshot, log: Value) -> Result<()> {
        let header = Header {
            id: self.id.clone(),
            step: snapshot.step,
            params: snapshot.params.len(),
            optimizer: snapshot.optimizer.len(),
            log,
        };
        let header = serde_json::to_vec(&header).map_err(|e| Error::internal(format!("a checkpoint's header: {e}")))?;
        let mut tensors: HashMap<String, Tensor> = HashMap::new();
        tensors.insert(HEADER.to_owned(), Tensor::from_slice(&header, header.len(), &Device::Cpu)?);
        for (name, list) in [("param", &snapshot.params), ("optimizer", &snapshot.optimizer)] {
            tensors.extend(list.iter().enumerate().map(|(k, tensor)| (format!("{name}.{k}"), tensor.clone())));
        }
        let unfinished = self.path.with_extension("unfinished");
        let written = safetensors::save(&tensors, &unfinished)
            .is_ok_and(|()| File::open(&unfinished).and_then(|file| file.sync_all()).is_ok())
            && fs::rename(&unfinished, &self.path).is_ok();
        if !written {
            let _ = fs::remove_file(&unfinished);
        }
        Ok(())
    }

    /// The last one of this trial; `None` where there is none, or none that can be read: the trial then begins again.
    pub fn load(&self, device: &Device) -> Option<(Snapshot, Value)> {
        let mut tensors = safetensors::load(&self.path, device).ok()?;
        let header: Header = serde_json::from_slice(&tensors.remove(HEADER)?.to_vec1::<u8>().ok()?).ok()?;
        if header.id != self.id {
            return None;
        }
        let mut take = |name: &str, count: usize| {
            (0..count).map(|k| tensors.remove(&format!("{name}.{k}"))).collect::<Option<Vec<Tensor>>>()
        };
        let (params, optimizer) = (take("param", header.params)?, take("optimizer", header.optimizer)?);
        Some((Snapshot { step: header.step, params, optimizer }, header.log))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device;
    use crate::measure::Monotonic;
    use crate::measure::energy::{Metering, Plan};
    use crate::spec::{Library, Origin, Tree};
    use crate::trial::training::train;
    use crate::trial::{Registry, settle};
    use serde_json::json;

    fn values(tensor: &Tensor) -> Vec<f32> {
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    }

    /// A run that goes on from its last checkpoint ends in the same bits as one that never stopped, whatever the optimizer.
    #[test]
    fn a_trial_goes_on_to_the_same_bits() {
        let folder = tempfile::tempdir().unwrap();
        for optimizer in ["adamw", "muon", "sgd"] {
            let sets = json!({
                "model": {"layers": 1, "width": 16, "heads": 2, "context": 8},
                "train": {"batch": 2, "steps": 7, "optimizer": {"kind": optimizer, "lr": 0.01}},
                "data": {"kind": "markov", "states": 7},
            });
            let mut tree = Library::builtin().variant("gpt2").unwrap().tree;
            tree.overlay(&Tree::from_json(&sets, &Origin::named("test")).unwrap());
            let experiment = settle(&Registry::builtin(), &tree).unwrap().experiment;
            let (opened, clock) = (device::open("cpu").unwrap(), Monotonic::start());
            let path = folder.path().join(optimizer);
            let checkpoint = Checkpoint { path: path.clone(), id: "a".to_owned(), every_s: 0.0 };
            let run = |checkpoint: Option<&Checkpoint>| {
                let meters = Metering::start(&Registry::builtin().meters, Plan::default(), std::sync::Arc::new(clock));
                train(&experiment, 3, &opened, &clock, (&meters, checkpoint), &mut |_| ()).unwrap()
            };

            let whole = run(None);
            let saving = run(Some(&checkpoint));
            // The last checkpoint is from before the last step.
            let resumed = run(Some(&checkpoint));
            assert_eq!((whole.resumed_at, saving.resumed_at, resumed.resumed_at), (None, None, Some(6)), "{optimizer}");
            for other in [&saving, &resumed] {
                assert_eq!(other.losses, whole.losses, "{optimizer}");
                assert_eq!(other.curve.train_loss_nats, whole.curve.train_loss_nats, "{optimizer}");
                assert_eq!(other.quality.as_ref().unwrap().loss.mean, whole.quality.as_ref().unwrap().loss.mean);
                for (a, b) in other.params.vars().iter().zip(whole.params.vars()) {
                    assert_eq!(values(a), values(b), "{optimizer}");
                }
            }

            // Another trial's file, and a torn one, are as good as none.
            let other = Checkpoint { id: "b".to_owned(), every_s: 1e9, ..checkpoint.clone() };
            assert_eq!(run(Some(&other)).resumed_at, None);
            let bytes = fs::read(&path).unwrap();
            fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
            let torn = Checkpoint { every_s: 1e9, ..checkpoint.clone() };
            assert_eq!(run(Some(&torn)).losses, whole.losses);
            assert!(!path.with_extension("unfinished").exists());
        }
    }
}
