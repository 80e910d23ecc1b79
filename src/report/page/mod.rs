//! A report, whatever shows it: sections of blocks, and three renderers that turn the same blocks into one HTML file, into
//! Markdown or into text for a terminal. A section never knows which of them shows it.

pub mod block;
pub mod characters;
pub mod figure;
pub mod html;
pub mod markdown;
pub mod plot;
pub mod quantity;
pub mod svg;
pub mod text;

pub use block::{Block, Table};
pub use figure::{
    Axis, Bar, Chart, Figure, Forest, Hue, Mark, Open, Point, Row, Rule, Scatter, Series,
};
pub use quantity::Quantity;

/// A whole report.
#[derive(Debug, Clone)]
pub struct Page {
    /// Its name, for a browser's tab and the first line.
    pub title: String,
    /// Where it comes from, in a line: suite, data, date.
    pub source: String,
    /// What the hues of the plots stand for, in the order of [`Hue::Variant`].
    pub variants: Vec<String>,
    /// In reading order.
    pub sections: Vec<Section>,
}

/// One question and its answer.
#[derive(Debug, Clone)]
pub struct Section {
    /// Its anchor: unique, lower case, no blanks.
    pub id: &'static str,
    /// Its heading.
    pub title: &'static str,
    /// The question it answers, in one sentence.
    pub about: &'static str,
    /// What it says.
    pub blocks: Vec<Block>,
}
