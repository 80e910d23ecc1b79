//! Factors in 8-bit floats, as DeepSeek-V3 trains (arXiv 2412.19437, section 3.3): E4M3 for all, a scale for each 1 x N tile of inputs and
//! gradients and for each N x N block of weights. Its N is 128; here it is at most the model's width, since a tile that is a whole row
//! or a block that is a whole matrix would test nothing.

use super::rounded::{self, OUTLIER, Precision};
use super::{Linear, LinearKind, LinearSpec};
use crate::config::knob::{Flag, Whole, Word};
use crate::config::{Declarations, Knob, Named};
use crate::error::Result;
use crate::model::param::Declare;
use crate::model::site::Site;
use crate::ops::{Grid, Rounding, Share};

const SCALING: Knob<Word> = Knob::word(
    "scaling",
    "Quantization granularity, what shares a scale: 1 x tile numbers of inputs and gradients and tile x tile of weights, or a whole tensor.",
    &["tiles", "tensor"],
)
.default("tiles");
const TILE: Knob<Whole> =
    Knob::count("tile", "Side of a tile.").follows("128, at most model.width");
const GRADIENTS: Knob<Word> = Knob::word(
    "gradients",
    "What gradients of outputs are rounded to.",
    &["e4m3", "e5m2"],
)
.default("e4m3");
const POWER_OF_TWO: Knob<Flag> = Knob::flag(
    "power_of_two",
    "Whether scales are rounded up to powers of two.",
)
.default(false);

/// Row of the catalog.
pub struct Kind;

impl Named for Kind {
    fn name(&self) -> &'static str {
        "fp8"
    }
    fn about(&self) -> &'static str {
        "a full matrix whose products take inputs, weights and gradients rounded to 8-bit floats (DeepSeek-V3, arXiv 2412.19437)"
    }
    fn knobs(&self) -> Declarations {
        &[&SCALING, &TILE, &GRADIENTS, &POWER_OF_TWO, &OUTLIER]
    }
}

impl LinearKind for Kind {
    fn settle(
        &self,
        site: &Site,
        name: &str,
        spec: LinearSpec,
        declare: &mut Declare,
    ) -> Result<Box<dyn Linear>> {
        let [of_rows, of_weights] = match site.knobs.read(&SCALING)? {
            "tensor" => [Share::Tensor; 2],
            _ => {
                let tile = site.knobs.read_or(&TILE, site.shape.width.min(128))?;
                [Share::Tile(tile), Share::Block(tile)]
            }
        };
        let gradients = match site.knobs.read(&GRADIENTS)? {
            "e5m2" => Grid::E5m2,
            _ => Grid::E4m3,
        };
        let power_of_two = site.knobs.read(&POWER_OF_TWO)?;
        let rounding = |grid, share| Rounding {
            power_of_two,
            ..Rounding::new(grid, share)
        };
        let outlier = site.knobs.read(&OUTLIER)?;
        let precision = Precision {
            inputs: rounding(Grid::E4m3, of_rows).with_first(outlier),
            weights: rounding(Grid::E4m3, of_weights).with_first(1.0 / outlier),
            gradients: Some(rounding(gradients, of_rows)),
            normed: false,
        };
        Ok(rounded::settle(precision, name, spec, declare))
    }
}
