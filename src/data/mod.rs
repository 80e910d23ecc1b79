//! Where tokens come from: sources of known entropy, exact-answer tasks, text. No tensors here.
//!
//! A source is a pure function of `(seed, stream, index)`: batch `k` of a seed is the same bits whenever it is asked for,
//! so a resumed run needs no cursor and two arms of a repeat see the same data.

mod chance;
mod choices;
pub mod corpus;
mod held_out;
mod problems;
mod generated;
mod exact;
mod language;
mod markov;
mod mqar;
mod copying;
mod words;
mod sums;
mod addition;
mod running_sum;
mod countdown;
#[cfg(test)]
mod testing;
mod text;
mod uniform;
mod kinds;
mod repeated;
mod mixed;

pub use choices::{Choice, Question, Questions};
pub use held_out::HeldOut;
pub use kinds::kinds;
pub use mixed::Mixed;
pub use problems::Problems;
pub use repeated::Repeated;
pub use text::{byte_tokenizer, tokenizer_of};

use std::sync::Arc;

use crate::config::knob::Whole;
use crate::config::{Knob, Knobs, Named};
use crate::error::{Error, Result};

/// The most token ids that a key can ask for.
const MOST_TOKEN_IDS: usize = 1 << 24;

/// Of every source that makes its data.
const VALIDATION_TOKENS: Knob<Whole> = Knob::count(
    "validation_tokens",
    "Unseen tokens that losses are measured on, rounded up to whole windows.",
)
.unit("tokens")
.default(32_768);

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
    /// Some of its windows.
    fn windows(&self, from: usize, to: usize) -> Self {
        let tokens = from * self.context..to * self.context;
        Self {
            rows: to - from,
            context: self.context,
            inputs: self.inputs[tokens.clone()].to_vec(),
            targets: self.targets[tokens].to_vec(),
        }
    }

    /// Targets that are asked for.
    pub fn targets_known(&self) -> usize {
        self.targets
            .iter()
            .filter(|&&target| target != IGNORE)
            .count()
    }

    /// The windows in order, in at most `parts` parts that differ by at most one window.
    pub fn shards(&self, parts: usize) -> Vec<Self> {
        let parts = parts.clamp(1, self.rows.max(1));
        let shard = |i: usize| self.windows(self.rows * i / parts, self.rows * (i + 1) / parts);
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

impl Validation {
    fn windows(&self, from: usize, to: usize) -> Self {
        let tokens = from * self.batch.context..to * self.batch.context;
        let oracle = self.oracle.as_ref().map(|oracle| Oracle {
            nats: oracle.nats[tokens.clone()].to_vec(),
            labels: oracle.labels[tokens.clone()].to_vec(),
        });
        Self {
            batch: self.batch.windows(from, to),
            oracle,
        }
    }
}

/// A settled data source.
pub trait Source: Send + Sync {
    /// Token ids are below this.
    fn vocab(&self) -> usize;

    /// A hash of what each token id means, where they stand for pieces of a text: two models with the same one can speak to each other.
    fn tokenizer(&self) -> Option<String> {
        None
    }

    /// Training batch number `step` of a seed.
    fn train(&self, seed: u64, step: u64, rows: usize, context: usize) -> Batch;

    /// The validation set, the same for every seed and model, in batches of at most `rows` windows.
    fn validation(&self, rows: usize, context: usize) -> Result<Vec<Validation>>;

    /// A part of what no training sees. Of a source that has just so much, the validation part is the first half of the
    /// windows of [`Self::validation`] and the test part the rest; one that can write more writes others.
    fn held_out(&self, part: HeldOut, rows: usize, context: usize) -> Result<Vec<Validation>> {
        let all = self.validation(rows, context)?;
        let windows: usize = all.iter().map(|v| v.batch.rows).sum();
        let half = windows.div_ceil(2);
        let (from, to) = match part {
            HeldOut::Validation => (0, half),
            HeldOut::Test => (half, windows),
            HeldOut::All => return Ok(all),
        };
        if windows < 2 {
            let message =
                "the validation part has a single window, and a sweep and its judge need one each";
            return Err(Error::input(message).hint("more text, or a smaller model.context"));
        }
        let mut first = 0;
        let pieces = all.iter().map(|v| {
            let (low, high) = (from.max(first), to.min(first + v.batch.rows));
            let piece = (low < high).then(|| v.windows(low - first, high - first));
            first += v.batch.rows;
            piece
        });
        Ok(pieces.flatten().collect())
    }

    /// The exact probabilities of any batch, whoever wrote it: infinite nats where a target cannot be. `None` where there is no
    /// oracle. A window may be shorter than those that the source writes.
    fn oracle(&self, batch: &Batch) -> Option<Oracle> {
        let _ = batch;
        None
    }

    /// Names of the oracle's labels; empty where there is no oracle.
    fn labels(&self) -> Vec<String> {
        Vec::new()
    }

    /// Mean bytes of text per token of the validation set, where bytes mean something.
    fn bytes_per_token(&self) -> Option<f64> {
        None
    }

    /// Tokens of [`Self::validation`], where they are known without writing them.
    fn validation_tokens(&self) -> Option<u64> {
        None
    }

    /// Share of the validation set's tokens that say "unknown", where the tokenizer has such a token: a model that predicts them
    /// predicts no text.
    fn unknown_share(&self) -> Option<f64> {
        None
    }

    /// Whether the share of right answers at the targets that are not ignored is the point (`task_accuracy`).
    fn is_task(&self) -> bool {
        false
    }

    /// Whether it is a text, whose perplexity means something.
    fn is_text(&self) -> bool {
        false
    }

    /// The problems that a trained model is asked, where it has some.
    fn problems(&self) -> Option<&dyn Problems> {
        None
    }

    /// The questions with answers to choose from that a trained model is asked, where it has some.
    fn choices(&self) -> Option<&Questions> {
        None
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::data::testing::{refusal, source};

    #[test]
    fn a_single_window_is_not_divided() {
        let source = source(json!({"kind": "uniform", "validation_tokens": 64}), 64).unwrap();
        assert_eq!(
            source.held_out(HeldOut::Test, 8, 64).unwrap().len(),
            1,
            "a process writes more"
        );
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("text.txt");
        std::fs::write(&path, [b'a'; 650]).unwrap();
        let refused = refusal(json!({"kind": "text", "path": path}), 64);
        assert!(
            refused.contains("its validation part is a single window"),
            "{refused}"
        );
    }
}
