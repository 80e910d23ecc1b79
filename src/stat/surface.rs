//! One smooth surface of learning rates over steps and sizes, fitted to every trial of a sweep at once:
//!
//! ```text
//! ln lr* = a + b ln steps + c ln size          (Li et al. 2025, Step Law, arXiv 2503.04715, their equation 1)
//! loss   = level(cell, seed) + V(ln lr - ln lr*),   V(d) = left d^2 for d < 0, right d^2 for d > 0
//! ```
//!
//! A parabola through the best rate of each cell and its neighbours follows the luck of three trials, and is wrong where
//! one side of the valley is steeper than the other. Here all cells share the valley's shape, and each cell and seed has its
//! own level, so that only the place of the valley is left to explain. Points high up the slopes count little (their shape
//! is another), and a rate that diverged says only that the valley lies well below it.
//!
//! The optimum of a single cell scatters around the surface by more than the seeds' noise explains. That scatter is
//! estimated over the cells (after Paule and Mandel 1982, moderated as Smyth 2004 moderates a variance of few degrees of
//! freedom) and enters the covariance of the coefficients cell by cell (Liang and Zeger 1986).

use super::linear::{inverse, least_squares};

/// A trial this far above its cell's best, in nats, counts a quarter.
const NEAR_NATS: f64 = 0.1;
/// One further above does not count.
const FAR_NATS: f64 = 0.5;
/// A rate that diverged is taken to be at least this much worse than the best, in nats.
const DIVERGED_NATS: f64 = 0.3;
/// Such a rate's weight beside a trial's at the bottom.
const DIVERGED_WEIGHT: f64 = 0.1;
/// What the scatter of cells around the surface is taken to be, in ln lr, before any was seen ...
const SCATTER: f64 = 0.2;
/// ... and how many cells that belief is worth.
const BELIEF: f64 = 3.0;
/// Spread of the logarithm of the sides' ratio that is usual: valleys in which one side is five times steeper are common.
const ASYMMETRY: f64 = 1.5;
/// A factor this close to what was swept is no step beyond it.
const SLACK: f64 = 1.05;
/// Sizes that rise with steps so closely leave no second direction: share of their variance that steps do not explain.
const APART: f64 = 0.02;

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

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The lower triangular root of a covariance (Cholesky); directions without variance stay without.
fn root(covariance: &[[f64; 3]; 3]) -> [[f64; 3]; 3] {
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

/// A trial as the fit sees it.
#[derive(Debug, Clone, Copy)]
struct Seen {
    cell: usize,
    /// Cell and seed together: what has a level of its own.
    group: usize,
    ln_lr: f64,
    loss: f64,
    weight: f64,
    diverged: bool,
}

/// All trials of a sweep, and what can be asked of them.
struct Sweep {
    seen: Vec<Seen>,
    groups: usize,
    /// 1, ln steps and ln size from the centre, by cell; 0 for what cannot be told.
    rows: Vec<[f64; 3]>,
    /// Places of `rows` that are fitted.
    free: Vec<usize>,
    centre: [f64; 2],
    support: Support,
    at_edge: usize,
}

/// The free coefficients, then ln left, ln right.
type Params = Vec<f64>;

/// What the fit misses a point by, and how that moves with the cell's optimum and the logarithms of both sides.
struct Miss {
    residual: f64,
    slopes: [f64; 3],
}

impl Sweep {
    fn of(points: &[Point]) -> Result<Self, Unfit> {
        let finished: Vec<&Point> = points.iter().filter(|p| loss(p).is_some()).collect();
        let mut names: Vec<usize> = finished.iter().map(|p| p.cell).collect();
        names.sort_unstable();
        names.dedup();
        if names.is_empty() {
            return Err(Unfit::NothingFinished);
        }
        let places: Vec<&Point> = names
            .iter()
            .filter_map(|name| finished.iter().find(|p| p.cell == *name).copied())
            .collect();
        let range = |of: &dyn Fn(&Point) -> f64| {
            finished
                .iter()
                .map(|p| of(p))
                .fold([f64::INFINITY, f64::NEG_INFINITY], |[l, h], x| {
                    [l.min(x), h.max(x)]
                })
        };
        let support = Support {
            ln_steps: range(&|p| p.ln_steps),
            ln_size: range(&|p| p.ln_size),
            ln_lr: range(&|p| p.ln_lr),
        };
        let mean = |of: &dyn Fn(&Point) -> f64| {
            places.iter().map(|p| of(p)).sum::<f64>() / places.len() as f64
        };
        let centre = [mean(&|p| p.ln_steps), mean(&|p| p.ln_size)];
        let all: Vec<[f64; 3]> = places
            .iter()
            .map(|p| [1.0, p.ln_steps - centre[0], p.ln_size - centre[1]])
            .collect();
        let free = free_columns(&all);
        let rows = all
            .iter()
            .map(|row| std::array::from_fn(|k| if free.contains(&k) { row[k] } else { 0.0 }))
            .collect();
        let mut sweep = Self {
            seen: Vec::new(),
            groups: 0,
            rows,
            free,
            centre,
            support,
            at_edge: 0,
        };
        for (cell, name) in names.iter().enumerate() {
            let of_cell: Vec<&Point> = points.iter().filter(|p| p.cell == *name).collect();
            sweep.take_cell(cell, &of_cell);
        }
        let rates = |cell: usize| {
            let of_cell = sweep.seen.iter().filter(|s| s.cell == cell && !s.diverged);
            let mut rates: Vec<u64> = of_cell.map(|s| s.ln_lr.to_bits()).collect();
            rates.sort_unstable();
            rates.dedup();
            rates.len()
        };
        if (0..names.len()).all(|cell| rates(cell) < 3) {
            Err(Unfit::TooFewRates)
        } else {
            Ok(sweep)
        }
    }

    fn take_cell(&mut self, cell: usize, points: &[&Point]) {
        let mut seeds: Vec<u64> = points.iter().map(|p| p.seed).collect();
        seeds.sort_unstable();
        seeds.dedup();
        let mut edges = 0;
        for seed in &seeds {
            let of_seed: Vec<&&Point> = points.iter().filter(|p| p.seed == *seed).collect();
            let best = of_seed
                .iter()
                .filter_map(|p| Some((loss(p)?, p.ln_lr)))
                .min_by(|a, b| a.0.total_cmp(&b.0));
            let Some((lowest, best_ln_lr)) = best else {
                continue;
            };
            let tried = of_seed.iter().map(|p| p.ln_lr);
            let (first, last) = tried.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), x| {
                (l.min(x), h.max(x))
            });
            edges += usize::from(best_ln_lr <= first || best_ln_lr >= last);
            let group = self.groups;
            self.groups += 1;
            for point in &of_seed {
                let Some(loss) = loss(point) else { continue };
                let above = loss - lowest;
                let near = 1.0 / (1.0 + (above / NEAR_NATS).powi(2)).powi(2);
                let weight = if above > FAR_NATS { 0.0 } else { near };
                self.seen.push(Seen {
                    cell,
                    group,
                    ln_lr: point.ln_lr,
                    loss,
                    weight,
                    diverged: false,
                });
            }
            // Above the best rate, the lowest that diverged says most; below it a divergence is bad luck.
            let diverged = of_seed
                .iter()
                .filter(|p| loss(p).is_none() && p.ln_lr > best_ln_lr)
                .map(|p| p.ln_lr);
            if let Some(ln_lr) = diverged.min_by(f64::total_cmp) {
                self.seen.push(Seen {
                    cell,
                    group,
                    ln_lr,
                    loss: 0.0,
                    weight: DIVERGED_WEIGHT,
                    diverged: true,
                });
            }
        }
        self.at_edge += usize::from(2 * edges > seeds.len());
    }

    /// The best rates of the cells and a valley as steep as those of small language models are.
    fn start(&self) -> Params {
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

    fn objective(&self, params: &[f64], pull: f64) -> f64 {
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
    fn descend(&self, start: Params, pull: f64) -> Params {
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

/// A loss that is a number.
fn loss(point: &Point) -> Option<f64> {
    point.loss_nats.filter(|loss| loss.is_finite())
}

/// Which of 1, ln steps, ln size the cells can tell apart: a slope needs two values, and two slopes need sizes that do not
/// just rise with the steps (then the steps' slope stands for both, along the line that was swept).
fn free_columns(rows: &[[f64; 3]]) -> Vec<usize> {
    let sum = |a: usize, b: usize| rows.iter().map(|row| row[a] * row[b]).sum::<f64>();
    let (steps, sizes, both) = (sum(1, 1), sum(2, 2), sum(1, 2));
    let varies = |square: f64| square > 1e-9;
    let apart = sizes
        - if varies(steps) {
            both * both / steps
        } else {
            0.0
        };
    let mut free = vec![0];
    free.extend(varies(steps).then_some(1));
    free.extend((varies(sizes) && apart > APART * sizes).then_some(2));
    free
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

#[cfg(test)]
mod tests;
