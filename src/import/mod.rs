//! Other people's training logs as a result file: what they state is taken as stated, what they do not say is `null` with the
//! reason `imported`, and nothing is measured, counted or guessed here except C = 6 N D, which the record then says.
//!
//! [`log`], [`delimited`] and [`criterion`] read files, [`columns`] knows what columns are called, [`figures`] how numbers are
//! written, [`crate::record::loss`] what losses are counted in.
//!
//! ```
//! # fn main() -> effbench::error::Result<()> {
//! use effbench::import::{About, Mapping, import, log};
//!
//! # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/logs/nanogpt.log");
//! let logs = [log::read(std::path::Path::new(path), None)?];
//! let mapping = Mapping::parse(&[], &["variant=gpt2".into(), "tokens_per_step=491520".into()], &[])?;
//! let imported = import(&logs, &mapping, About::default())?;
//! for note in &imported.notes {
//!     println!("{note}"); // what was decided on the way, and every line that was left out
//! }
//! # assert_eq!(imported.file.trials.len(), 1);
//! # Ok(())
//! # }
//! ```

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, Result};
use crate::import::delimited::Passed;
use crate::import::log::Log;
use crate::record::{Build, Cpu, Machine, ResultFile, Run, SCHEMA, Status, Trial};

pub mod figures;
pub mod quantity;
pub mod delimited;
mod sparse;
pub mod columns;
pub mod role;
mod shape;
mod json;
pub mod dialect;
mod markdown;
mod mlflow;
mod prefix;
mod unfit;
pub mod log;
mod tensorboard;
pub mod criterion;
pub mod pattern;
mod assignments;
pub mod mapping;
mod cells;
pub mod preview;
mod wide;
mod long;
pub mod logged;
mod powered;
mod sizes;
mod parts;
pub mod runs;
mod outcome;
mod places;
mod trials;
pub mod benchmarks;

use logged::{LoggedRun, describe};
pub use mapping::Mapping;
use preview::Preview;
use runs::{Runs, read_runs};
pub use trials::IMPORTED;
use trials::Repeat;

/// Unfinished trials that are named one by one.
const NAMED_TRIALS: usize = 5;

/// Logs as a result file, and what a person should know about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    /// One trial a run.
    pub file: ResultFile,
    /// Points of all loss curves, or samples of all benchmarks.
    pub points: usize,
    /// What was decided on the way, one sentence each.
    pub notes: Vec<String>,
}

/// What is said about logs as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct About<'a> {
    /// The variant that gains are counted in.
    pub base: Option<&'a str>,
    /// Whether the runs took turns in one session on one machine, so that what drifts hit all alike.
    pub interleaved: bool,
    /// What reproduces the import.
    pub command: &'a str,
}

/// Makes trials of the runs in `logs`.
///
/// # Errors
///
/// What [`read_runs`] refuses, seeds for some runs only, two runs of the same cell and seed, an unknown base.
pub fn import(logs: &[Log], mapping: &Mapping, about: About) -> Result<Imported> {
    let logs = melted(logs, mapping);
    let logs = logs.as_slice();
    let read = logs
        .iter()
        .enumerate()
        .map(|(place, log)| read_runs(log, place, mapping))
        .collect::<Result<Vec<Runs>>>()?;
    let mut said = dialects(logs);
    said.extend(tools(logs));
    said.extend(of_preferences(logs));
    said.extend(taken(logs, mapping));
    said.extend(passed_over(logs, &read));
    let runs: Vec<LoggedRun> = read.into_iter().flat_map(|read| read.runs).collect();
    let (runs, of_parts) = parts::together(runs, |log| logs[log].table.file.clone());
    said.extend(of_parts);
    let variants: BTreeSet<&str> = runs
        .iter()
        .map(|run| run.identity.variant.as_str())
        .collect();
    if let Some(base) = about.base.filter(|base| !variants.contains(base)) {
        let message = format!("--base {}: no run is of this variant", base.escape_debug());
        return Err(Error::input(message).suggest(base, variants.into_iter().take(20)));
    }
    let places::Cells { cells, notes } = places::cells(&runs, about.base);
    said.extend(notes);
    let repeats = repeats(&runs, &cells, logs)?;
    let trials: Vec<Trial> = runs
        .iter()
        .enumerate()
        .map(|(order, run)| {
            trials::trial(
                run,
                &logs[run.log],
                mapping,
                &cells[order],
                &repeats[order],
                order as u64,
            )
        })
        .collect();
    let planned = repeats
        .iter()
        .map(|repeat| repeat.index)
        .collect::<BTreeSet<u64>>()
        .len() as u64;
    said.extend(self::notes(&trials));
    Ok(Imported {
        points: trials
            .iter()
            .map(|trial| trial.curve.val_loss_nats.len())
            .sum(),
        notes: said,
        file: result_file(trials, &about, planned, logs),
    })
}

