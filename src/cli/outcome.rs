//! Watching a campaign on a terminal, and telling what came of it.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use super::compare::verdict;
use super::print::{Format, print, print_json, print_page, say, to_json};
use crate::analysis::compare::stages::{cells_again, two_stages};
use crate::analysis::compare::{Comparison, Options, Side, compare};
use crate::campaign::{Finished, Outcome, Written};
use crate::config::against::{BASE, CONFIRM_REPEATS, HEAD};
use crate::config::{Gate, Library};
use crate::error::Result;
use crate::record::{ResultFile, Trial};
use crate::report;
use crate::runner::slurm::Submitted;
use crate::runner::{Interrupt, Observer, Progress};
use crate::trial::{Event, Job};

/// Shows progress on standard error, stops on a signal, and judges which of two builds looks worse.
pub(super) struct Watching {
    progress: Progress,
    gate: Gate,
}

impl Watching {
    /// Judges as the gate asks.
    pub(super) fn new(gate: Gate) -> Self {
        Self {
            progress: Progress::on_stderr(),
            gate,
        }
    }
}

impl Observer for Watching {
    fn note(&mut self, text: &str) {
        self.progress.note(text);
    }

    fn begin(&mut self, total: usize, missing: &[&Job]) {
        self.progress.begin(total, missing);
    }

    fn calibrating(&mut self) {
        self.progress.calibrating();
    }

    fn trial(&mut self, job: &Job) {
        self.progress.trial(job);
    }

    fn heard(&mut self, event: &Event) {
        self.progress.heard(event);
    }

    fn finished(&mut self, trial: &Trial, took: Duration) {
        self.progress.finished(trial, took);
    }

    fn end(&mut self) {
        self.progress.end();
    }

    fn interrupt(&mut self) -> Result<Interrupt> {
        Interrupt::on_signals()
    }

    fn looks_worse(&mut self, screened: &ResultFile) -> BTreeSet<String> {
        let found = compared(screened, Path::new(""), self.gate);
        let again: BTreeSet<String> = cells_again(&found).into_iter().map(str::to_owned).collect();
        if !again.is_empty() {
            let (some, all) = (again.len(), found.cells);
            say(&format!(
                "{some} of {all} cells look worse and are run again, {CONFIRM_REPEATS} repeats each"
            ));
        }
        again
    }
}

/// Says what came of a campaign, and whether all of it went well.
pub(super) fn tell(outcome: &Outcome, gate: Gate, format: Format) -> Result<()> {
    match outcome {
        Outcome::Finished(finished) => tell_result(finished, format),
        Outcome::TwoBuilds {
            screened,
            confirmed,
        } => {
            let of = |Written { file, out }: &Written| compared(file, out, gate);
            let first = of(screened);
            let found = match confirmed {
                Some(fresh) => two_stages(&first, &of(fresh)),
                None => first,
            };
            tell_comparison(&found, format, &screened.out)
        }
        Outcome::Submitted { submitted, out } => tell_submitted(submitted, out),
    }
}

fn tell_result(finished: &Finished, format: Format) -> Result<()> {
    let Written { file, out } = &finished.written;
    let path = out.display().to_string();
    match format {
        Format::Text => {
            let price = Library::builtin().price("default")?;
            print_page(&report::summary(file, &path, &price))?;
        }
        Format::Json => print_json(&report::summary_json(file, &path))?,
    }
    finished.verdict()
}

/// The two arms of a run's file against each other.
fn compared(file: &ResultFile, out: &Path, gate: Gate) -> Comparison {
    let files = [(out.display().to_string(), file.clone())];
    let side = |arm: &str| Side::new(&format!("{arm} of {}", out.display()), &files, Some(arm));
    let options = Options {
        gate,
        ..Options::default()
    };
    compare(&side(BASE), &side(HEAD), &options)
}

/// Says what two builds were found to be, and ends with the verdict.
fn tell_comparison(found: &Comparison, format: Format, out: &Path) -> Result<()> {
    match format {
        Format::Text => {
            print_page(&report::compare::page(found))?;
            print(&format!("\nResult file: {}", out.display()))?
        }
        Format::Json => {
            let mut document = to_json(found)?;
            document["sentence"] = report::compare::sentence(found).into();
            print_json(&document)?;
        }
    }
    verdict(found)
}

fn tell_submitted(submitted: &Submitted, out: &Path) -> Result<()> {
    for (name, id) in &submitted.jobs {
        say(&format!("{name}: job {id}"));
    }
    let (done, parts) = (submitted.done, submitted.parts);
    match submitted.jobs.last() {
        None => print(&format!(
            "Nothing is submitted: {done} of {parts} parts are done, and {} still wait or run. `squeue --me` shows how far they are.",
            submitted.queued.len()
        )),
        Some((_, last)) => print(&format!(
            "Submitted: {done} of {parts} parts are done; the result will be {} once job {last} has ended.\n\
             `squeue --me` shows how far it is; the same command with --resume submits what is missing.",
            out.display()
        )),
    }
}
