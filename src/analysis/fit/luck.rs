//! How much of a fit is luck: what scatter of the runs moves a figure by, whatever the figure.
//!
//! A figure f of the fit moves by g . e where e are the influences of the runs' residuals and g = S (S'KS)^-1 grad f, with S the
//! slopes of the law by its free parameters and K the slopes of the influences, of which Huber's loss has a diagonal and least
//! squares ones. A profile's rise 2 (Q(f) - Q), with Q the least sum of losses, over lambda = var(g . e) / (g'Kg) is then t
//! squared. What var(g . e) is depends on the runs:
//!
//! - single runs: the residuals' variance, n - p degrees of freedom;
//! - repeats that all ran the same cells: the variance of g . e between the repeats, R - 1 degrees of freedom, whatever luck the
//!   runs of one repeat share: for a law linear in its parameters that is the t interval of the repeats' own fits;
//! - repeats that ran different cells, or runs with several rows: a variance between and one within (a random intercept), by
//!   the method of moments with the fit's own degrees of freedom taken off, combined after Satterthwaite 1946;
//! - rows that follow each other along one run: variances times (1 + r) / (1 - r) and degrees of freedom as many times fewer,
//!   with r the correlation of neighbours ([`super::series`]).

use crate::stat::linear::solve;
use crate::stat::{huber, median};

use super::series::Series;
use super::solve::Fitted;
use super::surface::{IRREDUCIBLE, NOTHING, Surface, Theta};

/// A law that misses its runs by less than this share of the loss goes through them: what is left is a computer's rounding.
pub const EXACT: f64 = 1e-8;

/// Residuals that a window of their own width suits.
const WINDOWED: f64 = 30.0;
/// Rows of which each says as much of its own scatter as all of them do.
const MANY: f64 = 100.0;

/// Why there is no interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Silence {
    /// As many runs as parameters, or fewer.
    TooFewRuns,
    /// Rows follow each other along too few runs.
    TooFewSeries,
    /// The runs lie on the law to the last digit, or all repeats agree.
    NoScatter,
}

impl Silence {
    /// In words, after `no interval: `.
    pub fn words(self) -> &'static str {
        match self {
            Self::TooFewRuns => "too few runs",
            Self::TooFewSeries => "too few runs that are not one another's neighbours",
            Self::NoScatter => "the runs have no scatter to judge by",
        }
    }
}

/// The variance of a figure, with the degrees of freedom that it is known with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// Of the figure.
    pub variance: f64,
    /// What a profile's rise is divided by.
    pub lambda: f64,
    /// Of t.
    pub freedom: f64,
}

/// The scatter of the runs around a fit.
#[derive(Debug, Clone)]
pub struct Luck {
    /// Influence of each row's residual.
    influence: Vec<f64>,
    /// Slope of each row's influence.
    curvature: Vec<f64>,
    kind: Kind,
    /// (1 + r) / (1 - r) of neighbours along a run; 1 where they have nothing to do with each other.
    stretch: f64,
}

#[derive(Debug, Clone)]
enum Kind {
    Single { variance: f64, freedom: f64 },
    Repeats { clusters: Vec<usize>, number: usize },
    Mixed(Mixed),
}

/// A variance between clusters and one within.
#[derive(Debug, Clone)]
struct Mixed {
    clusters: Vec<usize>,
    number: usize,
    within: f64,
    within_freedom: f64,
    /// Sum of squares between, its degrees of freedom, and how often the variance between is in it.
    between: f64,
    between_freedom: f64,
    times: f64,
}

impl Luck {
    /// Of a fit in a surface's coordinates, with the parameters `held` not fitted.
    pub fn new(
        surface: &Surface,
        fit: &Fitted,
        held: &[usize],
        series: &Series,
    ) -> Result<Self, Silence> {
        let (n, p) = (surface.rows.len() as f64, surface.free(held).len() as f64);
        if n <= p {
            return Err(Silence::TooFewRuns);
        }
        let residuals = surface.residuals(&fit.theta);
        let size = (residuals.iter().map(|r| r * r).sum::<f64>() / n).sqrt();
        if size < EXACT {
            return Self::of_rounding(surface, n, p);
        }
        let curvature = curvature(&residuals, surface.delta, n / (n - p));
        let influence: Vec<f64> = residuals
            .iter()
            .map(|r| huber::influence(*r, surface.delta))
            .collect();
        let stretch = series.stretch();
        let (kind, stretch) = if !surface.repeated() {
            let freedom = n / stretch - p;
            if freedom <= 0.0 {
                return Err(Silence::TooFewSeries);
            }
            let variance = influence.iter().map(|e| e * e).sum::<f64>() / (n - p);
            (Kind::Single { variance, freedom }, stretch)
        } else if surface.balanced() {
            let clusters = surface.rows.iter().map(|row| row.cluster).collect();
            (
                Kind::Repeats {
                    clusters,
                    number: surface.clusters,
                },
                1.0,
            )
        } else {
            (
                Kind::Mixed(Mixed::new(surface, fit, held, &influence)?),
                stretch,
            )
        };
        Ok(Self {
            influence,
            curvature,
            kind,
            stretch,
        })
    }

