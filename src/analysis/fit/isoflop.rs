//! IsoFLOP profiles (Hoffmann et al. 2022, approach 2): at each budget the lowest point N* of the loss over ln N, and then
//! N* ~ C^a by least squares of ln N* on ln C. No E is needed, and no law of the loss assumed.
//!
//! A valley is no parabola: its sides fall with different exponents, and one parabola through sizes that span a factor of a
//! hundred moves N* by up to a third ("Problems with Chinchilla Approach 2", Open Athena 2026). So the lowest point is read off
//! locally: a cubic of ln L in ln N (a parabola where few sizes lie close together) by least squares, weights falling with distance from the lowest point itself (Cleveland 1979's
//! tricube, nothing beyond a factor of 20), moved until it stays. Where a law is known its N* is met to 0.01 in ln N over sizes
//! that span a factor of 300; under noise it scatters a third as much as an interpolation through the points (Akima 1970, as
//! Porian et al. 2024 have it), which follows each of them.
//!
//! Budgets with flat valleys tell N* less well: the regression weighs them by the influence of noise on their lowest point, as
//! a power of C, and takes the size of the noise from its own residuals, budgets - 2 degrees of freedom.

use serde::Serialize;

use super::law::{Form, Law};
use super::points::Point;
use crate::error::{Error, Result};
use crate::stat::interval::LEVEL;
use crate::stat::linear::{least_squares, solve};
use crate::stat::{Interval, critical};

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
/// Fewer sizes are no valley.
const SIZES: usize = 4;
/// A cubic through fewer follows each of them: over sizes that span no more than [`SPAN`] a parabola will do.
const CUBIC: usize = 6;
/// Sizes over no more than this factor see no lopsidedness.
const SPAN: f64 = 16.0;
/// Sizes this factor from the lowest point have no weight.
const FAR: f64 = 20.0;
/// Next to the lowest point a size should lie within this factor on either side, or the valley is not seen.
const GAP: f64 = 6.0;
/// Moves of the middle until it stays.
const MOVES: usize = 60;
/// Steps of the look for a cubic's lowest point.
const STEPS: usize = 2400;

/// Why a budget has no best size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Fewer than four sizes, or fewer near the lowest point.
    FewSizes,
    /// Its runs spread over more than a doubling of compute.
    ManyBudgets,
    /// The loss is lowest at the smallest size.
    AtSmallest,
    /// The loss is lowest at the largest size.
    AtLargest,
    /// No lowest point stays where it is looked for.
    NoValley,
    /// The sizes next to the lowest point are too far from it.
    Sparse,
}

impl Reason {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::FewSizes => "fewer than four sizes near the lowest point",
            Self::ManyBudgets => "its runs spread over more than a doubling: no one budget",
            Self::AtSmallest => {
                "the loss is lowest at the smallest size tried: the best one is there or below"
            }
            Self::AtLargest => {
                "the loss is lowest at the largest size tried: the best one is there or above"
            }
            Self::NoValley => "the loss has no clear lowest point",
            Self::Sparse => {
                "the sizes next to the lowest point are more than a factor of six from it"
            }
        }
    }
}

/// Steps of a drawn valley.
const DRAWN: u32 = 32;

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
    let profiles: Vec<Profile> = budgets
        .iter()
        .zip(falls)
        .map(|(runs, fall)| profile(runs, fall))
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

/// The curve that a lowest point was read off, among the sizes that it was fitted to.
fn drawn(sizes: &[Size], at: f64) -> Vec<[f64; 2]> {
    let Some(cubic) = Cubic::around(sizes, at) else {
        return Vec::new();
    };
    let (low, high) = (
        (at - 1.6).max(sizes[0].at),
        (at + 1.6).min(sizes[sizes.len() - 1].at),
    );
    let place = |k: u32| low + (high - low) * f64::from(k) / f64::from(DRAWN);
    (0..=DRAWN)
        .map(place)
        .map(|at| [at.exp(), cubic.value(at - cubic.middle).exp()])
        .collect()
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

fn profile(runs: &[Run], fall: f64) -> Profile {
    let n = runs.len();
    let middle = runs.iter().map(|run| run.flops).sum::<f64>() / n as f64;
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
    if runs[n - 1].flops - runs[0].flops > WIDEST.ln() {
        profile.reason = Some(Reason::ManyBudgets);
        return profile;
    }
    let sizes = sizes(
        runs.iter()
            .map(|run| (run.size, run.loss - fall * (run.flops - middle)))
            .collect(),
    );
    profile.sizes = sizes
        .iter()
        .map(|size| [size.at.exp(), size.loss.exp()])
        .collect();
    match valley(&sizes) {
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
            profile.valley = drawn(&sizes, lowest.at);
        }
    }
    profile
}

