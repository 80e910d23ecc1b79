//! One trial in a process of its own: whatever happens there costs this trial and no other, and is recorded as what it was.

use std::collections::BTreeMap;
use std::process::ExitStatus;
use std::time::Duration;

use super::interrupt::Interrupt;
use super::process::{self, End, Ended, Worker};
use super::utc_now;
use crate::device::refusal::is_out_of_memory;
use crate::error::{Error, Kind, Result};
use crate::record::{Energy, Flag, Severity, Status, Trial, Validity};
use crate::trial::{self, Event, Job};

/// Characters of a child's last words that a reason keeps.
const LAST_WORDS: usize = 400;

/// Runs a job in a fresh process and returns its trial, whatever became of it: a crash, a kill, a hang and garbage are
/// outcomes, not errors. An error means that no process could be started.
///
/// `on_progress` gets every event but the last. See [`process::run`] about the calling thread.
pub fn run_trial(
    worker: &Worker,
    job: &Job,
    limit: Duration,
    interrupt: &Interrupt,
    on_progress: &mut dyn FnMut(&Event),
) -> Result<Trial> {
    let input = serde_json::to_string(job).map_err(|error| {
        Error::internal(format!(
            "cannot write the job of {}: {error}",
            job.trial.cell
        ))
    })?;
    let started_at = utc_now();
    let mut result = None;
    let mut hear = |line: &str| {
        match serde_json::from_str::<Event>(line) {
            Ok(Event::Done { trial }) if trial.id != job.trial.id => {
                return Err(format!(
                    "answered for trial {} instead of {}",
                    trial.id, job.trial.id
                ));
            }
            Ok(Event::Done { trial }) => result = Some(trial),
            Ok(event) => on_progress(&event),
            Err(error) => {
                return Err(format!(
                    "said what is not an event: `{}` ({error})",
                    shorten(line, 80)
                ));
            }
        }
        Ok(())
    };
    let ended = process::run(worker, &input, limit, interrupt, &mut hear)?;
    match (result, &ended.end) {
        (Some(trial), End::Exited(status)) if status.success() => Ok(*trial),
        (_, _) => {
            let (status, reason) = verdict(&ended, limit);
            Ok(without_result(job, status, reason, started_at))
        }
    }
}

/// Runs a worker that answers once, on standard output: the whole answer.
pub fn ask(worker: &Worker, input: &str, limit: Duration, interrupt: &Interrupt) -> Result<String> {
    let mut answer = String::new();
    let mut hear = |line: &str| {
        answer.push_str(line);
        answer.push('\n');
        Ok(())
    };
    let ended = process::run(worker, input, limit, interrupt, &mut hear)?;
    match &ended.end {
        End::Exited(status) if status.success() => Ok(answer),
        End::Interrupted => Err(Error {
            kind: Kind::Interrupted,
            message: "interrupted".to_owned(),
            hint: None,
        }),
        _ => Err(Error::internal(verdict(&ended, limit).1)),
    }
}

/// What a child without a valid result died of.
fn verdict(ended: &Ended, limit: Duration) -> (Status, String) {
    match &ended.end {
        End::Interrupted => (Status::Interrupted, "stopped by the user".to_owned()),
        End::TimedOut => (
            Status::Timeout,
            format!("took longer than its limit of {} s", limit.as_secs_f64()),
        ),
        End::Rejected(what) => (Status::Failed, what.clone()),
        End::Exited(status) => {
            let words = last_words(&ended.complaints);
            let with_words = |what: String| {
                if words.is_empty() {
                    what
                } else {
                    format!("{what}: {words}")
                }
            };
            match signal(*status) {
                Some(KILL) if ended.oom_killed => (
                    Status::OutOfMemory,
                    "killed by the kernel's out-of-memory killer".to_owned(),
                ),
                Some(KILL) => (
                    Status::Failed,
                    "killed by signal 9, and the kernel counts no kill for memory".to_owned(),
                ),
                // What Rust's allocator says before it aborts, under a limit on address space.
                Some(ABORT) if words.contains("memory allocation of") => {
                    (Status::OutOfMemory, words)
                }
                None if is_out_of_memory(&words) => (Status::OutOfMemory, words),
                Some(signal) => (
                    Status::Failed,
                    with_words(format!("killed by signal {signal}")),
                ),
                None if status.success() => (
                    Status::Failed,
                    with_words("ended without a result".to_owned()),
                ),
                None => (
                    Status::Failed,
                    with_words(format!("exit code {}", status.code().unwrap_or(-1))),
                ),
            }
        }
    }
}

const ABORT: i32 = 6;
const KILL: i32 = 9;

#[cfg(unix)]
fn signal(status: ExitStatus) -> Option<i32> {
    std::os::unix::process::ExitStatusExt::signal(&status)
}

#[cfg(not(unix))]
fn signal(_status: ExitStatus) -> Option<i32> {
    None
}

/// The last three lines worth reading, without the folders in paths: result files name no user's folders.
fn last_words(complaints: &[String]) -> String {
    let worth = |line: &&String| !line.trim().is_empty() && !line.starts_with("note: ");
    let mut last: Vec<&str> = complaints
        .iter()
        .rev()
        .filter(worth)
        .take(3)
        .map(|line| line.trim())
        .collect();
    last.reverse();
    let words: Vec<String> = last.join(" / ").split(' ').map(without_folders).collect();
    shorten(&words.join(" "), LAST_WORDS)
}

/// `(/home/me/x/src/a.rs:3:4)` becomes `(a.rs:3:4)`.
fn without_folders(word: &str) -> String {
    let opening = word.len() - word.trim_start_matches(['(', '"', '\'', '`', '<']).len();
    let (before, path) = word.split_at(opening);
    match path.rsplit_once('/') {
        Some((_, name)) if path.starts_with('/') && !name.is_empty() => format!("{before}{name}"),
        _ => word.to_owned(),
    }
}

fn shorten(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// The record of a job that left no result.
pub(super) fn without_result(
    job: &Job,
    status: Status,
    reason: String,
    started_at: String,
) -> Trial {
    let flag = Flag {
        code: "no_result".to_owned(),
        severity: Severity::Invalid,
        value: None,
        limit: None,
    };
    Trial {
        status,
        reason: Some(reason),
        energy: Energy {
            reason: Some("no_result".to_owned()),
            ..Energy::default()
        },
        validity: Validity {
            ok: false,
            flags: vec![flag],
            unseen: BTreeMap::new(),
        },
        ..trial::blank(job, started_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_words_are_few_and_name_no_folders() {
        let check = |lines: &[&str], expected: &str| {
            let lines: Vec<String> = lines.iter().map(|&line| line.to_owned()).collect();
            assert_eq!(last_words(&lines), expected);
        };
        check(&[], "");
        check(&["", "a", "b", " c ", "", "d"], "b / c / d");
        check(
            &[
                "thread 'main' panicked at /home/me/x/src/a.rs:3:4:",
                "no",
                "note: run with `RUST_BACKTRACE=1`",
            ],
            "thread 'main' panicked at a.rs:3:4: / no",
        );
        check(
            &["cannot open '/home/me/data/text.txt'"],
            "cannot open 'text.txt'",
        );
        check(&["3 / 4 of n/a"], "3 / 4 of n/a");
        check(&[&"é".repeat(500)], &format!("{}...", "é".repeat(400)));
    }
}
