//! Schedule-Free AdamW (Defazio et al. 2024, arXiv 2405.15682, algorithm 1): gradients are taken at y, between the base iterate z
//! and a running average x of it, and x is the model. No schedule is needed but a warm-up, since averaging stands for the decay.
//!
//! With u = g / (sqrt(v^) + eps) + decay y and c = lr^2 / (sum of lr^2 so far):
//! y <- y + c (z - y) + lr (b1 (1 - c) - 1) u, z <- z - lr u, and x = (y - (1 - b1) z) / b1 where the model is asked for.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor, Var};

use super::elementwise::{Elementwise, Of, Rule};
use super::{Now, Optimizer, OptimizerKind, OptimizerPlan, View, adamw};
use crate::config::knob::Number;
use crate::config::{Declarations, Knob, Knobs, Named};
use crate::error::{Error, Result};
use crate::model::Decl;

const BETA1: Knob<Number> = Knob::number(
    "beta1",
    "Where gradients are taken: this share of the average, the rest of the base iterate.",
)
.within(0.01, 0.999_999)
.default(0.9);

/// Arithmetic of one number's update.
const FLOPS_PER_SCALAR: f64 = 20.0;

/// Which stream of state is z.
const Z: usize = 0;

/// Row of the catalog.
pub struct Kind;

impl Named for Kind {
    fn name(&self) -> &'static str {
        "schedule-free"
    }
    fn about(&self) -> &'static str {
        "AdamW that averages its weights in place of a schedule (Defazio et al. 2024); with schedule kind constant"
    }
    fn knobs(&self) -> Declarations {
        &[
            &adamw::LR,
            &BETA1,
            &adamw::BETA2,
            &adamw::EPS,
            &adamw::WEIGHT_DECAY,
        ]
    }
}

impl OptimizerKind for Kind {
    fn settle(&self, knobs: &Knobs) -> Result<Arc<dyn OptimizerPlan>> {
        Ok(Arc::new(Plan {
            lr: knobs.read(&adamw::LR)?,
            beta1: knobs.read(&BETA1)?,
            beta2: knobs.read(&adamw::BETA2)?,
            eps: knobs.read(&adamw::EPS)?,
            weight_decay: knobs.read(&adamw::WEIGHT_DECAY)?,
        }))
    }
}

#[derive(Debug, Clone, Copy)]
struct Plan {
    lr: f64,
    beta1: f64,
    beta2: f64,
    eps: f64,
    weight_decay: f64,
}

impl OptimizerPlan for Plan {
    fn lr(&self) -> f64 {
        self.lr
    }

    fn flops_per_step(&self, decls: &[Decl]) -> f64 {
        let numbers: u64 = decls.iter().map(Decl::count).sum();
        FLOPS_PER_SCALAR * numbers as f64
    }

    /// z and v of each number, and the sum of squared rates.
    fn state_scalars(&self, decls: &[Decl]) -> u64 {
        2 * decls.iter().map(Decl::count).sum::<u64>() + 1
    }

    fn start(
        &self,
        decls: &[Decl],
        device: &Device,
        _products: DType,
    ) -> Result<Box<dyn Optimizer>> {
        let rule = Averaging {
            plan: *self,
            squares: 0.0,
            share: 0.0,
        };
        Ok(Box::new(ScheduleFree {
            all: Elementwise::start(rule, decls, device)?,
            beta1: self.beta1,
            held: None,
        }))
    }
}

/// The rule, with what is the same for all numbers of a step.
struct Averaging {
    plan: Plan,
    /// Sum of the squared rates so far.
    squares: f64,
    /// c.
    share: f64,
}

impl Averaging {
    fn advance(&mut self, lr: f64) {
        let square = lr * lr;
        self.squares += square;
        self.share = if self.squares > 0.0 {
            square / self.squares
        } else {
            0.0
        };
    }
}

struct ScheduleFree {
    all: Elementwise<Averaging, 2>,
    beta1: f64,
    /// y, while the parameters stand at x.
    held: Option<Vec<Tensor>>,
}

impl Optimizer for ScheduleFree {
    fn step(&mut self, vars: &[Var], grads: &[Tensor], now: &Now) -> Result<()> {
        self.all.rule.advance(now.lr);
        self.all.step(vars, grads, now)
    }

