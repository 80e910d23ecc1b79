//! The catalog of optimizers.

use std::sync::Arc;

use super::{OptimizerKind, adamw, lion, muon, schedule_free, sgd};
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
            Arc::new(muon::Kind),
            Arc::new(lion::Kind),
            Arc::new(schedule_free::Kind),
        ],
    )
}
