//! What is to be run, settled and printable as the command that makes it; what it would take; and its run, whoever runs the
//! trials. `effbench run` is this module behind a command line.
//!
//! [`Options`] are plain data, [`Campaign::resolve`] settles and counts everything that they ask for, [`Campaign::plan`] says
//! what would run, [`Campaign::run`] runs it and tells an [`Observer`] how it goes, and the [`Outcome`] holds the result file.
//!
//! ```no_run
//! # fn main() -> effbench::error::Result<()> {
//! use effbench::campaign::{self, Campaign, Options};
//! use effbench::trial::Registry;
//!
//! let registry = Registry::builtin();
//! if let Some(served) = campaign::serve(&registry) {
//!     return served; // each trial runs in a process of its own, which is this program
//! }
//! let options = Options { suite: "ci".into(), repeats: Some(2), ..Options::default() };
//! let campaign = Campaign::resolve(&registry, &registry.library(), &options)?;
//! println!("{}: {} trials", campaign.command(), campaign.plan()?.trials);
//! let outcome = campaign.run(&mut ())?;
//! for trial in outcome.file().iter().flat_map(|file| &file.trials) {
//!     println!("{} {:?}", trial.cell, trial.metric("val_loss_nats"));
//! }
//! # Ok(())
//! # }
//! ```
//!
//! In the order of reading: `options` and their `command`; `cells`, settled, `stages`, which join those that begin with
//! others' weights to them, and the `sweep`s that choose their rates;
//! `resolve` makes a campaign of them; `jobs` says which trials, `header` what is known before, `programs` who runs them and
//! `outcome` what comes of it; `here` runs them on this machine, `cluster` on others, and `run` chooses between the two;
//! `plan` says what they take, `rates` whether a file's rates are those of its sweep, and `rerun` runs trials of a file again.

mod options;
mod command;
mod cells;
mod stages;
mod sweep;
mod resolve;
mod jobs;
mod header;
mod programs;
mod probe;
mod outcome;
mod here;
mod cluster;
mod run;
mod plan;
pub mod rates;
pub mod rerun;

pub use crate::config::plan::{Plan, PlannedCell};
pub use crate::runner::child::serve;
pub use crate::runner::{Mode, Observer, Shard};
pub use options::{Against, Executor, Options};
pub use outcome::{Finished, Outcome, Written};
pub use resolve::Campaign;