/// The mean ln L of one size, of so many runs.
#[derive(Debug, Clone, Copy)]
struct Size {
    at: f64,
    loss: f64,
    runs: f64,
}

/// Runs of one size are one point, the mean of them.
fn sizes(mut runs: Vec<(f64, f64)>) -> Vec<Size> {
    runs.sort_by(|a, b| a.0.total_cmp(&b.0));
    let alike = runs.chunk_by(|a, b| b.0 - a.0 < 1e-3);
    let mean = |runs: &[(f64, f64)], of: fn(&(f64, f64)) -> f64| {
        runs.iter().map(of).sum::<f64>() / runs.len() as f64
    };
    alike
        .map(|runs| Size {
            at: mean(runs, |r| r.0),
            loss: mean(runs, |r| r.1),
            runs: runs.len() as f64,
        })
        .collect()
}

/// The lowest point of a valley.
#[derive(Debug, Clone, Copy)]
struct Lowest {
    at: f64,
    loss: f64,
    influence: f64,
}

fn valley(sizes: &[Size]) -> std::result::Result<Lowest, Reason> {
    if sizes.len() < SIZES {
        return Err(Reason::FewSizes);
    }
    let ends = [sizes[0].at, sizes[sizes.len() - 1].at];
    let seen = sizes
        .iter()
        .min_by(|a, b| a.loss.total_cmp(&b.loss))
        .map_or(ends[0], |size| size.at);
    let mut middle = seen;
    for _ in 0..MOVES {
        let cubic = Cubic::around(sizes, middle).ok_or(Reason::FewSizes)?;
        let lowest = cubic.lowest(ends);
        if (lowest - middle).abs() < 1e-4 {
            return settled(sizes, &cubic, lowest, ends);
        }
        // A step of half the way keeps two places from taking turns.
        middle = 0.5 * (middle + lowest);
    }
    Err(Reason::NoValley)
}

fn settled(
    sizes: &[Size],
    cubic: &Cubic,
    at: f64,
    ends: [f64; 2],
) -> std::result::Result<Lowest, Reason> {
    let near = 1e-3 * (ends[1] - ends[0]);
    if at - ends[0] < near {
        return Err(Reason::AtSmallest);
    }
    if ends[1] - at < near {
        return Err(Reason::AtLargest);
    }
    let x = at - cubic.middle;
    let [_, _, c, d] = cubic.coefficients;
    let curvature = 2.0 * c + 6.0 * d * x;
    if curvature <= 0.0 {
        return Err(Reason::NoValley);
    }
    let gap = |on: &dyn Fn(f64) -> bool| {
        sizes
            .iter()
            .filter(|size| on(size.at))
            .map(|size| (size.at - at).abs())
            .fold(f64::INFINITY, f64::min)
    };
    if gap(&|size| size <= at).max(gap(&|size| size >= at)) > GAP.ln() {
        return Err(Reason::Sparse);
    }
    // The lowest point moves by the noise of the slope there over the curvature.
    let of_slope = [0.0, 1.0, 2.0 * x, 3.0 * x * x];
    let moved = (0..sizes.len()).map(|row| {
        let pull: f64 = (0..4).map(|k| of_slope[k] * cubic.influence[k][row]).sum();
        pull * pull / sizes[row].runs
    });
    Ok(Lowest {
        at,
        loss: cubic.value(x),
        influence: moved.sum::<f64>() / (curvature * curvature),
    })
}

/// A cubic around a middle, with the influence of each size on its coefficients.
struct Cubic {
    middle: f64,
    coefficients: [f64; 4],
    influence: [Vec<f64>; 4],
}

