//! Muon (Jordan et al. 2024): momentum, then the nearest semi-orthogonal matrix by five quintic Newton-Schulz iterations
//! X <- a X + (b A + c A^2) X with A = X X^T and (a, b, c) = (3.4445, -4.7750, 2.0315), scaled by 0.2 sqrt(max(m, n)) so
//! that its entries are as large as AdamW's and both share one learning rate (Moonlight, Liu et al. 2025, eq. 4).
//! It moves the matrices inside blocks; embeddings, head, gains and biases are AdamW's.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor, Var};

use super::adamw::{self, AdamW, FLOPS_PER_SCALAR, Moments};
use super::{Now, Optimizer, OptimizerKind, OptimizerPlan, take};
use crate::config::knob::{Number, Whole};
use crate::config::{Declarations, Knob, Knobs, Named};
use crate::error::Result;
use crate::model::{Decl, Factors, Role};
use crate::ops::matmul;

const COEFFICIENTS: (f64, f64, f64) = (3.4445, -4.7750, 2.0315);

const MOMENTUM: Knob<Number> = Knob::number(
    "momentum",
    "Share of the last steps' direction that a matrix's update keeps.",
)
.within(0.0, 0.999_999)
.default(0.95);
const ITERATIONS: Knob<Whole> = Knob::count(
    "iterations",
    "Newton-Schulz iterations that make an update nearly orthogonal.",
)
.default(5);

/// Row of the catalog.
pub struct Kind;

impl Named for Kind {
    fn name(&self) -> &'static str {
        "muon"
    }
    fn about(&self) -> &'static str {
        "momentum orthogonalised by Newton-Schulz on the blocks' matrices, AdamW elsewhere (Jordan et al. 2024, Liu et al. 2025)"
    }
    fn knobs(&self) -> Declarations {
        &[
            &adamw::LR,
            &MOMENTUM,
            &ITERATIONS,
            &adamw::BETA1,
            &adamw::BETA2,
            &adamw::EPS,
            &adamw::WEIGHT_DECAY,
        ]
    }
}

impl OptimizerKind for Kind {
    fn settle(&self, knobs: &Knobs) -> Result<Arc<dyn OptimizerPlan>> {
        Ok(Arc::new(Muon {
            adamw: AdamW::settle(knobs)?,
            momentum: knobs.read(&MOMENTUM)?,
            iterations: knobs.read(&ITERATIONS)?,
        }))
    }
}

#[derive(Debug, Clone, Copy)]
struct Muon {
    adamw: AdamW,
    momentum: f64,
    iterations: usize,
}