    fn view(&mut self, vars: &[Var], view: View) -> Result<()> {
        match (view, self.held.take()) {
            (View::Evaluate, None) if self.all.has_begun() => {
                let mut held = Vec::with_capacity(vars.len());
                let z = self.all.stream(Z, vars)?;
                for (var, z) in vars.iter().zip(z) {
                    let y = var.copy()?;
                    let x = ((&y - (z * (1.0 - self.beta1))?)? * (1.0 / self.beta1))?;
                    var.set(&x)?;
                    held.push(y);
                }
                self.held = Some(held);
            }
            (View::Train, Some(held)) => {
                for (var, y) in vars.iter().zip(held) {
                    var.set(&y)?;
                }
            }
            (_, held) => self.held = held,
        }
        Ok(())
    }

    fn state(&self) -> Result<Option<Vec<Tensor>>> {
        let mut state = self.all.state()?.unwrap_or_default();
        state.push(Tensor::new(&[self.all.rule.squares], &Device::Cpu)?);
        Ok(Some(state))
    }

    fn restore(&mut self, state: &[Tensor], steps: u64) -> Result<()> {
        let (squares, rest) = state.split_last().ok_or_else(|| {
            Error::internal("a checkpoint holds too little of the optimizer's state")
        })?;
        self.all.rule.squares = squares.to_vec1::<f64>()?[0];
        self.all.restore(rest, steps)
    }
}

struct Coefficients {
    beta2: f32,
    root2: f32,
    eps: f32,
    decay: f32,
    share: f32,
    /// lr (b1 (1 - c) - 1)
    into_y: f32,
    lr: f32,
    scale: f32,
}

impl Rule<2> for Averaging {
    type Coefficients = Coefficients;

    fn starts_as_weights(stream: usize) -> bool {
        stream == Z
    }

    fn coefficients(&self, of: &Of, step: u64, now: &Now) -> Coefficients {
        let Plan {
            beta1,
            beta2,
            eps,
            weight_decay,
            ..
        } = self.plan;
        let lr = now.lr * of.lr;
        let step = i32::try_from(step).unwrap_or(i32::MAX);
        Coefficients {
            beta2: beta2 as f32,
            root2: (1.0 - beta2.powi(step)).sqrt() as f32,
            eps: (eps * of.eps) as f32,
            decay: (weight_decay * of.decay) as f32,
            share: self.share as f32,
            into_y: (lr * (beta1 * (1.0 - self.share) - 1.0)) as f32,
            lr: lr as f32,
            scale: now.scale as f32,
        }
    }

    fn numbers(with: &Coefficients, y: &mut [f32], g: &[f32], [z, v]: [&mut [f32]; 2]) {
        for (((y, g), z), v) in y.iter_mut().zip(g).zip(z).zip(v) {
            let g = g * with.scale;
            *v = with.beta2 * *v + (1.0 - with.beta2) * g * g;
            let update = g / (v.sqrt() / with.root2 + with.eps) + with.decay * *y;
            *y = *y + with.share * (*z - *y) + with.into_y * update;
            *z -= with.lr * update;
        }
    }

