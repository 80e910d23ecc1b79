//! What `effbench run` does: settle everything first, then trial by trial to a result file and an answer.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::against::{self, ask_build};
use super::compare::{BASE, HEAD};
use super::prepare::{NOMINAL_FLOPS_PER_S, Prepared, asked, describe_plan, file_name, prepare};
use super::run::{Executor, RunArgs};
use super::{Format, print, print_json, quoted, say, style, to_json};
use crate::analysis::compare::stages::{self, CONFIRM_REPEATS};
use crate::error::{Error, Kind, Result};
use crate::record::pool::read_all;
use crate::record::{Build, Headline, ResultFile, Run, SCHEMA, Status, Trial, store};
use crate::report::{self, listing};
use crate::runner::local::{CalibrateInChild, Then, choose_out};
use crate::runner::machine::{child_environment, describe};
use crate::runner::plan::{Arm, Design, PreparedCell, plan};
use crate::runner::slurm::Spread;
use crate::runner::{Interrupt, Mode, Progress, Request, Shard, Worker, build_info, local, utc_now};
use crate::spec::{Library, Suite};
use crate::trial::{Job, Registry};

/// Seeds of what is run again are so far from the first ones.
const CONFIRM_SEEDS: u64 = 1000;
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
    refuse_half_a_sweep(args, &prepared)?;
    let environment = child_environment(prepared.threads);
    let machine = describe(prepared.threads, &environment)?;
    let build = build_info();
    let other = args.against.as_deref().map(|binary| ask_build(binary, &environment)).transpose()?;
    let builds: Vec<Build> =
        [Some(build), other.as_ref().map(|(build, _)| build.clone())].into_iter().flatten().collect();
    let alone = [Arm { label: None, build: &builds[0], index: 0 }];
    let both = {
        let head = Arm { label: Some(HEAD), build: &builds[0], index: 0 };
        [Arm { label: Some(BASE), build: &builds[builds.len() - 1], index: 1 }, head]
    };

    let arms = if other.is_some() { &both[..] } else { &alone };
    let design = Design { repeats: prepared.repeats, first_seed: prepared.suite.first_seed, arms, machine_index: 0 };
    // Where rates are to be chosen, the sweeps run first and make the rest of the plan.
    let tune = prepared.suite.tune.as_ref().filter(|_| prepared.is_tuned() && args.rates.is_none());
    let sweep = tune.map(|tune| {
        let own = Design { repeats: tune.repeats, first_seed: tune.first_seed, arms: &alone, ..design };
        plan(&prepared.swept(), &own).jobs
    });
    let part = |jobs: Vec<Job>| match args.shard {
        Some(shard) => shard.of(jobs),
        None => jobs,
    };
    let judge = |trials: &[&Trial]| Ok(part(plan(&prepared.judged(registry, trials)?, &design).jobs));
    let then = (sweep.is_some() && args.shard != Some(Shard::Sweep)).then_some(&judge as &Then);
    let jobs = match (sweep, &args.rates) {
        (Some(sweep), _) => sweep,
        (None, Some(rates)) => judge(&read_all(std::slice::from_ref(rates))?.trials.iter().collect::<Vec<_>>())?,
        (None, None) => part(plan(&prepared.cells, &design).jobs),
    };
    if let (Some(shard), true) = (args.shard, jobs.is_empty()) {
        return Err(Error::input(format!(
            "--shard {shard}: nothing is left for it, the run has {} repeats",
            prepared.repeats
        ))
        .hint("make no more parts than there are repeats: --repeats, or the suite's own"));
    }
    let mode = match (args.resume, args.fresh) {
        (true, _) => Mode::Resume,
        (_, true) => Mode::Fresh,
        _ => Mode::New,
    };
    let out = choose_out(args.out.as_deref(), mode, Path::new("results"), &prepared.suite.name, &machine.class_id);
    if args.executor == Executor::Slurm {
        return spread(args, &prepared, &out);
    }
    let file = ResultFile {
        schema: SCHEMA.to_owned(),
        run: header(args, &prepared),
        builds: builds.clone(),
        machines: vec![machine],
        calibrations: Vec::new(),
        trials: Vec::new(),
    };
    let more = against::confirm_out(&out);
    if args.confirm && mode == Mode::New && more.exists() {
        return Err(Error::input(format!("{} is already there", more.display()))
            .hint("`--resume` goes on with it, `--fresh` replaces it, `--out FILE` writes elsewhere"));
    }
    let mut workers = vec![Worker::this_program(&["trial"], environment.clone())?];
    workers.extend(other.map(|(_, worker)| worker));
    let empty = file.clone();
    // A program can ask for signals only once.
    let interrupt = Interrupt::on_signals()?;
    let around = (&workers[..], environment.clone());
    let finished = run_all(&prepared, (&jobs, then), file, (&out, mode), around, &interrupt)?;
    if arms.len() > 1 {
        let first = against::compared(&finished, &out, args.gate);
        let cells = match &args.rates {
            Some(rates) => {
                prepared.judged(registry, &read_all(std::slice::from_ref(rates))?.trials.iter().collect::<Vec<_>>())?
            }
            None => prepared.cells.clone(),
        };
        let again = if args.confirm { against::flagged(&first, cells) } else { Vec::new() };
        if again.is_empty() {
            return against::conclude(&first, args.format, &out);
        }
        say(&format!(
            "{} of {} cells look worse and are run again, {CONFIRM_REPEATS} repeats each",
            again.len(),
            first.cells
        ));
        let fresh = Design { repeats: CONFIRM_REPEATS, first_seed: design.first_seed + CONFIRM_SEEDS, ..design };
        let file = ResultFile { run: Run { repeats: CONFIRM_REPEATS, ..empty.run.clone() }, ..empty };
        let jobs = plan(&again, &fresh).jobs;
        let second = run_all(&prepared, (&jobs, None), file, (&more, mode), (&workers, environment), &interrupt)?;
        return against::conclude(
            &stages::two_stages(&first, &against::compared(&second, &more, args.gate)),
            args.format,
            &out,
        );
    }
    finish(args, &finished, &out, &resume_command(&prepared, &out))
}

