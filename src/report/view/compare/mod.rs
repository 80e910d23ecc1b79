//! What `effbench compare` says, in every medium: for people (text, Markdown) and for programs (JSON, CSV, and what two
//! services for tracking benchmarks read).

mod words;
mod sentence;
mod document;
mod exports;
mod history;
mod page;

pub use document::{Document, json_schema};
pub use exports::{bencher, csv, github_action_benchmark};
pub use history::{history, self_test};
pub use page::{blocks, page};
pub use sentence::sentence;

use crate::analysis::compare::{Comparison, Group, Row, Verdict};

/// Gated rows in the order of importance: the worst verdict first, the whole suite before its cells, then as the base has them; counted work that is the same
/// is left to one line.
fn shown(found: &Comparison) -> Vec<&Row> {
    let worth = |row: &&Row| {
        row.gated && !(row.group == Group::Exact && row.verdict == Verdict::Equivalent)
    };
    let mut rows: Vec<&Row> = found
        .suite
        .iter()
        .chain(&found.rows)
        .filter(worth)
        .collect();
    rows.sort_by_key(|row| {
        std::cmp::Reverse((row.verdict, row.accepted.is_none(), row.is_whole()))
    });
    rows
}

/// How many rows of counted work are the same.
fn same_work(found: &Comparison) -> usize {
    found
        .rows
        .iter()
        .filter(|row| row.group == Group::Exact && row.verdict == Verdict::Equivalent)
        .count()
}

/// What a row is called by its outcome: the verdict, or that it was accepted.
fn outcome(row: &Row) -> String {
    match &row.accepted {
        Some(reason) => format!(
            "{}, accepted: {}",
            row.verdict.words(),
            reason.escape_debug()
        ),
        None if row.held_back => "better, not counted".to_owned(),
        None if row.beyond_margin && row.verdict == Verdict::Regressed => {
            "regressed, beyond the margin".to_owned()
        }
        None if row.identical => "identical".to_owned(),
        None => row.verdict.words().to_owned(),
    }
}

/// `3.1%` of what these trials can show, or nothing.
fn sees(row: &Row) -> String {
    row.detectable
        .map(|size| words::amount(row, size))
        .unwrap_or_default()
}
