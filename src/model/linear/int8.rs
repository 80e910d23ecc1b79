//! Factors in whole numbers of 8 bits, -127 to 127 (Jacob et al. 2017, arXiv 1712.05877; a scale for each token and each output as LLM.int8(),
//! Dettmers et al. 2022, arXiv 2208.07339, section 2.1). Gradients stay f32.

use super::rounded::{self, OUTLIER, Precision};
use super::{Linear, LinearKind, LinearSpec};
use crate::config::knob::{Whole, Word};
use crate::config::{Declarations, Knob, Named};
use crate::error::Result;
use crate::model::param::Declare;
use crate::model::site::Site;
use crate::ops::{Grid, Rounding, Share};

const SCALING: Knob<Word> = Knob::word(
    "scaling",
    "Quantization granularity, what shares a scale: a token's inputs and an output's weights, 1 x tile of inputs and tile x tile of weights, or a whole tensor.",
    &["token", "tiles", "tensor"],
)
.default("token");
const TILE: Knob<Whole> =
    Knob::count("tile", "Side of a tile.").follows("128, at most model.width");

/// Row of the catalog.
pub struct Kind;

impl Named for Kind {
    fn name(&self) -> &'static str {
        "int8"
    }
    fn about(&self) -> &'static str {
        "a full matrix whose products take inputs and weights rounded to 8-bit whole numbers (Jacob et al. 2017)"
    }
    fn knobs(&self) -> Declarations {
        &[&SCALING, &TILE, &OUTLIER]
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
            "tiles" => {
                let tile = site.knobs.read_or(&TILE, site.shape.width.min(128))?;
                [Share::Tile(tile), Share::Block(tile)]
            }
            _ => [Share::Row; 2],
        };
        let outlier = site.knobs.read(&OUTLIER)?;
        let precision = Precision {
            inputs: Rounding::new(Grid::Int8, of_rows).with_first(outlier),
            weights: Rounding::new(Grid::Int8, of_weights).with_first(1.0 / outlier),
            gradients: None,
            normed: false,
        };
        Ok(rounded::settle(precision, name, spec, declare))
    }
}
