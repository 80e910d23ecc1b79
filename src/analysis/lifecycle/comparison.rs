//! Two cells against each other: their losses, what each spent, and from how many requests on which costs less.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::spent::{Measure, Request, Served, Told, request, training};
use super::utilisation::{Speeds, speeds};
use super::verdict::{Side, Verdict, judge};
use crate::analysis::caveat::taken_by_others;
use crate::analysis::findings::Cell;
use crate::config::Price;
use crate::record::{Machine, Trial, metric};
use crate::stat::interval::LEVEL;
use crate::stat::{Estimate, mean_estimate};

/// How far two losses are apart.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Gap {
    /// The metric that both have.
    pub metric: &'static str,
    /// Means over the repeats of both.
    pub of: [f64; 2],
    /// The first's less the second's, repeat by repeat.
    pub difference: Estimate,
    /// Which is worse, where that is known at 95%.
    pub worse: Option<Side>,
}

/// One unit's costs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// The unit.
    pub measure: Measure,
    /// Of training once, or why it is not told.
    pub training: [Result<Estimate, String>; 2],
    /// Of a request, or why it is not told.
    pub request: [Result<Estimate, String>; 2],
    /// Which costs less, or why that is not told.
    pub verdict: Result<Verdict, String>,
}

impl Row {
    /// What one of the two costs over so many requests, on average.
    pub fn cost(&self, side: Side, requests: f64) -> Option<f64> {
        let of = |told: &[Result<Estimate, String>; 2]| {
            told[side.place()].as_ref().ok().map(|cost| cost.value)
        };
        Some(of(&self.training)? + requests * of(&self.request)?)
    }
}

/// Two cells.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// Their names, as [`Cell::name`].
    pub cells: [String; 2],
    /// Their variants.
    pub variants: [String; 2],
    /// What is asked once.
    pub request: Request,
    /// How each was served when it was measured.
    pub served: [Option<Served>; 2],
    /// FLOPs a second.
    pub speeds: [Option<Speeds>; 2],
    /// Repeats that both finished.
    pub repeats: usize,
    /// Their losses, where both have one.
    pub loss: Option<Gap>,
    /// Whether both are the weights of one file, so that what training cost is the same, if not known.
    pub shared_training: bool,
    /// The share of the processors that other programs had in the median trial, where it is too large to trust seconds.
    pub taken_by_others: Option<f64>,
    /// Money first.
    pub rows: Vec<Row>,
}

impl Comparison {
    /// The first unit in which it is told which costs less.
    pub fn first_told(&self) -> Option<&Row> {
        self.rows.iter().find(|row| row.verdict.is_ok())
    }
}

/// What all repeats are priced with.
#[derive(Clone, Copy)]
pub(super) struct Given<'a> {
    pub(super) machine: &'a Machine,
    pub(super) price: Option<&'a Price>,
    pub(super) request: Request,
}

/// Holds two cells of one machine and one data source against each other.
pub(super) fn compare(a: &Cell, b: &Cell, given: Given) -> Comparison {
    let pairs = pairs(a, b);
    let file = |cell: &Cell| cell.any().spec.pointer("/model/from").cloned();
    let untrained = |cell: &Cell| cell.any().train_tokens() == Some(0);
    let shared_training = untrained(a) && untrained(b) && file(a).is_some() && file(a) == file(b);
    let other = differing(a.any(), b.any());
    let row = |measure| row(measure, &pairs, given, shared_training, other);
    Comparison {
        cells: [a, b].map(|cell| cell.name.clone()),
        variants: [a, b].map(|cell| cell.any().variant.clone()),
        request: given.request,
        served: [a, b].map(|cell| Served::of(cell.any())),
        speeds: [a, b].map(speeds),
        repeats: pairs.len(),
        loss: gap(&pairs),
        shared_training,
        taken_by_others: taken_by_others(pairs.iter().flatten().copied()),
        rows: Measure::ALL.map(row).into(),
    }
}

