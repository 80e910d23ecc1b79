//! A pause between trials, so that none pays for the heat of the one before.

use std::thread;
use std::time::{Duration, Instant};

use super::interrupt::Interrupt;
use crate::measure::temperature;

/// Degrees above the start of the run that a trial may begin with.
const WARMER_C: f64 = 3.0;
/// Longest wait for the processor to cool.
const LONGEST_COOLING: Duration = Duration::from_secs(60);

/// Waits until the processor is about as cool as when the run began, so that no trial pays for the heat of the one before;
/// at most `LONGEST_COOLING`, and not at all where no temperature can be read.
pub fn cool_down(began_c: Option<f64>, interrupt: &Interrupt) {
    let Some(began_c) = began_c else { return };
    let since = Instant::now();
    let hot = || temperature::processor_c().is_some_and(|now_c| now_c > began_c + WARMER_C);
    while hot() && since.elapsed() < LONGEST_COOLING && !interrupt.raised() {
        thread::sleep(Duration::from_millis(500));
    }
}
