//! Runs a plan on this machine, one trial after the other, so that a kill at any moment costs at most the trial in flight.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::cooling::cool_down;
use super::found::{Found, found, is_settled, refuse_to_touch};
use super::interrupt::Interrupt;
use super::isolate;
use super::machine::child_environment;
use super::observer::Observer;
use super::partial::{Partial, newest_partial};
use super::process::Worker;
use super::request::{Mode, Request};
use super::utc_now;
use crate::error::{Error, Kind, Result};
use crate::measure::temperature;
use crate::record::validate::validate;
use crate::record::{Asked, At, Calibration, ResultFile, Run, Status, Trial, journal, store};
use crate::trial::Job;
use crate::trial::checkpoint::EVERY_S;

/// Measures the peaks that trials are held against.
pub trait Calibrate {
    /// `cpu`, `cuda:0`.
    fn device(&self) -> String;

    /// One measurement; `machine` and `at` of what it returns are filled in by the caller.
    fn measure(&mut self, interrupt: &Interrupt) -> Result<Calibration>;
}

/// Calibrates in a child process, so that the machine's state is a trial's: the worker prints a
/// [`Calibration`] as JSON.
#[derive(Debug)]
pub struct CalibrateInChild {
    /// What to start.
    pub worker: Worker,
    /// What it measures.
    pub device: String,
    /// Its time limit.
    pub limit: Duration,
}

impl Calibrate for CalibrateInChild {
    fn device(&self) -> String {
        self.device.clone()
    }

    fn measure(&mut self, interrupt: &Interrupt) -> Result<Calibration> {
        let answer = isolate::ask(&self.worker, "", self.limit, interrupt)?;
        serde_json::from_str(&answer)
            .map_err(|error| Error::internal(format!("not a calibration: {error}")))
    }
}

/// The file a run writes to: the one asked for; on resume the newest unfinished one of the suite in `results`; else a new
/// name made of suite, machine class, time and process.
pub fn choose_out(
    asked: Option<&Path>,
    mode: Mode,
    results: &Path,
    suite: &str,
    class_id: &str,
) -> PathBuf {
    let new = || {
        let time: String = utc_now()
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .collect();
        // Two runs of one second are two runs.
        let process = std::process::id();
        results.join(format!("{suite}-{class_id}-{time}-{process}.json"))
    };
    match (asked, mode) {
        (Some(out), _) => out.to_owned(),
        (None, Mode::Resume) => newest_partial(results, suite).unwrap_or_else(new),
        (None, _) => new(),
    }
}

/// Runs what is missing and writes the result file. Called on a thread that outlives it, because children die with theirs.
pub fn run(
    request: Request,
    calibrate: &mut dyn Calibrate,
    observer: &mut dyn Observer,
    interrupt: &Interrupt,
) -> Result<ResultFile> {
    let mut session = match open(&request, observer)? {
        Opened::Complete(file) => return Ok(file),
        Opened::Session(session) => session,
    };
    session.run_missing(&request, request.jobs, calibrate, observer, interrupt)?;
    if let Some(then) = request.then {
        let swept: Vec<&Trial> = request
            .jobs
            .iter()
            .filter_map(|job| session.trials.get(&job.trial.id))
            .collect();
        let judged = then(&swept)?;
        observer.note(&format!(
            "{} learning rates tried; the trials that judge begin",
            swept.iter().filter(|trial| trial.in_sweep()).count()
        ));
        session.run_missing(&request, &judged, calibrate, observer, interrupt)?;
    }
    session.merge(request.out)
}

enum Opened {
    Complete(ResultFile),
    Session(Session),
}

/// Finds out what is there, refuses what must not be touched, and begins. Nothing has run when this fails.
fn open(request: &Request, observer: &mut dyn Observer) -> Result<Opened> {
    refuse_to_touch(request)?;
    // Whoever holds the lock may end just now: what is there is looked at afterwards.
    let partial = Partial::open(request.out)?;
    match found(request, &partial, observer) {
        Ok(Found::Complete(file)) => partial.remove().map(|()| Opened::Complete(*file)),
        Ok(Found::Begun(head, trials)) => {
            Session::begin(request, partial, *head, trials).map(Opened::Session)
        }
        Err(error) => {
            partial.leave();
            Err(error)
        }
    }
}

/// A run under way.
struct Session {
    partial: Partial,
    /// The result file to be, still without trials.
    head: ResultFile,
    trials: HashMap<String, Trial>,
    /// Where the request's builds and machines stand in the head's lists.
    builds: Vec<u64>,
    machines: Vec<u64>,
}

