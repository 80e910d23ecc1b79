//! What `effbench run` does: settle everything first, then trial by trial to a result file and an answer.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::against::{ask_build, compared, conclude, confirm_out, flagged};
use super::cluster::spread;
use super::course::{Course, refuse_half_a_sweep};
use super::prepare::{Prepared, asked, describe_plan, file_name, prepare};
use super::run::{Executor, RunArgs};
use super::{Format, print, print_json, quoted, say, style, to_json};
use crate::analysis::compare::stages::{CONFIRM_REPEATS, two_stages};
use crate::config::{Library, Suite};
use crate::error::{Error, Kind, Result};
use crate::record::{Headline, ResultFile, Run, SCHEMA, Status, Trial};
use crate::report::{self, listing};
use crate::runner::local::{CalibrateInChild, Then, choose_out};
use crate::runner::machine::{child_environment, describe};
use crate::runner::plan::PreparedCell;
use crate::runner::{Interrupt, Mode, Progress, Request, Worker, build_info, local, utc_now};
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
        if let Err(refusal) = prepared.refuse_emulation() {
            say(&format!("a run here would be refused: {}", refusal.message));
        }
        return match args.format {
            Format::Text => print(&listing::plan(&plan, style())),
            Format::Json => print_json(&to_json(&plan)?),
        };
    }
    refuse_half_a_sweep(args, &prepared)?;
    let environment = child_environment(prepared.threads);
    let machine = describe(prepared.threads, &environment)?;
    let mode = mode(args);
    let out = choose_out(
        args.out.as_deref(),
        mode,
        Path::new("results"),
        &prepared.suite.name,
        &machine.class_id,
    );
    if args.executor == Executor::Slurm {
        return spread(args, &prepared, &out);
    }
    prepared.refuse_emulation()?;
    let other = args
        .against
        .as_deref()
        .map(|binary| ask_build(binary, &environment))
        .transpose()?;
    let mut workers = vec![Worker::this_program(&["trial"], environment.clone())?];
    let mut builds = vec![build_info()];
    if let Some((build, worker)) = other {
        builds.push(build);
        workers.push(worker);
    }
    let course = Course {
        args,
        prepared: &prepared,
        registry,
        builds: &builds,
    };
    let run = Running {
        prepared: &prepared,
        workers,
        environment,
        mode,
        interrupt: Interrupt::on_signals()?,
    };
    let file = ResultFile {
        schema: SCHEMA.to_owned(),
        run: header(args, &prepared),
        builds: builds.clone(),
        machines: vec![machine],
        calibrations: Vec::new(),
        trials: Vec::new(),
    };
    if args.against.is_some() {
        return two_builds(&course, &run, file, &out);
    }
    let judge = |trials: &[&Trial]| course.judging(trials);
    let finished = run.all(course.first()?, course.then(&judge), file, &out)?;
    finish(args, &finished, &out, &resume_command(&prepared, &out))
}

/// Runs both builds side by side, what looked worse again if that is asked, and ends with the comparison.
fn two_builds(course: &Course, run: &Running, file: ResultFile, out: &Path) -> Result<()> {
    let (args, more) = (course.args, confirm_out(out));
    if args.confirm && run.mode == Mode::New && more.exists() {
        return Err(
            Error::input(format!("{} is already there", more.display())).hint(
                "`--resume` goes on with it, `--fresh` replaces it, `--out FILE` writes elsewhere",
            ),
        );
    }
    let first = compared(
        &run.all(course.first()?, None, file.clone(), out)?,
        out,
        args.gate,
    );
    let again = if args.confirm {
        flagged(&first, course.cells()?)
    } else {
        Vec::new()
    };
    if again.is_empty() {
        return conclude(&first, args.format, out);
    }
    let (some, all) = (again.len(), first.cells);
    say(&format!(
        "{some} of {all} cells look worse and are run again, {CONFIRM_REPEATS} repeats each"
    ));
    let file = ResultFile {
        run: Run {
            repeats: CONFIRM_REPEATS,
            ..file.run.clone()
        },
        ..file
    };
    let second = compared(
        &run.all(course.again(&again), None, file, &more)?,
        &more,
        args.gate,
    );
    conclude(&two_stages(&first, &second), args.format, out)
}

fn mode(args: &RunArgs) -> Mode {
    match (args.resume, args.fresh) {
        (true, _) => Mode::Resume,
        (_, true) => Mode::Fresh,
        _ => Mode::New,
    }
}

