//! A sweep's trials as the fit of a surface sees them.

use super::shape::{Point, Support, Unfit};

/// A trial this far above its cell's best, in nats, counts a quarter.
const NEAR_NATS: f64 = 0.1;
/// One further above does not count.
const FAR_NATS: f64 = 0.5;
/// Such a rate's weight beside a trial's at the bottom.
const DIVERGED_WEIGHT: f64 = 0.1;
/// Sizes that rise with steps so closely leave no second direction: share of their variance that steps do not explain.
const APART: f64 = 0.02;

/// A trial as the fit sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    pub(super) cell: usize,
    /// Cell and seed together: what has a level of its own.
    pub(super) group: usize,
    pub(super) ln_lr: f64,
    pub(super) loss: f64,
    pub(super) weight: f64,
    pub(super) diverged: bool,
}

/// All trials of a sweep, and what can be asked of them.
pub(super) struct Sweep {
    pub(super) seen: Vec<Seen>,
    pub(super) groups: usize,
    /// 1, ln steps and ln size from the centre, by cell; 0 for what cannot be told.
    pub(super) rows: Vec<[f64; 3]>,
    /// Places of `rows` that are fitted.
    pub(super) free: Vec<usize>,
    pub(super) centre: [f64; 2],
    pub(super) support: Support,
    pub(super) at_edge: usize,
}

impl Sweep {
    /// Of all trials; those that finished nothing leave nothing to fit.
    pub(super) fn of(points: &[Point]) -> Result<Self, Unfit> {
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
