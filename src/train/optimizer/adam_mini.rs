//! Adam-mini (Zhang et al. 2024, arXiv 2406.16793, algorithm 1): AdamW with one second moment for a block of numbers, the mean of their
//! squares. A block is a row of a matrix, which is a neuron's weights or a token's vector, and the whole of a vector. (The authors take
//! all rows of a head together for queries and keys: what is here is the finer division.)

use std::sync::Arc;

use candle_core::{D, DType, Device, Tensor, Var};

use super::each::{Each, Mover, Movers, blend};
use super::{Optimizer, OptimizerKind, OptimizerPlan, adamw};
use crate::config::{Declarations, Knobs, Named};
use crate::error::Result;
use crate::model::{Decl, Factors};

/// Arithmetic of one number's update.
const FLOPS_PER_SCALAR: f64 = 11.0;

/// Row of the catalog.
pub struct Kind;

impl Named for Kind {
    fn name(&self) -> &'static str {
        "adam-mini"
    }
    fn about(&self) -> &'static str {
        "AdamW with one second moment for each row of a matrix and for each vector (Zhang et al. 2024)"
    }
    fn knobs(&self) -> Declarations {
        &[
            &adamw::LR,
            &adamw::BETA1,
            &adamw::BETA2,
            &adamw::EPS,
            &adamw::WEIGHT_DECAY,
        ]
    }
}

impl OptimizerKind for Kind {
    fn settle(&self, knobs: &Knobs) -> Result<Arc<dyn OptimizerPlan>> {
        Ok(Arc::new(AdamMini(adamw::AdamW::settle(knobs)?)))
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct AdamMini(pub adamw::AdamW);

/// Blocks of a parameter.
fn blocks(decl: &Decl) -> usize {
    if decl.shape.len() < 2 {
        1
    } else {
        decl.shape[0]
    }
}

impl OptimizerPlan for AdamMini {
    fn lr(&self) -> f64 {
        self.0.lr()
    }

    fn flops_per_step(&self, decls: &[Decl]) -> f64 {
        let numbers: u64 = decls.iter().map(Decl::count).sum();
        FLOPS_PER_SCALAR * numbers as f64
    }

    fn state_scalars(&self, decls: &[Decl]) -> u64 {
        let one = |decl: &Decl| decl.count() + blocks(decl) as u64;
        decls.iter().map(one).sum()
    }

    fn start(
        &self,
        decls: &[Decl],
        device: &Device,
        _products: DType,
    ) -> Result<Box<dyn Optimizer>> {
        let one = |decl: &Decl| {
            let mover = Blocks::start(*self, decl, (DType::F32, device))?;
            Ok(Each::Own(Box::new(mover) as Box<dyn Mover>))
        };
        Ok(Box::new(Movers::new(
            decls.iter().map(one).collect::<Result<_>>()?,
        )))
    }
}

/// How a parameter moves.
pub(super) struct Blocks {
    plan: adamw::AdamW,
    factors: Factors,
    decays: bool,
    /// (blocks, numbers in one).
    mean: Var,
    /// (blocks, 1).
    squares: Var,
}

impl Blocks {
    /// At rest; of that type, there.
    pub fn start(plan: AdamMini, decl: &Decl, (dtype, device): (DType, &Device)) -> Result<Self> {
        let (blocks, all) = (blocks(decl), decl.count() as usize);
        Ok(Self {
            plan: plan.0,
            factors: decl.adaptive(),
            decays: decl.decays(),
            mean: Var::zeros((blocks, all / blocks.max(1)), dtype, device)?,
            squares: Var::zeros((blocks, 1), dtype, device)?,
        })
    }
}

impl Mover for Blocks {
    fn step(&mut self, var: &Var, grad: &Tensor, lr: f64, update: u64) -> Result<()> {
        let adamw::AdamW {
            beta1,
            beta2,
            eps,
            weight_decay,
            ..
        } = self.plan;
        let grad = grad.reshape(self.mean.dims())?;
        blend(&self.mean, beta1, &grad)?;
        blend(&self.squares, beta2, &grad.sqr()?.mean_keepdim(D::Minus1)?)?;
        let count = i32::try_from(update).unwrap_or(i32::MAX);
        let (correct1, correct2) = (1.0 - beta1.powi(count), 1.0 - beta2.powi(count));
        let root = (self.squares.as_detached_tensor() * (1.0 / correct2))?.sqrt()?;
        let root = ((root + eps * self.factors.eps)? * correct1)?;
        let update = self.mean.as_detached_tensor().broadcast_div(&root)?;
        let lr = lr * self.factors.lr;
        let decay = if self.decays { weight_decay } else { 0.0 };
        let kept = (var.as_detached_tensor() * (1.0 - lr * decay * self.factors.decay))?;
        Ok(var.set(&(kept - (update.reshape(var.dims())? * lr)?)?)?)
    }

    fn held(&self) -> Vec<&Var> {
        vec![&self.mean, &self.squares]
    }
}
