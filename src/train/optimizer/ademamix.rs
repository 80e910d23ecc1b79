//! AdEMAMix (Pagliardini et al. 2024, arXiv 2409.03137, algorithm 1): AdamW with a second, slow mean of gradients beside the fast one:
//! w -= lr ((m1^ + alpha m2) / (sqrt(v^) + eps) + decay w), m2 without bias correction. Over the first steps alpha rises from 0 in a
//! straight line, and the slow mean's half-life from the fast one's to its own, in equal steps of it.
//!
//! The authors' beta3 = 0.9999 is a half-life of 6931 steps, a few hundredths of their runs. Here it is a share of the run, so that
//! there is a slow mean in a short one too.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};

use super::elementwise::{Elementwise, Of, Rule};
use super::{Now, Optimizer, OptimizerKind, OptimizerPlan, adamw};
use crate::config::knob::Number;
use crate::config::{Declarations, Knob, Knobs, Named};
use crate::error::Result;
use crate::model::Decl;

const ALPHA: Knob<Number> = Knob::number(
    "alpha",
    "Weight of the slow mean of gradients beside the fast one.",
)
.within(0.0, 1e3)
.default(5.0);
const SLOW: Knob<Number> = Knob::number(
    "slow",
    "Half-life of the slow mean of gradients, as a share of all steps; from 1 on, a number of steps.",
)
.above(0.0)
.default(0.05);
const RISE: Knob<Number> = Knob::number(
    "rise",
    "Share of the steps in which the slow mean's weight and half-life rise.",
)
.within(0.0, 1.0)
.default(1.0);

/// Arithmetic of one number's update.
const FLOPS_PER_SCALAR: f64 = 21.0;

/// Row of the catalog.
pub struct Kind;

impl Named for Kind {
    fn name(&self) -> &'static str {
        "ademamix"
    }
    fn about(&self) -> &'static str {
        "AdamW with a second, slow mean of gradients (Pagliardini et al. 2024)"
    }
    fn knobs(&self) -> Declarations {
        &[
            &adamw::LR,
            &adamw::BETA1,
            &adamw::BETA2,
            &ALPHA,
            &SLOW,
            &RISE,
            &adamw::EPS,
            &adamw::WEIGHT_DECAY,
        ]
    }
}

impl OptimizerKind for Kind {
    fn settle(&self, knobs: &Knobs) -> Result<Arc<dyn OptimizerPlan>> {
        Ok(Arc::new(AdEMAMix {
            lr: knobs.read(&adamw::LR)?,
            beta1: knobs.read(&adamw::BETA1)?,
            beta2: knobs.read(&adamw::BETA2)?,
            alpha: knobs.read(&ALPHA)?,
            slow: knobs.read(&SLOW)?,
            rise: knobs.read(&RISE)?,
            eps: knobs.read(&adamw::EPS)?,
            weight_decay: knobs.read(&adamw::WEIGHT_DECAY)?,
        }))
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct AdEMAMix {
    pub lr: f64,
    pub beta1: f64,
    pub beta2: f64,
    pub alpha: f64,
    pub slow: f64,
    pub rise: f64,
    pub eps: f64,
    pub weight_decay: f64,
}

impl AdEMAMix {
    /// Weight and decay of the slow mean at update `step`, from 1, of `steps`.
    fn slow_at(&self, step: f64, steps: f64) -> (f64, f64) {
        let whole = if self.slow < 1.0 {
            self.slow * steps
        } else {
            self.slow
        };
        let fast = 0.5_f64.ln() / self.beta1.ln();
        // A run too short for a slower mean than the fast one has the fast one twice.
        let whole = whole.max(fast);
        let rising = self.rise * steps;
        let share = if step < rising { step / rising } else { 1.0 };
        // In steps before the one that a half-life ends with, as the authors' code has it.
        let half_life = (1.0 - share) * (fast - 1.0) + share * (whole - 1.0) + 1.0;
        (self.alpha * share, 0.5_f64.powf(1.0 / half_life))
    }
}

impl OptimizerPlan for AdEMAMix {
    fn lr(&self) -> f64 {
        self.lr
    }

    fn flops_per_step(&self, decls: &[Decl]) -> f64 {
        let numbers: u64 = decls.iter().map(Decl::count).sum();
        FLOPS_PER_SCALAR * numbers as f64
    }

    fn state_scalars(&self, decls: &[Decl]) -> u64 {
        3 * decls.iter().map(Decl::count).sum::<u64>()
    }

    fn start(
        &self,
        decls: &[Decl],
        device: &Device,
        _products: DType,
    ) -> Result<Box<dyn Optimizer>> {
        Ok(Box::new(Elementwise::<_, 3>::start(*self, decls, device)?))
    }
}

pub(super) struct Coefficients {
    betas: [f64; 3],
    correct1: f64,
    root2: f64,
    alpha: f64,
    eps: f64,
    lr: f64,
    kept: f64,
    scale: f64,
}

impl Rule<3> for AdEMAMix {
    type Coefficients = Coefficients;

    fn coefficients(&self, of: &Of, step: u64, now: &Now) -> Coefficients {
        let lr = now.lr * of.lr;
        let (alpha, beta3) = self.slow_at(step as f64, now.steps as f64);
        let step = i32::try_from(step).unwrap_or(i32::MAX);
        Coefficients {
            betas: [self.beta1, self.beta2, beta3],
            correct1: 1.0 - self.beta1.powi(step),
            root2: (1.0 - self.beta2.powi(step)).sqrt(),
            alpha,
            eps: self.eps * of.eps,
            lr,
            kept: 1.0 - lr * self.weight_decay * of.decay,
            scale: now.scale,
        }
    }

    fn numbers(with: &Coefficients, w: &mut [f32], g: &[f32], [m, v, slow]: [&mut [f32]; 3]) {
        let [beta1, beta2, beta3] = with.betas.map(|beta| beta as f32);
        let (correct, root2, eps) = (
            (1.0 / with.correct1) as f32,
            with.root2 as f32,
            with.eps as f32,
        );
        let (alpha, lr, kept) = (with.alpha as f32, with.lr as f32, with.kept as f32);
        let scale = with.scale as f32;
        for ((((w, g), m), v), slow) in w.iter_mut().zip(g).zip(m).zip(v).zip(slow) {
            let g = g * scale;
            *m = beta1 * *m + (1.0 - beta1) * g;
            *v = beta2 * *v + (1.0 - beta2) * g * g;
            *slow = beta3 * *slow + (1.0 - beta3) * g;
            let update = (*m * correct + alpha * *slow) / (v.sqrt() / root2 + eps);
            *w = kept * *w - lr * update;
        }
    }

    fn tensors(
        with: &Coefficients,
        w: &Tensor,
        g: &Tensor,
        [m, v, slow]: [&Tensor; 3],
    ) -> candle_core::Result<(Tensor, [Tensor; 3])> {
        let g = (g * with.scale)?;
        let mean = |of: &Tensor, beta: f64, by: &Tensor| -> candle_core::Result<Tensor> {
            (of * beta)? + (by * (1.0 - beta))?
        };
        let [beta1, beta2, beta3] = with.betas;
        let (m, v) = (mean(m, beta1, &g)?, mean(v, beta2, &g.sqr()?)?);
        let slow = mean(slow, beta3, &g)?;
        let root = ((v.sqrt()? * (1.0 / with.root2))? + with.eps)?;
        let both = ((&m * (1.0 / with.correct1))? + (&slow * with.alpha)?)?;
        let w = ((w * with.kept)? - ((both / root)? * with.lr)?)?;
        Ok((w, [m, v, slow]))
    }
}
