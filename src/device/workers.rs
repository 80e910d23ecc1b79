//! Threads in groups that work side by side.
//!
//! A small model's operations are too short to be shared among threads: waking them costs more than they save. So a batch is
//! split into a few parts, and each part runs from its first operation to its last within one group of threads, a pool of its
//! own. How many parts there are is said by who splits, never by the number of threads, so that no result depends on it.

use rayon::{ThreadPool, ThreadPoolBuilder};
use std::sync::mpsc;

use crate::error::{Error, Result};

/// Room for candle's backward pass, which recurses along the graph; touched only as far as it is used.
pub const STACK_BYTES: usize = 256 << 20;

/// Groups of threads.
pub struct Workers {
    /// Empty where one group would be alone: its work then runs in the pool of who asks.
    groups: Vec<ThreadPool>,
}

impl Workers {
    /// Divides as many threads as the current pool has among at most `parts` groups.
    pub fn new(parts: usize) -> Result<Self> {
        let threads = rayon::current_num_threads();
        let groups = parts.min(threads);
        if groups <= 1 {
            return Ok(Self { groups: Vec::new() });
        }
        let group = |i: usize| {
            let share = threads * (i + 1) / groups - threads * i / groups;
            let builder = ThreadPoolBuilder::new().num_threads(share).stack_size(STACK_BYTES);
            builder.build().map_err(|error| Error::internal(format!("no threads for a worker: {error}")))
        };
        Ok(Self { groups: (0..groups).map(group).collect::<Result<_>>()? })
    }

    /// Runs every part, as many at a time as there are groups, and returns what they return, in order. Part i runs in group
    /// i modulo their number.
    pub fn run<P, R, F>(&self, parts: Vec<P>, work: F) -> Result<Vec<R>>
    where
        P: Send + 'static,
        R: Send + 'static,
        F: Fn(P) -> R + Clone + Send + 'static,
    {
        if self.groups.is_empty() || parts.len() == 1 {
            return Ok(parts.into_iter().map(work).collect());
        }
        let mut results: Vec<Option<R>> = parts.iter().map(|_| None).collect();
        let (done, arrived) = mpsc::channel();
        for (i, part) in parts.into_iter().enumerate() {
            let (work, done) = (work.clone(), done.clone());
            self.groups[i % self.groups.len()].spawn_fifo(move || {
                // Fails only if who asked is gone.
                let _ = done.send((i, work(part)));
            });
        }
        drop(done);
        for (i, result) in arrived {
            results[i] = Some(result);
        }
        results.into_iter().map(|result| result.ok_or_else(|| Error::internal("a worker died"))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_back_in_order_whatever_the_threads() {
        for threads in 1..4 {
            let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let (squares, within) = pool.install(|| {
                let workers = Workers::new(2).unwrap();
                let squares = workers.run((0..9u64).collect(), |i| i * i).unwrap();
                (squares, workers.run(vec![(); 2], |()| rayon::current_num_threads()).unwrap())
            });
            assert_eq!(squares, (0..9).map(|i| i * i).collect::<Vec<_>>());
            let expected = [[1, 1], [1, 1], [1, 2]][threads - 1];
            assert_eq!(within, expected, "{threads} threads");
        }
    }
}
