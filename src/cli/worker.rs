//! The hidden commands that a run starts as its own children: one trial, one calibration.

use std::{io, thread};

use super::print;
use crate::error::{Error, Result};
use crate::record::At;
use crate::runner::child;
use crate::trial::{self, Event, Registry};

/// candle walks and drops its graphs recursively: room for thousands of operations.
const STACK_BYTES: usize = 256 << 20;

/// Runs the job on standard input and says how it goes, one event a line.
pub fn trial(registry: &Registry) -> Result<()> {
    let job = child::receive()?;
    let registry = registry.clone();
    let body = move || {
        let mut lost = None;
        let mut emit = |event: Event| {
            if let Err(error) = child::say(&event) {
                lost.get_or_insert(error);
            }
        };
        let trial = trial::run(&registry, &job, &mut emit)?;
        emit(Event::Done { trial: Box::new(trial) });
        lost.map_or(Ok(()), Err)
    };
    let thread = thread::Builder::new().stack_size(STACK_BYTES).spawn(body);
    let thread = thread.map_err(|error| Error::internal(format!("cannot start a thread: {error}")))?;
    thread.join().map_err(|_| Error::internal("the trial panicked; its last words are above"))?
}

/// Measures the peaks of the device named on standard input and prints them.
pub fn calibrate() -> Result<()> {
    // One line: the parent holds the pipe open for as long as it lives.
    let device = io::stdin().lines().next().transpose();
    let device = device.map_err(|error| Error::internal(format!("standard input: {error}")))?.unwrap_or_default();
    let calibration = trial::calibrate::calibrate(device.trim(), 0, At::Before)?;
    let text = serde_json::to_string(&calibration).map_err(|error| Error::internal(error.to_string()))?;
    print(&text)
}
