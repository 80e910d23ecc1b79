//! Data beside those that a trial is about: its parent's, and what is mixed into its own.

use std::sync::Arc;

use super::Registry;
use crate::config::Spec;
use crate::data::Source;
use crate::error::{Error, Result};

/// The data of the cell that this one begins with, which a suite writes into its spec (`before.data`) where they are others.
pub(super) const BEFORE: &str = "before";

/// Other data beside a spec's own, in a table of theirs.
pub(super) fn other(
    registry: &Registry,
    spec: &Spec,
    table: &str,
    source: &dyn Source,
    context: usize,
) -> Result<Option<Arc<dyn Source>>> {
    if !spec.has_any(table) {
        return Ok(None);
    }
    if !spec.has_any(&format!("{table}.data")) {
        let message = format!("`{table}` says of no data what they are");
        return Err(Error::input(message).hint(format!("for example {table}.data.kind")));
    }
    let (kind, knobs) = registry.sources.pick(&spec.within(table))?;
    let other = kind.settle(&knobs, context)?;
    if other.vocab() != source.vocab() {
        let message = format!(
            "the data have {} tokens, and those of {table}.data {}",
            source.vocab(),
            other.vocab()
        );
        return Err(Error::input(message).hint("one tokenizer, or one vocabulary, for both"));
    }
    Ok(Some(other))
}