impl Cubic {
    fn around(sizes: &[Size], middle: f64) -> Option<Self> {
        let weight = |size: &Size| {
            let near = 1.0 - ((size.at - middle).abs() / FAR.ln()).powi(3);
            size.runs * near.max(0.0).powi(3)
        };
        let weights: Vec<f64> = sizes.iter().map(weight).collect();
        let weighed: Vec<&Size> = sizes
            .iter()
            .zip(&weights)
            .filter(|(_, w)| **w > 1e-6)
            .map(|(size, _)| size)
            .collect();
        if weighed.len() < SIZES {
            return None;
        }
        let narrow = weighed[weighed.len() - 1].at - weighed[0].at <= SPAN.ln();
        let terms = if weighed.len() < CUBIC && narrow {
            3
        } else {
            4
        };
        let columns: Vec<[f64; 4]> = sizes
            .iter()
            .map(|size| [0, 1, 2, 3].map(|k| (size.at - middle).powi(k)))
            .collect();
        let normal = |a: usize, b: usize| {
            columns
                .iter()
                .zip(&weights)
                .map(|(x, w)| w * x[a] * x[b])
                .sum::<f64>()
        };
        let matrix: Vec<Vec<f64>> = (0..terms)
            .map(|a| (0..terms).map(|b| normal(a, b)).collect())
            .collect();
        let mut influence: [Vec<f64>; 4] = Default::default();
        for (x, weight) in columns.iter().zip(&weights) {
            let solved = solve(
                matrix.clone(),
                x[..terms].iter().map(|x| weight * x).collect(),
            )?;
            influence
                .iter_mut()
                .zip(solved.into_iter().chain([0.0]))
                .for_each(|(row, value)| row.push(value));
        }
        let coefficient = |row: &Vec<f64>| {
            row.iter()
                .zip(sizes)
                .map(|(by, size)| by * size.loss)
                .sum::<f64>()
        };
        let coefficients = [0, 1, 2, 3].map(|k| coefficient(&influence[k]));
        Some(Self {
            middle,
            coefficients,
            influence,
        })
    }

    fn value(&self, x: f64) -> f64 {
        let [a, b, c, d] = self.coefficients;
        a + x * (b + x * (c + x * d))
    }

    /// The lowest point among the sizes tried and no further than a factor of five from the middle.
    fn lowest(&self, ends: [f64; 2]) -> f64 {
        let (low, high) = (
            (self.middle - 1.6).max(ends[0]),
            (self.middle + 1.6).min(ends[1]),
        );
        let at = |step: usize| low + (high - low) * step as f64 / STEPS as f64;
        let best = (0..=STEPS).min_by(|&a, &b| {
            self.value(at(a) - self.middle)
                .total_cmp(&self.value(at(b) - self.middle))
        });
        let best = best.unwrap_or(0);
        let (near, step) = (at(best), (high - low) / STEPS as f64);
        // The steps are too coarse by a hair: one of Newton's.
        let x = near - self.middle;
        let [_, b, c, d] = self.coefficients;
        let (slope, curvature) = (b + x * (2.0 * c + 3.0 * d * x), 2.0 * c + 6.0 * d * x);
        let inside = best > 0 && best < STEPS && curvature > 0.0;
        if inside {
            (near - slope / curvature).clamp(near - step, near + step)
        } else {
            near
        }
    }
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
mod tests {
    use super::*;
    use crate::analysis::fit::allocation::optimum;

    fn law_points(budgets: &[f64], noise: impl Fn(usize) -> f64) -> Vec<Point> {
        let theta = [480f64.ln(), 0.34, 480f64.ln(), 0.34, 1.8f64.ln()];
        let mut points = Vec::new();
        for &flops in budgets {
            let best = optimum(&theta, flops).params;
            for k in -3..=3 {
                let params = best * 1.5f64.powi(k);
                // Whole steps miss the budget by a little, larger models by more.
                let flops = flops * 1.01f64.powi(k);
                let tokens = flops / (6.0 * params);
                let loss = 1.8
                    + 480.0 * params.powf(-0.34)
                    + 480.0 * tokens.powf(-0.34)
                    + noise(points.len());
                points.push(Point {
                    params: Some(params),
                    ..Point::new("a".to_owned(), flops, loss)
                });
            }
        }
        points
    }

    #[test]
    fn equal_exponents_split_compute_evenly() {
        let found = profiles(&law_points(&[1e18, 1e19, 1e20, 1e21], |_| 0.0)).unwrap();
        assert_eq!(found.profiles.len(), 4);
        assert!((found.exponent.unwrap() - 0.5).abs() < 2e-3, "{found:?}");
        let noisy = profiles(&law_points(&[1e18, 1e19, 1e20, 1e21], |k| {
            0.003 * (7.0 * k as f64).sin()
        }))
        .unwrap();
        let interval = noisy.interval.unwrap();
        assert!(
            interval.low < 0.5 && interval.high > 0.5 && interval.high - interval.low < 0.3,
            "{interval:?}"
        );
    }

