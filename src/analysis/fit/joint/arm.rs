//! One variant's runs as a law of compute sees them: a point a cell (runs that differ in their seed alone), and of several
//! sizes those that compute is best spent on.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::analysis::fit::points::Point;
use crate::stat::mean;

/// Runs of unlike size within this factor of compute are at one budget, and only the best of them is worth its compute.
const SAME_BUDGET: f64 = 1.25;
/// Sizes this close in compute are not steps of one ladder.
const SAME_RUNG: f64 = 1.05;
/// Runs of one size this close in compute are at one budget: a warm-up or a last batch more is no other.
const ALIKE: f64 = 1.01;
/// More cells than this of one size are taken together, neighbours in compute as one: a law is smooth.
const MANY: usize = 500;
/// So many are left of them.
const BINS: usize = 200;
/// Fewer budgets say nothing of the law's form.
pub const BUDGETS: usize = 3;

/// Runs that differ in their seed alone.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// C, in FLOP.
    pub flops: f64,
    /// N, where known.
    pub params: Option<f64>,
    /// ln L by repeat, a repeat once; runs without one stand for themselves.
    pub runs: Vec<(Option<u64>, f64)>,
}

impl Cell {
    /// Mean of ln L.
    pub fn log_loss(&self) -> f64 {
        self.runs.iter().map(|run| run.1).sum::<f64>() / self.runs.len() as f64
    }
}

/// Which of a variant's cells were used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Used {
    /// All: they are of one size, or nothing says of which.
    All,
    /// All, with neighbours in compute taken together.
    Together {
        /// Cells there were.
        of: usize,
    },
    /// All: each budget has one size, and it grows with compute.
    Ladder {
        /// Sizes.
        sizes: usize,
    },
    /// The lowest loss of each budget, where it is below those of all smaller budgets.
    Envelope {
        /// Cells there were.
        of: usize,
        /// Their sizes.
        sizes: usize,
    },
}

/// One variant's cells, by rising compute.
#[derive(Debug, Clone, PartialEq)]
pub struct Arm {
    /// The variant.
    pub group: String,
    /// What the law is fitted to.
    pub cells: Vec<Cell>,
    /// Which these are.
    pub used: Used,
}

impl Arm {
    /// The cells of one group's points that a law of compute is about.
    pub fn of(points: &[Point]) -> Self {
        let group = points
            .first()
            .map_or(String::new(), |point| point.group.clone());
        let cells = cells(points);
        let sizes = sizes(&cells);
        let of = cells.len();
        if sizes < 2 && of > MANY {
            return Self {
                group,
                cells: together(&cells),
                used: Used::Together { of },
            };
        }
        if sizes < 2 {
            return Self {
                group,
                cells,
                used: Used::All,
            };
        }
        if is_ladder(&cells) {
            return Self {
                group,
                cells,
                used: Used::Ladder { sizes },
            };
        }
        Self {
            group,
            cells: envelope(cells),
            used: Used::Envelope { of, sizes },
        }
    }

    /// Distinct budgets: what lies within a hundredth of the first of it is one.
    pub fn budgets(&self) -> usize {
        let mut flops: Vec<f64> = self.cells.iter().map(|cell| cell.flops).collect();
        flops.dedup_by(|next, first| *next <= ALIKE * *first);
        flops.len()
    }

    /// Smallest and largest C, in FLOP.
    pub fn flops(&self) -> [f64; 2] {
        let end = |cell: Option<&Cell>| cell.map_or(f64::NAN, |cell| cell.flops);
        [end(self.cells.first()), end(self.cells.last())]
    }

    /// Smallest and largest N, where known.
    pub fn params(&self) -> Option<[f64; 2]> {
        let all: Vec<f64> = self
            .cells
            .iter()
            .map(|cell| cell.params)
            .collect::<Option<_>>()?;
        Some([
            all.iter().copied().fold(f64::INFINITY, f64::min),
            all.iter().copied().fold(0.0, f64::max),
        ])
    }

    /// Runs in all cells used.
    pub fn runs(&self) -> usize {
        self.cells.iter().map(|cell| cell.runs.len()).sum()
    }
}

