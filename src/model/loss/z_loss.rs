//! z-loss: `weight * mean(ln(Z)^2)` with Z the sum of the exponentials of a token's logits (PaLM, Chowdhery et al. 2022, arXiv
//! 2204.02311, section 5, with weight 1e-4). It keeps ln(Z) near 0, so that logits do not drift.

use super::{Aside, Loss, LossKind};
use crate::config::Named;
use crate::error::Result;
use crate::model::site::Site;

/// Row of the catalog.
pub struct Kind;

impl Named for Kind {
    fn name(&self) -> &'static str {
        "z-loss"
    }
    fn about(&self) -> &'static str {
        "1e-4 times the squared logarithm of the sum of the logits' exponentials (PaLM, Chowdhery et al. 2022, section 5)"
    }
}

impl LossKind for Kind {
    fn weight(&self) -> f64 {
        1e-4
    }

    fn settle(&self, _site: &Site, weight: f64, _build: &mut Aside) -> Result<Box<dyn Loss>> {
        Ok(Box::new(ZLoss(weight)))
    }
}

struct ZLoss(f64);

impl Loss for ZLoss {
    fn z(&self) -> f64 {
        self.0
    }
}
