//! What is one cell, and what is one trial. A cell is its settled spec, and its name is for people; a trial is its content, in whatever
//! file it lies.
//!
//! Two trials are of one cell where the leaves of their settled specs agree, but for:
//! - seeds, as repeats differ in them by design;
//! - learning rates that the program chose (tuned, drawn, or a default): which rate suits a cell is a finding about it. A rate that
//!   somebody asked for, or that a sweep tries, is part of the cell;
//! - `measure`, which says how a trial is looked at; `compute`, which says where and in which numbers it is computed (that bears on
//!   speed, and [`computed`] tells it apart); `shape`, the rule that led to the sizes that stand in `model`;
//! - the place of a text whose hash is there.
//!
//! What an imported log calls its variant, scale and budget is all that its spec has of a cell.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{ResultFile, Trial};

/// Tables of a spec that make no other cell.
const NOT_THE_CELL: [&str; 3] = ["compute", "measure", "shape"];

/// Differences that a sentence names.
const NAMED: usize = 3;

/// A rate that the program chose, in the place of its value.
const CHOSEN: &str = "chosen by the program";

/// One part of a settled spec in which two cells are not alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unlike {
    /// `train.batch`.
    pub key: String,
    /// On the one side; `None` where its spec has no such key.
    pub base: Option<String>,
    /// On the other.
    pub new: Option<String>,
}

impl Unlike {
    /// Whether both specs say something, and not the same. A key that only one of them has may be a newer build's.
    pub fn contradicts(&self) -> bool {
        self.base.is_some() && self.new.is_some()
    }
}

impl fmt::Display for Unlike {
    /// `train.batch 8 against 16`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = |side: &Option<String>| {
            side.as_deref()
                .unwrap_or("absent")
                .escape_debug()
                .to_string()
        };
        write!(
            f,
            "{} {} against {}",
            self.key.escape_debug(),
            said(&self.base),
            said(&self.new)
        )
    }
}

/// `train.batch 8 against 16, model.width 32 against 48 and 4 more`; nothing where nothing differs.
pub fn in_words(unlike: &[Unlike]) -> String {
    let named: Vec<String> = unlike.iter().take(NAMED).map(ToString::to_string).collect();
    let more = unlike.len().saturating_sub(NAMED);
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    named.join(", ") + &more
}

/// What makes a trial's cell: path and value of each leaf that counts, whole numbers written as such.
pub fn facts(trial: &Trial) -> BTreeMap<String, String> {
    let mut facts = BTreeMap::new();
    if trial.asked().is_imported() {
        facts.insert("variant".to_owned(), trial.variant.clone());
        facts.insert("scale".to_owned(), trial.scale.clone());
        facts.extend(
            trial
                .budget
                .map(|budget| ("budget".to_owned(), budget.to_string())),
        );
        return facts;
    }
    let hashed = trial.asked().data_hash().is_some();
    let chosen = !rate_was_asked_for(trial);
    leaves("", &trial.spec, &mut |path, value| {
        let table = path.split('.').next().unwrap_or_default();
        let seed = path == "seed" || path.ends_with(".seed");
        if NOT_THE_CELL.contains(&table) || seed || (hashed && path == "data.path") {
            return;
        }
        let value = if chosen && is_rate(&path) {
            CHOSEN.to_owned()
        } else {
            value
        };
        facts.insert(path, value);
    });
    facts
}

/// What a trial is computed on and in: `compute.device cpu, compute.dtype f32, ...`. Figures of speed pool only where it is the same.
pub fn computed(trial: &Trial) -> String {
    let mut parts = BTreeMap::new();
    if let Some(compute) = trial.asked().compute() {
        leaves("compute", compute, &mut |path, value| {
            _ = parts.insert(path, value)
        });
    }
    parts
        .iter()
        .map(|(path, value)| format!("{path} {value}"))
        .collect::<Vec<_>>()
        .join(", ")
}

/// Sixteen hexadecimal digits that are the same for two trials of one cell, whatever it is called.
pub fn cell_id(trial: &Trial) -> String {
    let mut hash = Sha256::new();
    for (path, value) in facts(trial) {
        // Lengths keep `a b` + `c` and `a` + `b c` apart.
        for part in [path, value] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
    }
    format!("{:x}", hash.finalize())[..16].to_owned()
}

/// Whether two trials are repeats of one thing.
pub fn same_cell(a: &Trial, b: &Trial) -> bool {
    (a.spec_sha256 == b.spec_sha256
        && a.lr_source == b.lr_source
        && a.spec == b.spec
        && !a.asked().is_imported())
        || facts(a) == facts(b)
}

