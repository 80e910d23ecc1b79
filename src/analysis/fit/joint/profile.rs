//! The objective and its lowest point. With E held every arm is fitted by itself, ln L = ln(E + exp(b - a x)) with
//! x = ln C less the arm's mean, by Gauss and Newton's method on the cells' means; E is then one number to search, and what it
//! costs to move it is seen whole. Nothing is differentiated in E, so that E = 0 is a value like any other.

use super::noise::Precision;
use crate::analysis::fit::interval::Bounds;
use crate::stat::interval::LEVEL;
use crate::stat::mean;

/// E is searched up to this share of the lowest loss.
const CLOSEST: f64 = 0.9999;
/// Values of E scanned.
const SCAN: usize = 60;
/// Halvings of an interval in which an end or a minimum lies.
const HALVINGS: usize = 40;
/// Steps of one arm's search.
const STEPS: usize = 60;

/// One arm's cells as the objective sees them.
#[derive(Debug, Clone)]
pub struct Rows {
    /// Mean of ln C.
    pub middle: f64,
    /// ln C less that.
    pub x: Vec<f64>,
    /// ln L.
    pub y: Vec<f64>,
    weights: Vec<f64>,
    /// What is taken off the product of two columns' weighted sums for the variance that cells share.
    shared: f64,
}

impl Rows {
    /// From ln C and ln L of cells.
    pub fn new(log_flops: &[f64], log_loss: Vec<f64>, precision: &Precision) -> Self {
        let middle = mean(log_flops).unwrap_or_default();
        let x = log_flops.iter().map(|log| log - middle).collect();
        let sum: f64 = precision.weights.iter().sum();
        // Sherman and Morrison's inverse of a diagonal plus a constant.
        let shared = precision.shared / (1.0 + precision.shared * sum);
        Self {
            middle,
            x,
            y: log_loss,
            weights: precision.weights.clone(),
            shared,
        }
    }

    /// The product of two columns in the metric of the cells' covariance.
    pub fn product(&self, a: &[f64], b: &[f64]) -> f64 {
        let (mut both, mut of_a, mut of_b) = (0.0, 0.0, 0.0);
        for ((a, b), w) in a.iter().zip(b).zip(&self.weights) {
            both += w * a * b;
            of_a += w * a;
            of_b += w * b;
        }
        both - self.shared * of_a * of_b
    }

    /// ln L less the law's, and the law's derivatives by b and a.
    pub fn columns(&self, irreducible: f64, level: f64, exponent: f64) -> [Vec<f64>; 3] {
        let mut columns = [Vec::new(), Vec::new(), Vec::new()];
        for (x, y) in self.x.iter().zip(&self.y) {
            let reducible = (level - exponent * x).exp();
            let loss = irreducible + reducible;
            columns[0].push(y - loss.ln());
            columns[1].push(reducible / loss);
            columns[2].push(-x * reducible / loss);
        }
        columns
    }

    /// Variance of a cell's mean over that of an average cell.
    pub fn variance(&self, cell: usize) -> f64 {
        1.0 / self.weights[cell]
    }

    fn sum_of_squares(&self, irreducible: f64, [level, exponent]: [f64; 2]) -> f64 {
        let [left, ..] = self.columns(irreducible, level, exponent);
        self.product(&left, &left)
    }

    /// A straight line in ln(L - E), each cell by what its ln L tells of that.
    fn line(&self, irreducible: f64) -> [f64; 2] {
        let mut sums = [0.0; 5];
        for ((x, y), w) in self.x.iter().zip(&self.y).zip(&self.weights) {
            let loss = y.exp();
            let reducible = (loss - irreducible).max(1e-9 * loss);
            let (w, z) = (w * (reducible / loss).powi(2), reducible.ln());
            for (sum, part) in sums.iter_mut().zip([w, w * x, w * x * x, w * z, w * x * z]) {
                *sum += part;
            }
        }
        let [n, x, xx, z, xz] = sums;
        let slope = (n * xz - x * z) / (n * xx - x * x);
        let level = (z - slope * x) / n;
        if slope.is_finite() && level.is_finite() {
            [level, -slope]
        } else {
            [0.0, 0.0]
        }
    }

