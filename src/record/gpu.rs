//! What an accelerator's own instruments showed while a trial trained on it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A GPU's state over the training of one trial; what could not be read is `null`, and `reasons` says why.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct GpuState {
    /// Looks at the GPU.
    pub looks: u64,
    /// Clock of its multiprocessors under load.
    pub clock_mhz: Option<GpuRange>,
    /// Temperature of its chip.
    pub temperature_c: Option<GpuRange>,
    /// Share of the looks under load at which each cause held the clock down, by the flag's word.
    pub held_down: Option<BTreeMap<String, f64>>,
    /// Most processes of others at once.
    pub foreign_processes: Option<u64>,
    /// Most of its memory that this process held, the CUDA context and libraries included, as the driver counts.
    pub process_memory_bytes: Option<u64>,
    /// Power limit that was enforced.
    pub power_limit_w: Option<f64>,
    /// Whether its memory corrects errors.
    pub ecc: Option<bool>,
    /// Errors that were not corrected since the driver was loaded.
    pub uncorrected_errors: Option<u64>,
    /// Whether it is split into instances (MIG).
    pub mig: Option<bool>,
    /// Processor seconds that looking took beside the trial.
    pub poller_cpu_s: Option<f64>,
    /// Why a figure is `null`, by its name.
    pub reasons: BTreeMap<String, String>,
}

/// One figure over a window.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GpuRange {
    /// At the first look.
    pub start: f64,
    /// Of all looks.
    pub median: f64,
    /// The lowest.
    pub lowest: f64,
    /// The highest.
    pub highest: f64,
}
