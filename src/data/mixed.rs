//! Two sources in one stream of training windows, in a stated proportion (`mixed.share`); what judges are the first's unseen windows.
//!
//! Of the first n windows the second source writes as many as its share says, rounded down, whatever n is: proportions differ between
//! cells, and luck in them does not. Each source goes through its own windows in its own order.

use std::sync::Arc;

use super::problems::Problems;
use super::{Batch, HeldOut, Oracle, Questions, Source, Validation};
use crate::error::Result;

/// Seeds of the second source, so that two sources of one kind do not draw the same numbers.
const OTHER: u64 = 1 << 63;

/// A source with windows of another among its own.
pub struct Mixed {
    first: Arc<dyn Source>,
    second: Arc<dyn Source>,
    share: f64,
}

impl Mixed {
    /// `share` of the windows, from 0 to 1, are the second's.
    pub fn new(first: Arc<dyn Source>, second: Arc<dyn Source>, share: f64) -> Self {
        Self {
            first,
            second,
            share,
        }
    }

    /// Windows of the second source among the first `windows`.
    fn of_second(&self, windows: u64) -> u64 {
        (windows as f64 * self.share).floor() as u64
    }
}

impl Source for Mixed {
    fn tokenizer(&self) -> Option<String> {
        self.first.tokenizer()
    }

    fn vocab(&self) -> usize {
        self.first.vocab()
    }

    fn train(&self, seed: u64, step: u64, rows: usize, context: usize) -> Batch {
        let mut batch = Batch {
            rows,
            context,
            inputs: Vec::with_capacity(rows * context),
            targets: Vec::with_capacity(rows * context),
        };
        for window in step * rows as u64..(step + 1) * rows as u64 {
            let before = self.of_second(window);
            let one = match self.of_second(window + 1) > before {
                true => self.second.train(seed ^ OTHER, before, 1, context),
                false => self.first.train(seed, window - before, 1, context),
            };
            batch.inputs.extend(one.inputs);
            batch.targets.extend(one.targets);
        }
        batch
    }

    fn validation(&self, rows: usize, context: usize) -> Result<Vec<Validation>> {
        self.first.validation(rows, context)
    }

    fn held_out(&self, part: HeldOut, rows: usize, context: usize) -> Result<Vec<Validation>> {
        self.first.held_out(part, rows, context)
    }

    fn oracle(&self, batch: &Batch) -> Option<Oracle> {
        self.first.oracle(batch)
    }

    fn labels(&self) -> Vec<String> {
        self.first.labels()
    }

    fn bytes_per_token(&self) -> Option<f64> {
        self.first.bytes_per_token()
    }

    fn validation_tokens(&self) -> Option<u64> {
        self.first.validation_tokens()
    }

    fn unknown_share(&self) -> Option<f64> {
        self.first.unknown_share()
    }

    fn is_task(&self) -> bool {
        self.first.is_task()
    }

    fn is_text(&self) -> bool {
        self.first.is_text()
    }

    fn problems(&self) -> Option<&dyn Problems> {
        self.first.problems()
    }

    fn choices(&self) -> Option<&Questions> {
        self.first.choices()
    }

    /// Tokens of the mixture after which one of both begins again.
    fn train_tokens(&self) -> Option<u64> {
        let lasts = |source: &dyn Source, share: f64| {
            let own = source.train_tokens().filter(|_| share > 0.0)?;
            Some((own as f64 / share) as u64)
        };
        let first = lasts(self.first.as_ref(), 1.0 - self.share);
        let second = lasts(self.second.as_ref(), self.share);
        first.into_iter().chain(second).min()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::data::Repeated;
    use crate::data::testing::source;

    const CONTEXT: usize = 8;

    fn windows(source: &dyn Source, steps: u64, rows: usize) -> Vec<Vec<u32>> {
        let batches = (0..steps).map(|step| source.train(3, step, rows, CONTEXT).inputs);
        let all: Vec<u32> = batches.flatten().collect();
        all.chunks(CONTEXT).map(<[u32]>::to_vec).collect()
    }

    #[test]
    fn as_many_windows_are_the_seconds_as_its_share_says_and_each_goes_through_its_own() {
        let first = source(json!({"kind": "markov", "states": 50}), CONTEXT).unwrap();
        let second = source(json!({"kind": "uniform", "vocab": 50}), CONTEXT).unwrap();
        let own =
            |source: &Arc<dyn Source>, seed: u64, k: u64| source.train(seed, k, 1, CONTEXT).inputs;
        for (share, of_40) in [(0.0, 0), (0.25, 10), (0.3, 12), (1.0, 40)] {
            let mixed = Mixed::new(first.clone(), second.clone(), share);
            let seen = windows(&mixed, 10, 4);
            // The same windows in other batches: a step's size is no part of the data.
            assert_eq!(seen, windows(&mixed, 20, 2));
            let others: Vec<Vec<u32>> = (0..40).map(|k| own(&second, 3 ^ OTHER, k)).collect();
            let (theirs, ours): (Vec<_>, Vec<_>) =
                seen.into_iter().partition(|window| others.contains(window));
            assert_eq!(theirs, others[..of_40], "{share}");
            let want: Vec<Vec<u32>> = (0..40 - of_40 as u64).map(|k| own(&first, 3, k)).collect();
            assert_eq!(ours, want, "{share}");
        }
    }

    #[test]
    fn a_mixture_lasts_as_long_as_the_shorter_of_its_sources() {
        let endless = source(json!({"kind": "markov", "states": 50}), CONTEXT).unwrap();
        let scarce: Arc<dyn Source> = Arc::new(Repeated::new(endless.clone(), 800, CONTEXT));
        let lasts = |share| Mixed::new(scarce.clone(), endless.clone(), share).train_tokens();
        assert_eq!(
            (lasts(0.0), lasts(0.75), lasts(1.0)),
            (Some(800), Some(3200), None)
        );
        assert_eq!(
            Mixed::new(endless.clone(), scarce, 0.5).train_tokens(),
            Some(1600)
        );
    }
}
