//! The sentence: settle, build, observe, record. The only module that sees both cones of the hourglass.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::measure::energy::{Metering, Plan};
use crate::measure::{Clock, Monotonic, clock, disturbance};
use crate::model::weights;
use crate::reading::Energy;
use crate::record::{Answers, Choices, Drafted, Metric, Status, Trial};

pub mod checkpoint;
pub mod job;
mod gpu;
mod energy;
mod footprint;
pub mod registry;
pub mod keys;
pub mod kept;
pub mod draft;
pub mod infer;
mod other_data;
pub mod settle;
pub mod refusal;
pub mod export;
pub mod calibrate;
pub mod quality;
pub mod serving;
mod answers;
mod choices;
mod ahead;
pub mod training;
mod figure;
mod speculation;
mod served;
mod absent;
mod outcome;

pub use checkpoint::Checkpoint;
pub use job::{Emit, Event, Job};
pub use keys::keys;
pub use outcome::blank;
pub use registry::Registry;
pub use settle::{Experiment, Prepared, settle};

/// Runs one trial in this process: the job's settled spec, trained, evaluated, served, recorded.
pub fn run(registry: &Registry, job: &Job, emit: &mut Emit) -> Result<Trial> {
    let mut trial = observed(registry, job, emit)?;
    trial.hold_against(job.peaks());
    Ok(trial)
}

fn observed(registry: &Registry, job: &Job, emit: &mut Emit) -> Result<Trial> {
    let started_at = clock::utc_now();
    let clock = Monotonic::start();
    let prepared = settle(registry, &settle::tree_of(&job.trial.spec, &job.paths)?)?;
    if prepared.spec_sha256 != job.trial.spec_sha256 {
        return Err(Error::internal(
            "the settled spec does not settle to itself",
        ));
    }
    let experiment = prepared.experiment;
    refusal::refuse_emulation(&prepared.spec)?;
    let (opened, own) = gpu::open(&experiment.device)?;
    let plan = Plan {
        gpu: own.clone(),
        external: experiment.measure.external.clone(),
    };
    let meters = Metering::start(&registry.meters, plan, Arc::new(clock));
    let checkpoint = checkpoint(job);
    let before = disturbance::snapshot(clock.now_s());
    let watch = own.as_ref().and_then(gpu::watch);
    let training = training::train(
        &experiment,
        job.trial.seed,
        &opened,
        &clock,
        (&meters, checkpoint.as_ref()),
        emit,
    )?;
    let gpu = watch.map(|watch| watch.end());
    let peak_bytes = peak_bytes(&training, &opened, own.is_none(), gpu.as_ref());
    let learnt = learnt(job, &experiment, &training)?;
    let served = served(
        job,
        (&experiment, learnt.as_ref()),
        &opened,
        &clock,
        &meters,
    )?;
    let peak_bytes = match experiment.steps {
        0 => peak_so_far(&opened, own.is_none()),
        _ => peak_bytes,
    };
    let energy = meters.end();
    let observed = outcome::Observed {
        experiment: &experiment,
        training: &training,
        serving: served.serving.as_ref(),
        disturbances: disturbances(&before, &clock, gpu.as_ref()),
    };
    Ok(Trial {
        status: match training.diverged {
            Some(_) => Status::Diverged,
            None => Status::Ok,
        },
        reason: training.diverged.clone(),
        metrics: served
            .metrics(&energy)
            .chain(observed.metrics(job, peak_bytes, &energy))
            .collect(),
        answers: served.answers,
        choices: served.choices,
        drafted: served.drafted,
        skills: observed.skills(),
        validity: observed.validity(&energy),
        energy: energy::energy(&energy, training.resumed_at.is_some()),
        gpu: gpu.as_ref().map(gpu::state),
        curve: training.curve.clone(),
        ..blank(job, started_at)
    })
}

/// Where training goes on from, and is kept.
fn checkpoint(job: &Job) -> Option<Checkpoint> {
    job.checkpoint.clone().map(|path| Checkpoint {
        path,
        id: job.trial.id.clone(),
        every_s: job.checkpoint_every_s,
    })
}

/// What the process, or the GPU, has held at most so far. Where nothing was trained it is there to serve, and its memory is serving's.
fn peak_so_far(opened: &crate::device::Opened, of_host: bool) -> Option<u64> {
    if of_host {
        crate::measure::memory::peak_bytes()
    } else {
        opened.peak_bytes()
    }
}

/// What training held: of the process, or of the GPU. A process that went on from a checkpoint also held that.
fn peak_bytes(
    training: &training::Training,
    opened: &crate::device::Opened,
    of_host: bool,
    gpu: Option<&crate::measure::gpu::watch::Seen>,
) -> Option<u64> {
    let host = training.peak_bytes.filter(|_| of_host);
    let peak = host.or_else(|| gpu::peak_bytes(opened, gpu));
    peak.filter(|_| training.resumed_at.is_none())
}

/// Of all that was timed, training and serving.
fn disturbances(
    before: &disturbance::Snapshot,
    clock: &dyn Clock,
    gpu: Option<&crate::measure::gpu::watch::Seen>,
) -> Vec<disturbance::Disturbance> {
    let mut found = disturbance::between(before, &disturbance::snapshot(clock.now_s()));
    found.extend(gpu.into_iter().flat_map(|seen| seen.disturbances()));
    found
}

/// What a model that did not diverge serves with, its low-rank changes in their matrices, written where the job asks for it.
fn learnt(
    job: &Job,
    experiment: &Experiment,
    training: &training::Training,
) -> Result<Option<crate::model::Params>> {
    if training.diverged.is_some() {
        return Ok(None);
    }
    let learnt = experiment.model.merged(&training.params)?;
    if let Some(path) = &job.keep_weights {
        weights::write(path, experiment.model.decls(), &learnt)?;
        kept::keep(path, &job.trial.cell, &job.trial.spec)?;
    }
    Ok(Some(learnt))
}

/// What was seen of inference.
#[derive(Default)]
struct Served {
    serving: Option<serving::Serving>,
    answers: Option<Answers>,
    choices: Option<Choices>,
    drafted: Option<Drafted>,
}

impl Served {
    /// What was asked of the model and guessed for it, in figures.
    fn metrics(&self, energy: &Energy) -> impl Iterator<Item = (String, Metric)> {
        answers::metrics(self.answers.as_ref())
            .chain(choices::metrics(self.choices.as_ref()))
            .chain(speculation::metrics(self.drafted.as_ref(), energy))
    }
}

/// The inference half: not of a model that diverged, nor of a trial that only helps to choose a learning rate, which is asked for
/// its loss alone.
fn served(
    job: &Job,
    (experiment, learnt): (&Experiment, Option<&crate::model::Params>),
    opened: &crate::device::Opened,
    clock: &dyn Clock,
    meters: &Metering,
) -> Result<Served> {
    let Some(params) = learnt.filter(|_| !job.trial.in_sweep()) else {
        return Ok(Served::default());
    };
    let seed = job.trial.seed;
    let serving = serving::serve(experiment, params, seed, opened, clock, meters)?;
    Ok(Served {
        serving: Some(serving),
        answers: answers::ask(experiment, params, seed, opened, clock)?,
        choices: choices::ask(experiment, params, opened)?,
        drafted: speculation::measure(experiment, params, seed, opened, clock, meters)?,
    })
}

#[cfg(test)]
mod tests;
