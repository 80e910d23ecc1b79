//! IsoFLOP profiles (Hoffmann et al. 2022, approach 2): at each budget the lowest point N* of the loss over ln N, and then
//! N* ~ C^a by least squares of ln N* on ln C. No E is needed, and no law of the loss assumed.
//!
//! A valley is no parabola: its sides fall with different exponents, and one parabola through sizes that span a factor of a
//! hundred moves N* by up to a third ("Problems with Chinchilla Approach 2", Open Athena 2026). So the lowest point is read off
//! locally: a cubic of ln L in ln N (a parabola where at every budget few sizes lie close together) by least squares, weights falling with distance from the lowest point itself (Cleveland 1979's
//! tricube, nothing beyond a factor of 20), moved until it stays. Where a law is known its N* is met to 0.01 in ln N over sizes
//! that span a factor of 300; under noise it scatters a third as much as an interpolation through the points (Akima 1970, as
//! Porian et al. 2024 have it), which follows each of them.
//!
//! Budgets with flat valleys tell N* less well: the regression weighs them by the influence of noise on their lowest point, as
//! a power of C, and takes the size of the noise from its own residuals, budgets - 2 degrees of freedom.

use serde::Serialize;

use super::form::{Form, Law};
use super::points::Point;
use crate::error::{Error, Result};
use crate::stat::interval::LEVEL;
use crate::stat::linear::least_squares;
use crate::stat::{Interval, critical};

mod valley;

pub use valley::Reason;
use valley::{Size, drawn, sizes, valley, wide};

/// The law.
pub const LAW: Law = Law {
    name: "isoflop",
    formula: "N* = k C^a",
    about: "The best model size of each budget by a local cubic in ln N, and how it grows with compute.",
    source: "Hoffmann et al. 2022, arXiv 2203.15556, section 3.2; Porian et al. 2024, arXiv 2406.19146",
    form: Form::IsoFlop,
};

/// Budgets further apart than this factor are two.
const SAME_BUDGET: f64 = 1.25;
/// Runs whose compute differs by more than this factor are at no one budget.
const WIDEST: f64 = 2.0;

/// One budget's profile.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Profile {
    /// Geometric mean of its runs' C.
    pub flops: f64,
    /// Runs.
    pub n: usize,
    /// N*, where there is a lowest point among the sizes tried.
    pub best_params: Option<f64>,
    /// The loss there.
    pub best_loss: Option<f64>,
    /// How far the sizes tried reach below and above N*, as factors.
    pub reach: Option<[f64; 2]>,
    /// How far the next sizes below and above N* are, as factors.
    pub nearest: Option<[f64; 2]>,
    /// Variance of ln N* where ln L of a run has a variance of 1.
    pub influence: Option<f64>,
    /// Why there is no best size.
    pub reason: Option<Reason>,
    /// Each size tried, ascending, with the mean loss of its runs, carried to the budget's mean C.
    pub sizes: Vec<[f64; 2]>,
    /// The fitted valley around the lowest point, size and loss; empty where there is none.
    pub valley: Vec<[f64; 2]>,
}

/// The best size of one budget.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Best {
    /// C.
    pub flops: f64,
    /// N*, by the regression.
    pub params: f64,
    /// t interval of the regression there; absent for fewer than three budgets.
    pub interval: Option<Interval>,
}

/// What the profiles of one group say.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct IsoFlop {
    /// Whose runs.
    pub group: String,
    /// Runs.
    pub n: usize,
    /// By budget, ascending.
    pub profiles: Vec<Profile>,
    /// a of N* ~ C^a; absent for fewer than two best sizes.
    pub exponent: Option<f64>,
    /// t interval of the regression, budgets - 2 degrees of freedom; absent for fewer than three.
    pub interval: Option<Interval>,
    /// N* at the largest budget that has one.
    pub best_params_at_largest: Option<Best>,
}

