//! Trials of a result file, run again: whether what a file claims is what this program finds. Nothing is written.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use super::options::Options;
use super::programs::programs;
use crate::error::{Error, Kind, Result};
use crate::record::{RateSource, ResultFile, Status, Trial, metric};
use crate::runner::isolate::run_trial;
use crate::runner::machine::{child_environment, default_threads};
use crate::runner::{Interrupt, Worker};
use crate::stat::{mean, sd};
use crate::stream::stream;
use crate::trial::checkpoint::EVERY_S;
use crate::trial::settle::tree_of;
use crate::trial::{Job, Registry, settle};
use crate::unit::{Count, Flops};

/// The longest that one trial may take.
const LIMIT: Duration = Duration::from_secs(24 * 3600);
/// Standard deviations of a cell's repeats within which another machine's sums may end.
const SPREADS: f64 = 3.0;

/// What a count may be off by, of itself: it is exact, and was printed in decimals.
const COUNTED: f64 = 1e-9;

/// What came of a trial that was run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The same loss to the bit.
    Same,
    /// Another loss, within what repeats of its cell differ by: sums in another order, as on another processor.
    Near,
    /// Another loss.
    Other,
    /// Another loss, and too few repeats to say how far one may be.
    Unknown,
    /// It did not end well, or cannot be run here.
    Failed,
}

/// A trial that was run again.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Again {
    /// Its cell.
    pub cell: String,
    /// Its repeat.
    pub repeat: u64,
    /// Nats, as the file has it.
    pub then_nats: f64,
    /// Nats, as it is now.
    pub now_nats: Option<f64>,
    /// One standard deviation of its cell's repeats in the file, where there are two at least.
    pub sd_nats: Option<f64>,
    /// What that says.
    pub verdict: Verdict,
    /// Why it failed.
    pub reason: Option<String>,
}

/// `count` trials of a file, chosen by `seed`, and `each` of them as it ends. `data` is where the text lies that they were trained on.
///
/// # Errors
/// Where none can be run again, or somebody interrupts.
pub fn rerun(
    registry: &Registry,
    file: &ResultFile,
    (count, seed): (usize, u64),
    data: Option<&Path>,
    interrupt: &Interrupt,
    each: &mut dyn FnMut(&Again),
) -> Result<Vec<Again>> {
    let mut can: Vec<&Trial> = file.trials.iter().filter(|trial| has_all(trial)).collect();
    if can.is_empty() {
        let message = "no trial can be run again: none is finished, or all begin with or learn from what is not in the file";
        return Err(Error::input(message));
    }
    stream("validate/rerun", seed, 0).shuffle(&mut can);
    let can = interleaved(can);
    let own = &programs(&Options::default())?[0];
    let mut all = Vec::new();
    for trial in can.into_iter().take(count) {
        let environment = child_environment(threads(trial));
        let worker = own.worker(&["trial"], &environment)?;
        let found = once(registry, (trial, file), data, &worker, interrupt)?;
        each(&found);
        all.push(found);
    }
    Ok(all)
}

/// Two trials that an answer is read from, then one that chose their learning rates, and so on: a loss that was lowered in a sweep
/// moves what is trained.
fn interleaved(trials: Vec<&Trial>) -> Vec<&Trial> {
    let (swept, judged): (Vec<&Trial>, Vec<&Trial>) =
        trials.into_iter().partition(|trial| trial.in_sweep());
    let (mut swept, mut judged) = (swept.into_iter(), judged.into_iter());
    let mut mixed = Vec::new();
    loop {
        let three = judged.by_ref().take(2).chain(swept.next());
        let before = mixed.len();
        mixed.extend(three);
        if mixed.len() == before {
            return mixed;
        }
    }
}

/// Trials whose parameters, FLOPs or tokens are not those of their specs, each in a sentence: a loss may be found again, and what it is
/// said to have cost be another's. What cannot be settled here is passed over; [`rerun`] says why.
pub fn miscounted(registry: &Registry, file: &ResultFile, data: Option<&Path>) -> Vec<String> {
    let mut known = BTreeMap::new();
    let can = file.trials.iter().filter(|trial| has_all(trial));
    let of = |trial: &Trial| {
        let counted = known
            .entry(trial.spec_sha256.as_str().to_owned())
            .or_insert_with(|| {
                job(registry, trial, data)
                    .ok()
                    .and_then(|job| job.trial.cost)
            });
        let (by_spec, said) = (counted.as_ref()?, trial.cost.as_ref()?);
        let off = (by_spec.train_flops - said.train_flops).abs();
        let same = by_spec.params_total == said.params_total
            && by_spec.train_tokens == said.train_tokens
            && off <= COUNTED * by_spec.train_flops;
        (!same).then(|| {
            format!(
                "{}, repeat {}: by its spec it has {} parameters and trains {} tokens for {}, and the file says {}, {} and {}",
                trial.cell,
                trial.repeat,
                Count(by_spec.params_total as f64),
                Count(by_spec.train_tokens as f64),
                Flops(by_spec.train_flops),
                Count(said.params_total as f64),
                Count(said.train_tokens as f64),
                Flops(said.train_flops)
            )
        })
    };
    can.filter_map(of).collect()
}

/// Whether a trial's spec is all that it takes.
fn has_all(trial: &Trial) -> bool {
    let alone = trial.parent.is_none() && trial.teacher.is_none();
    let from_file = trial.spec.pointer("/model/from").is_some();
    let counted = trial.cost.is_some() && trial.metric(metric::VAL_LOSS_NATS).is_some();
    trial.status == Status::Ok && alone && !from_file && counted
}