    /// The best curve with E held.
    fn curve(&self, irreducible: f64) -> Curve {
        let mut at = self.line(irreducible);
        let mut value = self.sum_of_squares(irreducible, at);
        let mut inverse = [[f64::INFINITY; 2]; 2];
        for _ in 0..STEPS {
            let [left, by_level, by_exponent] = self.columns(irreducible, at[0], at[1]);
            let (a, b, c) = (
                self.product(&by_level, &by_level),
                self.product(&by_level, &by_exponent),
                self.product(&by_exponent, &by_exponent),
            );
            let determinant = a * c - b * b;
            if !(determinant > 0.0 && determinant.is_finite()) {
                break;
            }
            inverse = [
                [c / determinant, -b / determinant],
                [-b / determinant, a / determinant],
            ];
            let slope = [
                self.product(&by_level, &left),
                self.product(&by_exponent, &left),
            ];
            let step = [0, 1].map(|k| inverse[k][0] * slope[0] + inverse[k][1] * slope[1]);
            let gained = (0..20).find_map(|halvings| {
                let share = 0.5f64.powi(halvings);
                let next = [at[0] + share * step[0], at[1] + share * step[1]];
                let lower = self.sum_of_squares(irreducible, next);
                (lower < value).then_some((next, lower))
            });
            let Some((next, lower)) = gained else { break };
            let done = value - lower <= 1e-13 * value;
            (at, value) = (next, lower);
            if done {
                break;
            }
        }
        Curve {
            level: at[0],
            exponent: at[1],
            inverse,
            sum_of_squares: value,
        }
    }
}

/// One arm's curve at some E.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Curve {
    /// b: ln(L - E) at the arm's mean ln C.
    pub level: f64,
    /// a.
    pub exponent: f64,
    /// Covariance of the two over the variance of a cell.
    pub inverse: [[f64; 2]; 2],
    /// What is minimised.
    pub sum_of_squares: f64,
}

/// All arms at some E.
#[derive(Debug, Clone, PartialEq)]
pub struct At {
    /// E.
    pub irreducible: f64,
    /// Over all arms.
    pub sum_of_squares: f64,
    /// In the arms' order.
    pub curves: Vec<Curve>,
}

/// The arms over all values of E.
#[derive(Debug, Clone)]
pub struct Profile {
    /// In the arms' order.
    pub rows: Vec<Rows>,
    /// E, where it is held.
    pub held: Option<f64>,
    scanned: Vec<At>,
    /// The lowest point.
    pub best: At,
}

impl Profile {
    /// Scans E and finds the lowest point.
    pub fn new(rows: Vec<Rows>, held: Option<f64>) -> Self {
        let at = |e: f64| at(&rows, e);
        if let Some(held) = held {
            let best = at(held);
            return Self {
                scanned: vec![best.clone()],
                best,
                held: Some(held),
                rows,
            };
        }
        let lowest = rows
            .iter()
            .flat_map(|rows| &rows.y)
            .copied()
            .fold(f64::INFINITY, f64::min)
            .exp();
        // Closer together near the lowest loss, where ln(L - E) moves fastest.
        let share = |k: usize| 1.0 - (1.0 - k as f64 / SCAN as f64).powi(2);
        let scanned: Vec<At> = (0..=SCAN)
            .map(|k| at(CLOSEST * lowest * share(k)))
            .collect();
        let place = (0..=SCAN).min_by(|a, b| {
            scanned[*a]
                .sum_of_squares
                .total_cmp(&scanned[*b].sum_of_squares)
        });
        let place = place.unwrap_or_default();
        let ends = [place.saturating_sub(1), (place + 1).min(SCAN)].map(|k| scanned[k].irreducible);
        let found = at(lowest_between(ends, |e| at(e).sum_of_squares));
        let best = if found.sum_of_squares < scanned[place].sum_of_squares {
            found
        } else {
            scanned[place].clone()
        };
        Self {
            rows,
            held: None,
            scanned,
            best,
        }
    }

