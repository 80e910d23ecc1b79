//! No feed-forward layer: a block is its mixer alone, as those of recurrent nets are.

use candle_core::Tensor;

use super::{Ffn, FfnKind};
use crate::config::Named;
use crate::error::Result;
use crate::model::{Build, Pass, Site, Span, Work};

/// Row of the catalog.
pub struct Kind;

impl Named for Kind {
    fn name(&self) -> &'static str {
        "none"
    }
    fn about(&self) -> &'static str {
        "no layer and no norm of its own: a block is its mixer alone"
    }
}

impl FfnKind for Kind {
    fn settle(&self, _site: &Site, _build: &mut Build) -> Result<Box<dyn Ffn>> {
        Ok(Box::new(Nothing))
    }

    fn is_there(&self) -> bool {
        false
    }
}

struct Nothing;

impl Ffn for Nothing {
    fn forward(&self, x_nc: &Tensor, _pass: &Pass) -> Result<Tensor> {
        Ok(x_nc.zeros_like()?)
    }

    fn work(&self, _span: Span) -> Work {
        Work::default()
    }
}