    /// Of runs that lie on their law: rounding, which is no luck. A law with as many parameters as cells lies on any runs.
    fn of_rounding(surface: &Surface, n: f64, p: f64) -> Result<Self, Silence> {
        if surface.cells() as f64 <= p {
            return Err(Silence::NoScatter);
        }
        let rows = surface.rows.len();
        Ok(Self {
            influence: vec![EXACT; rows],
            curvature: vec![1.0; rows],
            kind: Kind::Single {
                variance: EXACT * EXACT,
                freedom: n - p,
            },
            stretch: 1.0,
        })
    }

    /// How each row's influence moves a figure whose slopes by the parameters are `gradient`, those of the rows being `columns`;
    /// `None` where the rows do not tell it.
    pub fn direction(&self, columns: &[Vec<f64>], gradient: &[f64]) -> Option<Vec<f64>> {
        direction(columns, &self.curvature, gradient)
    }

    /// The variance of the figure whose influence is `direction`; `None` where the runs say nothing of it.
    pub fn along(&self, direction: &[f64]) -> Option<Scale> {
        let length: f64 = direction.iter().map(|g| g * g).sum();
        let (variance, freedom) = match &self.kind {
            Kind::Single { variance, freedom } => (variance * length, *freedom),
            Kind::Repeats { clusters, number } => {
                let products = direction.iter().zip(&self.influence).map(|(g, e)| g * e);
                let sums = summed(products, clusters, *number);
                let n = *number as f64;
                let middle = sums.iter().sum::<f64>() / n;
                (
                    sums.iter().map(|sum| (sum - middle).powi(2)).sum::<f64>() * n / (n - 1.0),
                    n - 1.0,
                )
            }
            Kind::Mixed(mixed) => mixed.along(direction, length),
        };
        let variance = self.stretch * variance;
        let steep: f64 = direction
            .iter()
            .zip(&self.curvature)
            .map(|(g, k)| k * g * g)
            .sum();
        let lambda = variance / steep;
        let freedom = if matches!(self.kind, Kind::Mixed(_)) {
            freedom / self.stretch
        } else {
            freedom
        };
        (lambda.is_finite() && lambda > 0.0 && freedom > 0.0).then_some(Scale {
            variance,
            lambda,
            freedom,
        })
    }
}

/// Slopes of the rows' influence: whether a residual is within delta, looked at with a window as wide as the residuals are, as a
/// fit goes through as many points as it has parameters (Powell 1991's kernel). Where rows are few theirs are drawn to the mean:
/// each alone says little, many together that some regions scatter more. `widen` is n / (n - p): residuals are smaller than errors.
fn curvature(residuals: &[f64], delta: f64, widen: f64) -> Vec<f64> {
    if delta.is_infinite() {
        return vec![1.0; residuals.len()];
    }
    let n = residuals.len() as f64;
    let errors: Vec<f64> = residuals.iter().map(|r| r * widen.sqrt()).collect();
    let sizes: Vec<f64> = errors.iter().map(|e| e.abs()).collect();
    // 1.4826 medians are a standard deviation where errors are normal; with more of them a narrower window has enough.
    let narrower = (WINDOWED / n).powf(0.2).min(1.0);
    let window = (1.4826 * narrower * median(&sizes).unwrap_or(0.0)).max(delta);
    let rise = |e: &f64| {
        (huber::influence(e + window, delta) - huber::influence(e - window, delta)) / (2.0 * window)
    };
    let own: Vec<f64> = errors.iter().map(rise).collect();
    let mean = own.iter().sum::<f64>() / n;
    let share = n / (n + MANY);
    own.iter().map(|own| mean + share * (own - mean)).collect()
}

fn summed(values: impl Iterator<Item = f64>, clusters: &[usize], number: usize) -> Vec<f64> {
    let mut sums = vec![0.0; number];
    values
        .zip(clusters)
        .for_each(|(value, &cluster)| sums[cluster] += value);
    sums
}

