//! Token mixing: the slot where attention sits and its rivals will.

use candle_core::Tensor;

use super::{Declare, Pass, Shape, WindowFlops};
use crate::config::{Knobs, Named};
use crate::error::Result;

pub mod attention;

/// What a mixer keeps between tokens while decoding; its own business.
#[derive(Debug, Clone, Default)]
pub struct State(pub Vec<Tensor>);

/// A settled token mixer: position t may see positions up to t of its own window, and nothing else.
pub trait Mixer: Send + Sync {
    /// Whole windows: `x_nc` is (B*T, C); returns the same shape.
    fn forward(&self, x_nc: &Tensor, pass: &Pass) -> Result<Tensor>;

    /// The next `pass.time` tokens after `pass.offset` already seen, with the state they left. (B*T, C) to the same shape.
    fn advance(&self, x_nc: &Tensor, pass: &Pass, state: &mut State) -> Result<Tensor>;

    /// What training one window of `time` tokens costs: the products that [`forward`](Self::forward) and its gradient make.
    fn flops(&self, time: usize) -> WindowFlops;

    /// Scalars that [`State`] holds per token of a window while decoding; 0 for a state of fixed size.
    fn cache_scalars_per_token(&self) -> u64;

    /// Scalars that it holds per window beside those, however long the window is.
    fn cache_scalars_per_window(&self) -> u64 {
        0
    }
}

/// A kind of mixer: one file in this folder and one row in the registry.
pub trait MixerKind: Named {
    /// Reads the knobs below `model.mixer`, declares the parameters of one layer and returns it.
    fn settle(&self, knobs: &Knobs, shape: &Shape, declare: &mut Declare)
    -> Result<Box<dyn Mixer>>;
}
