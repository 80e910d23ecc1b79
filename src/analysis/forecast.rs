//! Forecast and check: what each variant wins over the base at the most compute that it had, foretold from its cheaper runs alone
//! and held against what came.
//!
//! What is foretold is the gap at equal compute, the base's loss less the variant's, in nats: a gain is a bound where the base's
//! runs end, a gap never is. The gaps of the cheaper budgets are drawn out in a straight line over the logarithm of compute (least
//! squares). The interval around it holds the luck of the seeds and what all repeats of a cell share, of the line and of the
//! outcome alike. Of the outcome's cell nothing is in it: what cells scatter by is known from the others, the base's and the other
//! variants' at all budgets, as where a newcomer is held against what was committed before. That the true gap may bend is not
//! in the interval: whether it does shows in the share of outcomes that the intervals hold, and beside the line stands the guess that
//! a gap stays what it was.
//!
//! In simulated studies of three and five repeats, 100 a row with six variants each, the 80% interval held 78 to 86% of outcomes and the
//! 95% interval 96 to 99% (`forecast/tests.rs`).

use serde::Serialize;

use super::axis::Axis;
use super::form::{Form, shift};
use super::local::Local;
use super::pairs::pair_in;
use super::question::Question;
use super::scatter::Scatter;
use super::stratum::Stratum;
use crate::stat::binomial::exact_share;
use crate::stat::{Interval, sd};

/// The levels of a forecast's two intervals.
pub const LEVELS: [f64; 2] = [0.80, 0.95];
/// Budgets of a variant without which nothing is foretold: two for a line, and one to be foretold.
const LEAST: usize = 3;
/// Budgets of which one costs less than so many times another are one level.
const APART: f64 = 1.1;

/// What was foretold of a variant's dearest runs, and what came.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Forecast {
    /// The variant.
    pub variant: String,
    /// At one size, where the base has one; with several sizes of the base, over all of the variant's.
    pub scale: Option<String>,
    /// Cheaper budgets that the line was drawn through.
    pub levels: usize,
    /// Model FLOPs of the variant at the dearest of them ...
    pub from_flops: f64,
    /// ... and where the forecast is.
    pub at_flops: f64,
    /// The gap that was foretold: the base's loss less the variant's.
    pub predicted_nats: f64,
    /// With 80% and 95%.
    pub intervals: [Interval; 2],
    /// The gap at the dearest of the cheaper budgets.
    pub last_nats: f64,
    /// The gap that came.
    pub outcome_nats: f64,
    /// Repeats of that.
    pub n: usize,
}

impl Forecast {
    /// Outcome less forecast.
    pub fn error_nats(&self) -> f64 {
        self.outcome_nats - self.predicted_nats
    }

    /// Whether each interval holds the outcome.
    pub fn held(&self) -> [bool; 2] {
        self.intervals
            .map(|interval| (interval.low..=interval.high).contains(&self.outcome_nats))
    }
}

/// A variant of which nothing is foretold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Untold {
    /// The variant.
    pub variant: String,
    /// Why, without a full stop.
    pub reason: String,
}

/// How often forecasts came true.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Calibration {
    /// Forecasts.
    pub forecasts: usize,
    /// Outcomes in the 80% and in the 95% interval.
    pub held: [usize; 2],
    /// The share behind each, 95% (Clopper and Pearson): as if forecasts were independent, which those of one base are not.
    pub shares: [Interval; 2],
    /// Root mean square of outcome less forecast ...
    pub rms_nats: f64,
    /// ... of outcome less the gap before it, which is what whoever foretells nothing would say ...
    pub rms_unchanged_nats: f64,
    /// ... and of the standard errors that the 80% intervals are made of, as of a normal law.
    pub rms_promised_nats: f64,
}

/// Half of an 80% interval of the normal law, in standard deviations.
const HALF_OF_80: f64 = 1.281_551_565_544_600_4;

impl Calibration {
    /// `None` where nothing was foretold.
    pub fn of<'a>(all: impl Iterator<Item = &'a Forecast> + Clone) -> Option<Self> {
        let n = all.clone().count();
        let held = [0, 1].map(|k| all.clone().filter(|one| one.held()[k]).count());
        let rms = |of: &dyn Fn(&Forecast) -> f64| {
            (all.clone().map(|one| of(one).powi(2)).sum::<f64>() / n as f64).sqrt()
        };
        Some(Self {
            forecasts: n,
            held,
            shares: [
                exact_share(held[0], n, LEVELS[1])?,
                exact_share(held[1], n, LEVELS[1])?,
            ],
            rms_nats: rms(&Forecast::error_nats),
            rms_unchanged_nats: rms(&|one| one.outcome_nats - one.last_nats),
            rms_promised_nats: rms(&|one| {
                0.5 * (one.intervals[0].high - one.intervals[0].low) / HALF_OF_80
            }),
        })
    }

    /// Which of the two levels the outcomes fall short of, and which they exceed, by more than the luck of so few explains.
    pub fn off(&self) -> [Option<Off>; 2] {
        [0, 1].map(|k| match &self.shares[k] {
            share if share.high < LEVELS[k] => Some(Off::Short),
            share if share.low > LEVELS[k] => Some(Off::Over),
            _ => None,
        })
    }
}

/// How a share differs from what was promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Off {
    /// Fewer outcomes than promised.
    Short,
    /// More than promised: the intervals are wider than they need be.
    Over,
}

/// A variant's gap at one budget.
struct Level<'q> {
    question: &'q Question,
    ln_flops: f64,
    gap: Form,
}

