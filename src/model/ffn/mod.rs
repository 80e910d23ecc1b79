//! Channel mixing: the feed-forward slot.

use candle_core::Tensor;

use super::{Build, Pass, Site, Span, Work};
use crate::config::Named;
use crate::error::Result;

mod hidden;
pub mod dense;
pub mod gated;
pub mod moe;
pub mod none;

/// A settled feed-forward layer, token by token.
pub trait Ffn: Send + Sync {
    /// (B*T, C) to the same shape.
    ///
    /// # Errors
    /// The operations'.
    fn forward(&self, x_nc: &Tensor, pass: &Pass) -> Result<Tensor>;

    /// What these tokens of one window cost: the products that [`forward`](Self::forward) and its gradient make.
    fn work(&self, span: Span) -> Work;
}

/// A kind of feed-forward layer: one file in this folder and one row in the registry.
pub trait FfnKind: Named {
    /// Reads the knobs below `model.ffn`, declares the parameters of one layer and returns it.
    ///
    /// # Errors
    /// Where a knob has a value that it cannot have.
    fn settle(&self, site: &Site, build: &mut Build) -> Result<Box<dyn Ffn>>;

    /// Whether it is a layer at all: where it is none, a block has no norms for it either.
    fn is_there(&self) -> bool {
        true
    }
}
