//! An additive law against its points: the objective with its gradient, residuals, and the slopes behind every interval.
//!
//! With l(theta) = ln(E + sum_k exp(a_k - alpha_k x_k)) and x the logarithm of the variable, the objective is the sum over
//! rows of weight * huber(l - ln L). It is the *sum*: averaged, the published objective is so small that optimisers stop early
//! (Besiroglu et al. 2024, arXiv 2404.10102).

use std::collections::{BTreeMap, BTreeSet};

use crate::stat::huber;

use super::additive::{Additive, Start};
use super::points::Point;

/// ln A, alpha, ln B, beta, ln E. A law of one term leaves the middle two alone.
pub type Theta = [f64; 5];
/// Where ln E stands.
pub const IRREDUCIBLE: usize = 4;
/// ln E at or below this is E = 0.
pub const NOTHING: f64 = -25.0;
/// Objectives are small (1e-3 in the published fit): the optimiser sees them larger.
pub const SCALE: f64 = 1e4;
/// Beyond this a term is as good as infinite: a search that strays there must still see numbers.
const LARGEST_LOG: f64 = 300.0;

/// One point as the objective sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row {
    /// Logarithms of the law's variables.
    pub x: [f64; 2],
    /// ln L.
    pub y: f64,
    /// How often it counts.
    pub weight: f64,
    /// Rows of one cluster share their luck.
    pub cluster: usize,
}

/// A law's points, ready to be fitted.
#[derive(Debug, Clone)]
pub struct Surface {
    /// Terms of the law.
    pub terms: usize,
    /// Of Huber's loss.
    pub delta: f64,
    /// Subtracted from x, so that ln A is not tied to alpha; coefficients are in these coordinates.
    pub centre: [f64; 2],
    /// The points.
    pub rows: Vec<Row>,
    /// Number of clusters; as many as rows where every row has its own luck.
    pub clusters: usize,
    /// Whether all clusters have the same cells.
    balanced: bool,
}

impl Surface {
    /// The points of a law; `None` where one lacks a variable of it.
    pub fn new(law: &Additive, points: &[Point]) -> Option<Self> {
        let (owners, clusters) = clusters(points);
        let row = |(point, cluster): (&Point, usize)| {
            let mut x = [0.0; 2];
            for (place, term) in x.iter_mut().zip(law.terms) {
                *place = point.get(term.variable)?.ln();
            }
            Some(Row {
                x,
                y: point.loss.ln(),
                weight: 1.0,
                cluster,
            })
        };
        let rows: Vec<Row> = points.iter().zip(owners).map(row).collect::<Option<_>>()?;
        let n = rows.len().max(1) as f64;
        let centre = [0, 1].map(|k| rows.iter().map(|row| row.x[k]).sum::<f64>() / n);
        let balanced = balanced(&rows, clusters);
        Some(Self {
            terms: law.terms.len(),
            delta: law.delta,
            centre,
            rows,
            clusters,
            balanced,
        })
    }

    /// Whether all repeats ran the same cells.
    pub fn balanced(&self) -> bool {
        self.balanced
    }

    /// Whether rows come in repeats that share their luck.
    pub fn repeated(&self) -> bool {
        self.clusters < self.rows.len()
    }

    /// The variable that has fewest distinct values, and how many: what lies within a hundredth of the first is one.
    pub fn fewest(&self) -> (usize, usize) {
        let of = |k: usize| {
            let mut x: Vec<f64> = self.rows.iter().map(|row| row.x[k]).collect();
            x.sort_by(f64::total_cmp);
            x.dedup_by(|next, first| *next - *first < 0.01);
            (x.len(), k)
        };
        let (count, place) = (0..self.terms).map(of).min().unwrap_or((0, 0));
        (place, count)
    }

    /// Distinct values of the variable that has fewest.
    pub fn distinct(&self) -> usize {
        self.fewest().1
    }

    /// Distinct combinations of the law's variables.
    pub fn cells(&self) -> usize {
        self.rows
            .iter()
            .map(|row| row.x.map(f64::to_bits))
            .collect::<BTreeSet<[u64; 2]>>()
            .len()
    }

    /// The same points with other counts; rows that count nothing are gone.
    pub fn weighted(&self, counts: &[f64]) -> Self {
        let rows = self
            .rows
            .iter()
            .zip(counts)
            .filter(|(_, count)| **count > 0.0);
        let rows = rows
            .map(|(row, &count)| Row {
                weight: count,
                ..*row
            })
            .collect();
        Self {
            rows,
            ..self.clone()
        }
    }

    /// The same points under least squares.
    pub fn squared(&self) -> Self {
        Self {
            delta: f64::INFINITY,
            ..self.clone()
        }
    }

