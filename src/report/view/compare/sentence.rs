//! The answer of a comparison in one sentence that can be repeated to somebody who has not seen the table.

use std::collections::BTreeSet;

use super::words::{amount, cells, certainty, phrase};
use crate::analysis::compare::decide::Why;
use crate::analysis::compare::effect::ALPHA;
use crate::analysis::compare::{
    Code, Comparison, Group, MOST_ADVISED, Row, Setting, Unlike, Verdict,
};

/// Groups in the order in which they are told.
const TOLD: [Group; 5] = [
    Group::Time,
    Group::Energy,
    Group::Memory,
    Group::Quality,
    Group::Exact,
];

/// A change that is not seen below so many margins is not looked for.
const BLIND: f64 = 10.0;

/// Cells that a sentence names.
const NAMED: usize = 3;

/// "gpt2/w32@400 trains 12% slower (95% 10 to 14%, n = 5): regression." or "No regression: 8 cells, time within 3%, loss
/// identical." What the base has and the new side has not is in it always, and no regression is never said of what could
/// not be seen.
pub fn sentence(found: &Comparison) -> String {
    let gated: Vec<&Row> = found.gated().collect();
    let regressed: Vec<&Row> = with(&gated, Verdict::Regressed);
    let gaps = gaps(found);
    if found.cells == 0 {
        let none = format!("no cell is in both {} and {}", found.base, found.new);
        return format!(
            "Not comparable: {}.",
            gaps.filter(|_| !found.unlike.is_empty()).unwrap_or(none)
        );
    }
    if let Some(worst) = farthest(&regressed) {
        let gaps = broken(found).into_iter().chain(gaps);
        let gaps: String = gaps.map(|gap| format!("; {gap}")).collect();
        return format!(
            "{}: regression{}{gaps}.",
            told(worst),
            others(worst, &regressed)
        );
    }
    match gaps {
        None => format!("{}.", whole(found, &gated)),
        Some(gaps) if found.exit_code == Code::NotComparable => {
            format!("Not comparable: {gaps}; {}.", lower(&whole(found, &gated)))
        }
        Some(gaps) => format!("{gaps}; of the rest: {}.", lower(&whole(found, &gated))),
    }
}

/// The answer where nothing regressed, over the cells that both sides have.
fn whole(found: &Comparison, gated: &[&Row]) -> String {
    let parts: Vec<String> = TOLD
        .iter()
        .filter_map(|group| part(gated, *group))
        .collect();
    let rest = format!("{}, {}", cells(found.cells), parts.join(", "));
    let only_gaps = found.has_gaps()
        && gated
            .iter()
            .any(|row| row.verdict != Verdict::NotComparable);
    match found.exit_code {
        Code::Trials => {
            let broken = broken(found).unwrap_or_default();
            format!("Cannot judge: {broken}; the others show no regression: {rest}")
        }
        Code::NotComparable if gated.is_empty() => {
            format!(
                "Not comparable: {} in common, but nothing that is gated",
                cells(found.cells)
            )
        }
        Code::NotComparable
            if !only_gaps || with(gated, Verdict::NotComparable).len() == gated.len() =>
        {
            format!("Not comparable: {rest}")
        }
        Code::Inconclusive => format!("Cannot tell: {rest}"),
        _ => seen(found, gated, &rest),
    }
}

/// `1 of 40 trials failed or is invalid (gpt2/w32@400 repeat 0 (new): out of memory, where the base finished)`.
fn broken(found: &Comparison) -> Option<String> {
    let first = found.failed.first()?.escape_debug();
    let (count, trials) = (found.failed.len(), found.trials.iter().sum::<usize>());
    let verb = if count == 1 { "is" } else { "are" };
    Some(format!(
        "{count} of {trials} trials failed or {verb} invalid ({first})"
    ))
}

/// "No regression: ..." of everything, or of what could be seen beside what could not.
fn seen(found: &Comparison, gated: &[&Row], rest: &str) -> String {
    let group = |group: &Group| {
        gated
            .iter()
            .copied()
            .filter(|row| row.group == *group)
            .collect::<Vec<_>>()
    };
    let blind: Vec<&str> = TOLD
        .iter()
        .map(|kind| (group(kind), *kind))
        .filter(|(rows, _)| rows.iter().any(|row| is_blind(row)))
        .map(|(rows, kind)| name(&rows, kind))
        .collect();
    let measured = TOLD
        .iter()
        .filter(|kind| **kind != Group::Exact && !group(kind).is_empty())
        .count();
    let gain = farthest(&with(gated, Verdict::Improved))
        .map(|best| format!("; {}", told(best)))
        .unwrap_or_default();
    let forgiven = forgiven(found);
    if !blind.is_empty() && blind.len() == measured {
        return format!("Cannot tell: {rest}{gain}{forgiven}");
    }
    if !blind.is_empty() {
        return format!(
            "Cannot tell about {}; no regression found in the rest: {rest}{gain}{forgiven}",
            blind.join(" and ")
        );
    }
    let sure = gated
        .iter()
        .all(|row| matches!(row.verdict, Verdict::Equivalent | Verdict::Improved));
    let found = if sure { "" } else { " found" };
    format!("No regression{found}: {rest}{gain}{forgiven}")
}

