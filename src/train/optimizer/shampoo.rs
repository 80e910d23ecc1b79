//! Shampoo (Gupta et al. 2018, arXiv 1802.09568, algorithm 1) with running means (Shi et al. 2023, arXiv 2309.06497): of a matrix's
//! gradients G it keeps the means L of G G^T and R of G^T G; an update is L^-1/4 M R^-1/4 of the mean M of gradients, all means
//! corrected for their start. Roots are renewed every few updates, from eigenvalues of which none is taken to be below a share of the
//! largest.
//!
//! A dimension beyond `widest` has no root, and the other's is then L^-1/2, so that both forms have one size.
//!
//! Of a single gradient the update is its polar factor, so that it has Muon's size, and the same factor 0.2 sqrt(max(m, n)) puts its
//! learning rate on AdamW's scale. Nothing is grafted, but an update of a larger norm than a polar factor's is brought to that: where
//! roots are of some updates ago, a direction that is new since is made as much larger as the least eigenvalue is small.
//! It moves the matrices inside blocks; the rest is AdamW's.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor, Var};

use super::adamw::{self, AdamW, FLOPS_PER_SCALAR};
use super::each::{Each, Mover, Movers, blend, join, matrices, split};
use super::muon::moonlight;
use super::{Optimizer, OptimizerKind, OptimizerPlan};
use crate::config::knob::{Number, Whole};
use crate::config::{Declarations, Knob, Knobs, Named};
use crate::error::Result;
use crate::model::{Decl, Factors};
use crate::ops::{eigen, eigen_flops, matmul};

const MATRIX_BETA: Knob<Number> = Knob::number(
    "matrix_beta",
    "Decay of the running means of a gradient's products with itself, per step.",
)
.within(0.0, 0.999_999)
.default(0.95);
const EVERY: Knob<Whole> =
    Knob::count("every", "Updates after which roots are renewed.").default(5);
const FLOOR: Knob<Number> = Knob::number(
    "floor",
    "What is added to eigenvalues before roots are taken, as a share of the largest.",
)
.within(0.0, 1.0)
.default(1e-6);

const WIDEST: Knob<Whole> = Knob::count(
    "widest",
    "The largest dimension of a matrix that has a root of its own; a larger one has none.",
)
.default(10_000);

/// Row of the catalog.
pub struct Kind;

impl Named for Kind {
    fn name(&self) -> &'static str {
        "shampoo"
    }
    fn about(&self) -> &'static str {
        "a gradient's mean between fourth roots of its products with itself on the blocks' matrices, AdamW elsewhere (Gupta et al. 2018)"
    }
    fn knobs(&self) -> Declarations {
        &[
            &adamw::LR,
            &MATRIX_BETA,
            &EVERY,
            &FLOOR,
            &WIDEST,
            &adamw::BETA1,
            &adamw::BETA2,
            &adamw::EPS,
            &adamw::WEIGHT_DECAY,
        ]
    }
}

impl OptimizerKind for Kind {
    fn settle(&self, knobs: &Knobs) -> Result<Arc<dyn OptimizerPlan>> {
        Ok(Arc::new(Shampoo {
            rest: AdamW::settle(knobs)?,
            matrix_beta: knobs.read(&MATRIX_BETA)?,
            every: knobs.read(&EVERY)? as u64,
            floor: Floor {
                share: knobs.read(&FLOOR)?,
                least: 0.0,
            },
            widest: knobs.read(&WIDEST)?,
            bounded: true,
            size: moonlight,
        }))
    }
}

/// What is added to eigenvalues.
#[derive(Debug, Clone, Copy)]
pub(super) struct Floor {
    /// Of the largest.
    pub share: f64,
    /// Beside that.
    pub least: f64,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Shampoo {
    /// Its beta1 is the mean of gradients' too.
    pub rest: AdamW,
    pub matrix_beta: f64,
    pub every: u64,
    pub floor: Floor,
    pub widest: usize,
    /// Whether an update's norm is at most that of a polar factor.
    pub bounded: bool,
    /// What an update of a matrix of that size is multiplied by.
    pub size: fn((usize, usize)) -> f64,
}

impl OptimizerPlan for Shampoo {
    fn lr(&self) -> f64 {
        self.rest.lr()
    }

    fn flops_per_step(&self, decls: &[Decl]) -> f64 {
        let part = |(rows, columns): (usize, usize)| {
            let numbers = (rows * columns) as f64;
            let side = |n: usize| {
                if n > self.widest {
                    return 0.0;
                }
                let size = n as f64;
                let root = eigen_flops(n) + 2.0 * size.powi(3) + size * size;
                4.0 * size * numbers + 3.0 * size * size + root / self.every as f64
            };
            side(rows) + side(columns) + 12.0 * numbers
        };
        let one = |decl: &Decl| match matrices(decl) {
            Some(parts) => parts.into_iter().map(part).sum(),
            None => FLOPS_PER_SCALAR * decl.count() as f64,
        };
        decls.iter().map(one).sum()
    }

    fn state_scalars(&self, decls: &[Decl]) -> u64 {
        let square = |n: usize| 2 * (n * n * usize::from(n <= self.widest)) as u64;
        let one = |decl: &Decl| match matrices(decl) {
            Some(parts) => {
                let sides = parts.into_iter().map(|(m, n)| square(m) + square(n));
                decl.count() + sides.sum::<u64>()
            }
            None => 2 * decl.count(),
        };
        decls.iter().map(one).sum()
    }