fn threads(trial: &Trial) -> usize {
    let asked = trial.spec.pointer("/compute/threads");
    let asked = asked.and_then(|n| n.as_u64()).filter(|n| *n > 0);
    asked.map_or_else(default_threads, |n| n as usize)
}

fn once(
    registry: &Registry,
    (trial, file): (&Trial, &ResultFile),
    data: Option<&Path>,
    worker: &Worker,
    interrupt: &Interrupt,
) -> Result<Again> {
    let of_cell = file.trials.iter().filter(|other| {
        let alike = other.cell == trial.cell && other.spec["data"] == trial.spec["data"];
        alike && other.in_sweep() == trial.in_sweep()
    });
    let losses: Vec<f64> = of_cell
        .filter_map(|other| other.metric(metric::VAL_LOSS_NATS))
        .collect();
    let mut again = Again {
        cell: trial.cell.clone(),
        repeat: trial.repeat,
        then_nats: trial.metric(metric::VAL_LOSS_NATS).unwrap_or(f64::NAN),
        now_nats: None,
        sd_nats: mean(&losses).and(sd(&losses)),
        verdict: Verdict::Failed,
        reason: None,
    };
    let job = match job(registry, trial, data) {
        Ok(job) => job,
        Err(error) => {
            again.reason = Some(error.to_string());
            return Ok(again);
        }
    };
    let ran = run_trial(worker, &job, LIMIT, interrupt, &mut |_| {})?;
    if ran.status == Status::Interrupted {
        return Err(Error {
            kind: Kind::Interrupted,
            message: "interrupted".to_owned(),
            hint: None,
        });
    }
    again.now_nats = ran.metric(metric::VAL_LOSS_NATS);
    again.reason = ran.reason;
    again.verdict = verdict(&again);
    Ok(again)
}

fn verdict(again: &Again) -> Verdict {
    match (again.now_nats, again.sd_nats) {
        (None, _) => Verdict::Failed,
        (Some(now), _) if now.to_bits() == again.then_nats.to_bits() => Verdict::Same,
        (Some(_), None) => Verdict::Unknown,
        (Some(now), Some(sd)) if (now - again.then_nats).abs() <= SPREADS * sd => Verdict::Near,
        (Some(_), Some(_)) => Verdict::Other,
    }
}

/// The trial's training alone, without what serving it would take.
fn job(registry: &Registry, trial: &Trial, data: Option<&Path>) -> Result<Job> {
    let is_text = trial.spec.pointer("/data/path").is_some();
    let paths: BTreeMap<String, PathBuf> = match (is_text, data) {
        (true, None) => {
            let message = "it was trained on a text that is not in the file";
            return Err(Error::input(message).hint("--data FILE says where it is"));
        }
        (true, Some(path)) => [("data.path".to_owned(), path.to_owned())].into(),
        (false, _) => BTreeMap::new(),
    };
    let mut spec = trial.spec.clone();
    // A wattmeter's log of then says nothing about now.
    if let Some(measure) = spec["measure"].as_object_mut() {
        measure.retain(|key, _| !key.starts_with("external_meter"));
    }
    // Settled anew: a later program may have keys that this spec could not know, at what was the only choice then.
    let prepared = settle(registry, &tree_of(&spec, &paths)?)?;
    Ok(Job {
        trial: Trial {
            id: trial.id.clone(),
            cell: trial.cell.clone(),
            seed: trial.seed,
            repeat: trial.repeat,
            // Nothing is asked of it but its loss.
            lr_source: RateSource::Grid,
            spec: prepared.spec,
            spec_sha256: prepared.spec_sha256,
            cost: Some(prepared.cost),
            ..Trial::blank()
        },
        paths: prepared.paths,
        parent: None,
        teacher: None,
        peak_flops_per_s: None,
        stream_bytes_per_s: None,
        checkpoint: None,
        keep_weights: None,
        checkpoint_every_s: EVERY_S,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three trials drawn are two that judge and one of the sweep, and every trial is drawn in the end.
    #[test]
    fn a_sweeps_trials_are_among_those_that_are_run_again() {
        let of = |k: u64| Trial {
            repeat: k,
            lr_source: if k < 4 {
                RateSource::Grid
            } else {
                RateSource::Set
            },
            ..Trial::blank()
        };
        let trials: Vec<Trial> = (0..7).map(of).collect();
        let order: Vec<u64> = interleaved(trials.iter().collect())
            .iter()
            .map(|trial| trial.repeat)
            .collect();
        assert_eq!(order, [4, 5, 0, 6, 1, 2, 3]);
    }

    #[test]
    fn a_loss_is_the_same_near_or_another() {
        let of = |now: Option<f64>, sd: Option<f64>| Again {
            cell: String::new(),
            repeat: 0,
            then_nats: 1.5,
            now_nats: now,
            sd_nats: sd,
            verdict: Verdict::Failed,
            reason: None,
        };
        for (now, sd, want) in [
            (Some(1.5), None, Verdict::Same),
            (Some(1.5 + 1e-9), None, Verdict::Unknown),
            (Some(1.52), Some(0.01), Verdict::Near),
            (Some(1.54), Some(0.01), Verdict::Other),
            (None, Some(0.01), Verdict::Failed),
        ] {
            assert_eq!(verdict(&of(now, sd)), want, "{now:?} {sd:?}");
        }
    }
}
