//! One trial: what was asked for, what it cost, how its loss fell, what was measured, and whether to believe it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::answers::Answers;
use super::choices::Choices;
use super::drafted::Drafted;
use super::gpu::GpuState;
use super::loss::LossUnit;
use super::metric::Metric;
use super::token_flops::TokenFlops;
use crate::config::rate_source::{RateSource, old_or_new};
use crate::reading::{Method, Phase, Quality};

/// How a trial ended.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Measured.
    Ok,
    /// A non-finite loss or gradient, or a final training loss above ln V + 1.
    Diverged,
    /// The process ended without a result.
    Failed,
    /// Took longer than its limit.
    Timeout,
    /// Killed for memory.
    OutOfMemory,
    /// Stopped by the user.
    Interrupted,
}

impl Status {
    /// For prose: `out of memory`.
    pub fn words(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Diverged => "diverged",
            Self::Failed => "failed",
            Self::Timeout => "timed out",
            Self::OutOfMemory => "out of memory",
            Self::Interrupted => "interrupted",
        }
    }
}

/// One arm at one repeat, in its own process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Trial {
    /// Hash of settled spec, repeat, arm and build: what resume looks for.
    pub id: String,
    /// `gpt2/w32@800`.
    pub cell: String,
    /// The cell's name, or the build's label where several builds are compared.
    pub arm: String,
    /// The unit of pairing: same seed, same data, arms interleaved.
    pub repeat: u64,
    /// Position in the run, from 0.
    pub order: u64,
    /// `gpt2`.
    pub variant: String,
    /// `w32`, or a shape's name.
    pub scale: String,
    /// Planned optimizer steps, where the cell is named by its budget; of an imported trial what its spec says.
    pub budget: Option<u64>,
    /// Of parameters, data order and sampling; beside the flag `seed_unknown` only a number of the repeat.
    pub seed: u64,
    /// Where the learning rate comes from; in a file of `effbench.result/1` a sentence.
    #[serde(deserialize_with = "old_or_new")]
    pub lr_source: RateSource,
    /// Index into `builds`.
    pub build: u64,
    /// Index into `machines`.
    pub machine: u64,
    /// How it ended.
    pub status: Status,
    /// Why, where it is not `ok`.
    pub reason: Option<String>,
    /// RFC 3339, UTC; of an imported trial when its log was last written.
    pub started_at: String,
    /// RFC 3339, UTC: when the run began that it belongs to, where a file holds those of several runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_started_at: Option<String>,
    /// The trial whose trained weights it began with; what that cost is its own and no part of what this one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// The trial that it learnt from; what that computed meanwhile is this one's cost, what it took to train is its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teacher: Option<String>,
    /// The settled spec, every default written out.
    pub spec: Value,
    /// Of the settled spec.
    pub spec_sha256: String,
    /// What it must cost, by arithmetic.
    pub cost: Option<Cost>,
    /// What somebody else's log says that it cost, instead of `cost`: only imported trials have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stated: Option<Stated>,
    /// Loss against step, tokens, FLOPs and seconds.
    pub curve: Curve,
    /// By name; the table in `record/metric.rs` is the registry.
    pub metrics: BTreeMap<String, Metric>,
    /// Loss split by what predicting a token needs, where the source has an oracle.
    pub skills: Vec<Skill>,
    /// What it said to the problems that it was asked (`infer.samples`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<Answers>,
    /// Which answers it chose to the questions of its data (`data.choices`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub choices: Option<Choices>,
    /// What guessing tokens ahead brought (`infer.draft`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drafted: Option<Drafted>,
    /// Joules, by meter.
    pub energy: Energy,
    /// What the GPU that it trained on showed meanwhile, where it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu: Option<GpuState>,
    /// Whether to believe it.
    pub validity: Validity,
}

impl Trial {
    /// A trial of which nothing is known yet: what plans, runs, imports and examples fill in.
    pub fn blank() -> Self {
        Self {
            id: String::new(),
            cell: String::new(),
            arm: String::new(),
            repeat: 0,
            order: 0,
            variant: String::new(),
            scale: String::new(),
            budget: None,
            seed: 0,
            lr_source: RateSource::Untuned,
            build: 0,
            machine: 0,
            status: Status::Failed,
            reason: None,
            started_at: String::new(),
            run_started_at: None,
            parent: None,
            teacher: None,
            spec: Value::Null,
            spec_sha256: String::new(),
            cost: None,
            stated: None,
            curve: Curve::default(),
            metrics: BTreeMap::new(),
            skills: Vec::new(),
            answers: None,
            choices: None,
            drafted: None,
            energy: Energy::default(),
            gpu: None,
            validity: Validity {
                ok: true,
                flags: Vec::new(),
                unseen: BTreeMap::new(),
            },
        }
    }

    /// Whether it only helped to choose a learning rate: it judges nothing.
    pub fn in_sweep(&self) -> bool {
        self.lr_source.is_sweep()
    }

