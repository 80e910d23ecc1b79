//! Decompositions of square matrices, by nalgebra: the eigenvectors of a symmetric one, and the orthonormal factor of any.
//!
//! In f64 on the host, one matrix on one thread, so that the bits are the same whatever the number of threads; what comes back has
//! the type and the device of what was given. Work is counted by the textbook (Golub & Van Loan 2013, sections 5.2.9 and 8.3.5):
//! 9 n^3 for values and vectors, 8/3 n^3 for Householder's factor and its columns.

use candle_core::{DType, Device, Result, Tensor, bail};
use nalgebra::DMatrix;

use super::counted;

/// FLOPs of the eigenvalues and eigenvectors of a symmetric matrix of `n` rows.
pub fn eigen_flops(n: usize) -> f64 {
    9.0 * (n as f64).powi(3)
}

/// FLOPs of the orthonormal factor of a matrix of `n` rows and columns.
pub fn orthonormal_flops(n: usize) -> f64 {
    8.0 / 3.0 * (n as f64).powi(3)
}

/// Of a symmetric matrix (n, n): its eigenvalues (n), largest first, and its eigenvectors as columns (n, n). Only one half of it is
/// looked at.
///
/// # Errors
/// If it is not square.
pub fn eigen(matrix: &Tensor) -> Result<(Tensor, Tensor)> {
    let own = to_host(matrix)?;
    let n = own.nrows();
    counted::add(eigen_flops(n) as i64);
    let found = own.symmetric_eigen();
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&a, &b| found.eigenvalues[b].total_cmp(&found.eigenvalues[a]));
    let values = order.iter().map(|&k| found.eigenvalues[k]).collect();
    let vectors = (0..n * n)
        .map(|i| found.eigenvectors[(i / n, order[i % n])])
        .collect();
    Ok((back(values, &[n], matrix)?, back(vectors, &[n, n], matrix)?))
}

/// The orthonormal columns (n, n) of a matrix (n, n), each in the span of those of the matrix up to its own.
///
/// # Errors
/// If it is not square.
pub fn orthonormal(matrix: &Tensor) -> Result<Tensor> {
    let own = to_host(matrix)?;
    let n = own.nrows();
    counted::add(orthonormal_flops(n) as i64);
    let q = own.qr().q();
    let rows = (0..n * n).map(|i| q[(i / n, i % n)]).collect();
    back(rows, &[n, n], matrix)
}

fn to_host(matrix: &Tensor) -> Result<DMatrix<f64>> {
    let (rows, columns) = matrix.dims2()?;
    if rows != columns {
        bail!("a matrix of {rows} rows and {columns} columns is not square")
    }
    let numbers = matrix.to_device(&Device::Cpu)?.to_dtype(DType::F64)?;
    let numbers: Vec<f64> = numbers.flatten_all()?.to_vec1()?;
    Ok(DMatrix::from_row_slice(rows, columns, &numbers))
}

fn back(numbers: Vec<f64>, shape: &[usize], like: &Tensor) -> Result<Tensor> {
    Tensor::from_vec(numbers, shape, &Device::Cpu)?
        .to_dtype(like.dtype())?
        .to_device(like.device())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn far(a: &Tensor, b: &Tensor) -> f64 {
        let off = (a - b).unwrap().abs().unwrap().max_all().unwrap();
        off.to_scalar().unwrap()
    }

    #[test]
    fn eigenvectors_and_columns_are_what_they_are_called() {
        let n = 7;
        let entry = |i: usize| ((i * i + 3 * i) as f64).sin();
        let any = Tensor::from_vec((0..n * n).map(entry).collect(), (n, n), &Device::Cpu).unwrap();
        let one = Tensor::eye(n, DType::F64, &Device::Cpu).unwrap();
        let gram = any.matmul(&any.t().unwrap()).unwrap();
        let (values, vectors) = eigen(&gram).unwrap();
        let sorted: Vec<f64> = values.to_vec1().unwrap();
        assert!(sorted.is_sorted_by(|a, b| a >= b), "{sorted:?}");
        let spread = vectors.broadcast_mul(&values).unwrap();
        let again = spread.matmul(&vectors.t().unwrap()).unwrap();
        assert!(far(&again, &gram) < 1e-12);
        let q = orthonormal(&any).unwrap();
        assert!(far(&q.t().unwrap().matmul(&q).unwrap(), &one) < 1e-13);
        // Q^T A is upper triangular.
        let r: Vec<Vec<f64>> = q.t().unwrap().matmul(&any).unwrap().to_vec2().unwrap();
        assert!((0..n).all(|i| (0..i).all(|j| r[i][j].abs() < 1e-12)));
        assert!(eigen(&any.narrow(0, 0, 3).unwrap()).is_err());
    }
}
