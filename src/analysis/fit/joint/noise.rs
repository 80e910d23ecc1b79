//! What a cell's mean is uncertain by, and what that makes it weigh: luck of each run, luck that a repeat shares over all of a
//! variant's cells (one seed begins them alike), and what all repeats of a cell share (a rate chosen once, a curve's shape).
//!
//! The first two are seen between repeats; the third only in how the cells' means scatter about the law, so that it takes the
//! law's fit to know it. Luck that a repeat shares over *all* variants moves base and variant alike, and no gain with it.

use std::collections::BTreeMap;

use super::arm::{Arm, Cell};

/// Luck shared over a variant's cells counts from so many of its standard errors on; below, its estimate is luck itself.
const TELLING: f64 = 1.0;

/// Variances of ln L between repeats.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Luck {
    /// Of one run about its cell's mean, without what its repeat shares.
    pub own: f64,
    /// Of what a repeat shares over a variant's cells and not with other variants.
    pub shared: f64,
    /// Degrees of freedom: runs less cells, over the cells that were repeated.
    pub freedom: usize,
}

impl Luck {
    /// By the products of deviations from cells' means: of one run with itself, of two cells of a variant in one repeat, of
    /// cells of two variants in one repeat. `None` where no cell is repeated.
    pub fn of(arms: &[Arm]) -> Option<Self> {
        let sums = Sums::of(arms);
        if sums.freedom == 0 {
            return None;
        }
        let total = sums.squares / sums.freedom as f64;
        let [within, across] =
            [sums.within, sums.across].map(|(products, pairs)| (products / pairs.max(1.0), pairs));
        let error = |pairs: f64| if pairs > 0.0 { 1.0 / pairs } else { 0.0 };
        let shared = if within.1 > 0.0 {
            within.0 - across.0
        } else {
            0.0
        };
        let told = shared > TELLING * total * (error(within.1) + error(across.1)).sqrt();
        let shared = if told { shared.min(0.95 * total) } else { 0.0 };
        // What a repeat shares, with its variant or with all, is no run's own.
        let own = if within.1 > 0.0 {
            total - within.0
        } else {
            total
        };
        Some(Self {
            own: own.max(0.05 * total),
            shared,
            freedom: sums.freedom,
        })
    }
}

/// Sums over repeats of products of deviations, and how many independent ones are in them.
#[derive(Default)]
struct Sums {
    squares: f64,
    freedom: usize,
    within: (f64, f64),
    across: (f64, f64),
}

impl Sums {
    fn of(arms: &[Arm]) -> Self {
        let mut sums = Self::default();
        // By repeat: of all arms the sum and the number of cells, and of the arms' own sums and numbers the squares.
        let mut all: BTreeMap<u64, [f64; 4]> = BTreeMap::new();
        let mut numbers: Vec<f64> = Vec::new();
        for arm in arms {
            let mut own: BTreeMap<u64, [f64; 3]> = BTreeMap::new();
            let repeated: Vec<&Cell> = arm
                .cells
                .iter()
                .filter(|cell| cell.runs.len() > 1)
                .collect();
            for cell in &repeated {
                let mean = cell.log_loss();
                sums.freedom += cell.runs.len() - 1;
                for (repeat, log) in &cell.runs {
                    let off = log - mean;
                    sums.squares += off * off;
                    if let Some(repeat) = repeat {
                        let known = own.entry(*repeat).or_default();
                        *known = [known[0] + off, known[1] + off * off, known[2] + 1.0];
                    }
                }
            }
            let n = repeated.len() as f64;
            sums.within.0 += own
                .values()
                .map(|[sum, squares, _]| 0.5 * (sum * sum - squares))
                .sum::<f64>();
            sums.within.1 +=
                own.values().map(|[.., n]| 0.5 * n * (n - 1.0)).sum::<f64>() - 0.5 * n * (n - 1.0);
            for (repeat, [sum, _, n]) in own {
                let known = all.entry(repeat).or_default();
                *known = [
                    known[0] + sum,
                    known[1] + sum * sum,
                    known[2] + n,
                    known[3] + n * n,
                ];
            }
            numbers.push(n);
        }
        let pairs = |total: f64, squares: f64| 0.5 * (total * total - squares);
        sums.across.0 = all
            .values()
            .map(|[sum, squares, ..]| pairs(*sum, *squares))
            .sum();
        let shared: f64 = all
            .values()
            .map(|[.., n, squares]| pairs(*n, *squares))
            .sum();
        sums.across.1 = shared - pairs(numbers.iter().sum(), numbers.iter().map(|n| n * n).sum());
        sums
    }
}

