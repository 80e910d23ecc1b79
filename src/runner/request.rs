//! What is to be run, and where its results go.

use std::path::Path;
use std::time::Duration;

use super::process::Worker;
use crate::error::Result;
use crate::record::{ResultFile, Trial};
use crate::trial::Job;

/// What to do about results that are already there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Refuse to touch them.
    #[default]
    New,
    /// Keep what is finished and run what is missing.
    Resume,
    /// Replace them.
    Fresh,
}

/// Makes of a sweep's finished trials the jobs that follow; the same jobs for the same trials.
pub type Then<'a> = dyn Fn(&[&Trial]) -> Result<Vec<Job>> + 'a;

/// What to run, and where its results go.
pub struct Request<'a> {
    /// The result file.
    pub out: &'a Path,
    /// What to do about what is there.
    pub mode: Mode,
    /// The result file as far as it is known: run, builds and machines.
    pub file: ResultFile,
    /// All trials in order, or a sweep's; `build` and `machine` point into `file`.
    pub jobs: &'a [Job],
    /// The trials to run after a sweep.
    pub then: Option<&'a Then<'a>>,
    /// What runs one trial, by the index of its build in `file`.
    pub workers: &'a [Worker],
    /// The folder that keeps what trials have learnt.
    pub keep_weights: Option<&'a Path>,
    /// Time limit of one trial.
    pub limit: Duration,
    /// The command that continues this run, for messages.
    pub resume: &'a str,
}
