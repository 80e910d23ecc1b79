//! One optimizer step at a time: forward, backward, clip, update. Knows nothing of clocks or suites.

use std::sync::Arc;

use candle_core::{Device, Tensor, Var};

use crate::data::Batch;
use crate::device::Workers;
use crate::error::{Error, Result};
use crate::model::{After, Beside, Loads, Model, Params, Weights};
use crate::ops::{Narrowed, Ops};

pub mod gradient;
pub mod optimizer;
mod probe;
pub mod rates;
pub mod schedule;
pub mod snapshot;
pub mod stored;

pub use gradient::Gradient;
pub use optimizer::{Now, Optimizer, OptimizerKind, OptimizerPlan, View};
pub use rates::Rates;
pub use schedule::{Schedule, ScheduleKind};
pub use snapshot::Snapshot;
pub use stored::Stored;

/// What a trainer is made of.
pub struct Setup {
    /// Structure.
    pub model: Arc<Model>,
    /// Started parameters.
    pub params: Params,
    /// Started state, of the parameters that train.
    pub optimizer: Box<dyn Optimizer>,
    /// Factor on the learning rate by step.
    pub schedule: Arc<dyn Schedule>,
    /// Learning rate at the schedule's height.
    pub lr: f64,
    /// Largest norm of the whole gradient; 0 is off.
    pub clip: f64,
    /// How parameters are rounded after every update; none where they stay f32.
    pub stored: Option<Stored>,
    /// Planned optimizer steps.
    pub steps: u64,
    /// Of the streams that training draws from.
    pub seed: u64,
    /// Fused or reference arithmetic.
    pub ops: Ops<'static>,
    /// Parts that a batch is split into, each run on its own share of the threads.
    pub shards: usize,
    /// Where.
    pub device: Device,
}

/// Trains one model.
pub struct Trainer {
    setup: Setup,
    /// Of its parameters, those that train.
    trained: Vec<Var>,
    workers: Workers,
    done: u64,
}

/// What one step saw.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// Mean training loss of the batch before the update, in nats.
    pub loss: f64,
    /// 2-norm of the whole gradient before clipping.
    pub grad_norm: f64,
    /// MaxVio of the batch, the largest of any router, where the model has one.
    pub max_violation: Option<f64>,
}

impl Step {
    /// Whether loss and gradient are finite; a step that is not has left the parameters as they were.
    pub fn is_finite(&self) -> bool {
        self.loss.is_finite() && self.grad_norm.is_finite()
    }
}

impl Trainer {
    /// Before the first step. It divides as many threads as the current pool has among its shards.
    pub fn new(setup: Setup) -> Result<Self> {
        Ok(Self {
            workers: Workers::new(setup.shards)?,
            trained: setup.params.trained(),
            setup,
            done: 0,
        })
    }

    /// Steps done.
    pub fn done(&self) -> u64 {
        self.done
    }

    /// The threads that its steps run on.
    pub fn workers(&self) -> &Workers {
        &self.workers
    }

    /// The parameters as they are now.
    pub fn params(&self) -> &Params {
        &self.setup.params
    }

    /// A copy of what it has learnt; `None` where the optimizer gives its state not out.
    pub fn snapshot(&self) -> Result<Option<Snapshot>> {
        let Some(optimizer) = self.setup.optimizer.state()? else {
            return Ok(None);
        };
        let copies = self.setup.params.vars().iter().map(|var| Ok(to_host(var)?));
        Ok(Some(Snapshot {
            step: self.done,
            params: copies.collect::<Result<_>>()?,
            optimizer,
        }))
    }

    /// Goes on from there.
    pub fn restore(&mut self, snapshot: &Snapshot) -> Result<()> {
        let vars = self.setup.params.vars();
        if vars.len() != snapshot.params.len() {
            return Err(Error::internal("a checkpoint of another model"));
        }
        vars.iter()
            .zip(&snapshot.params)
            .try_for_each(|(var, given)| var.set(&given.to_device(var.device())?))?;
        self.setup
            .optimizer
            .restore(&snapshot.optimizer, snapshot.step)?;
        self.done = snapshot.step;
        Ok(())
    }

