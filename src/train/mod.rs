//! One optimizer step at a time: forward, backward, clip, update. Knows nothing of clocks, files or suites.

use std::sync::Arc;

use candle_core::{Device, Tensor};

use crate::data::Batch;
use crate::error::Result;
use crate::model::{Model, Params};
use crate::ops::Ops;

pub mod gradient;
pub mod optimizer;
pub mod schedule;

pub use optimizer::{Optimizer, OptimizerKind, OptimizerPlan};
pub use schedule::{Schedule, ScheduleKind};

/// What a trainer is made of.
pub struct Setup {
    /// Structure.
    pub model: Arc<Model>,
    /// Started parameters.
    pub params: Params,
    /// Started state.
    pub optimizer: Box<dyn Optimizer>,
    /// Factor on the learning rate by step.
    pub schedule: Arc<dyn Schedule>,
    /// Learning rate at the schedule's height.
    pub lr: f64,
    /// Largest norm of the whole gradient; 0 is off.
    pub clip: f64,
    /// Planned optimizer steps.
    pub steps: u64,
    /// Fused or reference arithmetic.
    pub ops: Ops,
    /// Where.
    pub device: Device,
}

/// Trains one model.
pub struct Trainer {
    setup: Setup,
    done: u64,
}

/// What one step saw.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// Mean training loss of the batch before the update, in nats.
    pub loss: f64,
    /// 2-norm of the whole gradient before clipping.
    pub grad_norm: f64,
}

impl Step {
    /// Whether loss and gradient are finite; a step that is not has changed nothing.
    pub fn is_finite(&self) -> bool {
        self.loss.is_finite() && self.grad_norm.is_finite()
    }
}

impl Trainer {
    /// Before the first step.
    pub fn new(setup: Setup) -> Self {
        Self { setup, done: 0 }
    }

    /// Steps done.
    pub fn done(&self) -> u64 {
        self.done
    }

    /// The parameters as they are now.
    pub fn params(&self) -> &Params {
        &self.setup.params
    }

    /// Forward, backward and, where loss and gradient are finite, the update.
    pub fn step(&mut self, batch: &Batch) -> Result<Step> {
        let setup = &mut self.setup;
        let (loss, grads) = {
            let loss = mean_loss(&setup.model, &setup.params, batch, setup.ops, &setup.device)?;
            let mut store = loss.backward()?;
            let grads = gradient::take(&mut store, setup.model.decls(), &setup.params)?;
            (f64::from(loss.to_scalar::<f32>()?), grads)
        };
        let grad_norm = gradient::norm(&grads)?;
        let step = Step { loss, grad_norm };
        if step.is_finite() {
            let scale = if setup.clip > 0.0 && grad_norm > setup.clip { setup.clip / grad_norm } else { 1.0 };
            let lr = setup.lr * setup.schedule.factor(self.done, setup.steps);
            setup.optimizer.step(setup.params.vars(), &grads, lr, scale)?;
            setup.device.synchronize()?;
        }
        self.done += 1;
        Ok(step)
    }
}

/// Mean loss of a batch with a graph behind it.
pub fn mean_loss(model: &Model, params: &Params, batch: &Batch, ops: Ops, device: &Device) -> Result<Tensor> {
    let ids = Tensor::from_slice(&batch.inputs, batch.inputs.len(), device)?;
    let targets = Tensor::from_slice(&batch.targets, batch.targets.len(), device)?;
    let logits = model.logits(&params.tracked(), &ids, batch.rows, batch.context, ops)?;
    Ok(ops.cross_entropy(&logits, &targets)?)
}