/// Says what was found, and whether all of it went well.
fn finish(args: &RunArgs, finished: &ResultFile, out: &Path, resume: &str) -> Result<()> {
    let path = out.display().to_string();
    match args.format {
        Format::Text => {
            let price = Library::builtin().price("default")?;
            print(&report::closing(finished, &path, &price, style()))?;
        }
        Format::Json => print_json(&report::closing_json(finished, &path))?,
    }
    verdict(finished, resume)
}

fn run_all(
    prepared: &Prepared,
    (jobs, then): (&[Job], Option<&Then>),
    file: ResultFile,
    (out, mode): (&Path, Mode),
    (workers, environment): (&[Worker], BTreeMap<String, String>),
    interrupt: &Interrupt,
) -> Result<ResultFile> {
    let calibrator = Worker::this_program(&["calibrate", &prepared.device], environment)?;
    let mut calibrate = CalibrateInChild { worker: calibrator, device: prepared.device.clone(), limit: LEAST_LIMIT };
    let longest = prepared.cells.iter().map(|cell| cell.cost.train_flops).fold(0.0, f64::max);
    let limit = LEAST_LIMIT.max(Duration::from_secs_f64(PATIENCE * longest / NOMINAL_FLOPS_PER_S));
    let resume = resume_command(prepared, out);
    let request = Request { out, mode, file, jobs, then, workers, limit, resume: &resume };
    local::run(request, &mut calibrate, &mut Progress::on_stderr(), interrupt)
}

fn resume_command(prepared: &Prepared, out: &Path) -> String {
    format!("effbench run {} --resume --out {}", prepared.asked, quoted(&out.display().to_string()))
}

