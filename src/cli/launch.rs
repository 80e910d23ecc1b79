//! What `effbench run` does: settle everything first, then trial by trial to a result file and an answer.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::prepare::{NOMINAL_FLOPS_PER_S, Prepared, asked, describe_plan, file_name, prepare};
use super::run::RunArgs;
use super::{Format, print, print_json, quoted, say, style, to_json};
use crate::error::{Error, Kind, Result};
use crate::record::{Headline, ResultFile, Run, SCHEMA, Status, Trial};
use crate::report::{self, listing};
use crate::runner::local::{CalibrateInChild, Then, choose_out};
use crate::runner::machine::{child_environment, describe};
use crate::runner::plan::{Design, PreparedCell, plan};
use crate::runner::{Interrupt, Mode, Progress, Request, Worker, build_info, local, utc_now};
use crate::spec::{Library, Suite};
use crate::trial::{Job, Registry};

/// A trial that takes this much longer than planned, and at least [`LEAST_LIMIT`], hangs.
const PATIENCE: f64 = 50.0;
/// The shortest time limit of a trial.
const LEAST_LIMIT: Duration = Duration::from_secs(600);

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
    // Where rates are to be chosen, the sweeps run first and make the rest of the plan.
    let tune = prepared.suite.tune.as_ref().filter(|_| !prepared.sweeps.is_empty());
    let sweep = tune.map(|tune| {
        plan(&prepared.swept(), &Design { repeats: tune.repeats, first_seed: tune.first_seed, ..design }).jobs
    });
    let judge = |trials: &[&Trial]| Ok(plan(&prepared.judged(registry, trials)?, &design).jobs);
    let then = sweep.is_some().then_some(&judge as &Then);
    let jobs = sweep.unwrap_or_else(|| plan(&prepared.cells, &design).jobs);
    let mode = match (args.resume, args.fresh) {
        (true, _) => Mode::Resume,
        (_, true) => Mode::Fresh,
        _ => Mode::New,
    };
    let out = choose_out(args.out.as_deref(), mode, Path::new("results"), &prepared.suite.name, &machine.class_id);
    let file = ResultFile {
        schema: SCHEMA.to_owned(),
        run: header(args, &prepared),
        builds: vec![build.clone()],
        machines: vec![machine],
        calibrations: Vec::new(),
        trials: Vec::new(),
    };
    let finished = run_all(&prepared, (&jobs, then), file, &out, mode, environment)?;
    let path = out.display().to_string();
    match args.format {
        Format::Text => {
            let price = Library::builtin().price("default")?;
            print(&report::closing(&finished, &path, &price, style()))?;
        }
        Format::Json => print_json(&report::closing_json(&finished, &path))?,
    }
    verdict(&finished, &resume_command(&prepared, &out))
}

fn run_all(
    prepared: &Prepared,
    (jobs, then): (&[Job], Option<&Then>),
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
    let request = Request { out, mode, file, jobs, then, worker: &worker, limit, resume: &resume };
    let interrupt = Interrupt::on_signals()?;
    local::run(request, &mut calibrate, &mut Progress::on_stderr(), &interrupt)
}

fn resume_command(prepared: &Prepared, out: &Path) -> String {
    format!("effbench run {} --resume --out {}", prepared.asked, quoted(&out.display().to_string()))
}

/// The trials that count: a sweep is there to find out which rates fail.
fn judged(file: &ResultFile) -> impl Iterator<Item = &Trial> {
    let sweep_only = file.trials.iter().all(Trial::in_sweep);
    file.trials.iter().filter(move |trial| sweep_only || !trial.in_sweep())
}

/// Some trials failed: the file is written, the table shown, and the exit code says so.
fn verdict(finished: &ResultFile, resume: &str) -> Result<()> {
    let bad: Vec<_> = judged(finished).filter(|t| t.status != Status::Ok || !t.validity.ok).collect();
    match bad.first() {
        None => Ok(()),
        Some(first) => {
            let reason = first.reason.as_deref().unwrap_or("no reason given");
            let message = format!(
                "{} of {} trials are not ok; the first: {} repeat {}: {reason}",
                bad.len(),
                judged(finished).count(),
                first.cell,
                first.repeat
            );
            let again = bad.iter().any(|trial| trial.status != Status::Diverged);
            let hint = again.then(|| format!("`{resume}` tries what did not finish again"));
            Err(Error { kind: Kind::Trials, message, hint })
        }
    }
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
