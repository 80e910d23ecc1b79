//! The exchange rate between training and test-time compute (Jones 2021, arXiv 2104.03113, section 4.3): of runs of several sizes and
//! lengths, how many FLOPs a problem takes until a given share is solved, read between the numbers of samples that were counted. Over
//! all accuracies one slope of log test compute on log training compute is fitted, each accuracy of each size with its own intercept: a larger
//! model costs more in both, and what sizes cost beside each other is no exchange. What would
//! take fewer than one sample or more than were drawn is left out: nothing is extrapolated.

use std::collections::BTreeSet;

use serde::Serialize;

use super::solver::{Solver, Way, doubling, solved};
use crate::stat::interval::LEVEL;
use crate::stat::{Estimate, Interval, mean, mean_estimate, quantile};
use crate::stream::stream;

/// Accuracies that are tried.
const LEVELS: [f64; 10] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95];
/// Fewest accuracies, and fewest trainings that reach each.
const FEWEST: usize = 3;
/// Resamples of the problems where there is one repeat.
const DRAWS: usize = 400;

/// One slope over sizes, lengths and accuracies.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Exchange {
    /// Decades of test compute for a decade of training compute, at equal accuracy; n counts repeats.
    pub slope: Estimate,
    /// Whether the interval is of repeats; else it is of problems alone.
    pub over_repeats: bool,
    /// Standard deviation of what the line leaves, in decades of test compute.
    pub scatter: f64,
    /// The same slope within each size that has one.
    pub sizes: Vec<(String, Estimate)>,
    /// The slope over all sizes together, with an intercept for each accuracy alone: of whoever may change the size too.
    pub pooled: Option<Estimate>,
    /// Accuracies that it is read at.
    pub levels: Vec<f64>,
    /// What the runs needed, means over the repeats that reached it.
    pub needs: Vec<Need>,
}

/// FLOPs of a problem at which a cell reaches an accuracy.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Need {
    /// Which accuracy.
    pub level: f64,
    /// Whose size.
    pub scale: String,
    /// FLOPs of its training.
    pub train: f64,
    /// FLOPs of a problem.
    pub test: f64,
}

impl Exchange {
    /// Least and most of the training FLOPs that it is read at.
    pub fn train(&self) -> (f64, f64) {
        range(self.needs.iter().map(|need| need.train))
    }

    /// Least and most of the FLOPs of a problem.
    pub fn test(&self) -> (f64, f64) {
        range(self.needs.iter().map(|need| need.test))
    }
}

fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, 0.0), |(low, high), v| {
        (low.min(v), high.max(v))
    })
}

/// The exchange rate of solvers of one task, or why there is none.
pub fn exchange(solvers: &[&Solver]) -> Result<Exchange, String> {
    let trainings: BTreeSet<u64> = solvers.iter().map(|s| s.train_flops.to_bits()).collect();
    if trainings.len() < FEWEST {
        let n = trainings.len();
        return Err(format!(
            "{n} of the {FEWEST} training budgets that a slope needs"
        ));
    }
    let repeats = solvers.iter().map(|s| s.repeats).min().unwrap_or(0);
    let chances: Vec<_> = (0..repeats).map(|r| chances(solvers, r)).collect();
    let all = |weights: &[f64]| -> Vec<Vec<Need>> {
        let of_repeat = |r: usize| needs(solvers, r, &chances[r], weights);
        (0..repeats).map(of_repeat).collect()
    };
    let problems = solvers.iter().map(|s| s.answers[0].problems()).max();
    let by_repeat = all(&vec![1.0; problems.unwrap_or(0)]);
    let levels: Vec<f64> = LEVELS
        .into_iter()
        .filter(|level| {
            by_repeat
                .iter()
                .all(|needs| trainings_at(needs, *level) >= FEWEST)
        })
        .collect();
    if levels.len() < FEWEST {
        return Err(format!(
            "{} of the {FEWEST} accuracies that a slope needs are reached with 1 to all samples by {FEWEST} trainings in every repeat",
            levels.len()
        ));
    }
    let kept = |needs: &[Need]| -> Vec<Need> {
        needs
            .iter()
            .filter(|need| levels.contains(&need.level))
            .cloned()
            .collect()
    };
    let by_repeat: Vec<Vec<Need>> = by_repeat.iter().map(|needs| kept(needs)).collect();
    let unlike = || "all trainings that reach an accuracy are alike".to_owned();
    let slopes: Option<Vec<f64>> = by_repeat.iter().map(|needs| slope(needs)).collect();
    let over_repeats = repeats > 1;
    let mut slope_of_all = mean_estimate(&slopes.ok_or_else(unlike)?, LEVEL).ok_or_else(unlike)?;
    if !over_repeats {
        let drawn = |weights: &[f64]| slope(&kept(&all(weights)[0]));
        slope_of_all.interval = over_problems(problems.unwrap_or(0), drawn);
    }
    Ok(Exchange {
        scatter: scatter(&by_repeat, slope_of_all.value),
        slope: slope_of_all,
        over_repeats,
        sizes: sizes(&by_repeat),
        pooled: pooled(&by_repeat),
        needs: means(solvers, &levels, &by_repeat),
        levels,
    })
}

/// By number of samples: the probability that each problem is solved.
type Chances = Vec<(u64, Vec<f64>)>;

/// Of one repeat, of each solver.
fn chances(solvers: &[&Solver], repeat: usize) -> Vec<Chances> {
    let of_solver = |solver: &&Solver| {
        let answers = &solver.answers[repeat];
        doubling(answers.samples)
            .map(|k| (k, solved(answers, Way::Best(k))))
            .collect()
    };
    solvers.iter().map(of_solver).collect()
}

