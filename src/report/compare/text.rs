//! A comparison in the terminal: the sentence, what these trials can see at all, the table, and what to doubt it with.

use super::words::{amount, cells, change, count};
use super::{outcome, same_work, sees, sentence, shown};
use crate::analysis::compare::row::{Bound, Relative};
use crate::analysis::compare::{Comparison, Row, Setting, Verdict};
use crate::report::listing::headed;
use crate::report::table::Style;
use crate::stat::Estimate;
use crate::unit::Times;

/// Rows of a table for people; programs get all.
const SHOWN: usize = 60;
/// Lines of a list for people.
const LISTED: usize = 12;

/// The whole answer.
pub fn text(found: &Comparison, style: Style) -> String {
    let mut parts = vec![sentence(found)];
    if found.cells > 0 {
        parts.push(sides(found));
        parts.extend(table(found, style));
        parts.extend(within_machines(found, style));
        parts.extend(equivalents(found));
    }
    parts.extend(reasons(found));
    parts.extend(lists(found));
    parts.join("\n\n")
}

/// `base a.json, 20 trials; new b.json, 20 trials; 5 cells, interleaved in one session`.
pub(super) fn sides(found: &Comparison) -> String {
    let mut settings: Vec<Setting> = Vec::new();
    for row in &found.rows {
        if !settings.contains(&row.setting) {
            settings.push(row.setting);
        }
    }
    let words: Vec<&str> = settings.iter().map(|setting| setting.words()).collect();
    let [base, new] = found.trials;
    format!(
        "Base {}, {base} trials; new {}, {new} trials; {}: {}.",
        found.base,
        found.new,
        cells(found.cells),
        words.join(" and ")
    )
}

fn table(found: &Comparison, style: Style) -> Option<String> {
    let rows = shown(found);
    let same = same_work(found);
    let work = (same > 0).then(|| format!("Counted work: {same} counts are the same."));
    if rows.is_empty() {
        return work;
    }
    let mut table = headed(
        style,
        &[
            "cell",
            "metric",
            "can see",
            "new / base",
            "n",
            "margin",
            "verdict",
        ],
    );
    for row in rows.iter().take(SHOWN) {
        table.add_row([
            row.cell.clone(),
            row.metric.to_owned(),
            sees(row),
            change(row),
            n(row),
            margin(row),
            outcome(row),
        ]);
    }
    let head = "Can see: the smallest change shown with a chance of 80%, all gated together. Losses and accuracies are \
                differences, new - base; intervals are 95%.";
    let more = rows.len().saturating_sub(SHOWN);
    let more = (more > 0).then(|| format!("... and {more} more rows (--format csv lists all)"));
    let parts = [Some(head.to_owned()), Some(table.trim_fmt()), more, work];
    Some(parts.into_iter().flatten().collect::<Vec<_>>().join("\n\n"))
}

pub(super) fn n(row: &Row) -> String {
    count(row).trim_start_matches("n = ").to_owned()
}

/// `2%`, `41% (sessions)`.
pub(super) fn margin(row: &Row) -> String {
    if row.effect.is_none() {
        return String::new();
    }
    let used = amount(row, row.margin.used);
    row.margin
        .raised_by
        .map(|by| format!("{used} ({by})"))
        .unwrap_or(used)
}

/// Ratios inside each machine, where that is all there is.
fn within_machines(found: &Comparison, style: Style) -> Option<String> {
    let rows: Vec<(&Row, &Relative)> = found
        .rows
        .iter()
        .filter_map(|row| Some((row, row.relative.as_ref()?)))
        .collect();
    let known = rows
        .iter()
        .filter(|(_, r)| r.against_reference.is_some() || r.normalised.is_some());
    let mut table = headed(
        style,
        &[
            "cell",
            "metric",
            "new / base, over the reference",
            "reference",
            "normalised",
        ],
    );
    let mut any = false;
    for (row, relative) in known.take(SHOWN) {
        any = true;
        let ratio = relative
            .against_reference
            .map(|e| ranged(&e))
            .unwrap_or_default();
        let normalised = relative
            .normalised
            .map(|value| format!("{value:.3}"))
            .unwrap_or_default();
        let reference = relative.reference.clone().unwrap_or_default();
        table.add_row([
            row.cell.clone(),
            row.metric.to_owned(),
            ratio,
            reference,
            normalised,
        ]);
    }
    let head = "Different machines: each figure over the reference variant's on the same machine, and over the machine's own \
                calibration (normalised). Shown, never gated.";
    any.then(|| format!("{head}\n\n{}", table.trim_fmt()))
}

