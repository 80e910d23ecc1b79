//! What it costs to reach a loss: for every variant the steps, tokens, FLOPs, seconds, joules and money up to a target, read off the
//! curves of its runs, and as ratios to the base's.
//!
//! A run reaches a loss where its curve, made to fall by isotonic regression, first takes it ([`crate::stat::Descent`]); several
//! runs of one seed at several budgets reach it where the cheapest of them does, or where the curve through their ends does. A run
//! that does not get there is not dropped: it bounds the ratio. Intervals are over seeds, paired where both arms ran the same ones
//! ([`ratio`]).

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::Caveat;
use super::axis::Axis;
use super::stratum::{Stratum, strata};
use crate::config::Price;
use crate::error::{Error, Result};
use crate::record::{LossUnit, ResultFile, Trial};
use crate::stat::holm;

pub mod ratio;
mod curves;
mod caveats;

use curves::Runner;
pub use ratio::{Ratio, Side};

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Goal {
    /// A loss, in the unit that the logs count it in.
    Loss(f64),
    /// The highest of the base's final losses: every run of the base reaches it.
    Base,
}

/// The question.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Question<'a> {
    /// How far.
    pub goal: Goal,
    /// The variant whose costs are the currency.
    pub base: &'a str,
    /// Only this variant.
    pub only: Option<&'a str>,
    /// A ratio that is to be exceeded: each gain is tested against it.
    pub against: Option<f64>,
}

/// The costs of one scale on one kind of data.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reached {
    /// What the data are.
    pub data: String,
    /// The size.
    pub scale: String,
    /// The variant whose costs are the currency.
    pub base: String,
    /// What the logs count losses in.
    pub unit: LossUnit,
    /// The target, in nats.
    pub target_nats: f64,
    /// The same in the logs' unit.
    pub target: f64,
    /// The ratio that gains are tested against.
    pub against: Option<f64>,
    /// Whether the base's runs are of several sizes, as on a ladder: then a step is not the same work everywhere.
    pub several_sizes: bool,
    /// The base's costs.
    pub of_base: BTreeMap<Axis, Spent>,
    /// The variants, in the order in which they first ran.
    pub variants: Vec<Variant>,
    /// Reasons for doubt.
    pub caveats: Vec<Caveat>,
}

/// One variant.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Variant {
    /// Its name.
    pub variant: String,
    /// Its costs.
    pub spent: BTreeMap<Axis, Spent>,
    /// How many times as much the base spends.
    pub gains: BTreeMap<Axis, Ratio>,
    /// The base's loss minus the variant's, at a cost that all runs of both reach.
    pub equal: BTreeMap<Axis, Equal>,
    /// p of each gain against the constant, adjusted by Holm over all variants and axes; only where one was asked for.
    pub p: BTreeMap<Axis, f64>,
}

/// What the runs of one arm spend to reach the target.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spent {
    /// Geometric mean; where some did not get there, of how far they went.
    pub value: f64,
    /// Lowest and highest run.
    pub range: [f64; 2],
    /// Runs.
    pub n: usize,
    /// Those that reached the target.
    pub reached: usize,
}

/// A difference of losses at one cost.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Equal {
    /// The cost.
    pub at: f64,
    /// The base's loss minus the variant's, in nats.
    pub nats: f64,
    /// Its 95% interval, where there is more than one run an arm.
    pub interval: Option<[f64; 2]>,
}

/// Answers the question at every scale on which the base and another variant ran.
///
/// # Errors
///
/// A base that ran nothing, a base without a partner at any scale, losses of units that do not compare, a target that is none.
pub fn reached(
    file: &ResultFile,
    price: Option<&Price>,
    question: Question,
) -> Result<Vec<Reached>> {
    let strata = strata(file, price);
    // One target is in one unit, whatever worlds there are.
    let all: Vec<&Trial> = strata
        .iter()
        .flat_map(|s| s.trials.iter().copied())
        .collect();
    unit(&all)?;
    let mut found = Vec::new();
    for stratum in &strata {
        let of_base = stratum
            .trials
            .iter()
            .filter(|trial| trial.variant == question.base);
        let scales: BTreeSet<&str> = of_base.map(|trial| trial.scale.as_str()).collect();
        for scale in scales {
            found.extend(at_scale(file, stratum, scale, question)?);
        }
    }
    if !found.is_empty() {
        return Ok(found);
    }
    let base = question.base;
    let scales: BTreeSet<&str> = file
        .trials
        .iter()
        .map(|trial| trial.scale.as_str())
        .collect();
    let list: Vec<&str> = scales.into_iter().take(8).collect();
    Err(Error::input(format!(
        "no other variant has a curve at a scale of {base}'s"
    ))
    .hint(format!(
        "the scales are {}; `effbench import --map scale=COLUMN` says which runs are of one size",
        list.join(", ")
    )))
}

