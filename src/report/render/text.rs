//! A page for a terminal: the same blocks, plots in characters.

use super::characters::characters;
use super::grid::grid;
use super::lines::{columns, visible, wrap};
use super::medium::{Medium, Style};
use crate::report::page::block::sentence;
use crate::report::page::{Block, Figure, Page, Section};

/// Columns of a plot where no terminal says how many there are.
const WIDTH: usize = 100;

/// Text in this style.
#[derive(Debug, Clone, Copy, Default)]
pub struct Text(pub Style);

impl Medium for Text {
    fn show(&self, page: &Page) -> Option<String> {
        Some(text(page, self.0))
    }
}

/// A page as text, without a last line break.
pub fn text(page: &Page, style: Style) -> String {
    // What has a title is a document, and read as one wherever it goes; an answer without one is searched and cut by programs.
    let width = style.width.or((!page.source.is_empty()).then_some(WIDTH));
    let style = Style { width, ..style };
    let shown = Shown { page, style };
    let head = format!(
        "{}\n{}",
        style.bold(&visible(&page.title)),
        visible(&page.source)
    );
    let head = (!page.source.is_empty()).then_some(head);
    let sections = page.sections.iter().map(|section| shown.section(section));
    let parts: Vec<String> = head.into_iter().chain(sections).collect();
    let whole = parts.join("\n\n");
    let lines = whole.lines().map(str::trim_end);
    lines.collect::<Vec<_>>().join("\n")
}

struct Shown<'a> {
    page: &'a Page,
    style: Style,
}

impl Shown<'_> {
    fn section(&self, section: &Section) -> String {
        let line = if self.style.unicode { "─" } else { "-" };
        let title = section.title;
        let rule = line.repeat(columns(title));
        let head = (!title.is_empty()).then(|| format!("{}\n{rule}", self.style.bold(title)));
        let blocks = section.blocks.iter().map(|block| self.block(block));
        head.into_iter()
            .chain(blocks)
            .collect::<Vec<_>>()
            .join("\n\n")
    }

    fn wrap(&self, text: &str, first: &str, rest: &str) -> String {
        wrap(text, self.style.width, first, rest)
    }

    fn block(&self, block: &Block) -> String {
        match block {
            Block::Lead(text) => self.style.bold(&self.wrap(text, "", "")),
            Block::Verdict(mood, text) => {
                let said = self.wrap(text, "", "");
                self.style.mood(*mood, &said)
            }
            Block::More(_, blocks) => blocks
                .iter()
                .map(|block| self.block(block))
                .collect::<Vec<_>>()
                .join("\n\n"),
            Block::Text(text) => self.style.verdicts(&self.wrap(text, "", "")),
            Block::Heading(text) => self.style.bold(&self.wrap(text, "", "")),
            Block::Facts(facts) => {
                let lines = facts
                    .iter()
                    .map(|(name, value)| self.wrap(&format!("{name}: {value}"), "", "  "));
                lines.collect::<Vec<_>>().join("\n")
            }
            Block::List { head, items } => {
                let items = items.iter().map(|item| self.wrap(item, "  - ", "    "));
                let head = (!head.is_empty()).then(|| self.wrap(head, "", ""));
                head.into_iter().chain(items).collect::<Vec<_>>().join("\n")
            }
            Block::Table(table) => grid(table, self.style),
            Block::Details(what, table) => {
                format!(
                    "{}\n\n{}",
                    self.wrap(&format!("{what}:"), "", ""),
                    grid(table, self.style)
                )
            }
            Block::Plot(figure) => self.figure(figure),
            Block::Plots(figures) => figures
                .iter()
                .map(|f| self.figure(f))
                .collect::<Vec<_>>()
                .join("\n\n"),
            Block::Code(code) => code.lines().map(visible).collect::<Vec<_>>().join("\n"),
            Block::Caveat { message, remedy } => {
                let text = format!("{} Remedy: {remedy}.", sentence(message));
                let wrapped = self.wrap(&text, "! ", "  ");
                wrapped
                    .strip_prefix('!')
                    .map_or_else(String::new, |rest| self.style.doubt("!") + rest)
            }
        }
    }

    fn figure(&self, figure: &Figure) -> String {
        let lines = |text: &str| self.wrap(text, "", "");
        let width = self.style.width.unwrap_or(WIDTH).clamp(40, 120);
        let drawn = characters(figure, &self.page.variants, width, self.style.unicode);
        [
            self.style.bold(&lines(&figure.title)),
            drawn,
            lines(&figure.caption),
        ]
        .join("\n")
    }
}

/// Holds a text against a committed one. Mend with `MEND_GOLDEN=1 cargo test --lib report`, and read what changed.
#[cfg(test)]
pub(in crate::report) fn golden(name: &str, found: &str) {
    let path = format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    if option_env!("MEND_GOLDEN").is_some() {
        std::fs::write(&path, format!("{found}\n")).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap();
    assert_eq!(found, expected.trim_end(), "{name}");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A command's answer has neither title nor headings; a report has both.
    #[test]
    fn blocks_follow_each_other() {
        let blocks = vec![
            Block::Lead("modern wins.".to_owned()),
            Block::List {
                head: "Others:".to_owned(),
                items: vec!["llama".to_owned(), "gpt2\u{1b}[2J".to_owned()],
            },
            Block::Caveat {
                message: "one machine".to_owned(),
                remedy: "two".to_owned(),
            },
        ];
        let mut page = Page::answer("gain", Vec::new(), blocks);
        let said =
            "modern wins.\n\nOthers:\n  - llama\n  - gpt2\\u{1b}[2J\n\n! One machine. Remedy: two.";
        assert_eq!(text(&page, Style::default()), said);
        page.source = "a file".to_owned();
        assert_eq!(
            text(&page, Style::default()),
            format!("gain\na file\n\n{said}")
        );
    }
}
