//! Which trials `effbench run` runs: a sweep and what follows from it, the rates of an earlier one, a part of all that, one
//! build or two.

use super::compare::{BASE, HEAD};
use super::prepare::Prepared;
use super::run::RunArgs;
use crate::analysis::compare::stages::CONFIRM_REPEATS;
use crate::error::{Error, Result};
use crate::record::pool::read_all;
use crate::record::{Build, Trial};
use crate::runner::Shard;
use crate::runner::local::Then;
use crate::runner::plan::{Arm, Design, PreparedCell, plan};
use crate::trial::{Job, Registry};

/// Seeds of what is run again are so far from the first ones.
const CONFIRM_SEEDS: u64 = 1000;

/// Everything that decides which trials run.
pub(super) struct Course<'a> {
    pub(super) args: &'a RunArgs,
    pub(super) prepared: &'a Prepared,
    pub(super) registry: &'a Registry,
    /// This build, and the one it is held against.
    pub(super) builds: &'a [Build],
}

impl Course<'_> {
    /// The trials to begin with: a sweep where one chooses rates, else those that judge.
    pub(super) fn first(&self) -> Result<Vec<Job>> {
        if self.sweeps() {
            return Ok(self.sweep());
        }
        let jobs = self.part(self.plan(
            &self.cells()?,
            self.prepared.repeats,
            self.prepared.suite.first_seed,
        ));
        match self.args.shard {
            Some(shard) if jobs.is_empty() => {
                let repeats = self.prepared.repeats;
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

    /// What makes the trials that judge of a sweep's, where those are to follow in this run.
    pub(super) fn then<'b>(&self, judge: &'b Then<'b>) -> Option<&'b Then<'b>> {
        (self.sweeps() && self.args.shard != Some(Shard::Sweep)).then_some(judge)
    }

    /// The trials that judge, with the rates that a sweep's trials speak for.
    pub(super) fn judging(&self, swept: &[&Trial]) -> Result<Vec<Job>> {
        let cells = self.prepared.judged(self.registry, swept, None)?;
        Ok(self.part(self.plan(
            &cells,
            self.prepared.repeats,
            self.prepared.suite.first_seed,
        )))
    }

    /// The cells that judge, with the rates of an earlier sweep where one was given.
    pub(super) fn cells(&self) -> Result<Vec<PreparedCell>> {
        match &self.args.rates {
            Some(rates) => {
                let file = read_all(std::slice::from_ref(rates))?;
                // The folder may say whose it is.
                let name = rates.file_name().map(|name| name.to_string_lossy());
                self.prepared.judged(
                    self.registry,
                    &file.trials.iter().collect::<Vec<_>>(),
                    name.as_deref(),
                )
            }
            None => Ok(self.prepared.cells.clone()),
        }
    }

    /// Fresh repeats of some cells, on other seeds.
    pub(super) fn again(&self, cells: &[PreparedCell]) -> Vec<Job> {
        self.plan(
            cells,
            CONFIRM_REPEATS,
            self.prepared.suite.first_seed + CONFIRM_SEEDS,
        )
    }

    fn sweeps(&self) -> bool {
        self.prepared.is_tuned() && self.args.rates.is_none()
    }

    /// A sweep is this build's alone.
    fn sweep(&self) -> Vec<Job> {
        let Some(tune) = &self.prepared.suite.tune else {
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
        plan(&self.prepared.swept(), &design).jobs
    }

    fn plan(&self, cells: &[PreparedCell], repeats: u64, first_seed: u64) -> Vec<Job> {
        let arms = match self.builds {
            [head, base, ..] => {
                vec![
                    Arm {
                        label: Some(BASE),
                        build: base,
                        index: 1,
                    },
                    Arm {
                        label: Some(HEAD),
                        build: head,
                        index: 0,
                    },
                ]
            }
            alone => alone
                .iter()
                .map(|build| Arm {
                    label: None,
                    build,
                    index: 0,
                })
                .collect(),
        };
        plan(
            cells,
            &Design {
                repeats,
                first_seed,
                arms: &arms,
                machine_index: 0,
            },
        )
        .jobs
    }

    fn part(&self, jobs: Vec<Job>) -> Vec<Job> {
        match self.args.shard {
            Some(shard) => shard.of(jobs),
            None => jobs,
        }
    }
}

/// Parts of a run that each chose rates for themselves would not fit together.
pub(super) fn refuse_half_a_sweep(args: &RunArgs, prepared: &Prepared) -> Result<()> {
    let suite = &prepared.suite.name;
    if prepared.is_tuned() && args.against.is_some() && args.rates.is_none() {
        return Err(Error::input(format!(
            "--against: suite {suite} chooses learning rates, and one build would choose them for both"
        ))
        .hint(format!(
            "`effbench run {suite} --shard sweep --out rates.json`, then --rates rates.json; or a suite without `tune`"
        )));
    }
    match (prepared.is_tuned(), args.shard, &args.rates) {
        (false, Some(Shard::Sweep), _) => {
            Err(Error::input(format!("--shard sweep: suite {suite} chooses no learning rates")))
        }
        (false, _, Some(_)) => Err(Error::input(format!("--rates: suite {suite} chooses no learning rates"))),
        (true, Some(Shard::Part { .. }), None) => {
            Err(Error::input(format!(
                "--shard: suite {suite} first chooses learning rates, and all parts need the same"
            ))
            .hint(format!(
                "`effbench run {} --shard sweep --out rates.json` with the same options, then `--rates rates.json` for each part",
                args.suite
            )))
        }
        _ => Ok(()),
    }
}
