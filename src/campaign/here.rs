//! A campaign on this machine: all of it, a part, or two builds next to each other.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::jobs::Jobs;
use super::options::Against;
use super::outcome::{Finished, Outcome, Written};
use super::programs::{Program, programs};
use super::resolve::Campaign;
use super::stages;
use crate::config::against::CONFIRM_REPEATS;
use crate::error::{Error, Result};
use crate::record::{Build, Machine, ResultFile, Run, SCHEMA, Trial};
use crate::runner::local::CalibrateInChild;
use crate::runner::partial::{CONFIRM, Partial};
use crate::runner::plan::PreparedCell;
use crate::runner::request::Then;
use crate::runner::{Interrupt, Mode, Observer, Request, Worker, local};
use crate::trial::Job;

/// A trial that takes this much longer than planned, and at least [`LEAST_LIMIT`], hangs.
const PATIENCE: f64 = 50.0;
/// The shortest time limit of a trial.
const LEAST_LIMIT: Duration = Duration::from_secs(600);

/// What all trials of a run share.
struct Session<'a> {
    campaign: &'a Campaign<'a>,
    calibrates: Worker,
    /// By build.
    workers: Vec<Worker>,
    /// A program can ask for signals only once.
    interrupt: Interrupt,
}

/// Runs a campaign on this `machine`, whose trials see this `environment`, to the file `out`.
pub(super) fn run(
    campaign: &Campaign,
    machine: Machine,
    environment: &BTreeMap<String, String>,
    out: PathBuf,
    observer: &mut dyn Observer,
) -> Result<Outcome> {
    let programs = programs(&campaign.options)?;
    let builds: Vec<Build> = programs.iter().map(|one| one.build.clone()).collect();
    let worker = |program: &Program| program.worker(&["trial"], environment);
    let session = Session {
        campaign,
        calibrates: programs[0].worker(&["calibrate", &campaign.device], environment)?,
        workers: programs.iter().map(worker).collect::<Result<_>>()?,
        interrupt: observer.interrupt()?,
    };
    if campaign.options.out.is_none() {
        let kept = Partial::folder_of(&out);
        observer.note(&format!("trials are kept in {} meanwhile", kept.display()));
    }
    let jobs = Jobs {
        campaign,
        builds: &builds,
    };
    let file = ResultFile {
        schema: SCHEMA.to_owned(),
        run: campaign.header(),
        builds: builds.clone(),
        machines: vec![machine],
        calibrations: Vec::new(),
        trials: Vec::new(),
    };
    if let Some(against) = campaign.options.executor.against() {
        return session.two_builds(against, &jobs, file, out, observer);
    }
    let folder = campaign.weights_folder(&out);
    let lending = jobs.lending();
    let judge = |trials: &[&Trial]| stages::join(jobs.following(trials)?, &lending, &folder);
    let then: Option<&Then> = if jobs.more_follow() {
        Some(&judge)
    } else {
        None
    };
    let file = session.all(jobs.first()?, then, file, &out, observer)?;
    Ok(Outcome::Finished(Finished {
        resume: campaign.options.resume_command(&out),
        written: Written { file, out },
        missing: None,
    }))
}

impl Campaign<'_> {
    /// Where trials leave weights that others begin with.
    fn weights_folder(&self, out: &Path) -> PathBuf {
        let asked = self.options.keep_weights.clone();
        asked.unwrap_or_else(|| out.with_extension("weights"))
    }
}

impl Session<'_> {
    /// Runs both builds side by side, and what looks worse again if that is asked.
    fn two_builds(
        &self,
        against: &Against,
        jobs: &Jobs,
        file: ResultFile,
        out: PathBuf,
        observer: &mut dyn Observer,
    ) -> Result<Outcome> {
        let more = confirm_out(&out);
        if against.confirm && self.campaign.options.mode == Mode::New && more.exists() {
            return Err(
                Error::input(format!("{} is already there", more.display())).hint(
                    "`--resume` goes on with it, `--fresh` replaces it, `--out FILE` writes elsewhere",
                ),
            );
        }
        let screened = self.all(jobs.first()?, None, file.clone(), &out, observer)?;
        let mut again = Vec::new();
        if against.confirm {
            let worse = observer.looks_worse(&screened);
            again = jobs.cells()?;
            again.retain(|cell| worse.contains(&cell.name));
        }
        let screened = Written {
            file: screened,
            out,
        };
        if again.is_empty() {
            return Ok(Outcome::TwoBuilds {
                screened,
                confirmed: None,
            });
        }
        let run = Run {
            repeats: CONFIRM_REPEATS,
            ..file.run.clone()
        };
        let file = ResultFile { run, ..file };
        let file = self.all(jobs.again(&again), None, file, &more, observer)?;
        Ok(Outcome::TwoBuilds {
            screened,
            confirmed: Some(Written { file, out: more }),
        })
    }

    /// Runs what is missing of these trials, and of those that then follow.
    fn all(
        &self,
        jobs: Vec<Job>,
        then: Option<&Then>,
        file: ResultFile,
        out: &Path,
        observer: &mut dyn Observer,
    ) -> Result<ResultFile> {
        let mut calibrate = CalibrateInChild {
            worker: self.calibrates.clone(),
            device: self.campaign.device.clone(),
            limit: LEAST_LIMIT,
        };
        let resume = self.campaign.options.resume_command(out);
        let jobs = stages::join(jobs, &[], &self.campaign.weights_folder(out))?;
        let request = Request {
            out,
            mode: self.campaign.options.mode,
            file,
            jobs: &jobs,
            then,
            workers: &self.workers,
            keep_weights: self.campaign.options.keep_weights.as_deref(),
            limit: self.limit(),
            resume: &resume,
        };
        local::run(request, &mut calibrate, observer, &self.interrupt)
    }

    /// The time limit of a trial.
    fn limit(&self) -> Duration {
        // A model that is only measured is evaluated once, and once more where its weights are packed.
        let flops = |cell: &PreparedCell| {
            let tokens = 2.0 * cell.besides.evaluated_tokens + cell.besides.served_tokens;
            let answers = cell.besides.asked.steps * cell.besides.asked.step_flops;
            cell.cost.train_flops + answers + tokens * cell.cost.forward_flops_per_token
        };
        let longest = self.campaign.cells.iter().map(flops).fold(0.0, f64::max);
        let planned = longest / self.campaign.nominal_flops_per_s();
        LEAST_LIMIT.max(Duration::from_secs_f64(PATIENCE * planned))
    }
}

/// Where the fresh repeats of the cells that looked worse go: `x.json` gives `x-confirm.json`.
fn confirm_out(out: &Path) -> PathBuf {
    let stem = out.file_stem().unwrap_or_default().to_string_lossy();
    out.with_file_name(format!("{stem}{CONFIRM}"))
}