/// (rows, columns) of the matrices stacked in a parameter that Muon moves; `None` for the others.
fn matrices(decl: &Decl) -> Option<Vec<(usize, usize)>> {
    let is_matrix = decl.role == Role::Matrix && decl.shape.len() == 2;
    is_matrix.then(|| {
        decl.stacked_rows
            .iter()
            .map(|&rows| (rows, decl.shape[1]))
            .collect()
    })
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
        let one = |decl: &Decl| match matrices(decl) {
            Some(parts) => {
                // Clipping, momentum, Nesterov, scale and the update itself are 9 operations a scalar.
                9.0 * decl.count() as f64
                    + self.iterations as f64 * parts.iter().map(per_iteration).sum::<f64>()
            }
            None => FLOPS_PER_SCALAR * decl.count() as f64,
        };
        decls.iter().map(one).sum()
    }

    fn state_scalars(&self, decls: &[Decl]) -> u64 {
        decls
            .iter()
            .map(|decl| decl.count() * if matrices(decl).is_some() { 1 } else { 2 })
            .sum()
    }

    fn start(
        &self,
        decls: &[Decl],
        device: &Device,
        products: DType,
    ) -> Result<Box<dyn Optimizer>> {
        let one = |decl: &Decl| {
            Ok(match matrices(decl) {
                Some(parts) => {
                    let velocity = Var::zeros(decl.shape.as_slice(), DType::F32, device)?;
                    Rule::Muon {
                        velocity,
                        parts,
                        factors: decl.orthogonal(),
                    }
                }
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

enum Rule {
    Muon {
        velocity: Var,
        parts: Vec<(usize, usize)>,
        factors: Factors,
    },
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
                Rule::Muon {
                    velocity, parts, ..
                } => matrices.extend(self.plan.nesterov(velocity, parts, grad, scale)?),
            }
        }
        let mut updates =
            orthogonalise_all(matrices, self.plan.iterations, self.products)?.into_iter();
        for (rule, var) in self.rules.iter().zip(vars) {
            if let Rule::Muon { parts, factors, .. } = rule {
                self.plan.apply(
                    (parts, *factors),
                    updates.by_ref().take(parts.len()),
                    var,
                    lr * factors.lr,
                )?;
            }
        }
        Ok(())
    }

    fn state(&self) -> Result<Option<Vec<Tensor>>> {
        let mut state = Vec::new();
        for rule in &self.rules {
            match rule {
                Rule::AdamW(moments) => state.extend(moments.state()?),
                Rule::Muon { velocity, .. } => state.push(velocity.copy()?),
            }
        }
        Ok(Some(state))
    }

    fn restore(&mut self, state: &[Tensor], steps: u64) -> Result<()> {
        let mut state = state.iter();
        for rule in &mut self.rules {
            match rule {
                Rule::AdamW(moments) => moments.restore(take(&mut state)?, steps)?,
                Rule::Muon { velocity, .. } => {
                    let [given] = take(&mut state)?;
                    velocity.set(given)?;
                }
            }
        }
        Ok(())
    }
}

impl Muon {
    /// The next direction of a parameter, as the matrices stacked in it.
    fn nesterov(
        &self,
        velocity: &Var,
        parts: &[(usize, usize)],
        grad: &Tensor,
        scale: f64,
    ) -> Result<Vec<Tensor>> {
        let grad = (grad * scale)?;
        velocity.set(&((velocity.as_detached_tensor() * self.momentum)? + &grad)?)?;
        let nesterov = (grad + (velocity.as_detached_tensor() * self.momentum)?)?;
        let mut row = 0;
        let part = |&(rows, _): &(usize, usize)| {
            row += rows;
            Ok(nesterov.narrow(0, row - rows, rows)?)
        };
        parts.iter().map(part).collect()
    }

    /// Moves a parameter by what its matrices became.
    fn apply(
        &self,
        (parts, factors): (&[(usize, usize)], Factors),
        orthogonal: impl Iterator<Item = Tensor>,
        var: &Var,
        lr: f64,
    ) -> Result<()> {
        let sized = orthogonal
            .zip(parts)
            .map(|(x, &(rows, columns))| Ok((x * (0.2 * (rows.max(columns) as f64).sqrt()))?));
        let mut updates = sized.collect::<Result<Vec<_>>>()?;
        let update = if updates.len() == 1 {
            updates.remove(0)
        } else {
            Tensor::cat(&updates, 0)?
        };
        let decay = self.adamw.weight_decay() * factors.decay;
        let kept = (var.as_detached_tensor() * (1.0 - lr * decay))?;
        Ok(var.set(&(kept - (update * lr)?)?)?)
    }
}

/// Each matrix as [`orthogonalise`] makes it, in the order given. On a CPU one after the other, which keeps them in its caches.
/// On a GPU those of one shape together, whose products would be too small one by one, and in the type of activations: with bf16,
/// as the authors have it, they take a small part of a step.
fn orthogonalise_all(
    matrices: Vec<Tensor>,
    iterations: usize,
    products: DType,
) -> Result<Vec<Tensor>> {
    match matrices.first().map(|first| first.device().is_cpu()) {
        Some(false) => together(&matrices, iterations, products),
        _ => matrices
            .iter()
            .map(|matrix| orthogonalise(matrix, iterations))
            .collect(),
    }
}

/// The same, matrices of one shape in one batch, computed in a given type.
fn together(matrices: &[Tensor], iterations: usize, dtype: DType) -> Result<Vec<Tensor>> {
    let mut by_shape: BTreeMap<(usize, usize), Vec<usize>> = BTreeMap::new();
    for (i, matrix) in matrices.iter().enumerate() {
        by_shape.entry(matrix.dims2()?).or_default().push(i);
    }
    let mut made = matrices.to_vec();
    for (_, alike) in by_shape {
        let batch = Tensor::stack(&alike.iter().map(|&i| &matrices[i]).collect::<Vec<_>>(), 0)?;
        // Sums of rows, then of those: candle adds up a whole matrix in one block of a GPU.
        let norms = batch.sqr()?.sum_keepdim(2)?.sum_keepdim(1)?.sqrt()?;
        let batch = batch.broadcast_div(&(norms + 1e-7)?)?.to_dtype(dtype)?;
        let (_, rows, columns) = batch.dims3()?;
        let tall = rows > columns;
        let x = newton_schulz(
            if tall {
                batch.transpose(1, 2)?.contiguous()?
            } else {
                batch
            },
            iterations,
        )?;
        let x = (if tall {
            x.transpose(1, 2)?.contiguous()?
        } else {
            x
        })
        .to_dtype(DType::F32)?;
        for (k, i) in alike.into_iter().enumerate() {
            made[i] = x.get(k)?;
        }
    }
    Ok(made)
}

/// A matrix with singular values of at most 1.
fn scaled_down(matrix: &Tensor) -> candle_core::Result<Tensor> {
    let norm = matrix.sqr()?.sum_all()?.sqrt()?;
    matrix.broadcast_div(&(norm + 1e-7)?)
}

/// U V^T of a matrix's singular value decomposition, approximately: singular values end between about 0.7 and 1.2.
fn orthogonalise(matrix: &Tensor, iterations: usize) -> Result<Tensor> {
    let (rows, columns) = matrix.dims2()?;
    let tall = rows > columns;
    let x = if tall {
        matrix.t()?.contiguous()?
    } else {
        matrix.contiguous()?
    };
    let x = newton_schulz(scaled_down(&x)?, iterations)?;
    Ok(if tall { x.t()?.contiguous()? } else { x })
}

/// The iterations on wide matrices, one or a batch of them.
fn newton_schulz(mut x: Tensor, iterations: usize) -> Result<Tensor> {
    let (a, b, c) = COEFFICIENTS;
    for _ in 0..iterations {
        let gram = matmul(&x, &x.t()?)?;
        let polynomial = ((&gram * b)? + (matmul(&gram, &gram)? * c)?)?;
        x = ((&x * a)? + matmul(&polynomial, &x)?)?;
    }
    Ok(x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::stream;

    /// One-sided Jacobi: rotates pairs of rows until they are orthogonal; their norms are the singular values.
    fn svd(mut a: Vec<Vec<f64>>) -> (Vec<Vec<f64>>, Vec<f64>, Vec<Vec<f64>>) {
        let m = a.len();
        let mut u: Vec<Vec<f64>> = (0..m)
            .map(|i| (0..m).map(|j| f64::from(i == j)).collect())
            .collect();
        let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
        for _ in 0..60 {
            for p in 0..m {
                for q in p + 1..m {
                    let (alpha, beta, gamma) =
                        (dot(&a[p], &a[p]), dot(&a[q], &a[q]), dot(&a[p], &a[q]));
                    if gamma.abs() < 1e-15 * (alpha * beta).sqrt() {
                        continue;
                    }
                    let zeta = (beta - alpha) / (2.0 * gamma);
                    let t = zeta.signum() / (zeta.abs() + (1.0 + zeta * zeta).sqrt());
                    let c = 1.0 / (1.0 + t * t).sqrt();
                    for rows in [&mut a, &mut u] {
                        let (x, y) = (rows[p].clone(), rows[q].clone());
                        rows[p] = x.iter().zip(&y).map(|(x, y)| c * x - c * t * y).collect();
                        rows[q] = x.iter().zip(&y).map(|(x, y)| c * t * x + c * y).collect();
                    }
                }
            }
        }
        let s: Vec<f64> = a.iter().map(|row| dot(row, row).sqrt()).collect();
        let v = a
            .iter()
            .zip(&s)
            .map(|(row, s)| row.iter().map(|x| x / s).collect())
            .collect();
        (u, s, v)
    }

    #[test]
    fn orthogonalising_keeps_the_singular_vectors_and_flattens_the_values() {
        for (rows, columns) in [(6, 6), (4, 9), (9, 4)] {
            let mut stream = stream("muon-test", 1, rows as u64);
            let a: Vec<Vec<f64>> = (0..rows)
                .map(|_| (0..columns).map(|_| stream.normal()).collect())
                .collect();
            let flat: Vec<f32> = a.iter().flatten().map(|&x| x as f32).collect();
            let tensor = Tensor::from_vec(flat, (rows, columns), &Device::Cpu).unwrap();
            let got: Vec<Vec<f32>> = orthogonalise(&tensor, 5).unwrap().to_vec2().unwrap();
            // Transpose a tall matrix: the decomposition above wants no more rows than columns.
            let tall = rows > columns;
            let wide = |x: Vec<Vec<f64>>| -> Vec<Vec<f64>> {
                if !tall {
                    return x;
                }
                (0..columns)
                    .map(|j| x.iter().map(|row| row[j]).collect())
                    .collect()
            };
            let got = wide(
                got.iter()
                    .map(|row| row.iter().map(|&x| f64::from(x)).collect())
                    .collect(),
            );
            let (u, s, v) = svd(wide(a));
            let norm = s.iter().map(|s| s * s).sum::<f64>().sqrt();
            for (i, (left, right)) in u.iter().zip(&v).enumerate() {
                // u and v rows: got = sum_i f(s_i) u_i v_i^T, so u_i^T got v_j is f(s_i) on the diagonal and 0 off it.
                for (j, right_j) in v.iter().enumerate() {
                    let seen: f64 = left
                        .iter()
                        .zip(&got)
                        .map(|(l, row)| {
                            l * row.iter().zip(right_j).map(|(g, r)| g * r).sum::<f64>()
                        })
                        .sum();
                    let want = if i == j { polynomial(s[i] / norm) } else { 0.0 };
                    assert!(
                        (seen - want).abs() < 1e-4,
                        "{rows}x{columns} ({i},{j}): {seen} against {want}"
                    );
                }
                if s[i] / norm > 0.05 {
                    assert!((0.6..1.3).contains(&polynomial(s[i] / norm)));
                }
                assert_eq!(right.len(), columns.max(rows));
            }
        }
    }

    #[test]
    fn matrices_of_one_shape_together_become_what_each_does_alone() {
        let matrix = |(rows, columns): (usize, usize), seed: u64| {
            let mut stream = stream("muon-batch", 1, seed);
            let numbers: Vec<f32> = (0..rows * columns)
                .map(|_| stream.normal() as f32)
                .collect();
            Tensor::from_vec(numbers, (rows, columns), &Device::Cpu).unwrap()
        };
        let shapes = [(4, 9), (9, 4), (4, 9), (5, 5), (9, 4)];
        let all: Vec<Tensor> = shapes
            .into_iter()
            .zip(1..)
            .map(|(shape, seed)| matrix(shape, seed))
            .collect();
        for (dtype, near) in [(DType::F32, 1e-4), (DType::BF16, 0.1)] {
            let made = together(&all, 5, dtype).unwrap();
            for (made, alone) in made.iter().zip(&all) {
                let alone = orthogonalise(alone, 5).unwrap();
                let far = (made - &alone)
                    .unwrap()
                    .abs()
                    .unwrap()
                    .max_all()
                    .unwrap()
                    .to_scalar::<f32>()
                    .unwrap();
                assert!(far < near, "{:?} in {dtype:?}: {far}", made.shape());
            }
        }
    }

    fn polynomial(mut s: f64) -> f64 {
        let (a, b, c) = COEFFICIENTS;
        for _ in 0..5 {
            s = a * s + b * s.powi(3) + c * s.powi(5);
        }
        s
    }
}
