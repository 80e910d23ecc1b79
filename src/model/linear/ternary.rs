//! Weights of three values, as BitNet b1.58 (Ma et al. 2024, arXiv 2402.17764, section 2): -1, 0 or 1 times the mean size of the matrix,
//! inputs divided by their root mean square and rounded to 8 bits token by token. Gradients stay f32, and so do the weights that train.
//! The authors' code has the division in place of the block's own norm; here it stands behind that, where it changes little.

use super::rounded::{self, Precision};
use super::{Linear, LinearKind, LinearSpec};
use crate::config::Named;
use crate::error::Result;
use crate::model::param::Declare;
use crate::model::site::Site;
use crate::ops::{Grid, Rounding, Share};

/// Row of the catalog.
pub struct Kind;

impl Named for Kind {
    fn name(&self) -> &'static str {
        "ternary"
    }
    fn about(&self) -> &'static str {
        "a full matrix whose products take weights of three values and normed 8-bit inputs (BitNet b1.58, Ma et al. 2024)"
    }
}

impl LinearKind for Kind {
    fn settle(
        &self,
        _site: &Site,
        name: &str,
        spec: LinearSpec,
        declare: &mut Declare,
    ) -> Result<Box<dyn Linear>> {
        let precision = Precision {
            inputs: Rounding::new(Grid::Int8, Share::Row),
            weights: Rounding::new(Grid::Ternary, Share::Tensor),
            gradients: None,
            normed: true,
        };
        Ok(rounded::settle(precision, name, spec, declare))
    }
}
