//! AdamW (Loshchilov & Hutter 2019, algorithm 2): m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2,
//! w -= lr (m^ / (sqrt(v^) + eps) + decay w) with bias-corrected m^ and v^. Decay spares gains and biases.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor, Var};

use super::cautious::{self, Cautious};
use super::elementwise::Elementwise;
use super::{Now, Optimizer, OptimizerKind, OptimizerPlan, in_place, take};
use crate::config::knob::{Flag, Number};
use crate::config::{Declarations, Knob, Knobs, Named};
use crate::error::{Error, Result};
use crate::model::Decl;
use crate::ops::{AdamwFactors, Gpu, Updated};

pub(super) const LR: Knob<Number> = Knob::number("lr", "Learning rate at the schedule's peak.")
    .above(0.0)
    .default(3e-3);
pub(super) const BETA1: Knob<Number> = Knob::number(
    "beta1",
    "Decay of AdamW's running mean of gradients, per step.",
)
.within(0.0, 0.999_999)
.default(0.9);
pub(super) const BETA2: Knob<Number> = Knob::number(
    "beta2",
    "Decay of AdamW's running mean of squared gradients, per step.",
)
.within(0.0, 0.999_999)
.default(0.99);
pub(super) const EPS: Knob<Number> = Knob::number(
    "eps",
    "Added to the root of that mean, so that nothing is divided by zero.",
)
.within(0.0, 1.0)
.default(1e-8);
pub(super) const WEIGHT_DECAY: Knob<Number> = Knob::number(
    "weight_decay",
    "Share of the weights taken away per step and unit of learning rate; gains and biases are spared.",
)
.within(0.0, 1e3)
.default(0.1);

const CAUTIOUS: Knob<Flag> = Knob::flag(
    "cautious",
    "Whether of an update only the numbers that go down the present gradient are made, larger by their share (Liang et al. 2024).",
)
.default(false);

/// Row of the catalog.
pub struct Kind;

impl Named for Kind {
    fn name(&self) -> &'static str {
        "adamw"
    }
    fn about(&self) -> &'static str {
        "adaptive moments with decoupled weight decay (Loshchilov & Hutter 2019)"
    }
    fn knobs(&self) -> Declarations {
        &[&LR, &BETA1, &BETA2, &EPS, &WEIGHT_DECAY, &CAUTIOUS]
    }
}

impl OptimizerKind for Kind {
    fn settle(&self, knobs: &Knobs) -> Result<Arc<dyn OptimizerPlan>> {
        let adamw = AdamW::settle(knobs)?;
        Ok(if knobs.read(&CAUTIOUS)? {
            Arc::new(Masked(adamw))
        } else {
            Arc::new(adamw)
        })
    }
}

/// Settled AdamW.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamW {
    pub(super) lr: f64,
    pub(super) beta1: f64,
    pub(super) beta2: f64,
    pub(super) eps: f64,
    pub(super) weight_decay: f64,
}

impl AdamW {
    /// Reads its knobs; Muon has the same for the parameters it leaves to AdamW.
    pub fn settle(knobs: &Knobs) -> Result<Self> {
        Ok(Self {
            lr: knobs.read(&LR)?,
            beta1: knobs.read(&BETA1)?,
            beta2: knobs.read(&BETA2)?,
            eps: knobs.read(&EPS)?,
            weight_decay: knobs.read(&WEIGHT_DECAY)?,
        })
    }

    /// Learning rate at the schedule's height.
    pub fn lr(&self) -> f64 {
        self.lr
    }

    /// Decay per unit of learning rate.
    pub fn weight_decay(&self) -> f64 {
        self.weight_decay
    }

