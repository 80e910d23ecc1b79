//! Rows of text under headers, without a medium.

use serde::Serialize;

/// Rows of text under headers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Table {
    /// Headers, with their units; all empty where the columns need none.
    pub columns: Vec<String>,
    /// As many cells each as there are columns.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table with these headers.
    pub fn new<S: AsRef<str>>(columns: impl IntoIterator<Item = S>) -> Self {
        Self {
            columns: columns.into_iter().map(|c| c.as_ref().to_owned()).collect(),
            rows: Vec::new(),
        }
    }

    /// One more row.
    pub fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// Whether a column holds figures, which stand on the right. The first column names its rows and never does.
    pub fn is_numeric(&self, column: usize) -> bool {
        let mut cells = self
            .rows
            .iter()
            .filter_map(|row| row.get(column))
            .filter(|cell| !cell.is_empty())
            .peekable();
        column > 0 && cells.peek().is_some() && cells.all(|cell| is_figure(cell))
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

/// `3.1`, `-0.2`, `> 3.7`, `1.58 (1.40 to 1.84)`.
fn is_figure(cell: &str) -> bool {
    let bare = cell.trim_start_matches(['>', '<', '+', '-', '~', '±', ' ']);
    bare.starts_with(|c: char| c.is_ascii_digit())
        || matches!(cell, "-" | "cannot tell" | "not known")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_without_a_figure_is_left_out() {
        let mut table = Table::new(["cell", "J/token", "n"]);
        table.row(["a", "", "4"]);
        table.row(["b", "", "3"]);
        let table = table.without_empty_columns();
        assert_eq!(table.columns, ["cell", "n"]);
        assert_eq!(table.rows[1], ["b", "3"]);
        assert_eq!((table.is_numeric(0), table.is_numeric(1)), (false, true));
    }

    /// A bound in a column of estimates moves none of them to the left.
    #[test]
    fn bounds_and_blanks_are_figures() {
        let rows = [
            (vec!["1.8 (1.6 to 2.0)", "> 3.7", "", "not known"], true),
            (vec!["+0.2", "-0.1", "< 1"], true),
            (vec!["1.8", "adam"], false),
            (vec!["", ""], false),
        ];
        for (cells, expected) in rows {
            let mut table = Table::new(["name", "figure"]);
            cells.iter().for_each(|cell| table.row(["a", cell]));
            assert_eq!(table.is_numeric(1), expected, "{cells:?}");
        }
    }
}
