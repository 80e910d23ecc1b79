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

/// Where files lie that trials name: a result file holds their names and hashes alone.
#[derive(Debug, Clone, Copy, Default)]
pub struct Here<'a> {
    /// The text that they were trained on.
    pub data: Option<&'a Path>,
    /// Weights that they begin with, tokenizers: each is told by its name.
    pub files: &'a [PathBuf],
}

impl Here<'_> {
    /// The file of that name, or the one of that name in a folder that is given.
    fn named(&self, name: &str) -> Option<PathBuf> {
        let fits = |path: &Path| path.file_name().is_some_and(|own| own == name);
        self.files.iter().find_map(|path| {
            let within = path.join(name);
            match fits(path) {
                true => Some(path.clone()),
                false => within.exists().then_some(within),
            }
        })
    }
}

/// `count` trials of a file, chosen by `seed`, and `each` of them as it ends.
///
/// # Errors
/// Where none can be run again, or somebody interrupts.
pub fn rerun(
    registry: &Registry,
    file: &ResultFile,
    (count, seed): (usize, u64),
    here: Here,
    interrupt: &Interrupt,
    each: &mut dyn FnMut(&Again),
) -> Result<Vec<Again>> {
    let lacking = |trial: &&Trial| lacks(trial, file, here, DEEPEST).is_none();
    let mut can: Vec<&Trial> = file.trials.iter().filter(lacking).collect();
    if can.is_empty() {
        return Err(none_of(file, here));
    }
    let mut again = Rerun {
        registry,
        file,
        here,
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
pub fn miscounted(registry: &Registry, file: &ResultFile, here: Here) -> Vec<String> {
    let mut known = BTreeMap::new();
    let can = file
        .trials
        .iter()
        .filter(|trial| lacks(trial, file, here, DEEPEST).is_none());
    let of = |trial: &Trial| {
        let counted = known
            .entry(trial.spec_sha256.as_str().to_owned())
            .or_insert_with(|| {
                job(registry, trial, here)
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

/// Keys that name a file without which a trial's loss is another, the text aside, and what each names.
const NEEDED: [(&str, &str); 4] = [
    ("model.from", "begin with the weights of"),
    ("teacher.model.from", "learn from the weights of"),
    ("data.tokenizer", "are cut by the tokenizer"),
    ("before.data.tokenizer", "are cut by the tokenizer"),
];

/// The file that a spec names at a key; a tokenizer that is no file has no hash.
fn named<'a>(spec: &'a Value, key: &str) -> Option<&'a str> {
    let of = |key: String| spec.pointer(&format!("/{}", key.replace('.', "/")));
    of(format!("{key}_blake3")).or_else(|| of(format!("{key}_cell")))?;
    of(key.to_owned())?.as_str()
}

/// What a trial lacks to be run again, for "they ..."; nothing where its spec, those of the trials in the file that it begins with or
/// learns from, and the files that are here are all that it takes.
fn lacks(trial: &Trial, file: &ResultFile, here: Here, deepest: usize) -> Option<String> {
    if trial.status != Status::Ok {
        return Some("did not finish".to_owned());
    }
    let others = [
        (&trial.parent, "begin with weights"),
        (&trial.teacher, "learn from a model"),
    ];
    for (id, what) in others {
        let Some(id) = id else { continue };
        let other = in_file(file, id).filter(|_| deepest > 0);
        if other.is_none_or(|other| lacks(other, file, here, deepest - 1).is_some()) {
            let why = "of a trial that is not in the file, or cannot be run again itself";
            return Some(format!("{what} {why}"));
        }
    }
    if trial.cost.is_none() || trial.metric(metric::VAL_LOSS_NATS).is_none() {
        return Some("have no loss or no cost that could be compared".to_owned());
    }
    let of_a_trial = |key: &str| match key {
        "model.from" => trial.parent.is_some(),
        "teacher.model.from" => trial.teacher.is_some(),
        _ => false,
    };
    let mut needed = NEEDED.iter().filter(|(key, _)| !of_a_trial(key));
    needed.find_map(|(key, what)| {
        let name = named(&trial.spec, key).filter(|name| here.named(name).is_none())?;
        Some(format!("{what} {name}, which the result file only names"))
    })
}

/// Why none of the trials can be run again, each reason with how many it holds for.
fn none_of(file: &ResultFile, here: Here) -> Error {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for trial in &file.trials {
        let why = lacks(trial, file, here, DEEPEST).unwrap_or_default();
        *counts.entry(why).or_default() += 1;
    }
    let files = counts.keys().any(|why| why.ends_with("only names"));
    let said: Vec<String> = counts
        .iter()
        .map(|(why, n)| format!("they {why} ({n})"))
        .collect();
    let said = match said.is_empty() {
        true => "there is none".to_owned(),
        false => said.join("; "),
    };
    let error = Error::input(format!("no trial can be run again: {said}"));
    match files {
        true => error.hint("--file PATH says where such a file lies, or the folder that it is in"),
        false => error,
    }
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
    here: Here<'a>,
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
            // Repeats of what nobody trained are one computation, which does not say how far it may be.
            sd_nats: mean(&losses).and(sd(&losses)).filter(|sd| *sd > 0.0),
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
        let mut job = match job(self.registry, trial, self.here) {
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
fn job(registry: &Registry, trial: &Trial, here: Here) -> Result<Job> {
    let is_text = trial.spec.pointer("/data/path").is_some();
    let mut paths: BTreeMap<String, PathBuf> = match (is_text, here.data) {
        (true, None) => {
            let message = "it was trained on a text that is not in the file";
            return Err(Error::input(message).hint("--data FILE says where it is"));
        }
        (true, Some(path)) => [("data.path".to_owned(), path.to_owned())].into(),
        (false, _) => BTreeMap::new(),
    };
    for (key, _) in NEEDED {
        let file = named(&trial.spec, key).and_then(|name| here.named(name));
        paths.extend(file.map(|path| (key.to_owned(), path)));
    }
    let mut spec = trial.spec.clone();
    // No loss depends on them: a wattmeter's log of then says nothing about now.
    for (table, beginning) in [
        ("measure", "external_meter"),
        ("infer", "draft"),
        ("data", "choices"),
    ] {
        if let Some(table) = spec[table].as_object_mut() {
            table.retain(|key, _| !key.starts_with(beginning));
        }
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
mod tests;
