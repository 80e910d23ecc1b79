//! Faulty optimizers and schedules.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor, Var};
use effbench::config::{Declarations, Knobs, Named};
use effbench::error::Result;
use effbench::law;
use effbench::model::Decl;
use effbench::train::{Now, Optimizer, OptimizerKind, OptimizerPlan, Schedule, ScheduleKind, View};
use effbench::trial::Registry;

use crate::caught;

const NAME: &str = "faulty";

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    None,
    HalfItsState,
    NoWork,
    ClimbsUp,
    IgnoresClipping,
    MovesAlways,
    IgnoresRoles,
    ForgetsItsSteps,
    HidesItsState,
    LosesItsPlace,
}

struct Faulty(Fault);

impl Named for Faulty {
    fn name(&self) -> &'static str {
        NAME
    }
    fn about(&self) -> &'static str {
        "AdamW with one thing wrong"
    }
    fn knobs(&self) -> Declarations {
        let optimizers = Registry::builtin().optimizers;
        optimizers.find("adamw").expect("it ships").knobs()
    }
}

struct Plan {
    fault: Fault,
    inner: Arc<dyn OptimizerPlan>,
}

impl OptimizerKind for Faulty {
    fn settle(&self, knobs: &Knobs) -> Result<Arc<dyn OptimizerPlan>> {
        let kinds = Registry::builtin().optimizers;
        let adamw = kinds.find("adamw").expect("it ships").clone();
        Ok(Arc::new(Plan {
            fault: self.0,
            inner: adamw.settle(knobs)?,
        }))
    }
}

impl OptimizerPlan for Plan {
    fn lr(&self) -> f64 {
        self.inner.lr()
    }

    fn flops_per_step(&self, decls: &[Decl]) -> f64 {
        match self.fault {
            Fault::NoWork => 0.0,
            _ => self.inner.flops_per_step(decls),
        }
    }

    fn state_scalars(&self, decls: &[Decl]) -> u64 {
        match self.fault {
            Fault::HalfItsState => self.inner.state_scalars(decls) / 2,
            _ => self.inner.state_scalars(decls),
        }
    }

    fn start(
        &self,
        decls: &[Decl],
        device: &Device,
        products: DType,
    ) -> Result<Box<dyn Optimizer>> {
        let mut decls = decls.to_vec();
        if self.fault == Fault::IgnoresRoles {
            decls.iter_mut().for_each(|decl| decl.lr_scale = 1.0);
        }
        Ok(Box::new(Wrong {
            fault: self.fault,
            inner: self.inner.start(&decls, device, products)?,
        }))
    }
}

struct Wrong {
    fault: Fault,
    inner: Box<dyn Optimizer>,
}

impl Optimizer for Wrong {
    fn step(&mut self, vars: &[Var], grads: &[Tensor], now: &Now) -> Result<()> {
        let Now { lr, scale, .. } = *now;
        let (lr, scale) = match self.fault {
            Fault::ClimbsUp => (-lr, scale),
            Fault::IgnoresClipping => (lr, 1.0 + 0.0 * scale),
            Fault::MovesAlways => (lr + 1e-5, scale),
            _ => (lr, scale),
        };
        let now = Now { lr, scale, ..*now };
        self.inner.step(vars, grads, &now)
    }

    fn view(&mut self, vars: &[Var], view: View) -> Result<()> {
        if self.fault == Fault::LosesItsPlace {
            let moved = (vars[0].as_detached_tensor() + 1.0)?;
            vars[0].set(&moved)?;
        }
        self.inner.view(vars, view)
    }

    fn state(&self) -> Result<Option<Vec<Tensor>>> {
        match self.fault {
            Fault::HidesItsState => Ok(None),
            _ => self.inner.state(),
        }
    }

    fn restore(&mut self, state: &[Tensor], steps: u64) -> Result<()> {
        let forgets = self.fault == Fault::ForgetsItsSteps;
        self.inner.restore(state, if forgets { 0 } else { steps })
    }
}

#[test]
fn faulty_optimizers() {
    let check = |fault: Fault, by: &[&str]| {
        let broken = law::optimizer(&Registry::builtin().optimizer(Faulty(fault)), NAME);
        caught(&format!("{fault:?}"), &broken, by);
    };
    check(Fault::None, &[]);
    check(Fault::HalfItsState, &["state is what is held"]);
    check(Fault::NoWork, &["work is at least its products"]);
    check(Fault::LosesItsPlace, &["a look changes nothing"]);
    check(Fault::ClimbsUp, &["a step goes down a slope"]);
    check(
        Fault::IgnoresClipping,
        &["clipping is part of the gradient"],
    );
    check(Fault::MovesAlways, &["a rate of 0 moves nothing"]);
    check(Fault::IgnoresRoles, &["a role's rate moves its role alone"]);
    check(Fault::ForgetsItsSteps, &["a resumed run is the same run"]);
    check(
        Fault::HidesItsState,
        &["state is what is held", "a resumed run is the same run"],
    );
}

/// A schedule that is a function.
struct Function(fn(f64, f64) -> f64);

impl Named for Function {
    fn name(&self) -> &'static str {
        NAME
    }
    fn about(&self) -> &'static str {
        "a function of step and steps"
    }
}

impl ScheduleKind for Function {
    fn settle(&self, _knobs: &Knobs) -> Result<Arc<dyn Schedule>> {
        Ok(Arc::new(Function(self.0)))
    }
}

impl Schedule for Function {
    fn factor(&self, step: u64, steps: u64) -> f64 {
        self.0(step as f64, steps as f64)
    }
}

#[test]
fn faulty_schedules() {
    const WITHIN: &str = "a factor is within 0 and 1";
    const SHAPE: &str = "the rate rises, then falls";
    const FULL: &str = "the full rate is reached";
    let check = |fault: &str, factor: fn(f64, f64) -> f64, by: &[&str]| {
        let broken = law::schedule(&Registry::builtin().schedule(Function(factor)), NAME);
        caught(fault, &broken, by);
    };
    check("none", |step, steps| (1.0 - step / steps).max(0.0), &[]);
    check("above 1", |_, _| 1.5, &[WITHIN]);
    check("below 0", |step, steps| 1.0 - step / steps, &[WITHIN]);
    check(
        "no number of one step",
        |step, steps| 1.0 - (step / (steps - 1.0)).clamp(0.0, 1.0),
        &[WITHIN],
    );
    check(
        "begins again",
        |step, _| 1.0 - (step % 50.0) / 50.0,
        &[SHAPE],
    );
    check("never full", |_, _| 0.9, &[FULL]);
}
