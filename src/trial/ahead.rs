//! Batches made ahead, on a thread of their own, while the device computes.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use super::settle::Experiment;
use crate::data::{Batch, Source};
use crate::error::{Error, Result};

/// Batches that wait to be taken at most.
const MOST: usize = 2;

/// The batches of a training, in order, made before they are asked for.
pub struct Ahead(Receiver<Batch>);

impl Ahead {
    /// Where the processor waits for another device. Where it computes itself, a thread more would take from those that do.
    ///
    /// # Errors
    /// Where no thread can be started.
    pub fn where_it_pays(experiment: &Experiment, seed: u64, from: u64) -> Result<Option<Self>> {
        if experiment.device == "cpu" {
            return Ok(None);
        }
        let size = (experiment.batch, experiment.model.shape.context);
        Self::start(
            experiment.source.clone(),
            seed,
            from..experiment.steps,
            size,
        )
        .map(Some)
    }

    fn start(
        source: Arc<dyn Source>,
        seed: u64,
        steps: std::ops::Range<u64>,
        (batch, context): (usize, usize),
    ) -> Result<Self> {
        let (give, take) = sync_channel(MOST);
        let work = move || {
            for step in steps {
                // Nobody takes any more where training ended early.
                if give.send(source.train(seed, step, batch, context)).is_err() {
                    return;
                }
            }
        };
        let thread = thread::Builder::new()
            .name("batches".to_owned())
            .spawn(work);
        thread.map_err(|error| Error::internal(format!("no thread for the data: {error}")))?;
        Ok(Self(take))
    }

    /// The next batch, waited for where it is not there yet.
    ///
    /// # Errors
    /// Where the thread that makes them has ended.
    pub fn next(&self) -> Result<Batch> {
        let gone = |_| Error::internal("the thread that makes batches has ended");
        self.0.recv().map_err(gone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Library;
    use crate::trial::{Registry, settle};

    #[test]
    fn batches_come_in_order_and_are_those_that_would_be_made_on_the_spot() {
        let tree = Library::builtin().variant("gpt2").unwrap().tree;
        let experiment = settle(&Registry::builtin(), &tree).unwrap().experiment;
        let source = experiment.source;
        let ahead = Ahead::start(source.clone(), 7, 3..6, (2, 16)).unwrap();
        for step in 3..6 {
            assert_eq!(ahead.next().unwrap(), source.train(7, step, 2, 16));
        }
        assert!(ahead.next().is_err());
    }
}
