//! Where a result comes from: what was asked for, by which build, on which machine, with which measured peaks.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    /// Of imported logs: whether somebody said that the runs took turns in one session on one machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interleaved: Option<bool>,
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
    /// Package version; `imported` for trials that no effbench ran.
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
    /// Hash of the program file: tells builds of one commit apart where the tree was dirty.
    #[serde(default)]
    pub executable_id: Option<String>,
}

/// A machine, without anything that identifies a person or a host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Machine {
    /// Same kind of hardware; readable: `epyc-2c-linux`. `imported` where a log does not say.
    pub class_id: String,
    /// Same hardware and software: a hash.
    pub strict_id: String,
    /// Processor.
    pub cpu: Cpu,
    /// Installed memory; `null` for the machine of imported trials.
    pub memory_bytes: Option<u64>,
    /// Accelerators.
    pub gpus: Vec<Gpu>,
    /// `Debian GNU/Linux 12`.
    pub os: Option<String>,
    /// Kernel version.
    pub kernel: Option<String>,
    /// Hypervisor, or `none`.
    pub virtualization: Option<String>,
    /// Threads that trials used; `null` for imported trials.
    pub threads: Option<u64>,
    /// Allocator of the trials' processes, with its settings.
    pub allocator: String,
    /// Environment set for the trials' processes.
    pub environment: BTreeMap<String, String>,
    /// What the system is set to that bears on speed: `governor`, `turbo`, `smt`, `numa_nodes`, `transparent_huge_pages`,
    /// `processors` (those that this process may use); what it does not tell is left out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
}

impl Machine {
    /// Where seconds, bytes and joules compare: the class, and the units that kernels are chosen by, for processors of one family may have
    /// them or not: `epyc-19h-2c-linux` are Zen 3 and Zen 4.
    pub fn kind(&self) -> String {
        let has = |unit: &str| self.cpu.features.iter().any(|it| it == unit);
        let units = [("avx512f", "+avx512"), ("amx-bf16", "+amx")];
        let units = units.into_iter().filter(|(unit, _)| has(unit));
        units.fold(self.class_id.clone(), |kind, (_, unit)| kind + unit)
    }
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
    /// Logical processors this process may use; `null` for the machine of imported trials.
    pub threads: Option<u64>,
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
    /// The newest CUDA that the driver runs: `13.0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cuda: Option<String>,
    /// CUDA compute capability: `9.0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compute_capability: Option<String>,
    /// Power limit that is enforced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub power_limit_w: Option<f64>,
    /// Power limit that it is delivered with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_power_limit_w: Option<f64>,
    /// Whether the driver stays loaded while nobody uses the GPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistence: Option<bool>,
    /// Highest clock of the multiprocessors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_clock_mhz: Option<u64>,
    /// Highest clock of the memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_memory_clock_mhz: Option<u64>,
    /// Whether its memory corrects errors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ecc: Option<bool>,
    /// Whether it is split into instances (MIG).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mig: Option<bool>,
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
    /// f32 matrix product, all threads: the highest rate that three products in a row kept.
    pub gemm_f32_flops_per_s: Option<f64>,
    /// The same with bf16 factors, summed in f32, where the device computes with them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gemm_bf16_flops_per_s: Option<f64>,
    /// Copy of a buffer larger than the caches, all threads, bytes read plus written; the highest rate kept.
    pub stream_bytes_per_s: Option<f64>,
    /// An operation on a few scalars: what one costs beside its arithmetic.
    pub small_op_s: Option<f64>,
    /// softmax(Q K^T) V of 16 heads of 256 x 32 in plain operations.
    pub attention_mix_s: Option<f64>,
    /// One training step of a small model that never changes.
    pub reference_step_s: Option<f64>,
    /// Why a figure is absent.
    pub reason: Option<String>,
    /// Power at rest before anything ran, by the meters that count, where there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_w: Option<f64>,
    /// Why there is none although a meter is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_reason: Option<String>,
}

impl Calibration {
    /// Nothing measured yet.
    pub fn empty(machine: u64, at: At, device: &str) -> Self {
        Self {
            machine,
            at,
            device: device.to_owned(),
            gemm_f32_flops_per_s: None,
            gemm_bf16_flops_per_s: None,
            stream_bytes_per_s: None,
            small_op_s: None,
            attention_mix_s: None,
            reference_step_s: None,
            reason: None,
            idle_w: None,
            idle_reason: None,
        }
    }

    /// The peak that a trial computing in `dtype` is held against.
    pub fn peak_flops_per_s(&self, dtype: &str) -> Option<f64> {
        match dtype {
            "f32" => self.gemm_f32_flops_per_s,
            "bf16" => self.gemm_bf16_flops_per_s,
            _ => None,
        }
    }
}
