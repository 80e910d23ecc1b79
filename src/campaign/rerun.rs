//! Trials of a result file, run again: whether what a file claims is what this program finds. Nothing is written.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use tempfile::TempDir;

use super::options::Options;
use super::programs::{Program, programs};
use super::stages::{OWN, TEACHER};
use crate::error::{Error, Kind, Result};
use crate::record::{RateSource, ResultFile, Status, Trial, metric};
use crate::runner::Interrupt;
use crate::runner::isolate::run_trial;
use crate::runner::machine::{child_environment, default_threads};
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

/// Parents of parents: a forged file whose trials begin with each other would have no end of them.
const DEEPEST: usize = 16;

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
    let can = file.trials.iter();
    let mut can: Vec<&Trial> = can.filter(|trial| has_all(trial, file, DEEPEST)).collect();
    if can.is_empty() {
        let message = "no trial can be run again: none is finished, or all begin with or learn from what is not in the file";
        return Err(Error::input(message));
    }
    let mut again = Rerun {
        registry,
        file,
        data,
        own: &programs(&Options::default())?[0],
        interrupt,
        folder: tempfile::tempdir().map_err(|error| Error::internal(error.to_string()))?,
        trained: BTreeMap::new(),
    };
    stream("validate/rerun", seed, 0).shuffle(&mut can);
    let can = interleaved(can);
    let mut all = Vec::new();
    for trial in can.into_iter().take(count) {
        let found = again.once(trial)?;
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
    let can = file
        .trials
        .iter()
        .filter(|trial| has_all(trial, file, DEEPEST));
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

/// Whether a trial's spec is all that it takes, with those of the trials in the file that it begins with or learns from.
fn has_all(trial: &Trial, file: &ResultFile, deepest: usize) -> bool {
    let needs = [&trial.parent, &trial.teacher];
    let mut needs = needs.into_iter().flatten();
    let own = trial.spec.pointer("/model/from").is_some();
    let from_file = own && trial.parent.is_none();
    let counted = trial.cost.is_some() && trial.metric(metric::VAL_LOSS_NATS).is_some();
    let is_there = |id: &String| {
        let found = in_file(file, id).filter(|_| deepest > 0);
        found.is_some_and(|other| has_all(other, file, deepest - 1))
    };
    trial.status == Status::Ok && !from_file && counted && needs.all(is_there)
}

fn in_file<'a>(file: &'a ResultFile, id: &str) -> Option<&'a Trial> {
    file.trials.iter().find(|trial| trial.id == id)
}

/// As many as it asked for, or else as the machine had that it ran on: how many there are decides no bit, and takes its time.
fn threads(trial: &Trial, file: &ResultFile) -> usize {
    let then = usize::try_from(trial.machine).ok();
    let then = then.and_then(|place| file.machines.get(place)?.threads);
    let then = then.and_then(|threads| usize::try_from(threads).ok());
    let here = default_threads();
    let asked = trial.asked().threads();
    asked.unwrap_or_else(|| then.map_or(here, |then| then.clamp(1, here)))
}

/// Trials of a file, run again with what they begin with and learn from, each of that once.
struct Rerun<'a> {
    registry: &'a Registry,
    file: &'a ResultFile,
    data: Option<&'a Path>,
    own: &'a Program,
    interrupt: &'a Interrupt,
    folder: TempDir,
    /// Where the weights of trials lie that others need, by their ids.
    trained: BTreeMap<String, PathBuf>,
}

impl Rerun<'_> {
    fn once(&mut self, trial: &Trial) -> Result<Again> {
        let of_cell = self.file.trials.iter().filter(|other| {
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
        let ran = match self.prepared(trial)? {
            Ok(job) => self.run(trial, &job)?,
            Err(error) => {
                again.reason = Some(error.to_string());
                return Ok(again);
            }
        };
        again.now_nats = ran.metric(metric::VAL_LOSS_NATS);
        again.reason = ran.reason;
        again.verdict = verdict(&again);
        Ok(again)
    }

    fn run(&self, trial: &Trial, job: &Job) -> Result<Trial> {
        let environment = child_environment(threads(trial, self.file));
        let worker = self.own.worker(&["trial"], &environment)?;
        let ran = run_trial(&worker, job, LIMIT, self.interrupt, &mut |_| {})?;
        if ran.status == Status::Interrupted {
            return Err(Error {
                kind: Kind::Interrupted,
                message: "interrupted".to_owned(),
                hint: None,
            });
        }
        Ok(ran)
    }

    /// A trial's job, once all is trained that it begins with and learns from; the inner error is the trial's own.
    fn prepared(&mut self, trial: &Trial) -> Result<Result<Job>> {
        let mut job = match job(self.registry, trial, self.data) {
            Ok(job) => job,
            Err(error) => return Ok(Err(error)),
        };
        for (key, id) in [(OWN[0], &trial.parent), (TEACHER[0], &trial.teacher)] {
            let Some(id) = id else { continue };
            match self.weights(id)? {
                Ok(path) => job.paths.insert(key.to_owned(), path),
                Err(error) => return Ok(Err(error)),
            };
        }
        Ok(Ok(job))
    }

    fn weights(&mut self, id: &str) -> Result<Result<PathBuf>> {
        if let Some(path) = self.trained.get(id) {
            return Ok(Ok(path.clone()));
        }
        let Some(trial) = in_file(self.file, id) else {
            return Err(Error::internal(format!("trial {id} is not in the file")));
        };
        let mut job = match self.prepared(trial)? {
            Ok(job) => job,
            Err(error) => return Ok(Err(error)),
        };
        let path = self.folder.path().join(format!("{id}.safetensors"));
        job.keep_weights = Some(path.clone());
        let ran = self.run(trial, &job)?;
        if ran.status != Status::Ok {
            let why = ran.reason.unwrap_or_default();
            let message = format!("{}, which it needs, did not end well: {why}", trial.cell);
            return Ok(Err(Error::input(message)));
        }
        self.trained.insert(id.to_owned(), path.clone());
        Ok(Ok(path))
    }
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
    looked_then(&mut spec);
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

/// Which unseen windows a trial of before looked at, when there was no choice: of what a source writes itself those that sweeps look at
/// now, of a text all.
fn looked_then(spec: &mut Value) {
    let Some(data) = spec.get_mut("data").and_then(Value::as_object_mut) else {
        return;
    };
    if !data.contains_key("held_out") {
        let is_text = data.get("kind").and_then(Value::as_str) == Some("text");
        let part = if is_text { "all" } else { "validation" };
        data.insert("held_out".to_owned(), part.into());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What `effbench.result/1` wrote has no `data.held_out`; the loss of other windows is another.
    #[test]
    fn a_trial_of_before_is_judged_by_the_windows_of_then() {
        let registry = Registry::builtin();
        let tree = json!({"model": {"width": 16}, "train": {"steps": 10}});
        let settled = settle(&registry, &tree_of(&tree, &BTreeMap::new()).unwrap()).unwrap();
        let looks_at = |change: fn(&mut Value)| {
            let mut trial = Trial::blank();
            trial.spec = settled.spec.clone();
            change(&mut trial.spec["data"]);
            let job = job(&registry, &trial, None).unwrap();
            job.trial.spec["data"]["held_out"].clone()
        };
        assert_eq!(looks_at(|_| {}), "test");
        let without = |data: &mut Value| {
            data.as_object_mut().unwrap().remove("held_out");
        };
        assert_eq!(looks_at(without), "validation");
    }

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
