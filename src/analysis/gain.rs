//! The quick gain: how many times more the base must spend to reach the variant's loss (compute-equivalent gain, Hernandez and
//! Brown 2020, arXiv 2005.04305; Gundlach et al. 2025), paired by repeat.
//!
//! Within a repeat the base's final losses at its budgets make a falling curve of log loss against log cost; where it takes
//! the variant's loss is the cost that the base needs, and gain = that cost / the variant's own. Logarithms are averaged over
//! repeats, with a t interval. Beyond the base's budgets nothing is extrapolated: that repeat gives a bound, and so does the
//! mean. That the interval covers what it promises is shown by simulated studies in `coverage.rs`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Caveat;
use super::axis::Axis;
use super::caveat::caveats;
use super::pairs::{Pair, Pairs, Unanswered, pair};
use crate::record::ResultFile;
use crate::stat::interval::LEVEL;
use crate::stat::{Estimate, Falling, Solution, mean, mean_estimate, ratio_estimate};

/// How many times more the base must spend.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Gain {
    /// Solved in every repeat.
    Solved(Estimate),
    /// In `beyond` of `n` repeats the base's largest budget does not reach the variant's loss: the mean is above this.
    MoreThan {
        /// Geometric mean, with the largest budget standing in where it does not reach.
        bound: f64,
        /// Repeats out of reach.
        beyond: usize,
        /// Repeats.
        n: usize,
        /// Whether every repeat, by its value or its bound, is above 1.
        unanimous: bool,
    },
    /// In `below` of `n` repeats even the base's smallest budget is ahead of the variant: the mean is below this.
    LessThan {
        /// Geometric mean, with the smallest budget standing in where it is ahead.
        bound: f64,
        /// Repeats ahead.
        below: usize,
        /// Repeats.
        n: usize,
        /// Whether every repeat, by its value or its bound, is below 1.
        unanimous: bool,
    },
    /// Some repeats lie beyond the base's budgets on one side and some on the other, or the cost is not known everywhere.
    Unknown {
        /// Repeats.
        n: usize,
    },
}

/// What a gain says against 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Sign {
    /// The variant is worth more than its cost.
    More,
    /// The variant is worth less.
    Less,
    /// The interval includes 1, or there is no telling.
    Unclear,
}

impl Gain {
    /// The gain, or the bound that stands for it.
    pub fn value(&self) -> Option<f64> {
        match *self {
            Self::Solved(estimate) => Some(estimate.value),
            Self::MoreThan { bound, .. } | Self::LessThan { bound, .. } => Some(bound),
            Self::Unknown { .. } => None,
        }
    }

    /// On which side of 1 it lies: by its interval. Where repeats are only bounded there is none, and a mean of bounds would
    /// take sides on the luck of one seed: then only unanimous repeats count, and at least three.
    pub fn sign(&self) -> Sign {
        match *self {
            Self::Solved(Estimate { interval: Some(interval), .. }) if interval.low > 1.0 => Sign::More,
            Self::Solved(Estimate { interval: Some(interval), .. }) if interval.high < 1.0 => Sign::Less,
            Self::MoreThan { n, unanimous: true, .. } if n >= 3 => Sign::More,
            Self::LessThan { n, unanimous: true, .. } if n >= 3 => Sign::Less,
            _ => Sign::Unclear,
        }
    }
}

/// What doubling the base's compute buys.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Doubling {
    /// From this budget, in steps ...
    pub from: u64,
    /// ... to twice as many.
    pub to: u64,
    /// Fall of the loss.
    pub nats: Estimate,
}

/// How far along its training the variant is: gains differ along a ray and between rays.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Ray {
    /// All parameters of the variant.
    pub params: u64,
    /// Training tokens over all parameters.
    pub tokens_per_param: f64,
}