/// Logs whose columns are runs as logs whose rows are.
fn melted<'a>(logs: &'a [Log], mapping: &Mapping) -> Vec<Cow<'a, Log>> {
    let of = |log: &'a Log| {
        let found = long::pivoted(log, mapping).or_else(|| wide::melted(log, mapping));
        found.map_or(Cow::Borrowed(log), Cow::Owned)
    };
    logs.iter().map(of).collect()
}

/// Logs read one by one, with those that are parts of one run put together.
pub fn together(logs: Vec<Log>) -> Vec<Log> {
    tensorboard::joined(logs)
}

/// What each log would be read as.
///
/// # Errors
///
/// As of [`preview::preview`].
pub fn previews(logs: &[Log], mapping: &Mapping) -> Result<Vec<Preview>> {
    let logs = melted(logs, mapping);
    logs.iter()
        .map(|log| preview::preview(log, mapping))
        .collect()
}

/// The trials as a file that any command takes.
fn result_file(trials: Vec<Trial>, about: &About, planned: u64, logs: &[Cow<Log>]) -> ResultFile {
    let times: Vec<&String> = logs.iter().map(|log| &log.written_at).collect();
    ResultFile {
        schema: SCHEMA.to_owned(),
        run: Run {
            suite: IMPORTED.to_owned(),
            command: about.command.to_owned(),
            base: about.base.map(str::to_owned),
            headline: None,
            data: "imported logs".to_owned(),
            repeats: planned,
            started_at: times
                .iter()
                .min()
                .map(|time| (*time).clone())
                .unwrap_or_default(),
            finished_at: times.iter().max().map(|time| (*time).clone()),
            interleaved: about.interleaved.then_some(true),
        },
        builds: vec![build()],
        machines: vec![machine()],
        calibrations: Vec::new(),
        trials,
    }
}

/// What has to be said of known tools' figures.
fn tools(logs: &[Cow<Log>]) -> BTreeSet<String> {
    let shapes = logs.iter().filter_map(|log| shape::of(&log.table));
    shapes
        .filter_map(|shape| shape.note)
        .map(str::to_owned)
        .collect()
}

/// What trainers of preferences call a loss is none of text.
fn of_preferences(logs: &[Cow<Log>]) -> Option<String> {
    let names = ["rewards/chosen", "eval_rewards/chosen", "rewards/margins"];
    let told = |column: &String| names.contains(&column.as_str());
    let log = logs.iter().find(|log| log.table.columns.iter().any(told))?;
    Some(format!(
        "{}: its loss is one of preferences (DPO and its like), in nats of a choice between two answers: it stands beside no loss of text",
        log.table.file
    ))
}

/// The columns that were taken because they are called so.
fn taken(logs: &[Cow<Log>], mapping: &Mapping) -> BTreeSet<String> {
    let named = logs
        .iter()
        .map(|log| mapping.by_name(&log.table).join(", "));
    let named = named.filter(|named| !named.is_empty());
    named
        .map(|named| format!("taken because of their names: {named}"))
        .collect()
}

/// What logs were read as, where that is no table.
fn dialects(logs: &[Cow<Log>]) -> Vec<String> {
    let mut found: BTreeMap<&str, usize> = BTreeMap::new();
    for log in logs.iter().filter(|log| log.dialect != "table") {
        *found.entry(log.dialect).or_default() += 1;
    }
    let said = found.into_iter().map(|(dialect, count)| {
        let s = if count == 1 { "" } else { "s" };
        format!("{count} file{s} read as {dialect}")
    });
    said.collect()
}