    #[test]
    fn a_budget_without_a_lowest_point_says_why() {
        let mut points = law_points(&[1e18, 1e20], |_| 0.0);
        points.retain(|p| p.flops > 1e19 || p.params.unwrap() > 1.2 * optimum_params(1e18));
        let found = profiles(&points).unwrap();
        assert_eq!(
            (found.profiles[0].best_params, found.exponent),
            (None, None)
        );
        assert_eq!(found.profiles[0].reason, Some(Reason::FewSizes));
        let rising: Vec<Point> = (0..5)
            .map(|k| Point {
                params: Some(1e8 * 2f64.powi(k)),
                ..Point::new("a".into(), 1e18, 3.0 - 0.1 * f64::from(k))
            })
            .collect();
        assert_eq!(
            profiles(&rising).unwrap().profiles[0].reason,
            Some(Reason::AtLargest)
        );
        assert!(profiles(&[Point::new("a".into(), 1e18, 3.0)]).is_err());
    }

    fn optimum_params(flops: f64) -> f64 {
        optimum(&[480f64.ln(), 0.34, 480f64.ln(), 0.34, 1.8f64.ln()], flops).params
    }

    /// SciPy 1.17: `r = linregress([0, 1, 2, 3], [0.1, 0.4, 1.2, 1.4])`, `r.slope + t.ppf([.025, .975], 2) * r.stderr`.
    /// SciPy 1.17: `r = linregress([0, 1, 2, 3], [0.1, 0.4, 1.2, 1.4])`, `r.slope + t.ppf([.025, .975], 2) * r.stderr`.
    #[test]
    fn the_line_agrees_with_scipy() {
        let rows = [
            (0.0, 0.1, 2.0),
            (1.0, 0.4, 2.0),
            (2.0, 1.2, 2.0),
            (3.0, 1.4, 2.0),
        ];
        let found = regression(&rows).unwrap();
        let interval = found.interval().unwrap();
        for (found, expected) in [
            (found.slope, LINE[1]),
            (interval.low, LINE[0]),
            (interval.high, LINE[2]),
        ] {
            assert!(
                (found - expected).abs() < 1e-9,
                "{found} against {expected}"
            );
        }
    }

    const LINE: [f64; 3] = [0.1284875269762913, 0.47, 0.8115124730237087];

    /// E, A, alpha, B, beta: Hoffmann et al. 2022, Besiroglu et al. 2024, a steep side against a flat one, one that puts compute
    /// into parameters as Kaplan et al. 2020 did, and equal sides.
    const LAWS: [[f64; 5]; 5] = [
        [1.69, 406.4, 0.34, 410.7, 0.28],
        [1.8172, 482.0, 0.3478, 2085.0, 0.3658],
        [1.7, 900.0, 0.465, 40.0, 0.155],
        [1.5, 120.0, 0.25, 5000.0, 0.42],
        [1.8, 480.0, 0.34, 480.0, 0.34],
    ];

    /// Five budgets, sizes over a factor of 300 around each best one, or around one middle for all; `luck` is ln L's.
    fn wide(
        law: [f64; 5],
        sizes: i32,
        fixed: bool,
        shift: f64,
        mut luck: impl FnMut() -> f64,
    ) -> Vec<Point> {
        let [e, a, alpha, b, beta] = law;
        let theta = [a.ln(), alpha, b.ln(), beta, e.ln()];
        let mut points = Vec::new();
        for budget in 0..5 {
            let flops = 1e18 * 1e3f64.powf(f64::from(budget) / 4.0);
            let middle = optimum(&theta, if fixed { 10f64.powf(19.5) } else { flops }).params;
            for k in 0..sizes {
                let params =
                    middle * 300f64.powf(f64::from(k) / f64::from(sizes - 1) - 0.5) * shift.exp();
                let tokens = flops / (6.0 * params);
                let loss = (e + a * params.powf(-alpha) + b * tokens.powf(-beta)) * luck().exp();
                points.push(Point {
                    params: Some(params),
                    ..Point::new("a".to_owned(), flops, loss)
                });
            }
        }
        points
    }

