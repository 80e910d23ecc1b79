//! THE WAIST: what a run leaves behind. A small, dull, versioned, serialisable type that everything on the left writes and
//! everything on the right reads. SI units with the unit in the key; unknown is `null` beside a reason, never 0.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub mod metric;
pub mod store;

/// The schema this build writes.
pub const SCHEMA: &str = "effbench.result/1";

/// One JSON document: machines, builds, calibrations, trials.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ResultFile {
    /// `effbench.result/1`.
    pub schema: String,
    /// What was asked for.
    pub run: Run,
    /// Builds of effbench that trials point to.
    pub builds: Vec<Build>,
    /// Machines that trials point to.
    pub machines: Vec<Machine>,
    /// Measured peaks, before and after.
    pub calibrations: Vec<Calibration>,
    /// One arm at one repeat each.
    pub trials: Vec<Trial>,
}

/// What was asked for, and when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Run {
    /// The suite's name.
    pub suite: String,
    /// The command that reproduces it; paths are file names with a hash.
    pub command: String,
    /// The variant whose compute is the currency of gains.
    pub base: Option<String>,
    /// The question the suite fixed before anything ran.
    pub headline: Option<Headline>,
    /// What the data are, for the answer's last words: `synthetic language`.
    pub data: String,
    /// Repeats planned.
    pub repeats: u64,
    /// RFC 3339, UTC.
    pub started_at: String,
    /// RFC 3339, UTC; `null` while the run is not finished.
    pub finished_at: Option<String>,
}

/// The target of the answer, fixed in the suite before running.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Headline {
    /// The variant whose gain over the base is the answer.
    pub variant: String,
    /// The scale it is read at: `w32`.
    pub scale: String,
    /// The variant's budget in training steps.
    pub budget: u64,
}

/// A build of effbench.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Build {
    /// Package version.
    pub version: String,
    /// Git commit, where known at build time.
    pub commit: Option<String>,
    /// Whether the tree had uncommitted changes, where known.
    pub dirty: Option<bool>,
    /// Cargo features.
    pub features: Vec<String>,
    /// Compiler version, where known.
    pub rustc: Option<String>,
    /// `release` or `debug`.
    pub profile: String,
    /// Target features compiled in.
    pub target_features: Vec<String>,
}

/// A machine, without anything that identifies a person or a host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Machine {
    /// Same kind of hardware; readable: `epyc-2c-linux`.
    pub class_id: String,
    /// Same hardware and software: a hash.
    pub strict_id: String,
    /// Processor.
    pub cpu: Cpu,
    /// Installed memory.
    pub memory_bytes: u64,
    /// Accelerators.
    pub gpus: Vec<Gpu>,
    /// `Debian GNU/Linux 12`.
    pub os: Option<String>,
    /// Kernel version.
    pub kernel: Option<String>,
    /// Hypervisor, or `none`.
    pub virtualization: Option<String>,
    /// Threads that trials used.
    pub threads: u64,
    /// Allocator of the trials' processes, with its settings.
    pub allocator: String,
    /// Environment set for the trials' processes.
    pub environment: BTreeMap<String, String>,
}

/// A processor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Cpu {
    /// As it calls itself.
    pub model: String,
    /// `x86_64`.
    pub arch: String,
    /// Physical cores, where known.
    pub cores: Option<u64>,
    /// Logical processors this process may use.
    pub threads: u64,
    /// `avx2`, `fma`, `avx512f` ...: those that decide speed.
    pub features: Vec<String>,
    /// Cache sizes from the first level up, where known.
    pub cache_bytes: Vec<u64>,
}

/// An accelerator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Gpu {
    /// As it calls itself.
    pub model: String,
    /// Its memory.
    pub memory_bytes: Option<u64>,
    /// Driver version.
    pub driver: Option<String>,
}

/// When a calibration was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum At {
    /// Before the first trial.
    Before,
    /// After the last trial.
    After,
}

/// Measured peaks of a device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Calibration {
    /// Index into `machines`.
    pub machine: u64,
    /// Before or after the trials.
    pub at: At,
    /// `cpu`, `cuda:0`.
    pub device: String,
    /// f32 matrix product, median of `samples`.
    pub gemm_f32_flops_per_s: Option<f64>,
    /// Copy of a buffer larger than the caches, bytes read plus written.
    pub stream_bytes_per_s: Option<f64>,
    /// Why a figure is absent.
    pub reason: Option<String>,
}