    /// The parameters that are searched, but for those in `fixed`.
    pub fn free(&self, fixed: &[usize]) -> Vec<usize> {
        let all = (0..2 * self.terms).chain([IRREDUCIBLE]);
        all.filter(|index| !fixed.contains(index)).collect()
    }

    /// A start in this surface's coordinates.
    pub fn place(&self, start: &Start) -> Theta {
        let [(a, alpha), (b, beta)] = start.terms;
        self.inward(&[a, alpha, b, beta, start.irreducible])
    }

    /// From the law's coordinates to centred ones.
    pub fn inward(&self, theta: &Theta) -> Theta {
        self.shifted(theta, -1.0)
    }

    /// From centred coordinates to the law's: ln A, alpha, ln B, beta, ln E.
    pub fn outward(&self, theta: &Theta) -> Theta {
        self.shifted(theta, 1.0)
    }

    fn shifted(&self, theta: &Theta, sign: f64) -> Theta {
        let mut shifted = *theta;
        for k in 0..self.terms {
            shifted[2 * k] += sign * theta[2 * k + 1] * self.centre[k];
        }
        shifted
    }

    /// The law's terms at a row, then E.
    fn parts(&self, theta: &Theta, row: &Row) -> [f64; 3] {
        let mut parts = [0.0, 0.0, theta[IRREDUCIBLE].min(LARGEST_LOG).exp()];
        for k in 0..self.terms {
            let log = theta[2 * k] - theta[2 * k + 1] * (row.x[k] - self.centre[k]);
            parts[k] = log.min(LARGEST_LOG).exp();
        }
        parts
    }

    /// Slopes of l by the first four parameters and by E itself (by ln E it would vanish at E = 0), from the parts and their sum.
    fn slopes(&self, row: &Row, parts: [f64; 3], sum: f64) -> Theta {
        let mut slopes = [0.0; 5];
        for k in 0..self.terms {
            let share = parts[k] / sum;
            slopes[2 * k] = share;
            slopes[2 * k + 1] = -share * (row.x[k] - self.centre[k]);
        }
        slopes[IRREDUCIBLE] = 1.0 / sum;
        slopes
    }

    /// The objective times [`SCALE`], which suits the optimiser, and its gradient: by E itself, not by its logarithm. Nearly all of
    /// a fit's time is spent here, also in a judge that is built without optimisation: hence one plain loop.
    pub fn scaled(&self, theta: &Theta, gradient: &mut Theta) -> f64 {
        let two = self.terms > 1;
        let e = theta[IRREDUCIBLE].min(LARGEST_LOG).exp();
        let mut value = 0.0;
        let [mut d_a, mut d_alpha, mut d_b, mut d_beta, mut d_e] = [0.0; 5];
        for row in &self.rows {
            let u = row.x[0] - self.centre[0];
            let a = (theta[0] - theta[1] * u).min(LARGEST_LOG).exp();
            let (mut v, mut b) = (0.0, 0.0);
            if two {
                v = row.x[1] - self.centre[1];
                b = (theta[2] - theta[3] * v).min(LARGEST_LOG).exp();
            }
            let sum = a + b + e;
            let residual = sum.ln() - row.y;
            value += row.weight * huber::loss(residual, self.delta);
            let pull = row.weight * huber::influence(residual, self.delta);
            let share = a / sum;
            d_a += pull * share;
            d_alpha += pull * (-share * u);
            if two {
                let share = b / sum;
                d_b += pull * share;
                d_beta += pull * (-share * v);
            }
            d_e += pull * (1.0 / sum);
        }
        *gradient = [d_a, d_alpha, d_b, d_beta, d_e].map(|slope| slope * SCALE);
        value * SCALE
    }

    /// The objective.
    pub fn objective(&self, theta: &Theta) -> f64 {
        self.scaled(theta, &mut [0.0; 5]) / SCALE
    }

    /// Fitted minus seen ln L of each row.
    pub fn residuals(&self, theta: &Theta) -> Vec<f64> {
        self.rows
            .iter()
            .map(|row| self.parts(theta, row).iter().sum::<f64>().ln() - row.y)
            .collect()
    }

    /// Slopes of l at each row: by the first four parameters and by E itself.
    pub fn slopes_at(&self, theta: &Theta) -> Vec<Theta> {
        let of = |row: &Row| {
            let parts = self.parts(theta, row);
            self.slopes(row, parts, parts.iter().sum())
        };
        self.rows.iter().map(of).collect()
    }