impl Mixed {
    fn new(
        surface: &Surface,
        fit: &Fitted,
        held: &[usize],
        influence: &[f64],
    ) -> Result<Self, Silence> {
        let clusters: Vec<usize> = surface.rows.iter().map(|row| row.cluster).collect();
        let number = surface.clusters;
        let sizes = summed(clusters.iter().map(|_| 1.0), &clusters, number);
        let sums = summed(influence.iter().copied(), &clusters, number);
        let n = clusters.len() as f64;
        // An orthonormal basis of what the fit can answer, summed over clusters: how much of the luck between them it swallows.
        let basis = basis(surface, &fit.theta, held);
        let p = basis.len() as f64;
        let of_clusters: Vec<Vec<f64>> = basis
            .iter()
            .map(|column| summed(column.iter().copied(), &clusters, number))
            .collect();
        let product = |a: &[f64], b: &[f64], over: &dyn Fn(usize) -> f64| {
            (0..number).map(|r| a[r] * b[r] / over(r)).sum::<f64>()
        };
        let swallowed: f64 = of_clusters
            .iter()
            .map(|column| product(column, column, &|r| sizes[r]))
            .sum();
        let mut times = n;
        for a in &of_clusters {
            times -= 2.0 * product(a, a, &|_| 1.0);
            times += of_clusters
                .iter()
                .map(|b| product(a, b, &|r| sizes[r]) * product(a, b, &|_| 1.0))
                .sum::<f64>();
        }
        let used = sizes.iter().filter(|size| **size > 0.0).count() as f64;
        let (between_freedom, within_freedom) = (used - swallowed, n - used - (p - swallowed));
        if between_freedom < 0.9 || within_freedom < 0.9 || times <= 0.0 {
            return Err(Silence::TooFewSeries);
        }
        let squares: f64 = influence.iter().map(|e| e * e).sum();
        let between: f64 = (0..number)
            .filter(|&r| sizes[r] > 0.0)
            .map(|r| sums[r] * sums[r] / sizes[r])
            .sum();
        let within = (squares - between).max(0.0) / within_freedom;
        Ok(Self {
            clusters,
            number,
            within,
            within_freedom,
            between,
            between_freedom,
            times,
        })
    }

    fn along(&self, direction: &[f64], length: f64) -> (f64, f64) {
        let sums = summed(direction.iter().copied(), &self.clusters, self.number);
        let share = sums.iter().map(|sum| sum * sum).sum::<f64>() / self.times;
        let shared = (self.between - self.within * self.between_freedom) / self.times;
        if shared <= 0.0 {
            // Nothing is shared: all residuals are one sample.
            let freedom = self.within_freedom + self.between_freedom;
            let variance = (self.within * self.within_freedom + self.between) / freedom;
            return (variance * length, freedom);
        }
        let (of_within, of_between) = (
            self.within * (length - share * self.between_freedom),
            share * self.between,
        );
        let variance = of_within + of_between;
        let spread =
            of_within.powi(2) / self.within_freedom + of_between.powi(2) / self.between_freedom;
        (variance, variance * variance / spread)
    }
}

/// Slopes by the parameters that are free and not at a bound, as columns of rows.
pub fn columns(
    surface: &Surface,
    theta: &Theta,
    held: &[usize],
    asked: Option<usize>,
) -> (Vec<usize>, Vec<Vec<f64>>) {
    let at_bound = |index: usize| index == IRREDUCIBLE && theta[index] <= NOTHING;
    let free: Vec<usize> = surface
        .free(held)
        .into_iter()
        .filter(|&index| !at_bound(index) || asked == Some(index))
        .collect();
    let slopes = surface.slopes_at(theta);
    let columns = free
        .iter()
        .map(|&index| slopes.iter().map(|row| row[index]).collect())
        .collect();
    (free, columns)
}

/// S (S'KS)^-1 `gradient`.
fn direction(columns: &[Vec<f64>], curvature: &[f64], gradient: &[f64]) -> Option<Vec<f64>> {
    let dot = |a: &[f64], b: &[f64]| {
        a.iter()
            .zip(b)
            .zip(curvature)
            .map(|((a, b), k)| k * a * b)
            .sum::<f64>()
    };
    let lengths: Vec<f64> = columns
        .iter()
        .map(|column| dot(column, column).sqrt().max(f64::MIN_POSITIVE))
        .collect();
    let mut matrix: Vec<Vec<f64>> = Vec::new();
    for (a, one) in columns.iter().enumerate() {
        let row = columns
            .iter()
            .enumerate()
            .map(|(b, other)| dot(one, other) / (lengths[a] * lengths[b]));
        matrix.push(row.collect());
        // Columns that say the same are told apart by this much, so that a flat direction is merely a long one.
        matrix[a][a] += 1e-12;
    }
    let scaled: Vec<f64> = gradient
        .iter()
        .zip(&lengths)
        .map(|(slope, length)| slope / length)
        .collect();
    let solution = solve(matrix, scaled)?;
    let rows = columns.first().map_or(0, Vec::len);
    let of = |row: usize| {
        (0..columns.len())
            .map(|k| columns[k][row] / lengths[k] * solution[k])
            .sum::<f64>()
    };
    let direction: Vec<f64> = (0..rows).map(of).collect();
    direction.iter().all(|g| g.is_finite()).then_some(direction)
}

/// Modified Gram-Schmidt over the slopes.
fn basis(surface: &Surface, theta: &Theta, held: &[usize]) -> Vec<Vec<f64>> {
    let (_, columns) = columns(surface, theta, held, None);
    let mut basis: Vec<Vec<f64>> = Vec::new();
    for column in columns {
        let size = column.iter().map(|value| value * value).sum::<f64>().sqrt();
        let left = crate::stat::linear::residual_of(&column, &basis);
        let length = left.iter().map(|value| value * value).sum::<f64>().sqrt();
        if length > 1e-7 * size {
            basis.push(left.into_iter().map(|value| value / length).collect());
        }
    }
    basis
}