/// Whether nothing that anybody would call a change could be seen here: between sessions, between machines, with too few
/// trials, or through more noise than ten margins.
fn is_blind(row: &Row) -> bool {
    let far = |size: f64| size > BLIND * row.margin.asked.max(row.margin.same);
    match row.verdict {
        Verdict::NotComparable => true,
        Verdict::Inconclusive if row.held_back => false,
        Verdict::Inconclusive => row.why == Some(Why::Drift) || row.detectable.is_none_or(far),
        _ => false,
    }
}

/// `1 of 8 cells of base.json is missing from new.json (gpt2/w32@400)`, and names that stand for two cells.
fn gaps(found: &Comparison) -> Option<String> {
    let gone = found.gone();
    let known = |name: &String| {
        let new = found
            .renamed
            .iter()
            .find(|pair| pair[0] == *name)
            .map(|pair| format!(", there as {}", pair[1]));
        format!(
            "{}{}",
            name.escape_debug(),
            new.map(|new| new.escape_debug().to_string())
                .unwrap_or_default()
        )
    };
    let missing = (!gone.is_empty()).then(|| {
        let all = gone.len() + found.cells + found.unlike.len();
        let verb = if gone.len() == 1 { "is" } else { "are" };
        let names = listed(gone.iter().map(known).collect());
        format!(
            "{} of {} of {} {verb} missing from {} ({names})",
            gone.len(),
            cells(all),
            found.base,
            found.new
        )
    });
    let unlike = (!found.unlike.is_empty()).then(|| {
        let named =
            |unlike: &Unlike| format!("{} ({})", unlike.cell.escape_debug(), unlike.differs);
        let words = if found.unlike.len() == 1 {
            "is not one cell"
        } else {
            "are not one cell each"
        };
        format!(
            "{} {words} on both sides",
            listed(found.unlike.iter().map(named).collect())
        )
    });
    let parts: Vec<String> = missing.into_iter().chain(unlike).collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// `a, b, c and 4 more`.
fn listed(names: Vec<String>) -> String {
    let more = names.len().saturating_sub(NAMED);
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    names.into_iter().take(NAMED).collect::<Vec<_>>().join(", ") + &more
}

fn lower(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map(|first| first.to_lowercase().to_string() + chars.as_str())
        .unwrap_or_default()
}

fn with<'a>(rows: &[&'a Row], verdict: Verdict) -> Vec<&'a Row> {
    rows.iter()
        .copied()
        .filter(|row| row.verdict == verdict)
        .collect()
}

/// `; 1 regression accepted`.
fn forgiven(found: &Comparison) -> String {
    let accepted =
        |row: &&Row| row.gated && row.accepted.is_some() && row.verdict == Verdict::Regressed;
    match found.rows.iter().filter(accepted).count() {
        0 => String::new(),
        1 => "; 1 regression accepted".to_owned(),
        count => format!("; {count} regressions accepted"),
    }
}

/// The row whose change is the most margins large; what is measured before what is counted, as the one is felt; a divergence before
/// everything, and a cell before the whole suite.
fn farthest<'a>(rows: &[&'a Row]) -> Option<&'a Row> {
    let size = |row: &Row| match (row.group, row.effect) {
        _ if !row.newly_diverged.is_empty() => f64::INFINITY,
        _ if row.is_whole() => -2.0,
        (Group::Exact, _) | (_, None) => -1.0,
        (_, Some(effect)) if row.margin.used > 0.0 => (effect.value / row.margin.used).abs(),
        _ => f64::MAX,
    };
    // The first of equals: the base's order.
    rows.iter()
        .rev()
        .max_by(|a, b| size(a).total_cmp(&size(b)))
        .copied()
}

/// `gpt2/w32@400 trains 12% slower (95% 10 to 14%, n = 5)`.
fn told(row: &Row) -> String {
    let subject = if row.is_whole() {
        format!("The whole suite of {}", cells(row.cells))
    } else {
        row.cell.clone()
    };
    format!("{subject} {} ({})", phrase(row), certainty(row))
}

