//! What is said, whatever shows it: sections of blocks. A view never knows which renderer shows them.

use serde::Serialize;

pub mod quantity;
pub mod table;
pub mod figure;
pub mod block;

pub use block::{Block, Mood};
pub use figure::{
    Axis, Bar, Chart, Figure, Forest, Hue, Mark, Open, Point, Row, Rule, Scatter, Series,
};
pub use quantity::Quantity;
pub use table::Table;

/// Everything that a command says.
#[derive(Debug, Clone, Serialize)]
pub struct Page {
    /// Its name, for a browser's tab and the first line.
    pub title: String,
    /// Where it comes from, in a line: suite, data, date. Empty where a terminal needs neither this nor the title, as
    /// whoever typed the command knows.
    pub source: String,
    /// What the hues of the plots stand for, in the order of [`Hue::Variant`].
    pub variants: Vec<String>,
    /// In reading order.
    pub sections: Vec<Section>,
}

/// One question and its answer.
#[derive(Debug, Clone, Serialize)]
pub struct Section {
    /// Its anchor: unique, lower case, no blanks.
    pub id: &'static str,
    /// Its heading; empty where it needs none.
    pub title: &'static str,
    /// The question it answers, in one sentence.
    pub about: &'static str,
    /// What it says.
    pub blocks: Vec<Block>,
}

impl Page {
    /// One command's answer, without headings.
    pub fn answer(title: &str, variants: Vec<String>, blocks: Vec<Block>) -> Self {
        let section = Section {
            id: "answer",
            title: "",
            about: "",
            blocks,
        };
        Self {
            title: title.to_owned(),
            source: String::new(),
            variants,
            sections: vec![section],
        }
    }

    /// Every block, in reading order.
    pub fn blocks(&self) -> impl Iterator<Item = &Block> {
        self.sections.iter().flat_map(|section| &section.blocks)
    }

    /// The plot that a reader who takes one plot away takes: the first.
    pub fn plot(&self) -> Option<&Figure> {
        self.blocks().find_map(|block| match block {
            Block::Plot(figure) => Some(figure),
            Block::Plots(figures) => figures.first(),
            _ => None,
        })
    }

    /// The table that a reader who takes one table away takes: the one with all figures where a page has such a section, else
    /// the first in the text, else the first of those for who looks closer, else the data of the plot.
    pub fn table(&self) -> Option<Table> {
        let cells = self.sections.iter().filter(|section| section.id == "cells");
        let within = cells.flat_map(|section| &section.blocks);
        let tables = || {
            self.blocks().filter_map(|block| match block {
                Block::Table(table) => Some((true, table)),
                Block::Details(_, table) => Some((false, table)),
                _ => None,
            })
        };
        let all = within.filter_map(|block| match block {
            Block::Table(table) | Block::Details(_, table) => Some(table),
            _ => None,
        });
        all.chain(tables().filter(|(text, _)| *text).map(|(_, table)| table))
            .chain(tables().map(|(_, table)| table))
            .next()
            .cloned()
            .or_else(|| self.plot().map(Figure::table))
    }
}
