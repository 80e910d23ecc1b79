//! The share behind a count of successes, with an interval that is exact whatever the count (Clopper and Pearson 1934).

use statrs::function::beta::beta_reg;

use super::interval::Interval;

/// Halvings that leave nothing of the range from 0 to 1.
const HALVINGS: usize = 60;

/// The interval of the share behind `successes` of `n`; `None` where nothing was tried, or more succeeded than was tried.
pub fn exact_share(successes: usize, n: usize, level: f64) -> Option<Interval> {
    if n == 0 || successes > n {
        return None;
    }
    let (k, all) = (successes as f64, n as f64);
    let tail = 0.5 * (1.0 - level);
    // The chance of at least k of n at a share of p is I_p(k, n - k + 1).
    let low = if successes == 0 {
        0.0
    } else {
        where_reached(|p| beta_reg(k, all - k + 1.0, p), tail)
    };
    let high = if successes == n {
        1.0
    } else {
        where_reached(|p| beta_reg(k + 1.0, all - k, p), 1.0 - tail)
    };
    Some(Interval { low, high, level })
}

/// Where a function that rises from 0 to 1 between 0 and 1 reaches `value`.
fn where_reached(of: impl Fn(f64) -> f64, value: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..HALVINGS {
        let middle = 0.5 * (low + high);
        if of(middle) < value {
            low = middle
        } else {
            high = middle
        }
    }
    0.5 * (low + high)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Newcombe 1998, Two-sided confidence intervals for the single proportion, Statistics in Medicine 17, table I, method 5.
    #[test]
    fn agrees_with_what_is_published() {
        let rows = [
            (81, 263, 0.2527, 0.3676),
            (15, 148, 0.0578, 0.1617),
            (0, 20, 0.0, 0.1684),
            (1, 29, 0.0009, 0.1776),
            (20, 20, 1.0 - 0.1684, 1.0),
        ];
        for (k, n, low, high) in rows {
            let found = exact_share(k, n, 0.95).unwrap();
            assert!(
                (found.low - low).abs() < 5.1e-5 && (found.high - high).abs() < 5.1e-5,
                "{k} of {n}: {found:?}"
            );
        }
        assert_eq!(
            (exact_share(0, 0, 0.95), exact_share(2, 1, 0.95)),
            (None, None)
        );
    }
}
