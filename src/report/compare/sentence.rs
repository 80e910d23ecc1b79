//! The answer of a comparison in one sentence that can be repeated to somebody who has not seen the table.

use super::words::{amount, cells, certainty, phrase};
use crate::analysis::compare::decide::Why;
use crate::analysis::compare::{Code, Comparison, Group, Row, Setting, Verdict};

/// Groups in the order in which they are told.
const TOLD: [Group; 5] = [Group::Time, Group::Energy, Group::Memory, Group::Quality, Group::Exact];

/// "gpt2/w32@400 trains 12% slower (95% 10 to 14%, n = 5): regression." or "No regression: 8 cells, time within 3%, loss
/// identical."
pub fn sentence(found: &Comparison) -> String {
    if found.cells == 0 {
        return format!("Not comparable: no cell is in both {} and {}.", found.base, found.new);
    }
    let gated: Vec<&Row> = found.rows.iter().filter(|row| row.gated && row.accepted.is_none()).collect();
    let regressed: Vec<&Row> = with(&gated, Verdict::Regressed);
    if let Some(worst) = farthest(&regressed) {
        return format!("{}: regression{}.", told(worst), others(worst, &regressed));
    }
    let parts: Vec<String> = TOLD.iter().filter_map(|group| part(&gated, *group)).collect();
    let rest = format!("{}, {}", cells(found.cells), parts.join(", "));
    match found.exit_code {
        Code::Trials => {
            let trials: usize = found.trials.iter().sum();
            let verb = if found.failed.len() == 1 { "is" } else { "are" };
            let count = found.failed.len();
            format!(
                "Cannot judge: {count} of {trials} trials failed or {verb} invalid; the others show no regression: {rest}."
            )
        }
        Code::NotComparable if gated.is_empty() => {
            format!("Not comparable: {} in common, but nothing that is gated.", cells(found.cells))
        }
        Code::NotComparable => format!("Not comparable: {rest}."),
        Code::Inconclusive => format!("Cannot tell: {rest}."),
        _ => {
            let sure = matches!(found.verdict, Verdict::Equivalent | Verdict::Improved);
            let gain = farthest(&with(&gated, Verdict::Improved)).map(|best| format!("; {}", told(best)));
            let sure = if sure { "" } else { " found" };
            format!("No regression{sure}: {rest}{}{}.", gain.unwrap_or_default(), forgiven(found))
        }
    }
}

fn with<'a>(rows: &[&'a Row], verdict: Verdict) -> Vec<&'a Row> {
    rows.iter().copied().filter(|row| row.verdict == verdict).collect()
}

/// `; 1 regression accepted`.
fn forgiven(found: &Comparison) -> String {
    let accepted = |row: &&Row| row.gated && row.accepted.is_some() && row.verdict == Verdict::Regressed;
    match found.rows.iter().filter(accepted).count() {
        0 => String::new(),
        1 => "; 1 regression accepted".to_owned(),
        count => format!("; {count} regressions accepted"),
    }
}

/// The row whose change is the most margins large; what is measured before what is counted, as the one is felt.
fn farthest<'a>(rows: &[&'a Row]) -> Option<&'a Row> {
    let size = |row: &Row| match (row.group, row.effect) {
        (Group::Exact, _) | (_, None) => -1.0,
        (_, Some(effect)) if row.margin.used > 0.0 => (effect.value / row.margin.used).abs(),
        _ => f64::MAX,
    };
    // The first of equals: the base's order.
    rows.iter().rev().max_by(|a, b| size(a).total_cmp(&size(b))).copied()
}

/// `gpt2/w32@400 trains 12% slower (95% 10 to 14%, n = 5)`.
fn told(row: &Row) -> String {
    format!("{} {} ({})", row.cell, phrase(row), certainty(row))
}

fn others(worst: &Row, regressed: &[&Row]) -> String {
    let more = regressed.len() - 1;
    let cells: std::collections::BTreeSet<&str> =
        regressed.iter().map(|row| row.cell.as_str()).filter(|cell| *cell != worst.cell).collect();
    match (more, cells.len()) {
        (0, _) => String::new(),
        (more, 0) => format!(", and {more} more there"),
        (more, 1) => format!(", and {more} more, also in another cell"),
        (more, others) => format!(", and {more} more, also in {others} other cells"),
    }
}

/// What is said of a group: `time within 3%`, `loss identical`, `memory cannot be told`.
fn part(gated: &[&Row], group: Group) -> Option<String> {
    let rows: Vec<&Row> = gated.iter().copied().filter(|row| row.group == group).collect();
    let name = name(&rows, group);
    let worst = Verdict::of_all(rows.iter().map(|row| row.verdict));
    Some(match worst {
        _ if rows.is_empty() => return None,
        _ if rows.iter().all(|row| row.identical) => format!("{name} identical"),
        Verdict::NotComparable => not_compared(name, &with(&rows, Verdict::NotComparable)),
        Verdict::Inconclusive => untold(name, &with(&rows, Verdict::Inconclusive)),
        Verdict::Improved if group == Group::Exact => format!("{name} less"),
        _ => within(name, &rows),
    })
}

fn name(rows: &[&Row], group: Group) -> &'static str {
    match group {
        Group::Time => "time",
        Group::Energy => "energy",
        Group::Memory => "memory",
        Group::Quality if rows.iter().all(|row| row.unit == "nats") => "loss",
        Group::Quality => "quality",
        Group::Exact => "counted work",
    }
}

/// How far the intervals of what is equivalent reach.
fn within(name: &str, rows: &[&Row]) -> String {
    let equivalent = || rows.iter().filter(|row| row.verdict == Verdict::Equivalent);
    let reach = |row: &&&Row| {
        let interval = row.effect.and_then(|effect| effect.interval(crate::stat::interval::LEVEL));
        interval.map_or(0.0, |i| row.shown(i.high.max(-i.low)))
    };
    match equivalent().max_by(|a, b| reach(a).total_cmp(&reach(b))) {
        Some(widest) if equivalent().count() == rows.len() => {
            format!("{name} within {}", amount(widest, reach(&widest)))
        }
        Some(widest) => format!("{name} better or within {}", amount(widest, reach(&widest))),
        None => format!("{name} better"),
    }
}

fn untold(name: &str, rows: &[&Row]) -> String {
    if rows.iter().any(|row| row.why == Some(Why::Drift)) {
        let widest = rows.iter().max_by(|a, b| a.margin.used.total_cmp(&b.margin.used));
        let margin = widest.map(|row| amount(row, row.margin.used)).unwrap_or_default();
        return format!("{name} not told between sittings, which may differ by {margin}");
    }
    if let Some(reason) = rows.iter().find(|row| row.held_back).and_then(|row| row.reason.as_deref()) {
        return format!("{name} {reason}");
    }
    match rows.iter().map(|row| row.need).max().flatten() {
        Some(need) => format!("{name} cannot be told (n = {need} would)"),
        None => format!("{name} cannot be told"),
    }
}

fn not_compared(name: &str, rows: &[&Row]) -> String {
    let reason = rows.iter().find_map(|row| row.reason.as_deref()).unwrap_or_default();
    let machines = rows.iter().all(|row| row.setting == Setting::OtherMachine && row.change.is_none());
    if machines {
        format!("{name} not compared between different machines")
    } else {
        format!("{name} not compared ({reason})")
    }
}