    fn tensors(
        with: &Coefficients,
        y: &Tensor,
        g: &Tensor,
        [z, v]: [&Tensor; 2],
    ) -> candle_core::Result<(Tensor, [Tensor; 2])> {
        let g = (g * f64::from(with.scale))?;
        let v = ((v * f64::from(with.beta2))? + (g.sqr()? * f64::from(1.0 - with.beta2))?)?;
        let root = ((v.sqrt()? * f64::from(1.0 / with.root2))? + f64::from(with.eps))?;
        let update = ((g / root)? + (y * f64::from(with.decay))?)?;
        let toward = ((z - y)? * f64::from(with.share))?;
        let y = ((y + toward)? + (&update * f64::from(with.into_y))?)?;
        let z = (z - (update * f64::from(with.lr))?)?;
        Ok((y, [z, v]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Declare, Init, Role};

    const PLAN: Plan = Plan {
        lr: 0.1,
        beta1: 0.9,
        beta2: 0.95,
        eps: 1e-8,
        weight_decay: 0.2,
    };
    const ALL: Of = Of {
        lr: 1.0,
        eps: 1.0,
        decay: 1.0,
        vector: false,
    };

    fn now(step: u64) -> Now {
        Now {
            step,
            steps: 10,
            // A warm-up, so that shares are no plain 1/t.
            lr: 0.1 * (step + 1).min(4) as f64 / 4.0,
            scale: 0.5,
        }
    }

    fn gradient(y: f64, step: u64) -> f64 {
        y - 3.0 + (step as f64).sin()
    }

    /// The paper's algorithm 1 as it is written, with z and x kept, in f64.
    fn as_published(start: f64, steps: u64) -> (f64, f64) {
        let (mut z, mut x, mut v, mut squares) = (start, start, 0.0, 0.0);
        for step in 0..steps {
            let (Now { lr, scale, .. }, y) = (now(step), 0.1 * z + 0.9 * x);
            let g = gradient(y, step) * scale;
            v = 0.95 * v + 0.05 * g * g;
            let root: f64 = v / (1.0 - 0.95_f64.powi(step as i32 + 1));
            z -= lr * (g / (root.sqrt() + 1e-8) + 0.2 * y);
            squares += lr * lr;
            let share = lr * lr / squares;
            x = (1.0 - share) * x + share * z;
        }
        (0.1 * z + 0.9 * x, x)
    }

    #[test]
    fn both_forms_are_the_published_algorithm() {
        let tensor = |x: f64| Tensor::new(&[x as f32], &Device::Cpu).unwrap();
        let number = |x: &Tensor| x.to_vec1::<f32>().unwrap()[0];
        let mut rule = Averaging {
            plan: PLAN,
            squares: 0.0,
            share: 0.0,
        };
        let (mut y, mut z, mut v) = ([2.0_f32], [2.0_f32], [0.0_f32]);
        let mut all = [tensor(2.0), tensor(2.0), tensor(0.0)];
        for step in 0..10 {
            rule.advance(now(step).lr);
            let with = rule.coefficients(&ALL, step + 1, &now(step));
            let g = gradient(f64::from(number(&all[0])), step);
            let (after, [next_z, next_v]) =
                Averaging::tensors(&with, &all[0], &tensor(g), [&all[1], &all[2]]).unwrap();
            all = [after, next_z, next_v];
            let g = gradient(f64::from(y[0]), step) as f32;
            Averaging::numbers(&with, &mut y, &[g], [&mut z, &mut v]);
        }
        let (expected, x) = as_published(2.0, 10);
        let seen = (f64::from(y[0]), f64::from(y[0] - 0.1 * z[0]) / 0.9);
        assert!((seen.0 - expected).abs() < 1e-5, "{seen:?} {expected}");
        assert!((seen.1 - x).abs() < 1e-5, "{seen:?} {x}");
        assert!((f64::from(number(&all[0])) - expected).abs() < 1e-5);
    }

    /// Between steps a look shows x and not y, and leaves y where it was.
    #[test]
    fn a_look_shows_the_published_average() {
        let mut declare = Declare::default();
        declare.param("w", &[1, 1], Role::Matrix, Init::Zeros);
        let decls = declare.finish();
        let mut optimizer = PLAN.start(&decls, &Device::Cpu, DType::F32).unwrap();
        let vars = [Var::new(&[[2.0_f32]], &Device::Cpu).unwrap()];
        let at = |vars: &[Var]| f64::from(vars[0].to_vec2::<f32>().unwrap()[0][0]);
        for step in 0..10 {
            let grad = Tensor::new(&[[gradient(at(&vars), step) as f32]], &Device::Cpu).unwrap();
            optimizer.step(&vars, &[grad], &now(step)).unwrap();
        }
        let (y, x) = as_published(2.0, 10);
        optimizer.view(&vars, View::Evaluate).unwrap();
        assert!((at(&vars) - x).abs() < 1e-5, "{} {x}", at(&vars));
        optimizer.view(&vars, View::Train).unwrap();
        assert!((at(&vars) - y).abs() < 1e-5, "{} {y}", at(&vars));
    }
}
