//! How far a figure of a curve can be trusted: all its values that the data do not refuse, found by refitting with the figure
//! held. What is asked of a value is how much the objective rises, in units of the noise: F with 1 and n - p degrees of freedom
//! for least squares; for Huber's loss the same ratio with the scale under which it is one (Huber and Ronchetti 2009, section
//! 7.6: mean square influence over the influence's mean slope); where runs share repeats, in units of the variance between
//! repeats, with repeats - 1. An interval holds its estimate by construction, and is open where the data never refuse.

use statrs::distribution::{ContinuousCDF, Normal};

use super::fitted::CurveFit;
use crate::analysis::fit::interval::Bounds;
use crate::analysis::fit::luck::EXACT;
use crate::stat::interval::LEVEL;
use crate::stat::least::Least;
use crate::stat::{critical, huber, quantile, sd};

/// Steps outward, each half as long again as the one before, from a share of the figure's standard error.
const STEPS: usize = 44;
/// That share.
const FIRST: f64 = 0.4;
/// Halvings of the last step, fewer where the end is known to a share of its distance.
const HALVINGS: usize = 24;
/// That share.
const KNOWN: f64 = 1e-4;
/// How many times stiffer a figure is held than the data hold it.
const STIFFNESS: f64 = 300.0;

/// A figure of the law in searched coordinates, on a scale where it may be any number.
type Reading<'a> = &'a (dyn Fn(&[f64]) -> f64 + Sync);

impl CurveFit {
    /// Degrees of freedom: runs less parameters, or repeats less one; `None` where nothing is left.
    pub fn freedom(&self) -> Option<usize> {
        let left = self
            .points
            .len()
            .checked_sub(self.free.len())
            .filter(|left| *left > 0)?;
        let clusters = self.cluster_count();
        Some(if clusters < self.points.len() {
            clusters - 1
        } else {
            left
        })
    }

    /// Residuals at the fit.
    pub fn misses(&self) -> Vec<f64> {
        let mut found = vec![0.0; self.points.len()];
        self.residuals(&self.end.at, &mut found);
        found
    }

    /// Standard deviation of the residuals, in their own unit, with the parameters' degrees of freedom taken off.
    pub fn residual_sd(&self) -> Option<f64> {
        let left = self
            .points
            .len()
            .checked_sub(self.free.len())
            .filter(|left| *left > 0)?;
        Some((self.misses().iter().map(|r| r * r).sum::<f64>() / left as f64).sqrt())
    }

    /// Twice a rise of the objective by this much is a chi-square's 1: the noise's variance, or what stands for it.
    fn unit(&self) -> Option<f64> {
        let (n, left) = (
            self.points.len() as f64,
            self.points.len().checked_sub(self.free.len())? as f64,
        );
        let delta = self.curve.delta;
        let misses = self.misses();
        let squares: f64 = misses
            .iter()
            .map(|r| huber::influence(*r, delta).powi(2))
            .sum();
        let unit = squares
            / left
            / if delta.is_finite() {
                share_within(&misses, delta)
            } else {
                1.0
            };
        // Runs without luck still have a computer's.
        let size = self.seen.iter().map(|seen| seen * seen).sum::<f64>() / n;
        (left > 0.0).then_some(unit.max(EXACT * EXACT * size))
    }

    /// How many times larger the variance of a figure is between repeats than runs of luck of their own would have it.
    fn clustering(&self, reading: Reading) -> f64 {
        let count = self.cluster_count();
        if count == self.points.len() || count < 2 {
            return 1.0;
        }
        // How the figure answers to each row's luck.
        let Some(answers) = self.answers_of(reading) else {
            return 1.0;
        };
        let mut sums = vec![0.0; count];
        let misses = self.misses();
        for ((cluster, answer), miss) in self.clusters.iter().zip(&answers).zip(&misses) {
            sums[*cluster] += answer * huber::influence(*miss, self.curve.delta);
        }
        let between: f64 =
            sums.iter().map(|s| s * s).sum::<f64>() * count as f64 / (count as f64 - 1.0);
        let own: f64 = answers.iter().map(|a| a * a).sum::<f64>();
        let squares: f64 = misses
            .iter()
            .map(|r| huber::influence(*r, self.curve.delta).powi(2))
            .sum();
        let alone = own * squares / (self.points.len() - self.free.len()) as f64;
        if alone > 0.0 { between / alone } else { 1.0 }
    }