fn ranged(estimate: &Estimate) -> String {
    let ends = estimate
        .interval
        .map(|i| format!(" ({:.3} to {:.3})", i.low, i.high))
        .unwrap_or_default();
    format!("{:.3}{ends}", estimate.value)
}

/// What losses are worth in compute, where they changed for sure.
pub(super) fn equivalents(found: &Comparison) -> Option<String> {
    let told =
        |row: &&Row| row.gated && matches!(row.verdict, Verdict::Regressed | Verdict::Improved);
    let line = |row: &Row| {
        let equivalent = row.equivalent?;
        let times = equivalent.times;
        let bound = match equivalent.bound {
            None => "",
            Some(Bound::LessThan) => "less than ",
            Some(Bound::MoreThan) => "more than ",
        };
        let sure = equivalent.interval.filter(|_| equivalent.bound.is_none());
        let sure = sure
            .map(|i| format!(" (95% {} to {})", Times(i.low), Times(i.high)))
            .unwrap_or_default();
        Some(format!(
            "\n  - {}: the base reaches it with {bound}{} times its compute{sure}",
            row.cell,
            Times(times)
        ))
    };
    let lines: Vec<String> = found.rows.iter().filter(told).filter_map(line).collect();
    (!lines.is_empty()).then(|| {
        format!(
            "What the change in loss is worth, by the base's own losses:{}",
            lines.concat()
        )
    })
}

/// Why rows are not told, each reason once with its rows.
pub(super) fn reasons(found: &Comparison) -> Option<String> {
    let mut reasons: Vec<(&str, Vec<String>)> = Vec::new();
    for row in found
        .rows
        .iter()
        .chain(&found.suite)
        .filter(|row| row.gated && row.verdict != Verdict::Equivalent)
    {
        let Some(reason) = row.reason.as_deref() else {
            continue;
        };
        match reasons.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, rows)) => rows.push(row.name()),
            None => reasons.push((reason, vec![row.name()])),
        }
    }
    let line = |(reason, rows): &(&str, Vec<String>)| {
        let first: Vec<&str> = rows.iter().take(3).map(String::as_str).collect();
        let more = rows.len().saturating_sub(3);
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        format!(
            "\n  - {}{more}: {}",
            first.join(", "),
            reason.escape_debug()
        )
    };
    list("Why", reasons.iter().map(line).collect())
}

/// Accepted in vain, failed trials, cells of one side, and what else differs.
pub(super) fn lists(found: &Comparison) -> Vec<String> {
    let plain = |lines: &[String]| {
        lines
            .iter()
            .map(|line| format!("\n  - {}", line.escape_debug()))
            .collect::<Vec<_>>()
    };
    let differs = found.residue.iter().map(|d| {
        let place = if d.cells == found.cells {
            String::new()
        } else {
            format!(" (in {})", cells(d.cells))
        };
        let [base, new] = [&d.base, &d.new].map(|text| text.escape_debug().to_string());
        format!(
            "\n  - {}, {}: {base} -> {new}{place}",
            d.of,
            d.what.escape_debug()
        )
    });
    let [base, new] = &found.alone;
    let unlike = found
        .unlike
        .iter()
        .map(|unlike| format!("\n  - {}: {}", unlike.cell.escape_debug(), unlike.differs));
    let renamed = found
        .renamed
        .iter()
        .map(|[old, new]| format!("\n  - {} -> {}", old.escape_debug(), new.escape_debug()));
    [
        list("One name for two cells, not compared", unlike.collect()),
        list("One cell under two names, not compared", renamed.collect()),
        list(
            "Accepted, but nothing of it regressed",
            plain(&found.unused),
        ),
        list("Failed or invalid", plain(&found.failed)),
        list("What else differs", differs.collect()),
        list(&format!("Only in {}", found.base), plain(base)),
        list(&format!("Only in {}", found.new), plain(new)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn list(title: &str, lines: Vec<String>) -> Option<String> {
    let more = lines.len().saturating_sub(LISTED);
    let rest = if more > 0 {
        format!("\n  - ... and {more} more (--format json lists all)")
    } else {
        String::new()
    };
    (!lines.is_empty()).then(|| format!("{title}:{}{rest}", lines[..lines.len() - more].concat()))
}
