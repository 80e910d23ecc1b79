//! What a campaign would run and what that would take; times are guesses from a nominal rate.

use std::collections::HashSet;
use std::path::Path;

use super::cluster::spread;
use super::jobs::Jobs;
use super::options::{Executor, Options};
use super::programs::programs;
use super::resolve::Campaign;
use super::run::RESULTS;
use crate::config::plan::{Plan, PlannedCell};
use crate::error::Result;
use crate::record::pool::read_all;
use crate::record::{Build, Trial};
use crate::runner::found::{is_settled, kept};
use crate::runner::partial::newest_partial;
use crate::runner::plan::PreparedCell;
use crate::runner::{Mode, Shard, build_info};
use crate::trial::Job;

/// Seconds that a plan adds per trial for starting, evaluating and generating.
const NOMINAL_EXTRA_S: f64 = 1.0;

impl Campaign<'_> {
    /// What would run now and what that would take: of another build every trial twice, of a part that part, and of what is
    /// resumed what is missing. Nothing is run and nothing written.
    pub fn plan(&self) -> Result<Plan> {
        let builds = self.builds()?;
        let jobs = Jobs {
            campaign: self,
            builds: &builds,
        };
        let there = self.there()?;
        let swept = if jobs.sweeps() {
            jobs.sweep()
        } else {
            Vec::new()
        };
        let (cells, judged) = self.judging(&jobs, &swept, &there)?;
        let done: HashSet<&str> = there.iter().map(|trial| trial.id.as_str()).collect();
        let missing = |jobs: &[Job]| -> Vec<f64> {
            let missing = jobs.iter().filter(|job| !done.contains(job.id.as_str()));
            let flops = |job: &Job| job.cost.train_flops + job.cost.optimizer_flops;
            missing.map(flops).collect()
        };
        let (tuning, judging) = (missing(&swept), missing(&judged));
        let trials = (tuning.len() + judging.len()) as u64;
        let total_flops = tuning.iter().chain(&judging).sum();
        let memory = cells.iter().map(PreparedCell::memory_bytes).max();
        let shard = self.options.executor.shard();
        let tune = self
            .suite
            .tune
            .as_ref()
            .filter(|_| shard == Some(Shard::Sweep));
        Ok(Plan {
            suite: self.suite.name.clone(),
            repeats: tune.map_or(self.repeats, |tune| tune.repeats),
            trials,
            tuning_trials: tuning.len() as u64,
            done_trials: (swept.len() + judged.len()) as u64 - trials,
            builds: builds.len() as u64,
            shard: shard.map(|shard| shard.to_string()),
            device: self.device.clone(),
            threads: self.threads as u64,
            total_flops,
            seconds_guess: self.seconds(total_flops, trials),
            memory_bytes_guess: memory.unwrap_or(0),
            cells: cells.iter().map(|cell| self.planned(cell, &jobs)).collect(),
        })
    }

    fn seconds(&self, flops: f64, trials: u64) -> f64 {
        flops / self.nominal_flops_per_s() + NOMINAL_EXTRA_S * trials as f64
    }

    /// The builds that run trials. Only what is there already needs to know which they are: else a number of them will do.
    fn builds(&self) -> Result<Vec<Build>> {
        if self.options.mode == Mode::Resume {
            let programs = programs(&self.options)?;
            return Ok(programs.into_iter().map(|program| program.build).collect());
        }
        let arms = 1 + usize::from(self.options.executor.against().is_some());
        Ok(vec![build_info(); arms])
    }

    /// The trials that need not be run, as they are there.
    fn there(&self) -> Result<Vec<Trial>> {
        let Options {
            executor,
            mode,
            out,
            ..
        } = &self.options;
        let newest = || newest_partial(Path::new(RESULTS), &self.suite.name);
        let Some(out) = out
            .clone()
            .or_else(newest)
            .filter(|_| *mode == Mode::Resume)
        else {
            return Ok(Vec::new());
        };
        let mut trials = match executor {
            Executor::Slurm { .. } => match spread(self, &out)?.parts() {
                parts if parts.is_empty() => Vec::new(),
                parts => read_all(&parts)?.trials,
            },
            Executor::Local | Executor::Shard(_) | Executor::Against(_) => kept(&out)?,
        };
        trials.retain(is_settled);
        Ok(trials)
    }

    /// The cells that are shown and the trials that judge: with the rates that a sweep chose, where it is `there`.
    fn judging(
        &self,
        jobs: &Jobs,
        swept: &[Job],
        there: &[Trial],
    ) -> Result<(Vec<PreparedCell>, Vec<Job>)> {
        if self.options.executor.shard() == Some(Shard::Sweep) {
            return Ok((self.swept(), Vec::new()));
        }
        let found = |job: &Job| there.iter().find(|trial| trial.id == job.id);
        let whole: Option<Vec<&Trial>> = swept.iter().map(found).collect();
        let cells = match whole.filter(|whole| !whole.is_empty()) {
            Some(whole) => self.rated(&whole, None)?,
            None => jobs.cells()?,
        };
        let judged = jobs.judged(&cells)?;
        Ok((cells, judged))
    }

    fn planned(&self, cell: &PreparedCell, jobs: &Jobs) -> PlannedCell {
        let to_be_chosen =
            jobs.sweeps() && self.sweeps.iter().any(|sweep| sweep.is_for(&cell.name));
        PlannedCell {
            cell: cell.name.clone(),
            params: cell.cost.params_total,
            train_tokens: cell.cost.train_tokens,
            train_flops: cell.cost.train_flops,
            optimizer_flops: cell.cost.optimizer_flops,
            seconds_guess: self.seconds(cell.cost.train_flops + cell.cost.optimizer_flops, 1),
            memory_bytes_guess: cell.memory_bytes(),
            lr_source: (!to_be_chosen).then(|| cell.lr_source.clone()),
        }
    }
}
