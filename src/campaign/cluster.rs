//! A campaign on a Slurm cluster: submit and return, and later put together what came back.

use std::path::{Path, PathBuf};

use super::outcome::{Finished, Outcome, Written};
use super::programs::programs;
use super::resolve::Campaign;
use crate::error::{Error, Kind, Result};
use crate::record::pool::read_all;
use crate::record::{Run, store};
use crate::runner::Mode;
use crate::runner::slurm::Spread;

/// Hands a campaign to Slurm, or puts together what came back.
pub(super) fn run(campaign: &Campaign, out: PathBuf, collect_only: bool) -> Result<Outcome> {
    let spread = spread(campaign, &out)?;
    if collect_only {
        return collect(campaign, &spread, out);
    }
    let resumes = campaign.options.mode == Mode::Resume;
    if !resumes && (out.exists() || spread.folder().exists()) {
        return Err(Error::input(format!("{} is already there", out.display()))
            .hint("`--resume` submits what is missing, `--out FILE` writes elsewhere"));
    }
    let submitted = spread.submit()?;
    if submitted.jobs.is_empty() && submitted.queued.is_empty() {
        return collect(campaign, &spread, out);
    }
    Ok(Outcome::Submitted { submitted, out })
}

/// The campaign as its parts.
pub(super) fn spread(campaign: &Campaign, out: &Path) -> Result<Spread> {
    let own = programs(&campaign.options)?.swap_remove(0);
    let out = std::path::absolute(out)
        .map_err(|error| Error::input(format!("{}: {error}", out.display())))?;
    Ok(Spread {
        program: own.file()?,
        build: own.build,
        asked: campaign.options.asked(),
        out,
        repeats: campaign.repeats,
        tuned: campaign.is_tuned(),
    })
}

/// Puts the parts that are there together.
fn collect(campaign: &Campaign, spread: &Spread, out: PathBuf) -> Result<Outcome> {
    let parts = spread.parts();
    if parts.is_empty() {
        return Err(Error::input(format!(
            "{}: no part has a result yet",
            spread.folder().display()
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
        ..campaign.header()
    };
    store::write(&out, &file)?;
    let resume = campaign.options.resume_command(&out);
    let missing = missing(spread, &resume);
    Ok(Outcome::Finished(Finished {
        written: Written { file, out },
        resume,
        missing,
    }))
}

/// Which parts have no result, and what would do.
fn missing(spread: &Spread, resume: &str) -> Option<Error> {
    let missing = match spread.missing() {
        Ok(missing) if missing.is_empty() => return None,
        Ok(missing) => missing,
        Err(error) => return Some(error),
    };
    let missing: Vec<String> = missing.iter().map(u64::to_string).collect();
    let message = format!(
        "parts {} of {} have no result",
        missing.join(", "),
        spread.repeats
    );
    let hint = format!(
        "the logs in {} say why; `{resume}` submits them again",
        spread.folder().display()
    );
    Some(Error {
        kind: Kind::Trials,
        message,
        hint: Some(hint),
    })
}
