//! SOAP (Vyas et al. 2024, arXiv 2409.11321, algorithm 3): Adam in the eigenbasis of Shampoo's preconditioner. Of a matrix's gradients
//! G it keeps the running means L of G G^T and R of G^T G and orthonormal bases Q of theirs; an update is Adam's for Q_L^T G Q_R,
//! turned back. Every few updates each basis is renewed by one step of power iteration and a QR decomposition, its columns sorted by
//! their eigenvalues first, and the mean of gradients is turned into the new one. As in the authors' code the first gradient only
//! starts L, R and the bases, decay comes after the step, and a dimension beyond `widest` keeps its own axes.
//!
//! It moves the matrices inside blocks; embeddings, head, gains and biases are AdamW's, as with Muon.

use std::sync::Arc;

use candle_core::{D, DType, Device, Tensor, Var};

use super::adamw::{self, AdamW, FLOPS_PER_SCALAR};
use super::each::{Each, Mover, Movers, blend, join, matrices, split};
use super::{Optimizer, OptimizerKind, OptimizerPlan};
use crate::config::knob::{Number, Whole};
use crate::config::{Declarations, Knob, Knobs, Named};
use crate::error::Result;
use crate::model::{Decl, Factors};
use crate::ops::{eigen, matmul, orthonormal, orthonormal_flops};

const MATRIX_BETA1: Knob<Number> = Knob::number(
    "matrix_beta1",
    "Decay of the running mean of a matrix's gradients, per step.",
)
.within(0.0, 0.999_999)
.default(0.95);
const MATRIX_BETA2: Knob<Number> = Knob::number(
    "matrix_beta2",
    "Decay of the running means of a matrix's squared gradients, turned into its basis, and of their products with themselves, \
     per step.",
)
.within(0.0, 0.999_999)
.default(0.95);
const EVERY: Knob<Whole> = Knob::count(
    "every",
    "Updates after which the bases that it works in are renewed.",
)
.default(10);
const WIDEST: Knob<Whole> = Knob::count(
    "widest",
    "The largest dimension of a matrix that has a basis of its own; a larger one keeps its axes.",
)
.default(10_000);

/// Row of the catalog.
pub struct Kind;

