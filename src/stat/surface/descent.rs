//! The fit of a surface: descent along the misses of all trials, and how uncertain what it finds is.

use super::shape::{Point, Surface, Unfit, Valley, dot};
use super::sweep::{Seen, Sweep};
use crate::stat::linear::{inverse, least_squares};

/// A rate that diverged is taken to be at least this much worse than the best, in nats.
const DIVERGED_NATS: f64 = 0.3;
/// What the scatter of cells around the surface is taken to be, in ln lr, before any was seen ...
const SCATTER: f64 = 0.2;
/// ... and how many cells that belief is worth.
const BELIEF: f64 = 3.0;
/// Spread of the logarithm of the sides' ratio that is usual: valleys in which one side is five times steeper are common.
const ASYMMETRY: f64 = 1.5;

/// Fits a surface to all trials of a sweep.
pub fn fit(points: &[Point]) -> Result<Surface, Unfit> {
    let sweep = Sweep::of(points)?;
    let mut params = sweep.start();
    // The pull of the sides toward each other is worth one usual deviation of noise, which the fit itself tells.
    let mut pull = 1e-6;
    for _ in 0..4 {
        params = sweep.descend(params, pull);
        pull = (sweep.noise(&params) / (ASYMMETRY * ASYMMETRY)).max(1e-12);
    }
    Ok(sweep.surface(&params, pull))
}

/// The free coefficients, then ln left, ln right.
type Params = Vec<f64>;

/// What the fit misses a point by, and how that moves with the cell's optimum and the logarithms of both sides.
struct Miss {
    residual: f64,
    slopes: [f64; 3],
}

impl Sweep {
    /// The best rates of the cells and a valley as steep as those of small language models are.
    pub(super) fn start(&self) -> Params {
        let best = |cell: usize| {
            let of_cell = self.seen.iter().filter(|s| s.cell == cell && !s.diverged);
            let lowest = of_cell.max_by(|a, b| a.weight.total_cmp(&b.weight));
            lowest.map_or(0.0, |s| s.ln_lr)
        };
        let y: Vec<f64> = (0..self.rows.len()).map(best).collect();
        let columns: Vec<Vec<f64>> = self
            .free
            .iter()
            .map(|&k| self.rows.iter().map(|row| row[k]).collect())
            .collect();
        let mean = y.iter().sum::<f64>() / y.len() as f64;
        let flat = || {
            self.free
                .iter()
                .map(|&k| if k == 0 { mean } else { 0.0 })
                .collect()
        };
        let mut params: Params = least_squares(&columns, &y).unwrap_or_else(flat);
        params.extend([0.05f64.ln(), 0.1f64.ln()]);
        params
    }

    fn optimum(&self, params: &[f64], cell: usize) -> f64 {
        self.free
            .iter()
            .zip(params)
            .map(|(&k, value)| value * self.rows[cell][k])
            .sum()
    }

    /// By point: the residual, and its derivatives by the cell's optimum, ln left and ln right, all with the group's level
    /// taken out.
    fn misses(&self, params: &[f64]) -> Vec<Miss> {
        let sides = params.len() - 2;
        let (left, right) = (params[sides].exp(), params[sides + 1].exp());
        let mut misses: Vec<Miss> = self
            .seen
            .iter()
            .map(|s| self.miss(s, params, left, right))
            .collect();
        let mut sums = vec![([0.0; 4], 0.0); self.groups];
        for (miss, s) in misses.iter().zip(&self.seen).filter(|(_, s)| !s.diverged) {
            let (sum, weight) = &mut sums[s.group];
            let [m, l, r] = miss.slopes;
            sum.iter_mut()
                .zip([miss.residual, m, l, r])
                .for_each(|(sum, value)| *sum += s.weight * value);
            *weight += s.weight;
        }
        for (miss, s) in misses
            .iter_mut()
            .zip(&self.seen)
            .filter(|(_, s)| !s.diverged)
        {
            let (sum, weight) = &sums[s.group];
            miss.residual -= sum[0] / weight;
            miss.slopes
                .iter_mut()
                .zip(&sum[1..])
                .for_each(|(slope, sum)| *slope -= sum / weight);
        }
        misses
    }

    fn miss(&self, s: &Seen, params: &[f64], left: f64, right: f64) -> Miss {
        let off = s.ln_lr - self.optimum(params, s.cell);
        if s.diverged {
            // A straight wall that reaches DIVERGED_NATS where the valley does: it pulls as long as that is not below the rate.
            let (reach, slope) = (
                (DIVERGED_NATS / right).sqrt(),
                (DIVERGED_NATS * right).sqrt(),
            );
            let short = reach - off;
            return if short > 0.0 {
                Miss {
                    residual: slope * short,
                    slopes: [slope, 0.0, 0.0],
                }
            } else {
                Miss {
                    residual: 0.0,
                    slopes: [0.0; 3],
                }
            };
        }
        let side = if off < 0.0 { left } else { right };
        let cost = side * off * off;
        let by_side = if off < 0.0 {
            [-cost, 0.0]
        } else {
            [0.0, -cost]
        };
        Miss {
            residual: s.loss - cost,
            slopes: [2.0 * side * off, by_side[0], by_side[1]],
        }
    }

