//! The catalog of optimizers.

use std::sync::Arc;

use super::{OptimizerKind, adamw, muon, sgd};
use crate::config::Catalog;

/// What ships.
pub fn kinds() -> Catalog<dyn OptimizerKind> {
    Catalog::new(
        "optimizers",
        vec![
            Arc::new(adamw::Kind),
            Arc::new(sgd::Kind),
            Arc::new(muon::Kind),
        ],
    )
}
