//! Muon (Jordan et al. 2024): momentum, then the nearest semi-orthogonal matrix by a few iterations, scaled by 0.2 sqrt(max(m, n)) so
//! that its entries are as large as AdamW's and both share one learning rate (Moonlight, Liu et al. 2025, eq. 4).
//! It moves the matrices inside blocks; embeddings, head, gains and biases are AdamW's.
//!
//! NorMuon (Li et al. 2025, arXiv 2510.05491, algorithm 1) then divides each row, which is a neuron's weights, by the root of a running
//! mean of its squares, and brings the matrix back to the norm that it had.

use std::sync::Arc;

use candle_core::{D, DType, Device, Tensor, Var};

use super::adamw::{self, AdamW, FLOPS_PER_SCALAR, Moments};
use super::each::{blend, join, matrices, split};
use super::orthogonal::{Iteration, orthogonalise_all};
use super::{Now, Optimizer, OptimizerKind, OptimizerPlan, take};
use crate::config::knob::{Flag, Number, Whole, Word};
use crate::config::{Declarations, Knob, Knobs, Named};
use crate::error::Result;
use crate::model::{Decl, Factors};

const MOMENTUM: Knob<Number> = Knob::number(
    "momentum",
    "Share of the last steps' direction that a matrix's update keeps.",
)
.within(0.0, 0.999_999)
.default(0.95);
const NEWTON_SCHULZ: &str = "newton-schulz";
const POLAR_EXPRESS: &str = "polar-express";
const ITERATION: Knob<Word> = Knob::word(
    "iteration",
    "What makes an update nearly orthogonal: one polynomial again and again, or the best for each turn (Amsel et al. 2025).",
    &[NEWTON_SCHULZ, POLAR_EXPRESS],
)
.default(NEWTON_SCHULZ);
const ITERATIONS: Knob<Whole> = Knob::count(
    "iterations",
    "Iterations that make an update nearly orthogonal.",
)
.default(5);
const CAUTIOUS: Knob<Flag> = Knob::flag(
    "cautious",
    "Whether a matrix's weight decays only where its update makes it smaller too.",
)
.default(false);
const ROW_BETA: Knob<Number> = Knob::number(
    "row_beta",
    "Decay of the running mean of a row's squares in the orthogonal update, per step.",
)
.within(0.0, 0.999_999)
.default(0.95);

/// Rows of the catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// As it is.
    Muon,
    /// With rows of one size.
    NorMuon,
}

impl Named for Kind {
    fn name(&self) -> &'static str {
        match self {
            Kind::Muon => "muon",
            Kind::NorMuon => "normuon",
        }
    }

    fn about(&self) -> &'static str {
        match self {
            Kind::Muon => {
                "momentum orthogonalised by Newton-Schulz on the blocks' matrices, AdamW elsewhere (Jordan et al. 2024, Liu et al. 2025)"
            }
            Kind::NorMuon => {
                "Muon whose rows are brought to one size by a running mean of their squares (Li et al. 2025)"
            }
        }
    }

    fn knobs(&self) -> Declarations {
        match self {
            Kind::Muon => &[
                &adamw::LR,
                &MOMENTUM,
                &ITERATION,
                &ITERATIONS,
                &CAUTIOUS,
                &adamw::BETA1,
                &adamw::BETA2,
                &adamw::EPS,
                &adamw::WEIGHT_DECAY,
            ],
            Kind::NorMuon => &[
                &adamw::LR,
                &MOMENTUM,
                &ROW_BETA,
                &ITERATION,
                &ITERATIONS,
                &CAUTIOUS,
                &adamw::BETA1,
                &adamw::BETA2,
                &adamw::EPS,
                &adamw::WEIGHT_DECAY,
            ],
        }
    }
}