    /// How a figure answers to each row's luck: the row of slopes times the inverse of the columns' products.
    fn answers_of(&self, reading: Reading) -> Option<Vec<f64>> {
        let weights = vec![1.0; self.points.len()];
        let columns = self.with_problem(&weights, &|_, _| {}, |problem| {
            problem.slopes(&self.end.at, &self.free)
        });
        let slope = |&k: &usize| {
            let step = 1e-6 * self.end.at[k].abs().max(1.0);
            let moved = |by: f64| {
                let mut at = self.end.at.clone();
                at[k] += by;
                reading(&at)
            };
            (moved(step) - moved(-step)) / (2.0 * step)
        };
        let slopes: Vec<f64> = self.free.iter().map(slope).collect();
        answers(&columns, &slopes)
    }

    /// Refits with a coordinate held.
    fn held(&self, from: &[f64], index: usize) -> Least {
        let free: Vec<usize> = self.free.iter().copied().filter(|k| *k != index).collect();
        self.with_problem(&vec![1.0; self.points.len()], &|_, _| {}, |problem| {
            problem.search(from, &free)
        })
    }

    /// The interval of a parameter, in the law's own units; `None` where it was held or nothing is left to judge by.
    pub fn bounds(&self, index: usize) -> Option<Bounds> {
        if !self.free.contains(&index) {
            return None;
        }
        let log = self.curve.slots[index].log;
        let limit = self.limit(&move |at: &[f64]| at[index])?;
        let start = self.end.at[index];
        let unit = if log { 1.0 } else { start.abs().max(0.1) };
        let refit = |from: &[f64], value: f64| {
            let mut from = from.to_vec();
            from[index] = value;
            let end = self.held(&from, index);
            (value, end)
        };
        let step = self.first_step(&move |at: &[f64]| at[index], unit);
        let ends = self.ends(start, step, self.range(index), limit, &refit);
        let natural = |value: f64| if log { value.exp() } else { value };
        Some(Bounds {
            low: ends[0].map(natural),
            high: ends[1].map(natural),
            level: LEVEL,
        })
    }

    /// The objective over values of a parameter in its own units, everything else refitted, from the fit outward.
    pub fn profile(&self, index: usize, values: &[f64]) -> Vec<(f64, f64)> {
        let log = self.curve.slots[index].log;
        let inner = |value: f64| if log { value.ln() } else { value };
        let (below, above): (Vec<f64>, Vec<f64>) =
            values.iter().partition(|v| inner(**v) < self.end.at[index]);
        let mut found = Vec::new();
        for side in [below.into_iter().rev().collect::<Vec<f64>>(), above] {
            let mut at = self.end.at.clone();
            for value in side {
                at[index] = inner(value);
                let end = self.held(&at, index);
                found.push((value, end.objective));
                at = end.at;
            }
        }
        found.sort_by(|a, b| a.0.total_cmp(&b.0));
        found
    }

    /// The interval of any figure that follows from the law, given on a scale where it may be any number, such as a
    /// logarithm: rows of squares hold it at a value.
    pub fn bounds_of(&self, reading: Reading) -> Option<Bounds> {
        let start = reading(&self.end.at);
        let limit = self.limit(reading)?;
        let unit = start.abs().max(0.1);
        // The variance of the figure in units of the noise's is what the data hold it with.
        let loose = self
            .answers_of(reading)
            .map_or(f64::INFINITY, |answers| norm(&answers));
        let stiff = STIFFNESS / loose.min(1e2 * unit / self.unit()?.sqrt());
        let weights = vec![1.0; self.points.len() + 1];
        let refit = |from: &[f64], value: f64| {
            let hold = |at: &[f64], out: &mut [f64]| out[0] = stiff * (reading(at) - value);
            let end =
                self.with_problem(&weights, &hold, |problem| problem.search(from, &self.free));
            let own = self.with_problem(&weights[1..], &|_, _| {}, |problem| {
                problem.objective(&end.at)
            });
            (
                reading(&end.at),
                Least {
                    objective: own,
                    ..end
                },
            )
        };
        start.is_finite().then(|| {
            let step = self.first_step(reading, unit);
            let [low, high] = self.ends(
                start,
                step,
                (f64::NEG_INFINITY, f64::INFINITY),
                limit,
                &refit,
            );
            Bounds {
                low,
                high,
                level: LEVEL,
            }
        })
    }

