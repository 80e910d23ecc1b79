//! How a model's starts, multipliers and learning rates follow from those of a small one, so that what is tuned there holds here:
//! maximal update parametrisation (Yang et al. 2022, Tensor Programs V, arXiv 2203.03466, table 8, the form that allows a tied
//! head) for the width, CompleteP (Dey et al. 2025, arXiv 2505.01618, table 1, alpha = 1) for the depth.
//!
//! With m = C / C_base, h = H / H_base and d = L / L_base, all 1 at the base shape, where nothing differs from the standard parametrisation by a
//! bit:
//!
//! | role | start, variance | Adam's rate | Adam's eps | SGD's rate | Muon's rate |
//! |---|---|---|---|---|---|
//! | embedding, head | 1 | 1 | 1/m | m | |
//! | matrix | 1/m | 1/m | 1/(m d) | d | 1/sqrt m |
//! | gain, bias in a block | | 1 | 1/(m d) | m d | |
//! | gain, bias of a norm on the stream itself | | 1/d | 1/m | m/d | |
//! | gain, bias of the last norm | | 1 | 1/m | m | |
//! | gain that all heads share | | 1 | h/(m d) | m d / h | |
//!
//! Logits are multiplied by 1/m, the branches of blocks by 1/d (where the start of GPT-2's residual matrices, 1/sqrt(2 L), stays
//! that of the base). Decay is held per step: rate x decay is the base's for every parameter (so AdamW's decay of matrices is
//! x m, as in Dey et al.).
//!
//! Attention's scores keep 1/sqrt(D). Yang et al. have sqrt(D_base)/D, because queries and keys line up as they learn; here D grows
//! from 16 to 64 and then stays, so that there is nothing to carry over for ever, and what the rule costs was seen: at width 128
//! (D = 64, 300 steps of suite `transfer`) the best rate reached 3.22 nats with it and 3.17 without.
//! `model.scaling.base_head_width` turns it on.
//!
//! Muon's update has entries of one size, whatever the shape (Moonlight's 0.2 sqrt(max(m, n))), so a spectral norm that grows as
//! sqrt m; the spectral condition (Yang et al. 2023, arXiv 2310.17813, condition 1) wants it constant.

use crate::config::knob::{Whole, Word};
use crate::config::{Knob, Section, Spec};
use crate::error::Result;

const KIND: Knob<Word> = Knob::word(
    "kind",
    "How starts, multipliers and learning rates carry over to other sizes: as in muP and CompleteP, or not at all.",
    &["mup", "standard"],
)
.default("mup");
const BASE_WIDTH: Knob<Whole> = Knob::count(
    "base_width",
    "Width at which muP changes nothing: learning rates are tuned there.",
)
.unit("channels")
.default(32);
const BASE_LAYERS: Knob<Whole> =
    Knob::count("base_layers", "Depth at which CompleteP changes nothing.").default(2);
const BASE_HEAD_WIDTH: Knob<Whole> = Knob::count(
    "base_head_width",
    "Head width D at which attention scores keep 1/sqrt(D); other widths get muP's sqrt(base)/D.",
)
.unit("channels")
.follows("the heads' own width");

/// `model.scaling.*`
pub const SCALING: Section = Section {
    path: "model.scaling",
    knobs: &[&KIND, &BASE_WIDTH, &BASE_LAYERS, &BASE_HEAD_WIDTH],
};

/// The keys below `model.scaling`, and what they make of a shape.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scaling {
    /// m = C / C_base; 1 in the standard parametrisation.
    pub width: f64,
    /// d = L / L_base; 1 in the standard parametrisation.
    pub depth: f64,
    /// H / H_base, at most m: what more heads share what there is one of for all; 1 in the standard parametrisation.
    pub heads: f64,
    /// Layers whose 1 / sqrt(2 L) matrices into the residual stream start with.
    pub residual_layers: usize,
    /// D_base; `None` in the standard parametrisation.
    base_head_width: Option<usize>,
}

impl Scaling {
    /// Reads the keys for a model of this width, depth and head width.
    pub fn settle(spec: &Spec, width: usize, layers: usize, head_width: usize) -> Result<Self> {
        let knobs = spec.at(&SCALING);
        let kind = knobs.read(&KIND)?;
        let base_width = knobs.read(&BASE_WIDTH)?;
        let base_layers = knobs.read(&BASE_LAYERS)?;
        let base_head_width = knobs.read_or(&BASE_HEAD_WIDTH, head_width)?;
        if kind == "standard" {
            return Ok(Self::standard(layers));
        }
        Ok(Self {
            width: width as f64 / base_width as f64,
            depth: layers as f64 / base_layers as f64,
            heads: 1.0,
            residual_layers: base_layers,
            base_head_width: Some(base_head_width),
        })
    }

    /// What every shape of its own has: no multipliers, one rate.
    pub fn standard(layers: usize) -> Self {
        Self {
            width: 1.0,
            depth: 1.0,
            heads: 1.0,
            residual_layers: layers,
            base_head_width: None,
        }
    }

    /// The same for a model of so many heads, where the base has `of_width` as many as its width asks for.
    #[must_use]
    pub fn with_heads(self, heads: usize, width: usize, of_width: impl Fn(usize) -> usize) -> Self {
        let base = of_width((width as f64 / self.width).round() as usize);
        let grown = heads as f64 / base.max(1) as f64;
        Self {
            heads: grown.min(self.width).max(1.0),
            ..self
        }
    }

    /// What the scores of heads of width D are multiplied by; `None` is 1 / sqrt(D).
    pub fn score_scale(&self, head_width: usize) -> Option<f64> {
        let base = self.base_head_width.filter(|base| *base != head_width)?;
        Some((base as f64).sqrt() / head_width as f64)
    }

    /// On logits.
    pub fn of_logits(&self) -> f64 {
        1.0 / self.width
    }

    /// On what a block adds to the residual stream.
    pub fn of_branches(&self) -> f64 {
        1.0 / self.depth
    }
}

/// Where in a model a parameter stands, which decides what depth does to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Place {
    /// Before the blocks or after them.
    #[default]
    Outside,
    /// In a block, within what it adds to the residual stream.
    Branch,
    /// In a block, on the residual stream itself (the norms of Vaswani et al. 2017).
    Stream,
}

/// A parameter's growth beside the base shape.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Growth {
    /// m.
    pub width: f64,
    /// d.
    pub depth: f64,
    /// Where it stands.
    pub place: Place,
}

impl Default for Growth {
    fn default() -> Self {
        Self {
            width: 1.0,
            depth: 1.0,
            place: Place::Outside,
        }
    }
}

impl Growth {
    /// Of a parameter at that place.
    pub fn of(scaling: &Scaling, place: Place) -> Self {
        Self {
            width: scaling.width,
            depth: scaling.depth,
            place,
        }
    }

    pub(super) fn in_branch(&self) -> f64 {
        if self.place == Place::Branch {
            self.depth
        } else {
            1.0
        }
    }

    pub(super) fn on_stream(&self) -> f64 {
        if self.place == Place::Stream {
            self.depth
        } else {
            1.0
        }
    }
}

/// Factors on an optimizer's settings for one parameter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Factors {
    /// On the learning rate.
    pub lr: f64,
    /// On what is added to the root of the second moment.
    pub eps: f64,
    /// On the decay per unit of learning rate.
    pub decay: f64,
}
