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
            let builder = ThreadPoolBuilder::new()
                .num_threads(share)
                .stack_size(STACK_BYTES);
            // A part that panics gives no result, which `run` reports; without a handler the process would abort.
            let builder = builder.panic_handler(|_| ());
            builder
                .build()
                .map_err(|error| Error::internal(format!("no threads for a worker: {error}")))
        };
        Ok(Self {
            groups: (0..groups).map(group).collect::<Result<_>>()?,
        })
    }

    /// Runs every part, as many at a time as there are groups, and returns what they return, in order. Part i runs in group
    /// i modulo their number; one part alone, or any part asked for from within a group, runs in the pool of who asks.
    ///
    /// # Errors
    /// Where a part panicked.
    pub fn run<P, R, F>(&self, parts: Vec<P>, work: F) -> Result<Vec<R>>
    where
        P: Send + 'static,
        R: Send + 'static,
        F: Fn(P) -> R + Clone + Send + 'static,
    {
        let within = self
            .groups
            .iter()
            .any(|group| group.current_thread_index().is_some());
        if self.groups.is_empty() || parts.len() == 1 || within {
            return Ok(parts.into_iter().map(work).collect());
        }
        let mut results: Vec<Option<R>> = parts.iter().map(|_| None).collect();
        // One job a group: of two jobs, an idle thread of the group would begin the second before the first is done.
        let mut queues: Vec<Vec<(usize, P)>> = self.groups.iter().map(|_| Vec::new()).collect();
        for (i, part) in parts.into_iter().enumerate() {
            queues[i % self.groups.len()].push((i, part));
        }
        let (done, arrived) = mpsc::channel();
        for (group, queue) in self.groups.iter().zip(queues) {
            let (work, done) = (work.clone(), done.clone());
            group.spawn(move || {
                for (i, part) in queue {
                    // Fails only if who asked is gone.
                    let _ = done.send((i, work(part)));
                }
            });
        }
        drop(done);
        for (i, result) in arrived {
            results[i] = Some(result);
        }
        results
            .into_iter()
            .map(|result| result.ok_or_else(|| Error::internal("a worker panicked")))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_panics_is_an_error() {
        let pool = ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        let workers = pool.install(|| Workers::new(2)).unwrap();
        assert!(workers.run(vec![0, 1, 2], |i| assert_ne!(i, 2)).is_err());
        assert_eq!(
            workers.run(vec![0, 1], |i| i).unwrap(),
            [0, 1],
            "the others live on"
        );
    }

    #[test]
    fn results_come_back_in_order_whatever_the_threads() {
        for threads in 1..4 {
            let pool = ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            let (squares, within) = pool.install(|| {
                let workers = Workers::new(2).unwrap();
                let squares = workers.run((0..9u64).collect(), |i| i * i).unwrap();
                (
                    squares,
                    workers
                        .run(vec![(); 2], |()| rayon::current_num_threads())
                        .unwrap(),
                )
            });
            assert_eq!(squares, (0..9).map(|i| i * i).collect::<Vec<_>>());
            let nested = pool.install(|| {
                let workers = std::sync::Arc::new(Workers::new(2).unwrap());
                let inner = workers.clone();
                workers
                    .run(vec![1, 2], move |i| inner.run(vec![i, i], |j| j).unwrap())
                    .unwrap()
            });
            assert_eq!(nested, [[1, 1], [2, 2]]);
            let expected = [[1, 1], [1, 1], [1, 2]][threads - 1];
            assert_eq!(within, expected, "{threads} threads");
        }
    }
}
