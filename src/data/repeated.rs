//! Any data with only so many different windows to train on, read over and over (`data.unique_tokens`): what scarce data are worth is
//! then known beside what they would be without end. The unseen windows stay as they are.
//!
//! The windows are the first that the source trains on with a seed. Each reading of all of them is in an order of its own, and the
//! first in another order than the source's, so that runs that repeat and runs that do not differ in nothing else.

use std::sync::{Arc, Mutex, PoisonError};

use super::problems::Problems;
use super::{Batch, HeldOut, Oracle, Source, Validation};
use crate::error::Result;
use crate::stream::stream;

/// Windows that are written at a time.
const ROWS: usize = 64;

/// A source of which so many windows are trained on.
pub struct Repeated {
    inner: Arc<dyn Source>,
    windows: usize,
    context: usize,
    /// What is trained on with the seed that was asked for last.
    held: Mutex<Option<Held>>,
}

struct Held {
    seed: u64,
    inputs: Vec<u32>,
    targets: Vec<u32>,
    /// The reading that `order` is of.
    epoch: u64,
    order: Vec<usize>,
}

impl Repeated {
    /// The windows of `context` tokens that `unique` tokens hold, one at least.
    pub fn new(inner: Arc<dyn Source>, unique: usize, context: usize) -> Self {
        Self {
            inner,
            windows: (unique / context).max(1),
            context,
            held: Mutex::new(None),
        }
    }

    fn hold(&self, seed: u64) -> Held {
        let (mut inputs, mut targets) = (Vec::new(), Vec::new());
        let tokens = self.windows * self.context;
        for step in 0.. {
            if inputs.len() >= tokens {
                break;
            }
            let batch = self.inner.train(seed, step, ROWS, self.context);
            inputs.extend(batch.inputs);
            targets.extend(batch.targets);
        }
        inputs.truncate(tokens);
        targets.truncate(tokens);
        Held {
            seed,
            inputs,
            targets,
            epoch: 0,
            order: self.order(seed, 0),
        }
    }

    fn order(&self, seed: u64, epoch: u64) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.windows).collect();
        stream("data/repeated", seed, epoch).shuffle(&mut order);
        order
    }
}

impl Source for Repeated {
    fn tokenizer(&self) -> Option<String> {
        self.inner.tokenizer()
    }

    fn vocab(&self) -> usize {
        self.inner.vocab()
    }

    fn train(&self, seed: u64, step: u64, rows: usize, context: usize) -> Batch {
        debug_assert_eq!(context, self.context);
        let mut guard = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if guard.as_ref().is_none_or(|held| held.seed != seed) {
            *guard = Some(self.hold(seed));
        }
        let mut batch = Batch {
            rows,
            context,
            inputs: Vec::with_capacity(rows * context),
            targets: Vec::with_capacity(rows * context),
        };
        let Some(held) = guard.as_mut() else {
            return batch;
        };
        let windows = self.windows as u64;
        for window in step * rows as u64..(step + 1) * rows as u64 {
            if window / windows != held.epoch {
                held.epoch = window / windows;
                held.order = self.order(seed, held.epoch);
            }
            let from = held.order[(window % windows) as usize] * context;
            batch.inputs.extend(&held.inputs[from..from + context]);
            batch.targets.extend(&held.targets[from..from + context]);
        }
        batch
    }

    fn validation(&self, rows: usize, context: usize) -> Result<Vec<Validation>> {
        self.inner.validation(rows, context)
    }

    fn held_out(&self, part: HeldOut, rows: usize, context: usize) -> Result<Vec<Validation>> {
        self.inner.held_out(part, rows, context)
    }

    fn oracle(&self, batch: &Batch) -> Option<Oracle> {
        self.inner.oracle(batch)
    }

    fn labels(&self) -> Vec<String> {
        self.inner.labels()
    }

    fn bytes_per_token(&self) -> Option<f64> {
        self.inner.bytes_per_token()
    }

    fn validation_tokens(&self) -> Option<u64> {
        self.inner.validation_tokens()
    }

    fn unknown_share(&self) -> Option<f64> {
        self.inner.unknown_share()
    }

    fn is_task(&self) -> bool {
        self.inner.is_task()
    }

    fn is_text(&self) -> bool {
        self.inner.is_text()
    }

    fn problems(&self) -> Option<&dyn Problems> {
        self.inner.problems()
    }

    fn train_tokens(&self) -> Option<u64> {
        let unique = (self.windows * self.context) as u64;
        Some(
            self.inner
                .train_tokens()
                .map_or(unique, |all| all.min(unique)),
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::data::testing::source;

    #[test]
    fn a_reading_has_each_window_once_and_the_next_another_order() {
        let inner = source(json!({"kind": "markov", "states": 50}), 8).unwrap();
        let repeated = Repeated::new(inner.clone(), 12 * 8 + 3, 8);
        assert_eq!(repeated.train_tokens(), Some(96));
        let windows = |step: u64| -> Vec<Vec<u32>> {
            let batch = repeated.train(5, step, 4, 8);
            batch.inputs.chunks(8).map(<[u32]>::to_vec).collect()
        };
        let reading =
            |first: u64| -> Vec<Vec<u32>> { (first..first + 3).flat_map(windows).collect() };
        let (one, two) = (reading(0), reading(3));
        assert_ne!(one, two);
        let sorted = |mut windows: Vec<Vec<u32>>| {
            windows.sort();
            windows
        };
        let written: Vec<Vec<u32>> = (0..3)
            .flat_map(|step| inner.train(5, step, 4, 8).inputs)
            .collect::<Vec<u32>>()
            .chunks(8)
            .map(<[u32]>::to_vec)
            .collect();
        assert_eq!(sorted(one.clone()), sorted(written));
        assert_eq!(sorted(one), sorted(two.clone()));
        // Any batch again, and another seed's: nothing depends on what was asked before.
        assert_eq!(windows(4), two[4..8].to_vec());
        assert_ne!(repeated.train(6, 0, 4, 8), repeated.train(5, 0, 4, 8));
        // The next token of a window stands where it stood.
        let (batch, all) = (repeated.train(5, 1, 4, 8), inner.train(5, 0, 12, 8));
        let place = all
            .inputs
            .chunks(8)
            .position(|window| *window == batch.inputs[..8]);
        let place = place.unwrap() * 8;
        assert_eq!(batch.targets[..8], all.targets[place..place + 8]);
    }
}
