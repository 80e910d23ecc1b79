//! Printing: data on standard output, everything else on standard error.

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;

use crate::error::{Error, Result};
use crate::report::Style;

/// How a command says what it found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON document.
    Json,
}

/// A text in which no name can colour a terminal or move its cursor: control characters but line breaks are written out.
pub(super) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => shown.push(c),
            c if c.is_control() => shown.extend(c.escape_debug()),
            c => shown.push(c),
        }
    }
    shown
}

/// Prints data: text and a line break on standard output.
pub(super) fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    let written = out
        .write_all(text.as_bytes())
        .and_then(|()| out.write_all(b"\n"))
        .and_then(|()| out.flush());
    match written {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(|e| Error::internal(format!("standard output: {e}"))),
    }
}

/// Says something that is no data on standard error; nobody listening is no failure.
pub(super) fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Prints one JSON document.
pub(super) fn print_json(document: &serde_json::Value) -> Result<()> {
    print(&format!("{document:#}"))
}

/// Prints a page as the terminal shows it.
pub(super) fn print_page(page: &crate::report::page::Page) -> Result<()> {
    print(&crate::report::render::text::text(page, style()))
}

/// A value as a JSON document.
pub(super) fn to_json(value: &impl serde::Serialize) -> Result<serde_json::Value> {
    serde_json::to_value(value).map_err(|e| Error::internal(e.to_string()))
}

/// How standard output shows text: as wide as its terminal, or plain where there is none.
pub(super) fn style() -> Style {
    if !io::stdout().is_terminal() {
        return Style::default();
    }
    let width = terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
    // Colours are for a terminal that has them and a reader who has not asked for none: https://no-color.org.
    let none = std::env::var_os("NO_COLOR").is_some_and(|set| !set.is_empty());
    let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    Style {
        width,
        unicode: true,
        color: !none && !dumb,
    }
}
