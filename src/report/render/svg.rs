//! A figure as inline SVG: no colour of its own (the page's style sheet has them), no script, nothing from elsewhere.

use kuva::backend::svg::SvgBackend;
use kuva::render::render::Primitive;

use super::plot::{Canvas, Drawn, HUES, Spot, draw};
use crate::report::page::Figure;

/// Where a page is wide, as on a desk.
pub const WIDE: Canvas = Canvas {
    width: 820.0,
    height: 400.0,
    row: 30.0,
    edges: (8.0, 54.0),
    below_last: 0.0,
    font: 13,
    name: 44,
    ticks: 6,
    label: 0,
    figures: true,
    fine: true,
};
/// One of several beside each other.
pub const HALF: Canvas = Canvas {
    width: 420.0,
    height: 320.0,
    row: 28.0,
    edges: (8.0, 54.0),
    below_last: 0.0,
    font: 13,
    name: 26,
    ticks: 4,
    label: 48,
    figures: false,
    fine: true,
};
/// Where it is narrow, as on a phone.
pub const NARROW: Canvas = Canvas {
    width: 360.0,
    height: 300.0,
    row: 28.0,
    edges: (8.0, 54.0),
    below_last: 0.0,
    font: 12,
    name: 16,
    ticks: 3,
    label: 34,
    figures: true,
    fine: true,
};

/// The picture as an `<svg>` element that takes the width it is given; all text in it is escaped.
pub fn svg(figure: &Figure, canvas: &Canvas) -> String {
    let Drawn { mut scene, spots } = draw(figure, canvas);
    // Nothing is drawn beyond the axes, and kuva numbers its clips through the process: a page would not be the same twice.
    scene
        .elements
        .retain(|element| !matches!(element, Primitive::ClipStart { .. } | Primitive::ClipEnd));
    scene.defs.clear();
    let (width, height) = (scene.width.round(), scene.height.round());
    let drawn = SvgBackend::new().render_scene(&scene);
    // kuva gives a size in pixels where a page needs a shape that scales, and names its version in a comment.
    let inside = drawn
        .split_once("-->")
        .map_or(drawn.as_str(), |(_, inside)| inside);
    let inside = inside.trim_end().strip_suffix("</svg>").unwrap_or(inside);
    let spots: String = spots.iter().map(hover).collect();
    format!(
        r#"<svg viewBox="0 0 {width} {height}" fill="currentColor" aria-hidden="true" focusable="false">{inside}{spots}</svg>"#
    )
}

/// Says what a point is to whoever points at it.
fn hover(spot: &Spot) -> String {
    let Spot { x, y, says } = spot;
    let says = escape(says);
    format!(
        r#"<circle cx="{x:.1}" cy="{y:.1}" r="9" fill="none" pointer-events="all"><title>{says}</title></circle>"#
    )
}

/// Text in which nothing is markup.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

/// What estimates are filled with, once for all plots of a file.
pub(super) fn hatches() -> String {
    let one = |hue: usize| {
        format!(
            r#"<pattern id="hatch-{hue}" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect width="7" height="7" fill="var(--paper)"></rect><rect width="3" height="7" fill="var(--hue-{hue})"></rect></pattern>"#
        )
    };
    format!("<defs>{}</defs>", (0..HUES).map(one).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::page::{Axis, Chart, Forest, Hue, Open, Quantity, Row};

    fn forest(name: &str) -> Figure {
        let row = Row {
            name: name.to_owned(),
            hue: Hue::Variant(0),
            value: 2.0,
            interval: Some((1.5, 2.5)),
            open: Open::No,
            note: String::new(),
        };
        let forest = Forest {
            x: Axis::log("gain", Quantity::Times),
            null: Some(1.0),
            rows: vec![row],
        };
        Figure {
            title: String::new(),
            caption: String::new(),
            chart: Chart::Forest(forest),
        }
    }

    #[test]
    fn a_picture_scales_and_brings_no_colour_of_its_own() {
        let drawn = svg(&forest("modern"), &WIDE);
        assert!(
            drawn.starts_with("<svg viewBox=\"0 0 820 ") && drawn.ends_with("</svg>"),
            "{drawn}"
        );
        assert!(
            drawn.contains("var(--hue-0)") && drawn.contains(">modern: 2.0</text>"),
            "{drawn}"
        );
        assert!(
            drawn.contains("<title>modern: 2.0 (1.50 to 2.5)</title>"),
            "a point says what it is: {drawn}"
        );
        for foreign in [
            "<script",
            "http",
            "<!--",
            "white",
            "black",
            "font-face",
            " id=",
        ] {
            assert!(!drawn.contains(foreign), "{foreign}: {drawn}");
        }
    }

    #[test]
    fn hostile_names_stay_text() {
        for (name, shown) in [
            ("<script>1</script>", "&lt;script&gt;1&lt;/script&gt;"),
            ("\"onload='x'&", "&quot;onload=&apos;x&apos;&amp;"),
            ("$\\frac{1}{2}$", "$\\frac{1}{2}$"),
        ] {
            let drawn = svg(&forest(name), &WIDE);
            assert!(
                drawn.contains(&format!(">{shown}: 2.0</text>")),
                "{shown}: {drawn}"
            );
        }
    }
}
