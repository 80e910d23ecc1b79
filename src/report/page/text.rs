//! A report for a terminal: the same blocks, plots in characters.

use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table as Grid, TableStyle};

use super::block::{Block, Table, sentence};
use super::characters::characters;
use super::figure::Figure;
use super::{Page, Section};
use crate::report::table::Style;

/// Characters of a line where no terminal says how many.
const WIDTH: usize = 100;
/// Blank characters between columns.
const GAP: u16 = 2;

/// A report as text, without a last line break.
pub fn text(page: &Page, style: Style) -> String {
    let width = style.width.unwrap_or(WIDTH).clamp(40, 120);
    let shown = Shown {
        page,
        width,
        unicode: style.unicode,
    };
    let head = format!("{}\n{}", visible(&page.title), visible(&page.source));
    let sections = page.sections.iter().map(|section| shown.section(section));
    let parts: Vec<String> = std::iter::once(head).chain(sections).collect();
    parts
        .iter()
        .map(|part| {
            part.lines()
                .map(str::trim_end)
                .collect::<Vec<_>>()
                .join("\n")
        })
        .collect::<Vec<_>>()
        .join("\n\n")
}

/// The blocks of a page alone, without its title and its sections' headings.
pub fn blocks(page: &Page, style: Style) -> String {
    let width = style.width.unwrap_or(WIDTH).clamp(40, 120);
    let shown = Shown {
        page,
        width,
        unicode: style.unicode,
    };
    let blocks = page
        .sections
        .iter()
        .flat_map(|section| &section.blocks)
        .filter_map(|block| shown.block(block));
    let said = blocks.collect::<Vec<_>>().join("\n\n");
    said.lines()
        .map(str::trim_end)
        .collect::<Vec<_>>()
        .join("\n")
}

struct Shown<'a> {
    page: &'a Page,
    width: usize,
    unicode: bool,
}

impl Shown<'_> {
    fn section(&self, section: &Section) -> String {
        let line = if self.unicode { "─" } else { "-" };
        let head = format!(
            "{}\n{}",
            section.title,
            line.repeat(section.title.chars().count())
        );
        let blocks = section.blocks.iter().filter_map(|block| self.block(block));
        std::iter::once(head)
            .chain(blocks)
            .collect::<Vec<_>>()
            .join("\n\n")
    }

    fn block(&self, block: &Block) -> Option<String> {
        Some(match block {
            Block::Lead(text) | Block::Text(text) => wrap(text, self.width, "", ""),
            Block::Facts(facts) => {
                let lines = facts
                    .iter()
                    .map(|(name, value)| wrap(&format!("{name}: {value}"), self.width, "", "  "));
                lines.collect::<Vec<_>>().join("\n")
            }
            Block::Table(table) => self.table(table),
            Block::Details(..) => return None,
            Block::Plot(figure) => self.figure(figure),
            Block::Plots(figures) => figures
                .iter()
                .map(|f| self.figure(f))
                .collect::<Vec<_>>()
                .join("\n\n"),
            Block::Caveat { message, remedy } => wrap(
                &format!("{} Remedy: {remedy}.", sentence(message)),
                self.width,
                "! ",
                "  ",
            ),
        })
    }

    fn figure(&self, figure: &Figure) -> String {
        let lines = |text: &str| wrap(text, self.width, "", "");
        let drawn = characters(figure, &self.page.variants, self.width, self.unicode);
        [lines(&figure.title), drawn, lines(&figure.caption)].join("\n")
    }

    fn table(&self, table: &Table) -> String {
        let line = if self.unicode { '─' } else { '-' };
        let mut grid = Grid::new();
        grid.load_style(TableStyle::new().header_separator(LineStyle::none().fill(line)));
        grid.set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(self.width as u16);
        grid.set_header(table.columns.iter().map(|name| visible(name)));
        for row in &table.rows {
            grid.add_row(row.iter().map(|cell| visible(cell)));
        }
        for (index, column) in grid.column_iter_mut().enumerate() {
            column.set_padding((
                0,
                if index + 1 == table.columns.len() {
                    0
                } else {
                    GAP
                },
            ));
            let side = if table.is_numeric(index) {
                CellAlignment::Right
            } else {
                CellAlignment::Left
            };
            column.set_cell_alignment(side);
        }
        grid.trim_fmt()
    }
}

/// A text in which nothing moves a terminal's cursor.
pub(super) fn visible(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            if c.is_control() {
                c.escape_default().collect::<Vec<_>>()
            } else {
                vec![c]
            }
        })
        .collect()
}

/// Breaks a paragraph between words.
pub(super) fn wrap(text: &str, width: usize, first: &str, rest: &str) -> String {
    let (mut lines, mut line) = (Vec::new(), String::new());
    for word in visible(text).split(' ') {
        let start = if lines.is_empty() { first } else { rest };
        if line.is_empty() {
            line = format!("{start}{word}");
        } else if line.chars().count() + 1 + word.chars().count() <= width {
            line = format!("{line} {word}");
        } else {
            lines.push(std::mem::replace(&mut line, format!("{rest}{word}")));
        }
    }
    lines.push(line);
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_wrapped_and_controls_shown() {
        assert_eq!(
            wrap("one two three", 8, "! ", "  "),
            "! one\n  two\n  three"
        );
        assert_eq!(wrap("red \u{1b}[31m", 40, "", ""), "red \\u{1b}[31m");
    }
}
