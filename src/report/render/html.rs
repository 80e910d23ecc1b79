//! A report as one HTML file: no script, no request, light and dark, wide and narrow, and to be printed.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::medium::Medium;
use super::plot::{Canvas, paint, sign};
use super::svg::{HALF, NARROW, WIDE, hatches, svg};
use crate::report::page::block::sentence;
use crate::report::page::{Block, Chart, Figure, Hue, Mood, Page, Section, Table};

/// Nothing may be fetched or run, whatever a name in a result file says.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";

/// One HTML file.
#[derive(Debug, Clone, Copy)]
pub struct Html;

impl Medium for Html {
    fn show(&self, page: &Page) -> Option<String> {
        Some(html(page))
    }
}

/// A page as an HTML document.
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
                svg.hatches aria-hidden="true" width="0" height="0" { (PreEscaped(hatches())) }
                header {
                    p.source { (page.source) }
                    h1.title { (page.title) }
                }
                main {
                    @if let Some(section) = first { (opening(section, page)) }
                    @if !rest.is_empty() { (contents(rest)) }
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
    let label = if section.title.is_empty() {
        &page.title
    } else {
        section.title
    };
    html! {
        section.opening id=(section.id) aria-label=(label) {
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
            Block::Verdict(mood, text) => p.lead.(mood_class(*mood)) { (text) },
            Block::More(what, blocks) => {
                h3 { (what) }
                @for part in blocks { (self::block(part, page)) }
            },
            Block::Text(text) => p { (text) },
            Block::Facts(facts) => dl.facts {
                @for (name, value) in facts { div { dt { (name) } dd { (value) } } }
            },
            Block::Heading(text) => h3 { (text) },
            Block::List { head, items } => {
                @if !head.is_empty() { p.head { (head) } }
                ul { @for item in items { li { (item) } } }
            },
            Block::Code(code) => pre { (code) },
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

fn mood_class(mood: Mood) -> &'static str {
    match mood {
        Mood::Good => "good",
        Mood::Bad => "bad",
        Mood::Unclear => "unclear",
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
                @let names = &table.columns;
                @if table.columns.iter().any(|name| !name.is_empty()) {
                    thead { tr {
                        @for (name, class) in table.columns.iter().zip(&classes) {
                            th scope="col" class=[*class] { (name) }
                        }
                    } }
                }
                tbody {
                    @for row in &table.rows {
                        tr {
                            @for ((cell, class), name) in row.iter().zip(&classes).zip(names) {
                                @let name = (!name.is_empty()).then_some(name);
                                td class=[*class] data-name=[name] { (cell) }
                            }
                        }
                    }
                }
            }
        }
    }
}
