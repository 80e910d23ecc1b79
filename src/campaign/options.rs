//! What a campaign can be asked: all that `effbench run` can, as plain data.

use std::path::PathBuf;

use crate::config::Gate;
use crate::runner::{Mode, Shard};

/// What is to be run. The defaults are those of `effbench run`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// A suite's name, or a path to one's own.
    pub suite: String,
    /// `auto`, `cpu`, `cuda`, `cuda:N`.
    pub device: String,
    /// Only these variants, by name or path; all of the suite's where none is named.
    pub variants: Vec<String>,
    /// Only these scales; all of the suite's where none is named.
    pub scales: Vec<String>,
    /// How often everything is run; the suite's own number where none is given.
    pub repeats: Option<u64>,
    /// Other data than the suite's: the name of a source, or a path to a text file or a folder of them.
    pub data: Option<String>,
    /// `KEY=VALUE` of every spec.
    pub set: Vec<String>,
    /// A result file whose sweep chose the learning rates, instead of a sweep of this campaign's own.
    pub rates: Option<PathBuf>,
    /// Also run what no sweep has chosen a learning rate for.
    pub untuned: bool,
    /// Who runs which of the trials.
    pub executor: Executor,
    /// The result file; where none is named, `results/SUITE-MACHINE-TIME.json`, or on [`Mode::Resume`] the newest unfinished
    /// one of the suite.
    pub out: Option<PathBuf>,
    /// The folder that keeps what each judging trial has learnt, as safetensors.
    pub keep_weights: Option<PathBuf>,
    /// The logical processors that trials run on: `0-3,8`; all that this process may use where none are named.
    pub pin: Option<String>,
    /// What to do about results that are already there.
    pub mode: Mode,
    /// The word after `--format`: a campaign repeats it in its command, and makes nothing of it.
    pub format: String,
    /// The command that goes on with this, where another than `run` began it.
    pub resume: Option<String>,
    /// The effbench that runs the trials; where none is named this very program, whose `main` then begins with
    /// [`serve`](super::serve).
    pub program: Option<PathBuf>,
}

/// How [`Options::format`] is left unsaid.
pub(super) const TEXT: &str = "text";

impl Default for Options {
    fn default() -> Self {
        Self {
            suite: "quick".to_owned(),
            device: "auto".to_owned(),
            variants: Vec::new(),
            scales: Vec::new(),
            repeats: None,
            data: None,
            set: Vec::new(),
            rates: None,
            untuned: false,
            executor: Executor::Local,
            out: None,
            keep_weights: None,
            pin: None,
            mode: Mode::New,
            format: TEXT.to_owned(),
            resume: None,
            program: None,
        }
    }
}

/// Who runs which of a campaign's trials.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Executor {
    /// This machine all of them, one after the other.
    #[default]
    Local,
    /// This machine a part of them, to be merged with the others.
    Shard(Shard),
    /// This machine each twice: by this build and, next to it, by another one.
    Against(Against),
    /// A Slurm cluster, one repeat a task.
    Slurm {
        /// Put together the parts that came back, and submit nothing.
        collect: bool,
    },
}

/// Another build to be compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Against {
    /// Its program.
    pub binary: PathBuf,
    /// Run what looks worse again; the [`Observer`](super::Observer) says what does.
    pub confirm: bool,
    /// What an exit code is to be about; for the command, as a campaign judges nothing.
    pub gate: Gate,
}

impl Executor {
    /// The part that is run, where it is not all.
    pub fn shard(&self) -> Option<Shard> {
        match self {
            Self::Shard(shard) => Some(*shard),
            Self::Local | Self::Against(_) | Self::Slurm { .. } => None,
        }
    }

    /// The build that is compared with, where there is one.
    pub fn against(&self) -> Option<&Against> {
        match self {
            Self::Against(against) => Some(against),
            Self::Local | Self::Shard(_) | Self::Slurm { .. } => None,
        }
    }

    /// Whether other machines run the trials.
    pub fn is_elsewhere(&self) -> bool {
        matches!(self, Self::Slurm { .. })
    }
}