    /// Fits at all values of E that were scanned, and the best.
    pub fn everywhere(&self) -> impl Iterator<Item = &At> {
        self.scanned.iter().chain([&self.best])
    }

    /// Parameters fitted: two an arm, and E.
    pub fn parameters(&self) -> usize {
        2 * self.rows.len() + usize::from(self.held.is_none())
    }

    /// Cells less parameters.
    pub fn freedom(&self) -> usize {
        self.rows
            .iter()
            .map(|rows| rows.x.len())
            .sum::<usize>()
            .saturating_sub(self.parameters())
    }

    /// The lowest and the highest E at which the sum of squares is at most `rise` above its lowest, and whether they are ends:
    /// one that is not is as far as E can go.
    pub fn ends(&self, rise: f64) -> [(f64, bool); 2] {
        let limit = self.best.sum_of_squares + rise;
        let within = |at: &At| at.sum_of_squares <= limit;
        let here = self.best.irreducible;
        let inside = |from: &At| within(from).then_some(from.irreducible);
        let low = self
            .scanned
            .iter()
            .find_map(inside)
            .map_or(here, |e| e.min(here));
        let high = self
            .scanned
            .iter()
            .rev()
            .find_map(inside)
            .map_or(here, |e| e.max(here));
        let below = self
            .scanned
            .iter()
            .rev()
            .find(|at| at.irreducible < low)
            .map(|at| at.irreducible);
        let above = self
            .scanned
            .iter()
            .find(|at| at.irreducible > high)
            .map(|at| at.irreducible);
        let end = |inside: f64, outside: Option<f64>| match outside {
            None => (inside, false),
            Some(outside) => (self.halved(inside, outside, limit), true),
        };
        [end(low, below), end(high, above)]
    }

    fn halved(&self, mut inside: f64, mut outside: f64, limit: f64) -> f64 {
        for _ in 0..HALVINGS {
            let middle = 0.5 * (inside + outside);
            if at(&self.rows, middle).sum_of_squares <= limit {
                inside = middle
            } else {
                outside = middle
            }
        }
        inside
    }

    /// The values of E that are at most so much worse, as an interval.
    pub fn bounds(&self, rise: f64) -> Option<Bounds> {
        if self.held.is_some() {
            return None;
        }
        let [low, high] = self.ends(rise).map(|(e, closed)| closed.then_some(e));
        Some(Bounds {
            low,
            high,
            level: LEVEL,
        })
    }

    /// Fits at `n` values of E over all that are at most `rise` worse, the best among them.
    pub fn within(&self, rise: f64, n: usize) -> Vec<At> {
        if self.held.is_some() {
            return vec![self.best.clone()];
        }
        let [(low, _), (high, _)] = self.ends(rise);
        let value = |k: usize| low + (high - low) * k as f64 / (n - 1) as f64;
        let others = (0..n).map(|k| at(&self.rows, value(k)));
        [self.best.clone()].into_iter().chain(others).collect()
    }
}

fn at(rows: &[Rows], irreducible: f64) -> At {
    let curves: Vec<Curve> = rows.iter().map(|rows| rows.curve(irreducible)).collect();
    At {
        irreducible,
        sum_of_squares: curves.iter().map(|curve| curve.sum_of_squares).sum(),
        curves,
    }
}

/// The lowest point between two ends, by the golden section.
fn lowest_between([mut low, mut high]: [f64; 2], value: impl Fn(f64) -> f64) -> f64 {
    let golden = 0.5 * (5f64.sqrt() - 1.0);
    let inner = |low: f64, high: f64| [high - golden * (high - low), low + golden * (high - low)];
    let [mut left, mut right] = inner(low, high);
    let (mut at_left, mut at_right) = (value(left), value(right));
    for _ in 0..HALVINGS {
        if at_left <= at_right {
            (high, right, at_right) = (right, left, at_left);
            left = inner(low, high)[0];
            at_left = value(left);
        } else {
            (low, left, at_left) = (left, right, at_right);
            right = inner(low, high)[1];
            at_right = value(right);
        }
    }
    0.5 * (low + high)
}
