//! What one forward pass hands to every part of a model.

use candle_core::Tensor;

use super::beside::Beside;
use super::id::ParamId;
use super::param::Weights;
use crate::error::Result;
use crate::ops::{Ops, RopeTable};

/// What one forward pass hands to every slot.
pub struct Pass<'a> {
    /// Tracked for training, detached otherwise.
    pub weights: &'a Weights,
    /// Fused or reference arithmetic.
    pub ops: Ops<'a>,
    /// Windows B.
    pub batch: usize,
    /// Tokens per window in this pass T.
    pub time: usize,
    /// Tokens of each window already seen.
    pub offset: usize,
    /// Tokens of each window that what is kept of them has room for.
    pub room: usize,
    /// Token ids, (B*T) of U32.
    pub ids: &'a Tensor,
    /// Rotation for these positions, where the model rotates.
    pub rope: Option<&'a RopeTable>,
    /// What parts leave beside their outputs.
    pub beside: &'a Beside,
}

impl Pass<'_> {
    /// `x W^T (+ bias)`, of packed weights where they are: (N, K) to (N, M).
    ///
    /// # Errors
    /// The operations'.
    pub fn product(&self, x_nk: &Tensor, weight: ParamId, bias: Option<ParamId>) -> Result<Tensor> {
        let bias = bias.map(|bias| &self.weights[bias]);
        match self.weights.shared(weight) {
            // A gradient goes through packed weights where others train beside them.
            Some(packed) if x_nk.track_op() => Ok(self.ops.packed_linear(x_nk, packed, bias)?),
            Some(packed) => {
                let activations = self.weights.activations();
                Ok(self.ops.packed_product(x_nk, packed, bias, activations)?)
            }
            None => Ok(self.ops.linear(x_nk, &self.weights[weight], bias)?),
        }
    }

    /// The rows of a table for this pass's tokens, unpacked where it is held in blocks alone: (B*T, C).
    ///
    /// # Errors
    /// The operations'.
    pub fn rows(&self, table: ParamId) -> Result<Tensor> {
        match self.weights.only_packed(table) {
            Some(packed) => Ok(packed.looked_up(self.ids)?),
            None => Ok(self.ops.embedding(&self.weights[table], self.ids)?),
        }
    }

    /// `factor x`; nothing is done where the factor is 1.
    pub(super) fn scaled(&self, x: Tensor, factor: f64) -> Result<Tensor> {
        if factor == 1.0 {
            Ok(x)
        } else {
            Ok(self.ops.scale(&x, factor)?)
        }
    }
}
