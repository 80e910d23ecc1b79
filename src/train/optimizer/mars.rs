//! MARS-AdamW (Yuan et al. 2024, arXiv 2411.10438, algorithm 2 in its approximate form): AdamW on a gradient corrected by the last
//! step's, c = g + gamma b1 / (1 - b1) (g - g_last), each matrix's c brought to a norm of at most 1. The last gradient is zero at
//! first, as in the authors' code. Gains and biases are plain AdamW's, by the same betas.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};

use super::elementwise::{Elementwise, Of, Rule};
use super::{Now, Optimizer, OptimizerKind, OptimizerPlan, adamw};
use crate::config::knob::Number;
use crate::config::{Declarations, Knob, Knobs, Named};
use crate::error::Result;
use crate::model::Decl;

const BETA1: Knob<Number> = adamw::BETA1.default(0.95);
const GAMMA: Knob<Number> = Knob::number(
    "gamma",
    "Share of the correction by the last step's gradient.",
)
.within(0.0, 1e3)
.default(0.025);

/// Arithmetic of one number's update: AdamW's, and the correction twice, once for its norm.
const FLOPS_PER_SCALAR: f64 = 26.0;

/// Row of the catalog.
pub struct Kind;

impl Named for Kind {
    fn name(&self) -> &'static str {
        "mars"
    }
    fn about(&self) -> &'static str {
        "AdamW on gradients whose variance the last step's gradient reduces (Yuan et al. 2024)"
    }
    fn knobs(&self) -> Declarations {
        &[
            &adamw::LR,
            &BETA1,
            &adamw::BETA2,
            &GAMMA,
            &adamw::EPS,
            &adamw::WEIGHT_DECAY,
        ]
    }
}

impl OptimizerKind for Kind {
    fn settle(&self, knobs: &Knobs) -> Result<Arc<dyn OptimizerPlan>> {
        Ok(Arc::new(Mars {
            lr: knobs.read(&adamw::LR)?,
            beta1: knobs.read(&BETA1)?,
            beta2: knobs.read(&adamw::BETA2)?,
            gamma: knobs.read(&GAMMA)?,
            eps: knobs.read(&adamw::EPS)?,
            weight_decay: knobs.read(&adamw::WEIGHT_DECAY)?,
        }))
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Mars {
    pub lr: f64,
    pub beta1: f64,
    pub beta2: f64,
    pub gamma: f64,
    pub eps: f64,
    pub weight_decay: f64,
}

impl OptimizerPlan for Mars {
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
    beta1: f64,
    beta2: f64,
    /// gamma b1 / (1 - b1); none where nothing is corrected.
    correction: Option<f64>,
    /// What the corrected gradient is multiplied by.
    bound: f64,
    rate: f64,
    root2: f64,
    eps: f64,
    kept: f64,
    scale: f64,
}

impl Rule<3> for Mars {
    type Coefficients = Coefficients;

    fn coefficients(&self, of: &Of, step: u64, now: &Now) -> Coefficients {
        let step = i32::try_from(step).unwrap_or(i32::MAX);
        let lr = now.lr * of.lr;
        let correction = self.gamma * self.beta1 / (1.0 - self.beta1);
        Coefficients {
            beta1: self.beta1,
            beta2: self.beta2,
            correction: (!of.vector).then_some(correction),
            bound: 1.0,
            rate: lr / (1.0 - self.beta1.powi(step)),
            root2: (1.0 - self.beta2.powi(step)).sqrt(),
            eps: self.eps * of.eps,
            kept: 1.0 - lr * self.weight_decay * of.decay,
            scale: now.scale,
        }
    }

    /// The squares of the corrected gradient.
    fn look(with: &Coefficients, g: &[f32], [_, _, last]: [&[f32]; 3]) -> Option<f64> {
        let (correction, scale) = (with.correction? as f32, with.scale as f32);
        let square = |(g, last): (&f32, &f32)| {
            let g = g * scale;
            f64::from(g + correction * (g - last)).powi(2)
        };
        Some(g.iter().zip(last).map(square).sum())
    }

    fn seen(with: &mut Coefficients, squares: f64, _count: usize) {
        with.bound = 1.0 / squares.sqrt().max(1.0);
    }

    fn numbers(with: &Coefficients, w: &mut [f32], g: &[f32], [m, v, last]: [&mut [f32]; 3]) {
        let (beta1, beta2, scale) = (with.beta1 as f32, with.beta2 as f32, with.scale as f32);
        let (correction, bound) = (with.correction.unwrap_or(0.0) as f32, with.bound as f32);
        let (rate, root2, eps) = (with.rate as f32, with.root2 as f32, with.eps as f32);
        let kept = with.kept as f32;
        for ((((w, g), m), v), last) in w.iter_mut().zip(g).zip(m).zip(v).zip(last) {
            let g = g * scale;
            let c = bound * (g + correction * (g - *last));
            *last = g;
            *m = beta1 * *m + (1.0 - beta1) * c;
            *v = beta2 * *v + (1.0 - beta2) * c * c;
            *w = kept * *w - rate * *m / (v.sqrt() / root2 + eps);
        }
    }

    fn tensors(
        with: &Coefficients,
        w: &Tensor,
        g: &Tensor,
        [m, v, last]: [&Tensor; 3],
    ) -> candle_core::Result<(Tensor, [Tensor; 3])> {
        let g = (g * with.scale)?;
        let c = match with.correction {
            Some(correction) => {
                let c = (&g + ((&g - last)? * correction)?)?;
                let norm = c.sqr()?.sum_all()?.sqrt()?;
                c.broadcast_div(&norm.maximum(1.0)?)?
            }
            None => g.clone(),
        };
        let m = ((m * with.beta1)? + (&c * (1.0 - with.beta1))?)?;
        let v = ((v * with.beta2)? + (c.sqr()? * (1.0 - with.beta2))?)?;
        let root = ((v.sqrt()? * (1.0 / with.root2))? + with.eps)?;
        let w = ((w * with.kept)? - ((&m / root)? * with.rate)?)?;
        Ok((w, [m, v, g]))
    }
}
