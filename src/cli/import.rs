//! `effbench import`: other people's training logs as a result file, which every judging command takes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::{Format, print, print_json, quoted, say};
use crate::error::{Error, Result};
use crate::record::criterion::{self, Benchmark};
use crate::record::import::mapping::ROLES;
use crate::record::import::{Imported, Mapping, benchmarks, import};
use crate::record::log::{self, Log};
use crate::record::{Status, Trial, store};

/// Notes shown to a person; a program gets them all.
const SHOWN: usize = 12;
/// A law through fewer cells than this is none.
const CELLS_FOR_A_LAW: usize = 4;

/// Arguments of `effbench import`.
#[derive(Debug, Clone, Args)]
#[command(after_help = after_help())]
pub struct ImportArgs {
    /// Logs (CSV or TSV with a header, JSON lines, or lines of `key:value` words), or folders of criterion's benchmarks, one
    /// for each run.
    #[arg(required = true, value_name = "LOG")]
    pub logs: Vec<PathBuf>,
    /// Where a role is taken from: a column, or @file for the file's name.
    #[arg(long, value_name = "ROLE=COLUMN,...")]
    pub map: Vec<String>,
    /// A role that is the same in all of the logs; may be given again.
    #[arg(long = "let", value_name = "ROLE=VALUE")]
    pub constants: Vec<String>,
    /// The variant whose compute is the currency of gains.
    #[arg(long, value_name = "VARIANT")]
    pub base: Option<String>,
    /// The result file to write.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// How to say what was found.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

fn after_help() -> String {
    let roles: String = ROLES.iter().map(|(name, _, about)| format!("\n  {name:<16}{about}")).collect();
    format!(
        "Roles (a column of the same name is taken without --map):{roles}\n
Examples:
  effbench import runs.csv --map loss=validation_loss,flops=theoretical_flops,variant=name --out runs.json
  effbench import adam.txt muon.txt --map variant=@file,loss=val_loss,seconds=train_time,budget=steps \\
      --let tokens_per_step=524288 --let params=124e6 --base adam --out speedrun.json
  effbench import target/criterion --out head/1.json     after each of three `cargo bench`; then
  effbench compare base/ head/"
    )
}

/// Reads the logs, writes the result file, and says what is in it.
pub fn execute(args: &ImportArgs) -> Result<()> {
    let mapping = Mapping::parse(&args.map, &args.constants)?;
    store::check_writable(&args.out)?;
    if let Some(log) = args.logs.iter().find(|log| is_of(log, &args.out)) {
        let is = if log.is_dir() { "already holds that file, and is read" } else { "is one of the logs" };
        let message = format!("--out {}: {is}", log.display());
        return Err(Error::input(message).hint("the result file must be another file"));
    }
    let (imported, sentence, next) =
        if args.logs.iter().any(|path| path.is_dir()) { of_benchmarks(args)? } else { of_logs(args, &mapping)? };
    store::write(&args.out, &imported.file)?;
    if args.format == Format::Json {
        return print_json(&json!({
            "file": args.out.display().to_string(),
            "sentence": sentence,
            "trials": imported.file.trials.len(),
            "points": imported.points,
            "notes": imported.notes,
            "next": next,
        }));
    }
    tell(&imported);
    print(&format!("{sentence}\nResult file: {}. Next: {next}", args.out.display()))
}

/// What was made of logs, in a sentence, and the command that it is good for.
fn of_logs(args: &ImportArgs, mapping: &Mapping) -> Result<(Imported, String, String)> {
    let logs = args.logs.iter().map(|path| log::read(path)).collect::<Result<Vec<Log>>>()?;
    let imported = import(&logs, mapping, args.base.as_deref(), &command(args, &logs))?;
    let sentence = sentence(&imported.file.trials, logs.len());
    let next = next(args, &imported.file.trials);
    Ok((imported, sentence, next))
}

/// The same of folders that `cargo bench` left.
fn of_benchmarks(args: &ImportArgs) -> Result<(Imported, String, String)> {
    if !(args.map.is_empty() && args.constants.is_empty() && args.base.is_none()) {
        return Err(Error::input("--map, --let and --base are for logs: criterion's folders say what is what"));
    }
    let runs = args.logs.iter().map(|path| criterion::read(path)).collect::<Result<Vec<Vec<Benchmark>>>>()?;
    let words = args.logs.iter().zip(&runs).map(|(path, run)| {
        let all: String = run.iter().map(|one| one.blake3.as_str()).collect();
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        quoted(&format!("{name}#blake3:{}", &blake3::hash(all.as_bytes()).to_hex()[..16]))
    });
    let imported = benchmarks::import(&runs, &format!("effbench import {}", words.collect::<Vec<_>>().join(" ")))?;
    let names = runs.iter().flatten().map(Benchmark::name).collect::<BTreeSet<String>>().len();
    let sentence = format!("{} in {}, n = {}", many(names, "benchmark"), many(runs.len(), "run"), runs.len());
    Ok((imported, sentence, format!("effbench compare BASE.json {}", quoted(&args.out.display().to_string()))))
}

fn many(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn tell(imported: &Imported) {
    for note in imported.notes.iter().take(SHOWN) {
        say(&format!("note: {}", note.escape_debug()));
    }
    if imported.notes.len() > SHOWN {
        say(&format!("note: ... and {} more (--format json lists all)", imported.notes.len() - SHOWN));
    }
}

/// `24 trials of 3 variants from 2 files; 1 diverged`.
fn sentence(trials: &[Trial], files: usize) -> String {
    let variants = trials.iter().map(|trial| &trial.variant).collect::<BTreeSet<_>>().len();
    let mut unfinished: BTreeMap<Status, usize> = BTreeMap::new();
    for trial in trials.iter().filter(|trial| trial.status != Status::Ok) {
        *unfinished.entry(trial.status).or_default() += 1;
    }
    let rest: String = unfinished.iter().map(|(status, count)| format!("; {count} {}", status.words())).collect();
    format!("{} of {} from {}{rest}", many(trials.len(), "trial"), many(variants, "variant"), many(files, "file"))
}

/// The command that these trials are good for: gains where a base ran at several budgets, a law where there are cells enough.
fn next(args: &ImportArgs, trials: &[Trial]) -> String {
    let out = quoted(&args.out.display().to_string());
    let budgets_of = |variant: &str| {
        let of = trials.iter().filter(|trial| trial.variant == variant && trial.train_flops().is_some());
        of.filter_map(|trial| trial.budget).collect::<BTreeSet<u64>>().len()
    };
    let variants: BTreeSet<&str> = trials.iter().map(|trial| trial.variant.as_str()).collect();
    let cells = trials.iter().map(|trial| &trial.cell).collect::<BTreeSet<_>>().len();
    let base = args.base.as_deref().or_else(|| variants.iter().copied().max_by_key(|variant| budgets_of(variant)));
    match base.filter(|base| variants.len() > 1 && budgets_of(base) > 1) {
        Some(base) => format!("effbench gain {out} --base {}", quoted(base)),
        None if variants.len() == 1 && cells >= CELLS_FOR_A_LAW => format!("effbench fit {out}"),
        None => {
            format!("effbench report {out} --out {}", quoted(&args.out.with_extension("html").display().to_string()))
        }
    }
}

/// The command that repeats this import anywhere: paths become file names with the hash of what they held.
fn command(args: &ImportArgs, logs: &[Log]) -> String {
    let mut words: Vec<String> = logs.iter().map(|log| format!("{}#blake3:{}", log.name, &log.blake3[..16])).collect();
    let mut option = |flag: &str, value: &str| words.extend([flag.to_owned(), value.to_owned()]);
    if !args.map.is_empty() {
        option("--map", &args.map.join(","));
    }
    args.constants.iter().for_each(|constant| option("--let", constant));
    args.base.iter().for_each(|base| option("--base", base));
    format!("effbench import {}", words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "))
}

/// Whether a file that is there already is the log, or lies in the folder of logs.
fn is_of(log: &Path, file: &Path) -> bool {
    match (log.canonicalize(), file.canonicalize()) {
        (Ok(log), Ok(file)) => log == file || (log.is_dir() && file.starts_with(log)),
        _ => false,
    }
}
