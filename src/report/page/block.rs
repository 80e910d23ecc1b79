//! What a section is made of, without a medium.

use super::figure::Figure;

/// One thing that a section says.
#[derive(Debug, Clone)]
pub enum Block {
    /// What a reader takes away who reads nothing else.
    Lead(String),
    /// A paragraph.
    Text(String),
    /// Facts by name, each short.
    Facts(Vec<(String, String)>),
    /// A table that is part of the text.
    Table(Table),
    /// A table for those who look closer, with what it holds.
    Details(String, Table),
    /// A plot and, below it, its data.
    Plot(Figure),
    /// Small plots that are read together.
    Plots(Vec<Figure>),
    /// A reason for doubt and what would take it away.
    Caveat {
        /// One sentence without a full stop.
        message: String,
        /// What would do, without a full stop.
        remedy: String,
    },
}

/// Rows of text under headers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Table {
    /// Headers, with their units.
    pub columns: Vec<String>,
    /// As many cells each as there are columns.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table with these headers.
    pub fn new<const N: usize>(columns: [&str; N]) -> Self {
        Self {
            columns: columns.map(str::to_owned).to_vec(),
            rows: Vec::new(),
        }
    }

    /// Whether a column holds figures, which stand on the right.
    pub fn is_numeric(&self, column: usize) -> bool {
        let number = |cell: &str| cell.starts_with(|c: char| c.is_ascii_digit() || c == '-');
        let mut cells = self
            .rows
            .iter()
            .map(|row| row[column].as_str())
            .filter(|cell| !cell.is_empty())
            .peekable();
        cells.peek().is_some() && cells.all(number)
    }

    /// Without the columns in which no row has anything; the first always stays.
    #[must_use]
    pub fn without_empty_columns(self) -> Self {
        let full: Vec<bool> = (0..self.columns.len())
            .map(|c| c == 0 || self.rows.iter().any(|row| !row[c].is_empty()))
            .collect();
        let keep = |cells: Vec<String>| {
            cells
                .into_iter()
                .zip(&full)
                .filter_map(|(cell, keep)| keep.then_some(cell))
        };
        Self {
            columns: keep(self.columns).collect(),
            rows: self.rows.into_iter().map(|r| keep(r).collect()).collect(),
        }
    }
}

/// A caveat's message as a sentence: with a capital at its start and a full stop at its end.
pub(super) fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first: String = letters
        .next()
        .map(|c| c.to_uppercase().collect())
        .unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_without_a_figure_is_left_out() {
        let mut table = Table::new(["cell", "J/token", "n"]);
        table.rows = [["a", "", "4"], ["b", "", "3"]]
            .map(|row| row.map(str::to_owned).to_vec())
            .to_vec();
        let table = table.without_empty_columns();
        assert_eq!(table.columns, ["cell", "n"]);
        assert_eq!(table.rows[1], ["b", "3"]);
        assert_eq!((table.is_numeric(0), table.is_numeric(1)), (false, true));
    }
}
