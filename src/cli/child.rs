//! The hidden commands that a run starts as its own children: one trial, one calibration.

use super::print;
use crate::device::STACK_BYTES;
use crate::error::{Error, Result};
use crate::record::At;
use crate::runner::child;
use crate::trial::{self, Event, Registry};

/// Runs the job on standard input and says how it goes, one event a line.
pub fn trial(registry: &Registry) -> Result<()> {
    let job = child::receive()?;
    inside_the_pool(|| {
        let mut lost = None;
        let mut emit = |event: Event| {
            if let Err(error) = child::say(&event) {
                lost.get_or_insert(error);
            }
        };
        let trial = trial::run(registry, &job, &mut emit)?;
        emit(Event::Done {
            trial: Box::new(trial),
        });
        lost.map_or(Ok(()), Err)
    })
}

/// Measures a device's peaks and prints them.
pub fn calibrate(registry: &Registry, device: &str) -> Result<()> {
    let calibration =
        inside_the_pool(|| trial::calibrate::calibrate(registry, device, 0, At::Before))?;
    let text =
        serde_json::to_string(&calibration).map_err(|error| Error::internal(error.to_string()))?;
    print(&text)
}

/// Runs `body` on one of rayon's own threads: from outside the pool, every parallel region would first be handed over to it,
/// which costs more than the small operations of a small model.
fn inside_the_pool<T: Send>(body: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let pool = rayon::ThreadPoolBuilder::new()
        .stack_size(STACK_BYTES)
        .build_global();
    pool.map_err(|error| Error::internal(format!("cannot start threads: {error}")))?;
    rayon::scope(|_| body())
}