/// Points of one size and budget together, by rising compute; several rows of one repeat are averaged.
fn cells(points: &[Point]) -> Vec<Cell> {
    let size = |point: &Point| point.params.unwrap_or(0.0);
    let mut sorted: Vec<&Point> = points.iter().collect();
    sorted.sort_by(|a, b| {
        let of_size = size(a).total_cmp(&size(b));
        of_size.then(a.flops.total_cmp(&b.flops))
    });
    let mut found = Vec::new();
    let mut rest = &sorted[..];
    while let Some(first) = rest.first() {
        let near = |p: &&&Point| size(p) == size(first) && p.flops <= ALIKE * first.flops;
        let near = rest.iter().take_while(near).count();
        found.extend(budget(&rest[..near]));
        rest = &rest[near..];
    }
    found.sort_by(|a: &Cell, b| {
        let of_flops = a.flops.total_cmp(&b.flops);
        of_flops.then(a.params.unwrap_or(0.0).total_cmp(&b.params.unwrap_or(0.0)))
    });
    found
}

/// Neighbours in compute are one cell where each is another repeat; places along one run's curve stay apart.
fn budget(near: &[&Point]) -> Vec<Cell> {
    let mut places: BTreeMap<u64, f64> = BTreeMap::new();
    let one_each = near.iter().all(|point| {
        let known = point
            .repeat
            .map(|repeat| *places.entry(repeat).or_insert(point.flops));
        known == Some(point.flops)
    });
    match one_each {
        true => vec![cell(near)],
        false => near.chunk_by(|a, b| a.flops == b.flops).map(cell).collect(),
    }
}

fn cell(points: &[&Point]) -> Cell {
    let mut repeats: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
    let mut runs = Vec::new();
    for point in points {
        match point.repeat {
            Some(repeat) => repeats.entry(repeat).or_default().push(point.loss.ln()),
            None => runs.push((None, point.loss.ln())),
        }
    }
    runs.extend(
        repeats
            .iter()
            .filter_map(|(repeat, logs)| Some((Some(*repeat), mean(logs)?))),
    );
    // Relative to the first, so that equal ones stay what they are.
    let first = points[0].flops;
    let off = points.iter().map(|point| (point.flops / first).ln());
    Cell {
        flops: first * (off.sum::<f64>() / points.len() as f64).exp(),
        params: points[0].params,
        runs,
    }
}

/// Distinct sizes; 0 where some size is not known.
fn sizes(cells: &[Cell]) -> usize {
    let all: Option<Vec<u64>> = cells
        .iter()
        .map(|cell| Some(cell.params?.to_bits()))
        .collect();
    let mut all = all.unwrap_or_default();
    all.sort_unstable();
    all.dedup();
    all.len()
}

/// Whether sizes never fall as compute grows, with one size a budget.
fn is_ladder(cells: &[Cell]) -> bool {
    cells.windows(2).all(|pair| {
        let grows = pair[0].params <= pair[1].params;
        grows && (pair[0].params == pair[1].params || pair[1].flops > SAME_RUNG * pair[0].flops)
    })
}

/// Neighbours as one cell at the mean of their ln C.
fn together(cells: &[Cell]) -> Vec<Cell> {
    let one = |near: &[Cell]| {
        let runs: Vec<(Option<u64>, f64)> =
            near.iter().map(|cell| (None, cell.log_loss())).collect();
        let log_flops = near.iter().map(|cell| cell.flops.ln()).sum::<f64>() / near.len() as f64;
        Cell {
            flops: log_flops.exp(),
            params: near[0].params,
            runs,
        }
    };
    cells.chunks(cells.len().div_ceil(BINS)).map(one).collect()
}

