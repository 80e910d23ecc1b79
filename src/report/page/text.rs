//! A report for a terminal: the same blocks, plots in characters, each variant's points as its letter.

use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table as Grid, TableStyle};
use kuva::TerminalBackend;
use kuva::render::color::Color;
use kuva::render::render::{Primitive, Scene, TextAnchor};

use super::block::{Block, Table};
use super::figure::{Chart, Figure};
use super::plot::{Canvas, paint, scene};
use super::{Hue, Page, Section};
use crate::report::table::Style;

/// Characters of a line where no terminal says how many.
const WIDTH: usize = 100;
/// Rows of a plot of y against x.
const ROWS: f64 = 18.0;
/// Pixels of a character, as kuva measures text: width and height.
const CELL: (f64, f64) = (8.0, 16.0);
/// How far below the middle of a row kuva writes the row's name, in pixels: a point's letter belongs in the same line.
const BASELINE: f64 = 4.5;
/// Blank characters between columns.
const GAP: u16 = 2;

/// A report as text, without a last line break.
pub fn text(page: &Page, style: Style) -> String {
    let width = style.width.unwrap_or(WIDTH).clamp(40, 120);
    let shown = Shown { page, width, unicode: style.unicode };
    let head = format!("{}\n{}", page.title, page.source);
    let sections = page.sections.iter().map(|section| shown.section(section));
    let parts: Vec<String> = std::iter::once(head).chain(sections).collect();
    parts
        .iter()
        .map(|part| part.lines().map(str::trim_end).collect::<Vec<_>>().join("\n"))
        .collect::<Vec<_>>()
        .join("\n\n")
}

struct Shown<'a> {
    page: &'a Page,
    width: usize,
    unicode: bool,
}

impl Shown<'_> {
    fn section(&self, section: &Section) -> String {
        let line = if self.unicode { "─" } else { "-" };
        let head = format!("{}\n{}", section.title, line.repeat(section.title.chars().count()));
        let blocks = section.blocks.iter().filter_map(|block| self.block(block));
        std::iter::once(head).chain(blocks).collect::<Vec<_>>().join("\n\n")
    }

    fn block(&self, block: &Block) -> Option<String> {
        Some(match block {
            Block::Lead(text) | Block::Text(text) => wrap(text, self.width, "", ""),
            Block::Facts(facts) => {
                let lines = facts.iter().map(|(name, value)| wrap(&format!("{name}: {value}"), self.width, "", "  "));
                lines.collect::<Vec<_>>().join("\n")
            }
            Block::Table(table) => self.table(table),
            Block::Details(..) => return None,
            Block::Plot(figure) => self.figure(figure),
            Block::Plots(figures) => figures.iter().map(|f| self.figure(f)).collect::<Vec<_>>().join("\n\n"),
            Block::Caveat { message, remedy } => wrap(&format!("{message}. Remedy: {remedy}."), self.width, "! ", "  "),
        })
    }

    fn figure(&self, figure: &Figure) -> String {
        let caption = wrap(&figure.caption, self.width, "", "");
        let letters: Vec<String> =
            figure.variants().into_iter().map(|v| format!("{} {}", letter(v), self.page.variants[v])).collect();
        let up = match &figure.chart {
            Chart::Scatter(scatter) => format!(" (up: {})", scatter.y.label),
            _ => String::new(),
        };
        let mut parts = vec![wrap(&format!("{}{up}", figure.title), self.width, "", ""), self.plot(figure)];
        if letters.len() > 1 && matches!(figure.chart, Chart::Scatter(_)) {
            parts.push(wrap(&letters.join("  "), self.width, "", ""));
        }
        parts.push(caption);
        parts.join("\n")
    }

    fn plot(&self, figure: &Figure) -> String {
        let canvas = Canvas {
            width: self.width as f64 * CELL.0,
            height: ROWS * CELL.1,
            row: CELL.1,
            font: 13,
            name: self.width * 2 / 5,
            ticks: 5,
            signs: false,
            figures: true,
            upright: false,
        };
        let mut scene = scene(figure, &canvas);
        name_points(&mut scene, self.page.variants.len());
        let rows = (scene.height / CELL.1).ceil() as usize;
        let drawn = plain(&TerminalBackend::new(self.width, rows).render_scene(&scene));
        let drawn = if self.unicode { drawn } else { drawn.chars().map(ascii).collect() };
        drawn.lines().filter(|line| !line.trim().is_empty()).map(str::trim_end).collect::<Vec<_>>().join("\n")
    }

    fn table(&self, table: &Table) -> String {
        let line = if self.unicode { '─' } else { '-' };
        let mut grid = Grid::new();
        grid.load_style(TableStyle::new().header_separator(LineStyle::none().fill(line)));
        grid.set_content_arrangement(ContentArrangement::Dynamic).set_width(self.width as u16);
        grid.set_header(&table.columns);
        for row in &table.rows {
            grid.add_row(row.iter().map(|cell| visible(cell)));
        }
        for (index, column) in grid.column_iter_mut().enumerate() {
            column.set_padding((0, if index + 1 == table.columns.len() { 0 } else { GAP }));
            let side = if table.is_numeric(index) { CellAlignment::Right } else { CellAlignment::Left };
            column.set_cell_alignment(side);
        }
        grid.trim_fmt()
    }
}