/// Profiles of one group's runs.
pub fn profiles(points: &[Point]) -> Result<IsoFlop> {
    let group = points
        .first()
        .map_or(String::new(), |point| point.group.clone());
    let runs: Option<Vec<Run>> = points
        .iter()
        .map(|p| {
            Some(Run {
                flops: p.flops.ln(),
                size: p.params?.ln(),
                loss: p.loss.ln(),
            })
        })
        .collect();
    let Some(mut runs) = runs else {
        return Err(Error::input(format!(
            "{group}: isoFLOP profiles need `params`, which is not there"
        ))
        .hint("--map params=COLUMN"));
    };
    runs.sort_by(|a, b| a.flops.total_cmp(&b.flops));
    let budgets: Vec<&[Run]> = runs
        .chunk_by(|a, b| b.flops - a.flops < SAME_BUDGET.ln())
        .collect();
    let falls = falls(&budgets);
    let carried: Vec<Vec<Size>> = budgets
        .iter()
        .zip(falls)
        .map(|(runs, fall)| carried(runs, fall))
        .collect();
    // One form for all budgets: two would differ by what each misses, and the exponent with them.
    let cubic = carried.iter().any(|sizes| wide(sizes));
    let profiles: Vec<Profile> = budgets
        .iter()
        .zip(&carried)
        .map(|(runs, sizes)| profile(runs, sizes, cubic))
        .collect();
    let line = line(&profiles);
    let largest = profiles
        .iter()
        .rfind(|p| p.best_params.is_some())
        .map(|p| p.flops);
    Ok(IsoFlop {
        group,
        n: points.len(),
        profiles,
        exponent: line.map(|line| line.slope),
        interval: line.and_then(|line| line.interval()),
        best_params_at_largest: line.zip(largest).map(|(line, flops)| line.best(flops)),
    })
}

/// A run in logarithms.
#[derive(Debug, Clone, Copy)]
struct Run {
    flops: f64,
    size: f64,
    loss: f64,
}

/// How fast ln L falls with ln C at each budget, by a parabola through the budgets' lowest losses: runs of one budget differ a
/// little in C, and are carried to its mean by it.
fn falls(budgets: &[&[Run]]) -> Vec<f64> {
    let lowest = |runs: &&[Run]| {
        runs.iter()
            .copied()
            .min_by(|a, b| a.loss.total_cmp(&b.loss))
    };
    let lowest: Vec<Run> = budgets.iter().filter_map(lowest).collect();
    let middle = lowest.iter().map(|run| run.flops).sum::<f64>() / lowest.len().max(1) as f64;
    let terms = lowest.len().min(3) as i32;
    let columns: Vec<Vec<f64>> = (0..terms)
        .map(|power| {
            lowest
                .iter()
                .map(|run| (run.flops - middle).powi(power))
                .collect()
        })
        .collect();
    let losses: Vec<f64> = lowest.iter().map(|run| run.loss).collect();
    let found = least_squares(&columns, &losses).unwrap_or_default();
    let slope = |run: &Run| match found[..] {
        [_, b, c] => b + 2.0 * c * (run.flops - middle),
        [_, b] => b,
        _ => 0.0,
    };
    // A loss that rises with compute is luck.
    lowest.iter().map(|run| slope(run).min(0.0)).collect()
}

/// Mean ln C of a budget's runs.
fn middle(runs: &[Run]) -> f64 {
    runs.iter().map(|run| run.flops).sum::<f64>() / runs.len() as f64
}

/// A budget's sizes with their losses at its mean C; none where its runs are at no one budget.
fn carried(runs: &[Run], fall: f64) -> Vec<Size> {
    if spread(runs) > WIDEST.ln() {
        return Vec::new();
    }
    let middle = middle(runs);
    let at_middle = |run: &Run| (run.size, run.loss - fall * (run.flops - middle));
    sizes(runs.iter().map(at_middle).collect())
}

fn spread(runs: &[Run]) -> f64 {
    runs[runs.len() - 1].flops - runs[0].flops
}

