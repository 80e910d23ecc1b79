//! Which of a run's samples count: those after the warm-up. All are kept; the window says which are summarised.

use std::ops::Range;

/// The steady part of a series of durations.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    /// Indices of the samples that count.
    pub range: Range<usize>,
    /// Median of those, in seconds; `None` where there are none.
    pub median_s: Option<f64>,
    /// Relative difference of the medians of the window's two halves: a drift within the window.
    pub drift: Option<f64>,
}

/// Parts with fewer samples say nothing of their own.
const LEAST_PART: usize = 4;
/// Within this share of the rest the first samples are settled.
const SETTLED: f64 = 0.05;

impl Window {
    /// Leaves out samples until `warmup_s` seconds have passed, and then as long as the next eighth is slower than the rest;
    /// but never more than half of them, and always the first, which pays for first touches of memory.
    pub fn after_warmup(samples_s: &[f64], warmup_s: f64) -> Self {
        let mut passed_s = 0.0;
        let warming = |sample_s: &&f64| {
            let warming = passed_s < warmup_s;
            passed_s += **sample_s;
            warming
        };
        let warm = samples_s.iter().take_while(warming).count();
        let latest = samples_s
            .len()
            .div_ceil(2)
            .min(samples_s.len().saturating_sub(1));
        let mut start = warm.max(1).min(latest);
        let eighth = samples_s.len() / 8;
        while eighth >= LEAST_PART
            && start + eighth <= latest
            && is_slower(&samples_s[start..], eighth)
        {
            start += eighth;
        }
        let steady = &samples_s[start..];
        let (first, second) = steady.split_at(steady.len() / 2);
        let drift = match (median(first), median(second)) {
            (Some(a), Some(b)) if steady.len() >= 8 => Some(b / a - 1.0),
            _ => None,
        };
        Self {
            range: start..samples_s.len(),
            median_s: median(steady),
            drift,
        }
    }
}

/// Whether the first samples are still warming up.
fn is_slower(samples_s: &[f64], first: usize) -> bool {
    let (first, rest) = samples_s.split_at(first);
    median(first)
        .zip(median(rest))
        .is_some_and(|(first, rest)| first > rest * (1.0 + SETTLED))
}

/// Middle value, or the mean of the two middle ones.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let n = sorted.len();
    (n > 0).then(|| (sorted[(n - 1) / 2] + sorted[n / 2]) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_warm_up_is_left_out_but_never_more_than_half() {
        let check = |samples: &[f64], warmup_s: f64, want: Range<usize>, median_s: Option<f64>| {
            let window = Window::after_warmup(samples, warmup_s);
            assert_eq!(
                (window.range, window.median_s),
                (want, median_s),
                "{samples:?} after {warmup_s}"
            );
        };
        check(&[9.0, 1.0, 1.0, 1.0, 3.0, 1.0], 0.0, 1..6, Some(1.0));
        check(&[2.0, 2.0, 1.0, 1.0, 1.0, 1.0], 3.0, 2..6, Some(1.0));
        check(&[2.0, 2.0, 1.0, 1.0], 100.0, 2..4, Some(1.0));
        check(&[5.0], 100.0, 0..1, Some(5.0));
        check(&[], 1.0, 0..0, None);
        // A slow start of 10 of 40 samples is left out in steps of five, whatever the seconds say.
        let slow: Vec<f64> = (0..40).map(|k| if k < 10 { 1.2 } else { 1.0 }).collect();
        check(&slow, 0.0, 11..40, Some(1.0));
        let never: Vec<f64> = (0..40).map(|k| 100.0 - f64::from(k)).collect();
        assert_eq!(Window::after_warmup(&never, 0.0).range, 16..40);
    }

    #[test]
    fn a_drift_within_the_window_is_seen() {
        let drifting: Vec<f64> = (0..21).map(|k| if k < 11 { 1.0 } else { 1.5 }).collect();
        assert_eq!(Window::after_warmup(&drifting, 0.0).drift, Some(0.5));
        assert_eq!(Window::after_warmup(&[1.0; 4], 0.0).drift, None);
    }
}
