//! How far a figure that follows from the law can be trusted, whatever E is: the values that the cells do not refuse. Given E
//! a figure is near normal, so that holding it at g costs (g - g_E)^2 / v_E beside what E itself costs; a value is refused
//! where the cheapest way to have it costs more than the critical value squared (profile likelihood, Venzon and Moolgavkar
//! 1988, with the variance of a cell's mean taken from how the cells scatter about the law).
//!
//! A band over many C holds at all of them at once: its critical value is that of the largest of the |t| along it, from
//! random draws of the fit's errors (Hothorn, Bretz and Westfall 2008).

use statrs::distribution::{ChiSquared, ContinuousCDF, FisherSnedecor};

use super::profile::{At, Profile};
use crate::stat::interval::LEVEL;
use crate::stat::{Interval, critical, mean};
use crate::stream::stream;

/// Values of E behind an interval.
const VALUES: usize = 49;
/// Random directions behind a band's critical value.
const DIRECTIONS: u64 = 4000;
/// Neighbours among them, by size, that count as their mean.
const TOGETHER: usize = 20;
/// Random errors are of the two curves' parameters and of E.
pub const DIRECTION: usize = 5;

/// A figure at one E.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figure {
    /// What it is there.
    pub value: f64,
    /// Its variance with E held, over the variance of a cell.
    pub variance: f64,
}

/// A law fitted to arms, ready to be asked.
#[derive(Debug, Clone)]
pub struct Fitted {
    /// Objective and lowest point.
    pub profile: Profile,
    /// Variance of an average cell's mean of ln L about the law.
    pub variance: f64,
    /// Its degrees of freedom.
    pub freedom: f64,
    allowed: Vec<At>,
    ends: [At; 2],
}

impl Fitted {
    /// `None` where nothing is left to tell the scatter by.
    pub fn new(profile: Profile, variance: f64, freedom: f64) -> Option<Self> {
        let student = critical(freedom, LEVEL)?;
        // A band's critical value is seldom above one and a half times t.
        let allowed = profile.within((1.5 * student).powi(2) * variance, VALUES);
        let near = profile.within(variance, 2);
        let ends = [
            near[near.len().min(2) - 1].clone(),
            near[near.len() - 1].clone(),
        ];
        Some(Self {
            profile,
            variance,
            freedom,
            allowed,
            ends,
        })
    }

    /// The critical value of a single figure.
    pub fn single(&self) -> f64 {
        critical(self.freedom, LEVEL).unwrap_or(f64::INFINITY)
    }

    /// The figure with what is not refused.
    pub fn interval(&self, critical: f64, figure: impl Fn(&At) -> Figure) -> (f64, Interval) {
        let best = figure(&self.profile.best).value;
        let (mut low, mut high) = (best, best);
        for at in &self.allowed {
            let cost =
                (at.sum_of_squares - self.profile.best.sum_of_squares).max(0.0) / self.variance;
            let left = critical * critical - cost;
            if left < 0.0 {
                continue;
            }
            let found = figure(at);
            let half = (left * found.variance * self.variance).sqrt();
            // A figure that does not exist for an E that the data allow has no end.
            if !(found.value + half).is_finite() {
                return (
                    best,
                    Interval {
                        low: f64::NEG_INFINITY,
                        high: f64::INFINITY,
                        level: LEVEL,
                    },
                );
            }
            (low, high) = (low.min(found.value - half), high.max(found.value + half));
        }
        (
            best,
            Interval {
                low,
                high,
                level: LEVEL,
            },
        )
    }

