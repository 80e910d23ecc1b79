//! The nearest semi-orthogonal matrix, nearly, by polynomials of odd degree: X <- a X + (b A + c A^2) X with A = X X^T, X scaled down
//! to singular values of at most 1 first.
//!
//! Newton-Schulz as Jordan et al. (2024) have it takes (a, b, c) = (3.4445, -4.7750, 2.0315) each time and ends between about 0.7 and
//! 1.2. Polar Express (Amsel et al. 2025, arXiv 2505.16932, algorithm 1) takes the best polynomial for what the one before left.

use std::collections::BTreeMap;

use candle_core::{DType, Tensor};

use crate::error::Result;
use crate::ops::matmul;

/// Which polynomials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Iteration {
    /// The same each time.
    NewtonSchulz,
    /// Another each time; beyond the fifth the fifth.
    PolarExpress,
}

const NEWTON_SCHULZ: [f64; 3] = [3.4445, -4.7750, 2.0315];

/// For singular values from 0.001, with a safety factor of 1.02 (the settings of nanochat and modded-nanogpt).
const POLAR_EXPRESS: [[f64; 3]; 5] = [
    [8.156554524902461, -22.48329292557795, 15.878769915207462],
    [4.042929935166739, -2.808917465908714, 0.5000178451051316],
    [3.8916678022926607, -2.772484153217685, 0.5060648178503393],
    [3.285753657755655, -2.3681294933425376, 0.46449024233003106],
    [2.3465413258596377, -1.7097828382687081, 0.42323551169305323],
];

impl Iteration {
    /// (a, b, c) of iteration `k`, from 0.
    fn coefficients(self, k: usize) -> [f64; 3] {
        match self {
            Iteration::NewtonSchulz => NEWTON_SCHULZ,
            Iteration::PolarExpress => POLAR_EXPRESS[k.min(POLAR_EXPRESS.len() - 1)],
        }
    }

    /// What the norm is multiplied by before a matrix is divided by it.
    fn safety(self) -> f64 {
        match self {
            Iteration::NewtonSchulz => 1.0,
            Iteration::PolarExpress => 1.02,
        }
    }
}

/// Each matrix as [`orthogonalise`] makes it, in the order given. On a CPU one after the other, which keeps them in its caches.
/// On a GPU those of one shape together, whose products would be too small one by one, and in the type of activations: with bf16,
/// as the authors have it, they take a small part of a step.
pub fn orthogonalise_all(
    matrices: Vec<Tensor>,
    how: (Iteration, usize),
    products: DType,
) -> Result<Vec<Tensor>> {
    match matrices.first().map(|first| first.device().is_cpu()) {
        Some(false) => together(&matrices, how, products),
        _ => matrices
            .iter()
            .map(|matrix| orthogonalise(matrix, how))
            .collect(),
    }
}

/// The same, matrices of one shape in one batch, computed in a given type.
fn together(matrices: &[Tensor], how: (Iteration, usize), dtype: DType) -> Result<Vec<Tensor>> {
    let mut by_shape: BTreeMap<(usize, usize), Vec<usize>> = BTreeMap::new();
    for (i, matrix) in matrices.iter().enumerate() {
        by_shape.entry(matrix.dims2()?).or_default().push(i);
    }
    let mut made = matrices.to_vec();
    for (_, alike) in by_shape {
        let batch = Tensor::stack(&alike.iter().map(|&i| &matrices[i]).collect::<Vec<_>>(), 0)?;
        // Sums of rows, then of those: candle adds up a whole matrix in one block of a GPU.
        let norms = (batch.sqr()?.sum_keepdim(2)?.sum_keepdim(1)?.sqrt()? * how.0.safety())?;
        let batch = batch.broadcast_div(&(norms + 1e-7)?)?.to_dtype(dtype)?;
        let (_, rows, columns) = batch.dims3()?;
        let tall = rows > columns;
        let x = iterate(
            if tall {
                batch.transpose(1, 2)?.contiguous()?
            } else {
                batch
            },
            how,
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

/// U V^T of a matrix's singular value decomposition, nearly.
pub fn orthogonalise(matrix: &Tensor, how: (Iteration, usize)) -> Result<Tensor> {
    let (rows, columns) = matrix.dims2()?;
    let tall = rows > columns;
    let x = if tall {
        matrix.t()?.contiguous()?
    } else {
        matrix.contiguous()?
    };
    let norm = (x.sqr()?.sum_all()?.sqrt()? * how.0.safety())?;
    let x = iterate(x.broadcast_div(&(norm + 1e-7)?)?, how)?;
    Ok(if tall { x.t()?.contiguous()? } else { x })
}

/// The iterations on wide matrices, one or a batch of them.
fn iterate(mut x: Tensor, (which, iterations): (Iteration, usize)) -> Result<Tensor> {
    for k in 0..iterations {
        let [a, b, c] = which.coefficients(k);
        let gram = matmul(&x, &x.t()?)?;
        let polynomial = ((&gram * b)? + (matmul(&gram, &gram)? * c)?)?;
        x = ((&x * a)? + matmul(&polynomial, &x)?)?;
    }
    Ok(x)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::stream::stream;

    const NS5: (Iteration, usize) = (Iteration::NewtonSchulz, 5);

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
            let got: Vec<Vec<f32>> = orthogonalise(&tensor, NS5).unwrap().to_vec2().unwrap();
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
            let made = together(&all, NS5, dtype).unwrap();
            for (made, alone) in made.iter().zip(&all) {
                let alone = orthogonalise(alone, NS5).unwrap();
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

    fn polynomial(s: f64) -> f64 {
        of_value(s, NS5)
    }

    /// What the iterations make of one singular value.
    fn of_value(mut s: f64, (which, iterations): (Iteration, usize)) -> f64 {
        for k in 0..iterations {
            let [a, b, c] = which.coefficients(k);
            s = a * s + b * s.powi(3) + c * s.powi(5);
        }
        s
    }

    /// The ranges that five iterations of each leave of values from 0.005 on.
    #[test]
    fn singular_values_end_near_one() {
        for (which, low, high) in [
            (Iteration::NewtonSchulz, 0.6818, 1.1544),
            (Iteration::PolarExpress, 0.8589, 1.1411),
        ] {
            let values = (0..10_000).map(|k| 0.005 + 0.995 * f64::from(k) / 9999.0);
            let made: Vec<f64> = values
                .map(|s| of_value(s / which.safety(), (which, 5)))
                .collect();
            let reach = made
                .iter()
                .fold((f64::MAX, 0.0_f64), |(a, b), &s| (a.min(s), b.max(s)));
            assert!((reach.0 - low).abs() < 1e-4, "{which:?}: {reach:?}");
            assert!((reach.1 - high).abs() < 1e-4, "{which:?}: {reach:?}");
        }
        for (s, made) in [(1e-3, 0.846647), (0.1, 1.016459), (1.0, 0.903537)] {
            let found = of_value(s / 1.02, (Iteration::PolarExpress, 5));
            assert!((found - made).abs() < 1e-6, "{s}: {found}");
        }
    }
}
