//! What a section is made of, without a medium.

use serde::Serialize;

use super::figure::Figure;
use super::table::Table;

/// One thing that a section says.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Block {
    /// What a reader takes away who reads nothing else.
    Lead(String),
    /// The same of a judgement, and which way it goes.
    Verdict(Mood, String),
    /// A paragraph.
    Text(String),
    /// A heading below a section's.
    Heading(String),
    /// Facts by name, each short.
    Facts(Vec<(String, String)>),
    /// What it is a list of, and its items.
    List {
        /// Before the items.
        head: String,
        /// Each in a line of its own.
        items: Vec<String>,
    },
    /// A table that is part of the text.
    Table(Table),
    /// A table for those who look closer, with what it holds.
    Details(String, Table),
    /// A plot and, below it, its data.
    Plot(Figure),
    /// Small plots that are read together.
    Plots(Vec<Figure>),
    /// A part for those who look closer, with what it is about.
    More(String, Vec<Block>),
    /// Lines to be copied as they are.
    Code(String),
    /// A reason for doubt and what would take it away.
    Caveat {
        /// One sentence without a full stop.
        message: String,
        /// What would do, without a full stop.
        remedy: String,
    },
}

/// Which way a judgement goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mood {
    /// All is well.
    Good,
    /// Something became worse.
    Bad,
    /// It cannot be told.
    Unclear,
}

/// A caveat's message as a sentence: with a capital at its start, unless a name stands there, and a full stop at its end.
pub(in crate::report) fn sentence(text: &str) -> String {
    let first = text.split_whitespace().next().unwrap_or_default();
    if !first.chars().all(char::is_alphabetic) {
        return format!("{text}.");
    }
    let mut letters = text.chars();
    let first: String = letters
        .next()
        .map(|c| c.to_uppercase().collect())
        .unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}