impl Named for Kind {
    fn name(&self) -> &'static str {
        "soap"
    }
    fn about(&self) -> &'static str {
        "Adam in the slowly renewed eigenbasis of Shampoo on the blocks' matrices, AdamW elsewhere (Vyas et al. 2024)"
    }
    fn knobs(&self) -> Declarations {
        &[
            &adamw::LR,
            &MATRIX_BETA1,
            &MATRIX_BETA2,
            &EVERY,
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
        let rest = AdamW {
            lr: knobs.read(&adamw::LR)?,
            beta1: knobs.read(&adamw::BETA1)?,
            beta2: knobs.read(&adamw::BETA2)?,
            eps: knobs.read(&adamw::EPS)?,
            weight_decay: knobs.read(&adamw::WEIGHT_DECAY)?,
        };
        Ok(Arc::new(Soap {
            own: AdamW {
                beta1: knobs.read(&MATRIX_BETA1)?,
                beta2: knobs.read(&MATRIX_BETA2)?,
                ..rest
            },
            rest,
            every: knobs.read(&EVERY)? as u64,
            widest: knobs.read(&WIDEST)?,
        }))
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Soap {
    /// Of the matrices, in their bases.
    pub own: AdamW,
    /// Of all else.
    pub rest: AdamW,
    pub every: u64,
    pub widest: usize,
}

impl Soap {
    fn turns(&self, dimension: usize) -> bool {
        dimension <= self.widest
    }

    /// Of one matrix and update, the renewal of the bases by its share.
    fn flops(&self, (rows, columns): (usize, usize)) -> f64 {
        let numbers = (rows * columns) as f64;
        let side = |n: usize| {
            if !self.turns(n) {
                return 0.0;
            }
            let size = n as f64;
            let renewal = 2.0 * size.powi(3) + orthonormal_flops(n) + 4.0 * size * numbers;
            // Two turns and G's product with itself.
            6.0 * size * numbers + 4.0 * size * size + renewal / self.every as f64
        };
        side(rows) + side(columns) + FLOPS_PER_SCALAR * numbers
    }
}

impl OptimizerPlan for Soap {
    fn lr(&self) -> f64 {
        self.rest.lr()
    }

    fn flops_per_step(&self, decls: &[Decl]) -> f64 {
        let one = |decl: &Decl| match matrices(decl) {
            Some(parts) => parts.into_iter().map(|part| self.flops(part)).sum(),
            None => FLOPS_PER_SCALAR * decl.count() as f64,
        };
        decls.iter().map(one).sum()
    }

    fn state_scalars(&self, decls: &[Decl]) -> u64 {
        let square = |n: usize| 2 * (n * n * usize::from(self.turns(n))) as u64;
        let one = |decl: &Decl| {
            let parts = matrices(decl).unwrap_or_default().into_iter();
            let sides: u64 = parts.map(|(m, n)| square(m) + square(n)).sum();
            2 * decl.count() + sides
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
                    let factors = decl.adaptive();
                    let mover = Turned::start(*self, factors, &parts, (DType::F32, device))?;
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

/// A dimension of a matrix with a basis of its own.
struct Side {
    /// Running mean of the gradient's product with itself.
    gram: Var,
    /// Its eigenvectors, nearly, as columns.
    basis: Var,
}

/// One matrix. Its mean of gradients and of their squares are in the bases.
struct Matrix {
    sides: [Option<Side>; 2],
    mean: Var,
    squares: Var,
}

/// How a parameter moves.
pub(super) struct Turned {
    plan: Soap,
    factors: Factors,
    parts: Vec<(usize, usize)>,
    matrices: Vec<Matrix>,
}

impl Turned {
    /// For matrices of these sizes, below each other; of that type, there.
    pub fn start(
        plan: Soap,
        factors: Factors,
        parts: &[(usize, usize)],
        (dtype, device): (DType, &Device),
    ) -> Result<Self> {
        let zeros = |shape: (usize, usize)| Var::zeros(shape, dtype, device);
        let side = |n: usize| -> Result<Option<Side>> {
            if !plan.turns(n) {
                return Ok(None);
            }
            let (gram, basis) = (zeros((n, n))?, zeros((n, n))?);
            Ok(Some(Side { gram, basis }))
        };
        let matrix = |&(rows, columns): &(usize, usize)| -> Result<Matrix> {
            Ok(Matrix {
                sides: [side(rows)?, side(columns)?],
                mean: zeros((rows, columns))?,
                squares: zeros((rows, columns))?,
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

impl Mover for Turned {
    fn step(&mut self, var: &Var, grad: &Tensor, lr: f64, update: u64) -> Result<()> {
        let grads = split(grad, &self.parts)?;
        let both = self.matrices.iter().zip(&grads);
        if update == 1 {
            for (matrix, grad) in both {
                matrix.see(grad, self.plan.own.beta2)?;
                matrix.begin()?;
            }
            return Ok(());
        }
        let (plan, steps) = (&self.plan, update - 1);
        let one = |(matrix, grad): (&Matrix, &Tensor)| matrix.update(plan, grad, steps);
        let updates = both.map(one).collect::<Result<Vec<_>>>()?;
        let lr = lr * self.factors.lr;
        let kept = 1.0 - lr * plan.own.weight_decay * self.factors.decay;
        let moved = (var.as_detached_tensor() - (join(&updates, var.dims())? * lr)?)?;
        Ok(var.set(&(moved * kept)?)?)
    }

    fn held(&self) -> Vec<&Var> {
        let mut held = Vec::new();
        for matrix in &self.matrices {
            held.extend([&matrix.mean, &matrix.squares]);
            for side in matrix.sides.iter().flatten() {
                held.extend([&side.gram, &side.basis]);
            }
        }
        held
    }
}

impl Matrix {
    /// One more gradient into L and R.
    fn see(&self, grad: &Tensor, beta: f64) -> Result<()> {
        let [left, right] = &self.sides;
        if let Some(side) = left {
            blend(&side.gram, beta, &matmul(grad, &grad.t()?)?)?;
        }
        if let Some(side) = right {
            blend(&side.gram, beta, &matmul(&grad.t()?, grad)?)?;
        }
        Ok(())
    }

    /// The first bases.
    fn begin(&self) -> Result<()> {
        for side in self.sides.iter().flatten() {
            side.basis.set(&eigen(&side.gram)?.1)?;
        }
        Ok(())
    }

    /// Into the bases: Q_L^T X Q_R.
    fn turn(&self, x: &Tensor) -> Result<Tensor> {
        let [left, right] = &self.sides;
        let mut x = x.clone();
        if let Some(side) = left {
            x = matmul(&side.basis.as_detached_tensor().t()?, &x)?;
        }
        if let Some(side) = right {
            x = matmul(&x, &side.basis.as_detached_tensor())?;
        }
        Ok(x)
    }

    /// Out of them: Q_L X Q_R^T.
    fn turn_back(&self, x: &Tensor) -> Result<Tensor> {
        let [left, right] = &self.sides;
        let mut x = x.clone();
        if let Some(side) = left {
            x = matmul(&side.basis.as_detached_tensor(), &x)?;
        }
        if let Some(side) = right {
            x = matmul(&x, &side.basis.as_detached_tensor().t()?)?;
        }
        Ok(x)
    }

    /// What the matrix moves by per unit of learning rate.
    fn update(&self, plan: &Soap, grad: &Tensor, steps: u64) -> Result<Tensor> {
        let AdamW {
            beta1, beta2, eps, ..
        } = plan.own;
        let turned = self.turn(grad)?;
        blend(&self.mean, beta1, &turned)?;
        blend(&self.squares, beta2, &turned.sqr()?)?;
        let count = i32::try_from(steps).unwrap_or(i32::MAX);
        let size = (1.0 - beta2.powi(count)).sqrt() / (1.0 - beta1.powi(count));
        let root = (self.squares.as_detached_tensor().sqrt()? + eps)?;
        let update = self.turn_back(&((self.mean.as_detached_tensor() / root)? * size)?)?;
        self.see(grad, beta2)?;
        if steps.is_multiple_of(plan.every) {
            let mean = self.turn_back(&self.mean.as_detached_tensor())?;
            self.renew()?;
            self.mean.set(&self.turn(&mean)?)?;
        }
        Ok(update)
    }

    /// New bases; squares follow the order of their columns.
    fn renew(&self) -> Result<()> {
        for (axis, side) in self.sides.iter().enumerate() {
            let Some(Side { gram, basis }) = side else {
                continue;
            };
            let old = basis.as_detached_tensor();
            let power = matmul(&gram.as_detached_tensor(), &old)?;
            let order = falling(&(old * &power)?.sum(0)?)?;
            let squares = self.squares.as_detached_tensor();
            self.squares
                .set(&squares.index_select(&order, axis)?.contiguous()?)?;
            basis.set(&orthonormal(&power.index_select(&order, D::Minus1)?)?)?;
        }
        Ok(())
    }
}

/// Places of numbers (n) from the largest to the smallest.
fn falling(numbers: &Tensor) -> Result<Tensor> {
    let on_host: Vec<f64> = numbers.to_dtype(DType::F64)?.to_vec1()?;
    let mut order: Vec<u32> = (0..).take(on_host.len()).collect();
    order.sort_by(|&a, &b| on_host[b as usize].total_cmp(&on_host[a as usize]));
    Ok(Tensor::from_vec(order, on_host.len(), numbers.device())?)
}