/// Every line and row that became no part of a trial, counted over all logs.
fn passed_over(logs: &[Cow<Log>], read: &[Runs]) -> Vec<String> {
    let mut said: Vec<String> = logs.iter().flat_map(|log| log.table.notes()).collect();
    let sum = |of: &dyn Fn(usize) -> Passed| {
        let found = (0..logs.len())
            .map(|k| (k, of(k)))
            .filter(|(_, passed)| passed.count > 0);
        let (mut count, mut files, mut first) = (0, 0, None);
        for (k, passed) in found {
            (count, files) = (count + passed.count, files + 1);
            first = first.or_else(|| Some(format!("{}:{}", logs[k].table.file, passed.first)));
        }
        first.map(|first| (count, files, first))
    };
    let many =
        |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    if let Some((count, files, first)) = sum(&|k| logs[k].passed) {
        let (lines, files) = (many(count, "line"), many(files, "file"));
        said.push(format!(
            "{lines} of {files} hold no figures and are passed over (first: {first})"
        ));
    }
    if let Some((count, _, first)) = sum(&|k| read[k].lossless) {
        let tools = logs.iter().any(|log| shape::of(&log.table).is_some());
        let what = if tools {
            "figure that is known"
        } else {
            "loss"
        };
        let rows = many(count, "row");
        let other = read.iter().find_map(|read| read.other_loss.as_deref());
        said.push(match other.filter(|_| !tools) {
            Some(column) => format!(
                "{rows} without the losses that are taken, which are left out (first: {first}); some state `{}`: \
                 --map train_loss=COLUMN takes it",
                column.escape_debug()
            ),
            None => format!("{rows} without any {what}, which are left out (first: {first})"),
        });
    }
    if let Some((count, _, first)) = sum(&|k| read[k].unread) {
        let cells = many(count, "cell");
        said.push(format!(
            "{cells} of speeds, energies or accuracies are no such figures, and are left out (first: {first}); --map ROLE=COLUMN says why"
        ));
    }
    if let Some((count, _, first)) = sum(&|k| read[k].unjudged) {
        let rows = many(count, "row");
        said.push(format!(
            "{rows} with a training loss only, which are no runs and are left out (first: {first}); without run=@row the rows of \
             a run are one trial and its curve"
        ));
    }
    said
}

/// Repeats by seed, so that repeat k of two variants has one seed; without seeds by order of appearance within a cell.
fn repeats(runs: &[LoggedRun], cells: &[places::Cell], logs: &[Cow<Log>]) -> Result<Vec<Repeat>> {
    let place = |run: &LoggedRun| format!("{}:{}", logs[run.log].table.file, run.line);
    if runs.iter().all(|run| run.identity.seed.is_none()) {
        let mut seen: BTreeMap<&str, u64> = BTreeMap::new();
        let next = cells.iter().map(|cell| {
            let count = seen.entry(&cell.name).or_insert(0);
            *count += 1;
            Repeat {
                index: *count - 1,
                seed: None,
                paired: true,
            }
        });
        return Ok(next.collect());
    }
    if let Some(run) = runs.iter().find(|run| run.identity.seed.is_none()) {
        let message = format!(
            "{}: {} has no seed, and other runs have one",
            place(run),
            describe(&run.identity)
        );
        return Err(Error::input(message).hint("give every run its seed, or map no seed at all"));
    }
    let ranks = SeedRanks::of(runs);
    let repeats: Vec<Repeat> = runs.iter().filter_map(|run| ranks.repeat(run)).collect();
    let mut places: BTreeMap<(&str, u64), &LoggedRun> = BTreeMap::new();
    for (run, (cell, repeat)) in runs.iter().zip(cells.iter().zip(&repeats)) {
        if let Some(first) = places.insert((&cell.name, repeat.index), run) {
            let message = format!(
                "{} and {}: two runs of {}",
                place(first),
                place(run),
                describe(&run.identity)
            );
            return Err(Error::input(message).hint(
                "what differs between them belongs into the variant or the scale: `--map variant=optimizer+lr` joins columns",
            ));
        }
    }
    Ok(repeats)
}

