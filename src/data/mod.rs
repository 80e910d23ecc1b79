//! Where tokens come from: sources of known entropy, exact-answer tasks, text. No tensors here.
//!
//! A source is a pure function of `(seed, stream, index)`: batch `k` of a seed is the same bits whenever it is asked for,
//! so a resumed run needs no cursor and two arms of a repeat see the same data.

mod chance;
pub mod corpus;
mod generated;
mod language;
mod markov;
mod mqar;
#[cfg(test)]
mod testing;
mod text;
mod uniform;

use std::sync::Arc;

use crate::error::Result;
use crate::spec::{Catalog, Knobs, Named};

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

/// The most token ids that a knob can ask for.
const MOST_TOKEN_IDS: usize = 1 << 24;

/// Reads a knob that counts token ids.
fn token_ids(knobs: &Knobs, name: &str, default: usize) -> Result<usize> {
    let found = knobs.count(name, default)?;
    let refusal = || knobs.refuse(name, &format!("expected at most {MOST_TOKEN_IDS}"));
    if found > MOST_TOKEN_IDS { Err(refusal()) } else { Ok(found) }
}

/// A target that carries no loss (candle's own "skip" index for U32).
pub const IGNORE: u32 = u32::MAX;

/// `rows` windows of `context` tokens, row-major, with the token that follows each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Windows.
    pub rows: usize,
    /// Tokens per window.
    pub context: usize,
    /// What the model sees, `rows * context`.
    pub inputs: Vec<u32>,
    /// What it should say next, [`IGNORE`] where nothing is asked; `rows * context`.
    pub targets: Vec<u32>,
}

impl Batch {
    /// Targets that are asked for.
    pub fn targets_known(&self) -> usize {
        self.targets.iter().filter(|&&target| target != IGNORE).count()
    }

    /// The windows in order, in at most `parts` parts that differ by at most one window.
    pub fn shards(&self, parts: usize) -> Vec<Self> {
        let parts = parts.clamp(1, self.rows.max(1));
        let shard = |i: usize| {
            let (from, to) = (self.rows * i / parts, self.rows * (i + 1) / parts);
            let tokens = from * self.context..to * self.context;
            Self {
                rows: to - from,
                context: self.context,
                inputs: self.inputs[tokens.clone()].to_vec(),
                targets: self.targets[tokens].to_vec(),
            }
        };
        (0..parts).map(shard).collect()
    }
}

/// What the source itself knows of a batch's targets, position by position (`rows * context`, 0 at ignored targets).
#[derive(Debug, Clone, PartialEq)]
pub struct Oracle {
    /// Exact -ln p of each target given its prefix within the window, in nats.
    pub nats: Vec<f64>,
    /// What predicting it needs: an index into [`Source::labels`]; a function of the prefix alone.
    pub labels: Vec<u8>,
}

/// A validation batch: never overlaps training.
#[derive(Debug, Clone, PartialEq)]
pub struct Validation {
    /// The tokens.
    pub batch: Batch,
    /// The source's own probabilities, where it has them.
    pub oracle: Option<Oracle>,
}

/// A settled data source.
pub trait Source: Send + Sync {
    /// Token ids are below this.
    fn vocab(&self) -> usize;

    /// Training batch number `step` of a seed.
    fn train(&self, seed: u64, step: u64, rows: usize, context: usize) -> Batch;

    /// The validation set, the same for every seed and model, in batches of at most `rows` windows.
    fn validation(&self, rows: usize, context: usize) -> Result<Vec<Validation>>;

    /// Names of the oracle's labels; empty where there is no oracle.
    fn labels(&self) -> Vec<String> {
        Vec::new()
    }

    /// Mean bytes of text per token of the validation set, where bytes mean something.
    fn bytes_per_token(&self) -> Option<f64> {
        None
    }

    /// Whether the share of right answers at the targets that are not ignored is the point (`task_accuracy`).
    fn is_task(&self) -> bool {
        false
    }

    /// Distinct training tokens, where the source is finite; training past them is more than one epoch.
    fn train_tokens(&self) -> Option<u64> {
        None
    }
}

/// A kind of data source: one file in this folder and one row in [`kinds`].
pub trait SourceKind: Named {
    /// Reads the knobs below `data` and makes the source; `context` is the window the model sees.
    fn settle(&self, knobs: &Knobs, context: usize) -> Result<Arc<dyn Source>>;
}
