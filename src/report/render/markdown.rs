//! A report as Markdown, for a pull request or a wiki: the same blocks, plots in characters and their data.

use super::characters::characters;
use super::lines::visible;
use super::medium::Medium;
use crate::report::page::block::sentence;
use crate::report::page::{Block, Figure, Mood, Page, Section, Table};

/// Rows of a table that a reader still reads; the result file has all.
const ROWS: usize = 60;
/// Columns of a plot.
const COLUMNS: usize = 90;
/// What no line of a plot consists of, whatever a variant is called: an axis or a letter stands beside every name.
const FENCE: &str = "~~~~~~~~~~";

/// Markdown.
#[derive(Debug, Clone, Copy)]
pub struct Markdown;

impl Medium for Markdown {
    fn show(&self, page: &Page) -> Option<String> {
        Some(markdown(page))
    }
}

/// A page as Markdown, without a last line break.
pub fn markdown(page: &Page) -> String {
    let head = format!("# {}\n\n{}", escape(&page.title), escape(&page.source));
    let head = (!page.source.is_empty()).then_some(head);
    let sections = page.sections.iter().map(|part| section(part, page));
    let parts: Vec<String> = head.into_iter().chain(sections).collect();
    parts.join("\n\n")
}

fn section(section: &Section, page: &Page) -> String {
    let head = (!section.title.is_empty()).then(|| format!("## {}", escape(section.title)));
    head.into_iter()
        .chain(section.blocks.iter().map(|part| block(part, page)))
        .collect::<Vec<_>>()
        .join("\n\n")
}

fn block(part: &Block, page: &Page) -> String {
    match part {
        Block::Lead(text) => format!("**{}**", escape(text)),
        Block::Verdict(mood, text) => {
            let mark = match mood {
                Mood::Good => "✅",
                Mood::Bad => "❌",
                Mood::Unclear => "⚠️",
            };
            format!("{mark} **{}**", escape(text))
        }
        Block::More(what, blocks) => {
            let within: Vec<String> = blocks.iter().map(|one| block(one, page)).collect();
            let what = escape(what);
            format!(
                "<details><summary>{what}</summary>\n\n{}\n\n</details>",
                within.join("\n\n")
            )
        }
        Block::Text(text) => escape(text),
        Block::Facts(facts) => {
            let lines = facts
                .iter()
                .map(|(name, value)| format!("- {}: {}", escape(name), escape(value)));
            lines.collect::<Vec<_>>().join("\n")
        }
        Block::Heading(text) => format!("### {}", escape(text)),
        Block::List { head, items } => {
            let items: Vec<String> = items
                .iter()
                .map(|item| format!("- {}", escape(item)))
                .collect();
            let head = (!head.is_empty()).then(|| escape(head) + "\n\n");
            head.unwrap_or_default() + &items.join("\n")
        }
        Block::Code(code) => format!("{FENCE}text\n{}\n{FENCE}", lines(code)),
        Block::Table(found) => table(found),
        Block::Details(what, found) => details(what, found),
        Block::Plot(found) => figure(found, page),
        Block::Plots(found) => found
            .iter()
            .map(|one| figure(one, page))
            .collect::<Vec<_>>()
            .join("\n\n"),
        Block::Caveat { message, remedy } => {
            format!(
                "> **{}** Remedy: {}.",
                escape(&sentence(message)),
                escape(remedy)
            )
        }
    }
}

/// Lines without what a terminal would obey.
fn lines(code: &str) -> String {
    code.lines().map(visible).collect::<Vec<_>>().join("\n")
}

fn figure(figure: &Figure, page: &Page) -> String {
    let drawn = characters(figure, &page.variants, COLUMNS, false);
    let data = details(&format!("{}: data", figure.title), &figure.table());
    let (title, caption) = (escape(&figure.title), escape(&figure.caption));
    format!("**{title}**\n\n{FENCE}text\n{drawn}\n{FENCE}\n\n{caption}\n\n{data}")
}

fn details(what: &str, found: &Table) -> String {
    format!(
        "<details><summary>{}</summary>\n\n{}\n\n</details>",
        escape(what),
        table(found)
    )
}

fn table(table: &Table) -> String {
    let line = |cells: &[String]| {
        format!(
            "| {} |",
            cells
                .iter()
                .map(|c| escape(c))
                .collect::<Vec<_>>()
                .join(" | ")
        )
    };
    let rule = (0..table.columns.len()).map(|column| {
        if table.is_numeric(column) {
            "---:"
        } else {
            "---"
        }
    });
    let mut lines = vec![
        line(&table.columns),
        format!("| {} |", rule.collect::<Vec<_>>().join(" | ")),
    ];
    lines.extend(table.rows.iter().take(ROWS).map(|row| line(row)));
    if table.rows.len() > ROWS {
        lines.push(format!(
            "\n({} more rows are in the HTML report)",
            table.rows.len() - ROWS
        ));
    }
    lines.join("\n")
}

/// Text in which nothing is markup: neither Markdown's nor HTML's, and a line stays a line.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut before = ' ';
    for c in text.chars() {
        match c {
            // No name calls a person: a mention begins behind what is no letter.
            '@' if !before.is_alphanumeric() => escaped.push_str("@\u{200b}"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' | '$' => escaped.extend(['\\', c]),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
        before = c;
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_stay_text() {
        assert_eq!(escape("<b>a|b</b>\n# c"), "&lt;b&gt;a\\|b&lt;/b&gt; \\# c");
        assert_eq!(escape("[x](y) `z` $w$"), "\\[x\\](y) \\`z\\` \\$w\\$");
    }

    #[test]
    fn a_long_table_is_cut_and_says_so() {
        let mut long = Table::new(["cell"]);
        long.rows = vec![vec!["a".to_owned()]; ROWS + 3];
        assert!(table(&long).ends_with("(3 more rows are in the HTML report)"));
    }
}
