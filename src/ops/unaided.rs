//! An operation without kernels of its own for a GPU, where it is candle's operations.

use candle_core::{Result, Tensor};

use super::tape::Tape;

/// An operation on `N` tensors: fused on the CPU, and its reference.
pub trait Unaided<const N: usize> {
    /// Refuses inputs that do not fit.
    ///
    /// # Errors
    /// Says what does not fit what.
    fn check(&self, inputs: [&Tensor; N]) -> Result<()>;

    /// On the CPU.
    ///
    /// # Errors
    /// candle's.
    fn fused(&self, tape: Option<&Tape>, inputs: [&Tensor; N]) -> Result<Tensor>;

    /// By candle's plain differentiable operations.
    ///
    /// # Errors
    /// candle's.
    fn reference(&self, inputs: [&Tensor; N]) -> Result<Tensor>;
}
