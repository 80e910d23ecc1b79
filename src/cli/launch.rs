//! What `effbench run` does: settle everything first, then trial by trial to a result file and an answer.

use std::collections::BTreeMap;
use std::path::{MAIN_SEPARATOR, Path};
use std::time::Duration;

use super::run::RunArgs;
use super::{Format, print, print_json, quoted, say, style, to_json};
use crate::data;
use crate::device;
use crate::error::{Error, Kind, Result};
use crate::record::{Headline, ResultFile, Run, SCHEMA, Status};
use crate::report::listing::{Plan, PlannedCell};
use crate::report::{self, listing};
use crate::runner::local::{CalibrateInChild, choose_out};
use crate::runner::machine::{child_environment, default_threads, describe};
use crate::runner::plan::{Design, Planned, PreparedCell, estimate, plan};
use crate::runner::{Interrupt, Mode, Progress, Request, Worker, build_info, local, utc_now};
use crate::spec::{Cell, Library, Origin, Overrides, Suite, parse_set};
use crate::trial::{Registry, settle};

/// FLOP/s that a plan assumes for two cores until a calibration has measured: a guess, shown as one.
const NOMINAL_FLOPS_PER_S: f64 = 3e10;
/// Seconds that a plan adds per trial for starting, evaluating and generating.
const NOMINAL_EXTRA_S: f64 = 1.0;
/// A trial that takes this much longer than planned, and at least [`LEAST_LIMIT`], hangs.
const PATIENCE: f64 = 50.0;
/// The shortest time limit of a trial.
const LEAST_LIMIT: Duration = Duration::from_secs(600);

/// What is to run, settled and counted; nothing has started.
struct Prepared {
    suite: Suite,
    cells: Vec<PreparedCell>,
    repeats: u64,
    device: String,
    why_device: Option<String>,
    threads: usize,
    data: String,
    /// Suite and options that choose what runs, as they were typed.
    asked: String,
}

/// Runs a suite, or says what it would run.
pub fn execute(args: &RunArgs, registry: &Registry) -> Result<()> {
    let prepared = prepare(args, registry)?;
    if let Some(why) = &prepared.why_device {
        say(&format!("device: {} ({why})", prepared.device));
    }
    if args.dry_run {
        let plan = describe_plan(&prepared);
        return match args.format {
            Format::Text => print(&listing::plan(&plan, style())),
            Format::Json => print_json(&to_json(&plan)?),
        };
    }
    let environment = child_environment(prepared.threads);
    let machine = describe(prepared.threads, &environment)?;
    let build = build_info();
    let design = Design {
        repeats: prepared.repeats,
        first_seed: prepared.suite.first_seed,
        build: &build,
        build_index: 0,
        machine_index: 0,
    };
    let planned = plan(&prepared.cells, &design);
    let mode = match (args.resume, args.fresh) {
        (true, _) => Mode::Resume,
        (_, true) => Mode::Fresh,
        _ => Mode::New,
    };
    let out = choose_out(args.out.as_deref(), mode, Path::new("results"), &prepared.suite.name, &machine.class_id);
    let file = ResultFile {
        schema: SCHEMA.to_owned(),
        run: header(args, &prepared),
        builds: vec![build],
        machines: vec![machine],
        calibrations: Vec::new(),
        trials: Vec::new(),
    };
    let finished = run_all(&prepared, &planned, file, &out, mode, environment)?;
    let path = out.display().to_string();
    match args.format {
        Format::Text => print(&report::closing(&finished, &path, style()))?,
        Format::Json => print_json(&report::closing_json(&finished, &path))?,
    }
    verdict(&finished, &resume_command(&prepared, &out))
}

fn run_all(
    prepared: &Prepared,
    planned: &Planned,
    file: ResultFile,
    out: &Path,
    mode: Mode,
    environment: BTreeMap<String, String>,
) -> Result<ResultFile> {
    let worker = Worker::this_program(&["trial"], environment.clone())?;
    let calibrator = Worker::this_program(&["calibrate", &prepared.device], environment)?;
    let mut calibrate = CalibrateInChild { worker: calibrator, device: prepared.device.clone(), limit: LEAST_LIMIT };
    let longest = prepared.cells.iter().map(|cell| cell.cost.train_flops).fold(0.0, f64::max);
    let limit = LEAST_LIMIT.max(Duration::from_secs_f64(PATIENCE * longest / NOMINAL_FLOPS_PER_S));
    let resume = resume_command(prepared, out);
    let request = Request { out, mode, file, jobs: &planned.jobs, worker: &worker, limit, resume: &resume };
    let interrupt = Interrupt::on_signals()?;
    local::run(request, &mut calibrate, &mut Progress::on_stderr(), &interrupt)
}

