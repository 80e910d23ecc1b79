//! Channel mixing: the feed-forward slot.

use candle_core::Tensor;

use super::{Declare, Pass, Shape, WindowFlops};
use crate::config::{Knobs, Named};
use crate::error::Result;

pub mod dense;
pub mod swiglu;

/// A settled feed-forward layer, token by token.
pub trait Ffn: Send + Sync {
    /// (B*T, C) to the same shape.
    fn forward(&self, x_nc: &Tensor, pass: &Pass) -> Result<Tensor>;

    /// What training one window of `time` tokens costs: the products that [`forward`](Self::forward) and its gradient make.
    fn flops(&self, time: usize) -> WindowFlops;
}

/// A kind of feed-forward layer: one file in this folder and one row in the registry.
pub trait FfnKind: Named {
    /// Reads the knobs below `model.ffn`, declares the parameters of one layer and returns it.
    fn settle(&self, knobs: &Knobs, shape: &Shape, declare: &mut Declare) -> Result<Box<dyn Ffn>>;
}
