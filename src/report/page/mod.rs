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

/// The plots of blocks and of what is folded into them.
fn drawn<'a>(blocks: impl IntoIterator<Item = &'a Block>, all: &mut Vec<&'a Figure>) {
    for block in blocks {
        match block {
            Block::Plot(figure) => all.push(figure),
            Block::Plots(figures) => all.extend(figures),
            Block::More(_, inside) => drawn(inside, all),
            _ => {}
        }
    }
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
        let mut all = Vec::new();
        drawn(self.blocks(), &mut all);
        all.first().copied()
    }

    /// Every plot, in reading order, by a name made of its title: unique, lower case, no blanks.
    pub fn plots(&self) -> Vec<(String, &Figure)> {
        let mut all = Vec::new();
        drawn(self.blocks(), &mut all);
        let mut named: Vec<(String, &Figure)> = Vec::new();
        for figure in all {
            let plain = figure.slug();
            let taken = |name: &str| named.iter().any(|(known, _)| known == name);
            let mut names = (2..).map(|k| format!("{plain}-{k}"));
            let name = match taken(&plain) {
                false => plain.clone(),
                true => names.find(|name| !taken(name)).unwrap_or_default(),
            };
            named.push((name, figure));
        }
        named
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
