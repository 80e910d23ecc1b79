//! Low-rank changes of matrices that stay as they are, and what a matrix is with its change in it: `W + s B A` (LoRA, Hu et al. 2021,
//! arXiv 2106.09685, equation 3), or with a magnitude `m (W + s B A) / ||W + s B A||` (DoRA, Liu et al. 2024, arXiv 2402.09353, equation 5).
//!
//! DoRA's norm is that of an output's weights, a row of the (out, in) matrix here. The paper writes it as a column; its authors' code
//! takes it over the inputs of each output, as PEFT does.

use candle_core::{D, Tensor};

use super::id::ParamId;
use crate::error::Result;

/// A low-rank change of a matrix, or of each of those stacked in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Adapter {
    /// W, (out, in).
    pub(super) weight: ParamId,
    /// A, (r, in) of each stacked matrix, one below the other.
    pub(super) down: ParamId,
    /// B, (out, r).
    pub(super) up: ParamId,
    /// m, (out); `None` without one.
    pub(super) magnitude: Option<ParamId>,
    /// s.
    pub(super) scale: f64,
    /// r.
    pub(super) rank: usize,
    /// Rows of the stacked matrices.
    pub(super) rows: Vec<usize>,
    /// Columns of W.
    pub(super) inputs: usize,
    /// Whether W stays in the blocks that a file has it in.
    pub(super) in_blocks: bool,
}

impl Adapter {
    /// Multiply-adds of a row of inputs: in the product with A, and in that with B.
    pub(super) fn multiply_adds(&self) -> [u64; 2] {
        let outputs = self.rows.iter().sum::<usize>();
        [self.rows.len() * self.inputs, outputs].map(|n| (self.rank * n) as u64)
    }

    /// What is gone when the change is in the matrix.
    pub(super) fn own(&self) -> impl Iterator<Item = ParamId> + '_ {
        [self.down, self.up].into_iter().chain(self.magnitude)
    }

    /// `W + s B A`, (out, in), without a gradient.
    ///
    /// # Errors
    /// The device's.
    pub(super) fn changed(&self, w: &Tensor, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        let (mut from, mut all) = (0, Vec::with_capacity(self.rows.len()));
        for (k, rows) in self.rows.iter().enumerate() {
            let a = a.detach().narrow(0, k * self.rank, self.rank)?;
            all.push(b.detach().narrow(0, from, *rows)?.matmul(&a)?);
            from += rows;
        }
        let change = (Tensor::cat(&all, 0)? * self.scale)?;
        Ok((w.detach() + change)?)
    }

    /// The matrix that does what W and its change do together.
    ///
    /// # Errors
    /// The device's, and those of `numbers`, which gives a parameter.
    pub(super) fn merged(&self, numbers: impl Fn(ParamId) -> Result<Tensor>) -> Result<Tensor> {
        let [w, a, b] = [self.weight, self.down, self.up].map(&numbers);
        let changed = self.changed(&w?, &a?, &b?)?;
        let Some(magnitude) = self.magnitude else {
            return Ok(changed);
        };
        let factors = (numbers(magnitude)? / row_norms(&changed)?)?;
        Ok(changed.broadcast_mul(&factors.unsqueeze(1)?)?)
    }
}

/// The Euclidean norm of each row of (out, in): (out). A row of zeros, which has no direction, has the smallest number that can be
/// divided by.
///
/// # Errors
/// The device's.
pub(super) fn row_norms(w: &Tensor) -> Result<Tensor> {
    let norms = w.sqr()?.sum(D::Minus1)?.sqrt()?;
    Ok(norms.maximum(f64::from(f32::MIN_POSITIVE))?)
}