    /// The derivative of a point's residual by every parameter.
    fn gradient(&self, s: &Seen, miss: &Miss) -> Vec<f64> {
        let [by_optimum, left, right] = miss.slopes;
        self.free
            .iter()
            .map(|&k| by_optimum * self.rows[s.cell][k])
            .chain([left, right])
            .collect()
    }

    pub(super) fn objective(&self, params: &[f64], pull: f64) -> f64 {
        let misses = self.misses(params);
        let squares: f64 = misses
            .iter()
            .zip(&self.seen)
            .map(|(miss, s)| s.weight * miss.residual.powi(2))
            .sum();
        let sides = params.len() - 2;
        squares + pull * (params[sides + 1] - params[sides]).powi(2)
    }

    /// Normal equations at a point: J'WJ with the pull, and J'Wr.
    fn normal(&self, params: &[f64], pull: f64) -> (Vec<Vec<f64>>, Vec<f64>) {
        let n = params.len();
        let (mut square, mut right) = (vec![vec![0.0; n]; n], vec![0.0; n]);
        for (miss, s) in self.misses(params).iter().zip(&self.seen) {
            let gradient = self.gradient(s, miss);
            add_outer(&mut square, &gradient, s.weight);
            right
                .iter_mut()
                .zip(&gradient)
                .for_each(|(sum, g)| *sum += s.weight * g * miss.residual);
        }
        let (l, r) = (n - 2, n - 1);
        let apart = params[r] - params[l];
        add_outer(&mut square, &unit_difference(n, l, r), pull);
        right[l] -= pull * apart;
        right[r] += pull * apart;
        (square, right)
    }

    /// Levenberg and Marquardt's descent.
    pub(super) fn descend(&self, start: Params, pull: f64) -> Params {
        let (mut params, mut damping) = (start, 1e-3);
        let mut value = self.objective(&params, pull);
        for _ in 0..200 {
            let (square, right) = self.normal(&params, pull);
            let mut moved = false;
            while damping < 1e9 {
                let mut damped = square.clone();
                (0..params.len()).for_each(|k| damped[k][k] += damping * (square[k][k] + 1e-9));
                let step = inverse(&damped).map(|inverse| {
                    inverse
                        .iter()
                        .map(|row| dot(row, &right))
                        .collect::<Vec<_>>()
                });
                // The sides are logarithms: a step of more than 1 in any parameter is a guess.
                let longest =
                    |step: &Vec<f64>| step.iter().fold(1.0f64, |most, s| most.max(s.abs()));
                let next: Option<Params> = step.map(|step| {
                    params
                        .iter()
                        .zip(&step)
                        .map(|(p, s)| p - s / longest(&step))
                        .collect()
                });
                let Some((next, found)) =
                    next.map(|next| (next.clone(), self.objective(&next, pull)))
                else {
                    damping *= 10.0;
                    continue;
                };
                if found < value {
                    moved = value - found > 1e-13 * (1e-12 + value);
                    (params, value, damping) = (next, found, (damping / 10.0).max(1e-9));
                    break;
                }
                damping *= 10.0;
            }
            if !moved {
                break;
            }
        }
        params
    }

    /// By cell: how far its own optimum lies from the surface by one Newton step, and how firmly it is known (J'WJ).
    fn shifts(&self, misses: &[Miss]) -> Vec<(f64, f64)> {
        let mut sums = vec![(0.0, 0.0); self.rows.len()];
        for (miss, s) in misses.iter().zip(&self.seen) {
            sums[s.cell].0 -= s.weight * miss.slopes[0] * miss.residual;
            sums[s.cell].1 += s.weight * miss.slopes[0] * miss.slopes[0];
        }
        sums.into_iter()
            .map(|(score, firm)| (if firm > 0.0 { score / firm } else { 0.0 }, firm))
            .collect()
    }

    /// Variance of a trial's loss around the valley, with every cell's valley where that cell has it.
    fn noise(&self, params: &[f64]) -> f64 {
        let misses = self.misses(params);
        let all: f64 = misses
            .iter()
            .zip(&self.seen)
            .map(|(miss, s)| s.weight * miss.residual.powi(2))
            .sum();
        let by_cells: f64 = self
            .shifts(&misses)
            .iter()
            .map(|(shift, firm)| shift * shift * firm)
            .sum();
        (all - by_cells).max(0.0) / self.freedom(&misses).max(1.0)
    }

