//! How parameters start: numbers drawn from a stream of each one's own.

use super::id::ParamId;
use crate::stream::Stream;

/// How a parameter starts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Init {
    /// Independent normal entries of this standard deviation.
    Normal(f64),
    /// All ones.
    Ones,
    /// All zeros.
    Zeros,
    /// All this.
    Const(f64),
    /// Uniform from the first to the second.
    Uniform(f64, f64),
    /// Logarithms of numbers that are uniform from the first to the second: what a decay is the exponential of.
    LogOfUniform(f64, f64),
    /// Numbers whose softplus, `ln(1 + exp(x))`, is log-uniform from the first to the second: what a step size is the softplus of
    /// (Gu and Dao 2023, arXiv 2312.00752, section 3.6).
    SoftplusLogUniform(f64, f64),
    /// The Euclidean norm of each row of a matrix that was declared before.
    NormOfRows(ParamId),
    /// Matrices with orthonormal rows, or columns where those are fewer (Saxe et al. 2013, arXiv 1312.6120); each of several stacked
    /// ones by itself.
    Orthogonal,
}

impl Init {
    /// Numbers for so many, of matrices of these row counts and columns where their start asks for that.
    pub(super) fn numbers(
        self,
        (n, columns): (usize, usize),
        stacked: &[usize],
        stream: &mut Stream,
    ) -> Vec<f32> {
        let mut draw = |number: &dyn Fn(&mut Stream) -> f64| -> Vec<f32> {
            (0..n).map(|_| number(stream) as f32).collect()
        };
        let between = |low: f64, high: f64, u: f64| low + (high - low) * u;
        match self {
            Init::Ones => vec![1.0; n],
            // Norms follow once there is a matrix.
            Init::Zeros | Init::Normal(0.0) | Init::NormOfRows(_) => vec![0.0; n],
            Init::Const(value) => vec![value as f32; n],
            Init::Normal(sd) => draw(&|s| sd * s.normal()),
            Init::Uniform(low, high) => draw(&|s| between(low, high, s.uniform())),
            Init::LogOfUniform(low, high) => draw(&|s| between(low, high, s.uniform()).ln()),
            Init::SoftplusLogUniform(low, high) => draw(&|s| {
                let step = between(low.ln(), high.ln(), s.uniform()).exp();
                step + (-(-step).exp_m1()).ln()
            }),
            Init::Orthogonal => orthogonal(stacked, columns, stream),
        }
    }
}

/// Matrices of these row counts, one below the other, each with orthonormal rows or columns: a normal one, Gram-Schmidt twice, which
/// is orthogonal to rounding.
fn orthogonal(stacked: &[usize], columns: usize, stream: &mut Stream) -> Vec<f32> {
    let mut values = Vec::with_capacity(stacked.iter().sum::<usize>() * columns);
    for &rows in stacked {
        let (count, length) = (rows.min(columns), rows.max(columns));
        let mut basis: Vec<Vec<f64>> = Vec::with_capacity(count);
        while basis.len() < count {
            let mut v: Vec<f64> = (0..length).map(|_| stream.normal()).collect();
            for b in basis.iter().chain(&basis) {
                let along: f64 = b.iter().zip(&v).map(|(b, v)| b * v).sum();
                v.iter_mut().zip(b).for_each(|(v, b)| *v -= along * b);
            }
            let norm = v.iter().map(|v| v * v).sum::<f64>().sqrt();
            basis.push(v.iter().map(|v| v / norm).collect());
        }
        let of = |row: usize, column: usize| match rows <= columns {
            true => basis[row][column],
            false => basis[column][row],
        };
        values.extend((0..rows * columns).map(|i| of(i / columns, i % columns) as f32));
    }
    values
}
