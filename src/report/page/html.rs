//! A report as one HTML file: no script, no request, light and dark, wide and narrow, and to be printed.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::block::{Block, Table, sentence};
use super::figure::{Chart, Figure, Hue};
use super::plot::{Canvas, HUES, paint, sign};
use super::svg::{HALF, NARROW, WIDE, svg};
use super::{Page, Section};

/// Nothing may be fetched or run, whatever a name in a result file says.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";

/// A report as an HTML document.
pub fn html(page: &Page) -> String {
    let (first, rest) = match page.sections.split_first() {
        Some((first, rest)) => (Some(first), rest),
        None => (None, &[][..]),
    };
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (page.title) }
                style { (PreEscaped(include_str!("style.css"))) }
            }
            body {
                (hatches())
                header {
                    p.source { (page.source) }
                    h1.title { (page.title) }
                }
                main {
                    @if let Some(section) = first { (opening(section, page)) }
                    (contents(rest))
                    @for part in rest { (section(part, page)) }
                }
                footer { "Made by effbench from the result files alone. This file loads nothing and runs nothing." }
            }
        }
    }
    .into_string()
}

/// The first section has no heading of its own: it is what the report says.
fn opening(section: &Section, page: &Page) -> Markup {
    html! {
        section.opening id=(section.id) aria-label=(section.title) {
            @for part in &section.blocks { (block(part, page)) }
        }
    }
}

fn contents(sections: &[Section]) -> Markup {
    html! {
        nav aria-label="Contents" {
            h2 { "In this report" }
            ol {
                @for part in sections {
                    li { a href={ "#" (part.id) } { (part.title) } span { (part.about) } }
                }
            }
        }
    }
}

fn section(section: &Section, page: &Page) -> Markup {
    html! {
        section id=(section.id) {
            h2 { (section.title) }
            p.about { (section.about) }
            @for part in &section.blocks { (block(part, page)) }
        }
    }
}

fn block(block: &Block, page: &Page) -> Markup {
    html! {
        @match block {
            Block::Lead(text) => p.lead { (text) },
            Block::Text(text) => p { (text) },
            Block::Facts(facts) => dl.facts {
                @for (name, value) in facts { div { dt { (name) } dd { (value) } } }
            },
            Block::Table(found) => (table(found)),
            Block::Details(what, found) => details { summary { (what) } (table(found)) },
            Block::Plot(found) => (figure(found, page, &WIDE)),
            Block::Plots(found) => div.plots { @for one in found { (figure(one, page, &HALF)) } },
            Block::Caveat { message, remedy } => div.caveat role="note" {
                p { b { (sentence(message)) } } p.remedy { "Remedy: " (remedy) "." }
            },
        }
    }
}

fn figure(figure: &Figure, page: &Page, canvas: &Canvas) -> Markup {
    html! {
        figure {
            h3 { (figure.title) }
            (legend(figure, page))
            div.plot role="img" aria-label={ (figure.title) ". " (figure.caption) } {
                div.wide { (PreEscaped(svg(figure, canvas))) }
                div.narrow { (PreEscaped(svg(figure, &NARROW))) }
            }
            figcaption { (figure.caption) }
            details { summary { "The data of this plot" } (table(&figure.table())) }
        }
    }
}

/// Which sign and colour is whose, unless a plot says so itself: it has one variant, or names its rows.
fn legend(figure: &Figure, page: &Page) -> Markup {
    let variants = figure.variants();
    html! {
        @if variants.len() > 1 && matches!(figure.chart, Chart::Scatter(_)) {
            ul.legend {
                @for variant in variants {
                    li { span style={ "color:" (paint(Hue::Variant(variant))) } aria-hidden="true" { (sign(variant)) }
                        (page.variants[variant]) }
                }
            }
        }
    }
}

fn table(table: &Table) -> Markup {
    let class = |column: usize| table.is_numeric(column).then_some("number");
    html! {
        div.scroll tabindex="0" {
            table {
                @let classes = (0..table.columns.len()).map(class).collect::<Vec<_>>();
                thead { tr {
                    @for (name, class) in table.columns.iter().zip(&classes) { th scope="col" class=[*class] { (name) } }
                } }
                tbody {
                    @for row in &table.rows {
                        tr { @for (cell, class) in row.iter().zip(&classes) { td class=[*class] { (cell) } } }
                    }
                }
            }
        }
    }
}

/// What estimates are filled with, once for all plots.
fn hatches() -> Markup {
    html! {
        svg.hatches aria-hidden="true" width="0" height="0" {
            defs {
                @for hue in 0..HUES {
                    pattern id={ "hatch-" (hue) } width="7" height="7" patternUnits="userSpaceOnUse"
                        patternTransform="rotate(45)" {
                        rect width="7" height="7" fill="var(--paper)" {}
                        rect width="3" height="7" fill={ "var(--hue-" (hue) ")" } {}
                    }
                }
            }
        }
    }
}
