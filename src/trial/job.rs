//! What a child process is asked to do, and what it says while it does it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::checkpoint::EVERY_S;
use crate::record::Trial;
use crate::record::utilisation::Peaks;

/// One trial to run: everything a fresh process needs, as one JSON document on its standard input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Its record with everything in it that is known before anything runs: who it is, its settled spec, what it must cost. In
    /// the spec a data path is a file name.
    pub trial: Trial,
    /// Keys that name files, with where those really lie; never recorded.
    pub paths: BTreeMap<String, PathBuf>,
    /// The cell whose trained weights it begins with, those of the same repeat and build.
    #[serde(default)]
    pub parent: Option<String>,
    /// The cell that it learns from, its trial of the same repeat and build.
    #[serde(default)]
    pub teacher: Option<String>,
    /// The device's measured GEMM peak in the dtype that the trial computes in, for MFU.
    pub peak_flops_per_s: Option<f64>,
    /// The device's measured bandwidth, for MBU.
    #[serde(default)]
    pub stream_bytes_per_s: Option<f64>,
    /// Where a long trial keeps what lets it go on after a kill.
    #[serde(default)]
    pub checkpoint: Option<PathBuf>,
    /// Where what it has learnt is kept, as safetensors.
    #[serde(default)]
    pub keep_weights: Option<PathBuf>,
    /// Seconds of training between two of them.
    #[serde(default = "checkpoint_every_s")]
    pub checkpoint_every_s: f64,
}

fn checkpoint_every_s() -> f64 {
    EVERY_S
}

impl Job {
    /// The peaks that were measured before it began.
    pub fn peaks(&self) -> Peaks {
        Peaks {
            flops_per_s: self.peak_flops_per_s,
            bytes_per_s: self.stream_bytes_per_s,
        }
    }

    /// What the file of its weights is called: cell, repeat, and enough of the id to tell it from the same cell with other keys.
    pub fn weights_name(&self) -> String {
        let cell = self.trial.cell.replace(['/', '\\', ':'], "-");
        let id = &self.trial.id[..self.trial.id.len().min(8)];
        format!("{cell}-{}-{id}.safetensors", self.trial.repeat)
    }

    /// FLOPs that it must take, model and optimizer.
    pub fn flops(&self) -> f64 {
        let cost = self.trial.cost.as_ref();
        cost.map_or(0.0, |cost| cost.train_flops + cost.optimizer_flops)
    }
}

/// One line of a child's standard output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// Alive, and where it is.
    Progress {
        /// `train`, `evaluate`.
        phase: String,
        /// Done.
        step: u64,
        /// Of.
        steps: u64,
        /// Recent training loss in nats; `null` where it is not finite.
        loss: Option<f64>,
        /// Recent training throughput.
        tokens_per_s: Option<f64>,
    },
    /// The whole result; the last line.
    Done {
        /// Ready for the journal.
        trial: Box<Trial>,
    },
}

/// Where a trial says how far it is.
pub type Emit<'a> = dyn FnMut(Event) + 'a;