impl OptimizerKind for Kind {
    fn settle(&self, knobs: &Knobs) -> Result<Arc<dyn OptimizerPlan>> {
        let iteration = if knobs.read(&ITERATION)? == POLAR_EXPRESS {
            Iteration::PolarExpress
        } else {
            Iteration::NewtonSchulz
        };
        Ok(Arc::new(Muon {
            adamw: AdamW::settle(knobs)?,
            momentum: knobs.read(&MOMENTUM)?,
            how: (iteration, knobs.read(&ITERATIONS)?),
            cautious: knobs.read(&CAUTIOUS)?,
            row_beta: match self {
                Kind::Muon => None,
                Kind::NorMuon => Some(knobs.read(&ROW_BETA)?),
            },
        }))
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Muon {
    pub adamw: AdamW,
    pub momentum: f64,
    pub how: (Iteration, usize),
    /// Whether decay asks the update.
    pub cautious: bool,
    /// Decay of the mean of a row's squares, where rows are brought to one size.
    pub row_beta: Option<f64>,
}

impl OptimizerPlan for Muon {
    fn lr(&self) -> f64 {
        self.adamw.lr()
    }

    fn flops_per_step(&self, decls: &[Decl]) -> f64 {
        let per_iteration = |&(rows, columns): &(usize, usize)| {
            let (m, n) = (rows.min(columns) as f64, rows.max(columns) as f64);
            4.0 * m * m * n + 2.0 * m * m * m + 3.0 * m * m + 2.0 * m * n
        };
        // Clipping, momentum, Nesterov, scale and the update itself are 9 operations a scalar; rows' squares and norms 7.
        let per_scalar = 9.0
            + if self.cautious { 3.0 } else { 0.0 }
            + if self.row_beta.is_some() { 7.0 } else { 0.0 };
        let one = |decl: &Decl| match matrices(decl) {
            Some(parts) => {
                per_scalar * decl.count() as f64
                    + self.how.1 as f64 * parts.iter().map(per_iteration).sum::<f64>()
            }
            None => FLOPS_PER_SCALAR * decl.count() as f64,
        };
        decls.iter().map(one).sum()
    }

    fn state_scalars(&self, decls: &[Decl]) -> u64 {
        let one = |decl: &Decl| match (matrices(decl), self.row_beta) {
            (None, _) => 2 * decl.count(),
            (Some(_), None) => decl.count(),
            (Some(_), Some(_)) => decl.count() + decl.shape[0] as u64,
        };
        decls.iter().map(one).sum()
    }

    fn start(
        &self,
        decls: &[Decl],
        device: &Device,
        products: DType,
    ) -> Result<Box<dyn Optimizer>> {
        let one = |decl: &Decl| {
            Ok(match matrices(decl) {
                Some(parts) => Rule::Muon(Orthogonal::start(
                    self,
                    (parts, decl.orthogonal()),
                    (DType::F32, device),
                )?),
                None => Rule::AdamW(Box::new(self.adamw.moments(decl, device)?)),
            })
        };
        Ok(Box::new(State {
            plan: *self,
            products,
            rules: decls.iter().map(one).collect::<Result<_>>()?,
        }))
    }
}

/// How a parameter moves that Muon moves.
pub(super) struct Orthogonal {
    velocity: Var,
    /// Mean of each row's squares (rows, 1), of NorMuon.
    rows: Option<Var>,
    parts: Vec<(usize, usize)>,
    factors: Factors,
}

enum Rule {
    Muon(Orthogonal),
    AdamW(Box<Moments>),
}

struct State {
    plan: Muon,
    products: DType,
    rules: Vec<Rule>,
}

impl Optimizer for State {
    fn step(&mut self, vars: &[Var], grads: &[Tensor], now: &Now) -> Result<()> {
        let Now { lr, scale, .. } = *now;
        let mut matrices = Vec::new();
        for ((rule, var), grad) in self.rules.iter_mut().zip(vars).zip(grads) {
            match rule {
                Rule::AdamW(moments) => moments.step(var, grad, lr, scale)?,
                Rule::Muon(own) => matrices.extend(own.nesterov(&self.plan, grad, scale)?),
            }
        }
        let mut updates = orthogonalise_all(matrices, self.plan.how, self.products)?.into_iter();
        for (rule, var) in self.rules.iter().zip(vars) {
            if let Rule::Muon(own) = rule {
                let updates = updates.by_ref().take(own.parts.len()).collect();
                own.apply(&self.plan, updates, var, (lr, moonlight))?;
            }
        }
        Ok(())
    }

    fn state(&self) -> Result<Option<Vec<Tensor>>> {
        let mut state = Vec::new();
        for rule in &self.rules {
            match rule {
                Rule::AdamW(moments) => state.extend(moments.state()?),
                Rule::Muon(own) => {
                    state.push(own.velocity.copy()?);
                    if let Some(rows) = &own.rows {
                        state.push(rows.copy()?);
                    }
                }
            }
        }
        Ok(Some(state))
    }

    fn restore(&mut self, state: &[Tensor], steps: u64) -> Result<()> {
        let mut state = state.iter();
        for rule in &mut self.rules {
            match rule {
                Rule::AdamW(moments) => moments.restore(take(&mut state)?, steps)?,
                Rule::Muon(own) => {
                    for var in std::iter::once(&own.velocity).chain(&own.rows) {
                        let [given] = take(&mut state)?;
                        var.set(given)?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// What makes the entries of an orthogonal matrix of that size as large as AdamW's (Moonlight, eq. 4).
pub(super) fn moonlight((rows, columns): (usize, usize)) -> f64 {
    0.2 * (rows.max(columns) as f64).sqrt()
}

impl Orthogonal {
    /// At rest, for matrices of these sizes below each other; of that type, there.
    pub fn start(
        plan: &Muon,
        (parts, factors): (Vec<(usize, usize)>, Factors),
        (dtype, device): (DType, &Device),
    ) -> Result<Self> {
        let rows: usize = parts.iter().map(|(rows, _)| rows).sum();
        let columns = parts.first().map_or(0, |(_, columns)| *columns);
        let zeros = |shape: (usize, usize)| Var::zeros(shape, dtype, device);
        let of_rows = plan.row_beta.map(|_| zeros((rows, 1)));
        Ok(Self {
            velocity: zeros((rows, columns))?,
            rows: of_rows.transpose()?,
            parts,
            factors,
        })
    }

    /// The next direction of a parameter, as the matrices stacked in it.
    pub fn nesterov(&self, plan: &Muon, grad: &Tensor, scale: f64) -> Result<Vec<Tensor>> {
        let grad = (grad * scale)?;
        let velocity = &self.velocity;
        velocity.set(&((velocity.as_detached_tensor() * plan.momentum)? + &grad)?)?;
        let nesterov = (grad + (velocity.as_detached_tensor() * plan.momentum)?)?;
        split(&nesterov, &self.parts)
    }

    /// Moves a parameter by what its matrices became, each as large as `size` says.
    pub fn apply(
        &self,
        plan: &Muon,
        mut updates: Vec<Tensor>,
        var: &Var,
        (lr, size): (f64, fn((usize, usize)) -> f64),
    ) -> Result<()> {
        if let (Some(beta), Some(rows)) = (plan.row_beta, &self.rows) {
            updates = self.even(updates, beta, rows)?;
        }
        for (update, part) in updates.iter_mut().zip(&self.parts) {
            *update = (&*update * size(*part))?;
        }
        let update = join(&updates, var.dims())?;
        let lr = lr * self.factors.lr;
        let decay = lr * plan.adamw.weight_decay() * self.factors.decay;
        let w = var.as_detached_tensor();
        let kept = if plan.cautious {
            let shrinks = (&w * &update)?.ge(0.0)?.to_dtype(w.dtype())?;
            (&w - ((&w * shrinks)? * decay)?)?
        } else {
            (w * (1.0 - decay))?
        };
        Ok(var.set(&(kept - (update * lr)?)?)?)
    }

    /// The matrices with rows of one size in the mean over updates, each with the norm that it had.
    fn even(&self, updates: Vec<Tensor>, beta: f64, rows: &Var) -> Result<Vec<Tensor>> {
        let squares = |x: &Tensor| x.sqr()?.mean_keepdim(D::Minus1);
        let means = updates
            .iter()
            .map(squares)
            .collect::<candle_core::Result<Vec<_>>>()?;
        blend(rows, beta, &Tensor::cat(&means, 0)?)?;
        let norm = |x: &Tensor| x.sqr()?.sum_all()?.sqrt();
        let mut row = 0;
        let one = |update: Tensor| {
            let count = update.dim(0)?;
            let root = rows.as_detached_tensor().narrow(0, row, count)?.sqrt()?;
            row += count;
            let even = update.broadcast_div(&(root + 1e-10)?)?;
            let back = (norm(&update)? / (norm(&even)? + 1e-10)?)?;
            Ok(even.broadcast_mul(&back)?)
        };
        updates.into_iter().map(one).collect()
    }
}