fn at_scale(
    file: &ResultFile,
    stratum: &Stratum,
    scale: &str,
    question: Question,
) -> Result<Option<Reached>> {
    let trials: Vec<&Trial> = stratum
        .trials
        .iter()
        .copied()
        .filter(|trial| trial.scale == scale)
        .collect();
    let unit = unit(&trials)?;
    let mut names: Vec<&str> = Vec::new();
    for trial in &trials {
        let wanted = trial.variant != question.base
            && question.only.is_none_or(|only| only == trial.variant);
        if wanted && !names.contains(&trial.variant.as_str()) {
            names.push(&trial.variant);
        }
    }
    let runs = |variant: &str| {
        curves::runs(
            stratum,
            trials
                .iter()
                .copied()
                .filter(|trial| trial.variant == variant),
        )
    };
    let base = runs(question.base);
    let others: Vec<(&str, Vec<Runner>)> =
        names.into_iter().map(|name| (name, runs(name))).collect();
    let others: Vec<(&str, Vec<Runner>)> = others
        .into_iter()
        .filter(|(_, runs)| !runs.is_empty())
        .collect();
    if base.is_empty() || others.is_empty() {
        return Ok(None);
    }
    let target_nats = target(question.goal, unit, &base)?;
    let mut variants: Vec<Variant> = others
        .iter()
        .map(|(name, runs)| variant(name, &base, runs, target_nats, question.against))
        .collect();
    adjust(&mut variants);
    Ok(Some(Reached {
        data: stratum.data.clone(),
        scale: scale.to_owned(),
        base: question.base.to_owned(),
        unit,
        target_nats,
        target: unit.of_nats(target_nats),
        against: question.against,
        several_sizes: sizes(&trials, question.base) > 1,
        of_base: spent(&base, target_nats),
        caveats: caveats::caveats(file, &trials, question.base, &base, &others, target_nats),
        variants,
    }))
}

fn sizes(trials: &[&Trial], variant: &str) -> usize {
    let of = trials.iter().filter(|trial| trial.variant == variant);
    of.filter_map(|trial| trial.params())
        .collect::<BTreeSet<u64>>()
        .len()
}

/// What losses are told in: one unit, or nats where several can be turned into them.
fn unit(trials: &[&Trial]) -> Result<LossUnit> {
    let Some(first) = trials.first().map(|trial| trial.loss_unit()) else {
        return Ok(LossUnit::Nats);
    };
    let other = trials.iter().find(|trial| trial.loss_unit() != first);
    match other {
        None => Ok(first),
        Some(other) if first.is_comparable_with(other.loss_unit()) => Ok(LossUnit::Nats),
        Some(other) => Err(Error::input(format!(
            "losses of {} are per byte and those of {} per token, or the other way round: they do not compare",
            trials[0].cell, other.cell
        ))
        .hint("give result files whose losses are counted alike")),
    }
}

fn target(goal: Goal, unit: LossUnit, base: &[Runner]) -> Result<f64> {
    match goal {
        Goal::Base => Ok(base
            .iter()
            .map(Runner::last)
            .fold(f64::NEG_INFINITY, f64::max)),
        Goal::Loss(figure) => {
            let nats = unit.to_nats(figure);
            if nats.is_finite() && nats > 0.0 {
                return Ok(nats);
            }
            Err(
                Error::input(format!("--target {figure}: no loss in {}", unit.name()))
                    .hint("a loss above 0, or `base` for the highest of the base's final losses"),
            )
        }
    }
}

fn variant(
    name: &str,
    base: &[Runner],
    runs: &[Runner],
    target: f64,
    against: Option<f64>,
) -> Variant {
    let costs = |runs: &[Runner], axis: Axis| {
        runs.iter()
            .map(|run| run.cost(axis, target))
            .collect::<Option<Vec<Side>>>()
    };
    let (mut gains, mut p, mut equal) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for axis in Axis::ALL {
        let (Some(of_base), Some(of_variant)) = (costs(base, axis), costs(runs, axis)) else {
            continue;
        };
        let gain = ratio::ratio(&of_base, &of_variant);
        if let Some(found) =
            against.and_then(|constant| ratio::p_against(&of_base, &of_variant, constant))
        {
            p.insert(axis, found);
        }
        gains.insert(axis, gain);
        if let Some(found) = at_equal(base, runs, axis) {
            equal.insert(axis, found);
        }
    }
    Variant {
        variant: name.to_owned(),
        spent: spent(runs, target),
        gains,
        equal,
        p,
    }
}

/// Holm's correction over all that is tested at once.
fn adjust(variants: &mut [Variant]) {
    let raw: Vec<f64> = variants
        .iter()
        .flat_map(|variant| variant.p.values().copied())
        .collect();
    let mut adjusted = holm(&raw).into_iter();
    for p in variants
        .iter_mut()
        .flat_map(|variant| variant.p.values_mut())
    {
        *p = adjusted.next().unwrap_or(*p);
    }
}

fn spent(runs: &[Runner], target: f64) -> BTreeMap<Axis, Spent> {
    let of = |axis: Axis| {
        let sides: Vec<Side> = runs
            .iter()
            .map(|run| run.cost(axis, target))
            .collect::<Option<_>>()?;
        let logs: Vec<f64> = sides.iter().map(|side| side.log).collect();
        let mean = logs.iter().sum::<f64>() / logs.len() as f64;
        let ends = logs
            .iter()
            .fold([f64::INFINITY, f64::NEG_INFINITY], |[a, b], x| {
                [a.min(*x), b.max(*x)]
            });
        let reached = sides.iter().filter(|side| !side.is_beyond()).count();
        Some((
            axis,
            Spent {
                value: mean.exp(),
                range: ends.map(f64::exp),
                n: sides.len(),
                reached,
            },
        ))
    };
    Axis::ALL.into_iter().filter_map(of).collect()
}

/// The difference at the largest cost that every run of both arms reaches.
fn at_equal(base: &[Runner], runs: &[Runner], axis: Axis) -> Option<Equal> {
    let far = base
        .iter()
        .chain(runs)
        .map(|run| run.far(axis))
        .collect::<Option<Vec<f64>>>()?;
    let at = far.into_iter().fold(f64::INFINITY, f64::min);
    let losses = |runs: &[Runner]| {
        runs.iter()
            .map(|run| run.loss(axis, at))
            .collect::<Option<Vec<Side>>>()
    };
    let (nats, interval) = ratio::difference(&losses(base)?, &losses(runs)?)?;
    Some(Equal {
        at: at.exp(),
        nats,
        interval,
    })
}

#[cfg(test)]
mod tests;