/// Says what was found, and whether all of it went well.
pub(super) fn finish(
    args: &RunArgs,
    finished: &ResultFile,
    out: &Path,
    resume: &str,
) -> Result<()> {
    let path = out.display().to_string();
    match args.format {
        Format::Text => {
            let price = Library::builtin().price("default")?;
            print(&report::summary(finished, &path, &price, style()))?;
        }
        Format::Json => print_json(&report::summary_json(finished, &path))?,
    }
    verdict(finished, resume)
}

/// What all trials of a run share.
struct Running<'a> {
    prepared: &'a Prepared,
    /// By build.
    workers: Vec<Worker>,
    environment: BTreeMap<String, String>,
    mode: Mode,
    /// A program can ask for signals only once.
    interrupt: Interrupt,
}

impl Running<'_> {
    fn all(
        &self,
        jobs: Vec<Job>,
        then: Option<&Then>,
        file: ResultFile,
        out: &Path,
    ) -> Result<ResultFile> {
        let Self {
            prepared,
            workers,
            mode,
            ..
        } = self;
        let worker =
            Worker::this_program(&["calibrate", &prepared.device], self.environment.clone())?;
        let mut calibrate = CalibrateInChild {
            worker,
            device: prepared.device.clone(),
            limit: LEAST_LIMIT,
        };
        let longest = prepared
            .cells
            .iter()
            .map(|cell| cell.cost.train_flops)
            .fold(0.0, f64::max);
        let limit = LEAST_LIMIT.max(Duration::from_secs_f64(
            PATIENCE * longest / prepared.nominal_flops_per_s(),
        ));
        let resume = resume_command(prepared, out);
        let request = Request {
            out,
            mode: *mode,
            file,
            jobs: &jobs,
            then,
            workers,
            limit,
            resume: &resume,
        };
        local::run(
            request,
            &mut calibrate,
            &mut Progress::on_stderr(),
            &self.interrupt,
        )
    }
}

/// The command that goes on with a run.
pub(super) fn resume_command(prepared: &Prepared, out: &Path) -> String {
    format!(
        "effbench run {} --resume --out {}",
        prepared.asked,
        quoted(&out.display().to_string())
    )
}

/// The trials that count: a sweep is there to find out which rates fail.
fn judged(file: &ResultFile) -> impl Iterator<Item = &Trial> {
    let sweep_only = file.trials.iter().all(Trial::in_sweep);
    file.trials
        .iter()
        .filter(move |trial| sweep_only || !trial.in_sweep())
}

/// Some trials failed: the file is written, the table shown, and the exit code says so.
fn verdict(finished: &ResultFile, resume: &str) -> Result<()> {
    let bad: Vec<_> = judged(finished)
        .filter(|t| t.status != Status::Ok || !t.validity.ok)
        .collect();
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
            Err(Error {
                kind: Kind::Trials,
                message,
                hint,
            })
        }
    }
}

/// The suite's own question, or, where `--variants` or `--scales` left its cell out, the nearest that can be asked of what
/// runs: fixed before anything does.
fn headline(suite: &Suite, cells: &[PreparedCell]) -> Option<Headline> {
    let (asked, base) = (suite.headline.as_ref()?, suite.base.as_deref()?);
    let budgets = |scale: &str| {
        cells
            .iter()
            .filter(|cell| cell.variant == base && cell.scale == scale)
            .count()
    };
    let candidates = cells
        .iter()
        .filter(|cell| cell.variant != base && budgets(&cell.scale) > 1);
    let nearness = |cell: &&PreparedCell| {
        let order = std::cmp::Reverse(cells.iter().position(|other| other.name == cell.name));
        (
            cell.variant == asked.variant,
            cell.scale == asked.scale,
            cell.budget == Some(asked.budget),
            order,
        )
    };
    let cell = candidates
        .filter(|cell| cell.budget.is_some())
        .max_by_key(nearness)?;
    Some(Headline {
        variant: cell.variant.clone(),
        scale: cell.scale.clone(),
        budget: cell.budget?,
    })
}

/// What is known of a run before it begins.
pub(super) fn header(args: &RunArgs, prepared: &Prepared) -> Run {
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
        interleaved: None,
    }
}

/// The command that repeats this run anywhere: paths become file names with the hash of what they held.
fn recorded_command(args: &RunArgs, prepared: &[PreparedCell]) -> String {
    let hash = prepared
        .iter()
        .find_map(|cell| cell.spec.pointer("/data/blake3")?.as_str());
    let hash = hash
        .map(|hash| format!("#blake3:{}", &hash[..hash.len().min(16)]))
        .unwrap_or_default();
    let data = args.data.as_ref().map(|data| file_name(data) + &hash);
    format!(
        "effbench run {}",
        asked(args, &file_name(&args.suite), data.as_deref(), file_name)
    )
}