    /// Forward, backward and, where loss and gradient are finite, the update.
    pub fn step(&mut self, batch: &Batch) -> Result<Step> {
        let (loss, gradient, loads) = self.seen(batch)?;
        let drawn = self.probe(batch)?;
        let setup = &mut self.setup;
        let grad_norm = gradient.norm;
        let step = Step {
            loss,
            grad_norm,
            max_violation: loads.max_violation(),
        };
        if step.is_finite() {
            let scale = if setup.clip > 0.0 && grad_norm > setup.clip {
                setup.clip / grad_norm
            } else {
                1.0
            };
            let lr = setup.lr * setup.schedule.factor(self.done, setup.steps);
            let now = Now {
                step: self.done,
                steps: setup.steps,
                lr,
                scale,
            };
            if let Some(drawn) = drawn {
                let targets = batch.targets_known() as f64;
                setup.optimizer.probe(&drawn.tensors, targets)?;
            }
            setup
                .optimizer
                .step(&self.trained, &gradient.tensors, &now)?;
            if let Some(stored) = setup.stored {
                stored.apply(&self.trained, self.done)?;
            }
            let at = After {
                step: self.done,
                steps: setup.steps,
            };
            setup.model.after_step(&setup.params, &loads, at)?;
            setup.device.synchronize()?;
        }
        self.done += 1;
        Ok(step)
    }

    /// The gradient at labels that the model draws, where the optimizer asks for it now.
    fn probe(&self, batch: &Batch) -> Result<Option<Gradient>> {
        let setup = &self.setup;
        if !setup.optimizer.probes(self.done) {
            return Ok(None);
        }
        let model = (&*setup.model, &setup.params);
        let drawn = probe::labels(
            model,
            batch,
            (setup.seed, self.done),
            setup.ops,
            &setup.device,
        )?;
        let (_, gradient) = self.gradient(&drawn)?;
        Ok(gradient.norm.is_finite().then_some(gradient))
    }

    /// Puts the parameters where they are evaluated, or back to where they learn.
    ///
    /// # Errors
    /// The optimizer's.
    pub fn view(&mut self, view: View) -> Result<()> {
        self.setup.optimizer.view(&self.trained, view)
    }

    /// Mean loss over the batch's targets and its gradient: the sum over the shards, each weighted by its share of the targets.
    pub fn gradient(&self, batch: &Batch) -> Result<(f64, Gradient)> {
        let (loss, gradient, _) = self.seen(batch)?;
        Ok((loss, gradient))
    }

    /// That, and where the batch's tokens went.
    fn seen(&self, batch: &Batch) -> Result<(f64, Gradient, Loads)> {
        let setup = &self.setup;
        let all = batch.targets_known() as f64;
        let shards: Vec<Batch> = batch
            .shards(setup.shards)
            .into_iter()
            .filter(|shard| shard.targets_known() > 0)
            .collect();
        let (model, ops, device) = (setup.model.clone(), setup.ops, setup.device.clone());
        let weights = Arc::new(setup.params.tracked());
        let packed = Arc::new(Narrowed::default());
        let parts = self.workers.run(shards, move |shard| {
            let share = shard.targets_known() as f64 / all;
            let ops = if ops.rounds_factors() {
                ops.keeping(&packed)
            } else {
                ops
            };
            shard_gradients(&model, &weights, &shard, ops, &device, share)
        })?;
        let parts = parts.into_iter().collect::<Result<Vec<_>>>()?;
        if parts.is_empty() {
            return Err(Error::internal("a batch without a target"));
        }
        let (mut loss, mut loads, mut gradients) = (0.0, Loads::default(), Vec::new());
        for (of_shard, gradient, told) in parts {
            loss += of_shard;
            gradients.push(gradient);
            loads.join(&told);
        }
        Ok((loss, gradient::sum(gradients, ops)?, loads))
    }
}

/// A copy in the host's memory: a device's may be full.
fn to_host(tensor: &Tensor) -> candle_core::Result<Tensor> {
    if tensor.device().is_cpu() {
        tensor.copy()
    } else {
        tensor.to_device(&Device::Cpu)
    }
}

/// `share` times the mean loss of some windows, the gradient of what is minimised by the parameters that train, in their order, and
/// where tokens went.
fn shard_gradients(
    model: &Model,
    weights: &Weights,
    batch: &Batch,
    ops: Ops,
    device: &Device,
    share: f64,
) -> Result<(f64, Vec<Tensor>, Loads)> {
    let ids = Tensor::from_slice(&batch.inputs, batch.inputs.len(), device)?;
    let tape = ops.tape();
    let beside = Beside::default();
    let loss = model.loss_beside(
        weights,
        (&ids, &batch.targets),
        (batch.rows, batch.context),
        ops.on(&tape),
        &beside,
    )?;
    let mut gradients = tape.backward(&loss, share)?;
    let grads = gradient::take(&mut gradients, model.decls(), weights)?;
    // Of several numbers the first is the next token's.
    let of_next = loss.flatten_all()?.get(0)?.to_scalar::<f32>()?;
    Ok((share * f64::from(of_next), grads, beside.loads()))
}
