//! Reasons to doubt the quick gain, each with what would take the doubt away.

use std::collections::{BTreeMap, BTreeSet};

use super::Caveat;
use super::axis::Axis;
use super::gain::{Gain, Sign};
use super::pairs::Pairs;
use super::planned::missing;
use super::scatter::Scatter;
use super::taught::{parents, repeated_data, unknown_tokens};
use crate::record::{BySixND, RateSource, ResultFile, Status, Trial};
use crate::unit::{Nats, Share};

/// Above this share of embeddings, parameters and FLOPs no longer grow together.
const EMBEDDING_SHARE: f64 = 0.3;
/// Fewer budgets of the base do not show a curve.
const BUDGETS: usize = 3;
/// A peak that moved by more between calibrations is worth a word.
const DRIFT: f64 = 0.1;
/// Cells that lie further off smooth curves, in standard errors of their seeds, share an error that is worth a word.
const SCATTER: f64 = 2.0;
/// In nats, what nobody minds.
const SMALL_SCATTER: f64 = 5e-3;
/// Where other programs had more of the processors, in half of the trials, seconds are theirs as well.
const OTHERS: f64 = 1.0 / 3.0;
/// Fewer repeats do not carry a verdict.
const REPEATS: usize = 3;

/// Everything that speaks against believing an answer.
pub(super) fn caveats(
    file: &ResultFile,
    pairs: &Pairs,
    gains: &BTreeMap<Axis, Gain>,
    scatter: Option<&Scatter>,
) -> Vec<Caveat> {
    let found = [
        diverged(pairs),
        incomplete(file, pairs),
        few_repeats(pairs),
        unpaired(pairs),
        few_budgets(pairs),
        left_out(pairs),
        scatter.and_then(|scatter| shared_error(pairs, scatter)),
        learning_rate(pairs),
        other_data(file, pairs),
        axes_disagree(pairs, gains),
        embeddings(pairs),
        invalid_trials(pairs),
        shared_machine(pairs.trials.iter().copied()),
        repeated_data(pairs),
        parents(pairs),
        unknown_tokens(pairs),
        imported(pairs),
        drift(file),
        synthetic(file, pairs),
    ];
    found.into_iter().flatten().collect()
}

fn incomplete(file: &ResultFile, pairs: &Pairs) -> Option<Caveat> {
    let (n, missing) = (pairs.pairs.len() as u64, missing(file, pairs));
    let planned = n + missing;
    (missing > 0).then(|| Caveat {
        code: "incomplete_repeats",
        message: format!(
            "{n} of {planned} repeats finished every trial this needs; the others are left out"
        ),
        remedy: "the list of what did not finish says why; mend that and run again".to_owned(),
    })
}

/// Divergence is a property of the arm, not bad luck of the repeat: without it the arm looks better than it is.
fn diverged(pairs: &Pairs) -> Option<Caveat> {
    let mut arms: BTreeMap<&str, usize> = BTreeMap::new();
    for trial in pairs
        .trials
        .iter()
        .filter(|trial| trial.status == Status::Diverged)
    {
        *arms.entry(&trial.cell).or_default() += 1;
    }
    let list: Vec<String> = arms
        .iter()
        .map(|(cell, count)| format!("{cell} ({count})"))
        .collect();
    (!list.is_empty()).then(|| Caveat {
        code: "diverged",
        message: format!(
            "trials diverged and are left out, which flatters their arm: {}",
            list.join(", ")
        ),
        remedy: "a lower learning rate for that arm, or count it as unusable".to_owned(),
    })
}

fn few_repeats(pairs: &Pairs) -> Option<Caveat> {
    let n = pairs.pairs.len();
    (n < REPEATS).then(|| Caveat {
        code: "few_repeats",
        message: format!(
            "{n} {} too few to tell luck from gain",
            if n == 1 { "repeat is" } else { "repeats are" }
        ),
        remedy: format!("--repeats {} or more", REPEATS + 1),
    })
}

fn unpaired(pairs: &Pairs) -> Option<Caveat> {
    pairs.unpaired.then(|| Caveat {
        code: "seeds_unpaired",
        message: "cells have no seeds in common: their repeats are paired by the order of their seeds, as independent draws"
            .to_owned(),
        remedy: "run every arm and budget with the same seeds: what a seed does to all of them then cancels".to_owned(),
    })
}

fn few_budgets(pairs: &Pairs) -> Option<Caveat> {
    let (base, count) = (&pairs.question.base, pairs.cells.len());
    // A name keeps its spelling, so that none begins a sentence.
    let message = match count {
        1 => format!(
            "only one budget of {base} ran: a gain has nothing to be priced in but that run"
        ),
        _ => format!("only two budgets of {base} ran: a straight line stands in for its curve"),
    };
    (count < BUDGETS).then(|| Caveat {
        code: "few_budgets",
        message,
        remedy: format!("a suite with at least {BUDGETS} budgets of the base"),
    })
}