/// The levels of one variant.
struct Line<'q> {
    variant: &'q str,
    scale: Option<&'q str>,
    levels: Vec<Level<'q>>,
}

/// What can be foretold of the cells in question, all over one base, and of which variants nothing can.
pub fn forecasts(stratum: &Stratum, questions: &[Question]) -> (Vec<Forecast>, Vec<Untold>) {
    let (mut told, mut untold) = (Vec::new(), Vec::new());
    let (lines, short): (Vec<Line>, Vec<Line>) = lines(stratum, questions, None)
        .into_iter()
        .partition(|line| line.levels.len() >= LEAST);
    untold.extend(short.iter().map(|line| Untold {
        variant: line.variant.to_owned(),
        reason: format!(
            "{} of {LEAST} budgets at which the base ran as far",
            line.levels.len()
        ),
    }));
    for line in &lines {
        let Some(dearest) = line.levels.last() else {
            continue;
        };
        // Nothing of the outcome is in its forecast, not even in what cells scatter by.
        let before = stratum.where_trial(|trial| !dearest.question.is_variant(trial));
        let Some(scatter) = Scatter::of(&before) else {
            untold.push(Untold {
                variant: line.variant.to_owned(),
                reason: "no cell ran twice, so that nobody knows what luck does".to_owned(),
            });
            continue;
        };
        // The base's frontier is read with that scatter as well.
        let own: Vec<Question> = line.levels.iter().map(|l| l.question.clone()).collect();
        let read = self::lines(stratum, &own, Some(&scatter));
        told.extend(read.iter().filter_map(|line| forecast(line, &scatter)));
    }
    (told, untold)
}

/// The gaps of the cells in question by variant, and by size where the base has one, each from cheap to dear.
fn lines<'q>(
    stratum: &Stratum,
    questions: &'q [Question],
    scatter: Option<&Scatter>,
) -> Vec<Line<'q>> {
    let mut lines: Vec<Line> = Vec::new();
    for question in questions {
        let Ok(pairs) = pair_in(stratum, question) else {
            continue;
        };
        let mut sizes: Vec<&str> = pairs.cells.iter().map(|cell| cell.scale.as_str()).collect();
        sizes.dedup();
        let scale = (sizes.len() < 2).then_some(question.scale.as_str());
        let gap = Local::of(&pairs, Axis::ModelFlops, scatter)
            .filter(|local| !local.rises())
            .and_then(|local| local.at_equal_cost());
        let flops = pairs.trials.iter().filter(|t| question.is_variant(t));
        let flops = flops.filter_map(|trial| trial.train_flops()).next();
        let (Some((gap, _)), Some(flops)) = (gap, flops) else {
            continue;
        };
        let level = Level {
            question,
            ln_flops: flops.ln(),
            gap,
        };
        let known = lines
            .iter_mut()
            .find(|line| line.variant == question.variant && line.scale == scale);
        match known {
            Some(line) => line.levels.push(level),
            None => lines.push(Line {
                variant: &question.variant,
                scale,
                levels: vec![level],
            }),
        }
    }
    for line in &mut lines {
        line.levels
            .sort_by(|a, b| a.ln_flops.total_cmp(&b.ln_flops));
        line.levels
            .dedup_by(|b, a| b.ln_flops - a.ln_flops < APART.ln());
    }
    lines
}

/// The dearest level of a line, foretold from the others.
fn forecast(line: &Line, scatter: &Scatter) -> Option<Forecast> {
    let (outcome, before) = line.levels.split_last()?;
    let last = before.last().filter(|_| before.len() + 1 >= LEAST)?;
    let count = before.len() as f64;
    let middle = before.iter().map(|level| level.ln_flops).sum::<f64>() / count;
    let squares: f64 = before
        .iter()
        .map(|level| (level.ln_flops - middle).powi(2))
        .sum();
    let weight = |level: &Level| {
        1.0 / count + (outcome.ln_flops - middle) * (level.ln_flops - middle) / squares
    };
    let (first, rest) = before.split_first()?;
    let drawn = rest
        .iter()
        .fold(first.gap.times(weight(first)), |sum, level| {
            sum.minus(&level.gap, -weight(level))
        });
    let luck = |gap: &Form| {
        let of_seeds: Vec<f64> = gap.by_seed.values().copied().collect();
        Some(sd(&of_seeds)?.powi(2) / of_seeds.len() as f64)
    };
    let of_loads = |gap: &Form| gap.loads.values().map(|load| load * load).sum::<f64>();
    // An outcome that nobody has seen is as uncertain as what was seen.
    let each: Option<Vec<f64>> = before.iter().map(|level| luck(&level.gap)).collect();
    let its_luck = each?.iter().sum::<f64>() / count;
    let most = |of: &dyn Fn(&Form) -> f64| {
        before
            .iter()
            .map(|level| of(&level.gap))
            .fold(0.0, f64::max)
    };
    let shift = shift(
        drawn.value,
        (luck(&drawn)? + its_luck, drawn.n()),
        of_loads(&drawn) + most(&of_loads),
        drawn.reading_se.hypot(most(&|gap| gap.reading_se)),
        Some(scatter),
    );
    Some(Forecast {
        variant: line.variant.to_owned(),
        scale: line.scale.map(str::to_owned),
        levels: before.len(),
        from_flops: last.ln_flops.exp(),
        at_flops: outcome.ln_flops.exp(),
        predicted_nats: drawn.value,
        intervals: LEVELS.map(|level| shift.interval(level)),
        last_nats: last.gap.value,
        outcome_nats: outcome.gap.value,
        n: outcome.gap.n(),
    })
}

#[cfg(test)]
mod tests;
