//! What a model that begins with another's weights, or learns from another, owes: the costs of its training with those of its
//! parents' added, as if they had been trained for it alone.

use std::collections::{BTreeMap, BTreeSet};

use super::metric::{self, Metric};
use super::{Flag, ResultFile, Severity, Trial};
use crate::error::{Error, Result};

/// The flag of a trial whose costs hold its parents'; its value is the trial's own model FLOPs.
pub const COUNTED: &str = "parents_counted";

/// Model FLOPs of a trial's own training, whatever was added to them: how losses fall with what a run trained does not depend on who
/// pays for what it began with.
pub fn own_flops(trial: &Trial) -> Option<f64> {
    let mut flags = trial.validity.flags.iter();
    let own = flags.find(|flag| flag.code == COUNTED);
    own.and_then(|flag| flag.value)
        .or_else(|| trial.train_flops())
}

/// A file's trials with the costs of what they began with, and of what they learnt from, added to their own, each once.
///
/// # Errors
/// Where a parent is not in the file.
pub fn with_parents_counted(file: &ResultFile) -> Result<ResultFile> {
    let by_id: BTreeMap<&str, &Trial> = file
        .trials
        .iter()
        .map(|trial| (trial.id.as_str(), trial))
        .collect();
    let trials = file.trials.iter().map(|trial| {
        let mut counted = trial.clone();
        for id in ancestors(trial, &by_id)? {
            add(&mut counted, by_id[id]);
        }
        Ok(counted)
    });
    Ok(ResultFile {
        trials: trials.collect::<Result<_>>()?,
        ..file.clone()
    })
}

/// The ids of all that a trial goes back to.
fn ancestors<'a>(trial: &'a Trial, by_id: &BTreeMap<&str, &'a Trial>) -> Result<BTreeSet<&'a str>> {
    let (mut found, mut open) = (BTreeSet::new(), vec![trial]);
    while let Some(trial) = open.pop() {
        for id in trial.parent.iter().chain(&trial.teacher) {
            let parent = by_id.get(id.as_str()).copied().ok_or_else(|| {
                let message = format!(
                    "{}, repeat {}: its parent, trial {id}, is not in these files",
                    trial.cell, trial.repeat
                );
                Error::input(message).hint("give the file that holds it too")
            })?;
            if found.insert(parent.id.as_str()) {
                open.push(parent);
            }
        }
    }
    Ok(found)
}

fn add(child: &mut Trial, parent: &Trial) {
    let own = own_flops(child);
    let tokens = [&*child, parent].map(|trial| trial.train_tokens().map(|tokens| tokens as f64));
    let joules = |trial: &Trial, tokens: Option<f64>| {
        Some(trial.metric(metric::ENERGY_J_PER_TRAIN_TOKEN)? * tokens?)
    };
    let joules = joules(child, tokens[0]).zip(joules(parent, tokens[1]));
    let all_tokens = tokens[0].zip(tokens[1]).map(|(own, theirs)| own + theirs);
    let per_token = joules
        .zip(all_tokens)
        .map(|((own, theirs), all)| (own + theirs) / all);
    let seconds = child.metric(metric::TRAIN_WALL_S);
    let seconds = seconds.zip(parent.metric(metric::TRAIN_WALL_S));
    for (name, sum) in [
        (
            metric::TRAIN_WALL_S,
            seconds.map(|(own, theirs)| own + theirs),
        ),
        (metric::ENERGY_J_PER_TRAIN_TOKEN, per_token),
    ] {
        let metric = sum.map_or_else(
            || {
                Metric::absent(
                    name,
                    "not known of the trial or of one that it goes back to",
                )
            },
            |sum| Metric::value(name, sum),
        );
        child.metrics.insert(name.to_owned(), metric);
    }
    // What was metered over a whole trial, or only modelled, is of that trial alone.
    child.energy.measured_j = None;
    child.energy.channels.clear();
    if let (Some(own), Some(theirs)) = (&mut child.cost, &parent.cost) {
        own.train_flops += theirs.train_flops;
        own.train_flops_full_square = own
            .train_flops_full_square
            .zip(theirs.train_flops_full_square)
            .map(|(a, b)| a + b);
        own.optimizer_flops += theirs.optimizer_flops;
        own.train_tokens += theirs.train_tokens;
    }
    let before = |column: &[f64]| column.last().copied().unwrap_or(0.0);
    let (curve, theirs) = (&mut child.curve, &parent.curve);
    let steps = theirs.step.last().copied().unwrap_or(0);
    curve.step.iter_mut().for_each(|step| *step += steps);
    let tokens = theirs.tokens.last().copied().unwrap_or(0);
    curve.tokens.iter_mut().for_each(|seen| *seen += tokens);
    let (flops, seconds) = (before(&theirs.train_flops), before(&theirs.wall_s));
    curve
        .train_flops
        .iter_mut()
        .for_each(|spent| *spent += flops);
    curve.wall_s.iter_mut().for_each(|spent| *spent += seconds);
    curve.energy_j = None;
    if !child.validity.flags.iter().any(|flag| flag.code == COUNTED) {
        child.validity.flags.push(Flag {
            code: COUNTED.to_owned(),
            severity: Severity::Info,
            value: own,
            limit: None,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::example::example;

    #[test]
    fn a_grandchild_owes_all_that_it_goes_back_to_once() {
        let mut file = example();
        let own: Vec<f64> = file
            .trials
            .iter()
            .map(|t| t.train_flops().unwrap())
            .collect();
        let seconds: Vec<f64> = file
            .trials
            .iter()
            .map(|t| t.metric(metric::TRAIN_WALL_S).unwrap())
            .collect();
        let ids: Vec<String> = file.trials.iter().map(|trial| trial.id.clone()).collect();
        // The second begins with the first; the third begins with the second and learns from the first.
        file.trials[1].parent = Some(ids[0].clone());
        file.trials[2].parent = Some(ids[1].clone());
        file.trials[2].teacher = Some(ids[0].clone());
        let counted = with_parents_counted(&file).unwrap();
        let near = |found: Option<f64>, truth: f64| (found.unwrap() / truth - 1.0).abs() < 1e-12;
        for k in 0..3 {
            let trial = &counted.trials[k];
            assert!(near(trial.train_flops(), own[..=k].iter().sum()), "{k}");
            assert!(near(own_flops(trial), own[k]), "{k}");
            assert!(
                near(
                    trial.metric(metric::TRAIN_WALL_S),
                    seconds[..=k].iter().sum()
                ),
                "{k}"
            );
        }
        assert_eq!(counted.trials[0], file.trials[0]);
        file.trials[1].parent = Some("gone".to_owned());
        let refused = with_parents_counted(&file).unwrap_err().to_string();
        assert!(
            refused.contains("trial gone, is not in these files"),
            "{refused}"
        );
    }
}