    /// State for one parameter, at zero.
    pub fn moments(&self, decl: &Decl, device: &Device) -> Result<Moments> {
        let factors = decl.adaptive();
        let decay = if decl.decays() {
            self.weight_decay * factors.decay
        } else {
            0.0
        };
        let store = match device {
            Device::Cpu => Store::Host([
                vec![0.0; decl.count() as usize],
                vec![0.0; decl.count() as usize],
            ]),
            _ => {
                let zero = || Var::zeros(decl.shape.as_slice(), DType::F32, device);
                Store::Device([zero()?, zero()?])
            }
        };
        Ok(Moments {
            plan: *self,
            lr: factors.lr,
            eps: self.eps * factors.eps,
            decay,
            store,
            steps: 0,
        })
    }
}

impl OptimizerPlan for AdamW {
    fn lr(&self) -> f64 {
        self.lr
    }

    fn flops_per_step(&self, decls: &[Decl]) -> f64 {
        decls
            .iter()
            .map(|decl| FLOPS_PER_SCALAR * decl.count() as f64)
            .sum()
    }

    fn state_scalars(&self, decls: &[Decl]) -> u64 {
        2 * decls.iter().map(Decl::count).sum::<u64>()
    }

    fn start(
        &self,
        decls: &[Decl],
        device: &Device,
        _products: DType,
    ) -> Result<Box<dyn Optimizer>> {
        Ok(Box::new(All(decls
            .iter()
            .map(|decl| self.moments(decl, device))
            .collect::<Result<_>>()?)))
    }
}

/// Settled AdamW with a mask.
#[derive(Debug, Clone, Copy)]
struct Masked(AdamW);

impl OptimizerPlan for Masked {
    fn lr(&self) -> f64 {
        self.0.lr
    }

    fn flops_per_step(&self, decls: &[Decl]) -> f64 {
        let numbers: u64 = decls.iter().map(Decl::count).sum();
        cautious::FLOPS_PER_SCALAR * numbers as f64
    }

    fn state_scalars(&self, decls: &[Decl]) -> u64 {
        self.0.state_scalars(decls)
    }

    fn start(
        &self,
        decls: &[Decl],
        device: &Device,
        _products: DType,
    ) -> Result<Box<dyn Optimizer>> {
        let AdamW {
            beta1,
            beta2,
            eps,
            weight_decay,
            ..
        } = self.0;
        let rule = Cautious {
            beta1,
            beta2,
            eps,
            weight_decay,
        };
        Ok(Box::new(Elementwise::<_, 2>::start(rule, decls, device)?))
    }
}

/// Additions, multiplications, a root and a division of the update above, per scalar.
pub const FLOPS_PER_SCALAR: f64 = 15.0;

struct All(Vec<Moments>);

impl Optimizer for All {
    fn step(&mut self, vars: &[Var], grads: &[Tensor], now: &Now) -> Result<()> {
        let Now { lr, scale, .. } = *now;
        if let Some(gpu) = vars.first().and_then(|var| Gpu::of(var.device())) {
            return on_gpu(gpu, &mut self.0, vars, grads, lr, scale);
        }
        for ((moments, var), grad) in self.0.iter_mut().zip(vars).zip(grads) {
            moments.step(var, grad, lr, scale)?;
        }
        Ok(())
    }

    fn state(&self) -> Result<Option<Vec<Tensor>>> {
        let all = self
            .0
            .iter()
            .map(Moments::state)
            .collect::<Result<Vec<_>>>()?;
        Ok(Some(all.into_iter().flatten().collect()))
    }

    fn restore(&mut self, state: &[Tensor], steps: u64) -> Result<()> {
        let mut state = state.iter();
        self.0
            .iter_mut()
            .try_for_each(|moments| moments.restore(take(&mut state)?, steps))
    }
}

enum Store {
    Host([Vec<f32>; 2]),
    Device([Var; 2]),
}

/// First and second moment of one parameter.
pub struct Moments {
    plan: AdamW,
    /// Factor on the learning rate.
    lr: f64,
    eps: f64,
    decay: f64,
    store: Store,
    steps: i32,
}

