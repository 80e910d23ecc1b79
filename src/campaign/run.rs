//! Runs a campaign, whoever its executor is.

use std::path::Path;

use super::options::Executor;
use super::outcome::Outcome;
use super::resolve::Campaign;
use super::{cluster, here};
use crate::error::Result;
use crate::runner::local::choose_out;
use crate::runner::machine::{child_environment, describe};
use crate::runner::{Observer, child};

/// Where result files go that nobody has named.
pub(super) const RESULTS: &str = "results";

impl Campaign<'_> {
    /// Runs what is missing and returns what came of it. To be called on a thread that outlives this, because children die with
    /// theirs; the program's `main` begins with [`serve`](super::serve), unless [`Options::program`](super::Options::program)
    /// names another.
    pub fn run(&self, observer: &mut dyn Observer) -> Result<Outcome> {
        child::refuse_to_nest()?;
        self.check()?;
        let environment = child_environment(self.threads);
        let machine = describe(self.threads, &environment)?;
        let out = choose_out(
            self.options.out.as_deref(),
            self.options.mode,
            Path::new(RESULTS),
            &self.suite.name,
            &machine.class_id,
        );
        match &self.options.executor {
            Executor::Slurm { collect } => cluster::run(self, out, *collect),
            Executor::Local | Executor::Shard(_) | Executor::Against(_) => {
                here::run(self, machine, &environment, out, observer)
            }
        }
    }
}
