//! A comparison as Markdown, for a pull request's comment or a step's summary: the sentence first, the table, the rest folded
//! away. Names come from files and stay names.

use super::text::{equivalents, lists, margin, n, reasons, sides};
use super::words::change;
use super::{outcome, same_work, sees, sentence, shown};
use crate::analysis::compare::{Code, Comparison, Row, Verdict};

/// Rows of the table; a comment has a limit, and a reader too.
const SHOWN: usize = 60;

/// The whole comment.
pub fn markdown(found: &Comparison) -> String {
    let mark = match found.exit_code {
        Code::Fine if sentence(found).starts_with("Cannot") => "⚠️",
        Code::Fine => "✅",
        Code::Regression => "❌",
        _ => "⚠️",
    };
    let mut parts = vec![format!("{mark} **{}**", name(&sentence(found)))];
    parts.extend(table(found));
    let details: Vec<String> = std::iter::once(sides(found))
        .chain(equivalents(found))
        .chain(reasons(found))
        .chain(lists(found))
        .map(|block| {
            block
                .lines()
                .map(|line| name(line.trim_start()))
                .collect::<Vec<_>>()
                .join("\n")
        })
        .collect();
    let details = details
        .into_iter()
        .map(|block| block.replacen(":\n", ":\n\n", 1))
        .collect::<Vec<_>>()
        .join("\n\n");
    parts.push(format!(
        "<details><summary>Details</summary>\n\n{details}\n\n</details>"
    ));
    parts.join("\n\n") + "\n"
}

fn table(found: &Comparison) -> Option<String> {
    let rows = shown(found);
    let same = same_work(found);
    let work = (same > 0).then(|| format!("Counted work is the same in {same} counts."));
    if rows.is_empty() {
        return work;
    }
    let head = "| cell | metric | can see | new / base (95%) | n | margin | verdict |\n|---|---|--:|--:|--:|--:|---|";
    let lines: String = rows.iter().take(SHOWN).map(|row| line(row)).collect();
    let more = rows.len().saturating_sub(SHOWN);
    let more = (more > 0).then(|| format!("... and {more} more rows."));
    let parts = [Some(format!("{head}{lines}")), more, work];
    Some(parts.into_iter().flatten().collect::<Vec<_>>().join("\n\n"))
}

fn line(row: &Row) -> String {
    let strong = row.verdict == Verdict::Regressed && row.accepted.is_none();
    let verdict = name(&outcome(row));
    let verdict = if strong {
        format!("**{verdict}**")
    } else {
        verdict
    };
    let cells = [
        name(&row.cell),
        name(row.metric),
        sees(row),
        change(row),
        n(row),
        margin(row),
    ];
    format!("\n| {} | {verdict} |", cells.join(" | "))
}

/// Text in which nothing is markup.
fn name(text: &str) -> String {
    let mut out = String::new();
    let mut before = ' ';
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '&' => out.push_str("&amp;"),
            '|' | '*' | '_' | '`' | '[' | ']' | '\\' | '#' | '$' | '~' => out.extend(['\\', c]),
            // No name calls a person: a mention begins behind what is no letter.
            '@' if !before.is_alphanumeric() => out.push_str("@\u{200b}"),
            c if c.is_control() && c != '\n' => out.push(' '),
            c => out.push(c),
        }
        before = c;
    }
    out
}