/// The lowest loss of each budget, where no smaller budget has a lower one.
fn envelope(cells: Vec<Cell>) -> Vec<Cell> {
    let mut best: Vec<Cell> = Vec::new();
    let mut opened_at = f64::NEG_INFINITY;
    for cell in cells {
        match best.last_mut() {
            Some(known) if cell.flops <= SAME_BUDGET * opened_at => {
                if cell.log_loss() < known.log_loss() {
                    *known = cell;
                }
            }
            _ => {
                opened_at = cell.flops;
                best.push(cell);
            }
        }
    }
    let mut lowest = f64::INFINITY;
    best.retain(|cell| {
        let better = cell.log_loss() < lowest;
        lowest = lowest.min(cell.log_loss());
        better
    });
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(params: f64, flops: f64, loss: f64) -> Point {
        Point {
            params: Some(params),
            ..Point::new("a".to_owned(), flops, loss)
        }
    }

    #[test]
    fn repeats_and_copies_of_a_run_are_one_cell() {
        let repeated = |repeat, loss| Point {
            repeat: Some(repeat),
            ..point(1e6, 1e15, loss)
        };
        let arm = Arm::of(&[
            repeated(0, 3.0),
            repeated(1, 3.1),
            repeated(1, 3.1),
            point(1e6, 2e15, 2.9),
        ]);
        assert_eq!(
            arm.cells
                .iter()
                .map(|cell| cell.runs.len())
                .collect::<Vec<_>>(),
            [2, 1]
        );
        assert!((arm.cells[0].log_loss() - 0.5 * (3f64.ln() + 3.1f64.ln())).abs() < 1e-12);
        assert_eq!((arm.used, arm.budgets(), arm.runs()), (Used::All, 2, 3));
    }

    /// FLOPs that differ by a thousandth between seeds are one budget, and no curve's.
    #[test]
    fn seeds_of_nearly_equal_compute_are_one_cell() {
        let runs = |repeat: &dyn Fn(i32) -> Option<u64>| {
            let run = |k: i32| Point {
                repeat: repeat(k),
                ..point(
                    1e6,
                    [1e15, 4e15][k as usize / 3] * 1.001f64.powi(k % 3),
                    3.0,
                )
            };
            Arm::of(&(0..6).map(run).collect::<Vec<_>>())
        };
        let by_seed = runs(&|k| Some(k as u64 % 3));
        assert_eq!(
            (by_seed.cells.len(), by_seed.budgets(), by_seed.runs()),
            (2, 2, 6)
        );
        assert!((by_seed.cells[0].flops / 1.001e15 - 1.0).abs() < 1e-12);
        for one in [runs(&|_| Some(0)), runs(&|_| None)] {
            assert_eq!((one.cells.len(), one.budgets()), (6, 2));
        }
    }

    #[test]
    fn a_ladder_is_used_whole_and_of_a_grid_the_envelope() {
        let ladder: Vec<Point> = (0..5)
            .map(|k| point(1e6 * 2f64.powi(k), 1e15 * 4f64.powi(k), 3.0))
            .collect();
        assert_eq!(Arm::of(&ladder).used, Used::Ladder { sizes: 5 });
        // Three sizes at three budgets: the middle one is best, then the largest, then the largest again.
        let losses = [[3.3, 3.2, 3.4], [3.2, 3.0, 2.9], [3.1, 2.95, 2.7]];
        let grid: Vec<Point> = (0..9)
            .map(|k| {
                let (budget, size) = (k / 3, k % 3);
                let (params, flops) = (
                    1e6 * 2f64.powi(size),
                    1e15 * 4f64.powi(budget) * (1.0 + 0.01 * f64::from(size)),
                );
                point(params, flops, losses[budget as usize][size as usize])
            })
            .collect();
        let arm = Arm::of(&grid);
        assert_eq!(arm.used, Used::Envelope { of: 9, sizes: 3 });
        let chosen: Vec<f64> = arm.cells.iter().map(|cell| cell.log_loss().exp()).collect();
        assert!(
            chosen
                .iter()
                .zip([3.2, 2.9, 2.7])
                .all(|(a, b)| (a - b).abs() < 1e-12),
            "{chosen:?}"
        );
    }

    #[test]
    fn a_great_many_runs_are_taken_together() {
        let points: Vec<Point> = (0..5000)
            .map(|k| {
                Point::new(
                    "a".to_owned(),
                    1e15 * 1.002f64.powi(k),
                    3.0 * 0.9999f64.powi(k),
                )
            })
            .collect();
        let arm = Arm::of(&points);
        assert_eq!(
            (arm.used, arm.cells.len(), arm.runs()),
            (Used::Together { of: 5000 }, 200, 5000)
        );
        // Straight in logarithms, so that the middle of neighbours lies on the line.
        let cell = &arm.cells[7];
        let k = (cell.flops / 1e15).ln() / 1.002f64.ln();
        assert!((cell.log_loss() - (3f64.ln() + k * 0.9999f64.ln())).abs() < 1e-9);
    }

    /// A budget whose best run is worse than a smaller budget's is not worth its compute.
    #[test]
    fn a_budget_that_buys_nothing_is_no_part_of_the_envelope() {
        let points = [
            point(1e6, 1e15, 3.0),
            point(2e6, 1.01e15, 3.1),
            point(2e6, 4e15, 3.05),
            point(2e6, 9e15, 2.8),
        ];
        assert_eq!(
            Arm::of(&points)
                .cells
                .iter()
                .map(|cell| cell.flops)
                .collect::<Vec<_>>(),
            [1e15, 9e15]
        );
    }
}
