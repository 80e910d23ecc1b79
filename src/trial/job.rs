//! What a child process is asked to do, and what it says while it does it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::checkpoint::EVERY_S;
use crate::config::RateSource;
use crate::record::{Asked, Cost, Trial};

/// One trial to run: everything a fresh process needs, as one JSON document on its standard input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Hash of settled spec, repeat, arm and build.
    pub id: String,
    /// `gpt2/w32@800`.
    pub cell: String,
    /// The cell's name, or a build's label.
    pub arm: String,
    /// From 0.
    pub repeat: u64,
    /// Position in the run, from 0.
    pub order: u64,
    /// `gpt2`.
    pub variant: String,
    /// `w32`, or a shape's name.
    pub scale: String,
    /// Planned steps, where the cell is named by its budget.
    pub budget: Option<u64>,
    /// Of parameters, data order and sampling.
    pub seed: u64,
    /// Where the learning rate comes from.
    pub lr_source: RateSource,
    /// Index into the result file's builds.
    pub build: u64,
    /// Index into the result file's machines.
    pub machine: u64,
    /// Every default written out; a data path is a file name here.
    pub spec: Value,
    /// Of `spec`.
    pub spec_sha256: String,
    /// Keys that name files, with where those really lie; never recorded.
    pub paths: BTreeMap<String, PathBuf>,
    /// Structural cost, known before anything runs.
    pub cost: Cost,
    /// The device's measured GEMM peak in the dtype that the trial computes in, for MFU.
    pub peak_flops_per_s: Option<f64>,
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
    /// What it computes in: `f32`, `bf16`, or `tf32` where products of f32 are rounded to that.
    pub fn dtype(&self) -> &str {
        let asked = Asked::of(&self.spec);
        if asked.tf32() {
            return "tf32";
        }
        asked.dtype().unwrap_or("f32")
    }

    /// What the file of its weights is called: cell, repeat, and enough of the id to tell it from the same cell with other keys.
    pub fn weights_name(&self) -> String {
        let cell = self.cell.replace(['/', '\\'], "-");
        let id = &self.id[..self.id.len().min(8)];
        format!("{cell}-{}-{id}.safetensors", self.repeat)
    }

    /// Whether it only helps to choose a learning rate.
    pub fn in_sweep(&self) -> bool {
        self.lr_source.is_sweep()
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