/// The letter of a variant's points; the alphabet starts again after `z`.
fn letter(variant: usize) -> char {
    char::from(b'a' + (variant % 26) as u8)
}

/// In characters a point is its variant's letter instead of a sign in its colour.
fn name_points(scene: &mut Scene, variants: usize) {
    let letter_of = |fill: &Color| {
        let Color::Css(css) = fill else { return None };
        (0..variants).find(|v| paint(Hue::Variant(*v)) == **css).map(letter)
    };
    let mut named = Vec::with_capacity(scene.elements.len());
    for element in std::mem::take(&mut scene.elements) {
        match &element {
            Primitive::Circle { cx, cy, fill, .. } => named.push(point(*cx, *cy, letter_of(fill))),
            Primitive::CircleBatch { cx, cy, fill, .. } => {
                named.extend(cx.iter().zip(cy).map(|(x, y)| point(*x, *y, letter_of(fill))));
            }
            Primitive::Rect { x, y, width, height, fill, .. } if *width < 2.0 * CELL.0 && letter_of(fill).is_some() => {
                named.push(point(x + width / 2.0, y + height / 2.0, letter_of(fill)));
            }
            _ => named.push(element),
        }
    }
    scene.elements = named;
}

fn point(x: f64, y: f64, letter: Option<char>) -> Primitive {
    Primitive::Text {
        x,
        y: y + BASELINE,
        content: letter.unwrap_or('*').to_string(),
        size: CELL.1 as u32,
        anchor: TextAnchor::Start,
        rotate: None,
        bold: false,
        color: None,
    }
}

/// Without the escape sequences that colour it.
fn plain(text: &str) -> String {
    let mut parts = text.split('\u{1b}');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |plain, part| plain + part.split_once('m').map_or("", |(_, rest)| rest))
}

/// Lines and dots in ASCII.
fn ascii(c: char) -> char {
    match c {
        '─' | '╴' | '╶' => '-',
        '│' | '╵' | '╷' => '|',
        '┌' | '┐' | '└' | '┘' | '├' | '┤' | '┬' | '┴' | '┼' => '+',
        '█' => '#',
        '\u{2800}' => ' ',
        '\u{2801}'..='\u{28ff}' => '.',
        other => other,
    }
}

/// A text in which nothing moves a terminal's cursor.
fn visible(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] }).collect()
}

/// Breaks a paragraph between words.
fn wrap(text: &str, width: usize, first: &str, rest: &str) -> String {
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
        assert_eq!(wrap("one two three", 8, "! ", "  "), "! one\n  two\n  three");
        assert_eq!(wrap("red \u{1b}[31m", 40, "", ""), "red \\u{1b}[31m");
        assert_eq!(plain("\u{1b}[38;2;1;2;3mx\u{1b}[0m y"), "x y");
    }
}
