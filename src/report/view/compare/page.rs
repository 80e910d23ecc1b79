//! A comparison as a page: the sentence, what these trials can see at all, the table, and what to doubt it with.

use super::words::{amount, cells, change, count};
use super::{outcome, same_work, sees, sentence, shown};
use crate::analysis::compare::row::{Bound, Relative};
use crate::analysis::compare::{Code, Comparison, Row, Setting, Verdict};
use crate::report::page::{Block, Mood, Page, Table};
use crate::stat::Estimate;
use crate::unit::Times;

/// Rows of a table for people; programs get all.
const SHOWN: usize = 60;
/// Lines of a list for people.
const LISTED: usize = 12;

/// The whole answer.
pub fn page(found: &Comparison) -> Page {
    let title = format!("{} against {}", found.new, found.base);
    Page::answer(&title, Vec::new(), blocks(found))
}

/// The same within another page.
pub fn blocks(found: &Comparison) -> Vec<Block> {
    let said = sentence(found);
    let mood = match found.exit_code {
        Code::Fine if said.starts_with("Cannot") => Mood::Unclear,
        Code::Fine => Mood::Good,
        Code::Regression => Mood::Bad,
        _ => Mood::Unclear,
    };
    let mut blocks = vec![Block::Verdict(mood, said)];
    let mut more = Vec::new();
    if found.cells > 0 {
        blocks.extend(table(found));
        more.push(Block::Text(sides(found)));
        more.extend(within_machines(found));
        more.extend(equivalents(found));
    }
    more.extend(reasons(found));
    more.extend(lists(found));
    if !more.is_empty() {
        blocks.push(Block::More("Details".to_owned(), more));
    }
    blocks
}

/// `base a.json, 20 trials; new b.json, 20 trials; 5 cells, interleaved in one session`.
fn sides(found: &Comparison) -> String {
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

fn table(found: &Comparison) -> Vec<Block> {
    let rows = shown(found);
    let same = same_work(found);
    let work = (same > 0).then(|| format!("Counted work: {same} counts are the same."));
    if rows.is_empty() {
        return work.map(Block::Text).into_iter().collect();
    }
    let mut table = Table::new([
        "cell",
        "metric",
        "detects",
        "new / base",
        "n",
        "margin",
        "verdict",
    ]);
    for row in rows.iter().take(SHOWN) {
        table.row([
            row.cell.clone(),
            row.metric.to_owned(),
            sees(row),
            change(row),
            n(row),
            margin(row),
            outcome(row),
        ]);
    }
    let head = "Detects: the smallest change found with a chance of 80%, all gated together. Losses and accuracies are \
                differences, new - base; intervals are 95%.";
    let more = rows.len().saturating_sub(SHOWN);
    let more = (more > 0).then(|| format!("... and {more} more rows (--format csv lists all)"));
    [Block::Text(head.to_owned()), Block::Table(table)]
        .into_iter()
        .chain(more.map(Block::Text))
        .chain(work.map(Block::Text))
        .collect()
}

fn n(row: &Row) -> String {
    count(row).trim_start_matches("n = ").to_owned()
}

/// `2%`, `41% (sessions)`.
fn margin(row: &Row) -> String {
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
fn within_machines(found: &Comparison) -> Vec<Block> {
    let rows: Vec<(&Row, &Relative)> = found
        .rows
        .iter()
        .filter_map(|row| Some((row, row.relative.as_ref()?)))
        .collect();
    let known = rows
        .iter()
        .filter(|(_, r)| r.against_reference.is_some() || r.normalised.is_some());
    let mut table = Table::new([
        "cell",
        "metric",
        "new / base, over the reference",
        "reference",
        "normalised",
    ]);
    for (row, relative) in known.take(SHOWN) {
        let ratio = relative
            .against_reference
            .map(|e| ranged(&e))
            .unwrap_or_default();
        let normalised = relative
            .normalised
            .map(|value| format!("{value:.3}"))
            .unwrap_or_default();
        let reference = relative.reference.clone().unwrap_or_default();
        table.row([
            row.cell.clone(),
            row.metric.to_owned(),
            ratio,
            reference,
            normalised,
        ]);
    }
    let head = "Different machines: each figure over the reference variant's on the same machine, and over the machine's own \
                calibration (normalised). Shown, never gated.";
    if table.rows.is_empty() {
        return Vec::new();
    }
    vec![Block::Text(head.to_owned()), Block::Table(table)]
}

fn ranged(estimate: &Estimate) -> String {
    let ends = estimate
        .interval
        .map(|i| format!(" ({:.3} to {:.3})", i.low, i.high))
        .unwrap_or_default();
    format!("{:.3}{ends}", estimate.value)
}

/// What losses are worth in compute, where they changed for sure.
fn equivalents(found: &Comparison) -> Option<Block> {
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
            "{}: the base reaches it with {bound}{} times what it spent there{sure}",
            row.cell,
            Times(times)
        ))
    };
    let items: Vec<String> = found.rows.iter().filter(told).filter_map(line).collect();
    let head = "What the change in loss is worth, by the base's own losses (intervals of the luck of seeds alone; `effbench gain` \
                adds what all repeats of a cell share):"
        .to_owned();
    (!items.is_empty()).then_some(Block::List { head, items })
}

/// Why rows are not told, each reason once with its rows.
fn reasons(found: &Comparison) -> Option<Block> {
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
        format!("{}{more}: {}", first.join(", "), reason.escape_debug())
    };
    list("Why", reasons.iter().map(line).collect())
}

/// Accepted in vain, failed trials, cells of one side, and what else differs.
fn lists(found: &Comparison) -> Vec<Block> {
    let plain = |lines: &[String]| {
        lines
            .iter()
            .map(|line| format!("{}", line.escape_debug()))
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
            "{}, {}: {base} -> {new}{place}",
            d.of,
            d.what.escape_debug()
        )
    });
    let [base, new] = &found.alone;
    let unlike = found
        .unlike
        .iter()
        .map(|unlike| format!("{}: {}", unlike.cell.escape_debug(), unlike.differs));
    let renamed = found
        .renamed
        .iter()
        .map(|[old, new]| format!("{} -> {}", old.escape_debug(), new.escape_debug()));
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

fn list(title: &str, lines: Vec<String>) -> Option<Block> {
    let more = lines.len().saturating_sub(LISTED);
    let mut items = lines;
    items.truncate(LISTED);
    if more > 0 {
        items.push(format!("... and {more} more (--format json lists all)"));
    }
    let head = format!("{title}:");
    (!items.is_empty()).then_some(Block::List { head, items })
}