fn resume_command(prepared: &Prepared, out: &Path) -> String {
    format!("effbench run {} --resume --out {}", prepared.asked, quoted(&out.display().to_string()))
}

/// Some trials failed: the file is written, the table shown, and the exit code says so.
fn verdict(finished: &ResultFile, resume: &str) -> Result<()> {
    let bad: Vec<_> = finished.trials.iter().filter(|t| t.status != Status::Ok || !t.validity.ok).collect();
    match bad.first() {
        None => Ok(()),
        Some(first) => {
            let reason = first.reason.as_deref().unwrap_or("no reason given");
            let message = format!(
                "{} of {} trials are not ok; the first: {} repeat {}: {reason}",
                bad.len(),
                finished.trials.len(),
                first.cell,
                first.repeat
            );
            let again = bad.iter().any(|trial| trial.status != Status::Diverged);
            let hint = again.then(|| format!("`{resume}` tries what did not finish again"));
            Err(Error { kind: Kind::Trials, message, hint })
        }
    }
}

fn prepare(args: &RunArgs, registry: &Registry) -> Result<Prepared> {
    let library = library(registry);
    let suite = library.suite(&args.suite)?;
    let overrides = overrides(args)?;
    let opened = device::open(&args.device)?;
    let cells = suite.cells(&library, &overrides)?;
    let repeats = args.repeats.unwrap_or(suite.repeats);
    let data = cells.first().map(|cell| suite.data_words(&cell.tree)).unwrap_or_default();
    let settled: Vec<(PreparedCell, usize)> =
        cells.into_iter().map(|cell| prepare_cell(registry, cell, &opened.name)).collect::<Result<_>>()?;
    // Cells that ask for different numbers of threads get them one by one; the machine is described with its own.
    let alike = settled.windows(2).all(|two| two[0].1 == two[1].1);
    let common = settled.first().map(|(_, threads)| *threads).filter(|threads| alike && *threads > 0);
    let threads = common.unwrap_or_else(default_threads);
    let prepared: Vec<PreparedCell> = settled.into_iter().map(|(cell, _)| cell).collect();
    let asked = asked(args, &args.suite, args.data.as_deref(), |name| name.to_owned());
    Ok(Prepared { suite, cells: prepared, repeats, device: opened.name, why_device: opened.why, threads, data, asked })
}

/// The shipped library, with the registry's own data sources known to `--data`.
pub fn library(registry: &Registry) -> Library {
    let own = data::kinds();
    let added = registry.sources.iter().filter(|kind| own.iter().all(|known| known.name() != kind.name()));
    added.fold(Library::builtin(), |library, kind| library.with_data(kind.name()))
}

fn overrides(args: &RunArgs) -> Result<Overrides> {
    let listed = |list: &[String]| (!list.is_empty()).then(|| list.to_vec());
    let sets = args.set.iter().map(|text| parse_set(text)).collect::<Result<Vec<_>>>()?;
    if sets.iter().any(|(key, _)| key == "compute.device") {
        return Err(Error::input("--set compute.device: the device is the whole run's, not a cell's")
            .hint("`--device cpu|cuda|cuda:N`"));
    }
    Ok(Overrides { variants: listed(&args.variants), scales: listed(&args.scales), sets, data: args.data.clone() })
}

/// A settled cell, and the threads its spec asks for (0: all).
fn prepare_cell(registry: &Registry, mut cell: Cell, device: &str) -> Result<(PreparedCell, usize)> {
    cell.tree.set("compute.device", device.into(), Origin::named("--device"));
    let settled = settle(registry, &cell.tree)?;
    let activation_bytes = settled.experiment.guess_bytes().saturating_sub(settled.cost.state_bytes);
    let threads = settled.experiment.threads;
    let prepared = PreparedCell {
        name: cell.name,
        variant: cell.variant,
        scale: cell.scale,
        budget: cell.budget,
        lr_source: cell.lr_source,
        spec: settled.spec,
        spec_sha256: settled.spec_sha256,
        paths: settled.paths,
        cost: settled.cost,
        activation_bytes,
    };
    Ok((prepared, threads))
}

