//! The catalog of optimizers.

use std::sync::Arc;

use super::{
    OptimizerKind, adafactor, adam_mini, adamw, ademamix, lion, mars, muon, schedule_free, sgd,
    shampoo, soap, sophia,
};
use crate::config::{Catalog, Slot};

const SLOT: Slot = Slot {
    path: "train.optimizer",
    default: "adamw",
    about: "How gradients move the weights.",
};

/// What ships.
pub fn kinds() -> Catalog<dyn OptimizerKind> {
    Catalog::new(
        "optimizers",
        Some(SLOT),
        vec![
            Arc::new(adamw::Kind),
            Arc::new(sgd::Kind),
            Arc::new(muon::Kind::Muon),
            Arc::new(lion::Kind),
            Arc::new(schedule_free::Kind),
            Arc::new(muon::Kind::NorMuon),
            Arc::new(soap::Kind),
            Arc::new(shampoo::Kind),
            Arc::new(adafactor::Kind),
            Arc::new(adam_mini::Kind),
            Arc::new(ademamix::Kind),
            Arc::new(mars::Kind),
            Arc::new(sophia::Kind),
        ],
    )
}