    fn start(
        &self,
        decls: &[Decl],
        device: &Device,
        _products: DType,
    ) -> Result<Box<dyn Optimizer>> {
        let one = |decl: &Decl| {
            Ok(match matrices(decl) {
                Some(parts) => {
                    let factors = decl.orthogonal();
                    let mover = Rooted::start(*self, factors, &parts, (DType::F32, device))?;
                    Each::Own(Box::new(mover))
                }
                None => Each::AdamW(Box::new(self.rest.moments(decl, device)?)),
            })
        };
        Ok(Box::new(Movers::new(
            decls.iter().map(one).collect::<Result<_>>()?,
        )))
    }
}

/// A dimension of a matrix with a root of its own.
struct Side {
    /// L, or R.
    gram: Var,
    root: Var,
}

/// One matrix.
struct Matrix {
    mean: Var,
    sides: [Option<Side>; 2],
}

/// How a parameter moves.
pub(super) struct Rooted {
    plan: Shampoo,
    factors: Factors,
    parts: Vec<(usize, usize)>,
    matrices: Vec<Matrix>,
}

impl Rooted {
    /// At rest, for matrices of these sizes below each other; of that type, there.
    pub fn start(
        plan: Shampoo,
        factors: Factors,
        parts: &[(usize, usize)],
        (dtype, device): (DType, &Device),
    ) -> Result<Self> {
        let zeros = |rows: usize, columns: usize| Var::zeros((rows, columns), dtype, device);
        let side = |n: usize| -> Result<Option<Side>> {
            if n > plan.widest {
                return Ok(None);
            }
            let (gram, root) = (zeros(n, n)?, zeros(n, n)?);
            Ok(Some(Side { gram, root }))
        };
        let matrix = |&(rows, columns): &(usize, usize)| -> Result<Matrix> {
            Ok(Matrix {
                mean: zeros(rows, columns)?,
                sides: [side(rows)?, side(columns)?],
            })
        };
        Ok(Self {
            plan,
            factors,
            matrices: parts.iter().map(matrix).collect::<Result<_>>()?,
            parts: parts.to_vec(),
        })
    }
}

impl Matrix {
    /// What the matrix moves by per unit of learning rate, but for its size.
    fn update(&self, plan: &Shampoo, grad: &Tensor, number: u64) -> Result<Tensor> {
        let (beta, count) = (plan.matrix_beta, i32::try_from(number).unwrap_or(i32::MAX));
        let [left, right] = &self.sides;
        if let Some(side) = left {
            blend(&side.gram, beta, &matmul(grad, &grad.t()?)?)?;
        }
        if let Some(side) = right {
            blend(&side.gram, beta, &matmul(&grad.t()?, grad)?)?;
        }
        blend(&self.mean, plan.rest.beta1, grad)?;
        if (number - 1).is_multiple_of(plan.every) {
            self.renew(plan, 1.0 / (1.0 - beta.powi(count)))?;
        }
        let mean = self.mean.as_detached_tensor();
        let mut update = (mean * (1.0 / (1.0 - plan.rest.beta1.powi(count))))?;
        if let Some(side) = left {
            update = matmul(&side.root.as_detached_tensor(), &update)?;
        }
        if let Some(side) = right {
            update = matmul(&update, &side.root.as_detached_tensor())?;
        }
        Ok(update)
    }

    /// New roots, of means that are multiplied by `correct` first.
    fn renew(&self, plan: &Shampoo, correct: f64) -> Result<()> {
        let power = -0.5 / self.sides.iter().flatten().count() as f64;
        for side in self.sides.iter().flatten() {
            let gram = (side.gram.as_detached_tensor() * correct)?;
            side.root.set(&root(&gram, power, plan.floor)?)?;
        }
        Ok(())
    }
}

/// A negative power of a symmetric matrix without negative eigenvalues; zero for zero.
fn root(matrix: &Tensor, power: f64, floor: Floor) -> Result<Tensor> {
    let (values, vectors) = eigen(matrix)?;
    let values: Vec<f64> = values.to_dtype(DType::F64)?.to_vec1()?;
    let ridge = floor.share * values.first().copied().unwrap_or(0.0) + floor.least;
    let powered = |value: &f64| {
        let above = value.max(0.0) + ridge;
        if above > 0.0 { above.powf(power) } else { 0.0 }
    };
    let roots: Vec<f64> = values.iter().map(powered).collect();
    let roots = Tensor::from_vec(roots, values.len(), &Device::Cpu)?;
    let roots = roots.to_dtype(matrix.dtype())?.to_device(matrix.device())?;
    Ok(matmul(&vectors.broadcast_mul(&roots)?, &vectors.t()?)?)
}

impl Mover for Rooted {
    fn step(&mut self, var: &Var, grad: &Tensor, lr: f64, number: u64) -> Result<()> {
        let plan = &self.plan;
        let mut updates = Vec::with_capacity(self.parts.len());
        let grads = split(grad, &self.parts)?;
        for ((matrix, grad), part) in self.matrices.iter().zip(&grads).zip(&self.parts) {
            let mut update = matrix.update(plan, grad, number)?;
            if plan.bounded {
                let most = (part.0.min(part.1) as f64).sqrt();
                let excess = (update.sqr()?.sum_all()?.sqrt()? * (1.0 / most))?;
                update = update.broadcast_div(&excess.maximum(1.0)?)?;
            }
            updates.push((update * (plan.size)(*part))?);
        }
        let lr = lr * self.factors.lr;
        let kept = 1.0 - lr * plan.rest.weight_decay * self.factors.decay;
        let kept = (var.as_detached_tensor() * kept)?;
        Ok(var.set(&(kept - (join(&updates, var.dims())? * lr)?)?)?)
    }

    fn held(&self) -> Vec<&Var> {
        let mut held = Vec::new();
        for matrix in &self.matrices {
            held.push(&matrix.mean);
            for side in matrix.sides.iter().flatten() {
                held.extend([&side.gram, &side.root]);
            }
        }
        held
    }
}
