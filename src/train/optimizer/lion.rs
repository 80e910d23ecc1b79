//! Lion (Chen et al. 2023, arXiv 2302.06675, algorithm 2): u = sign(b1 m + (1 - b1) g), w -= lr (u + decay w),
//! m = b2 m + (1 - b2) g. One stream of state, and an update of one size, so that its rate is a third to a tenth of AdamW's and its
//! decay as many times larger.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};

use super::elementwise::{Elementwise, Of, Rule};
use super::{Now, Optimizer, OptimizerKind, OptimizerPlan, adamw};
use crate::config::knob::Number;
use crate::config::{Declarations, Knob, Knobs, Named};
use crate::error::Result;
use crate::model::Decl;

const LR: Knob<Number> = adamw::LR.default(6e-4);
const BETA1: Knob<Number> = Knob::number(
    "beta1",
    "Share of the running mean in the direction of a step.",
)
.within(0.0, 0.999_999)
.default(0.9);
const BETA2: Knob<Number> =
    Knob::number("beta2", "Decay of the running mean of gradients, per step.")
        .within(0.0, 0.999_999)
        .default(0.99);
const WEIGHT_DECAY: Knob<Number> = adamw::WEIGHT_DECAY.default(0.5);

/// Arithmetic of one number's update.
const FLOPS_PER_SCALAR: f64 = 12.0;

/// Row of the catalog.
pub struct Kind;

impl Named for Kind {
    fn name(&self) -> &'static str {
        "lion"
    }
    fn about(&self) -> &'static str {
        "the sign of an interpolated momentum, with decoupled weight decay (Chen et al. 2023)"
    }
    fn knobs(&self) -> Declarations {
        &[&LR, &BETA1, &BETA2, &WEIGHT_DECAY]
    }
}

impl OptimizerKind for Kind {
    fn settle(&self, knobs: &Knobs) -> Result<Arc<dyn OptimizerPlan>> {
        Ok(Arc::new(Lion {
            lr: knobs.read(&LR)?,
            beta1: knobs.read(&BETA1)?,
            beta2: knobs.read(&BETA2)?,
            weight_decay: knobs.read(&WEIGHT_DECAY)?,
        }))
    }
}

#[derive(Debug, Clone, Copy)]
struct Lion {
    lr: f64,
    beta1: f64,
    beta2: f64,
    weight_decay: f64,
}

impl OptimizerPlan for Lion {
    fn lr(&self) -> f64 {
        self.lr
    }

    fn flops_per_step(&self, decls: &[Decl]) -> f64 {
        let numbers: u64 = decls.iter().map(Decl::count).sum();
        FLOPS_PER_SCALAR * numbers as f64
    }

    fn state_scalars(&self, decls: &[Decl]) -> u64 {
        decls.iter().map(Decl::count).sum()
    }

    fn start(
        &self,
        decls: &[Decl],
        device: &Device,
        _products: DType,
    ) -> Result<Box<dyn Optimizer>> {
        Ok(Box::new(Elementwise::<_, 1>::start(*self, decls, device)?))
    }
}

struct Coefficients {
    beta1: f32,
    beta2: f32,
    lr: f32,
    kept: f32,
    scale: f32,
}

/// -1, 0 or 1.
fn sign(x: f32) -> f32 {
    if x == 0.0 { 0.0 } else { x.signum() }
}

impl Rule<1> for Lion {
    type Coefficients = Coefficients;

    fn coefficients(&self, of: &Of, _step: u64, now: &Now) -> Coefficients {
        let lr = now.lr * of.lr;
        Coefficients {
            beta1: self.beta1 as f32,
            beta2: self.beta2 as f32,
            lr: lr as f32,
            kept: (1.0 - lr * self.weight_decay * of.decay) as f32,
            scale: now.scale as f32,
        }
    }

    fn numbers(with: &Coefficients, w: &mut [f32], g: &[f32], [m]: [&mut [f32]; 1]) {
        for ((w, g), m) in w.iter_mut().zip(g).zip(m) {
            let g = g * with.scale;
            let update = sign(with.beta1 * *m + (1.0 - with.beta1) * g);
            *m = with.beta2 * *m + (1.0 - with.beta2) * g;
            *w = with.kept * *w - with.lr * update;
        }
    }

    fn tensors(
        with: &Coefficients,
        w: &Tensor,
        g: &Tensor,
        [m]: [&Tensor; 1],
    ) -> candle_core::Result<(Tensor, [Tensor; 1])> {
        let mean = |beta: f32, g: &Tensor| -> candle_core::Result<Tensor> {
            (m * f64::from(beta))? + (g * f64::from(1.0 - beta))?
        };
        let g = (g * f64::from(with.scale))?;
        let update = mean(with.beta1, &g)?.sign()?;
        let w = ((w * f64::from(with.kept))? - (update * f64::from(with.lr))?)?;
        Ok((w, [mean(with.beta2, &g)?]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WITH: Coefficients = Coefficients {
        beta1: 0.5,
        beta2: 0.75,
        lr: 0.25,
        kept: 0.5,
        scale: 2.0,
    };

    #[test]
    fn an_update_has_one_size_and_both_forms_agree() {
        let (mut w, g, mut m) = ([1.0_f32, 1.0, 1.0], [1.0_f32, -1.0, 0.0], [0.0_f32; 3]);
        Lion::numbers(&WITH, &mut w, &g, [&mut m]);
        assert_eq!((w, m), ([0.25, 0.75, 0.5], [0.5, -0.5, 0.0]));
        let tensor = |numbers: [f32; 3]| Tensor::new(&numbers, &Device::Cpu).unwrap();
        let (ones, g) = (tensor([1.0; 3]), tensor(g));
        let (of_tensors, [mean]) = Lion::tensors(&WITH, &ones, &g, [&tensor([0.0; 3])]).unwrap();
        assert_eq!(of_tensors.to_vec1::<f32>().unwrap(), w);
        assert_eq!(mean.to_vec1::<f32>().unwrap(), m);
    }
}