fn others(worst: &Row, regressed: &[&Row]) -> String {
    let of_cells = regressed.iter().filter(|row| !row.is_whole());
    let more = of_cells
        .clone()
        .filter(|row| row.name() != worst.name())
        .count();
    let cells: BTreeSet<&str> = of_cells
        .map(|row| row.cell.as_str())
        .filter(|cell| *cell != worst.cell)
        .collect();
    let there = match (more, cells.len()) {
        (0, _) => String::new(),
        (more, 0) => format!(", and {more} more there"),
        (more, 1) => format!(", and {more} more, also in another cell"),
        (more, others) => format!(", and {more} more, also in {others} other cells"),
    };
    // What a cell shows already is no news of the suite.
    let told = |row: &&&Row| {
        regressed
            .iter()
            .any(|other| !other.is_whole() && other.metric == row.metric)
    };
    let suite = regressed
        .iter()
        .filter(|row| row.is_whole() && row.name() != worst.name())
        .filter(|row| !told(row));
    let suite: Vec<String> = suite
        .map(|row| format!("{} ({})", phrase(row), certainty(row)))
        .collect();
    let suite = if suite.is_empty() {
        String::new()
    } else {
        format!("; the whole suite {}", suite.join(" and "))
    };
    there + &suite
}

/// What is said of a group: `time within 3%`, `loss identical`, `memory cannot be told`.
fn part(gated: &[&Row], group: Group) -> Option<String> {
    let rows: Vec<&Row> = gated
        .iter()
        .copied()
        .filter(|row| row.group == group)
        .collect();
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
        let interval = row
            .effect
            .and_then(|effect| effect.interval(crate::stat::interval::LEVEL));
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
        let widest = rows
            .iter()
            .max_by(|a, b| a.margin.used.total_cmp(&b.margin.used));
        let margin = widest
            .map(|row| amount(row, row.margin.used))
            .unwrap_or_default();
        let lower = widest.filter(|row| row.margin.given && row.margin.raised_by.is_some());
        let refused = lower.map(|row| {
            let asked = amount(row, row.margin.asked);
            format!("; the margin of {asked} that was asked for holds within one session only")
        });
        let seen = apart(rows)
            .map(|row| format!(" ({} now)", unsure(row)))
            .unwrap_or_default();
        let refused = refused.unwrap_or_default();
        return format!(
            "{name} not resolved between sessions, which may differ by {margin}{seen}{refused}"
        );
    }
    if let Some(reason) = rows
        .iter()
        .find(|row| row.held_back)
        .and_then(|row| row.reason.as_deref())
    {
        return format!("{name} {reason}");
    }
    let of_cells = || rows.iter().filter(|row| !row.is_whole());
    let seen = of_cells()
        .filter_map(|row| Some((row, row.detectable?)))
        .max_by(|a, b| a.1.total_cmp(&b.1));
    let seen = seen.map(|(row, size)| format!("changes below {} are not seen", amount(row, size)));
    let advice = match of_cells()
        .map(|row| row.need)
        .collect::<Option<Vec<usize>>>()
    {
        Some(needs) => needs
            .into_iter()
            .max()
            .map(|need| format!("n = {need} would")),
        None => Some(format!("not with {MOST_ADVISED} repeats either")),
    };
    let why: Vec<String> = seen.into_iter().chain(advice).collect();
    if why.is_empty() {
        format!("{name} cannot be told")
    } else {
        format!("{name} cannot be told ({})", why.join("; "))
    }
}

/// The row whose change is for sure one of the sessions, if not of the program: of the whole suite where that is one.
fn apart<'a>(rows: &[&'a Row]) -> Option<&'a Row> {
    let size = |row: &Row| row.effect.map_or(0.0, |effect| effect.value.abs());
    let sure = |row: &&&Row| {
        let told = row.why == Some(Why::Drift) && row.p.is_some_and(|p| p <= ALPHA);
        told && size(row) > row.on_scale(row.margin.asked)
    };
    let first = |a: &&&Row, b: &&&Row| {
        a.is_whole()
            .cmp(&b.is_whole())
            .then(size(a).total_cmp(&size(b)))
    };
    rows.iter().filter(sure).max_by(first).copied()
}

/// `the whole suite trains 70% slower`.
fn unsure(row: &Row) -> String {
    let subject = if row.is_whole() {
        "the whole suite"
    } else {
        row.cell.as_str()
    };
    format!("{subject} {}", phrase(row))
}

fn not_compared(name: &str, rows: &[&Row]) -> String {
    let reason = rows
        .iter()
        .find_map(|row| row.reason.as_deref())
        .unwrap_or_default();
    let machines = rows
        .iter()
        .all(|row| row.setting == Setting::OtherMachine && row.change.is_none());
    if machines {
        format!("{name} not compared between different machines")
    } else {
        format!("{name} not compared ({reason})")
    }
}
