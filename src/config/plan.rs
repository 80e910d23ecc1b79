//! What a run would do and take, as plain data.

use serde::Serialize;

use super::rate_source::RateSource;

/// One cell of a plan.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlannedCell {
    /// `gpt2/w32@800`.
    pub cell: String,
    /// All parameters.
    pub params: u64,
    /// Training tokens.
    pub train_tokens: u64,
    /// Model FLOPs of one trial.
    pub train_flops: f64,
    /// Optimizer FLOPs of one trial.
    pub optimizer_flops: f64,
    /// A guess.
    pub seconds_guess: f64,
    /// A guess.
    pub memory_bytes_guess: u64,
    /// Where the learning rate comes from; `null` where a sweep of this run is to choose it.
    pub lr_source: Option<RateSource>,
}

/// What a run would do.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// The suite's name.
    pub suite: String,
    /// Repeats of every cell.
    pub repeats: u64,
    /// Trials that would be run now, all of them.
    pub trials: u64,
    /// Those of them that choose learning rates first.
    pub tuning_trials: u64,
    /// Trials of it that are there already, where an earlier run is resumed.
    pub done_trials: u64,
    /// Trials in the file that is resumed that are not asked for now.
    pub beyond_trials: u64,
    /// Builds of effbench that run every cell.
    pub builds: u64,
    /// The part of the run that this is, where it is not all: `2/3`, `sweep`.
    pub shard: Option<String>,
    /// `cpu`, `cuda:0`.
    pub device: String,
    /// Threads of a trial.
    pub threads: u64,
    /// Model and optimizer FLOPs of everything.
    pub total_flops: f64,
    /// A guess at everything, one trial after the other.
    pub seconds_guess: f64,
    /// The largest of the cells' guesses.
    pub memory_bytes_guess: u64,
    /// In the suite's order.
    pub cells: Vec<PlannedCell>,
}