    /// The lowest loss and the highest.
    pub fn range(&self) -> (f64, f64) {
        let logs = self.rows.iter().map(|row| row.y);
        let (low, high) = logs.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), y| {
            (low.min(y), high.max(y))
        });
        (low.exp(), high.exp())
    }

    /// About `n` of the rows, evenly from among them in the order of their variables, so that every region stays.
    pub fn thinned(&self, n: usize) -> Self {
        if self.rows.len() <= n {
            return self.clone();
        }
        let mut order: Vec<usize> = (0..self.rows.len()).collect();
        order.sort_by(|&a, &b| {
            let (a, b) = (&self.rows[a].x, &self.rows[b].x);
            a[0].total_cmp(&b[0]).then(a[1].total_cmp(&b[1]))
        });
        let rows = (0..n)
            .map(|k| self.rows[order[k * self.rows.len() / n]])
            .collect();
        Self {
            rows,
            ..self.clone()
        }
    }
}

/// The cluster of each point, and how many there are: its run where runs have several points, else its repeat where every point
/// has one and there are several, else its own.
fn clusters(points: &[Point]) -> (Vec<usize>, usize) {
    for of in [|p: &Point| p.run, |p: &Point| p.repeat] {
        let names: BTreeSet<u64> = points.iter().filter_map(of).collect();
        let shared = names.len() > 1 && names.len() < points.len();
        let places: BTreeMap<u64, usize> = names
            .into_iter()
            .enumerate()
            .map(|(place, name)| (name, place))
            .collect();
        let owners: Option<Vec<usize>> = points
            .iter()
            .map(|p| places.get(&of(p)?).copied())
            .collect();
        if let Some(owners) = owners.filter(|_| shared) {
            return (owners, places.len());
        }
    }
    ((0..points.len()).collect(), points.len())
}

/// Whether every cluster has the same cells, as often.
fn balanced(rows: &[Row], clusters: usize) -> bool {
    let mut cells: Vec<Vec<[u64; 2]>> = vec![Vec::new(); clusters];
    rows.iter()
        .for_each(|row| cells[row.cluster].push(row.x.map(f64::to_bits)));
    cells.iter_mut().for_each(|own| own.sort_unstable());
    cells.windows(2).all(|pair| pair[0] == pair[1])
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::analysis::fit::form::Form;
    use crate::analysis::fit::{chinchilla, power};

    /// Points of a law's own curve, each moved by `noise(k)` in ln L.
    pub fn points(noise: impl Fn(usize) -> f64) -> Vec<Point> {
        let sizes = (0..6).flat_map(|n| (0..5).map(move |d| (n, d)));
        sizes
            .enumerate()
            .map(|(k, (n, d))| {
                let (params, tokens) = (1e7 * 3f64.powi(n), 4e8 * 4f64.powi(d));
                let loss =
                    (1.8 + 480.0 / params.powf(0.35) + 2000.0 / tokens.powf(0.36)) * noise(k).exp();
                let point = Point::new("a".to_owned(), 6.0 * params * tokens, loss);
                Point {
                    params: Some(params),
                    tokens: Some(tokens),
                    ..point
                }
            })
            .collect()
    }

    #[test]
    fn gradients_agree_with_differences() {
        for law in [&power::LAW, &chinchilla::LAW] {
            let Form::Additive(law) = &law.form else {
                panic!("additive")
            };
            let surface = Surface::new(law, &points(|k| 0.01 * (k as f64).sin())).unwrap();
            let theta = surface.inward(&[6.0, 0.3, 7.0, 0.34, 0.5]);
            let mut gradient = [0.0; 5];
            surface.scaled(&theta, &mut gradient);
            for index in surface.free(&[]) {
                let moved = |by: f64| {
                    let mut theta = theta;
                    theta[index] = if index == IRREDUCIBLE {
                        (theta[index].exp() + by).ln()
                    } else {
                        theta[index] + by
                    };
                    surface.scaled(&theta, &mut [0.0; 5])
                };
                let slope = (moved(1e-6) - moved(-1e-6)) / 2e-6;
                assert!(
                    (slope - gradient[index]).abs() < 1e-4 * slope.abs().max(1.0),
                    "{index}: {slope}"
                );
            }
        }
    }

    #[test]
    fn coordinates_go_in_and_out_and_centring_changes_nothing() {
        let Form::Additive(law) = &chinchilla::LAW.form else {
            panic!("additive")
        };
        let surface = Surface::new(law, &points(|_| 0.0)).unwrap();
        let theta = [480f64.ln(), 0.35, 2000f64.ln(), 0.36, 1.8f64.ln()];
        let inward = surface.inward(&theta);
        let back = surface.outward(&inward);
        assert!(theta.iter().zip(back).all(|(a, b)| (a - b).abs() < 1e-12));
        assert!(surface.residuals(&inward).iter().all(|r| r.abs() < 1e-12));
    }
}
