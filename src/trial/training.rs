//! The training half of a trial: steps, each timed alone, and the loss curve.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::ahead::Ahead;
use super::checkpoint::Checkpoint;
use super::job::{Emit, Event};
use super::quality::{self, Quality};
use super::settle::Experiment;
use crate::data::Source;
use crate::device::Opened;
use crate::error::Result;
use crate::measure::energy::Metering;
use crate::measure::{Clock, memory};
use crate::model::{Decl, Params};
use crate::ops::{Dispatched, dispatched};
use crate::reading::Phase;
use crate::record::Curve;
use crate::train::{Setup, Trainer, View};

/// What training left behind.
pub struct Training {
    /// The trained parameters.
    pub params: Params,
    /// Seconds of every step, in order.
    pub step_s: Vec<f64>,
    /// Loss of every step, in order.
    pub losses: Vec<f64>,
    /// Loss against step, tokens, FLOPs and seconds.
    pub curve: Curve,
    /// Why it counts as diverged, where it does.
    pub diverged: Option<String>,
    /// The last evaluation, where training ended well.
    pub quality: Option<Quality>,
    /// That of the data that its parent was trained on, where those are others.
    pub before: Option<Quality>,
    /// That of what was mixed into its data, where something was.
    pub mixed: Option<Quality>,
    /// Peak resident memory of the process, before anything was copied for a checkpoint.
    pub peak_bytes: Option<u64>,
    /// What one step asks of the fused ops, where those ran: each step asks the same.
    pub dispatched: Option<Dispatched>,
    /// Steps that an earlier process had done, where one was killed and this one went on.
    pub resumed_at: Option<u64>,
}

/// Trains from the seed's start to the last step, or to the first that is not finite.
pub fn train(
    experiment: &Experiment,
    seed: u64,
    opened: &Opened,
    clock: &dyn Clock,
    (meters, checkpoint): (&Metering, Option<&Checkpoint>),
    emit: &mut Emit,
) -> Result<Training> {
    let mut trainer = experiment.trainer(seed, opened)?;
    let mut log = Log::default();
    let resumed_at =
        checkpoint.and_then(|checkpoint| resume(checkpoint, &mut trainer, &mut log, opened));
    let mut running = Running {
        experiment,
        opened,
        clock,
        meters,
        checkpoint,
        ahead: Ahead::where_it_pays(experiment, seed, trainer.done())?,
        trainer,
        log,
        quality: None,
        before: None,
        mixed: None,
        peak_bytes: None,
        dispatched: None,
        said_s: clock.now_s(),
        saved_s: clock.now_s(),
    };
    meters.begin(Phase::Train);
    while running.trainer.done() < experiment.steps && running.step(seed)? {
        running.point(emit)?;
        running.say(emit);
        running.save();
    }
    if experiment.steps == 0 {
        running.point(emit)?;
    }
    meters.begin(Phase::Other);
    running.trainer.view(View::Evaluate)?;
    running.look_elsewhere()?;
    Ok(running.end(resumed_at))
}

/// A training between two of its steps.
struct Running<'a> {
    experiment: &'a Experiment,
    opened: &'a Opened,
    clock: &'a dyn Clock,
    meters: &'a Metering,
    checkpoint: Option<&'a Checkpoint>,
    /// Batches made while a GPU computes.
    ahead: Option<Ahead>,
    trainer: Trainer,
    log: Log,
    quality: Option<Quality>,
    before: Option<Quality>,
    mixed: Option<Quality>,
    peak_bytes: Option<u64>,
    dispatched: Option<Dispatched>,
    said_s: f64,
    saved_s: f64,
}

