//! SGD with heavy-ball momentum (Polyak 1964): m = momentum m + g, w -= lr (m + decay w).

use std::sync::Arc;

use candle_core::{DType, Device, Tensor, Var};

use super::{Now, Optimizer, OptimizerKind, OptimizerPlan, take};
use crate::config::knob::Number;
use crate::config::{Declarations, Knob, Knobs, Named};
use crate::error::Result;
use crate::model::Decl;

const LR: Knob<Number> = Knob::number("lr", "Learning rate at the schedule's peak.")
    .above(0.0)
    .default(0.1);
const MOMENTUM: Knob<Number> = Knob::number(
    "momentum",
    "Share of the last steps' direction that an update keeps; 0 is plain gradient descent.",
)
.within(0.0, 0.999_999)
.default(0.9);
const WEIGHT_DECAY: Knob<Number> = super::adamw::WEIGHT_DECAY.default(0.0);

/// Row of the catalog.
pub struct Kind;

impl Named for Kind {
    fn name(&self) -> &'static str {
        "sgd"
    }
    fn about(&self) -> &'static str {
        "stochastic gradient descent with heavy-ball momentum (Polyak 1964) and decoupled weight decay"
    }
    fn knobs(&self) -> Declarations {
        &[&LR, &MOMENTUM, &WEIGHT_DECAY]
    }
}

#[derive(Debug, Clone, Copy)]
struct Sgd {
    lr: f64,
    momentum: f64,
    weight_decay: f64,
}

impl OptimizerKind for Kind {
    fn settle(&self, knobs: &Knobs) -> Result<Arc<dyn OptimizerPlan>> {
        Ok(Arc::new(Sgd {
            lr: knobs.read(&LR)?,
            momentum: knobs.read(&MOMENTUM)?,
            weight_decay: knobs.read(&WEIGHT_DECAY)?,
        }))
    }
}

impl OptimizerPlan for Sgd {
    fn lr(&self) -> f64 {
        self.lr
    }

    fn flops_per_step(&self, decls: &[Decl]) -> f64 {
        decls.iter().map(|decl| 6.0 * decl.count() as f64).sum()
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
        let zero = |decl: &Decl| Ok(Var::zeros(decl.shape.as_slice(), DType::F32, device)?);
        let factors = |decl: &Decl| {
            let factors = decl.proportional();
            (
                factors.lr,
                if decl.decays() {
                    self.weight_decay * factors.decay
                } else {
                    0.0
                },
            )
        };
        let velocity = decls.iter().map(zero).collect::<Result<_>>()?;
        Ok(Box::new(State {
            plan: *self,
            factors: decls.iter().map(factors).collect(),
            velocity,
        }))
    }
}

struct State {
    plan: Sgd,
    /// On the learning rate, and decay.
    factors: Vec<(f64, f64)>,
    velocity: Vec<Var>,
}

impl Optimizer for State {
    fn step(&mut self, vars: &[Var], grads: &[Tensor], now: &Now) -> Result<()> {
        let Now { lr, scale, .. } = *now;
        for (((var, grad), velocity), (factor, decay)) in vars
            .iter()
            .zip(grads)
            .zip(&self.velocity)
            .zip(&self.factors)
        {
            let lr = lr * factor;
            velocity
                .set(&((velocity.as_detached_tensor() * self.plan.momentum)? + (grad * scale)?)?)?;
            let kept = (var.as_detached_tensor() * (1.0 - lr * decay))?;
            var.set(&(kept - (velocity.as_detached_tensor() * lr)?)?)?;
        }
        Ok(())
    }

    fn state(&self) -> Result<Option<Vec<Tensor>>> {
        let copies = self.velocity.iter().map(|velocity| Ok(velocity.copy()?));
        copies.collect::<Result<_>>().map(Some)
    }

    fn restore(&mut self, state: &[Tensor], _steps: u64) -> Result<()> {
        let mut state = state.iter();
        for velocity in &self.velocity {
            let [given] = take(&mut state)?;
            velocity.set(given)?;
        }
        Ok(())
    }
}
