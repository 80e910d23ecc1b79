//! A device's peaks, measured: what MFU and bandwidth shares are shares of.

use super::clock::Clock;
use super::window::median;
use super::work::Work;
use crate::error::Result;

/// Rates of one unit of work, repeated.
#[derive(Debug, Clone, PartialEq)]
pub struct Rate {
    /// Highest rate that three runs in a row kept: the peak is what the machine can do, not what its neighbours left.
    pub peak_per_s: f64,
    /// Median of all runs.
    pub median_per_s: f64,
    /// Seconds of each run, in order.
    pub samples_s: Vec<f64>,
}

/// Runs `work`, each run worth `amount`, for at least `seconds` and at least five times after one to warm up; where no seconds are
/// asked for, three times, the fewest that have a peak.
pub fn rate(clock: &dyn Clock, work: &mut dyn Work, amount: f64, seconds: f64) -> Result<Rate> {
    work.once()?;
    let mut samples_s = Vec::new();
    let least = if seconds > 0.0 { 5 } else { 3 };
    let start = clock.now_s();
    while samples_s.len() < least || clock.now_s() - start < seconds {
        samples_s.push(clock.time(work)?);
    }
    let kept = |three: &[f64]| amount / three.iter().copied().fold(0.0, f64::max);
    let peak_per_s = samples_s.windows(3).map(kept).fold(0.0, f64::max);
    let median_per_s = amount / median(&samples_s).unwrap_or(f64::INFINITY);
    Ok(Rate {
        peak_per_s,
        median_per_s,
        samples_s,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::{Cell, RefCell};

    struct Scripted {
        now: Cell<f64>,
    }

    impl Clock for Scripted {
        fn now_s(&self) -> f64 {
            self.now.get()
        }
    }

    #[test]
    fn a_disturbed_run_lowers_the_median_before_the_peak() {
        let clock = Scripted {
            now: Cell::new(0.0),
        };
        let durations = RefCell::new(vec![9.0, 2.0, 2.0, 1.0, 1.0, 1.0, 2.0, 2.0, 0.1].into_iter());
        let mut work = || {
            clock
                .now
                .set(clock.now.get() + durations.borrow_mut().next().unwrap_or(2.0));
            Ok(())
        };
        let rate = rate(&clock, &mut work, 10.0, 11.0).unwrap();
        // One run of 0.1 s alone is not believed; three of 1 s are.
        assert_eq!((rate.peak_per_s, rate.median_per_s), (10.0, 5.0));
    }
}