impl Running<'_> {
    /// One step with its data, timed alone; whether training may go on.
    fn step(&mut self, seed: u64) -> Result<bool> {
        let (experiment, step) = (self.experiment, self.trainer.done());
        let context = experiment.model.shape.context;
        let before = dispatched();
        // The clock runs while data are fetched: a step is what it takes from one update to the next.
        let from_s = self.clock.now_s();
        let batch = match &self.ahead {
            Some(ahead) => ahead.next()?,
            None => experiment
                .source
                .train(seed, step, experiment.batch, context),
        };
        let seen = self.trainer.step(&batch)?;
        self.log.push(self.clock.now_s() - from_s, seen.loss);
        self.log.violations.extend(seen.max_violation);
        self.dispatched = self.dispatched.or_else(|| dispatched().since(before));
        if !seen.is_finite() {
            self.log.diverged = Some(format!(
                "loss {} and gradient norm {} at step {}",
                seen.loss,
                seen.grad_norm,
                step + 1
            ));
        }
        Ok(seen.is_finite())
    }

    /// A point of the curve where one falls on the steps done, with an evaluation where that does.
    fn point(&mut self, emit: &mut Emit) -> Result<()> {
        let (experiment, done) = (self.experiment, self.trainer.done());
        if !experiment.is_curve_point(done) {
            return Ok(());
        }
        let evaluated = experiment.is_val_point(done);
        if evaluated {
            self.meters.begin(Phase::Evaluate);
            emit(self.log.progress(experiment, "evaluate"));
            self.trainer.view(View::Evaluate)?;
            let (weights, workers) = (self.trainer.params().detached(), self.trainer.workers());
            let found = quality::evaluate(experiment, weights, workers, self.opened)?;
            self.quality = Some(found);
            self.trainer.view(View::Train)?;
            self.meters.begin(if done < experiment.steps {
                Phase::Train
            } else {
                Phase::Other
            });
        }
        let val_loss = self.quality.as_ref().filter(|_| evaluated);
        let val_loss = val_loss.map(|quality| quality.loss.mean);
        let train_j = self.meters.so_far_j(Phase::Train);
        self.log.point(experiment, val_loss, train_j);
        Ok(())
    }

    /// Evaluates what it still knows of the data that its parent was trained on, and what it knows of those mixed into its own.
    fn look_elsewhere(&mut self) -> Result<()> {
        let (before, mixed) = (&self.experiment.before, &self.experiment.mixed);
        self.before = before.as_ref().map(|data| self.look_at(data)).transpose()?;
        self.mixed = mixed.as_ref().map(|data| self.look_at(data)).transpose()?;
        Ok(())
    }

    fn look_at(&self, source: &Arc<dyn Source>) -> Result<Quality> {
        self.meters.begin(Phase::Evaluate);
        let (weights, workers) = (self.trainer.params().detached(), self.trainer.workers());
        let found = quality::evaluate_on(self.experiment, source, weights, workers, self.opened)?;
        self.meters.begin(Phase::Other);
        Ok(found)
    }

    /// Says how far it is, a few times a second.
    fn say(&mut self, emit: &mut Emit) {
        if self.clock.now_s() - self.said_s > 0.2 {
            self.said_s = self.clock.now_s();
            emit(self.log.progress(self.experiment, "train"));
        }
    }

    /// Keeps a checkpoint where the last is old, and steps are left.
    fn save(&mut self) {
        let is_old = |c: &&Checkpoint| self.clock.now_s() - self.saved_s >= c.every_s;
        let steps_left = self.trainer.done() < self.experiment.steps;
        let Some(checkpoint) = self.checkpoint.filter(is_old).filter(|_| steps_left) else {
            return;
        };
        // Neither the copy's memory nor its joules are training's.
        self.peak_bytes = self.peak_bytes.or_else(memory::peak_bytes);
        self.meters.begin(Phase::Other);
        save(checkpoint, &self.trainer, &self.log);
        self.meters.begin(Phase::Train);
        self.saved_s = self.clock.now_s();
    }

    fn end(self, resumed_at: Option<u64>) -> Training {
        let mut log = self.log;
        // The meters of a process that is gone took their readings along.
        let whole = |column: &Vec<f64>| !column.is_empty() && resumed_at.is_none();
        log.curve.energy_j = log
            .joules
            .drain(..)
            .collect::<Option<Vec<f64>>>()
            .filter(whole);
        log.judge(self.experiment, self.quality.as_ref());
        Training {
            params: self.trainer.params().clone(),
            step_s: log.step_s,
            losses: log.losses,
            curve: log.curve,
            quality: self.quality.filter(|_| log.diverged.is_none()),
            before: self.before.filter(|_| log.diverged.is_none()),
            mixed: self.mixed.filter(|_| log.diverged.is_none()),
            diverged: log.diverged,
            peak_bytes: self.peak_bytes.or_else(memory::peak_bytes),
            dispatched: self.dispatched,
            resumed_at,
        }
    }
}

/// Puts trainer and log where a checkpoint left them; the steps done, or `None` where there is none that fits.
fn resume(
    checkpoint: &Checkpoint,
    trainer: &mut Trainer,
    log: &mut Log,
    opened: &Opened,
) -> Option<u64> {
    let (snapshot, seen) = checkpoint.load(opened)?;
    let seen: Log = serde_json::from_value(seen).ok()?;
    if seen.step_s.len() as u64 != snapshot.step {
        return None;
    }
    trainer.restore(&snapshot).ok()?;
    *log = seen;
    Some(snapshot.step)
}

/// A checkpoint that cannot be had (no memory for the copy, no room on the disk) is no reason to lose the trial.
fn save(checkpoint: &Checkpoint, trainer: &Trainer, log: &Log) {
    if let (Ok(Some(snapshot)), Ok(log)) = (trainer.snapshot(), serde_json::to_value(log)) {
        let _ = checkpoint.save(&snapshot, log);
    }
}

