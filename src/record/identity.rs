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
    if trial.spec.get("imported").is_some() {
        facts.insert("variant".to_owned(), trial.variant.clone());
        facts.insert("scale".to_owned(), trial.scale.clone());
        facts.extend(
            trial
                .budget
                .map(|budget| ("budget".to_owned(), budget.to_string())),
        );
        return facts;
    }
    let hashed = trial.spec.pointer("/data/blake3").is_some();
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
    if let Some(compute) = trial.spec.get("compute") {
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
        && !is_imported(a))
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

fn is_imported(trial: &Trial) -> bool {
    trial.spec.get("imported").is_some()
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
    if !(is_imported(one)
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
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;
    use crate::record::RateSource;
    use crate::record::example::example;
    use crate::record::pool::pool;
    use crate::record::store;

    fn shipped(name: &str) -> ResultFile {
        store::read_valid(
            &Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("results")
                .join(name),
        )
        .unwrap()
    }

    /// The example's first trial, its spec changed at a place.
    fn with(pointer: &str, value: Value) -> Trial {
        let mut trial = example().trials[0].clone();
        let (table, key) = pointer.rsplit_once('/').unwrap();
        trial.spec.pointer_mut(table).unwrap()[key] = value;
        trial.spec_sha256 = crate::record::spec_sha256(&trial.spec);
        trial
    }

    #[test]
    fn what_makes_another_cell_and_what_does_not() {
        let first = example().trials[0].clone();
        let rows: [(&str, Value, &str); 9] = [
            ("/train/batch", 8.into(), "train.batch 16 against 8"),
            ("/model/width", 48.into(), "model.width 32 against 48"),
            ("/train/clip", 1.into(), "train.clip absent against 1"),
            ("/data/vocab", 256.into(), "data.vocab 128 against 256"),
            ("/train/batch", json!(16.0), ""),
            ("/compute/device", "cuda:0".into(), ""),
            ("/compute/dtype", "bf16".into(), ""),
            ("/train/seed", 7.into(), ""),
            (
                "/train/optimizer/lr",
                0.02.into(),
                "train.optimizer.lr absent against chosen by the program",
            ),
        ];
        for (pointer, value, expected) in rows {
            let other = with(pointer, value);
            let found = unlike(&first, &other);
            assert_eq!(in_words(&found), expected);
            assert_eq!(same_cell(&first, &other), expected.is_empty(), "{pointer}");
            assert_eq!(
                cell_id(&first) == cell_id(&other),
                expected.is_empty(),
                "{pointer}"
            );
        }
        let computed_elsewhere = with("/compute/dtype", "bf16".into());
        assert_ne!(computed(&first), computed(&computed_elsewhere));
    }

    #[test]
    fn a_rate_counts_where_somebody_asked_for_it() {
        let [low, high] = [0.01, 0.02].map(|lr| with("/train/optimizer/lr", lr.into()));
        let rows = [
            ("tuned: sweep.json", true),
            ("tuned here: 6 rates x 1 seed", true),
            ("untuned default", true),
            ("--set", false),
            ("suite mine", false),
            ("grid", false),
        ];
        for (source, same) in rows {
            let [low, high] = [&low, &high].map(|trial| Trial {
                lr_source: RateSource::of_words(source),
                ..trial.clone()
            });
            assert_eq!(same_cell(&low, &high), same, "{source}");
        }
        let asked = Trial {
            lr_source: RateSource::Set,
            ..low.clone()
        };
        assert_eq!(
            in_words(&unlike(&low, &asked)),
            "train.optimizer.lr chosen by the program against 0.01"
        );
    }

    #[test]
    fn neither_the_order_of_keys_nor_the_place_of_a_text_counts() {
        let first = example().trials[0].clone();
        let mut turned = first.clone();
        let keys: Vec<(String, Value)> = first
            .spec
            .as_object()
            .unwrap()
            .clone()
            .into_iter()
            .rev()
            .collect();
        turned.spec = Value::Object(keys.into_iter().collect());
        assert!(same_cell(&first, &turned) && cell_id(&first) == cell_id(&turned));
        let mut text = [first.clone(), first.clone(), first];
        for (trial, (path, hash)) in
            text.iter_mut()
                .zip([("a.txt", "1"), ("b.txt", "1"), ("a.txt", "2")])
        {
            trial.spec["data"] = json!({"kind": "text", "path": path, "blake3": hash});
        }
        assert!(same_cell(&text[0], &text[1]) && !same_cell(&text[0], &text[2]));
    }

    #[test]
    fn many_differences_are_counted() {
        let unlike = |key: &str| Unlike {
            key: key.to_owned(),
            base: Some("1".to_owned()),
            new: None,
        };
        let many: Vec<Unlike> = ["a", "b", "c", "d", "e"].map(unlike).to_vec();
        assert_eq!(
            in_words(&many),
            "a 1 against absent, b 1 against absent, c 1 against absent and 2 more"
        );
        assert!(!many[0].contradicts());
    }

    /// `quick` trains with 512 tokens a step, the `gain` suite with 1024: one name, two cells.
    #[test]
    fn shipped_files_use_one_name_for_two_cells() {
        let (quick, gain) = (
            shipped("quick-epyc-19h-2c-linux.json"),
            shipped("gain-epyc-19h-2c-linux.json"),
        );
        let of = |file: &ResultFile| {
            file.trials
                .iter()
                .find(|t| t.cell == "gpt2/w32@400")
                .unwrap()
                .clone()
        };
        let (of_quick, of_gain) = (of(&quick), of(&gain));
        assert!(!same_cell(&of_quick, &of_gain));
        let found = unlike(&of_quick, &of_gain);
        assert!(found.iter().all(Unlike::contradicts), "{found:?}");
        assert!(
            in_words(&found).contains("train.batch"),
            "{}",
            in_words(&found)
        );
        for file in [quick, gain] {
            let mut ids: BTreeMap<&str, String> = BTreeMap::new();
            for trial in &file.trials {
                let id = ids.entry(&trial.cell).or_insert_with(|| cell_id(trial));
                assert_eq!(
                    *id,
                    cell_id(trial),
                    "repeats of {} are one cell",
                    trial.cell
                );
            }
            let names = ids.len();
            let mut cells: Vec<String> = ids.into_values().collect();
            cells.sort_unstable();
            cells.dedup();
            assert_eq!(cells.len(), names, "two names of one file are two cells");
        }
    }

    #[test]
    fn a_merged_file_beside_its_parts_brings_nothing_new() {
        let (quick, gain) = (
            shipped("quick-epyc-19h-2c-linux.json"),
            shipped("gain-epyc-19h-2c-linux.json"),
        );
        let merged = pool(vec![
            ("a".to_owned(), gain.clone()),
            ("b".to_owned(), quick.clone()),
        ])
        .unwrap();
        let mut known = Known::default();
        let mut count = |file: &'static ResultFile| {
            file.trials.iter().filter(|t| known.insert(t, file)).count()
        };
        let [quick, gain, merged] = [quick, gain, merged].map(|file| &*Box::leak(Box::new(file)));
        assert_eq!(
            [count(quick), count(gain), count(merged), count(quick)],
            [32, 297, 0, 0]
        );
    }

    #[test]
    fn another_night_another_machine_and_another_build_are_other_trials() {
        let first = example();
        let mut others = [
            example(),
            example(),
            example(),
            example(),
            example(),
            example(),
        ];
        others[0].trials[0].started_at = "2026-11-22T10:00:00Z".to_owned();
        others[1].machines[0].strict_id = "another".to_owned();
        others[2].builds[0].executable_id = Some("another".to_owned());
        others[3].trials[0].order = 99;
        others[4].run.started_at = "2026-11-21T09:00:00Z".to_owned();
        (others[5].run.started_at, others[5].run.finished_at) = (
            "2026-11-01T09:00:00Z".to_owned(),
            Some("2026-11-01T09:03:00Z".to_owned()),
        );
        let same = others
            .each_ref()
            .map(|f| same_trial((&first.trials[0], &first), (&f.trials[0], f)));
        assert_eq!(
            same,
            [false, false, false, true, false, true],
            "the last is a merged file by hand"
        );
    }
}
