//! A residual stream that keeps its beginning in sight: before each block `x = r x + z x0`, with x0 what entered the first block and
//! two trained scalars of each block. They start as nanochat's (Karpathy 2025): r from 1.15 to 1.05 over the depth, z from 0.20 to 0.05;
//! r, which multiplies everything before it, learns at a hundredth of the rate.

use candle_core::Tensor;

use super::param::{Declare, Init, ParamId, Part};
use super::pass::Pass;
use super::scaling::Place;
use super::shape::Shape;
use crate::config::knob::Flag;
use crate::config::{Knob, Section, Spec};
use crate::error::Result;
use crate::ops::Blend;

const RECALL: Knob<Flag> = Knob::flag(
    "x0",
    "Whether each block begins with the stream times a trained scalar and what entered the first block times another.",
)
.default(false);

/// `model.x0`
pub(super) const SECTION: Section = Section {
    path: "model",
    knobs: &[&RECALL],
};

/// From the first block to the last.
const KEEPS: [f64; 2] = [1.15, 1.05];
const TAKES: [f64; 2] = [0.20, 0.05];

/// Factor on the learning rate of what multiplies the stream.
const SLOWLY: f64 = 0.01;

/// The scalars of every block; none where the key is not on.
pub(super) struct Recall(Vec<Scalars>);

struct Scalars {
    keeps: ParamId,
    takes: ParamId,
    trains: bool,
}

impl Recall {
    /// Reads the key, silent where it is not said, and declares the scalars.
    pub(super) fn settle(spec: &Spec, shape: &Shape, declare: &mut Declare) -> Result<Self> {
        let knobs = spec.at(&SECTION);
        if !knobs.find(&RECALL)?.unwrap_or(false) {
            return Ok(Self(Vec::new()));
        }
        let last = (shape.layers - 1).max(1) as f64;
        let of_block = |layer: usize| {
            let at = |[from, to]: [f64; 2]| from + (to - from) * layer as f64 / last;
            let name = format!("blocks.{layer:02}");
            declare.enter(&name, Part::Norm, &shape.scaling, Place::Stream);
            let from = declare.count();
            Scalars {
                keeps: declare.scalar("keeps", Init::Const(at(KEEPS)), SLOWLY),
                takes: declare.scalar("takes", Init::Const(at(TAKES)), 1.0),
                trains: declare.any_trains(from),
            }
        };
        Ok(Self((0..shape.layers).map(of_block).collect()))
    }

    /// Whether a block's scalars train, so that a gradient is asked of its input.
    pub(super) fn trains(&self, layer: usize) -> bool {
        self.0.get(layer).is_some_and(|scalars| scalars.trains)
    }

    /// What a block begins with.
    pub(super) fn blend(
        &self,
        layer: usize,
        x_nc: Tensor,
        first: &Tensor,
        pass: &Pass,
    ) -> Result<Tensor> {
        let Some(Scalars { keeps, takes, .. }) = self.0.get(layer) else {
            return Ok(x_nc);
        };
        let [keeps, takes] = [*keeps, *takes].map(|scalar| &pass.weights[scalar]);
        Ok(pass.ops.unaided(&Blend, [&x_nc, first, keeps, takes])?)
    }
}