impl Experiment {
    /// A trainer before its first step; its threads are those of the current pool.
    pub fn trainer(&self, seed: u64, opened: &Opened) -> Result<Trainer> {
        let device = &opened.device;
        Trainer::new(Setup {
            model: self.model.clone(),
            params: match self.serves_the_file() {
                true => self.model.start_packed(seed)?,
                false => self.model.start(seed, device)?,
            },
            optimizer: self
                .optimizer
                .start(&self.moved(), device, self.ops.dtype())?,
            schedule: self.schedule.clone(),
            lr: self.optimizer.lr(),
            clip: self.clip,
            stored: self.stored,
            steps: self.steps,
            seed,
            ops: self.ops.for_device(device)?,
            shards: self.shards,
            device: device.clone(),
        })
    }

    /// The parameters that an optimizer moves, for which it keeps state.
    fn moved(&self) -> Vec<Decl> {
        match self.steps {
            0 => Vec::new(),
            _ => self.model.trained(),
        }
    }

    /// Whether `done` of `points` evenly spaced moments, the last step among them, falls on this step.
    fn is_point(&self, done: u64, points: u64) -> bool {
        if self.steps == 0 {
            return true;
        }
        let points = points.min(self.steps);
        done * points / self.steps > (done - 1) * points / self.steps
    }

    fn is_curve_point(&self, done: u64) -> bool {
        self.is_point(done, self.measure.curve_points) || self.is_val_point(done)
    }

    fn is_val_point(&self, done: u64) -> bool {
        self.is_point(done, self.measure.val_points)
    }

    fn tokens_per_step(&self) -> u64 {
        (self.batch * self.model.shape.context) as u64
    }
}

#[derive(Default, Serialize, Deserialize)]
struct Log {
    step_s: Vec<f64>,
    losses: Vec<f64>,
    curve: Curve,
    in_curve: usize,
    /// MaxVio of each step since the last point of the curve.
    violations: Vec<f64>,
    /// Joules of training at each point of the curve, where meters can tell.
    joules: Vec<Option<f64>>,
    diverged: Option<String>,
}

impl Log {
    fn push(&mut self, seconds: f64, loss: f64) {
        self.step_s.push(seconds);
        self.losses.push(loss);
    }

    fn point(&mut self, experiment: &Experiment, val_loss: Option<f64>, train_j: Option<f64>) {
        let done = self.step_s.len() as u64;
        let since = &self.losses[self.in_curve..];
        let mean = since.iter().sum::<f64>() / since.len() as f64;
        self.in_curve = self.losses.len();
        let model = &experiment.model;
        let flops_per_step =
            experiment.batch as f64 * model.training(model.shape.context).train() as f64;
        self.curve.step.push(done);
        self.curve.tokens.push(done * experiment.tokens_per_step());
        self.curve.train_flops.push(done as f64 * flops_per_step);
        self.curve.wall_s.push(self.step_s.iter().sum());
        self.joules.push(train_j);
        self.curve
            .train_loss_nats
            .push(Some(mean).filter(|loss| loss.is_finite()));
        if !self.violations.is_empty() {
            let mean = self.violations.iter().sum::<f64>() / self.violations.len() as f64;
            self.curve.max_violation.push(mean);
            self.violations.clear();
        }
        self.curve
            .val_loss_nats
            .push(val_loss.filter(|loss| loss.is_finite()));
    }

    fn progress(&self, experiment: &Experiment, phase: &str) -> Event {
        let recent = |values: &[f64]| {
            let last = &values[values.len().saturating_sub(20)..];
            last.iter().sum::<f64>() / last.len() as f64
        };
        let finite = |value: f64| Some(value).filter(|v| v.is_finite());
        Event::Progress {
            phase: phase.into(),
            step: self.step_s.len() as u64,
            steps: experiment.steps,
            loss: finite(recent(&self.losses)),
            tokens_per_s: finite(experiment.tokens_per_step() as f64 / recent(&self.step_s)),
        }
    }

    /// A run whose last tenth is worse than guessing, by a nat, has diverged although every number is finite.
    fn judge(&mut self, experiment: &Experiment, quality: Option<&Quality>) {
        if self.diverged.is_some() || self.losses.is_empty() {
            return;
        }
        if quality.is_some_and(|quality| !quality.loss.mean.is_finite()) {
            self.diverged = Some("the validation loss is not finite".to_owned());
            return;
        }
        let tail = &self.losses[self.losses.len() - self.losses.len().div_ceil(10)..];
        let mean = tail.iter().sum::<f64>() / tail.len() as f64;
        let limit = (experiment.model.shape.vocab as f64).ln() + 1.0;
        if mean > limit {
            let why = format!(
                "mean training loss {mean:.3} over the last tenth of the steps, above ln V + 1 = {limit:.3}"
            );
            self.diverged = Some(why);
        }
    }
}
