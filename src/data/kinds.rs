//! The catalog of data sources.

use std::sync::Arc;

use super::{
    SourceKind, addition, copying, countdown, language, markov, mqar, running_sum, sums, text,
    uniform, words,
};
use crate::config::{Catalog, Slot};

const SLOT: Slot = Slot {
    path: "data",
    default: "language",
    about: "Where tokens come from.",
};

/// All built-in kinds.
pub fn kinds() -> Catalog<dyn SourceKind> {
    Catalog::new(
        "data sources",
        Some(SLOT),
        vec![
            Arc::new(language::Kind),
            Arc::new(text::Kind),
            Arc::new(markov::Kind),
            Arc::new(mqar::Kind),
            Arc::new(copying::Kind::Whole),
            Arc::new(copying::Kind::Selective),
            Arc::new(words::Kind::Parity),
            Arc::new(words::Kind::Permutation),
            Arc::new(sums::Kind),
            Arc::new(addition::Kind),
            Arc::new(running_sum::Kind),
            Arc::new(countdown::Kind),
            Arc::new(uniform::Kind),
        ],
    )
}
