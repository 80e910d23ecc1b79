//! Whether each arm's runs lie on the law at all, whether cells scatter more than their seeds do, and whether neighbours do so
//! alike.
//!
//! An arm that does not lie on the law *bends*: ln(L - E) has a second power of ln C that is told from nothing against the
//! scatter of all cells, whatever E is. That is what another form, or a floor of its own, looks like; scatter without a bend is
//! in the intervals instead.

use serde::Serialize;

use super::arm::Arm;
use super::band::{Test, chance_of_f};
use super::noise::Luck;
use super::profile::{At, Profile, Rows};

/// Fewer neighbours say nothing of whether they are alike.
const NEIGHBOURS: usize = 10;
/// Alike from so many standard errors on.
const ALIKE: f64 = 2.326;

/// How cells scatter about the law.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Scatter {
    /// Standard deviation of a cell's mean about the law, in ln L.
    pub of_cells: f64,
    /// What the luck of its runs alone would give; absent where no cell is repeated.
    pub of_luck: Option<f64>,
    /// Whether it is more than that.
    pub lack_of_fit: Option<Test>,
    /// Correlation of neighbours' residuals, where it is told: points of one run, or a form that does not fit.
    pub autocorrelation: Option<f64>,
    /// Degrees of freedom of every interval.
    pub freedom: f64,
}

impl Scatter {
    /// Of the fit that was made with `luck`; `profile` weighs cells.
    pub fn of(arms: &[Arm], profile: &Profile, luck: Option<&Luck>) -> Self {
        let freedom = profile.freedom() as f64;
        let autocorrelation = autocorrelation(profile);
        // Neighbours that are alike count as fewer (Bartlett 1946).
        let fewer = autocorrelation.map_or(1.0, |r| (1.0 - r) / (1.0 + r));
        let freedom = (freedom * fewer).max(1.0).min(freedom);
        // Rounding at least, so that made-up points exactly on a law divide nothing by nothing.
        let variance =
            (profile.best.sum_of_squares / profile.freedom().max(1) as f64 / fewer).max(1e-18);
        let cells = || arms.iter().flat_map(|arm| &arm.cells);
        let per_run = cells()
            .map(|cell| 1.0 / cell.runs.len() as f64)
            .sum::<f64>()
            / cells().count().max(1) as f64;
        let of_luck = luck
            .map(|luck| luck.own * per_run)
            .filter(|variance| *variance > 0.0);
        let lack_of_fit = luck.zip(of_luck).map(|(luck, expected)| {
            let (f, below) = (variance * fewer / expected, luck.freedom as f64);
            Test {
                f,
                freedom: [freedom, below],
                p: chance_of_f(f, freedom, below),
            }
        });
        Self {
            of_cells: variance.sqrt(),
            of_luck: of_luck.map(f64::sqrt),
            lack_of_fit,
            autocorrelation,
            freedom,
        }
    }
}

/// Of neighbours' residuals, over all arms, where it is above what chance gives.
fn autocorrelation(profile: &Profile) -> Option<f64> {
    let (mut products, mut squares, mut pairs) = (0.0, 0.0, 0);
    for (rows, curve) in profile.rows.iter().zip(&profile.best.curves) {
        let [left, ..] = rows.columns(profile.best.irreducible, curve.level, curve.exponent);
        products += left.windows(2).map(|pair| pair[0] * pair[1]).sum::<f64>();
        squares += left.iter().map(|r| r * r).sum::<f64>();
        pairs += left.len() - 1;
    }
    let found = products / squares;
    (pairs >= NEIGHBOURS && found * (pairs as f64).sqrt() > ALIKE).then_some(found.min(0.95))
}

/// An arm's second power of ln C.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Bend {
    /// Whether it is told from nothing.
    pub test: Test,
    /// Its chance after Holm over arms.
    pub p_holm: f64,
    /// The most that the law misses by for want of it, in ln L.
    pub worst: f64,
}

impl Bend {
    /// Of one arm, with E wherever it is best with the bend and without.
    pub fn of(profile: &Profile, arm: usize, scatter: &Scatter) -> Self {
        let rows = &profile.rows[arm];
        let bent = |at: &At| {
            let (fall, worst) = fall(rows, at, arm);
            (at.sum_of_squares - fall, worst)
        };
        let (least, worst) = profile
            .everywhere()
            .map(bent)
            .min_by(|a, b| a.0.total_cmp(&b.0))
            .unwrap_or((profile.best.sum_of_squares, 0.0));
        let share = scatter.freedom / profile.freedom().max(1) as f64;
        let left = share * (profile.freedom() as f64 - 1.0);
        let least = least.max(1e-18);
        let f = ((profile.best.sum_of_squares - least) / least * left).max(0.0);
        let p = if left > 0.0 {
            chance_of_f(f, 1.0, left)
        } else {
            1.0
        };
        Self {
            test: Test {
                f,
                freedom: [1.0, left],
                p,
            },
            p_holm: p,
            worst,
        }
    }
}

/// By how much the squares fall for a bend in one arm, and the most that it moves a cell.
fn fall(rows: &Rows, at: &At, arm: usize) -> (f64, f64) {
    let curve = &at.curves[arm];
    let [left, by_level, by_exponent] = rows.columns(at.irreducible, curve.level, curve.exponent);
    let square: Vec<f64> = rows
        .x
        .iter()
        .zip(&by_level)
        .map(|(x, share)| x * x * share)
        .collect();
    // Its part that neither level nor exponent could make.
    let onto = [
        rows.product(&by_level, &square),
        rows.product(&by_exponent, &square),
    ];
    let [one, other] =
        [0, 1].map(|k| curve.inverse[k][0] * onto[0] + curve.inverse[k][1] * onto[1]);
    let rest: Vec<f64> = square
        .iter()
        .zip(by_level.iter().zip(&by_exponent))
        .map(|(square, (level, exponent))| square - one * level - other * exponent)
        .collect();
    let (with, own) = (rows.product(&rest, &left), rows.product(&rest, &rest));
    if own <= 1e-12 * rows.product(&square, &square) {
        return (0.0, 0.0);
    }
    let worst = rest
        .iter()
        .fold(0.0, |worst: f64, part| worst.max((part * with / own).abs()));
    (with * with / own, worst)
}
