//! What an earlier run left where this one is to write, and what of it may be touched.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::observer::Observer;
use super::partial::Partial;
use super::request::{Mode, Request};
use crate::error::{Error, Result};
use crate::record::{ResultFile, Status, Trial, journal, store};
use crate::trial::Job;

/// Whether a trial that ended so is not tried again. A rate that failed in a sweep stays failed: trying again could choose
/// another, and orphan what was judged since.
pub fn is_settled(trial: &Trial) -> bool {
    matches!(trial.status, Status::Ok | Status::Diverged)
        || (trial.in_sweep() && trial.status != Status::Interrupted)
}

/// The trials that an earlier run has kept for `out`, as they are: nothing is touched, and nothing is locked.
pub fn kept(out: &Path) -> Result<Vec<Trial>> {
    if Partial::has_begun(out) {
        journal::read_journal(&Partial::folder_of(out)).map(|journal| journal.trials)
    } else if out.exists() {
        store::read(out).map(|file| file.trials)
    } else {
        Ok(Vec::new())
    }
}

/// The jobs known so far: a sweep's, and those that follow once it is whole.
fn known(trials: &[Trial], request: &Request) -> Result<(Vec<Job>, bool)> {
    let mut jobs = request.jobs.to_vec();
    let Some(then) = request.then else {
        return Ok((jobs, true));
    };
    let by_id: HashMap<&str, &Trial> = trials
        .iter()
        .map(|trial| (trial.id.as_str(), trial))
        .collect();
    let swept: Option<Vec<&Trial>> = jobs
        .iter()
        .map(|job| by_id.get(job.trial.id.as_str()).copied())
        .collect();
    let whole = swept.filter(|swept| swept.iter().all(|trial| is_settled(trial)));
    if let Some(swept) = &whole {
        jobs.extend(then(swept)?);
    }
    Ok((jobs, whole.is_some()))
}

/// What there is of a run.
pub(super) enum Found {
    /// All of it.
    Complete(Box<ResultFile>),
    /// A head and some trials, kept in the folder.
    Begun(Box<ResultFile>, Vec<Trial>),
}

/// Looks at what there is, with the lock held; what must not be mixed or replaced is refused.
pub(super) fn found(
    request: &Request,
    partial: &Partial,
    observer: &mut dyn Observer,
) -> Result<Found> {
    let out = request.out;
    // A run that began is the truth about itself; else a result file that is there is continued.
    let continued = request.mode == Mode::Resume && out.exists() && !Partial::has_begun(out);
    let finished = if continued {
        Some(store::read(out)?)
    } else {
        None
    };
    if let Some(file) = &finished {
        if all_settled(&file.trials, request)? {
            let beyond = foreign(&file.trials, &known(&file.trials, request)?.0);
            if beyond > 0 {
                observer.note(&beyond_plan(beyond, file.trials.len(), out));
            }
            return Ok(Found::Complete(Box::new(file.clone())));
        }
        refuse_foreign(&file.trials, request)?;
    }
    match request.mode {
        Mode::Fresh => partial.clear_all()?,
        // Somebody else may have been here between the look and the lock.
        Mode::New if out.exists() || Partial::has_begun(out) => return Err(refused(out)),
        Mode::New | Mode::Resume => {}
    }
    let mut notes = Vec::new();
    let began = partial.read(&mut notes)?;
    notes.iter().for_each(|note| observer.note(note));
    match began {
        Some((head, trials)) => {
            refuse_foreign(&trials, request)?;
            Ok(Found::Begun(Box::new(head), trials))
        }
        None => {
            partial.clear()?;
            let mut head = finished.unwrap_or_else(|| request.file.clone());
            let trials = std::mem::take(&mut head.trials);
            trials.iter().try_for_each(|trial| partial.keep(trial))?;
            Ok(Found::Begun(Box::new(head), trials))
        }
    }
}

/// Refuses a place that cannot be written, or that holds something nobody gave up.
pub(super) fn refuse_to_touch(request: &Request) -> Result<()> {
    let out = request.out;
    if out.file_name().is_none() {
        return Err(
            Error::input(format!("`{}` is not a file name", out.display()))
                .hint("name a file: `--out x.json`"),
        );
    }
    store::check_writable(out)?;
    refuse_there(out, request.mode)?;
    match request.mode {
        Mode::Fresh if out.exists() => store::read(out).map(drop).map_err(|error| {
            Error::input(format!(
                "{}; `--fresh` replaces result files only",
                error.message
            ))
            .hint("remove it yourself, or write elsewhere with `--out`")
        }),
        _ => Ok(()),
    }
}

/// Trials that this plan does not hold may be neither mixed with its own nor thrown away.
fn refuse_foreign(trials: &[Trial], request: &Request) -> Result<()> {
    let (jobs, _) = known(trials, request)?;
    match foreign(trials, &jobs) {
        0 => Ok(()),
        foreign => Err(not_of_plan(foreign, trials.len(), request.out)),
    }
}

/// How many trials are none of these jobs'.
pub fn foreign(trials: &[Trial], jobs: &[Job]) -> usize {
    let planned: HashSet<&str> = jobs.iter().map(|job| job.trial.id.as_str()).collect();
    let others = trials
        .iter()
        .filter(|trial| !planned.contains(trial.id.as_str()));
    others.count()
}

/// Why what is kept is not resumed.
pub fn not_of_plan(foreign: usize, all: usize, out: &Path) -> Error {
    let message = format!(
        "{foreign} of the {all} trials kept for {} are not part of this plan: fewer cells or repeats, other settings, or another build of \
         effbench",
        out.display()
    );
    Error::input(message).hint("repeat the command that began it, or start over with `--fresh`")
}

/// What is said where a file has all that is asked for, and more.
pub fn beyond_plan(beyond: usize, all: usize, out: &Path) -> String {
    let (are, stay) = match beyond {
        1 => ("is", "it stays, and is"),
        _ => ("are", "they stay, and are"),
    };
    format!(
        "{beyond} of the {all} trials in {} {are} not asked for here; {stay} told with the others",
        out.display()
    )
}

/// Refuses a place that holds something, a result or a run that began, where nobody said what to do about that.
pub fn refuse_there(out: &Path, mode: Mode) -> Result<()> {
    let folder = Partial::folder_of(out);
    let mut places = [out, folder.as_path()].into_iter();
    match places.find(|path| path.exists()) {
        Some(there) if mode == Mode::New => Err(refused(there)),
        _ => Ok(()),
    }
}

fn refused(there: &Path) -> Error {
    Error::input(format!("{} is already there", there.display())).hint(
        "`--resume` runs what is missing, `--fresh` replaces it, `--out FILE` writes elsewhere",
    )
}

fn all_settled(trials: &[Trial], request: &Request) -> Result<bool> {
    let (jobs, all) = known(trials, request)?;
    let settled: HashSet<&str> = trials
        .iter()
        .filter(|t| is_settled(t))
        .map(|t| t.id.as_str())
        .collect();
    Ok(all
        && jobs
            .iter()
            .all(|job| settled.contains(job.trial.id.as_str())))
}