fn profile(runs: &[Run], sizes: &[Size], cubic: bool) -> Profile {
    let n = runs.len();
    let middle = middle(runs);
    let mut profile = Profile {
        flops: middle.exp(),
        n,
        best_params: None,
        best_loss: None,
        reach: None,
        nearest: None,
        influence: None,
        reason: None,
        sizes: Vec::new(),
        valley: Vec::new(),
    };
    if spread(runs) > WIDEST.ln() {
        profile.reason = Some(Reason::ManyBudgets);
        return profile;
    }
    profile.sizes = sizes
        .iter()
        .map(|size| [size.at.exp(), size.loss.exp()])
        .collect();
    match valley(sizes, cubic) {
        Err(reason) => profile.reason = Some(reason),
        Ok(lowest) => {
            let factors = |below: f64, above: f64| {
                Some([(lowest.at - below).exp(), (above - lowest.at).exp()])
            };
            let below = sizes
                .iter()
                .rfind(|size| size.at <= lowest.at)
                .map_or(lowest.at, |size| size.at);
            let above = sizes
                .iter()
                .find(|size| size.at >= lowest.at)
                .map_or(lowest.at, |size| size.at);
            profile.best_params = Some(lowest.at.exp());
            profile.best_loss = Some(lowest.loss.exp());
            profile.reach = factors(sizes[0].at, sizes[sizes.len() - 1].at);
            profile.nearest = factors(below, above);
            profile.influence = Some(lowest.influence);
            profile.valley = drawn(sizes, lowest.at, cubic);
        }
    }
    profile
}

#[derive(Debug, Clone, Copy)]
struct Line {
    middle: (f64, f64),
    slope: f64,
    /// Sums of weights, and of weighted squares of ln C.
    weight: f64,
    spread: f64,
    /// Student's critical value times the standard deviation of a residual of weight 1.
    reach: Option<f64>,
}

impl Line {
    fn interval(&self) -> Option<Interval> {
        let half = self.reach? / self.spread.sqrt();
        Some(Interval {
            low: self.slope - half,
            high: self.slope + half,
            level: LEVEL,
        })
    }

    fn best(&self, flops: f64) -> Best {
        let from = flops.ln() - self.middle.0;
        let at = self.middle.1 + self.slope * from;
        let half = self
            .reach
            .map(|reach| reach * (1.0 / self.weight + from * from / self.spread).sqrt());
        let interval = half.map(|half| Interval {
            low: (at - half).exp(),
            high: (at + half).exp(),
            level: LEVEL,
        });
        Best {
            flops,
            params: at.exp(),
            interval,
        }
    }
}

/// ln C, ln N* and its influence of noise.
type Row = (f64, f64, f64);

/// Regression of the best sizes on compute, weighted by how well each is told.
fn line(profiles: &[Profile]) -> Option<Line> {
    let row = |p: &Profile| Some((p.flops.ln(), p.best_params?.ln(), p.influence?.ln()));
    regression(&profiles.iter().filter_map(row).collect::<Vec<Row>>())
}

fn regression(rows: &[Row]) -> Option<Line> {
    let n = rows.len() as f64;
    let middle = rows.iter().map(|row| row.0).sum::<f64>() / n;
    let spread: f64 = rows.iter().map(|row| (row.0 - middle).powi(2)).sum();
    let trend = rows.iter().map(|row| (row.0 - middle) * row.2).sum::<f64>() / spread;
    let weights: Vec<f64> = rows
        .iter()
        .map(|row| (-trend * (row.0 - middle)).exp())
        .collect();
    let weight: f64 = weights.iter().sum();
    let sum = |of: &dyn Fn(&Row) -> f64| {
        rows.iter()
            .zip(&weights)
            .map(|(row, weight)| weight * of(row))
            .sum::<f64>()
    };
    let middle = (sum(&|row| row.0) / weight, sum(&|row| row.1) / weight);
    let spread = sum(&|row| (row.0 - middle.0).powi(2));
    let slope = sum(&|row| (row.0 - middle.0) * (row.1 - middle.1)) / spread;
    if rows.len() < 2 || !slope.is_finite() {
        return None;
    }
    let squares = sum(&|row| (row.1 - middle.1 - slope * (row.0 - middle.0)).powi(2));
    let reach = critical(n - 2.0, LEVEL)
        .map(|t| t * (squares / (n - 2.0)).sqrt())
        .filter(|reach| *reach > 1e-12);
    Some(Line {
        middle,
        slope,
        weight,
        spread,
        reach,
    })
}

#[cfg(test)]
mod tests;
