//! Student's t as a test: one sample against zero, and two samples of unequal variance (Welch 1947).
//!
//! Paired: mean / (sd / sqrt n), n - 1 degrees of freedom. Unpaired: the difference of means over
//! sqrt(s_a^2 / n_a + s_b^2 / n_b), degrees of freedom by Satterthwaite. Equal values are no error: a difference of exactly
//! nothing has p = 1, and a difference without any spread p = 0.

use statrs::distribution::{ContinuousCDF, StudentsT};

use super::interval::{Interval, critical};
use super::sample::{mean, sd};

/// A mean, or a difference of means, with what its uncertainty is made of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shift {
    /// The mean, or the second sample's mean minus the first's.
    pub value: f64,
    /// Its standard error.
    pub se: f64,
    /// Degrees of freedom of that.
    pub freedom: f64,
}

/// The mean of a sample of differences; `None` below two.
pub fn paired(differences: &[f64]) -> Option<Shift> {
    let n = differences.len() as f64;
    Some(Shift {
        value: mean(differences)?,
        se: sd(differences)? / n.sqrt(),
        freedom: n - 1.0,
    })
}

/// `b`'s mean minus `a`'s, each with its own variance; `None` below two values on a side.
pub fn welch(a: &[f64], b: &[f64]) -> Option<Shift> {
    let part = |x: &[f64]| Some(sd(x)?.powi(2) / x.len() as f64);
    let (of_a, of_b) = (part(a)?, part(b)?);
    let total = of_a + of_b;
    let least = (a.len().min(b.len()) - 1) as f64;
    let spread = of_a * of_a / (a.len() as f64 - 1.0) + of_b * of_b / (b.len() as f64 - 1.0);
    let freedom = if spread > 0.0 {
        total * total / spread
    } else {
        least
    };
    Some(Shift {
        value: mean(b)? - mean(a)?,
        se: total.sqrt(),
        freedom,
    })
}

impl Shift {
    /// The chance of a shift at least as large on either side where there is none.
    pub fn p(&self) -> f64 {
        if self.value == 0.0 {
            return 1.0;
        }
        if self.se == 0.0 {
            return 0.0;
        }
        let student = StudentsT::new(0.0, 1.0, self.freedom);
        student.map_or(1.0, |student| {
            2.0 * student.cdf(-(self.value / self.se).abs())
        })
    }

    /// The interval that covers the true shift with this confidence.
    pub fn interval(&self, level: f64) -> Interval {
        let half = critical(self.freedom, level).unwrap_or(f64::INFINITY) * self.se;
        // Nothing times an infinite critical value is nothing.
        let half = if self.se == 0.0 { 0.0 } else { half };
        Interval {
            low: self.value - half,
            high: self.value + half,
            level,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, expected: f64) {
        assert!(
            (found - expected).abs() <= 1e-9 * expected.abs().max(1.0),
            "{found} against {expected}"
        );
    }

    /// SciPy 1.17: `r = scipy.stats.ttest_1samp(a, 0)`, `r.statistic, r.pvalue, r.confidence_interval(0.95)`.
    #[test]
    fn the_paired_test_agrees_with_scipy() {
        let shift = paired(&[0.021, 0.013, 0.034, -0.004, 0.018, 0.027, 0.009]).unwrap();
        close(shift.value / shift.se, 3.5884112693128127);
        close(shift.p(), 0.011525877881452267);
        let interval = shift.interval(0.95);
        close(interval.low, 0.005362378311526592);
        close(interval.high, 0.02835190740275912);
    }

    /// SciPy 1.17: `r = scipy.stats.ttest_ind(b, a, equal_var=False)`, with `r.df` and `r.confidence_interval(0.95)`.
    #[test]
    fn welchs_test_agrees_with_scipy() {
        let shift = welch(&[4.21, 4.35, 4.18, 4.40, 4.27], &[4.52, 4.31, 4.66, 4.48]).unwrap();
        close(shift.value / shift.se, 2.533464448812176);
        close(shift.p(), 0.0532096365704985);
        close(shift.freedom, 4.907423681591245);
        let interval = shift.interval(0.95);
        close(interval.low, -0.004301591830316559);
        close(interval.high, 0.4253015918303159);
    }

    #[test]
    fn equal_values_are_no_error() {
        let rows = [
            (paired(&[0.0, 0.0, 0.0]), 1.0, Some((0.0, 0.0))),
            (paired(&[0.5, 0.5]), 0.0, Some((0.5, 0.5))),
            (welch(&[2.0, 2.0], &[2.0, 2.0, 2.0]), 1.0, Some((0.0, 0.0))),
            (welch(&[2.0, 2.0], &[3.0, 3.0]), 0.0, Some((1.0, 1.0))),
        ];
        for (shift, p, ends) in rows {
            let shift = shift.unwrap();
            let interval = shift.interval(0.95);
            assert_eq!(
                (shift.p(), Some((interval.low, interval.high))),
                (p, ends),
                "{shift:?}"
            );
        }
        assert_eq!((paired(&[1.0]), welch(&[1.0], &[1.0, 2.0])), (None, None));
    }
}
