//! What a CI does with it: what counts, what is accepted, and the exit code.

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use super::matching::{Match, Seen};
use super::row::Row;
use super::verdict::Verdict;
use crate::record::{Severity, Status};

/// An intended change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Accept {
    /// The cell's name, or `*`.
    pub cell: String,
    /// The metric's.
    pub metric: String,
    /// Why it is meant.
    pub reason: String,
}

impl Accept {
    fn covers(&self, row: &Row) -> bool {
        (self.cell == "*" || self.cell == row.cell) && self.metric == row.metric
    }
}

/// The exit codes of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
#[schemars(with = "u8", extend("enum" = [0, 1, 3, 4, 5]))]
#[repr(u8)]
pub enum Code {
    /// Nothing that the gate asks about.
    Fine = 0,
    /// A confirmed regression.
    Regression = 1,
    /// Inconclusive, and conclusiveness was required.
    Inconclusive = 3,
    /// Not comparable.
    NotComparable = 4,
    /// Some trials failed, timed out, ran out of memory or are invalid.
    Trials = 5,
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(*self as u8)
    }
}

/// Marks what is accepted.
pub(super) fn mark(rows: &mut [Row], accepted: &[Accept]) {
    for accept in accepted {
        rows.iter_mut()
            .filter(|row| accept.covers(row))
            .for_each(|row| row.accepted = Some(accept.reason.clone()));
    }
}

/// What was accepted in vain.
pub(super) fn unused<'a>(
    rows: impl Iterator<Item = &'a Row> + Clone,
    accepted: &[Accept],
) -> Vec<String> {
    let regressed = |accept: &Accept| {
        rows.clone()
            .any(|row| accept.covers(row) && row.verdict == Verdict::Regressed)
    };
    let vain = accepted.iter().filter(|accept| !regressed(accept));
    vain.map(|accept| format!("{}:{} ({})", accept.cell, accept.metric, accept.reason))
        .collect()
}

/// Trials of the compared cells without a figure that counts, first those whose seed finished on the base's side. One that
/// diverged is a result, an infinitely bad one, unless nothing but that happened on both sides.
pub(super) fn failed(cells: &[Match]) -> Vec<String> {
    let (mut newly, mut others) = (Vec::new(), Vec::new());
    for cell in cells {
        let hopeless = !cell.sides.iter().flatten().any(Seen::counts);
        let finished = |seed: u64| {
            let mut base = cell.sides[0].iter();
            base.any(|seen| seen.counts() && seen.trial.seed == seed)
        };
        for (side, name) in cell.sides.iter().zip(["base", "new"]) {
            let bad = side.iter().filter(|seen| {
                if hopeless {
                    !seen.counts()
                } else {
                    is_failure(seen)
                }
            });
            for seen in bad {
                let (trial, why) = (seen.trial, why(seen));
                let line = format!("{} repeat {} ({name}): {why}", cell.cell, trial.repeat);
                if name == "new" && finished(trial.seed) {
                    newly.push(format!("{line}, where the base finished"));
                } else {
                    others.push(line);
                }
            }
        }
    }
    newly.extend(others);
    newly
}

fn is_failure(seen: &Seen) -> bool {
    !seen.counts() && (seen.trial.status != Status::Diverged || !seen.trial.validity.ok)
}

fn why(seen: &Seen) -> String {
    if seen.trial.status != Status::Ok {
        return seen.trial.status.words().to_owned();
    }
    let flags = seen
        .trial
        .validity
        .flags
        .iter()
        .filter(|flag| flag.severity == Severity::Invalid);
    format!(
        "invalid ({})",
        flags
            .map(|flag| flag.code.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    )
}
