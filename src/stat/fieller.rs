//! Fieller's set (Fieller 1954): every ratio of two paired means that the data do not rule out. Unlike an interval made from a standard
//! error it is exact under normality, and it may be unbounded, of two pieces, or empty: then that is what the data say.

use super::interval::critical;
use super::sample::mean;

/// All r for which the paired means of a - r b cannot be told from 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fieller {
    /// From the first to the second.
    Within(f64, f64),
    /// Up to the first, and from the second on.
    Outside(f64, f64),
    /// Every number.
    All,
    /// None: b is nothing, and a is not.
    Empty,
}

impl Fieller {
    /// Of equally long samples. One pair is taken as exact where `exact` says that nothing but rounding could differ; `None` where
    /// nobody knows how far one pair can be trusted.
    pub fn of(a: &[f64], b: &[f64], exact: bool, level: f64) -> Option<Self> {
        let n = a.len();
        if b.len() != n || n == 0 || n == 1 && !exact {
            return None;
        }
        let (mean_a, mean_b) = (mean(a)?, mean(b)?);
        // t^2 times the covariance of the means.
        let spread = |x: &[f64], y: &[f64], of_x: f64, of_y: f64| {
            if n == 1 {
                return Some(0.0);
            }
            let products = x.iter().zip(y).map(|(x, y)| (x - of_x) * (y - of_y));
            let t = critical(n as f64 - 1.0, level)?;
            Some(t * t * products.sum::<f64>() / (n as f64 - 1.0) / n as f64)
        };
        let square = mean_b * mean_b - spread(b, b, mean_b, mean_b)?;
        let cross = mean_a * mean_b - spread(a, b, mean_a, mean_b)?;
        let constant = mean_a * mean_a - spread(a, a, mean_a, mean_a)?;
        Some(where_not_above(square, cross, constant))
    }
}

/// Where square r^2 - 2 cross r + constant <= 0.
fn where_not_above(square: f64, cross: f64, constant: f64) -> Fieller {
    let inner = cross * cross - square * constant;
    if square > 0.0 {
        let root = inner.max(0.0).sqrt();
        return Fieller::Within((cross - root) / square, (cross + root) / square);
    }
    if square < 0.0 && inner > 0.0 {
        let root = inner.sqrt();
        return Fieller::Outside((cross + root) / square, (cross - root) / square);
    }
    let end = constant / (2.0 * cross);
    match square == 0.0 {
        true if cross > 0.0 => Fieller::Within(end, f64::INFINITY),
        true if cross < 0.0 => Fieller::Within(f64::NEG_INFINITY, end),
        true if constant > 0.0 => Fieller::Empty,
        _ => Fieller::All,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stat::{mean_estimate, ratio_of_means};

    const A: [f64; 5] = [0.31, 0.42, 0.38, 0.29, 0.35];

    #[test]
    fn a_divisor_that_is_told_from_nothing_gives_the_interval() {
        let b = [0.61, 0.72, 0.64, 0.66, 0.58];
        let interval = ratio_of_means(&A, &b, 0.95).unwrap().interval.unwrap();
        assert_eq!(
            Fieller::of(&A, &b, false, 0.95),
            Some(Fieller::Within(interval.low, interval.high))
        );
    }

    /// A ratio is in the set just where the t interval of a - r b holds 0.
    #[test]
    fn the_set_is_what_the_t_interval_does_not_rule_out() {
        let divisors = [
            [0.61, 0.72, 0.64, 0.66, 0.58],
            [0.5, -0.5, 0.4, -0.6, 0.1],
            [0.9, -0.1, 0.4, 0.3, -0.2],
            [-0.4, -0.5, -0.4, -0.6, -0.5],
        ];
        let dividends = [A, [0.31, -0.42, 0.38, -0.29, 0.35], [0.0; 5]];
        for (a, b) in dividends
            .iter()
            .flat_map(|a| divisors.iter().map(move |b| (a, b)))
        {
            let set = Fieller::of(a, b, false, 0.95).unwrap();
            for k in -400..400 {
                let r = 0.0137 * f64::from(k) + 0.001;
                let left: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - r * b).collect();
                let around = mean_estimate(&left, 0.95).unwrap().interval.unwrap();
                let inside = match set {
                    Fieller::Within(low, high) => low <= r && r <= high,
                    Fieller::Outside(low, high) => r <= low || r >= high,
                    Fieller::All => true,
                    Fieller::Empty => false,
                };
                let holds = around.low <= 0.0 && around.high >= 0.0;
                assert_eq!(inside, holds, "{a:?} {b:?} {r}: {set:?}");
            }
        }
    }

    #[test]
    fn exact_figures_need_no_second_pair() {
        let one = |a, b, exact| Fieller::of(&[a], &[b], exact, 0.95);
        assert_eq!(one(6.0, 2.0, true), Some(Fieller::Within(3.0, 3.0)));
        assert_eq!(one(6.0, 2.0, false), None);
        assert_eq!(one(6.0, 0.0, true), Some(Fieller::Empty));
        assert_eq!(one(0.0, 0.0, true), Some(Fieller::All));
        assert_eq!(Fieller::of(&[], &[], true, 0.95), None);
    }
}
