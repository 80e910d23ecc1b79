//! Whether runs that are neighbours miss the law the same way: the checkpoints of one run, fitted as if each were a run of its
//! own, or a law whose curve is another. Along D within one N (and one repeat, or one run where the table names runs) the
//! correlation of a residual with the next is set against that of unrelated ones; Durbin and Watson's statistic is 2 (1 - r).

use std::collections::BTreeMap;

use serde::Serialize;

use super::points::Point;

/// Fewer pairs of neighbours tell nothing.
const PAIRS: usize = 12;
/// A sequence is that many points of one size.
const LONG: usize = 5;
/// Standard deviations beyond which a correlation is no accident.
const BEYOND: f64 = 3.3;
/// Of a correlation, so that its stretch stays a number.
const LARGEST: f64 = 0.998;

/// How alike neighbours miss the law.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Series {
    /// Correlation of neighbours' residuals; 0 where there are too few.
    pub correlation: f64,
    /// Pairs of neighbours.
    pub pairs: usize,
    /// Whether that is no accident.
    pub alike: bool,
}

impl Series {
    /// Runs without neighbours.
    pub const NONE: Self = Self {
        correlation: 0.0,
        pairs: 0,
        alike: false,
    };

    /// Of residuals in their points' order.
    pub fn of(points: &[Point], residuals: &[f64]) -> Self {
        let mut sequences: BTreeMap<(Option<u64>, Option<u64>, Option<u64>), Vec<(f64, f64)>> =
            BTreeMap::new();
        for (point, residual) in points.iter().zip(residuals) {
            let Some(along) = point.tokens else { continue };
            let place = (point.run, point.repeat, point.params.map(f64::to_bits));
            sequences.entry(place).or_default().push((along, *residual));
        }
        let (mut products, mut squares, mut pairs) = (0.0, 0.0, 0);
        for sequence in sequences
            .values_mut()
            .filter(|sequence| sequence.len() >= LONG)
        {
            sequence.sort_by(|a, b| a.0.total_cmp(&b.0));
            for pair in sequence.windows(2).filter(|pair| pair[0].0 < pair[1].0) {
                products += pair[0].1 * pair[1].1;
                squares += 0.5 * (pair[0].1.powi(2) + pair[1].1.powi(2));
                pairs += 1;
            }
        }
        if pairs < PAIRS || squares <= 0.0 {
            return Self::NONE;
        }
        let correlation: f64 = products / squares;
        let alike = correlation * (pairs as f64).sqrt() > BEYOND;
        Self {
            correlation,
            pairs,
            alike,
        }
    }

    /// Durbin and Watson's statistic: 2 for unrelated neighbours, towards 0 for like ones.
    pub fn durbin_watson(&self) -> f64 {
        2.0 * (1.0 - self.correlation)
    }

    /// How many rows have the worth of one: (1 + r) / (1 - r), 1 where neighbours are unrelated.
    pub fn stretch(&self) -> f64 {
        let r = self.correlation.min(LARGEST);
        if self.alike {
            (1.0 + r) / (1.0 - r)
        } else {
            1.0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::stream;

    /// Three runs of 200 checkpoints, with a residual that keeps `kept` of itself from one to the next.
    fn found(kept: f64, seed: u64) -> Series {
        let mut luck = stream("series-test", seed, 0);
        let (mut points, mut residuals) = (Vec::new(), Vec::new());
        for size in 1..=3 {
            let mut residual = 0.0;
            for k in 1..=200 {
                residual = kept * residual + luck.normal();
                let (params, tokens) = (Some(1e7 * f64::from(size)), Some(1e8 * f64::from(k)));
                points.push(Point {
                    params,
                    tokens,
                    ..Point::new("a".to_owned(), 1e15, 3.0)
                });
                residuals.push(residual);
            }
        }
        Series::of(&points, &residuals)
    }

    #[test]
    fn checkpoints_are_told_from_runs() {
        let found_in = |kept: f64| {
            (0..200)
                .map(|seed| found(kept, seed))
                .filter(|series| series.alike)
                .count()
        };
        assert!(found_in(0.0) <= 2, "{}", found_in(0.0));
        assert_eq!(found_in(0.5), 200);
        let series = found(0.9, 1);
        assert!(
            (series.correlation - 0.9).abs() < 0.1 && series.pairs == 597,
            "{series:?}"
        );
        assert!(
            (10.0..40.0).contains(&series.stretch()) && series.durbin_watson() < 0.4,
            "{series:?}"
        );
        assert_eq!(
            Series::of(&[Point::new("a".to_owned(), 1e15, 3.0)], &[1.0]),
            Series::NONE
        );
    }
}
