//! Factors in bf16.

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
        "bf16"
    }
    fn about(&self) -> &'static str {
        "a full matrix whose products take inputs, weights and gradients rounded to bf16 (Kalamkar et al. 2019)"
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
        let rounding = Rounding::new(Grid::Bf16, Share::Row);
        let precision = Precision {
            inputs: rounding,
            weights: rounding,
            gradients: Some(rounding),
            normed: false,
        };
        Ok(rounded::settle(precision, name, spec, declare))
    }
}