/// Parts of a run that each chose rates for themselves would not fit together.
fn refuse_half_a_sweep(args: &RunArgs, prepared: &Prepared) -> Result<()> {
    let suite = &prepared.suite.name;
    if prepared.is_tuned() && args.against.is_some() && args.rates.is_none() {
        return Err(Error::input(format!(
            "--against: suite {suite} chooses learning rates, and one build would choose them for both"
        ))
        .hint(format!(
            "`effbench run {suite} --shard sweep --out rates.json`, then --rates rates.json; or a suite without `tune`"
        )));
    }
    match (prepared.is_tuned(), args.shard, &args.rates) {
        (false, Some(Shard::Sweep), _) => {
            Err(Error::input(format!("--shard sweep: suite {suite} chooses no learning rates")))
        }
        (false, _, Some(_)) => Err(Error::input(format!("--rates: suite {suite} chooses no learning rates"))),
        (true, Some(Shard::Part { .. }), None) => {
            let asked = &prepared.asked;
            Err(Error::input(format!(
                "--shard: suite {suite} first chooses learning rates, and all parts need the same"
            ))
            .hint(format!(
                "`effbench run {asked} --shard sweep --out rates.json`, then `--rates rates.json` for each part"
            )))
        }
        _ => Ok(()),
    }
}

/// Hands the run to Slurm, or puts together what came back.
fn spread(args: &RunArgs, prepared: &Prepared, out: &Path) -> Result<()> {
    let absolute =
        |path: &Path| std::path::absolute(path).map_err(|error| Error::input(format!("{}: {error}", path.display())));
    let program =
        std::env::current_exe().map_err(|e| Error::internal(format!("cannot find this program's file: {e}")))?;
    let asked = prepared.asked.clone();
    let (out_path, build) = (absolute(out)?, build_info());
    let run = Spread { program, build, asked, out: out_path, repeats: prepared.repeats, tuned: prepared.is_tuned() };
    if args.collect {
        return collect(args, prepared, &run, out);
    }
    if !args.resume && (out.exists() || run.folder().exists()) {
        return Err(Error::input(format!("{} is already there", out.display()))
            .hint("`--resume` submits what is missing, `--out FILE` writes elsewhere"));
    }
    let submitted = run.submit()?;
    for (name, id) in &submitted.jobs {
        say(&format!("{name}: job {id}"));
    }
    match submitted.jobs.last() {
        None => collect(args, prepared, &run, out),
        Some((_, last)) => print(&format!(
            "Submitted: {} of {} parts are done; the result will be {} once job {last} has ended.\n\
             `squeue --me` shows how far it is; the same command with --resume submits what is missing.",
            submitted.done,
            submitted.parts,
            out.display()
        )),
    }
}

/// Puts the parts that are there together, and says what they say.
fn collect(args: &RunArgs, prepared: &Prepared, run: &Spread, out: &Path) -> Result<()> {
    let parts = run.parts();
    if parts.is_empty() {
        return Err(Error::input(format!("{}: no part has a result yet", run.folder().display()))
            .hint("its logs say why; the same command with --resume submits again"));
    }
    let mut file = read_all(&parts)?;
    let Run { started_at, finished_at, .. } = file.run;
    file.run = Run { started_at, finished_at, ..header(args, prepared) };
    store::write(out, &file)?;
    let resume = resume_command(prepared, out) + " --executor slurm";
    finish(args, &file, out, &resume)?;
    let missing: Vec<String> = run.missing()?.iter().map(u64::to_string).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let message = format!("parts {} of {} have no result", missing.join(", "), prepared.repeats);
    let hint = format!("the logs in {} say why; `{resume}` submits them again", run.folder().display());
    Err(Error { kind: Kind::Trials, message, hint: Some(hint) })
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
    // Two builds of one variant ask another question than two variants.
    let one_build = args.against.is_none();
    let headline = headline(&prepared.suite, &prepared.cells).filter(|_| one_build);
    Run {
        suite: prepared.suite.name.clone(),
        command: recorded_command(args, &prepared.cells),
        base: prepared.suite.base.clone().filter(|_| one_build),
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