/// The trials of both in each repeat that both finished, by rising repeat.
fn pairs<'a>(a: &Cell<'a>, b: &Cell<'a>) -> Vec<[&'a Trial; 2]> {
    let by_repeat = |cell: &Cell<'a>| -> BTreeMap<u64, &'a Trial> {
        cell.finished().map(|trial| (trial.repeat, trial)).collect()
    };
    let of_b = by_repeat(b);
    let both = by_repeat(a).into_iter();
    both.filter_map(|(repeat, trial)| Some([trial, *of_b.get(&repeat)?]))
        .collect()
}

/// Whether the two computed in different ways, so that seconds are not of the models alone.
fn differing(a: &Trial, b: &Trial) -> bool {
    let of = |trial: &Trial| {
        let mut compute = trial.spec.get("compute").cloned().unwrap_or(Value::Null);
        // How many parts a step is cut in follows from the batch.
        compute.as_object_mut().map(|table| table.remove("shards"));
        compute
    };
    of(a) != of(b)
}

fn row(
    measure: Measure,
    pairs: &[[&Trial; 2]],
    given: Given,
    shared_training: bool,
    other_compute: bool,
) -> Row {
    let Given { machine, price, .. } = given;
    let all = |of: &dyn Fn(&Trial) -> Told| -> [Result<Vec<f64>, String>; 2] {
        [0, 1].map(|side| pairs.iter().map(|pair| of(pair[side])).collect())
    };
    let trained = match shared_training {
        true => [0, 1].map(|_| Ok(vec![0.0; pairs.len()])),
        false => all(&|trial| training(measure, trial, machine, price)),
    };
    let asked = all(&|trial| request(measure, trial, machine, price, given.request));
    let verdict = match (&trained, &asked) {
        _ if pairs.is_empty() => Err("no repeat finished in both".to_owned()),
        _ if other_compute && !measure.is_counted() => {
            Err("the two computed in different ways (`compute.*`)".to_owned())
        }
        ([Ok(ta), Ok(tb)], [Ok(ca), Ok(cb)]) => {
            let less = |x: &[f64], y: &[f64]| -> Vec<f64> {
                x.iter().zip(y).map(|(x, y)| x - y).collect()
            };
            let found = judge(&less(ta, tb), &less(cb, ca), measure.is_counted());
            found.ok_or_else(|| "no repeat finished in both".to_owned())
        }
        ([Err(reason), _] | [_, Err(reason)], _) => Err(format!("of training, {reason}")),
        (_, [Err(reason), _] | [_, Err(reason)]) => Err(format!("of a request, {reason}")),
    };
    let told = |found: Result<Vec<f64>, String>| {
        mean_estimate(&found?, LEVEL).ok_or_else(|| "no repeat finished in both".to_owned())
    };
    Row {
        measure,
        training: match shared_training {
            true => [0, 1].map(|_| Err("the same, whatever it was".to_owned())),
            false => trained.map(told),
        },
        request: asked.map(told),
        verdict,
    }
}

/// Bits per byte where a model brings its own tokenizer, the loss above the oracle where there is one, else the loss.
fn gap(pairs: &[[&Trial; 2]]) -> Option<Gap> {
    let own = |trial: &Trial| trial.spec.pointer("/model/from").is_some();
    let foreign = pairs.iter().flatten().any(|trial| own(trial));
    let losses = [
        metric::VAL_BITS_PER_BYTE,
        metric::EXCESS_LOSS_NATS,
        metric::VAL_LOSS_NATS,
    ];
    let skipped = usize::from(!foreign);
    losses[skipped..].iter().find_map(|name| {
        let of = |side: usize| -> Option<Vec<f64>> {
            pairs.iter().map(|pair| pair[side].metric(name)).collect()
        };
        let (a, b) = (of(0)?, of(1)?);
        let differences: Vec<f64> = a.iter().zip(&b).map(|(a, b)| a - b).collect();
        let difference = mean_estimate(&differences, LEVEL)?;
        let worse = difference.interval.and_then(|interval| match interval {
            i if i.low > 0.0 => Some(Side::A),
            i if i.high < 0.0 => Some(Side::B),
            _ => None,
        });
        Some(Gap {
            metric: name,
            of: [crate::stat::mean(&a)?, crate::stat::mean(&b)?],
            difference,
            worse,
        })
    })
}
