//! A surface of learning rates, and what it says of a place.

/// A factor this close to what was swept is no step beyond it.
const SLACK: f64 = 1.05;

/// One trial of a sweep.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Any number that is the cell's own.
    pub cell: usize,
    /// Any number that is the seed's own.
    pub seed: u64,
    /// Logarithm of optimizer steps, or of training tokens.
    pub ln_steps: f64,
    /// Logarithm of the width, or of the parameters.
    pub ln_size: f64,
    /// Logarithm of the learning rate.
    pub ln_lr: f64,
    /// Validation loss in nats; `None` where the trial diverged.
    pub loss_nats: Option<f64>,
}

/// Both sides of the valley, in nats per squared unit of ln lr.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Valley {
    /// Below the best rate.
    pub left: f64,
    /// Above it.
    pub right: f64,
}

impl Valley {
    /// What a rate that is wrong by this much in ln lr costs, in nats.
    pub fn cost(&self, off: f64) -> f64 {
        if off < 0.0 {
            self.left * off * off
        } else {
            self.right * off * off
        }
    }

    /// What an error of this variance around nothing costs on average, in nats.
    pub fn mean_cost(&self, variance: f64) -> f64 {
        0.5 * (self.left + self.right) * variance
    }
}

/// What was swept: a surface speaks for this and nothing else.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Support {
    /// Lowest and highest.
    pub ln_steps: [f64; 2],
    /// Lowest and highest.
    pub ln_size: [f64; 2],
    /// Lowest and highest rate that finished anywhere.
    pub ln_lr: [f64; 2],
}

/// A fitted surface.
#[derive(Debug, Clone, PartialEq)]
pub struct Surface {
    /// ln lr* at `centre`, its slope over ln steps, its slope over ln size; a slope that nothing shows is 0.
    pub coefficients: [f64; 3],
    /// Of the coefficients; all of a slope's is 0 where nothing shows it.
    pub covariance: [[f64; 3]; 3],
    /// ln steps and ln size that the first coefficient is for.
    pub centre: [f64; 2],
    /// Degrees of freedom of an interval: of Student's t.
    pub freedom: f64,
    /// Standard deviation of single cells' optima around the surface, in ln lr.
    pub scatter: f64,
    /// Shape.
    pub valley: Valley,
    /// What was swept.
    pub support: Support,
    /// Cells with at least one finished trial.
    pub cells: usize,
    /// Of these, how many were best at the first or last rate that they tried.
    pub at_edge: usize,
}

/// What a surface says of one place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// Logarithm of the best rate.
    pub ln_lr: f64,
    /// Standard error of that.
    pub se: f64,
    /// Expected cost of using it, in nats: of its standard error and of the scatter of single cells.
    pub cost_nats: f64,
    /// Whether steps and size are among those swept.
    pub inside: bool,
    /// Whether the rate is outside those that were tried, or half of the cells were best at an edge.
    pub edge: bool,
}

/// Why there is no surface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// No trial finished.
    NothingFinished,
    /// No cell has three finished rates: a valley has a bottom and two sides.
    TooFewRates,
}

impl Surface {
    /// What it says of a place. A rate that nobody tried is not used: where the surface has one, the nearest tried stands.
    pub fn at(&self, ln_steps: f64, ln_size: f64) -> Place {
        let fitted = dot(&self.row(ln_steps, ln_size), &self.coefficients);
        let [lowest, highest] = self.support.ln_lr;
        let ln_lr = if fitted.is_finite() {
            fitted.clamp(lowest, highest)
        } else {
            0.5 * (lowest + highest)
        };
        let variance: f64 = self
            .loadings(ln_steps, ln_size)
            .iter()
            .map(|loading| loading * loading)
            .sum();
        let within = |[low, high]: [f64; 2], value: f64, slack: f64| {
            (low - slack..=high + slack).contains(&value)
        };
        let slack = SLACK.ln();
        let Support {
            ln_steps: steps,
            ln_size: sizes,
            ln_lr: rates,
        } = self.support;
        Place {
            ln_lr,
            se: variance.sqrt(),
            cost_nats: self
                .valley
                .mean_cost(variance + self.scatter * self.scatter),
            inside: within(steps, ln_steps, slack) && within(sizes, ln_size, slack),
            edge: !within(rates, fitted, 0.0) || 2 * self.at_edge > self.cells,
        }
    }

    /// How far a surface drawn from this one's uncertainty lies from it at a place, in ln lr: the same three standard normal
    /// numbers give the same drawn surface everywhere.
    pub fn drawn(&self, ln_steps: f64, ln_size: f64, normals: [f64; 3]) -> f64 {
        dot(&self.loadings(ln_steps, ln_size), &normals)
    }

    /// What each of three standard normal numbers adds to ln lr at a place of a drawn surface: together never more than if
    /// nothing were known but that the best rate is among those tried.
    pub fn loadings(&self, ln_steps: f64, ln_size: f64) -> [f64; 3] {
        let (x, lower) = (self.row(ln_steps, ln_size), root(&self.covariance));
        let free: [f64; 3] =
            std::array::from_fn(|k| (0..3).map(|row| x[row] * lower[row][k]).sum());
        let se = dot(&free, &free).sqrt();
        let most = (self.support.ln_lr[1] - self.support.ln_lr[0]) / 12f64.sqrt();
        match se.is_finite() {
            true if se <= most => free,
            true => free.map(|loading| loading * most / se),
            false => [most, 0.0, 0.0],
        }
    }

    /// The coefficients with nothing taken off: ln lr* = a + b ln steps + c ln size.
    pub fn plain(&self) -> [f64; 3] {
        let [at_centre, b, c] = self.coefficients;
        [at_centre - b * self.centre[0] - c * self.centre[1], b, c]
    }

    fn row(&self, ln_steps: f64, ln_size: f64) -> [f64; 3] {
        [1.0, ln_steps - self.centre[0], ln_size - self.centre[1]]
    }
}

/// The inner product.
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The lower triangular root of a covariance (Cholesky); directions without variance stay without.
pub(super) fn root(covariance: &[[f64; 3]; 3]) -> [[f64; 3]; 3] {
    let mut lower = [[0.0; 3]; 3];
    for i in 0..3 {
        for j in 0..=i {
            let left = covariance[i][j] - (0..j).map(|k| lower[i][k] * lower[j][k]).sum::<f64>();
            lower[i][j] = if i == j {
                left.max(0.0).sqrt()
            } else if lower[j][j] > 0.0 {
                left / lower[j][j]
            } else {
                0.0
            };
        }
    }
    lower
}
