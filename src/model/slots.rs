//! The catalogs that a model's slots are filled from.

use std::sync::Arc;

use super::ffn::{self, FfnKind};
use super::mixer::{self, MixerKind};
use super::norm::{self, NormKind};
use super::position::{self, PositionKind};
use crate::config::Catalog;

/// The catalogs a model's slots are filled from.
#[derive(Clone)]
pub struct Slots {
    /// Token mixing.
    pub mixers: Catalog<dyn MixerKind>,
    /// Channel mixing.
    pub ffns: Catalog<dyn FfnKind>,
    /// Norms.
    pub norms: Catalog<dyn NormKind>,
    /// Positions.
    pub positions: Catalog<dyn PositionKind>,
}

impl Slots {
    /// What ships.
    pub fn builtin() -> Self {
        Self {
            mixers: Catalog::new("mixers", vec![Arc::new(mixer::attention::Kind)]),
            ffns: Catalog::new(
                "ffns",
                vec![
                    Arc::new(ffn::dense::Kind::Gelu),
                    Arc::new(ffn::dense::Kind::Relu),
                    Arc::new(ffn::swiglu::Kind) as Arc<dyn FfnKind>,
                ],
            ),
            norms: Catalog::new(
                "norms",
                vec![Arc::new(norm::LayerNormKind), Arc::new(norm::RmsNormKind)],
            ),
            positions: Catalog::new(
                "positions",
                vec![
                    Arc::new(position::LearnedKind),
                    Arc::new(position::SinusoidalKind),
                    Arc::new(position::RopeKind),
                    Arc::new(position::NoneKind),
                ],
            ),
        }
    }
}