/// The suite's own question, or, where `--variants` or `--scales` left its cell out, the nearest that can be asked of what
/// runs: fixed before anything does.
fn headline(suite: &Suite, cells: &[PreparedCell]) -> Option<Headline> {
    let (asked, base) = (suite.headline.as_ref()?, suite.base.as_deref()?);
    let budgets = |scale: &str| cells.iter().filter(|cell| cell.variant == base && cell.scale == scale).count();
    let candidates = cells.iter().filter(|cell| cell.variant != base && budgets(&cell.scale) > 1);
    let nearness = |cell: &&PreparedCell| {
        let order = std::cmp::Reverse(cells.iter().position(|other| other.name == cell.name));
        (cell.variant == asked.variant, cell.scale == asked.scale, cell.budget == Some(asked.budget), order)
    };
    let cell = candidates.filter(|cell| cell.budget.is_some()).max_by_key(nearness)?;
    Some(Headline { variant: cell.variant.clone(), scale: cell.scale.clone(), budget: cell.budget? })
}

fn header(args: &RunArgs, prepared: &Prepared) -> Run {
    let headline = headline(&prepared.suite, &prepared.cells);
    Run {
        suite: prepared.suite.name.clone(),
        command: recorded_command(args, &prepared.cells),
        base: prepared.suite.base.clone(),
        headline,
        data: prepared.data.clone(),
        repeats: prepared.repeats,
        started_at: utc_now(),
        finished_at: None,
    }
}

/// The command that repeats this run anywhere: paths become file names with the hash of what they held.
fn recorded_command(args: &RunArgs, prepared: &[PreparedCell]) -> String {
    let hash = prepared.iter().find_map(|cell| cell.spec.pointer("/data/blake3")?.as_str());
    let hash = hash.map(|hash| format!("#blake3:{}", &hash[..hash.len().min(16)])).unwrap_or_default();
    let data = args.data.as_ref().map(|data| file_name(data) + &hash);
    format!("effbench run {}", asked(args, &file_name(&args.suite), data.as_deref(), file_name))
}

/// The suite and the options that choose what runs, quoted for a shell; `name` writes a variant's name or path.
fn asked(args: &RunArgs, suite: &str, data: Option<&str>, name: impl Fn(&str) -> String) -> String {
    let mut words = vec![suite.to_owned()];
    let mut option = |flag: &str, value: String| words.extend([flag.to_owned(), value]);
    if args.device != "auto" {
        option("--device", args.device.clone());
    }
    if !args.variants.is_empty() {
        option("--variants", args.variants.iter().map(|v| name(v)).collect::<Vec<_>>().join(","));
    }
    if !args.scales.is_empty() {
        option("--scales", args.scales.join(","));
    }
    if let Some(repeats) = args.repeats {
        option("--repeats", repeats.to_string());
    }
    if let Some(data) = data {
        option("--data", data.to_owned());
    }
    for set in &args.set {
        let (key, value) = set.split_once('=').unwrap_or((set, ""));
        option("--set", format!("{key}={}", name(value)));
    }
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

/// What the plan would take; times are guesses from a nominal rate.
fn describe_plan(prepared: &Prepared) -> Plan {
    let cell = |cell: &PreparedCell| {
        let alone = estimate(std::slice::from_ref(cell), 1, NOMINAL_FLOPS_PER_S, NOMINAL_EXTRA_S);
        PlannedCell {
            cell: cell.name.clone(),
            params: cell.cost.params_total,
            train_tokens: cell.cost.train_tokens,
            train_flops: cell.cost.train_flops,
            optimizer_flops: cell.cost.optimizer_flops,
            seconds_guess: alone.seconds,
            memory_bytes_guess: alone.memory_bytes,
            lr_source: cell.lr_source.clone(),
        }
    };
    let all = estimate(&prepared.cells, prepared.repeats, NOMINAL_FLOPS_PER_S, NOMINAL_EXTRA_S);
    Plan {
        suite: prepared.suite.name.clone(),
        repeats: prepared.repeats,
        device: prepared.device.clone(),
        threads: prepared.threads as u64,
        total_flops: all.train_flops,
        seconds_guess: all.seconds,
        memory_bytes_guess: all.memory_bytes,
        cells: prepared.cells.iter().map(cell).collect(),
    }
}

/// The last part of a path; a name stays as it is.
fn file_name(text: &str) -> String {
    let is_path = text.contains(MAIN_SEPARATOR) && Path::new(text).exists();
    let last = Path::new(text).file_name().and_then(|name| name.to_str()).filter(|_| is_path);
    last.unwrap_or(text).to_owned()
}