/// Precisions of one arm's cell means: `weight` of each about what they share, and the share's variance, all relative to an
/// average cell's variance.
#[derive(Debug, Clone, PartialEq)]
pub struct Precision {
    /// By cell.
    pub weights: Vec<f64>,
    /// Variance of what all of them share.
    pub shared: f64,
}

impl Precision {
    /// Every cell alike.
    pub fn equal(arm: &Arm) -> Self {
        Self {
            weights: vec![1.0; arm.cells.len()],
            shared: 0.0,
        }
    }

    /// From the luck and from `scatter`, the variance of cells' means about the law fitted with equal weights.
    pub fn of(arms: &[Arm], luck: &Luck, scatter: f64) -> Vec<Self> {
        let cells = || arms.iter().flat_map(|arm| &arm.cells);
        let count = cells().count() as f64;
        let per_run = cells()
            .map(|cell| 1.0 / cell.runs.len() as f64)
            .sum::<f64>()
            / count;
        let of_cell = (scatter - luck.own * per_run).max(0.0);
        let usual = (of_cell + luck.own * per_run).max(f64::MIN_POSITIVE);
        let weight = |cell: &Cell| usual / (of_cell + luck.own / cell.runs.len() as f64);
        let of = |arm: &Arm| {
            let runs = arm
                .cells
                .iter()
                .map(|cell| cell.runs.len() as f64)
                .sum::<f64>()
                / arm.cells.len() as f64;
            Self {
                weights: arm.cells.iter().map(weight).collect(),
                shared: luck.shared / runs / usual,
            }
        };
        arms.iter().map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::fit::points::Point;
    use crate::stream::stream;

    /// Two arms of five cells at six repeats, with luck of three kinds.
    fn arms(seed: u64, [own, shared, common]: [f64; 3]) -> Vec<Arm> {
        let mut draws = stream("joint/noise-test", seed, 0);
        let common: Vec<f64> = (0..6).map(|_| common * draws.normal()).collect();
        let arm = |group: &str, draws: &mut crate::stream::Stream| {
            let shared: Vec<f64> = (0..6).map(|_| shared * draws.normal()).collect();
            let mut points = Vec::new();
            for k in 0..5 {
                for repeat in 0..6 {
                    let off = own * draws.normal() + shared[repeat] + common[repeat];
                    let point = Point::new(group.to_owned(), 1e15 * 2f64.powi(k), off.exp());
                    points.push(Point {
                        repeat: Some(repeat as u64),
                        ..point
                    });
                }
            }
            Arm::of(&points)
        };
        vec![arm("a", &mut draws), arm("b", &mut draws)]
    }

    #[test]
    fn the_kinds_of_luck_are_told_apart() {
        for truth in [
            [0.01, 0.0, 0.0],
            [0.01, 0.01, 0.0],
            [0.01, 0.0, 0.02],
            [0.01, 0.02, 0.02],
        ] {
            let found: Vec<Luck> = (0..200)
                .map(|seed| Luck::of(&arms(seed, truth)).unwrap())
                .collect();
            let mean = |of: fn(&Luck) -> f64| found.iter().map(of).sum::<f64>() / 200.0;
            let [own, shared, _] = truth.map(|sd| sd * sd);
            assert!(
                (mean(|luck| luck.own) / own - 1.0).abs() < 0.15,
                "{truth:?}: {}",
                mean(|luck| luck.own)
            );
            // Its square is told to a fifth of all luck; where there is none little is claimed.
            let slack = 0.2 * truth.map(|sd| sd * sd).iter().sum::<f64>();
            assert!(
                (mean(|luck| luck.shared) - shared).abs() < slack,
                "{truth:?}: {}",
                mean(|luck| luck.shared)
            );
            assert_eq!(found[0].freedom, 50);
        }
    }

    #[test]
    fn cells_of_one_run_have_no_luck_to_see_and_more_runs_weigh_more() {
        let single = |k: i32| {
            Point::new(
                "a".to_owned(),
                1e15 * 2f64.powi(k),
                3.0 - 0.1 * f64::from(k),
            )
        };
        assert_eq!(
            Luck::of(&[Arm::of(&(0..4).map(single).collect::<Vec<_>>())]),
            None
        );
        let mut arms = arms(0, [0.01, 0.0, 0.0]);
        arms[0].cells[0].runs.truncate(1);
        let luck = Luck {
            own: 1e-4,
            shared: 0.0,
            freedom: 45,
        };
        let of = |scatter| Precision::of(&arms, &luck, scatter).swap_remove(0).weights;
        // All of it is luck: six runs weigh as six; none of it is: they weigh as one.
        let (all, none) = (of(0.0), of(1.0));
        assert!((all[1] / all[0] - 6.0).abs() < 1e-9, "{all:?}");
        assert!((none[1] / none[0] - 1.0).abs() < 1e-3, "{none:?}");
    }
}
