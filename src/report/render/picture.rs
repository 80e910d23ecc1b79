//! The first plot of a page as a picture of its own: an SVG file with its colours, for a document or a paper, light and dark.

use super::medium::Medium;
use super::plot::{paint, sign};
use super::svg::{WIDE, escape, hatches, svg};
use crate::report::page::{Chart, Figure, Hue, Page};

/// Pixels above the plot for its title, and for each line of its legend.
const TITLE: f64 = 30.0;
const LEGEND: f64 = 20.0;
/// Pixels of a character of the legend, on average.
const CHARACTER: f64 = 7.6;

/// The first plot.
#[derive(Debug, Clone, Copy)]
pub struct Picture;

impl Medium for Picture {
    fn show(&self, page: &Page) -> Option<String> {
        page.plot().map(|figure| picture(figure, page))
    }
}

impl Picture {
    /// Any plot of a page.
    pub fn of(figure: &Figure, page: &Page) -> String {
        picture(figure, page)
    }
}

/// A plot as an SVG file: its title above, its caption as a description.
fn picture(figure: &Figure, page: &Page) -> String {
    let drawn = svg(figure, &WIDE);
    let (open, inside) = drawn.split_once('>').unwrap_or(("", ""));
    let height: f64 = open
        .split('"')
        .nth(1)
        .and_then(|view| view.split(' ').next_back())
        .and_then(|height| height.parse().ok())
        .unwrap_or(WIDE.height);
    let legend = legend(figure, page);
    let above = TITLE + LEGEND * legend.len() as f64;
    let (width, whole) = (WIDE.width, height + above);
    let lines = legend.iter().zip(1..).map(|(line, k)| {
        let y = TITLE + LEGEND * f64::from(k) - 6.0;
        format!(r#"<text x="12" y="{y}" font-size="13">{line}</text>"#)
    });
    let (style, hatches) = (style(), hatches());
    let (title, caption) = (escape(&figure.title), escape(&figure.caption));
    let lines: String = lines.collect();
    let inside = inside.strip_suffix("</svg>").unwrap_or(inside);
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {whole}" width="{width}" height="{whole}" role="img" fill="currentColor">
<title>{title}</title>
<desc>{caption}</desc>
<style>{style}</style>
{hatches}
<rect width="{width}" height="{whole}" fill="var(--paper)"/>
<text x="12" y="21" font-size="15" font-weight="600">{title}</text>
{lines}
<g transform="translate(0 {above})">{inside}</g>
</svg>"#
    )
}

/// The colours of the style sheet, light and dark: everything before the first rule that is about a page.
fn style() -> String {
    let sheet = include_str!("style.css");
    let colors = sheet.split("* {").next().unwrap_or_default();
    let colors = colors
        .replace("color-scheme: light dark;", "")
        .replace('\n', " ");
    format!(
        "{colors} svg {{ color: var(--ink); font-family: system-ui, -apple-system, 'Segoe UI', Roboto, Arial, sans-serif; }}"
    )
}

/// Which sign and colour is whose, in lines that fit.
fn legend(figure: &Figure, page: &Page) -> Vec<String> {
    let variants = figure.variants();
    if variants.len() < 2 || !matches!(figure.chart, Chart::Scatter(_)) {
        return Vec::new();
    }
    let mut lines: Vec<(f64, String)> = Vec::new();
    for variant in variants {
        let name = &page.variants[variant];
        let width = CHARACTER * (name.chars().count() + 4) as f64;
        let (color, sign) = (paint(Hue::Variant(variant)), sign(variant));
        let entry = format!(
            r#"<tspan fill="{color}">{sign}</tspan> {}&#160;&#160; "#,
            escape(name)
        );
        match lines.last_mut() {
            Some((taken, line)) if *taken + width < WIDE.width - 24.0 => {
                *taken += width;
                line.push_str(&entry);
            }
            _ => lines.push((width, entry)),
        }
    }
    lines.into_iter().map(|(_, line)| line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::page::{Axis, Block, Mark, Point, Quantity, Scatter, Series};

    #[test]
    fn a_plot_alone_is_an_image_with_its_own_colours() {
        let variants: Vec<String> = (0..12).map(|k| format!("variant <{k}>")).collect();
        let series = (0..12).map(|k| Series {
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
        let chart = Chart::Scatter(Scatter {
            x: Axis::linear("steps", Quantity::Count),
            y: Axis::linear("loss", Quantity::Nats),
            series: series.collect(),
            rules: Vec::new(),
        });
        let figure = Figure {
            title: "Loss & steps".to_owned(),
            caption: "What to see.".to_owned(),
            chart,
        };
        let page = Page::answer("x", variants, vec![Block::Plot(figure)]);
        let drawn = Picture.show(&page).unwrap();
        for part in [
            "xmlns=\"http://www.w3.org/2000/svg\"",
            "<title>Loss &amp; steps</title>",
            "--hue-6: #5a4fcf",
            "prefers-color-scheme: dark",
            "variant &lt;11&gt;",
        ] {
            assert!(drawn.contains(part), "{part}: {drawn}");
        }
        assert_eq!(drawn.matches("<svg").count(), 1);
        assert_eq!(drawn.matches("<g").count(), drawn.matches("</g>").count());
        assert_eq!(
            Picture.show(&Page::answer("x", Vec::new(), Vec::new())),
            None
        );
    }
}
