//! Token mixing: the slot where attention sits and its rivals will.

use candle_core::Tensor;

use super::{Build, Pass, Site, Span, Work};
use crate::config::Named;
use crate::error::Result;

mod cache;
mod token_values;
pub mod attention;
pub mod linear_attention;
pub mod lstm;
pub mod min_gru;
pub mod latent;
pub mod differential;

/// What a mixer keeps between tokens while decoding; its own business.
#[derive(Debug, Clone, Default)]
pub struct State(pub Vec<Tensor>);

/// A settled token mixer: position t may see positions up to t of its own window, and nothing else.
pub trait Mixer: Send + Sync {
    /// Whole windows: `x_nc` is (B*T, C); returns the same shape.
    ///
    /// # Errors
    /// The operations'.
    fn forward(&self, x_nc: &Tensor, pass: &Pass) -> Result<Tensor>;

    /// The next `pass.time` tokens after `pass.offset` already seen, with the state they left. (B*T, C) to the same shape.
    ///
    /// # Errors
    /// The operations'.
    fn advance(&self, x_nc: &Tensor, pass: &Pass, state: &mut State) -> Result<Tensor>;

    /// What these tokens of one window cost: the products that [`forward`](Self::forward), or after others of the window
    /// [`advance`](Self::advance), and the gradient make.
    fn work(&self, span: Span) -> Work;

    /// Scalars that [`State`] holds of a window of so many tokens while decoding.
    fn state_scalars(&self, tokens: usize) -> u64;

    /// Whether [`State`], of a window of at most so many tokens, has each token at a place of its own which only that token's coming
    /// again writes over: the last tokens are then forgotten by not looking at them. A state that is summed up, or a ring, has not.
    fn keeps_by_place(&self, tokens: usize) -> bool {
        let _ = tokens;
        false
    }
}

/// A kind of mixer: one file in this folder and one row in the registry.
pub trait MixerKind: Named {
    /// Reads the knobs below `model.mixer`, declares the parameters of one layer and returns it.
    ///
    /// # Errors
    /// Where a knob has a value that it cannot have.
    fn settle(&self, site: &Site, build: &mut Build) -> Result<Box<dyn Mixer>>;
}
