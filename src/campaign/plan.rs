//! What a campaign would run and what that would take; times are guesses from the device's speed.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::cluster::spread;
use super::jobs::Jobs;
use super::options::Executor;
use super::programs::programs;
use super::resolve::Campaign;
use super::run::RESULTS;
use crate::config::plan::{Plan, PlannedCell};
use crate::error::Result;
use crate::record::pool::read_all;
use crate::record::{Build, Trial};
use crate::runner::found::{foreign, is_settled, kept, not_of_plan};
use crate::runner::guess::{CALIBRATIONS_S, Speed, trial_s};
use crate::runner::partial::newest_partial;
use crate::runner::plan::PreparedCell;
use crate::runner::{Mode, Shard};
use crate::trial::Job;

impl Campaign<'_> {
    /// What would run now and what that would take: of another build every trial twice, of a part that part, and of what is
    /// resumed what is missing. Nothing is run and nothing written; times are those of a nominal device.
    pub fn plan(&self) -> Result<Plan> {
        self.plan_at(&Speed::nominal(self.nominal_flops_per_s()))
    }

    /// The same for a device of that speed ([`Campaign::speed`]).
    pub fn plan_at(&self, speed: &Speed) -> Result<Plan> {
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
        let beyond = self.beyond(&there, &[&swept[..], &judged].concat())?;
        let done: HashSet<&str> = there.iter().map(|trial| trial.id.as_str()).collect();
        let tried = self.swept();
        let each: HashMap<&str, f64> = tried
            .iter()
            .chain(&cells)
            .map(|cell| (cell.name.as_str(), trial_s(cell, speed)))
            .collect();
        let missing = |jobs: &[Job]| -> Vec<(f64, f64)> {
            let missing = jobs
                .iter()
                .filter(|job| !done.contains(job.trial.id.as_str()));
            let load = |job: &Job| {
                let flops = job.flops();
                (
                    flops,
                    each.get(job.trial.cell.as_str()).copied().unwrap_or(0.0),
                )
            };
            missing.map(load).collect()
        };
        let (tuning, judging) = (missing(&swept), missing(&judged));
        let trials = (tuning.len() + judging.len()) as u64;
        let all = tuning.iter().chain(&judging);
        let (total_flops, seconds_guess) =
            all.fold((0.0, 0.0), |sum, load| (sum.0 + load.0, sum.1 + load.1));
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
            beyond_trials: beyond as u64,
            builds: builds.len() as u64,
            shard: shard.map(|shard| shard.to_string()),
            device: self.device.clone(),
            threads: self.threads as u64,
            total_flops,
            seconds_guess: seconds_guess + if trials > 0 { CALIBRATIONS_S } else { 0.0 },
            memory_bytes_guess: memory.unwrap_or(0),
            cells: cells
                .iter()
                .map(|cell| self.planned(cell, &jobs, speed))
                .collect(),
        })
    }

    /// The builds that run trials; another program that is none of this one's is refused here as it would be later.
    fn builds(&self) -> Result<Vec<Build>> {
        let programs = programs(&self.options)?;
        Ok(programs.into_iter().map(|program| program.build).collect())
    }

    /// The trials that need not be run, as they are there.
    fn there(&self) -> Result<Vec<Trial>> {
        let Some(out) = self.resumed() else {
            return Ok(Vec::new());
        };
        let mut trials = match self.options.executor {
            Executor::Slurm { .. } => match spread(self, &out)?.parts() {
                parts if parts.is_empty() => Vec::new(),
                parts => read_all(&parts)?.trials,
            },
            Executor::Local | Executor::Shard(_) | Executor::Against(_) => kept(&out)?,
        };
        trials.retain(is_settled);
        Ok(trials)
    }

    /// The file that is resumed.
    fn resumed(&self) -> Option<PathBuf> {
        let newest = || newest_partial(Path::new(RESULTS), &self.suite.name);
        let out = self.options.out.clone().or_else(newest);
        out.filter(|_| self.options.mode == Mode::Resume)
    }

    /// How many trials are there that this plan does not ask for: refused as a run refuses it, unless the file has all that is asked.
    fn beyond(&self, there: &[Trial], jobs: &[Job]) -> Result<usize> {
        let beyond = foreign(there, jobs);
        let Some(out) = self.resumed().filter(|_| beyond > 0) else {
            return Ok(0);
        };
        let done: HashSet<&str> = there.iter().map(|trial| trial.id.as_str()).collect();
        let whole = jobs.iter().all(|job| done.contains(job.trial.id.as_str()));
        match whole && out.exists() || self.options.executor.is_elsewhere() {
            true => Ok(beyond),
            false => Err(not_of_plan(beyond, there.len(), &out)),
        }
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
        let found = |job: &Job| there.iter().find(|trial| trial.id == job.trial.id);
        let whole: Option<Vec<&Trial>> = swept.iter().map(found).collect();
        let cells = match whole.filter(|whole| !whole.is_empty()) {
            Some(whole) => self.rated(&whole, None)?,
            None => jobs.cells()?,
        };
        let judged = jobs.judged(&cells)?;
        Ok((cells, judged))
    }

    fn planned(&self, cell: &PreparedCell, jobs: &Jobs, speed: &Speed) -> PlannedCell {
        let to_be_chosen =
            jobs.sweeps() && self.sweeps.iter().any(|sweep| sweep.is_for(&cell.name));
        PlannedCell {
            cell: cell.name.clone(),
            params: cell.cost.params_total,
            train_tokens: cell.cost.train_tokens,
            train_flops: cell.cost.train_flops,
            optimizer_flops: cell.cost.optimizer_flops,
            seconds_guess: trial_s(cell, speed),
            memory_bytes_guess: cell.memory_bytes(),
            lr_source: (!to_be_chosen).then(|| cell.lr_source.clone()),
        }
    }
}