/// How a trial ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
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
    /// Planned optimizer steps, where the cell is named by its budget.
    pub budget: Option<u64>,
    /// Of parameters, data order and sampling.
    pub seed: u64,
    /// Where the learning rate comes from.
    pub lr_source: String,
    /// Index into `builds`.
    pub build: u64,
    /// Index into `machines`.
    pub machine: u64,
    /// How it ended.
    pub status: Status,
    /// Why, where it is not `ok`.
    pub reason: Option<String>,
    /// RFC 3339, UTC.
    pub started_at: String,
    /// The settled spec, every default written out.
    pub spec: Value,
    /// Of the settled spec.
    pub spec_sha256: String,
    /// What it must cost, by arithmetic.
    pub cost: Option<Cost>,
    /// Loss against step, tokens, FLOPs and seconds.
    pub curve: Curve,
    /// By name; the table in `record/metric.rs` is the registry.
    pub metrics: BTreeMap<String, Metric>,
    /// Loss split by what predicting a token needs, where the source has an oracle.
    pub skills: Vec<Skill>,
    /// Joules, by meter.
    pub energy: Energy,
    /// Whether to believe it.
    pub validity: Validity,
}

/// Structural cost: counted from the model's structure, matmul by matmul.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Cost {
    /// All parameters.
    pub params_total: u64,
    /// Without token and position embeddings and an untied head.
    pub params_non_embedding: u64,
    /// Used for one token.
    pub params_active: u64,
    /// Parameters by part: `embedding`, `mixer`, `ffn`, `norm`, `head`.
    pub params_by_part: BTreeMap<String, u64>,
    /// Share of embeddings and an untied head in all parameters.
    pub embedding_share: f64,
    /// Forward matmul FLOPs per token, full-square attention.
    pub forward_flops_per_token: f64,
    /// Forward and backward (twice the forward), full-square attention.
    pub train_flops_per_token: f64,
    /// The same for one sequence of the context's length.
    pub train_flops_per_sequence: u64,
    /// The same where attention counts only what a causal mask leaves.
    pub train_flops_per_sequence_causal: u64,
    /// 6 N D with N all parameters, per token, for orientation.
    pub six_n_flops_per_token: f64,
    /// All steps, model only.
    pub train_flops: f64,
    /// All steps, optimizer only.
    pub optimizer_flops: f64,
    /// Spent to find the learning rate; `null` where it is not known.
    pub tuning_flops: Option<f64>,
    /// Training tokens of the whole trial.
    pub train_tokens: u64,
    /// KV cache.
    pub kv_bytes_per_token: u64,
    /// Parameters, gradients and optimizer state, in bytes.
    pub state_bytes: u64,
}

/// The loss curve, as columns of one length.
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
}

/// Which way is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// More is better.
    Higher,
    /// Less is better.
    Lower,
}

/// What a metric repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The same everywhere.
    Exact,
    /// The same for a seed and a machine type.
    Seeded,
    /// Noisy.
    Sampled,
}

/// One figure with its samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Metric {
    /// `null` beside a reason where it is not known.
    pub value: Option<f64>,
    /// SI unit.
    pub unit: String,
    /// Direction.
    pub better: Better,
    /// Repeatability.
    pub kind: Kind,
    /// Samples, or tokens evaluated.
    pub n: Option<u64>,
    /// Standard deviation of the samples.
    pub sd: Option<f64>,
    /// Standard error of the value, where it is a mean over `n` items.
    pub se: Option<f64>,
    /// Raw samples in the order taken.
    pub samples: Vec<f64>,
    /// Why the value is absent.
    pub reason: Option<String>,
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
    pub excess_se_nats: f64,
}

/// Joules.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Energy {
    /// One per meter and component.
    pub channels: Vec<Channel>,
    /// Sum of non-overlapping measured channels; estimates are never added.
    pub measured_j: Option<f64>,
    /// Why nothing was measured.
    pub reason: Option<String>,
}

/// One energy meter's reading of one component.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Channel {
    /// `package-0`, `gpu0`.
    pub id: String,
    /// `cpu_package`, `dram`, `gpu` ...
    pub component: String,
    /// `counter`, `sampled`, `modelled`, `none`.
    pub method: String,
    /// `rapl.powercap`, `nvml.total_energy` ...
    pub source: String,
    /// `sensor`, `firmware_model`, `estimate`, `unavailable`.
    pub quality: String,
    /// Reading.
    pub energy_j: Option<f64>,
    /// Range of an estimate.
    pub bounds_j: Option<[f64; 2]>,
    /// Time the reading covers.
    pub window_s: Option<f64>,
    /// `virtual_machine`, `no_permission`, `no_sensor` ... where there is no reading.
    pub reason: Option<String>,
}

/// Whether to believe a trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Validity {
    /// No flag of severity `invalid`.
    pub ok: bool,
    /// Reasons for doubt.
    pub flags: Vec<Flag>,
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
