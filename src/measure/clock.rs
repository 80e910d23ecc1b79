//! Time as a value that tests can script.

use std::time::Instant;

use super::work::Work;
use crate::error::Result;

/// Seconds that only go forward.
pub trait Clock {
    /// Seconds since some fixed moment.
    fn now_s(&self) -> f64;

    /// Seconds that one unit of work takes.
    fn time(&self, work: &mut dyn Work) -> Result<f64> {
        let start = self.now_s();
        work.once()?;
        Ok(self.now_s() - start)
    }
}

/// The machine's monotonic clock.
#[derive(Debug, Clone, Copy)]
pub struct Monotonic(Instant);

impl Monotonic {
    /// Zero is now.
    pub fn start() -> Self {
        Self(Instant::now())
    }
}

impl Clock for Monotonic {
    fn now_s(&self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }
}

/// The wall clock, in seconds since 1970.
pub fn unix_s() -> f64 {
    in_seconds(jiff::Timestamp::now())
}

/// A moment in seconds since 1970, as near as a double has it: 0.2 µs.
pub fn in_seconds(moment: jiff::Timestamp) -> f64 {
    moment.as_second() as f64 + f64::from(moment.subsec_nanosecond()) / 1e9
}

/// The wall clock, RFC 3339 in UTC, to the second.
pub fn utc_now() -> String {
    let now = jiff::Timestamp::now();
    jiff::Timestamp::from_second(now.as_second())
        .unwrap_or(now)
        .to_string()
}