fn left_out(pairs: &Pairs) -> Option<Caveat> {
    (!pairs.left_out.is_empty()).then(|| Caveat {
        code: "base_cells_left_out",
        message: format!(
            "fewer than half of the repeats have {}, so that nothing is read there",
            pairs.left_out.join(", ")
        ),
        remedy: "finish them on the seeds of the others".to_owned(),
    })
}

/// What repeats share is in the interval: where it is large it is told, and where it could not be seen what stands in for it.
fn shared_error(pairs: &Pairs, scatter: &Scatter) -> Option<Caveat> {
    let (luck, n) = (scatter.luck_sd_nats?, pairs.pairs.len() as f64);
    let surface = |trial: &&Trial| matches!(trial.lr_source, RateSource::Surface { .. });
    let surfaces = pairs.trials.iter().all(surface);
    let (code, message, remedy) = match scatter.cell_sd_nats {
        None if luck > 0.0 => (
            "shared_error_assumed",
            format!(
                "too few cells show what all repeats of one share (a rate chosen once, a budget that suits a schedule): {} \
                 nats are assumed in the interval, twice the luck of a seed",
                Nats(scatter.shared_sd_nats)
            ),
            "more budgets of each variant in one run",
        ),
        Some(cells) if cells > (SCATTER * luck / n.sqrt()).max(SMALL_SCATTER) => (
            "cell_scatter",
            format!(
                "runs scatter {} nats around a smooth loss curve, {:.1} times what seed noise explains: no one scaling law \
                 fits them, and the intervals include this scatter",
                Nats(cells),
                cells * n.sqrt() / luck
            ),
            match surfaces {
                true => {
                    "none is needed, and more seeds would not reduce it: the rates are from one surface already"
                }
                false => {
                    "rates from one surface over all cells, drawn anew in each repeat; more seeds would not reduce it"
                }
            },
        ),
        _ => return None,
    };
    Some(Caveat {
        code,
        message,
        remedy: remedy.to_owned(),
    })
}

/// A learning rate that was searched for one arm only makes gains that are not the algorithm's.
fn learning_rate(pairs: &Pairs) -> Option<Caveat> {
    let of = |trial: &&&Trial| !trial.lr_source.is_settled();
    let found: BTreeSet<String> = pairs
        .trials
        .iter()
        .filter(of)
        .map(|t| format!("{} ({})", t.variant, t.lr_source))
        .collect();
    (!found.is_empty()).then(|| Caveat {
        code: "learning_rate",
        message: format!(
            "no sweep at this scale and budget settled the learning rate of {}",
            found.into_iter().collect::<Vec<_>>().join(", ")
        ),
        remedy: "try train.optimizer.lr at half and at double for every arm, on other seeds"
            .to_owned(),
    })
}

/// Repeats that are missing here and were run on other data; a whole study on other data is another study.
fn other_data(file: &ResultFile, pairs: &Pairs) -> Option<Caveat> {
    (pairs.elsewhere > 0 && missing(file, pairs) > 0).then(|| Caveat {
        code: "data_differ",
        message: format!(
            "{} trials of these cells saw other data, so they are left out",
            pairs.elsewhere
        ),
        remedy: "give every arm the same `data` keys".to_owned(),
    })
}

/// An optimizer that saves steps can cost seconds: another axis is told from 1 on the other side, or where the headline is not.
fn axes_disagree(pairs: &Pairs, gains: &BTreeMap<Axis, Gain>) -> Option<Caveat> {
    let headline = gains.get(&Axis::ModelFlops)?.sign();
    let says = |sign: Sign| match sign {
        Sign::More => "a gain",
        Sign::Less => "a loss",
        Sign::Unclear => "neither gain nor loss",
    };
    let differing: Vec<String> = gains
        .iter()
        .filter(|(axis, gain)| {
            **axis != Axis::ModelFlops && gain.sign() != Sign::Unclear && gain.sign() != headline
        })
        .map(|(axis, gain)| format!("{} in {}", says(gain.sign()), axis.words()))
        .collect();
    (!differing.is_empty()).then(|| Caveat {
        code: "axes_disagree",
        message: format!(
            "{} in model FLOPs, but {}, for {}",
            says(headline),
            differing.join(" and "),
            pairs.question.variant
        ),
        remedy: "decide by what you pay for".to_owned(),
    })
}

fn embeddings(pairs: &Pairs) -> Option<Caveat> {
    let share = pairs
        .trials
        .iter()
        .filter_map(|t| Some(t.cost.as_ref()?.embedding_share))
        .fold(0.0, f64::max);
    (share > EMBEDDING_SHARE).then(|| Caveat {
        code: "embedding_share",
        message: format!(
            "embeddings are {} of the parameters: gains at this size say little about larger models",
            Share(share)
        ),
        remedy: "a larger width or a smaller vocabulary".to_owned(),
    })
}

fn invalid_trials(pairs: &Pairs) -> Option<Caveat> {
    let bad: Vec<&&Trial> = pairs.trials.iter().filter(|t| !t.validity.ok).collect();
    let codes: BTreeSet<&str> = bad
        .iter()
        .flat_map(|t| t.validity.flags.iter().map(|flag| flag.code.as_str()))
        .collect();
    (!bad.is_empty()).then(|| Caveat {
        code: Caveat::INVALID_TRIALS,
        message: format!(
            "{} of {} trials are marked invalid ({}): do not trust their seconds",
            bad.len(),
            pairs.trials.len(),
            codes.into_iter().collect::<Vec<_>>().join(", ")
        ),
        remedy: "run again on a quiet machine".to_owned(),
    })
}