impl Session {
    fn begin(
        request: &Request,
        partial: Partial,
        mut head: ResultFile,
        trials: Vec<Trial>,
    ) -> Result<Self> {
        head.run = Run {
            started_at: head.run.started_at,
            finished_at: None,
            ..request.file.run.clone()
        };
        let builds = request
            .file
            .builds
            .iter()
            .map(|build| find_or_push(&mut head.builds, build))
            .collect();
        let machines = request
            .file
            .machines
            .iter()
            .map(|machine| find_or_push(&mut head.machines, machine))
            .collect();
        partial.begin(&head)?;
        let trials = trials
            .into_iter()
            .map(|trial| (trial.id.clone(), trial))
            .collect();
        Ok(Self {
            partial,
            head,
            trials,
            builds,
            machines,
        })
    }

    fn has(&self, id: &str) -> bool {
        self.trials.get(id).is_some_and(is_settled)
    }

    fn run_missing(
        &mut self,
        request: &Request,
        jobs: &[Job],
        calibrate: &mut dyn Calibrate,
        observer: &mut dyn Observer,
        interrupt: &Interrupt,
    ) -> Result<()> {
        let missing: Vec<&Job> = jobs.iter().filter(|job| !self.has(&job.trial.id)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        self.refuse_lost_weights(&missing)?;
        observer.begin(jobs.len(), &missing);
        let outcome = self.run_all(request, &missing, calibrate, observer, interrupt);
        observer.end();
        outcome.map_err(|error| self.say_how_to_resume(error, jobs.len(), request))
    }

    /// Refuses to go on where a trial that ended well should have left weights that others need, and they are gone.
    fn refuse_lost_weights(&self, missing: &[&Job]) -> Result<()> {
        let ended_well = |id: &String| {
            let trial = self.trials.get(id);
            trial.is_some_and(|trial| trial.status == Status::Ok)
        };
        let lost = |job: &Job| {
            let both = [
                ("model.from", &job.trial.parent),
                ("teacher.model.from", &job.trial.teacher),
            ];
            both.into_iter().find_map(|(key, id)| {
                let id = id.as_ref().filter(|id| ended_well(id));
                let path = id.and(job.paths.get(key));
                path.filter(|path| !path.exists()).cloned()
            })
        };
        let mut found = missing
            .iter()
            .filter_map(|job| Some((lost(job)?, &job.trial.cell)));
        let Some((path, cell)) = found.next() else {
            return Ok(());
        };
        let message = format!("{}: the weights are gone that {cell} needs", path.display());
        Err(Error::input(message).hint("put the file back, or run all of it again with --fresh"))
    }

    fn run_all(
        &mut self,
        request: &Request,
        missing: &[&Job],
        calibrate: &mut dyn Calibrate,
        observer: &mut dyn Observer,
        interrupt: &Interrupt,
    ) -> Result<()> {
        let machine = missing[0].trial.machine;
        let began_c = temperature::processor_c();
        let peaks = self.calibrate(At::Before, machine, calibrate, observer, interrupt)?;
        for job in missing {
            cool_down(began_c, interrupt);
            let mut job = (*job).clone();
            job.peak_flops_per_s = peaks.peak_flops_per_s(job.trial.asked().multiplies_in());
            job.stream_bytes_per_s = peaks.stream_bytes_per_s;
            self.run_one(job, request, observer, interrupt)?;
        }
        self.calibrate(At::After, machine, calibrate, observer, interrupt)?;
        Ok(())
    }

    fn run_one(
        &mut self,
        mut job: Job,
        request: &Request,
        observer: &mut dyn Observer,
        at: &Interrupt,
    ) -> Result<()> {
        let worker = usize::try_from(job.trial.build)
            .ok()
            .and_then(|build| request.workers.get(build));
        let worker = worker
            .ok_or_else(|| Error::internal(format!("no program for build {}", job.trial.build)))?;
        let worker = sized(worker, &job);
        job.trial.build = point(&self.builds, job.trial.build);
        job.trial.machine = point(&self.machines, job.trial.machine);
        // Where it really stands: what is run again after a failure comes last.
        job.trial.order = self
            .trials
            .values()
            .map(|trial| trial.order + 1)
            .max()
            .unwrap_or(0);
        job.checkpoint = std::path::absolute(self.partial.checkpoint_of(&job.trial.id)).ok();
        job.checkpoint_every_s = checkpoint_every_s();
        let folder = request.keep_weights.filter(|_| !job.trial.in_sweep());
        let asked = folder.and_then(|folder| {
            let name = job.weights_name();
            std::path::absolute(folder.join(name)).ok()
        });
        job.keep_weights = job.keep_weights.or(asked);
        let started = Instant::now();
        observer.trial(&job);
        let trial = isolate::run_trial(&worker, &job, request.limit, at, &mut |event| {
            observer.heard(event)
        })?;
        if trial.status == Status::Interrupted {
            return Err(Error {
                kind: Kind::Interrupted,
                message: String::new(),
                hint: None,
            });
        }
        let trial = self.sound(trial, &job);
        self.partial.keep(&trial)?;
        observer.finished(&trial, started.elapsed());
        self.trials.insert(trial.id.clone(), trial);
        Ok(())
    }

    /// The trial, or a failed one where the child's result makes no sense: it must not spoil the whole file.
    fn sound(&self, trial: Trial, job: &Job) -> Trial {
        let alone = ResultFile {
            trials: vec![trial],
            ..self.head.clone()
        };
        let problem = validate(&alone)
            .into_iter()
            .find(|problem| problem.place.starts_with("trials"));
        let trial = alone.trials.into_iter().next();
        match (problem, trial) {
            (None, Some(trial)) => trial,
            (problem, trial) => {
                let started_at = trial.map_or_else(utc_now, |trial| trial.started_at);
                let what = problem
                    .map(|problem| problem.to_string())
                    .unwrap_or_default();
                isolate::without_result(
                    job,
                    Status::Failed,
                    format!("its result makes no sense: {what}"),
                    started_at,
                )
            }
        }
    }

    /// Takes a calibration into the head and returns it. One that fails is recorded with its reason: trials
    /// need none.
    fn calibrate(
        &mut self,
        at: At,
        machine: u64,
        calibrate: &mut dyn Calibrate,
        observer: &mut dyn Observer,
        interrupt: &Interrupt,
    ) -> Result<Calibration> {
        observer.calibrating();
        let mut calibration = match calibrate.measure(interrupt) {
            Ok(calibration) => calibration,
            Err(error) if error.kind == Kind::Interrupted => return Err(error),
            Err(error) => Calibration {
                reason: Some(error.message),
                ..Calibration::empty(0, at, &calibrate.device())
            },
        };
        calibration.at = at;
        calibration.machine = point(&self.machines, machine);
        self.head.calibrations.push(calibration.clone());
        self.partial.begin(&self.head)?;
        Ok(calibration)
    }

    fn say_how_to_resume(&self, error: Error, planned: usize, request: &Request) -> Error {
        let folder = self.partial.folder().display();
        let kept = match request.then {
            None => format!(
                "{} of {planned} trials are kept in {folder}",
                self.trials.len()
            ),
            Some(_) => format!("{} trials are kept in {folder}", self.trials.len()),
        };
        let message = match error.kind {
            Kind::Interrupted => format!("interrupted; {kept}"),
            _ => format!("{}; {kept}", error.message),
        };
        Error {
            kind: error.kind,
            message,
            hint: Some(format!("`{}` runs the rest", request.resume)),
        }
    }

    /// Writes the result file and removes the partial folder.
    fn merge(self, out: &Path) -> Result<ResultFile> {
        let mut file = journal::merge(self.head, self.trials.into_values().collect())?;
        file.run.finished_at = Some(utc_now());
        store::write(out, &file)?;
        self.partial.remove()?;
        Ok(file)
    }
}

/// The worker with its pools sized as the job's spec asks, where it asks for a number of threads of its own.
fn sized(worker: &Worker, job: &Job) -> Worker {
    let mut worker = worker.clone();
    if let Some(threads) = Asked::of(&job.trial.spec).threads() {
        worker.env.extend(child_environment(threads));
    }
    worker
}

/// Seconds of training between checkpoints: where a machine is taken away often, or in a test, `EFFBENCH_CHECKPOINT_S`.
fn checkpoint_every_s() -> f64 {
    let asked = std::env::var("EFFBENCH_CHECKPOINT_S")
        .ok()
        .and_then(|text| text.parse::<f64>().ok());
    asked.filter(|seconds| *seconds >= 0.0).unwrap_or(EVERY_S)
}

/// Where an entry of the request stands in the head's list.
fn point(map: &[u64], index: u64) -> u64 {
    usize::try_from(index)
        .ok()
        .and_then(|i| map.get(i))
        .copied()
        .unwrap_or(index)
}

fn find_or_push<T: PartialEq + Clone>(list: &mut Vec<T>, item: &T) -> u64 {
    let index = list
        .iter()
        .position(|known| known == item)
        .unwrap_or_else(|| {
            list.push(item.clone());
            list.len() - 1
        });
    index as u64
}
