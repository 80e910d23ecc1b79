//! How far a mean can be trusted: Student's t interval, on the plain or on the log scale.
//!
//! mean +- t(n - 1, (1 + level) / 2) * sd / sqrt(n). Ratios are averaged as logarithms, so that "twice" and "half" cancel,
//! and the interval is turned back at the end.

use schemars::JsonSchema;
use serde::Serialize;
use statrs::distribution::{Continuous, ContinuousCDF, Normal, StudentsT};

use super::sample::{mean, sd};

/// The level of every interval shown.
pub const LEVEL: f64 = 0.95;

/// A confidence interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Coverage, `0.95`.
    pub level: f64,
}

/// A mean over repeats, with its interval where there are at least two.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
pub struct Estimate {
    /// Mean, or geometric mean.
    pub value: f64,
    /// Absent for a single repeat.
    pub interval: Option<Interval>,
    /// Repeats.
    pub n: usize,
}

/// Beyond so many degrees of freedom Student's t is the normal distribution with two terms in 1 / freedom (Abramowitz and Stegun
/// 1964, 26.7.5), which there leave 1e-11 of it.
const NEARLY_NORMAL: f64 = 1e4;

/// The two-sided critical value of Student's t; `None` without a degree of freedom. Freedoms need not be whole.
///
/// By Newton's steps within a bracket on the tail's chance: the inverse of the library does not end for some freedoms that are no
/// whole numbers, as Satterthwaite's are.
pub fn critical(freedom: f64, level: f64) -> Option<f64> {
    let student = StudentsT::new(0.0, 1.0, freedom).ok()?;
    let tail = 0.5 * (1.0 - level);
    let z = -Normal::standard().inverse_cdf(tail);
    if freedom > NEARLY_NORMAL || z == 0.0 || !z.is_finite() {
        let first = (z.powi(3) + z) / 4.0;
        let second = (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / 96.0;
        return Some(z + first / freedom + second / freedom.powi(2));
    }
    let beyond = |t: f64| student.cdf(-t) - tail;
    let (mut low, mut high) = (0.0, z);
    while beyond(high) > 0.0 {
        (low, high) = (high, 2.0 * high);
        // A hundredth of a degree of freedom has a tail that no double holds.
        if !high.is_finite() {
            return Some(f64::INFINITY);
        }
    }
    let mut t = high;
    for _ in 0..200 {
        let off = beyond(t);
        if off > 0.0 {
            low = t
        } else {
            high = t
        }
        let step = t + off / student.pdf(t);
        let next = if step > low && step < high {
            step
        } else {
            0.5 * (low + high)
        };
        if (next - t).abs() <= 1e-15 * t {
            break;
        }
        t = next;
    }
    Some(t)
}

/// Mean of a sample with its t interval; `None` for an empty sample.
pub fn mean_estimate(sample: &[f64], level: f64) -> Option<Estimate> {
    let value = mean(sample)?;
    let half = |sd: f64| {
        Some(critical(sample.len() as f64 - 1.0, level)? * sd / (sample.len() as f64).sqrt())
    };
    let interval = sd(sample).and_then(half).map(|half| Interval {
        low: value - half,
        high: value + half,
        level,
    });
    Some(Estimate {
        value,
        interval,
        n: sample.len(),
    })
}

/// Geometric mean of ratios given as natural logarithms, with the t interval of their mean turned back.
pub fn ratio_estimate(logs: &[f64], level: f64) -> Option<Estimate> {
    let Estimate { value, interval, n } = mean_estimate(logs, level)?;
    let interval = interval.map(|i| Interval {
        low: i.low.exp(),
        high: i.high.exp(),
        level,
    });
    Some(Estimate {
        value: value.exp(),
        interval,
        n,
    })
}

/// The ratio of two paired means with Fieller's interval (Fieller 1954): all r for which the paired means of a - r b cannot be
/// told from 0. `None` for unequal samples, and where b itself cannot be told from 0, so that r could be anything.
pub fn ratio_of_means(a: &[f64], b: &[f64], level: f64) -> Option<Estimate> {
    let (n, value) = (a.len(), mean(a)? / mean(b)?);
    if b.len() != n || n < 2 || !value.is_finite() {
        return None;
    }
    let (mean_a, mean_b) = (mean(a)?, mean(b)?);
    let product = |x: &[f64], y: &[f64], of_x: f64, of_y: f64| {
        x.iter()
            .zip(y)
            .map(|(x, y)| (x - of_x) * (y - of_y))
            .sum::<f64>()
            / (n as f64 - 1.0)
            / n as f64
    };
    let t2 = critical(n as f64 - 1.0, level)?.powi(2);
    // (mean_a - r mean_b)^2 = t^2 (s_aa - 2 r s_ab + r^2 s_bb), a quadratic in r.
    let square = mean_b * mean_b - t2 * product(b, b, mean_b, mean_b);
    let cross = mean_a * mean_b - t2 * product(a, b, mean_a, mean_b);
    let level_term = mean_a * mean_a - t2 * product(a, a, mean_a, mean_a);
    let root = (cross * cross - square * level_term).max(0.0).sqrt();
    let interval = Interval {
        low: (cross - root) / square,
        high: (cross + root) / square,
        level,
    };
    (square > 0.0).then_some(Estimate {
        value,
        interval: Some(interval),
        n,
    })
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

    /// Values of SciPy 1.17: `scipy.stats.t.ppf((1 + level) / 2, n - 1)`.
    /// SciPy 1.17: `scipy.stats.t.ppf(0.975, df)`; freedoms of all sizes, and an answer for each within moments.
    #[test]
    fn critical_values_are_those_of_scipy_and_always_come() {
        let rows = [
            (0.5, 164.55767348048818),
            (1.0, 12.706204736174694),
            (1.7, 5.1188389882530565),
            (2.0, 4.302652729749462),
            (3.3, 3.024874461840807),
            (7.0, 2.364624251592784),
            (29.4, 2.0440216400365636),
            (1234.5, 1.9618874833313453),
            (1e7, 1.959964221767205),
            (1e12, 1.9599639845424262),
        ];
        for (freedom, expected) in rows {
            let found = critical(freedom, 0.95).unwrap();
            assert!(
                (found / expected - 1.0).abs() < 1e-9,
                "{freedom}: {found} against {expected}"
            );
        }
        for k in 0..4000 {
            let freedom = 0.02 * 1.01_f64.powi(k);
            assert!(critical(freedom, 0.95).unwrap() > 1.959, "{freedom}");
        }
        assert_eq!(
            (critical(0.0, 0.95), critical(f64::NAN, 0.95)),
            (None, None)
        );
    }

    #[test]
    fn critical_values_agree_with_scipy() {
        let rows = [
            (1.0, 0.95, 12.706204736174694),
            (2.0, 0.95, 4.302652729749462),
            (3.0, 0.95, 3.1824463052837078),
            (7.0, 0.95, 2.364624251592784),
            (29.0, 0.95, 2.045229642132703),
            (3.0, 0.9, 2.3533634348018233),
            (4.0, 0.99, 4.604094871349992),
            (1000.0, 0.95, 1.9623390808264083),
        ];
        for (freedom, level, expected) in rows {
            close(critical(freedom, level).unwrap(), expected);
        }
    }

    /// Values of SciPy 1.17: `scipy.stats.t.interval(level, n - 1, x.mean(), scipy.stats.sem(x))`.
    #[test]
    fn intervals_agree_with_scipy() {
        let logs = [1.13, 0.98, 1.21, 1.07];
        let found = mean_estimate(&logs, 0.95).unwrap();
        let interval = found.interval.unwrap();
        let [low, high] = [0.9430201750383879, 1.2519798249616119];
        close(interval.low, low);
        close(interval.high, high);
        let ratio = ratio_estimate(&logs, 0.95).unwrap();
        close(ratio.value, 1.0975_f64.exp());
        close(ratio.interval.unwrap().low, low.exp());
        assert_eq!(ratio.n, 4);
    }

    #[test]
    fn one_value_has_no_interval_and_equal_ones_a_point() {
        assert_eq!(mean_estimate(&[], 0.95), None);
        assert_eq!(mean_estimate(&[2.0], 0.95).unwrap().interval, None);
        let same = ratio_estimate(&[0.0, 0.0, 0.0], 0.95).unwrap();
        assert_eq!(
            (
                same.value,
                same.interval.unwrap().low,
                same.interval.unwrap().high
            ),
            (1.0, 1.0, 1.0)
        );
    }

    /// The ends solve the equation that defines them: there the t statistic of a - r b is critical, by the t interval above.
    #[test]
    fn fiellers_interval_ends_where_the_difference_is_just_told() {
        let (a, b) = (
            [0.31, 0.42, 0.38, 0.29, 0.35],
            [0.61, 0.72, 0.64, 0.66, 0.58],
        );
        let found = ratio_of_means(&a, &b, 0.95).unwrap();
        close(found.value, 1.75 / 3.21);
        let interval = found.interval.unwrap();
        assert!(interval.low < found.value && found.value < interval.high);
        for (end, touches) in [(interval.low, 0), (interval.high, 1)] {
            let differences: Vec<f64> = a.iter().zip(&b).map(|(a, b)| a - end * b).collect();
            let around = mean_estimate(&differences, 0.95).unwrap().interval.unwrap();
            assert!(
                [around.low, around.high][touches].abs() < 1e-12,
                "{around:?}"
            );
        }
        assert_eq!(
            ratio_of_means(&a, &[0.5, -0.5, 0.4, -0.6, 0.1], 0.95),
            None,
            "the divisor is not told from 0"
        );
        assert_eq!(ratio_of_means(&a[..1], &b[..1], 0.95), None);
        assert_eq!(ratio_of_means(&a, &b[..4], 0.95), None);
    }
}