    /// The value of a metric, where it was measured.
    pub fn metric(&self, name: &str) -> Option<f64> {
        self.metrics.get(name)?.value
    }

    /// All parameters, counted or stated.
    pub fn params(&self) -> Option<u64> {
        self.cost
            .as_ref()
            .map(|cost| cost.params_total)
            .or_else(|| self.stated.as_ref()?.params)
    }

    /// Training tokens of the whole trial, planned or stated.
    pub fn train_tokens(&self) -> Option<u64> {
        self.cost
            .as_ref()
            .map(|cost| cost.train_tokens)
            .or_else(|| self.stated.as_ref()?.train_tokens)
    }

    /// Times that it read its data, on average; 1 where it did not come to their end.
    pub fn epochs(&self) -> f64 {
        let mut flags = self.validity.flags.iter();
        let repeated = flags.find(|flag| flag.code == "repeated_data");
        repeated.and_then(|flag| flag.value).unwrap_or(1.0).max(1.0)
    }

    /// Training tokens that were not read before.
    pub fn unique_tokens(&self) -> Option<f64> {
        Some(self.train_tokens()? as f64 / self.epochs())
    }

    /// What its losses are told in.
    pub fn loss_unit(&self) -> LossUnit {
        self.stated
            .as_ref()
            .and_then(|stated| stated.loss_unit)
            .unwrap_or_default()
    }

    /// Whether its losses are nats of a byte, which stand beside no nats of a token.
    pub fn is_per_byte(&self) -> bool {
        self.loss_unit() == LossUnit::BitsPerByte
    }

    /// Model FLOPs of the whole training, counted as they are executed, or stated.
    pub fn train_flops(&self) -> Option<f64> {
        let counted = self
            .cost
            .as_ref()
            .map(|cost| cost.train_flops * cost.executed_share());
        counted.or_else(|| self.stated.as_ref()?.train_flops)
    }
}

/// What a log says that a trial cost, in the log's own way of counting. What it does not say is `null`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Stated {
    /// All parameters, or what the log calls so.
    pub params: Option<u64>,
    /// Up to the loss that counts as the result.
    pub train_tokens: Option<u64>,
    /// Up to the loss that counts as the result.
    pub train_flops: Option<f64>,
    /// Which of these the log does not say and C = 6 N D (Kaplan et al. 2020) gives.
    pub by_six_n_d: Option<BySixND>,
    /// What the log counts its losses in, where it is not nats; the record's are in nats all the same (per byte where the log's
    /// are bits per byte).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_unit: Option<LossUnit>,
    /// Joules of training; whether they were read or estimated the log does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joules: Option<f64>,
}

/// A figure that follows from two others by C = 6 N D.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BySixND {
    /// 6 N D.
    TrainFlops,
    /// C / 6 N.
    TrainTokens,
}

/// Structural cost: counted from the model's structure, matmul by matmul.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Cost {
    /// All parameters of the model that is trained; what only a loss has, as heads that predict further tokens, is not among them.
    pub params_total: u64,
    /// Without token and position embeddings and an untied head.
    pub params_non_embedding: u64,
    /// Used for one token.
    pub params_active: u64,
    /// Parameters by part: `embedding`, `mixer`, `ffn`, `norm`, `head`.
    pub params_by_part: BTreeMap<String, u64>,
    /// Share of embeddings and an untied head in all parameters.
    pub embedding_share: f64,
    /// Forward FLOPs per token: of the matrix products that are executed, attention's over the pairs that its mask leaves.
    pub forward_flops_per_token: f64,
    /// Forward and backward, each as executed: what is computed again backwards is counted again.
    pub train_flops_per_token: f64,
    /// The same for one sequence of the context's length.
    pub train_flops_per_sequence: u64,
    /// In files from before `train_flops_full_square` alone, whose other figures count attention's full square: the same with
    /// the pairs that a causal mask leaves, backwards twice the forward.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_flops_per_sequence_causal: Option<u64>,
    /// 6 N D with N the parameters used for one token, per token, for orientation; in files from before, all parameters.
    pub six_n_flops_per_token: f64,
    /// All steps, model only, as executed: the axis of every comparison at equal compute.
    pub train_flops: f64,
    /// The same by PaLM's convention (Chowdhery et al. 2022, appendix B): attention's full square of pairs, backwards twice the
    /// forward.
    #[serde(default)]
    pub train_flops_full_square: Option<f64>,
    /// All steps, optimizer only.
    pub optimizer_flops: f64,
    /// Model FLOPs of the sweep that chose the learning rate; `null` where it is not known.
    pub tuning_flops: Option<f64>,
    /// Training tokens of the whole trial.
    pub train_tokens: u64,
    /// Those of them that training is asked for, where the data ask a task and leave the others out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_labels: Option<u64>,
    /// What one more token adds to what decoding keeps, at the end of the context.
    pub kv_bytes_per_token: u64,
    /// What decoding keeps of a window of the whole context: keys and values, of sliding windows no more than those hold, and states
    /// of fixed size. Absent in files from before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_bytes_per_window: Option<u64>,
    /// Forward FLOPs of a token that is served, by how many stand before it. Absent in files from before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_flops: Option<TokenFlops>,
    /// Parameters, gradients and optimizer state, in bytes.
    pub state_bytes: u64,
}

