//! The catalog of data sources.

use std::sync::Arc;

use super::{SourceKind, language, markov, mqar, text, uniform};
use crate::config::Catalog;

/// The kind that `data.kind` defaults to.
pub const DEFAULT_KIND: &str = "language";

/// All built-in kinds.
pub fn kinds() -> Catalog<dyn SourceKind> {
    Catalog::new(
        "data sources",
        vec![
            Arc::new(language::Kind),
            Arc::new(text::Kind),
            Arc::new(markov::Kind),
            Arc::new(mqar::Kind),
            Arc::new(uniform::Kind),
        ],
    )
}
