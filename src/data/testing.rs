//! What the tests of the sources share.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Source, kinds};
use crate::config::knobs::{Settled, settle};
use crate::config::{Origin, Tree};
use crate::error::Result;

/// Settles a `data` table, as a trial does.
pub fn settled(data: Value, context: usize) -> Result<(Arc<dyn Source>, Settled)> {
    let tree = Tree::from_json(&json!({ "data": data }), &Origin::named("test"))?;
    let known = || kinds().keys();
    settle(&tree, known, |spec| {
        let (kind, knobs) = kinds().pick(spec)?;
        kind.settle(&knobs, context)
    })
}

/// The source alone.
pub fn source(data: Value, context: usize) -> Result<Arc<dyn Source>> {
    settled(data, context).map(|(source, _)| source)
}

/// The message and hint with which a `data` table is refused.
pub fn refusal(data: Value, context: usize) -> String {
    match source(data.clone(), context) {
        Ok(_) => panic!("{data} was accepted"),
        Err(error) => error.to_string(),
    }
}

/// Mean of the oracle's nats over the validation set, and its standard error over windows.
pub fn mean_nats(source: &dyn Source, context: usize) -> (f64, f64) {
    let oracles = source
        .validation(64, context)
        .unwrap()
        .into_iter()
        .filter_map(|v| v.oracle);
    let means: Vec<f64> = oracles
        .flat_map(|o| {
            o.nats
                .chunks(context)
                .map(|w| w.iter().sum::<f64>() / context as f64)
                .collect::<Vec<_>>()
        })
        .collect();
    let n = means.len() as f64;
    let mean = means.iter().sum::<f64>() / n;
    let variance = means.iter().map(|m| (m - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, (variance / n).sqrt())
}
