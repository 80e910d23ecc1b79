//! `effbench import`: other people's training logs as a result file, which every judging command takes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::print::{Format, print, print_json, print_page, say, visible};
use crate::error::{Error, Result, quoted};
use crate::import::criterion::{self, Benchmark};
use crate::import::dialect::{self, Dialect};
use crate::import::log::{self, Log};
use crate::import::preview::Preview;
use crate::import::role::ROLES;
use crate::import::{About, IMPORTED, Imported, Mapping, benchmarks, import, previews, together};
use crate::record::metric::VAL_LOSS_NATS;
use crate::record::{LossUnit, Status, Trial, store};
use crate::report::view::imported::page;

/// Notes shown to a person; a program gets them all.
const SHOWN: usize = 12;
/// A law through fewer cells than this is none.
const CELLS_FOR_A_LAW: usize = 4;

/// Arguments of `effbench import`.
#[derive(Debug, Clone, Args)]
#[command(after_help = after_help())]
pub struct ImportArgs {
    /// Logs (CSV or TSV with a header, JSON, or the lines that a training program prints; packed by gzip or zstd, in UTF-16; `-` is
    /// standard input), or folders of criterion's benchmarks, one for each run.
    #[arg(required = true, value_name = "LOG")]
    pub logs: Vec<PathBuf>,
    /// Where a role is taken from: a column, or @file for the file's name.
    #[arg(long, value_name = "ROLE=COLUMN,...")]
    pub map: Vec<String>,
    /// A role that is the same in all of the logs; may be given again.
    #[arg(long = "let", value_name = "ROLE=VALUE")]
    pub constants: Vec<String>,
    /// Takes a name apart that holds several roles: the file's, or a column's cells. {role} takes, * does not; may be given again.
    #[arg(long, value_name = "@file|COLUMN=PATTERN")]
    pub split: Vec<String>,
    /// What losses are counted in: nats, bits, bits-per-byte or perplexity [default: what the column's name says, else nats].
    #[arg(long, value_name = "UNIT", value_parser = loss_unit)]
    pub unit: Option<LossUnit>,
    /// The runs took turns in one session on one machine, so that their seconds can be compared pair by pair.
    #[arg(long)]
    pub interleaved: bool,
    /// Whose logs these are, where what the lines say does not decide it.
    #[arg(long, value_name = "NAME", value_parser = dialect)]
    pub dialect: Option<&'static Dialect>,
    /// The variant whose compute is the currency of gains.
    #[arg(long, value_name = "VARIANT")]
    pub base: Option<String>,
    /// The result file to write; `-` is standard output.
    #[arg(long, value_name = "FILE", required_unless_present = "dry_run")]
    pub out: Option<PathBuf>,
    /// Say what would be read as what, and write nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Replace a file that is there already.
    #[arg(long)]
    pub force: bool,
    /// How to say what was found.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

fn after_help() -> String {
    let roles: String = ROLES
        .iter()
        .map(|(name, _, about)| format!("\n  {name:<24}{about}"))
        .collect();
    let dialects: String = dialect::CATALOG
        .iter()
        .map(|dialect| format!("\n  {:<16}{}", dialect.name, dialect.about))
        .collect();
    format!(
        "Roles (a column that is called like one is taken without --map: `Val Loss`, `Training FLOP`, `train_time`, `N`; case\n\
         does not count, and beside a validation loss `loss` is the training loss):{roles}\n
Logs that are recognised by their lines (--dialect NAME insists):{dialects}\n
Read as well: Hugging Face's trainer_state.json, lists of JSON objects, Lightning's metrics.csv; speeds, energies and accuracies\n\
         of llama-bench (-o json, jsonl or csv), CodeCarbon's emissions.csv, lm-evaluation-harness' results.json.\n
Rows with one variant, scale, seed and number of parameters are one run: its curve, whose last judged loss is the result.
`gain --target` reads such curves. With run=@row each row is a run of its own.\n
Examples:
  effbench import runs.csv --map flops=theoretical_flops,variant=name --out runs.json
  effbench import logs/*_seed*.csv --split '@file={{variant}}_seed{{seed}}' --base adam --out runs.json
  effbench import sweep.csv --split 'name={{variant}}-lr*-seed{{seed}}' --unit bits --out runs.json
  effbench import log.txt --let variant=muon --dry-run     what would be read as what
  effbench import adam.txt muon.txt --map variant=@file,budget=steps \\
      --let tokens_per_step=524288 --let params=124e6 --base adam --out speedrun.json
  effbench gain speedrun.json --target 3.28     steps, seconds, tokens and FLOPs to that loss
  effbench import target/criterion --out head/1.json     after each of three `cargo bench`; then
  effbench compare base/ head/"
    )
}

/// Reads the logs, writes the result file, and says what is in it.
pub fn execute(args: &ImportArgs) -> Result<()> {
    let mut mapping = Mapping::parse(&args.map, &args.constants, &args.split)?;
    mapping.unit = args.unit;
    // A dry run may say where it would write; nothing is checked there, as nothing is written.
    let out = args.out.as_deref().filter(|_| !args.dry_run);
    let file = out.filter(|out| *out != Path::new("-"));
    file.map_or(Ok(()), |file| check(args, file))?;
    let Made {
        imported,
        sentence,
        next,
        previews,
    } = if args.logs.iter().any(|path| path.is_dir()) {
        of_benchmarks(args)?
    } else {
        of_logs(args, &mapping)?
    };
    if args.dry_run {
        return dry_run(args, &imported, &sentence, &previews);
    }
    let Some(file) = file else {
        tell(&imported);
        return print(&store::text(&imported.file)?);
    };
    store::write(file, &imported.file)?;
    if args.format == Format::Json {
        return print_json(&json!({
            "file": file.display().to_string(),
            "sentence": sentence,
            "trials": imported.file.trials.len(),
            "points": imported.points,
            "notes": imported.notes,
            "next": next,
        }));
    }
    tell(&imported);
    print(&visible(&format!(
        "{sentence}\nResult file: {}. Next: {next}",
        file.display()
    )))
}

/// Whether the result file can be written, and nothing is lost by it.
fn check(args: &ImportArgs, file: &Path) -> Result<()> {
    store::check_writable(file)?;
    if let Some(log) = args.logs.iter().find(|log| is_of(log, file)) {
        let is = if log.is_dir() {
            "already holds that file, and is read"
        } else {
            "is one of the logs"
        };
        let message = format!("--out {}: {is}", log.display());
        return Err(Error::input(message).hint("the result file must be another file"));
    }
    // An import may be made again; what was measured, and what is no result file, stays.
    store::check_new(file, args.force || is_import(file))
}

/// What was made of logs or benchmarks: the file, a sentence, the command that it is good for, and how each log was read.
struct Made {
    imported: Imported,
    sentence: String,
    next: String,
    previews: Vec<Preview>,
}

/// Says what would be written.
fn dry_run(
    args: &ImportArgs,
    imported: &Imported,
    sentence: &str,
    previews: &[Preview],
) -> Result<()> {
    let trials = &imported.file.trials;
    match args.format {
        Format::Text => print_page(&page(previews, trials, sentence, &imported.notes)),
        Format::Json => print_json(&json!({
            "sentence": sentence,
            "logs": previews,
            "notes": imported.notes,
            "trials": trials.len(),
        })),
    }
}

/// Makes trials of logs.
fn of_logs(args: &ImportArgs, mapping: &Mapping) -> Result<Made> {
    let logs = args
        .logs
        .iter()
        .map(|path| log::read(path, args.dialect))
        .collect::<Result<Vec<Log>>>()?;
    let logs = together(logs);
    let command = command(args, &logs);
    let about = About {
        base: args.base.as_deref(),
        interleaved: args.interleaved,
        command: &command,
    };
    let imported = import(&logs, mapping, about)?;
    Ok(Made {
        sentence: sentence(&imported.file.trials, logs.len()),
        next: next(args, &imported.file.trials),
        previews: match args.dry_run {
            true => previews(&logs, mapping)?,
            false => Vec::new(),
        },
        imported,
    })
}

/// The same of folders that `cargo bench` left.
fn of_benchmarks(args: &ImportArgs) -> Result<Made> {
    let roles = args
        .map
        .iter()
        .chain(&args.constants)
        .chain(&args.split)
        .next()
        .is_some();
    if roles || args.base.is_some() || args.unit.is_some() || args.interleaved {
        return Err(Error::input(
            "--map, --let, --split, --unit, --interleaved and --base are for logs",
        )
        .hint("criterion's folders say what is what"));
    }
    let runs = args
        .logs
        .iter()
        .map(|path| criterion::read(path))
        .collect::<Result<Vec<criterion::Run>>>()?;
    let left_out: Vec<String> = runs.iter().flat_map(|run| run.left_out.clone()).collect();
    let runs: Vec<Vec<Benchmark>> = runs.into_iter().map(|run| run.benchmarks).collect();
    let words = args.logs.iter().zip(&runs).map(|(path, run)| {
        let all: String = run.iter().map(|one| one.blake3.as_str()).collect();
        let name = path
            .file_name()
            .unwrap_or(path.as_os_str())
            .to_string_lossy()
            .into_owned();
        quoted(&format!(
            "{name}#blake3:{}",
            &blake3::hash(all.as_bytes()).to_hex()[..16]
        ))
    });
    let mut imported = benchmarks::import(
        &runs,
        &format!("effbench import {}", words.collect::<Vec<_>>().join(" ")),
    )?;
    imported.notes.splice(0..0, left_out);
    let names = runs
        .iter()
        .flatten()
        .map(Benchmark::name)
        .collect::<BTreeSet<String>>()
        .len();
    let sentence = format!(
        "{} in {}, n = {}",
        many(names, "benchmark"),
        many(runs.len(), "run"),
        runs.len()
    );
    Ok(Made {
        imported,
        sentence,
        next: format!("effbench compare BASE.json {}", quoted(&named(args))),
        previews: Vec::new(),
    })
}

/// The result file's name, for a command that takes it.
fn named(args: &ImportArgs) -> String {
    let out = args.out.as_ref();
    out.map_or("FILE.json".to_owned(), |out| out.display().to_string())
}

fn many(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn tell(imported: &Imported) {
    for note in imported.notes.iter().take(SHOWN) {
        say(&visible(&format!("note: {note}")));
    }
    if imported.notes.len() > SHOWN {
        say(&format!(
            "note: ... and {} more (--format json lists all)",
            imported.notes.len() - SHOWN
        ));
    }
}

/// `24 trials of 3 variants from 2 files; 1 diverged`.
fn sentence(trials: &[Trial], files: usize) -> String {
    let variants = trials
        .iter()
        .map(|trial| &trial.variant)
        .collect::<BTreeSet<_>>()
        .len();
    let mut unfinished: BTreeMap<Status, usize> = BTreeMap::new();
    for trial in trials.iter().filter(|trial| trial.status != Status::Ok) {
        *unfinished.entry(trial.status).or_default() += 1;
    }
    let rest: String = unfinished
        .iter()
        .map(|(status, count)| format!("; {count} {}", status.words()))
        .collect();
    format!(
        "{} of {} from {}{rest}",
        many(trials.len(), "trial"),
        many(variants, "variant"),
        many(files, "file")
    )
}

/// The command that these trials are good for: costs up to a loss where there are curves and one budget an arm, gains where a base
/// ran at several budgets of a scale that another variant has, a law where there are cells enough.
fn next(args: &ImportArgs, trials: &[Trial]) -> String {
    let out = quoted(&named(args));
    let variants: BTreeSet<&str> = trials.iter().map(|trial| trial.variant.as_str()).collect();
    let cells = trials
        .iter()
        .map(|trial| &trial.cell)
        .collect::<BTreeSet<_>>()
        .len();
    let base_of = |fits: &dyn Fn(&str) -> usize| {
        let best = || variants.iter().copied().max_by_key(|variant| fits(variant));
        let base = args
            .base
            .as_deref()
            .or_else(best)
            .filter(|base| fits(base) > 0)?;
        Some(if args.base.is_some() {
            String::new()
        } else {
            format!(" --base {}", quoted(base))
        })
    };
    let no_loss = |trial: &Trial| trial.metric(VAL_LOSS_NATS).is_none();
    if trials.iter().all(|t| t.status == Status::Ok && no_loss(t)) {
        return format!("effbench compare BASE.json {out}");
    }
    if let Some(base) = base_of(&|base| shared_budgets(trials, base)) {
        return format!("effbench gain {out}{base}");
    }
    if let Some(base) = base_of(&|base| shared_curves(trials, base)) {
        return format!("effbench gain {out}{base} --target base");
    }
    if variants.len() == 1 && cells >= CELLS_FOR_A_LAW {
        return format!("effbench fit {out}");
    }
    format!(
        "effbench report {out} --out {}",
        quoted(
            &Path::new(&named(args))
                .with_extension("html")
                .display()
                .to_string()
        )
    )
}

/// Scales on which a base ran at several budgets of known FLOPs and another variant ran too.
fn shared_budgets(trials: &[Trial], base: &str) -> usize {
    let mut budgets: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
    for trial in trials
        .iter()
        .filter(|trial| trial.variant == base && trial.train_flops().is_some())
    {
        budgets
            .entry(&trial.scale)
            .or_default()
            .extend(trial.budget);
    }
    let other = |scale: &str| {
        trials
            .iter()
            .any(|trial| trial.variant != base && trial.scale == scale)
    };
    budgets
        .iter()
        .filter(|(scale, budgets)| budgets.len() > 1 && other(scale))
        .count()
}

/// Scales on which a base and another variant have curves.
fn shared_curves(trials: &[Trial], base: &str) -> usize {
    let curved = |trial: &&Trial| trial.curve.val_loss_nats.iter().flatten().count() > 1;
    let scales = |of_base: bool| {
        let of = trials
            .iter()
            .filter(|trial| (trial.variant == base) == of_base)
            .filter(curved);
        of.map(|trial| trial.scale.as_str())
            .collect::<BTreeSet<&str>>()
    };
    scales(true).intersection(&scales(false)).count()
}

/// The command that repeats this import anywhere: paths become file names with the hash of what they held.
fn command(args: &ImportArgs, logs: &[Log]) -> String {
    let mut words: Vec<String> = logs
        .iter()
        .map(|log| format!("{}#blake3:{}", log.name, &log.blake3[..16]))
        .collect();
    let mut option = |flag: &str, value: &str| words.extend([flag.to_owned(), value.to_owned()]);
    if !args.map.is_empty() {
        option("--map", &args.map.join(","));
    }
    args.constants
        .iter()
        .for_each(|constant| option("--let", constant));
    args.split.iter().for_each(|split| option("--split", split));
    args.unit
        .iter()
        .for_each(|unit| option("--unit", unit.name()));
    args.base.iter().for_each(|base| option("--base", base));
    args.dialect
        .iter()
        .for_each(|dialect| option("--dialect", dialect.name));
    if args.interleaved {
        words.push("--interleaved".to_owned());
    }
    format!(
        "effbench import {}",
        words
            .iter()
            .map(|word| quoted(word))
            .collect::<Vec<_>>()
            .join(" ")
    )
}

/// Whether a file that is there already is the log, or lies in the folder of logs.
fn is_of(log: &Path, file: &Path) -> bool {
    match (log.canonicalize(), file.canonicalize()) {
        (Ok(log), Ok(file)) => log == file || (log.is_dir() && file.starts_with(log)),
        _ => false,
    }
}

/// Whether a file is the result of an import.
fn is_import(path: &Path) -> bool {
    store::read(path).is_ok_and(|file| file.run.suite == IMPORTED)
}

/// Finds a dialect.
fn dialect(text: &str) -> std::result::Result<&'static Dialect, String> {
    let found = dialect::CATALOG.iter().find(|dialect| dialect.name == text);
    let known = dialect::CATALOG.each_ref().map(|dialect| dialect.name);
    found.ok_or_else(|| format!("there is: {}", known.join(", ")))
}

/// Reads the unit of a loss.
pub fn loss_unit(text: &str) -> std::result::Result<LossUnit, String> {
    let found = LossUnit::ALL.into_iter().find(|unit| unit.name() == text);
    found.ok_or_else(|| {
        format!(
            "write one of {}",
            LossUnit::ALL.map(LossUnit::name).join(", ")
        )
    })
}