/// In what two trials' cells are not alike, by key.
pub fn unlike(base: &Trial, new: &Trial) -> Vec<Unlike> {
    let (mut of_base, mut of_new) = (facts(base), facts(new));
    let mut keys: Vec<String> = of_base.keys().chain(of_new.keys()).cloned().collect();
    keys.sort_unstable();
    keys.dedup();
    let pairs = keys.into_iter().map(|key| Unlike {
        base: of_base.remove(&key),
        new: of_new.remove(&key),
        key,
    });
    pairs.filter(|pair| pair.base != pair.new).collect()
}

/// Whether somebody set the learning rate, or a sweep tries it.
fn rate_was_asked_for(trial: &Trial) -> bool {
    trial.lr_source.is_asked_for()
}

/// `train.optimizer.lr`, and the rates of single roles: `train.optimizer.embedding_lr`.
fn is_rate(path: &str) -> bool {
    let last = path.rsplit('.').next().unwrap_or_default();
    path.starts_with("train.optimizer.") && (last == "lr" || last.ends_with("_lr"))
}

/// Every leaf of a spec with its path, a list being one leaf.
fn leaves(path: &str, value: &Value, put: &mut dyn FnMut(String, String)) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let path = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                leaves(&path, value, put);
            }
        }
        Value::String(text) => put(path.to_owned(), text.clone()),
        other => put(path.to_owned(), canonical(other)),
    }
}

/// A value's text, the same for `1` and `1.0`, and for a list's objects whatever the order of their keys.
fn canonical(value: &Value) -> String {
    match value {
        Value::Number(number) => number
            .as_f64()
            .map_or_else(|| number.to_string(), |value| value.to_string()),
        Value::Array(items) => format!(
            "[{}]",
            items.iter().map(canonical).collect::<Vec<_>>().join(", ")
        ),
        Value::Object(_) => {
            let mut sorted = value.clone();
            sorted.sort_all_objects();
            sorted.to_string()
        }
        other => other.to_string(),
    }
}

/// Whether two records are of one trial: everything that was found is the same, on the same machine, by the same build. Where it
/// stands in a file (order, run, and the places of build and machine) is the file's. Another night's trial of the same
/// build is of another run, and is another one.
pub fn same_trial(a: (&Trial, &ResultFile), b: (&Trial, &ResultFile)) -> bool {
    let ((one, of_one), (other, of_other)) = (a, b);
    if one.id != other.id || one.started_at != other.started_at {
        return false;
    }
    if !(one.asked().is_imported()
        || run_of(one, of_one) == run_of(other, of_other)
        || in_its_run(a) != in_its_run(b))
    {
        return false;
    }
    let build = |trial: &Trial, file: &ResultFile| file.builds.get(trial.build as usize).cloned();
    let machine =
        |trial: &Trial, file: &ResultFile| file.machines.get(trial.machine as usize).cloned();
    build(one, of_one) == build(other, of_other)
        && machine(one, of_one) == machine(other, of_other)
        && placed_as(one, other.clone()) == *one
}

/// When the run began that a trial belongs to.
pub fn run_of<'a>(trial: &'a Trial, file: &'a ResultFile) -> &'a str {
    trial
        .run_started_at
        .as_deref()
        .unwrap_or(&file.run.started_at)
}

/// Whether a trial began while its file's run went on. Where one of two files says so and the other does not, that other is several
/// runs under one head.
fn in_its_run((trial, file): (&Trial, &ResultFile)) -> bool {
    let begun = file.run.started_at <= trial.started_at;
    let ended = file
        .run
        .finished_at
        .as_ref()
        .is_some_and(|end| *end < trial.started_at);
    trial.run_started_at.is_some() || (begun && !ended)
}

/// The trial at another's place in another's file.
fn placed_as(one: &Trial, other: Trial) -> Trial {
    let run_started_at = one.run_started_at.clone();
    Trial {
        order: one.order,
        build: one.build,
        machine: one.machine,
        run_started_at,
        ..other
    }
}

/// Trials that were seen, each once: a merged file beside its parts brings nothing new.
#[derive(Debug, Default)]
pub struct Known<'a>(BTreeMap<(&'a str, &'a str), Vec<(&'a Trial, &'a ResultFile)>>);

impl<'a> Known<'a> {
    /// Whether the trial is new; it is known from now on.
    pub fn insert(&mut self, trial: &'a Trial, file: &'a ResultFile) -> bool {
        let alike = self.0.entry((&trial.id, &trial.started_at)).or_default();
        let new = !alike.iter().any(|known| same_trial(*known, (trial, file)));
        if new {
            alike.push((trial, file));
        }
        new
    }
}

#[cfg(test)]
mod tests;