/// Of one repeat: what each solver needs for each accuracy, where its samples reach it; problems count by their weights.
fn needs(solvers: &[&Solver], repeat: usize, chances: &[Chances], weights: &[f64]) -> Vec<Need> {
    let mut found = Vec::new();
    for (solver, chances) in solvers.iter().zip(chances) {
        let answers = &solver.answers[repeat];
        let share = |solved: &[f64]| {
            let total: f64 = weights.iter().zip(solved).map(|(w, s)| w * s).sum();
            total / weights.iter().take(solved.len()).sum::<f64>()
        };
        let curve: Vec<(f64, f64)> = chances
            .iter()
            .map(|(k, solved)| ((*k as f64).ln(), share(solved)))
            .collect();
        for level in LEVELS {
            let within = |pair: &&[(f64, f64)]| (pair[0].1..=pair[1].1).contains(&level);
            let Some(pair) = curve.windows(2).find(within) else {
                continue;
            };
            let rise = pair[1].1 - pair[0].1;
            let part = if rise > 0.0 {
                (level - pair[0].1) / rise
            } else {
                0.0
            };
            let k = (pair[0].0 + part * (pair[1].0 - pair[0].0)).exp();
            found.push(Need {
                level,
                scale: solver.scale.clone(),
                train: solver.train_flops,
                test: answers.flops(k),
            });
        }
    }
    found
}

fn trainings_at(needs: &[Need], level: f64) -> usize {
    let at = needs.iter().filter(|need| need.level == level);
    at.map(|need| need.train.to_bits())
        .collect::<BTreeSet<_>>()
        .len()
}

/// log10 of training and test compute, less their means at the same accuracy and size.
fn centred(needs: &[Need]) -> Vec<(f64, f64)> {
    let logs = |need: &Need| (need.train.log10(), need.test.log10());
    let of_need = |need: &Need| {
        let alike = needs
            .iter()
            .filter(|other| other.level == need.level && other.scale == need.scale)
            .map(logs);
        let (x, y): (Vec<f64>, Vec<f64>) = alike.unzip();
        let (at_x, at_y) = logs(need);
        (
            at_x - mean(&x).unwrap_or(at_x),
            at_y - mean(&y).unwrap_or(at_y),
        )
    };
    needs.iter().map(of_need).collect()
}

/// Least squares with an intercept for each accuracy and size; `None` where nothing varies.
fn slope(needs: &[Need]) -> Option<f64> {
    let points = centred(needs);
    let squares: f64 = points.iter().map(|(x, _)| x * x).sum();
    let products: f64 = points.iter().map(|(x, y)| x * y).sum();
    (squares > 1e-9).then_some(products / squares)
}

fn scatter(by_repeat: &[Vec<Need>], slope: f64) -> f64 {
    let left = by_repeat.iter().flat_map(|needs| centred(needs));
    let left: Vec<f64> = left.map(|(x, y)| (y - slope * x).powi(2)).collect();
    mean(&left).unwrap_or(f64::NAN).sqrt()
}

/// The slope where sizes are not told apart.
fn pooled(by_repeat: &[Vec<Need>]) -> Option<Estimate> {
    let of_one_size = |need: &Need| Need {
        scale: String::new(),
        ..need.clone()
    };
    let alike = |needs: &Vec<Need>| slope(&needs.iter().map(of_one_size).collect::<Vec<_>>());
    let slopes: Option<Vec<f64>> = by_repeat.iter().map(alike).collect();
    mean_estimate(&slopes?, LEVEL)
}

/// The slope within each size.
fn sizes(by_repeat: &[Vec<Need>]) -> Vec<(String, Estimate)> {
    let mut scales: Vec<&str> = Vec::new();
    for need in by_repeat.iter().flatten() {
        if !scales.contains(&need.scale.as_str()) {
            scales.push(&need.scale);
        }
    }
    let of_scale = |scale: &str| {
        let own = |needs: &Vec<Need>| -> Vec<Need> {
            needs
                .iter()
                .filter(|need| need.scale == scale)
                .cloned()
                .collect()
        };
        let slopes: Option<Vec<f64>> = by_repeat.iter().map(|needs| slope(&own(needs))).collect();
        Some((scale.to_owned(), mean_estimate(&slopes?, LEVEL)?))
    };
    scales.into_iter().filter_map(of_scale).collect()
}

/// Means over the repeats that reached an accuracy.
fn means(solvers: &[&Solver], levels: &[f64], by_repeat: &[Vec<Need>]) -> Vec<Need> {
    let mut found = Vec::new();
    for level in levels {
        for solver in solvers {
            let own = by_repeat.iter().flatten().filter(|need| {
                let same = need.scale == solver.scale && need.train == solver.train_flops;
                same && need.level == *level
            });
            let logs: Vec<f64> = own.map(|need| need.test.ln()).collect();
            found.extend(mean(&logs).map(|log| Need {
                level: *level,
                scale: solver.scale.clone(),
                train: solver.train_flops,
                test: log.exp(),
            }));
        }
    }
    found
}

/// Percentiles over resamples of the problems, all solvers answering the same.
fn over_problems(problems: usize, slope: impl Fn(&[f64]) -> Option<f64>) -> Option<Interval> {
    let mut stream = stream("think/exchange", 0, 0);
    let mut drawn = Vec::new();
    for _ in 0..DRAWS {
        let mut weights = vec![0.0; problems];
        (0..problems).for_each(|_| weights[stream.below(problems)] += 1.0);
        drawn.extend(slope(&weights));
    }
    let end = |p: f64| quantile(&drawn, p);
    Some(Interval {
        low: end(0.5 * (1.0 - LEVEL))?,
        high: end(0.5 * (1.0 + LEVEL))?,
        level: LEVEL,
    })
}
