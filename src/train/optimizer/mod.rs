//! Optimizers: planned from declarations (their cost is known before a tensor exists), then started on a device.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor, Var};

use crate::config::{Knobs, Named};
use crate::error::{Error, Result};
use crate::model::Decl;

mod in_place;
mod elementwise;
mod cautious;
pub mod adamw;
mod each;
mod orthogonal;
pub mod lion;
pub mod muon;
pub mod soap;
pub mod shampoo;
pub mod adafactor;
pub mod adam_mini;
pub mod ademamix;
pub mod mars;
pub mod sophia;
pub mod schedule_free;
pub mod sgd;
mod kinds;
#[cfg(test)]
mod tests;

pub use kinds::kinds;

/// One update's place in a training.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Now {
    /// Updates before it.
    pub step: u64,
    /// Planned updates.
    pub steps: u64,
    /// Learning rate.
    pub lr: f64,
    /// What every gradient is multiplied by first (clipping).
    pub scale: f64,
}

/// What parameters are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// To take gradients at.
    Train,
    /// To evaluate, to serve and to keep.
    Evaluate,
}

/// Moves parameters by their gradients.
pub trait Optimizer: Send {
    /// One update.
    ///
    /// # Errors
    /// The operations'.
    fn step(&mut self, vars: &[Var], grads: &[Tensor], now: &Now) -> Result<()>;

    /// Whether before update `step`, from 0, it wants a gradient at labels that the model draws, beside the batch's own.
    fn probes(&self, step: u64) -> bool {
        let _ = step;
        false
    }

    /// That gradient, of the mean over so many targets, as it is: unclipped.
    ///
    /// # Errors
    /// The operations'.
    fn probe(&mut self, grads: &[Tensor], targets: f64) -> Result<()> {
        let _ = (grads, targets);
        Ok(())
    }

    /// Puts the parameters where they are looked at, or back to where they learn: of most optimizers that is one place.
    ///
    /// # Errors
    /// The operations'.
    fn view(&mut self, vars: &[Var], view: View) -> Result<()> {
        let _ = (vars, view);
        Ok(())
    }

    /// A copy of its state, for a checkpoint; `None` from one that gives none out: its trials cannot be continued.
    fn state(&self) -> Result<Option<Vec<Tensor>>> {
        Ok(None)
    }

    /// Takes back what [`state`](Self::state) gave after `steps` updates.
    fn restore(&mut self, state: &[Tensor], steps: u64) -> Result<()> {
        let _ = (state, steps);
        Err(Error::internal("this optimizer takes no state"))
    }
}

/// The next `N` of a state's tensors.
fn take<'a, const N: usize>(
    state: &mut impl Iterator<Item = &'a Tensor>,
) -> Result<[&'a Tensor; N]> {
    let found: Vec<&Tensor> = state.take(N).collect();
    found
        .try_into()
        .map_err(|_| Error::internal("a checkpoint holds too little of the optimizer's state"))
}

/// A settled optimizer before it holds any state.
pub trait OptimizerPlan: Send + Sync {
    /// Learning rate at the schedule's height.
    fn lr(&self) -> f64;

    /// Arithmetic of one update.
    fn flops_per_step(&self, decls: &[Decl]) -> f64;

    /// After how many updates it wants a gradient at labels that the model draws; `None` from one that never does.
    fn probes_every(&self) -> Option<u64> {
        None
    }

    /// Scalars of state kept between updates.
    fn state_scalars(&self, decls: &[Decl]) -> u64;

    /// State for these parameters, at zero. Matrix products of its own, if it has any, are of that type.
    fn start(&self, decls: &[Decl], device: &Device, products: DType)
    -> Result<Box<dyn Optimizer>>;
}

/// A kind of optimizer: one file in this folder and one row in the registry.
pub trait OptimizerKind: Named {
    /// Reads the knobs below `train.optimizer`.
    fn settle(&self, knobs: &Knobs) -> Result<Arc<dyn OptimizerPlan>>;
}