/// The loss curve, as columns of one length; one that an imported log does not have is empty.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Curve {
    /// Optimizer steps done.
    pub step: Vec<u64>,
    /// Training tokens seen.
    pub tokens: Vec<u64>,
    /// Model FLOPs spent.
    pub train_flops: Vec<f64>,
    /// Seconds of training.
    pub wall_s: Vec<f64>,
    /// Joules, where a meter can tell; `null` for the whole column otherwise.
    pub energy_j: Option<Vec<f64>>,
    /// Mean training loss since the point before.
    pub train_loss_nats: Vec<Option<f64>>,
    /// Validation loss, where it was evaluated at this point.
    pub val_loss_nats: Vec<Option<f64>>,
    /// Of a model with experts, the mean over the steps since the point before of a batch's MaxVio, the largest load of an expert over
    /// the mean load, less 1, in the layer where it is largest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub max_violation: Vec<f64>,
}

/// One label's share of the loss.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Skill {
    /// What predicting these tokens needs.
    pub label: String,
    /// Tokens with this label.
    pub tokens: u64,
    /// The model's mean loss on them.
    pub loss_nats: f64,
    /// The source's own mean -ln p on them.
    pub oracle_nats: f64,
    /// Their difference.
    pub excess_nats: f64,
    /// Standard error of the difference, windows as the unit.
    pub excess_se_nats: Option<f64>,
    /// Share of right answers among them, where the data ask a task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f64>,
}

/// Joules.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Energy {
    /// One per meter and component.
    pub channels: Vec<Channel>,
    /// Sum of non-overlapping measured channels; estimates are never added.
    pub measured_j: Option<f64>,
    /// Why nothing was measured.
    pub reason: Option<String>,
    /// Processor seconds that reading the meters took beside the trial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub poller_cpu_s: Option<f64>,
}

/// One energy meter's reading of one component.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Channel {
    /// `package-0`, `gpu0`.
    pub id: String,
    /// `cpu_package`, `dram`, `gpu`, `platform`, `machine`.
    pub component: String,
    /// How its joules come about.
    pub method: Method,
    /// `rapl.powercap`, `nvml.total_energy` ...
    pub source: String,
    /// What stands behind them.
    pub quality: Quality,
    /// Reading.
    pub energy_j: Option<f64>,
    /// Range of an estimate; of a reading, what the age and the step of its values leave open.
    pub bounds_j: Option<[f64; 2]>,
    /// Time the reading covers.
    pub window_s: Option<f64>,
    /// `virtual_machine`, `no_permission`, `window_too_short` ... where there is no reading, and `differs_from_power` where
    /// another instrument on the same component says something else.
    pub reason: Option<String>,
    /// What the joules cover, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// Seconds between two updates of the instrument.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update_period_s: Option<f64>,
    /// Smallest step of the instrument.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolution_j: Option<f64>,
    /// Times that the counter passed its range and began again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wraps: Option<u64>,
    /// Times that the counter lost its count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resets: Option<u64>,
    /// The channel whose joules hold these: they are not in `measured_j` twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlaps: Option<String>,
    /// These joules over those of another instrument on the same component: of a GPU's counter over its power, integrated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check_ratio: Option<f64>,
    /// The same by phase.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phases: Vec<PhaseEnergy>,
}

impl Channel {
    /// Whether an instrument read it: it is no estimate, and there is a figure.
    pub fn is_measured(&self) -> bool {
        self.energy_j.is_some() && self.method.is_instrument()
    }
}

/// One phase's joules by one meter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PhaseEnergy {
    /// Which.
    pub phase: Phase,
    /// Reading.
    pub energy_j: Option<f64>,
    /// Seconds of all its stretches together.
    pub window_s: f64,
    /// Why there is no reading.
    pub reason: Option<String>,
}

/// Whether to believe a trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Validity {
    /// No flag of severity `invalid`.
    pub ok: bool,
    /// Reasons for doubt.
    pub flags: Vec<Flag>,
    /// What could not be looked at, by the flag that it could have raised, and why: no flag of it says nothing.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unseen: BTreeMap<String, String>,
}

/// One reason for doubt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Flag {
    /// `cpu_steal`, `not_steady` ...
    pub code: String,
    /// How bad.
    pub severity: Severity,
    /// What was seen.
    pub value: Option<f64>,
    /// What would be fine.
    pub limit: Option<f64>,
}

/// How bad a flag is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Read with care.
    Warn,
    /// Do not use.
    Invalid,
}