/// The share of the processors that other programs had in the median trial, where it is too large to trust seconds.
pub fn taken_by_others<'a>(trials: impl Iterator<Item = &'a Trial>) -> Option<f64> {
    let share = |t: &Trial| {
        let mut flags = t.validity.flags.iter();
        let foreign = flags.find(|flag| flag.code == "foreign_load")?;
        foreign.value
    };
    let mut shares: Vec<f64> = trials.map(|t| share(t).unwrap_or(0.0)).collect();
    shares.sort_by(f64::total_cmp);
    let median = *shares.get(shares.len() / 2)?;
    (median > OTHERS).then_some(median)
}

/// What speaks against the seconds of a whole file, whatever is asked of it.
pub fn of_machine<'a>(
    file: &ResultFile,
    trials: impl Iterator<Item = &'a Trial>,
) -> impl Iterator<Item = Caveat> {
    shared_machine(trials).into_iter().chain(drift(file))
}

fn shared_machine<'a>(trials: impl Iterator<Item = &'a Trial>) -> Option<Caveat> {
    let trials: Vec<&Trial> = trials.collect();
    let which = if trials.len() == 1 { "only" } else { "median" };
    taken_by_others(trials.into_iter()).map(|median| Caveat {
        code: Caveat::SHARED_MACHINE,
        // To ten per cent, so that cells of which the same is to be said share one caveat.
        message: format!(
            "other programs had about {:.0}% of the processors in the {which} trial: do not trust its seconds",
            (median * 10.0).round() * 10.0
        ),
        remedy: "run again on a quiet machine".to_owned(),
    })
}

/// What a log says is not what was seen.
fn imported(pairs: &Pairs) -> Option<Caveat> {
    let stated: Vec<_> = pairs
        .trials
        .iter()
        .filter_map(|t| t.stated.as_ref())
        .collect();
    let derived = stated
        .iter()
        .filter(|s| s.by_six_n_d == Some(BySixND::TrainFlops))
        .count();
    let flops = match derived {
        0 => "their FLOPs are counted as the logs count".to_owned(),
        all if all == stated.len() => "their FLOPs are 6 N D".to_owned(),
        some => format!("{some} have FLOPs of 6 N D and the others as their logs count"),
    };
    (!stated.is_empty()).then(|| Caveat {
        code: "imported",
        message: format!(
            "{} of {} trials were read from logs: nothing was measured here, their machines are not known, and {flops}",
            stated.len(),
            pairs.trials.len()
        ),
        remedy: "run both arms yourself: `effbench run`".to_owned(),
    })
}

/// A machine that was not the same before and after: its seconds and joules are not the program's alone.
pub fn drift(file: &ResultFile) -> Option<Caveat> {
    let mut ranges: BTreeMap<(u64, &str), (f64, f64)> = BTreeMap::new();
    for found in &file.calibrations {
        let Some(peak) = found.gemm_f32_flops_per_s else {
            continue;
        };
        let range = ranges
            .entry((found.machine, &found.device))
            .or_insert((peak, peak));
        *range = (range.0.min(peak), range.1.max(peak));
    }
    let worst = ranges
        .values()
        .map(|(low, high)| 1.0 - low / high)
        .fold(0.0, f64::max);
    (worst > DRIFT).then(|| Caveat {
        code: "calibration_drift",
        message: format!(
            "between its calibrations the machine's measured peak moved by {}: its speed was not its own alone",
            Share(worst)
        ),
        remedy: "run on a machine that nothing else uses; ratios within a repeat suffer less, as its arms run in turn"
            .to_owned(),
    })
}

/// Gains on generated data, where nothing in the file shows the same variant on text.
fn synthetic(file: &ResultFile, pairs: &Pairs) -> Option<Caveat> {
    let on_text = |trial: &Trial| {
        trial.status == Status::Ok
            && trial.asked().data_kind() == Some("text")
            && trial.variant == pairs.question.variant
    };
    let shown = file.trials.iter().any(on_text);
    (pairs.generated && !shown).then(|| Caveat {
        code: "synthetic_data",
        message: format!(
            "the data are a {}: whether the gain carries over to text is not shown here",
            pairs.data
        ),
        remedy: match staged(pairs) {
            // Another text for all of its data would leave nothing to carry over.
            true => "a suite of your own whose stages read two texts: docs/reuse.md".to_owned(),
            false => "--data FILE runs the same suite on a text of yours".to_owned(),
        },
    })
}

/// Whether the variant begins with a model of other data, or part of the data is another language's.
fn staged(pairs: &Pairs) -> bool {
    pairs.trials.iter().any(|trial| {
        let changed = trial.spec.pointer("/data/changed");
        changed.is_some_and(|changed| !changed.is_null()) || trial.parent.is_some()
    })
}

#[cfg(test)]
mod tests;
