//! A figure in characters, drawn by kuva: each variant's points as its letter, as colours do not survive a pipe.

use kuva::TerminalBackend;
use kuva::render::color::Color;
use kuva::render::render::{Primitive, Scene, TextAnchor};

use super::lines::{visible, wrap};
use super::plot::{Canvas, draw, lettered};
use crate::report::page::{Chart, Figure, Hue};

/// Rows of a plot of y against x.
const ROWS: f64 = 18.0;
/// Pixels of a character, as kuva measures text: width and height.
const CELL: (f64, f64) = (8.0, 16.0);
/// How far below the middle of a row kuva writes the row's name, in pixels: a point's letter belongs in the same line.
const BASELINE: f64 = 4.5;

/// A plot of this many columns, with what goes up above it and whose the letters are below it.
pub fn characters(figure: &Figure, variants: &[String], columns: usize, unicode: bool) -> String {
    let drawn = plot(figure, variants.len(), columns, unicode);
    let Chart::Scatter(scatter) = &figure.chart else {
        return drawn;
    };
    let shown = figure.variants();
    let letters: Vec<String> = shown
        .iter()
        .map(|v| format!("{} {}", letter(*v), variants[*v]))
        .collect();
    [
        visible(&scatter.y.label),
        drawn,
        wrap(&letters.join("  "), Some(columns), "", "    "),
    ]
    .join("\n")
}

fn plot(figure: &Figure, variants: usize, columns: usize, unicode: bool) -> String {
    let canvas = Canvas {
        width: columns as f64 * CELL.0,
        height: ROWS * CELL.1,
        row: CELL.1,
        edges: (CELL.1, 3.5 * CELL.1),
        below_last: 0.5,
        font: 13,
        name: columns * 2 / 5,
        ticks: 5,
        label: 0,
        figures: true,
        fine: false,
    };
    let mut scene = draw(figure, &canvas).scene;
    name_points(&mut scene, variants);
    let rows = (scene.height / CELL.1).round() as usize;
    let drawn = plain(&TerminalBackend::new(columns, rows).render_scene(&scene));
    let drawn = if unicode {
        drawn
    } else {
        drawn.chars().map(ascii).collect()
    };
    drawn
        .lines()
        .map(str::trim_end)
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join("\n")
}

/// The letter of a variant's points; the alphabet starts again after `z`.
fn letter(variant: usize) -> char {
    char::from(b'a' + (variant % 26) as u8)
}

/// In characters a point is its variant's letter instead of a sign in its colour.
fn name_points(scene: &mut Scene, variants: usize) {
    let letter_of = |fill: &Color| {
        let Color::Css(css) = fill else { return None };
        (0..variants)
            .find(|variant| lettered(Hue::Variant(*variant)) == **css)
            .map(letter)
    };
    let mut named = Vec::with_capacity(scene.elements.len());
    for element in std::mem::take(&mut scene.elements) {
        match &element {
            Primitive::Circle { cx, cy, fill, .. } => named.push(point(*cx, *cy, letter_of(fill))),
            Primitive::CircleBatch { cx, cy, fill, .. } => {
                named.extend(
                    cx.iter()
                        .zip(cy)
                        .map(|(x, y)| point(*x, *y, letter_of(fill))),
                );
            }
            Primitive::Rect {
                x,
                y,
                width,
                height,
                fill,
                ..
            } if *width < 2.0 * CELL.0 && letter_of(fill).is_some() => {
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
        content: letter.unwrap_or('.').to_string(),
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
    parts.fold(first, |plain, part| {
        plain + part.split_once('m').map_or("", |(_, rest)| rest)
    })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::page::{Axis, Mark, Point, Quantity, Scatter, Series};

    #[test]
    fn every_variant_has_its_letter_and_nothing_moves_the_cursor() {
        let variants: Vec<String> = (0..9).map(|k| format!("v{k}\u{1b}[31m")).collect();
        let series = (0..9).map(|k| Series {
            name: variants[k].clone(),
            hue: Hue::Variant(k),
            mark: Mark::Dots,
            points: vec![Point {
                x: k as f64,
                y: k as f64,
                interval: None,
                note: String::new(),
            }],
        });
        let axis = || Axis::linear("loss", Quantity::Nats);
        let scatter = Scatter {
            x: axis(),
            y: axis(),
            series: series.collect(),
            rules: Vec::new(),
        };
        let figure = Figure {
            title: String::new(),
            caption: String::new(),
            chart: Chart::Scatter(scatter),
        };
        let (unicode, ascii) = (
            characters(&figure, &variants, 200, true),
            characters(&figure, &variants, 200, false),
        );
        for drawn in [&unicode, &ascii] {
            assert!(
                !drawn.contains('\u{1b}') && drawn.contains("i v8"),
                "{drawn}"
            );
            let plot: String = drawn
                .lines()
                .filter(|line| !line.contains("v8") && !line.contains("loss"))
                .collect();
            for letter in 'a'..='i' {
                assert_eq!(plot.matches(letter).count(), 1, "{letter} in\n{drawn}");
            }
        }
        assert!(ascii.is_ascii() && !unicode.is_ascii());
    }
}
