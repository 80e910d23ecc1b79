//! Everything that speaks against believing the report: the answer's caveats, and what trials flagged about themselves.

use std::collections::{BTreeMap, BTreeSet};

use crate::analysis::Caveat;
use crate::analysis::findings::Findings;
use crate::record::Severity;
use crate::report::page::{Block, Table};

pub(super) fn build(findings: &Findings) -> Option<Vec<Block>> {
    let mut blocks = caveats(findings);
    let trials = findings.file.trials.len();
    let invalid = findings
        .file
        .trials
        .iter()
        .filter(|trial| !trial.validity.ok)
        .count();
    let flags = flags(findings);
    if flags.rows.is_empty() {
        blocks.push(Block::Text(format!(
            "None of the {trials} trials flagged anything about its own measurement."
        )));
    } else {
        let bad = if invalid == 0 {
            "none is".to_owned()
        } else {
            format!("{invalid} are")
        };
        blocks.push(Block::Text(format!(
            "What the {trials} trials flagged about their own measurement; {bad} invalid:"
        )));
        blocks.push(Block::Table(flags));
    }
    Some(blocks)
}

/// Every reason for doubt.
pub(super) fn caveats(findings: &Findings) -> Vec<Block> {
    let doubts = findings.doubts().into_iter();
    let caveat = |found: Caveat| Block::Caveat {
        message: found.message,
        remedy: found.remedy,
    };
    doubts.map(caveat).collect()
}

/// What trials flagged that is more than good to know, in one line for a run's last words.
pub(super) fn line(findings: &Findings) -> Option<Block> {
    let trials = findings.file.trials.len();
    let said: Vec<String> = seen(findings)
        .into_iter()
        .filter(|(_, seen)| seen.severity != Severity::Info)
        .map(|((_, code), seen)| {
            let limit = seen.limit.map(|limit| format!(", limit {limit:.2}"));
            let furthest = seen.value.map_or_else(String::new, |value| {
                format!(" (up to {value:.2}{})", limit.unwrap_or_default())
            });
            format!("{} in {}{furthest}", code.replace('_', " "), seen.trials)
        })
        .collect();
    let told = format!(
        "Of {trials} trials some flagged their own measurement: {}.",
        said.join("; ")
    );
    (!said.is_empty()).then_some(Block::Text(told))
}

/// A row for each kind of flag.
struct Seen<'a> {
    severity: Severity,
    trials: usize,
    cells: BTreeSet<&'a str>,
    value: Option<f64>,
    limit: Option<f64>,
}

/// By falling severity.
fn seen<'a>(findings: &'a Findings) -> BTreeMap<(u8, &'a str), Seen<'a>> {
    let mut seen: BTreeMap<(u8, &str), Seen> = BTreeMap::new();
    for trial in &findings.file.trials {
        for flag in &trial.validity.flags {
            let rank = Severity::Invalid as u8 - flag.severity as u8;
            let fresh = Seen {
                severity: flag.severity,
                trials: 0,
                cells: BTreeSet::new(),
                value: None,
                limit: flag.limit,
            };
            let row = seen.entry((rank, &flag.code)).or_insert(fresh);
            row.trials += 1;
            row.cells.insert(&trial.cell);
            row.value = row
                .value
                .into_iter()
                .chain(flag.value)
                .max_by(|a, b| a.abs().total_cmp(&b.abs()));
        }
    }
    seen
}

fn flags(findings: &Findings) -> Table {
    let mut table = Table::new([
        "flag",
        "severity",
        "trials",
        "cells",
        "furthest value",
        "limit",
    ]);
    table.rows = seen(findings)
        .into_iter()
        .map(|((_, code), seen)| row(code, &seen))
        .collect();
    table.without_empty_columns()
}

fn row(code: &str, seen: &Seen) -> Vec<String> {
    let severity = match seen.severity {
        Severity::Info => "good to know",
        Severity::Warn => "read with care",
        Severity::Invalid => "do not use",
    };
    let number = |value: Option<f64>| value.map(|value| format!("{value:.3}")).unwrap_or_default();
    vec![
        code.replace('_', " "),
        severity.to_owned(),
        seen.trials.to_string(),
        seen.cells.len().to_string(),
        number(seen.value),
        number(seen.limit),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Flag;
    use crate::record::example::example;

    #[test]
    fn the_worst_flags_come_first_with_their_worst_value() {
        let mut file = example();
        let flag = |code: &str, severity, value| Flag {
            code: code.to_owned(),
            severity,
            value,
            limit: Some(0.1),
        };
        file.trials[0]
            .validity
            .flags
            .push(flag("not_steady", Severity::Warn, Some(0.2)));
        file.trials[1]
            .validity
            .flags
            .push(flag("not_steady", Severity::Warn, Some(0.4)));
        file.trials[1]
            .validity
            .flags
            .push(flag("cpu_steal", Severity::Invalid, None));
        let table = flags(&Findings::of(&file));
        assert_eq!(
            table.rows[0],
            ["cpu steal", "do not use", "1", "1", "", "0.100"]
        );
        assert_eq!(
            table.rows[1],
            ["not steady", "read with care", "2", "2", "0.400", "0.100"]
        );
    }
}
