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

impl Window {
    /// Leaves out samples until `warmup_s` seconds have passed; but never more than half of them, and always the first, which pays
    /// for first touches of memory. What follows counts, however it looks: to stop where it looks steady would flatter it.
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
        let start = warm.max(1).min(latest);
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
        // What looks slow counts: the seconds were asked for before anything was seen.
        let slow: Vec<f64> = (0..40).map(|k| if k < 10 { 1.2 } else { 1.0 }).collect();
        check(&slow, 0.0, 1..40, Some(1.0));
    }

    #[test]
    fn a_drift_within_the_window_is_seen() {
        let drifting: Vec<f64> = (0..21).map(|k| if k < 11 { 1.0 } else { 1.5 }).collect();
        assert_eq!(Window::after_warmup(&drifting, 0.0).drift, Some(0.5));
        assert_eq!(Window::after_warmup(&[1.0; 4], 0.0).drift, None);
    }
}
