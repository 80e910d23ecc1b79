//! Which trials a campaign runs: a sweep and what follows from it, the rates of an earlier one, a part of all that, one build
//! or two.

use std::collections::HashSet;

use super::resolve::Campaign;
use super::stages;
use crate::config::Suite;
use crate::config::against::{BASE, CONFIRM_REPEATS, HEAD};
use crate::error::{Error, Result};
use crate::record::pool::read_all;
use crate::record::{Build, Trial};
use crate::runner::Shard;
use crate::runner::plan::{Arm, Design, PreparedCell, plan};
use crate::trial::Job;

/// Seeds of what is run again are so far from the first ones.
const CONFIRM_SEEDS: u64 = 1000;

/// A campaign and who runs it: all that decides which trials run.
pub(super) struct Jobs<'a> {
    pub(super) campaign: &'a Campaign<'a>,
    /// This build, and the one it is held against.
    pub(super) builds: &'a [Build],
}

impl Jobs<'_> {
    /// The trials to begin with: a sweep where one chooses rates, else those that judge.
    pub(super) fn first(&self) -> Result<Vec<Job>> {
        if self.sweeps() {
            let mut jobs = self.lending();
            jobs.extend(self.sweep());
            Ok(jobs)
        } else {
            self.judged(&self.cells()?)
        }
    }

    /// Whether the trials that judge follow from the first.
    pub(super) fn more_follow(&self) -> bool {
        self.sweeps() && self.shard() != Some(Shard::Sweep)
    }

    /// The trials that judge, with the rates that a sweep's trials speak for.
    pub(super) fn following(&self, swept: &[&Trial]) -> Result<Vec<Job>> {
        let cells = self.campaign.rated(swept, None)?;
        let lending: HashSet<String> = self.lending().into_iter().map(|job| job.trial.id).collect();
        let mut jobs = self.part(&cells);
        jobs.retain(|job| !lending.contains(&job.trial.id));
        Ok(jobs)
    }

    /// The trials whose weights others begin with, where a sweep comes before those that judge: it begins with them too. Where it
    /// runs alone, it needs no more of them than it has repeats.
    pub(super) fn lending(&self) -> Vec<Job> {
        if !self.sweeps() {
            return Vec::new();
        }
        let all = self.campaign.repeats;
        let swept = self.suite().tune.as_ref().map_or(all, |tune| tune.repeats);
        let repeats = match self.shard() {
            Some(Shard::Sweep) => all.min(swept),
            _ => all,
        };
        let cells = stages::lenders(&self.campaign.cells);
        let mut jobs = self.plan(&cells, repeats, self.suite().first_seed);
        if self.shard() == Some(Shard::Sweep) {
            stages::serve_a_sweep_alone(&mut jobs, self.builds);
        }
        jobs
    }

    /// The trials of these cells that are this part's, of which there is one at least.
    pub(super) fn judged(&self, cells: &[PreparedCell]) -> Result<Vec<Job>> {
        let jobs = self.part(cells);
        match self.shard() {
            Some(shard) if jobs.is_empty() => {
                let repeats = self.campaign.repeats;
                let message = format!(
                    "--shard {shard}: nothing is left for it, the run has {repeats} repeats"
                );
                Err(Error::input(message).hint(
                    "make no more parts than there are repeats: --repeats, or the suite's own",
                ))
            }
            _ => Ok(jobs),
        }
    }

    /// The cells that judge, with the rates of an earlier sweep where one was given.
    pub(super) fn cells(&self) -> Result<Vec<PreparedCell>> {
        let Some(rates) = &self.campaign.options.rates else {
            return Ok(self.campaign.cells.clone());
        };
        let file = read_all(std::slice::from_ref(rates))?;
        // The folder may say whose it is.
        let name = rates.file_name().map(|name| name.to_string_lossy());
        let trials: Vec<&Trial> = file.trials.iter().collect();
        self.campaign.rated(&trials, name.as_deref())
    }

    /// Fresh repeats of some cells, on other seeds.
    pub(super) fn again(&self, cells: &[PreparedCell]) -> Vec<Job> {
        let first_seed = self.suite().first_seed + CONFIRM_SEEDS;
        let cells = stages::with_lenders(cells, &self.campaign.cells);
        self.plan(&cells, CONFIRM_REPEATS, first_seed)
    }

    /// Whether this campaign chooses learning rates itself.
    pub(super) fn sweeps(&self) -> bool {
        self.campaign.is_tuned() && self.campaign.options.rates.is_none()
    }

    /// A sweep is this build's alone.
    pub(super) fn sweep(&self) -> Vec<Job> {
        let Some(tune) = &self.suite().tune else {
            return Vec::new();
        };
        let arms = [Arm {
            label: None,
            build: &self.builds[0],
            index: 0,
        }];
        let design = Design {
            repeats: tune.repeats,
            first_seed: tune.first_seed,
            arms: &arms,
            machine_index: 0,
        };
        plan(&self.campaign.swept(), &design).jobs
    }

    fn plan(&self, cells: &[PreparedCell], repeats: u64, first_seed: u64) -> Vec<Job> {
        let arm = |label, build, index| Arm {
            label,
            build,
            index,
        };
        let arms: Vec<Arm> = match self.builds {
            [head, base, ..] => vec![arm(Some(BASE), base, 1), arm(Some(HEAD), head, 0)],
            alone => alone.iter().map(|build| arm(None, build, 0)).collect(),
        };
        let design = Design {
            repeats,
            first_seed,
            arms: &arms,
            machine_index: 0,
        };
        let mut jobs = plan(cells, &design).jobs;
        stages::parents_first(&mut jobs);
        jobs
    }

    fn part(&self, cells: &[PreparedCell]) -> Vec<Job> {
        let jobs = self.plan(cells, self.campaign.repeats, self.suite().first_seed);
        match self.shard() {
            Some(shard) => shard.of(jobs),
            None => jobs,
        }
    }

    fn suite(&self) -> &Suite {
        &self.campaign.suite
    }

    fn shard(&self) -> Option<Shard> {
        self.campaign.options.executor.shard()
    }
}