impl Moments {
    /// A copy of m and v.
    pub fn state(&self) -> Result<[Tensor; 2]> {
        Ok(match &self.store {
            Store::Host([m, v]) => {
                let copy = |values: &[f32]| Tensor::from_slice(values, values.len(), &Device::Cpu);
                [copy(m)?, copy(v)?]
            }
            Store::Device([m, v]) => [m.copy()?, v.copy()?],
        })
    }

    /// Takes m and v back, as they were after `steps` updates.
    pub fn restore(&mut self, state: [&Tensor; 2], steps: u64) -> Result<()> {
        self.steps = i32::try_from(steps)
            .map_err(|_| Error::internal("more steps than an optimizer counts"))?;
        match &mut self.store {
            Store::Host(store) => {
                for (own, given) in store.iter_mut().zip(state) {
                    *own = given.flatten_all()?.to_vec1()?;
                }
            }
            Store::Device(store) => {
                for (own, given) in store.iter().zip(state) {
                    own.set(given)?;
                }
            }
        }
        Ok(())
    }

    /// One update of one parameter.
    pub fn step(&mut self, var: &Var, grad: &Tensor, lr: f64, scale: f64) -> Result<()> {
        if let Some(gpu) = Gpu::of(var.device()) {
            return on_gpu(
                gpu,
                std::slice::from_mut(self),
                std::slice::from_ref(var),
                std::slice::from_ref(grad),
                lr,
                scale,
            );
        }
        self.steps += 1;
        let (AdamW { beta1, beta2, .. }, lr, eps) = (self.plan, lr * self.lr, self.eps);
        let correct1 = 1.0 - beta1.powi(self.steps);
        let correct2 = 1.0 - beta2.powi(self.steps);
        let shrink = 1.0 - lr * self.decay;
        match &mut self.store {
            Store::Host([m, v]) => {
                let (b1, b2, eps, scale) = (beta1 as f32, beta2 as f32, eps as f32, scale as f32);
                let (rate, root2, shrink) = (
                    (lr / correct1) as f32,
                    correct2.sqrt() as f32,
                    shrink as f32,
                );
                let kernel = |w: &mut [f32], g: &[f32], [m, v]: [&mut [f32]; 2]| {
                    for (((w, g), m), v) in w.iter_mut().zip(g).zip(m).zip(v) {
                        let g = g * scale;
                        *m = b1 * *m + (1.0 - b1) * g;
                        *v = b2 * *v + (1.0 - b2) * g * g;
                        *w = shrink * *w - rate * *m / (v.sqrt() / root2 + eps);
                    }
                };
                Ok(in_place::update(var, grad, [m, v], &kernel)?)
            }
            Store::Device(_) => Err(Error::internal(
                "the state of an optimizer is on another device than its parameters",
            )),
        }
    }
}

/// One update of parameters on a GPU, as many in a launch as it holds.
fn on_gpu(
    gpu: Gpu,
    all: &mut [Moments],
    vars: &[Var],
    grads: &[Tensor],
    lr: f64,
    scale: f64,
) -> Result<()> {
    let Some(first) = all.first_mut() else {
        return Ok(());
    };
    let (AdamW { beta1, beta2, .. }, steps) = (first.plan, first.steps + 1);
    let factors = AdamwFactors::at(steps, [beta1, beta2], lr, scale);
    all.iter_mut().for_each(|moments| moments.steps = steps);
    let updated = all
        .iter()
        .zip(vars)
        .zip(grads)
        .map(|((moments, w), g)| match &moments.store {
            Store::Device([m, v]) => Ok(Updated {
                w,
                g,
                m,
                v,
                lr: moments.lr,
                eps: moments.eps,
                decay: moments.decay,
            }),
            Store::Host(_) => Err(Error::internal(
                "the state of an optimizer is on another device than its parameters",
            )),
        });
    Ok(gpu.adamw(&updated.collect::<Result<Vec<_>>>()?, factors)?)
}
