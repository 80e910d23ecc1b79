//! `effbench run --executor slurm`: submit and return, and later put together what came back.

use std::path::Path;

use super::launch::{finish, header, resume_command};
use super::prepare::Prepared;
use super::run::RunArgs;
use super::{print, say};
use crate::error::{Error, Kind, Result};
use crate::record::pool::read_all;
use crate::record::{Run, store};
use crate::runner::build_info;
use crate::runner::slurm::Spread;

/// Hands the run to Slurm, or puts together what came back.
pub(super) fn spread(args: &RunArgs, prepared: &Prepared, out: &Path) -> Result<()> {
    let absolute = |path: &Path| {
        std::path::absolute(path)
            .map_err(|error| Error::input(format!("{}: {error}", path.display())))
    };
    let program = std::env::current_exe()
        .map_err(|e| Error::internal(format!("cannot find this program's file: {e}")))?;
    let asked = prepared.asked.clone();
    let (out_path, build) = (absolute(out)?, build_info());
    let run = Spread {
        program,
        build,
        asked,
        out: out_path,
        repeats: prepared.repeats,
        tuned: prepared.is_tuned(),
    };
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
        None if !submitted.queued.is_empty() => print(&format!(
            "Nothing is submitted: {} of {} parts are done, and {} still wait or run. `squeue --me` shows how far they are.",
            submitted.done,
            submitted.parts,
            submitted.queued.len()
        )),
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
        return Err(Error::input(format!(
            "{}: no part has a result yet",
            run.folder().display()
        ))
        .hint("its logs say why; the same command with --resume submits again"));
    }
    let mut file = read_all(&parts)?;
    let Run {
        started_at,
        finished_at,
        ..
    } = file.run;
    file.run = Run {
        started_at,
        finished_at,
        ..header(args, prepared)
    };
    store::write(out, &file)?;
    let resume = resume_command(prepared, out) + " --executor slurm";
    finish(args, &file, out, &resume)?;
    let missing: Vec<String> = run.missing()?.iter().map(u64::to_string).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let message = format!(
        "parts {} of {} have no result",
        missing.join(", "),
        prepared.repeats
    );
    let hint = format!(
        "the logs in {} say why; `{resume}` submits them again",
        run.folder().display()
    );
    Err(Error {
        kind: Kind::Trials,
        message,
        hint: Some(hint),
    })
}