/// The answer to a question: of a run's headline, or one like it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answer {
    /// The variant whose compute is the currency.
    pub base: String,
    /// The variant in question.
    pub variant: String,
    /// At this scale ...
    pub scale: String,
    /// ... and this budget, in steps, where cells carry one.
    pub budget: Option<u64>,
    /// Where on its ray the variant is.
    pub ray: Option<Ray>,
    /// What the data are.
    pub data: String,
    /// The metric compared.
    pub loss: &'static str,
    /// Complete repeats.
    pub n: usize,
    /// What doubling the base's compute buys, where it ran at a budget and at twice that.
    pub doubling: Option<Doubling>,
    /// The base's loss at the variant's own FLOPs minus the variant's, where those lie within the base's budgets.
    pub equal_compute_nats: Option<Estimate>,
    /// The gain by what is counted.
    pub gains: BTreeMap<Axis, Gain>,
    /// Reasons for doubt.
    pub caveats: Vec<Caveat>,
}

impl Answer {
    /// The headline: the gain in model FLOPs.
    pub fn headline(&self) -> Gain {
        self.on(Axis::ModelFlops)
    }

    /// The gain by what is counted.
    pub fn on(&self, axis: Axis) -> Gain {
        self.gains.get(&axis).copied().unwrap_or(Gain::Unknown { n: self.n })
    }
}

/// Answers the question that the suite fixed before anything ran.
pub fn answer(file: &ResultFile) -> Result<Answer, Unanswered> {
    Ok(answer_pairs(file, &pair(file)?))
}

/// Answers the question that `pairs` were made for.
pub fn answer_pairs(file: &ResultFile, pairs: &Pairs) -> Answer {
    let gains = BTreeMap::from(Axis::ALL.map(|axis| (axis, gain(&pairs.pairs, axis))));
    let at_equal: Option<Vec<f64>> = pairs.pairs.iter().map(at_equal_compute).collect();
    let question = pairs.question.clone();
    Answer {
        ray: ray(pairs),
        data: pairs.data.clone(),
        loss: pairs.loss,
        n: pairs.pairs.len(),
        doubling: doubling(pairs),
        equal_compute_nats: at_equal.and_then(|nats| mean_estimate(&nats, LEVEL)),
        caveats: caveats(file, pairs, &gains),
        gains,
        base: question.base,
        variant: question.variant,
        scale: question.scale,
        budget: question.budget,
    }
}

fn ray(pairs: &Pairs) -> Option<Ray> {
    let of_variant = pairs.trials.iter().filter(|trial| trial.variant == pairs.question.variant);
    let mut known = of_variant.filter_map(|trial| Some((trial.params()?, trial.train_tokens()?)));
    let (params, tokens) = known.find(|(params, tokens)| *params > 0 && *tokens > 0)?;
    Some(Ray { params, tokens_per_param: tokens as f64 / params as f64 })
}

/// The base's curve of loss against log cost in one repeat.
fn curve(pair: &Pair, axis: Axis) -> Option<Falling> {
    let points: Option<Vec<(f64, f64)>> = pair.base.iter().map(|p| Some((p.spent.on(axis)?.ln(), p.loss))).collect();
    Falling::through(&points?)
}

/// Where the base's curve takes the variant's loss, as a log ratio to the variant's own cost.
pub fn log_gain(pair: &Pair, axis: Axis) -> Option<Solution> {
    let own = pair.variant.spent.on(axis)?.ln();
    Some(match curve(pair, axis)?.solve(pair.variant.loss) {
        Solution::At(cost) => Solution::At(cost - own),
        Solution::Before(cost) => Solution::Before(cost - own),
        Solution::After(cost) => Solution::After(cost - own),
    })
}

/// The gain over all repeats, censored where the base's budgets do not reach.
fn gain(pairs: &[Pair], axis: Axis) -> Gain {
    let n = pairs.len();
    let Some(solutions) = pairs.iter().map(|pair| log_gain(pair, axis)).collect::<Option<Vec<_>>>() else {
        return Gain::Unknown { n };
    };
    let beyond = solutions.iter().filter(|s| matches!(s, Solution::After(_))).count();
    let below = solutions.iter().filter(|s| matches!(s, Solution::Before(_))).count();
    let logs: Vec<f64> = solutions.iter().map(|s| s.x()).collect();
    let (Some(estimate), Some(bound)) = (ratio_estimate(&logs, LEVEL), mean(&logs).map(f64::exp)) else {
        return Gain::Unknown { n };
    };
    match (beyond, below) {
        (0, 0) => Gain::Solved(estimate),
        (beyond, 0) => Gain::MoreThan { bound, beyond, n, unanimous: logs.iter().all(|log| *log > 0.0) },
        (0, below) => Gain::LessThan { bound, below, n, unanimous: logs.iter().all(|log| *log < 0.0) },
        _ => Gain::Unknown { n },
    }
}

