//! Sophia-G (Liu et al. 2023, arXiv 2305.14342, algorithm 3): momentum over a running mean h of the curvature along each number, with
//! steps of at most one learning rate: w -= lr clip(m / (rho h), 1), decay decoupled. Every few updates the curvature is measured by
//! Gauss-Newton-Bartlett: the squared gradient at labels that are drawn from the model, times the targets in the batch.
//!
//! The authors' beta2 = 0.99 every 10 updates is a half-life of 690 updates. Here it is 0.9 at first, for shorter runs.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor, Var};

use super::elementwise::{Elementwise, Of, Rule};
use super::{Now, Optimizer, OptimizerKind, OptimizerPlan, View, adamw};
use crate::config::knob::{Number, Whole};
use crate::config::{Declarations, Knob, Knobs, Named};
use crate::error::Result;
use crate::model::Decl;

const LR: Knob<Number> = adamw::LR.default(1e-3);
const BETA1: Knob<Number> = adamw::BETA1.default(0.96);
const BETA2: Knob<Number> = Knob::number(
    "beta2",
    "Decay of the running mean of curvature, each time that it is measured.",
)
.within(0.0, 0.999_999)
.default(0.9);
const RHO: Knob<Number> = Knob::number(
    "rho",
    "Share of the curvature that a step is divided by: the smaller, the more steps are of the largest size.",
)
.above(0.0)
.default(0.05);
const EVERY: Knob<Whole> =
    Knob::count("every", "Updates after which curvature is measured.").default(10);
const WEIGHT_DECAY: Knob<Number> = adamw::WEIGHT_DECAY.default(0.2);

/// Added to a curvature, so that nothing is divided by zero.
const EPS: f64 = 1e-15;

/// Arithmetic of one number's update.
const FLOPS_PER_SCALAR: f64 = 12.0;

/// Which stream of state is the curvature.
const CURVATURE: usize = 1;

/// Row of the catalog.
pub struct Kind;

impl Named for Kind {
    fn name(&self) -> &'static str {
        "sophia"
    }
    fn about(&self) -> &'static str {
        "clipped momentum over a curvature measured at labels that the model draws (Liu et al. 2023)"
    }
    fn knobs(&self) -> Declarations {
        &[&LR, &BETA1, &BETA2, &RHO, &EVERY, &WEIGHT_DECAY]
    }
}

impl OptimizerKind for Kind {
    fn settle(&self, knobs: &Knobs) -> Result<Arc<dyn OptimizerPlan>> {
        Ok(Arc::new(Sophia {
            lr: knobs.read(&LR)?,
            beta1: knobs.read(&BETA1)?,
            beta2: knobs.read(&BETA2)?,
            rho: knobs.read(&RHO)?,
            every: knobs.read(&EVERY)? as u64,
            weight_decay: knobs.read(&WEIGHT_DECAY)?,
        }))
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Sophia {
    pub lr: f64,
    pub beta1: f64,
    pub beta2: f64,
    pub rho: f64,
    pub every: u64,
    pub weight_decay: f64,
}

impl OptimizerPlan for Sophia {
    fn lr(&self) -> f64 {
        self.lr
    }

    fn flops_per_step(&self, decls: &[Decl]) -> f64 {
        let numbers: u64 = decls.iter().map(Decl::count).sum();
        FLOPS_PER_SCALAR * numbers as f64
    }

    fn state_scalars(&self, decls: &[Decl]) -> u64 {
        2 * decls.iter().map(Decl::count).sum::<u64>()
    }

    fn probes_every(&self) -> Option<u64> {
        Some(self.every)
    }

    fn start(
        &self,
        decls: &[Decl],
        device: &Device,
        _products: DType,
    ) -> Result<Box<dyn Optimizer>> {
        Ok(Box::new(Measured(Elementwise::start(
            *self, decls, device,
        )?)))
    }
}

/// The rule, and the curvature that it is given.
struct Measured(Elementwise<Sophia, 2>);

impl Optimizer for Measured {
    fn step(&mut self, vars: &[Var], grads: &[Tensor], now: &Now) -> Result<()> {
        self.0.step(vars, grads, now)
    }

    fn probes(&self, step: u64) -> bool {
        step.is_multiple_of(self.0.rule.every)
    }

    fn probe(&mut self, grads: &[Tensor], targets: f64) -> Result<()> {
        let beta = self.0.rule.beta2;
        self.0.see_squares(CURVATURE, beta, grads, targets)
    }

    fn view(&mut self, vars: &[Var], view: View) -> Result<()> {
        self.0.view(vars, view)
    }

    fn state(&self) -> Result<Option<Vec<Tensor>>> {
        self.0.state()
    }

    fn restore(&mut self, state: &[Tensor], steps: u64) -> Result<()> {
        self.0.restore(state, steps)
    }
}

pub(super) struct Coefficients {
    beta1: f64,
    rho: f64,
    lr: f64,
    kept: f64,
    scale: f64,
}

/// -1, 0 or 1.
fn sign(x: f32) -> f32 {
    if x == 0.0 { 0.0 } else { x.signum() }
}

impl Rule<2> for Sophia {
    type Coefficients = Coefficients;

    fn coefficients(&self, of: &Of, _step: u64, now: &Now) -> Coefficients {
        let lr = now.lr * of.lr;
        Coefficients {
            beta1: self.beta1,
            rho: self.rho,
            lr,
            kept: 1.0 - lr * self.weight_decay * of.decay,
            scale: now.scale,
        }
    }

    fn numbers(with: &Coefficients, w: &mut [f32], g: &[f32], [m, h]: [&mut [f32]; 2]) {
        let (beta1, scale) = (with.beta1 as f32, with.scale as f32);
        let (rho, eps) = (with.rho as f32, EPS as f32);
        let (lr, kept) = (with.lr as f32, with.kept as f32);
        for (((w, g), m), h) in w.iter_mut().zip(g).zip(m).zip(h) {
            *m = beta1 * *m + (1.0 - beta1) * g * scale;
            let size = (m.abs() / (rho * *h + eps)).min(1.0);
            *w = kept * *w - lr * sign(*m) * size;
        }
    }

    fn tensors(
        with: &Coefficients,
        w: &Tensor,
        g: &Tensor,
        [m, h]: [&Tensor; 2],
    ) -> candle_core::Result<(Tensor, [Tensor; 2])> {
        let m = ((m * with.beta1)? + (g * ((1.0 - with.beta1) * with.scale))?)?;
        let size = (m.abs()? / ((h * with.rho)? + EPS)?)?.minimum(1.0)?;
        let w = ((w * with.kept)? - ((m.sign()? * size)? * with.lr)?)?;
        Ok((w, [m, h.clone()]))
    }
}
