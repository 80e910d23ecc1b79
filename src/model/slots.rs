//! The catalogs that a model's slots are filled from.

use std::sync::Arc;

use super::ffn::{self, FfnKind};
use super::linear::{self, LinearKind};
use super::loss::{self, LossKind};
use super::mixer::{self, MixerKind};
use super::norm::{self, NormKind};
use super::position::{self, PositionKind};
use super::stream::{self, StreamKind};
use crate::config::{Catalog, Slot};

const MIXER: Slot = Slot {
    path: "model.mixer",
    default: "attention",
    about: "How tokens of a window exchange what they know.",
};
const FFN: Slot = Slot {
    path: "model.ffn",
    default: "gelu",
    about: "The feed-forward layer, which works on each token alone.",
};
const NORM: Slot = Slot {
    path: "model.norm",
    default: "layernorm",
    about: "How activations are brought to one size.",
};
const POSITION: Slot = Slot {
    path: "model.position",
    default: "learned",
    about: "How the model knows where a token stands.",
};

const LINEAR: Slot = Slot {
    path: "model.linear",
    default: "dense",
    about: "Kind of linear layer: dense, with rounding around each product (bf16, fp8, int8, ternary), or with an adapter (lora, dora).",
};

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
    /// Blocks: how norms and branches stand around the residual stream.
    pub streams: Catalog<dyn StreamKind>,
    /// Products with weights.
    pub linears: Catalog<dyn LinearKind>,
    /// What training minimises beside the next token's cross-entropy.
    pub losses: Catalog<dyn LossKind>,
}

impl Slots {
    /// What ships.
    pub fn builtin() -> Self {
        Self {
            mixers: mixers(),
            ffns: ffns(),
            norms: Catalog::new(
                "norms",
                Some(NORM),
                vec![
                    Arc::new(norm::LayerNormKind),
                    Arc::new(norm::RmsNormKind),
                    Arc::new(norm::NoneKind),
                ],
            ),
            positions: Catalog::new(
                "positions",
                Some(POSITION),
                vec![
                    Arc::new(position::LearnedKind),
                    Arc::new(position::SinusoidalKind),
                    Arc::new(position::RopeKind),
                    Arc::new(position::NoneKind),
                ],
            ),
            streams: Catalog::new(
                "streams",
                None,
                vec![
                    Arc::new(stream::pre::Kind) as Arc<dyn StreamKind>,
                    Arc::new(stream::post::Kind),
                    Arc::new(stream::sandwich::Kind),
                    Arc::new(stream::reordered::Kind),
                    Arc::new(stream::parallel::Kind),
                    Arc::new(stream::plain::Kind),
                ],
            ),
            linears: Catalog::new(
                "linears",
                Some(LINEAR),
                vec![
                    Arc::new(linear::dense::Kind) as Arc<dyn LinearKind>,
                    Arc::new(linear::bf16::Kind),
                    Arc::new(linear::fp8::Kind),
                    Arc::new(linear::int8::Kind),
                    Arc::new(linear::ternary::Kind),
                    Arc::new(linear::lora::Kind::Lora),
                    Arc::new(linear::lora::Kind::Dora),
                ],
            ),
            losses: Catalog::new(
                "losses",
                None,
                vec![
                    Arc::new(loss::z_loss::Kind) as Arc<dyn LossKind>,
                    Arc::new(loss::multi_token::Kind),
                ],
            ),
        }
    }
}

/// Of mixers.
fn mixers() -> Catalog<dyn MixerKind> {
    Catalog::new(
        "mixers",
        Some(MIXER),
        vec![
            Arc::new(mixer::attention::Kind::Full) as Arc<dyn MixerKind>,
            Arc::new(mixer::attention::Kind::Sliding),
            Arc::new(mixer::linear_attention::Kind::Linear),
            Arc::new(mixer::linear_attention::Kind::RetNet),
            Arc::new(mixer::linear_attention::Kind::Gla),
            Arc::new(mixer::linear_attention::Kind::Mamba2),
            Arc::new(mixer::linear_attention::Kind::DeltaNet),
            Arc::new(mixer::linear_attention::Kind::GatedDeltaNet),
            Arc::new(mixer::linear_attention::Kind::Kda),
            Arc::new(mixer::lstm::Kind),
            Arc::new(mixer::min_gru::Kind),
            Arc::new(mixer::latent::Kind),
            Arc::new(mixer::differential::Kind),
        ],
    )
}

/// Of feed-forward layers.
fn ffns() -> Catalog<dyn FfnKind> {
    Catalog::new(
        "ffns",
        Some(FFN),
        vec![
            Arc::new(ffn::dense::Kind::Gelu),
            Arc::new(ffn::dense::Kind::Relu),
            Arc::new(ffn::dense::Kind::Relu2),
            Arc::new(ffn::gated::Kind::Swiglu) as Arc<dyn FfnKind>,
            Arc::new(ffn::gated::Kind::Geglu),
            Arc::new(ffn::moe::Kind),
            Arc::new(ffn::none::Kind),
        ],
    )
}