/// What the variant buys in one repeat: the base's loss at the variant's own model FLOPs, minus the variant's.
fn at_equal_compute(pair: &Pair) -> Option<f64> {
    let base = curve(pair, Axis::ModelFlops)?.at(pair.variant.spent.on(Axis::ModelFlops)?.ln())?;
    Some(base - pair.variant.loss)
}

/// The paired fall from a budget to twice that: the headline's budget, else the largest below it, else the smallest.
fn doubling(pairs: &Pairs) -> Option<Doubling> {
    let budgets = &pairs.budgets;
    let doubled: Vec<u64> = budgets.iter().copied().filter(|b| budgets.contains(&(2 * b))).collect();
    let below = doubled.iter().rev().find(|b| pairs.question.budget.is_none_or(|asked| **b <= asked));
    let from = *below.or(doubled.first())?;
    let place = |budget: u64| budgets.iter().position(|b| *b == budget);
    let (before, after) = (place(from)?, place(2 * from)?);
    let falls: Vec<f64> = pairs.pairs.iter().map(|pair| pair.base[before].loss - pair.base[after].loss).collect();
    Some(Doubling { from, to: 2 * from, nats: mean_estimate(&falls, LEVEL)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::example::{example, study};

    /// Model FLOPs of a step of `gpt2` over one of `modern` in the example.
    const STEP: f64 = 7.7 / 8.0;

    /// A power law, where `modern` at 800 is worth `worth(repeat)` times its steps of `gpt2`.
    fn straight(repeats: u64, worth: impl Fn(u64) -> f64) -> ResultFile {
        study(repeats, |variant, steps, repeat| {
            let worth = if variant == "modern" { worth(repeat) } else { 1.0 };
            Some(2.0 * (worth * steps as f64 / 400.0).powf(-0.3) * (1.0 + 0.05 * repeat as f64))
        })
    }

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-9, "{found} against {expected}");
    }

    /// Where the truth is known the gain is exact on every axis, above 1 and below.
    #[test]
    fn a_known_gain_is_found() {
        for worth in [1.7, 1.0, 0.6] {
            let answer = answer(&straight(3, |_| worth)).unwrap();
            let solved = |axis| match answer.on(axis) {
                Gain::Solved(estimate) => estimate,
                other => panic!("{axis:?}: {other:?}"),
            };
            close(solved(Axis::ModelFlops).value, worth * STEP);
            close(solved(Axis::TotalFlops).value, worth * (7.7e7 + 3.0e5) / (8.0e7 + 9.0e6));
            close(solved(Axis::WallSeconds).value, worth * 0.0031 / 0.0052);
            close(solved(Axis::Tokens).value, worth);
            close(solved(Axis::Steps).value, worth);
            // Repeats of 1, 1.05 and 1.1 times the law.
            let law = |steps: f64| 1.05 * 2.0 * (steps / 400.0).powf(-0.3);
            close(answer.equal_compute_nats.unwrap().value, law(800.0 / STEP) - law(worth * 800.0));
            let doubling = answer.doubling.unwrap();
            assert_eq!((doubling.from, doubling.to), (800, 1600));
            close(doubling.nats.value, law(800.0) - law(1600.0));
            assert_eq!(answer.on(Axis::Joules), Gain::Unknown { n: 3 }, "no meter read anything");
        }
    }

    /// The interval is the t interval of the log gains: `scipy.stats.t.interval(0.95, 3, logs.mean(), scipy.stats.sem(logs))`
    /// of SciPy 1.17 on logs = [0.52, 0.48, 0.61, 0.43] + ln(7.7 / 8.0).
    #[test]
    fn the_interval_is_of_the_log_gains() {
        let logs: [f64; 4] = [0.52, 0.48, 0.61, 0.43];
        let answer = answer(&straight(4, |repeat| logs[repeat as usize].exp())).unwrap();
        let Gain::Solved(estimate) = answer.headline() else { panic!("{:?}", answer.headline()) };
        let interval = estimate.interval.unwrap();
        let [low, high] = [0.35059484226662413, 0.5929627320929803];
        close(interval.low.ln(), low);
        close(interval.high.ln(), high);
        assert_eq!((estimate.n, answer.headline().sign()), (4, Sign::More));
    }

    /// Beyond the budgets there are bounds, and no extrapolation: at most 1600 steps of 7.7 against 800 of 8.0, at least 400.
    #[test]
    fn beyond_the_budgets_there_is_a_bound() {
        type Worth = fn(u64) -> f64;
        let rows: [(Worth, Gain); 5] = [
            (|_| 5.0, Gain::MoreThan { bound: 2.0 * STEP, beyond: 4, n: 4, unanimous: true }),
            (
                |r| if r == 0 { 5.0 } else { 2.0 },
                Gain::MoreThan { bound: 2.0 * STEP, beyond: 1, n: 4, unanimous: true },
            ),
            (|_| 0.1, Gain::LessThan { bound: 0.5 * STEP, below: 4, n: 4, unanimous: true }),
            (|r| if r < 2 { 0.1 } else { 2.0 }, Gain::LessThan { bound: STEP, below: 2, n: 4, unanimous: false }),
            (|r| if r == 0 { 0.1 } else { 9.0 }, Gain::Unknown { n: 4 }),
        ];
        for (worth, expected) in rows {
            let found = answer(&straight(4, worth)).unwrap().headline();
            match (found, expected) {
                (
                    Gain::MoreThan { bound: a, beyond: i, n, unanimous: x },
                    Gain::MoreThan { bound: b, beyond: j, n: m, unanimous: y },
                )
                | (
                    Gain::LessThan { bound: a, below: i, n, unanimous: x },
                    Gain::LessThan { bound: b, below: j, n: m, unanimous: y },
                ) => {
                    close(a, b);
                    assert_eq!((i, n, x), (j, m, y));
                }
                _ => assert_eq!(found, expected),
            }
        }
    }

    #[test]
    fn a_gain_stands_on_one_side_of_one_or_cannot_tell() {
        let apart = |r: u64| if r.is_multiple_of(2) { 1.3 } else { 0.8 };
        let rows = [
            (answer(&straight(4, |_| 1.7)), Sign::More),
            (answer(&straight(4, |_| 0.6)), Sign::Less),
            (answer(&straight(4, apart)), Sign::Unclear),
            (answer(&straight(1, |_| 0.6)), Sign::Unclear),
            (answer(&straight(4, |r| if r == 0 { 0.1 } else { 1.1 })), Sign::Unclear),
            (answer(&straight(2, |_| 9.0)), Sign::Unclear),
            (answer(&straight(4, |_| 9.0)), Sign::More),
            (answer(&straight(4, |_| 0.1)), Sign::Less),
        ];
        for (answer, sign) in rows {
            assert_eq!(answer.unwrap().headline().sign(), sign);
        }
    }

    /// Noise can make a larger budget worse: the curve is read where it falls, and beyond that there is a bound.
    #[test]
    fn a_rise_of_the_bases_losses_bounds_the_gain() {
        let rising = |loss: f64| {
            study(1, move |variant, steps, _| {
                Some(match (variant, steps) {
                    ("gpt2", 400) => 2.0,
                    ("gpt2", 800) => 1.0,
                    ("gpt2", _) => 1.2,
                    _ => loss,
                })
            })
        };
        let Gain::Solved(estimate) = answer(&rising(1.55)).unwrap().headline() else { panic!() };
        assert!(estimate.value > 0.5 * STEP && estimate.value < STEP && estimate.interval.is_none());
        let Gain::MoreThan { bound, .. } = answer(&rising(0.9)).unwrap().headline() else { panic!() };
        assert!(bound > STEP && bound < 2.0 * STEP, "{bound}");
    }

    #[test]
    fn seconds_that_are_not_known_leave_the_other_axes_alone() {
        let mut file = example();
        file.trials[0].metrics.remove(crate::record::metric::TRAIN_WALL_S);
        let answer = answer(&file).unwrap();
        assert!(matches!(answer.headline(), Gain::MoreThan { .. } | Gain::Solved(_)));
        assert_eq!(answer.on(Axis::WallSeconds), Gain::Unknown { n: 4 });
    }
}
