//! A report as Markdown, for a pull request or a wiki: the same blocks, plots in characters and their data.

use super::block::{Block, Table, sentence};
use super::characters::characters;
use super::figure::Figure;
use super::{Page, Section};

/// Rows of a table that a reader still reads; the result file has all.
const ROWS: usize = 60;
/// Columns of a plot.
const COLUMNS: usize = 90;
/// What no line of a plot consists of, whatever a variant is called: an axis or a letter stands beside every name.
const FENCE: &str = "~~~~~~~~~~";

/// A report as Markdown, with a last line break.
pub fn markdown(page: &Page) -> String {
    let head = format!("# {}\n\n{}", escape(&page.title), escape(&page.source));
    let parts: Vec<String> = std::iter::once(head)
        .chain(page.sections.iter().map(|part| section(part, page)))
        .collect();
    parts.join("\n\n") + "\n"
}

fn section(section: &Section, page: &Page) -> String {
    let head = format!("## {}", escape(section.title));
    std::iter::once(head)
        .chain(section.blocks.iter().map(|part| block(part, page)))
        .collect::<Vec<_>>()
        .join("\n\n")
}

fn block(block: &Block, page: &Page) -> String {
    match block {
        Block::Lead(text) => format!("**{}**", escape(text)),
        Block::Text(text) => escape(text),
        Block::Facts(facts) => {
            let lines = facts
                .iter()
                .map(|(name, value)| format!("- {}: {}", escape(name), escape(value)));
            lines.collect::<Vec<_>>().join("\n")
        }
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
    for c in text.chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' | '$' => escaped.extend(['\\', c]),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
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