    /// What a figure is over the values of E that are not refused, everything else at its best.
    pub fn over_irreducible(&self, figure: impl Fn(&At) -> f64) -> [f64; 2] {
        let limit = self.single().powi(2) * self.variance + self.profile.best.sum_of_squares;
        let values = self
            .allowed
            .iter()
            .filter(|at| at.sum_of_squares <= limit)
            .map(figure);
        values.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], value| {
            [low.min(value), high.max(value)]
        })
    }

    /// The chance of data as far from `constraints` figures being nothing, were they nothing: each E costs what it costs, and
    /// `distance` what holding them at nothing costs there.
    pub fn chance(&self, constraints: usize, distance: impl Fn(&At) -> f64) -> Test {
        let cost = |at: &At| at.sum_of_squares + distance(at);
        // With the figures held another E may be the cheapest: beyond those allowed none is.
        let least = self.allowed.iter().map(cost).fold(f64::INFINITY, f64::min);
        let f = ((least - self.profile.best.sum_of_squares) / constraints as f64 / self.variance)
            .max(0.0);
        Test {
            f,
            freedom: [constraints as f64, self.freedom],
            p: chance_of_f(f, constraints as f64, self.freedom),
        }
    }

    /// The critical value of a band: `along` gives what a unit error in each of five independent directions does to the figure
    /// at each place, the last of them what E does.
    pub fn simultaneous(&self, along: &[[f64; DIRECTION]]) -> f64 {
        let units: Vec<[f64; DIRECTION]> = along
            .iter()
            .filter_map(|row| {
                let size = row.iter().map(|part| part * part).sum::<f64>().sqrt();
                (size > 0.0 && size.is_finite()).then(|| row.map(|part| part / size))
            })
            .collect();
        let mut draws = stream("joint/band", 0, 0);
        let mut largest: Vec<f64> = (0..DIRECTIONS)
            .map(|_| {
                let error: [f64; DIRECTION] = std::array::from_fn(|_| draws.normal());
                let size = |unit: &[f64; DIRECTION]| {
                    unit.iter()
                        .zip(&error)
                        .map(|(u, e)| u * e)
                        .sum::<f64>()
                        .abs()
                };
                units.iter().map(size).fold(0.0, f64::max)
            })
            .collect();
        largest.sort_by(f64::total_cmp);
        let few: Vec<f64> = largest.chunks(TOGETHER).filter_map(mean).collect();
        quantile_of_largest(&few, self.freedom).max(self.single())
    }

    /// How far E moves a figure, by one standard error of E.
    pub fn by_irreducible(&self, figure: impl Fn(&At) -> f64) -> f64 {
        0.5 * (figure(&self.ends[1]) - figure(&self.ends[0])) / self.variance.sqrt()
    }
}

/// An F test's outcome.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Test {
    /// The ratio of the mean squares.
    pub f: f64,
    /// Degrees of freedom of both.
    pub freedom: [f64; 2],
    /// Chance of so large a ratio, or a larger one, where there is nothing.
    pub p: f64,
}

/// The upper tail of F.
pub fn chance_of_f(f: f64, above: f64, below: f64) -> f64 {
    match FisherSnedecor::new(above, below) {
        Ok(law) if f.is_finite() => law.sf(f),
        _ => {
            if f == f64::INFINITY {
                0.0
            } else {
                1.0
            }
        }
    }
}

/// k with P(T / sqrt(chi2 / freedom) > k) = 1 - level, T as drawn and the variance below it unknown.
fn quantile_of_largest(largest: &[f64], freedom: f64) -> f64 {
    let Ok(law) = ChiSquared::new(freedom) else {
        return f64::INFINITY;
    };
    let beyond = |k: f64| {
        let chance = |t: &f64| law.cdf(freedom * (t / k).powi(2));
        largest.iter().map(chance).sum::<f64>() / largest.len() as f64
    };
    let (mut low, mut high) = (1.0_f64, 1000.0_f64);
    for _ in 0..40 {
        let middle = (low * high).sqrt();
        if beyond(middle) > 1.0 - LEVEL {
            low = middle
        } else {
            high = middle
        }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One direction is Student's t; two at right angles over a whole circle are Scheffe's sqrt(2 F).
    /// SciPy 1.17: `t.ppf(.975, [4, 30])`, `sqrt(2 * f.ppf(.95, 2, [4, 30]))`.
    #[test]
    fn the_largest_of_a_band_lies_between_student_and_scheffe() {
        let mut draws = stream("joint/band-test", 0, 0);
        let normal: Vec<f64> = (0..20_000).map(|_| draws.normal().abs()).collect();
        let circle: Vec<f64> = (0..20_000)
            .map(|_| draws.normal().hypot(draws.normal()))
            .collect();
        for (freedom, student, scheffe) in [(4.0, 2.7764, 3.7267), (30.0, 2.0423, 2.5752)] {
            let found = [
                quantile_of_largest(&normal, freedom),
                quantile_of_largest(&circle, freedom),
            ];
            assert!((found[0] / student - 1.0).abs() < 0.015, "{found:?}");
            assert!((found[1] / scheffe - 1.0).abs() < 0.015, "{found:?}");
        }
    }

    /// SciPy 1.17: `f.sf(3.5, 2, 7)`.
    #[test]
    fn chances_agree_with_scipy() {
        assert!(
            (chance_of_f(3.5, 2.0, 7.0) - 0.08838834764831843).abs() < 1e-9,
            "{}",
            chance_of_f(3.5, 2.0, 7.0)
        );
        assert_eq!(
            (
                chance_of_f(f64::INFINITY, 1.0, 3.0),
                chance_of_f(f64::NAN, 1.0, 3.0)
            ),
            (0.0, 1.0)
        );
    }
}