    /// What is left of the trials' weights when every level, every cell's optimum and both sides have taken theirs: each takes
    /// what a weighted mean takes, sum w^2 / sum w.
    fn freedom(&self, misses: &[Miss]) -> f64 {
        let mut by_group = vec![(0.0, 0.0); self.groups];
        let mut by_cell = vec![(0.0, 0.0); self.rows.len()];
        let mut all = (0.0, 0.0);
        for (miss, s) in misses.iter().zip(&self.seen).filter(|(_, s)| !s.diverged) {
            let bent = s.weight * miss.slopes[0] * miss.slopes[0];
            for (sums, share) in [
                (&mut by_group[s.group], s.weight),
                (&mut by_cell[s.cell], bent),
                (&mut all, s.weight),
            ] {
                *sums = (sums.0 + share * s.weight, sums.1 + share);
            }
        }
        let taken = |(squares, sum): &(f64, f64)| if *sum > 0.0 { squares / sum } else { 0.0 };
        all.1 - by_group.iter().chain(&by_cell).map(taken).sum::<f64>() - 2.0 * taken(&all)
    }

    fn surface(&self, params: &[f64], pull: f64) -> Surface {
        let misses = self.misses(params);
        let noise = self.noise(params).max(1e-12);
        let shifts = self.shifts(&misses);
        let told = self.rows.len().saturating_sub(self.free.len()) as f64;
        let scatter = scatter(&shifts, noise, told);
        let n = params.len();
        let (square, _) = self.normal(params, pull);
        let bread = inverse(&square).unwrap_or_else(|| vec![vec![0.0; n]; n]);
        let mut middle = vec![vec![0.0; n]; n];
        let mut by_cell = vec![vec![0.0; n]; self.rows.len()];
        for (miss, s) in misses.iter().zip(&self.seen) {
            let gradient = self.gradient(s, miss);
            add_outer(&mut middle, &gradient, noise * s.weight * s.weight);
            by_cell[s.cell]
                .iter_mut()
                .zip(&gradient)
                .for_each(|(sum, g)| *sum += s.weight * g * miss.slopes[0]);
        }
        by_cell
            .iter()
            .for_each(|cross| add_outer(&mut middle, cross, scatter * scatter));
        let sandwich = |i: usize, j: usize| -> f64 {
            (0..n)
                .map(|k| bread[i][k] * (0..n).map(|l| middle[k][l] * bread[l][j]).sum::<f64>())
                .sum()
        };
        let (mut coefficients, mut covariance) = ([0.0; 3], [[0.0; 3]; 3]);
        for (i, &k) in self.free.iter().enumerate() {
            coefficients[k] = params[i];
            for (j, &l) in self.free.iter().enumerate() {
                covariance[k][l] = sandwich(i, j);
            }
        }
        Surface {
            coefficients,
            covariance,
            centre: self.centre,
            freedom: BELIEF + told,
            scatter,
            valley: Valley {
                left: params[n - 2].exp(),
                right: params[n - 1].exp(),
            },
            support: self.support,
            cells: self.rows.len(),
            at_edge: self.at_edge,
        }
    }
}

fn add_outer(square: &mut [Vec<f64>], x: &[f64], weight: f64) {
    for (row, x_i) in square.iter_mut().zip(x) {
        row.iter_mut()
            .zip(x)
            .for_each(|(sum, x_j)| *sum += weight * x_i * x_j);
    }
}

fn unit_difference(n: usize, low: usize, high: usize) -> Vec<f64> {
    (0..n)
        .map(|k| f64::from(u8::from(k == high)) - f64::from(u8::from(k == low)))
        .collect()
}

/// The standard deviation of cells' optima around the surface: where the mean of their squares, each in units of its own
/// variance, is 1 (Paule and Mandel 1982), with a usual scatter counted as [`BELIEF`] more cells.
fn scatter(shifts: &[(f64, f64)], noise: f64, told: f64) -> f64 {
    let excess = |variance: f64| {
        let seen = shifts.iter().filter(|(_, firm)| *firm > 0.0);
        let seen: f64 = seen
            .map(|(shift, firm)| shift * shift / (noise / firm + variance))
            .sum();
        seen + BELIEF * SCATTER * SCATTER / variance - told - BELIEF
    };
    let (mut low, mut high) = (1e-8f64, 25.0f64);
    for _ in 0..200 {
        let middle = (low * high).sqrt();
        if excess(middle) > 0.0 {
            low = middle;
        } else {
            high = middle;
        }
    }
    (low * high).sqrt().sqrt()
}
