//! What came of a campaign.

use std::path::{Path, PathBuf};

use crate::error::{Error, Kind, Result};
use crate::record::{ResultFile, Status, Trial};
use crate::runner::slurm::Submitted;

/// What came of a campaign.
#[derive(Debug, Clone)]
#[allow(
    clippy::large_enum_variant,
    reason = "one is made a campaign: its size does not matter, and a box would stand in everybody's match"
)]
pub enum Outcome {
    /// Trials were run, or were there.
    Finished(Finished),
    /// Two builds were run next to each other; a judge says which is worse.
    TwoBuilds {
        /// Everything.
        screened: Written,
        /// Fresh repeats of what looked worse, where something did and was to be confirmed.
        confirmed: Option<Written>,
    },
    /// Slurm has it: the result comes later.
    Submitted {
        /// What was submitted, and what waits.
        submitted: Submitted,
        /// Where the result will be.
        out: PathBuf,
    },
}

/// A result file and where it lies.
#[derive(Debug, Clone)]
pub struct Written {
    /// What it holds.
    pub file: ResultFile,
    /// Where it lies.
    pub out: PathBuf,
}

/// A result file that is whole, or says what is missing.
#[derive(Debug, Clone)]
pub struct Finished {
    /// The result.
    pub written: Written,
    /// The command that tries again what did not finish.
    pub resume: String,
    /// What else keeps it from being whole, such as parts that a cluster has not run.
    pub missing: Option<Error>,
}

impl Outcome {
    /// The result file, where there is one yet; of two builds the one that holds everything.
    pub fn file(&self) -> Option<&ResultFile> {
        match self {
            Self::Finished(Finished { written, .. }) => Some(&written.file),
            Self::TwoBuilds { screened, .. } => Some(&screened.file),
            Self::Submitted { .. } => None,
        }
    }

    /// Where the result is, or will be.
    pub fn out(&self) -> &Path {
        match self {
            Self::Finished(Finished { written, .. }) => &written.out,
            Self::TwoBuilds { screened, .. } => &screened.out,
            Self::Submitted { out, .. } => out,
        }
    }
}

impl Finished {
    /// Whether all went well: an error of [`Kind::Trials`] where some trials failed or are missing. The file is written whatever
    /// this says.
    pub fn verdict(&self) -> Result<()> {
        let file = &self.written.file;
        let bad: Vec<_> = judged(file)
            .filter(|trial| trial.status != Status::Ok || !trial.validity.ok)
            .collect();
        let Some(first) = bad.first() else {
            return self.missing.clone().map_or(Ok(()), Err);
        };
        let reason = first.reason.as_deref().unwrap_or("no reason given");
        let message = format!(
            "{} of {} trials are not ok; the first: {} repeat {}: {reason}",
            bad.len(),
            judged(file).count(),
            first.cell,
            first.repeat
        );
        let again = bad.iter().any(|trial| trial.status != Status::Diverged);
        let hint = again.then(|| format!("`{}` tries what did not finish again", self.resume));
        Err(Error {
            kind: Kind::Trials,
            message,
            hint,
        })
    }
}

/// The trials that count: a sweep is there to find out which rates fail.
fn judged(file: &ResultFile) -> impl Iterator<Item = &Trial> {
    let sweep_only = file.trials.iter().all(Trial::in_sweep);
    file.trials
        .iter()
        .filter(move |trial| sweep_only || !trial.in_sweep())
}