/// The place of each seed among those that its variant is compared by.
struct SeedRanks<'a> {
    /// Of the variants that share a seed with another: of all their seeds, so that the same seed is the same repeat.
    shared: Vec<u64>,
    /// Of each other variant: of its own seeds.
    alone: BTreeMap<&'a str, Vec<u64>>,
}

impl<'a> SeedRanks<'a> {
    fn of(runs: &'a [LoggedRun]) -> Self {
        let mut seeds: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
        for run in runs {
            seeds
                .entry(&run.identity.variant)
                .or_default()
                .extend(run.identity.seed);
        }
        let shares = |variant: &str, own: &BTreeSet<u64>| {
            seeds.len() == 1
                || seeds
                    .iter()
                    .any(|(other, theirs)| *other != variant && !own.is_disjoint(theirs))
        };
        let (together, alone): (Vec<_>, Vec<_>) = seeds
            .iter()
            .partition(|(variant, own)| shares(variant, own));
        let shared: BTreeSet<u64> = together
            .into_iter()
            .flat_map(|(_, own)| own.iter().copied())
            .collect();
        let alone = alone
            .into_iter()
            .map(|(variant, own)| (*variant, own.iter().copied().collect()))
            .collect();
        Self {
            shared: shared.into_iter().collect(),
            alone,
        }
    }

    fn repeat(&self, run: &LoggedRun) -> Option<Repeat> {
        let seed = run.identity.seed?;
        let alone = self.alone.get(run.identity.variant.as_str());
        let rank = alone.unwrap_or(&self.shared).binary_search(&seed).ok()?;
        Some(Repeat {
            index: rank as u64,
            seed: Some(seed),
            paired: alone.is_none(),
        })
    }
}

/// What the flags of the trials come to.
fn notes(trials: &[Trial]) -> Vec<String> {
    let count = |code: &str| {
        trials
            .iter()
            .filter(|t| t.validity.flags.iter().any(|f| f.code == code))
            .count()
    };
    let mut notes: Vec<String> = trials::FLAGS
        .iter()
        .filter_map(|(code, _, about)| {
            let count = count(code);
            (count > 0).then(|| format!("{about} ({count} of {} trials)", trials.len()))
        })
        .collect();
    let unfinished: Vec<&Trial> = trials
        .iter()
        .filter(|trial| trial.status != Status::Ok)
        .collect();
    notes.extend(unfinished.iter().take(NAMED_TRIALS).map(|trial| {
        let reason = trial.reason.as_deref().unwrap_or_default();
        format!(
            "{}, repeat {}: {}, {reason}",
            trial.cell,
            trial.repeat,
            trial.status.words()
        )
    }));
    if unfinished.len() > NAMED_TRIALS {
        notes.push(format!(
            "... and {} more trials that did not finish",
            unfinished.len() - NAMED_TRIALS
        ));
    }
    notes
}

/// Nobody's machine.
fn machine() -> Machine {
    let cpu = Cpu {
        model: IMPORTED.to_owned(),
        arch: IMPORTED.to_owned(),
        cores: None,
        threads: None,
        features: Vec::new(),
        cache_bytes: Vec::new(),
    };
    Machine {
        class_id: IMPORTED.to_owned(),
        strict_id: IMPORTED.to_owned(),
        cpu,
        memory_bytes: None,
        gpus: Vec::new(),
        os: None,
        kernel: None,
        virtualization: None,
        threads: None,
        allocator: IMPORTED.to_owned(),
        environment: BTreeMap::new(),
        settings: BTreeMap::new(),
    }
}

/// No effbench's build.
fn build() -> Build {
    Build {
        version: IMPORTED.to_owned(),
        commit: None,
        dirty: None,
        features: Vec::new(),
        rustc: None,
        profile: IMPORTED.to_owned(),
        target_features: Vec::new(),
        executable_id: None,
    }
}

#[cfg(test)]
mod tests;
