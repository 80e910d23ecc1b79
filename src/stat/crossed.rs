//! A ratio of sums over a table whose rows share something, as its columns do: prompts that several trained models continue, each of them.
//!
//! The residuals a - r b are added up within each row and within each column; their variances are added and that of the single cells is
//! taken off, which both hold (Cameron, Gelbach and Miller 2011, "Robust inference with multiway clustering"), but never below the larger
//! of the two. Where one row or one column is all there is, the other way alone counts. t has one degree of freedom less than the
//! shorter side. Ends come from a scale on which they cannot leave where the ratio may lie: the logarithm of what is positive, the logit of
//! a share.

use std::collections::BTreeMap;

use super::interval::{Estimate, Interval, critical};

/// One cell of the table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair {
    /// Its row and its column.
    pub of: [usize; 2],
    /// What is divided.
    pub a: f64,
    /// What it is divided by.
    pub b: f64,
}

/// The ratio of both sums, and how far it can be trusted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Crossed {
    value: f64,
    /// With the degrees of freedom; nothing of a single row and column.
    se: Option<(f64, f64)>,
    n: usize,
}

impl Crossed {
    /// Of all cells; `None` where they are divided by nothing.
    pub fn of(pairs: &[Pair]) -> Option<Self> {
        let sum = |of: fn(&Pair) -> f64| pairs.iter().map(of).sum::<f64>();
        let below = sum(|pair| pair.b);
        let value = sum(|pair| pair.a) / below;
        // The variance by groups, of which there are so many.
        let by = |key: &dyn Fn(&Pair) -> [usize; 2]| -> (usize, f64) {
            let mut sums: BTreeMap<[usize; 2], f64> = BTreeMap::new();
            for pair in pairs {
                *sums.entry(key(pair)).or_default() += pair.a - value * pair.b;
            }
            let n = sums.len() as f64;
            let squares: f64 = sums.values().map(|sum| sum * sum).sum();
            (sums.len(), n / (n - 1.0) * squares / (below * below))
        };
        let rows = by(&|pair| [pair.of[0], 0]);
        let columns = by(&|pair| [0, pair.of[1]]);
        let (n, variance) = match (rows.0, columns.0) {
            (0 | 1, 0 | 1) => (1, None),
            (0 | 1, n) => (n, Some(columns.1)),
            (n, 1) => (n, Some(rows.1)),
            (n, m) => {
                let single = by(&|pair| pair.of).1;
                let least = rows.1.max(columns.1);
                (n.min(m), Some((rows.1 + columns.1 - single).max(least)))
            }
        };
        value.is_finite().then_some(Self {
            value,
            se: variance.map(|variance| (variance.sqrt(), n as f64 - 1.0)),
            n,
        })
    }

    /// The ratio.
    pub fn value(&self) -> f64 {
        self.value
    }

    /// As a ratio above 0.
    pub fn positive(&self, level: f64) -> Estimate {
        self.on(level, f64::ln, f64::exp, |value| 1.0 / value)
    }

    /// As a figure between two bounds; no interval of one that lies on a bound, about which a standard error says nothing.
    pub fn between(&self, [low, high]: [f64; 2], level: f64) -> Estimate {
        let share = |value: f64| (value - low) / (high - low);
        self.on(
            level,
            |value| (share(value) / (1.0 - share(value))).ln(),
            |logit| low + (high - low) / (1.0 + (-logit).exp()),
            |value| 1.0 / (share(value) * (1.0 - share(value)) * (high - low)),
        )
    }

    /// By the delta method on a scale: what takes a value there, what takes it back, and the slope there.
    fn on(
        &self,
        level: f64,
        there: impl Fn(f64) -> f64,
        back: impl Fn(f64) -> f64,
        slope: impl Fn(f64) -> f64,
    ) -> Estimate {
        let middle = there(self.value);
        let interval = self.se.filter(|_| middle.is_finite());
        let interval = interval.and_then(|(se, freedom)| {
            let half = critical(freedom, level)? * se * slope(self.value);
            Some(Interval {
                low: back(middle - half),
                high: back(middle + half),
                level,
            })
        });
        Estimate {
            value: self.value,
            interval,
            n: self.n,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(pairs: &[(f64, f64)]) -> Vec<Pair> {
        let pair = |(k, &(a, b)): (usize, &(f64, f64))| Pair { of: [0, k], a, b };
        pairs.iter().enumerate().map(pair).collect()
    }

    /// Of 6/8 and 2/8 the residuals are 2 and -2: the variance of the sum is 2 (4 + 4), the error 4/16, and t with one degree of freedom
    /// 12.706. On the logit's scale 0.25 is 1: the ends are those of the logistic function at 12.706.
    #[test]
    fn a_share_of_two_prompts_has_an_interval_that_stays_a_share() {
        let found = Crossed::of(&column(&[(6.0, 8.0), (2.0, 8.0)])).unwrap();
        assert_eq!((found.value, found.se), (0.5, Some((0.25, 1.0))));
        let ends = found.between([0.0, 1.0], 0.95).interval.unwrap();
        let off = 1.0 / (1.0 + 12.706_204_736_174_694f64.exp());
        assert!((ends.low - off).abs() < 1e-9 && (1.0 - ends.high - off).abs() < 1e-9);
        // Twice a side of a scale from 1 to 3.
        let scaled = Crossed::of(&column(&[(20.0, 8.0), (12.0, 8.0)])).unwrap();
        let ends = scaled.between([1.0, 3.0], 0.95).interval.unwrap();
        assert!(ends.low > 1.0 && ends.low < 1.001 && ends.high < 3.0 && ends.high > 2.999);
        let positive = scaled.positive(0.95).interval.unwrap();
        assert!(positive.low > 0.0 && positive.high > positive.low);
    }

    #[test]
    fn what_lies_on_a_bound_or_stands_alone_has_no_interval() {
        let all = Crossed::of(&column(&[(8.0, 8.0), (3.0, 3.0)])).unwrap();
        assert_eq!(all.between([0.0, 1.0], 0.95).interval, None);
        let one = Crossed::of(&column(&[(3.0, 8.0)])).unwrap();
        assert_eq!(one.positive(0.95).interval, None);
        assert_eq!(one.value(), 0.375);
        assert_eq!(Crossed::of(&column(&[(0.0, 0.0)])), None);
        assert_eq!(Crossed::of(&[]), None);
    }

    /// Two models of which one takes all guesses and one none, whatever the prompt: the error is that between two models, and 8 prompts
    /// of each make it no smaller.
    #[test]
    fn rows_that_differ_are_the_error_however_many_columns_there_are() {
        let table = |columns: usize| -> Vec<Pair> {
            let cells = (0..2).flat_map(|row| (0..columns).map(move |column| [row, column]));
            cells
                .map(|of| Pair {
                    of,
                    a: 10.0 * of[0] as f64,
                    b: 10.0,
                })
                .collect()
        };
        for columns in [1, 2, 8] {
            let found = Crossed::of(&table(columns)).unwrap();
            let (se, freedom) = found.se.unwrap();
            assert!((se - 0.5).abs() < 1e-12, "{columns}: {se}");
            assert_eq!(freedom, 1.0);
        }
    }
}