    #[test]
    fn wide_lopsided_valleys_keep_their_exponent() {
        for law in LAWS {
            let truth = law[4] / (law[2] + law[4]);
            for (sizes, fixed) in [(7, false), (9, false), (9, true), (13, true)] {
                for shift in [-0.7, 0.0, 0.4] {
                    let found = profiles(&wide(law, sizes, fixed, shift, || 0.0)).unwrap();
                    let exponent = found.exponent.unwrap();
                    assert!(
                        (exponent - truth).abs() < 0.005,
                        "{law:?} {sizes} {fixed} {shift}: {exponent} {truth}"
                    );
                    let theta = [law[1].ln(), law[2], law[3].ln(), law[4], law[0].ln()];
                    for profile in found
                        .profiles
                        .iter()
                        .filter(|profile| profile.best_params.is_some())
                    {
                        let off = (profile.best_params.unwrap()
                            / optimum(&theta, profile.flops).params)
                            .ln();
                        assert!(off.abs() < 0.03, "{law:?} {sizes} {fixed} {shift}: {off}");
                    }
                }
            }
        }
    }

    /// Shares of studies, with noise of `noise` in ln L, whose intervals hold the exponent and N* at the largest budget.
    fn coverage(studies: u64, noise: f64) -> Vec<[f64; 2]> {
        let of = |law: [f64; 5]| {
            let inside = crate::analysis::fit::solve::on_all_cores(studies as usize, |k| {
                let mut random = crate::stream::stream(
                    "isoflop-test",
                    k as u64,
                    (1e6 * noise + 1e3 * law[1]) as u64,
                );
                let shift = random.uniform() - 0.5;
                let found =
                    profiles(&wide(law, 9, false, shift, || noise * random.normal())).unwrap();
                let theta = [law[1].ln(), law[2], law[3].ln(), law[4], law[0].ln()];
                let best = found.best_params_at_largest.unwrap();
                let holds = |interval: Option<Interval>, truth: f64| {
                    interval.is_none_or(|interval| interval.low <= truth && truth <= interval.high)
                };
                let truth = optimum(&theta, best.flops).params;
                [
                    holds(found.interval, law[4] / (law[2] + law[4])),
                    holds(best.interval, truth),
                ]
            });
            [0, 1].map(|k| inside.iter().filter(|study| study[k]).count() as f64 / studies as f64)
        };
        LAWS.map(of).to_vec()
    }

    #[test]
    fn intervals_of_the_exponent_and_the_best_size_cover() {
        for shares in coverage(60, 0.003) {
            assert!(shares.iter().all(|share| *share >= 0.85), "{shares:?}");
        }
    }

    #[test]
    #[ignore = "slow: a minute"]
    fn intervals_cover_92_to_98_percent_of_500_studies() {
        for noise in [0.001, 0.003] {
            for (law, shares) in LAWS.iter().zip(coverage(500, noise)) {
                assert!(
                    shares.iter().all(|share| (0.92..=0.98).contains(share)),
                    "{law:?} {noise}: {shares:?}"
                );
            }
        }
    }

    #[test]
    fn an_optimum_beyond_the_sizes_is_told_from_one_within() {
        let law = LAWS[2];
        let all = wide(law, 13, true, 0.0, || 0.0);
        let of = |keep: &dyn Fn(f64, f64) -> bool| {
            let theta = [law[1].ln(), law[2], law[3].ln(), law[4], law[0].ln()];
            let kept = |p: &&Point| keep(p.params.unwrap(), optimum(&theta, p.flops).params);
            let points: Vec<Point> = all.iter().filter(kept).cloned().collect();
            profiles(&points)
                .unwrap()
                .profiles
                .iter()
                .map(|profile| profile.reason)
                .collect::<Vec<_>>()
        };
        let above = of(&|size, best| size > 1.3 * best);
        assert!(
            above
                .iter()
                .flatten()
                .all(|reason| *reason == Reason::AtSmallest)
                && above[0].is_some(),
            "{above:?}"
        );
        let below = of(&|size, best| size < 0.75 * best);
        assert!(
            below
                .iter()
                .flatten()
                .all(|reason| *reason == Reason::AtLargest)
                && below[4].is_some(),
            "{below:?}"
        );
        let within = of(&|size, best| size > 0.6 * best);
        assert_eq!(within, [None; 5], "one size below the best is enough");
    }
}
