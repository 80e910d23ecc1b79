//! What was handed to Slurm and is still in its queue: a part that waits or runs must not be submitted a second time.
//!
//! Each submission is written down beside the parts, and `squeue` is asked which of them are left. A job that Slurm knows no more
//! has ended, in whatever way: what it left undone may be submitted again.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::record::store;

/// One JSON line a submission.
const FILE: &str = "submitted.jsonl";

/// One submission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// Slurm's number.
    pub id: String,
    /// The job's name.
    pub name: String,
    /// The parts that it does, from 1; none of a sweep and of a collector.
    pub parts: Vec<u64>,
    /// What is added to an array's index to give the part.
    pub offset: u64,
}

/// What is left of a submission in the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Waiting {
    sent: Sent,
    /// Parts that wait or run.
    parts: BTreeSet<u64>,
}

/// Everything that was submitted for a run, and what of it is in the queue.
#[derive(Debug)]
pub struct Queue {
    path: PathBuf,
    sent: Vec<Sent>,
    waiting: Vec<Waiting>,
}

impl Queue {
    /// Reads what was submitted from a folder of parts, and asks Slurm about each.
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join(FILE);
        let unreadable = |error: &dyn std::fmt::Display| {
            Error::input(format!("{}: cannot be read: {error}", path.display()))
                .hint("it says what waits in Slurm's queue: remove it once `squeue` shows none of this run's jobs")
        };
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            other => other.map_err(|error| unreadable(&error))?,
        };
        let sent: Vec<Sent> = text
            .lines()
            .map(|line| serde_json::from_str(line).map_err(|error| unreadable(&error)))
            .collect::<Result<_>>()?;
        let waiting = sent
            .iter()
            .map(ask)
            .collect::<Result<Vec<_>>>()?
            .into_iter()
            .flatten()
            .collect();
        Ok(Self {
            path,
            sent,
            waiting,
        })
    }

    /// Writes one more submission down.
    pub fn remember(&mut self, sent: Sent) -> Result<()> {
        self.sent.push(sent);
        let line = |sent: &Sent| serde_json::to_string(sent).map(|line| line + "\n");
        let text: String = self
            .sent
            .iter()
            .map(line)
            .collect::<std::result::Result<_, _>>()
            .map_err(|error| Error::internal(error.to_string()))?;
        store::write_whole(&self.path, text.as_bytes())
    }

    /// Whether a part waits or runs.
    pub fn holds_part(&self, part: u64) -> bool {
        self.waiting
            .iter()
            .any(|waiting| waiting.parts.contains(&part))
    }

    /// The number of the job of this name that waits or runs.
    pub fn job_named(&self, name: &str) -> Option<String> {
        self.waiting
            .iter()
            .find(|waiting| waiting.sent.name == name)
            .map(|waiting| waiting.sent.id.clone())
    }

    /// The numbers of the arrays that wait or run.
    pub fn arrays(&self) -> Vec<String> {
        let arrays = self
            .waiting
            .iter()
            .filter(|waiting| !waiting.parts.is_empty());
        arrays.map(|waiting| waiting.sent.id.clone()).collect()
    }
}

/// What is left of a submission; `None` where it has ended.
fn ask(sent: &Sent) -> Result<Option<Waiting>> {
    let mut squeue = Command::new("squeue");
    squeue.args(["--noheader", "--array", "--format=%K", "--jobs", &sent.id]);
    // What a user's profile leaves out of `squeue` has not ended.
    for name in [
        "SQUEUE_STATES",
        "SQUEUE_PARTITION",
        "SQUEUE_USERS",
        "SQUEUE_ACCOUNT",
        "SQUEUE_FORMAT",
    ] {
        squeue.env_remove(name);
    }
    let asked = squeue.output();
    let output = asked.map_err(|error| {
        Error::input(format!(
            "cannot start squeue, to see whether job {} is still in the queue: {error}",
            sent.id
        ))
        .hint("run this on a login node of the cluster")
    })?;
    if output.status.success() {
        return Ok(left_of(sent, &String::from_utf8_lossy(&output.stdout)));
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if said.contains("Invalid job id") {
        return Ok(None);
    }
    Err(Error::input(format!(
        "squeue does not say whether job {} is still in the queue: {said}",
        sent.id
    ))
    .hint("try again when the cluster answers: submitting now might run a part twice"))
}

/// One line for each task that is left: its index in the array, or `N/A` where there is none.
fn left_of(sent: &Sent, said: &str) -> Option<Waiting> {
    let mut lines = said
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .peekable();
    lines.peek()?;
    let parts = lines
        .filter_map(|line| line.parse::<u64>().ok())
        .map(|index| index + sent.offset);
    let parts = parts.filter(|part| sent.parts.contains(part)).collect();
    Some(Waiting {
        sent: sent.clone(),
        parts,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(name: &str, parts: &[u64], offset: u64) -> Sent {
        Sent {
            id: "12".to_owned(),
            name: name.to_owned(),
            parts: parts.to_vec(),
            offset,
        }
    }

    #[test]
    fn what_squeue_lists_is_still_to_come() {
        let check = |sent: Sent, said: &str, expected: Option<&[u64]>| {
            let left =
                left_of(&sent, said).map(|left| left.parts.into_iter().collect::<Vec<u64>>());
            assert_eq!(left.as_deref(), expected, "{said:?}");
        };
        check(sent("effbench-1", &[1, 2, 4], 0), "2\n4\n", Some(&[2, 4]));
        check(
            sent("effbench-2", &[1001, 1003], 1000),
            " 3\n",
            Some(&[1003]),
        );
        // It has ended, and Slurm remembers its number.
        check(sent("effbench-1", &[1, 2, 4], 0), "", None);
        check(sent("effbench-1", &[1, 2, 4], 0), "\n", None);
        check(sent("effbench-sweep", &[], 0), "N/A\n", Some(&[]));
        // Slurm's numbers begin anew in the end: tasks that were never asked for are somebody else's.
        check(sent("effbench-1", &[1, 2], 0), "7\n", Some(&[]));
    }

    #[test]
    fn what_was_submitted_is_remembered_line_by_line() {
        let folder = tempfile::tempdir().unwrap();
        let mut queue = Queue::open(folder.path()).unwrap();
        assert!(queue.sent.is_empty() && !queue.holds_part(1));
        queue.remember(sent("effbench-sweep", &[], 0)).unwrap();
        queue.remember(sent("effbench-1", &[1, 2], 0)).unwrap();
        let text = fs::read_to_string(folder.path().join(FILE)).unwrap();
        let lines: Vec<Sent> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines, queue.sent);
        let waiting = |name: &str, parts: &[u64]| Waiting {
            sent: sent(name, parts, 0),
            parts: parts.iter().copied().collect(),
        };
        queue.waiting = vec![waiting("effbench-sweep", &[]), waiting("effbench-1", &[2])];
        assert!(queue.holds_part(2) && !queue.holds_part(1));
        assert_eq!(
            (queue.job_named("effbench-sweep"), queue.arrays()),
            (Some("12".to_owned()), vec!["12".to_owned()])
        );
        assert_eq!(queue.job_named("effbench-collect"), None);
    }
}