    /// A share of the figure's standard error as the slopes at the fit have it, and no more than of its unit.
    fn first_step(&self, reading: Reading, unit: f64) -> f64 {
        let own = self
            .answers_of(reading)
            .map_or(f64::INFINITY, |answers| norm(&answers));
        let error = own * self.unit().map_or(0.0, f64::sqrt);
        FIRST * if error > 0.0 { error.min(unit) } else { unit }
    }

    /// The objective above which the data refuse a value of a figure.
    fn limit(&self, reading: Reading) -> Option<f64> {
        let t = critical(self.freedom()? as f64, LEVEL)?;
        Some(self.end.objective + 0.5 * t * t * self.unit()? * self.clustering(reading).max(1e-6))
    }

    /// Walks outward on both sides until the data refuse, then halves the last step; `None` where they never do.
    fn ends(
        &self,
        start: f64,
        first: f64,
        range: (f64, f64),
        limit: f64,
        refit: &(dyn Fn(&[f64], f64) -> (f64, Least) + Sync),
    ) -> [Option<f64>; 2] {
        [-1.0, 1.0].map(|side: f64| {
            let (mut inside, mut at) = (start, self.end.at.clone());
            let mut step = first;
            for _ in 0..STEPS {
                let wanted = (inside + side * step).clamp(range.0, range.1);
                let (reached, end) = refit(&at, wanted);
                if end.objective > limit {
                    return Some(self.halved(start, (inside, wanted), at, limit, refit));
                }
                // A figure that does not follow, or can go no further, is not refused.
                if wanted == range.0 || wanted == range.1 || side * (reached - inside) <= 0.0 {
                    return None;
                }
                (inside, at, step) = (reached, end.at, 1.5 * step);
            }
            None
        })
    }

    fn halved(
        &self,
        start: f64,
        (mut inside, mut outside): (f64, f64),
        mut at: Vec<f64>,
        limit: f64,
        refit: &(dyn Fn(&[f64], f64) -> (f64, Least) + Sync),
    ) -> f64 {
        for _ in 0..HALVINGS {
            let middle = 0.5 * (inside + outside);
            let (reached, end) = refit(&at, middle);
            if end.objective > limit {
                outside = middle;
            } else {
                (inside, at) = (
                    if (reached - inside) * (outside - inside) > 0.0 {
                        reached
                    } else {
                        middle
                    },
                    end.at,
                );
            }
            if (outside - inside).abs() < KNOWN * (inside - start).abs() {
                break;
            }
        }
        0.5 * (inside + outside)
    }
}

/// The share of residuals within `delta` of zero, smoothed by a kernel (Silverman 1986, eq. 3.31): a few rows would not do.
fn share_within(residuals: &[f64], delta: f64) -> f64 {
    let spread = sd(residuals).unwrap_or(0.0);
    let quartiles = quantile(residuals, 0.75)
        .zip(quantile(residuals, 0.25))
        .map_or(spread, |(a, b)| (a - b) / 1.34);
    let width = 0.9 * spread.min(quartiles).max(1e-3 * delta) * (residuals.len() as f64).powf(-0.2);
    let Ok(normal) = Normal::new(0.0, width) else {
        return 1.0;
    };
    let within = |r: &f64| normal.cdf(delta - r) - normal.cdf(-delta - r);
    (residuals.iter().map(within).sum::<f64>() / residuals.len().max(1) as f64).max(1e-6)
}

fn norm(values: &[f64]) -> f64 {
    values.iter().map(|v| v * v).sum::<f64>().sqrt()
}

/// columns (columns' columns)^-1 slopes, row by row.
fn answers(columns: &[Vec<f64>], slopes: &[f64]) -> Option<Vec<f64>> {
    let sizes: Vec<f64> = columns
        .iter()
        .map(|c| c.iter().map(|v| v * v).sum::<f64>().sqrt())
        .collect();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let products: Vec<Vec<f64>> = (0..columns.len())
        .map(|j| {
            let one = |i: usize| {
                dot(&columns[i], &columns[j]) / (sizes[i] * sizes[j])
                    + if i == j { 1e-10 } else { 0.0 }
            };
            (0..columns.len()).map(one).collect()
        })
        .collect();
    let target: Vec<f64> = slopes
        .iter()
        .zip(&sizes)
        .map(|(slope, size)| slope / size)
        .collect();
    let share = crate::stat::linear::least_squares(&products, &target)?;
    let rows = columns.first()?.len();
    Some(
        (0..rows)
            .map(|k| {
                (0..columns.len())
                    .map(|j| share[j] * columns[j][k] / sizes[j])
                    .sum()
            })
            .collect(),
    )
}
