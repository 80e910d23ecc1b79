//! The table that Hugging Face's Trainer draws in a notebook, as it is pasted below what else was printed: `Step  Training Loss
//! Validation Loss`, and a row of figures a line.

use super::line::{Before, Cells, push};
use super::words::is_figure;

/// What the first column is, and a column of losses.
const FIRST: [&str; 2] = ["step", "epoch"];
const LOSS: &str = "training loss";

/// Reads a line.
pub fn line(text: &str, before: &mut Before) -> Option<Cells> {
    let cells = cells(text);
    let first = cells.first()?.to_lowercase();
    let small: Vec<String> = cells.iter().map(|cell| cell.to_lowercase()).collect();
    if FIRST.contains(&first.as_str()) && small.iter().any(|cell| cell == LOSS) {
        before.columns = cells.iter().map(|cell| (*cell).to_owned()).collect();
        return Some(Vec::new());
    }
    let figures = cells
        .iter()
        .all(|cell| is_figure(cell) || cell.eq_ignore_ascii_case("no log"));
    if !figures || cells.len() != before.columns.len() {
        return None;
    }
    let mut row = Vec::new();
    for (name, cell) in before.columns.iter().zip(cells) {
        push(&mut row, name, cell);
    }
    Some(row)
}

/// Between tabs, bars or several blanks.
fn cells(text: &str) -> Vec<&str> {
    let text = text.trim().trim_matches('|');
    let mark = ["\t", "|"].into_iter().find(|mark| text.contains(mark));
    let parts = text.split(mark.unwrap_or("  "));
    parts
        .map(str::trim)
        .filter(|cell| !cell.is_empty())
        .collect()
}
