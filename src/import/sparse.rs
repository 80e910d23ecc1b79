//! Rows of named cells, each row with names of its own, as a table.

use std::collections::BTreeMap;

use super::delimited::Table;

/// Collects named cells row by row; columns stand in the order in which they first appear.
#[derive(Default)]
pub struct Sparse {
    columns: Vec<String>,
    places: BTreeMap<String, usize>,
    rows: Vec<(usize, Vec<(usize, String)>)>,
}

impl Sparse {
    /// Adds a row that begins at `line`.
    pub fn push(&mut self, line: usize, cells: impl IntoIterator<Item = (String, String)>) {
        let place = |name: String| {
            *self.places.entry(name.clone()).or_insert_with(|| {
                self.columns.push(name);
                self.columns.len() - 1
            })
        };
        let (names, texts): (Vec<String>, Vec<String>) = cells.into_iter().unzip();
        let places: Vec<usize> = names.into_iter().map(place).collect();
        self.rows
            .push((line, places.into_iter().zip(texts).collect()));
    }

    /// What a row does not say is an empty cell. Where the file's last line has no end, its last row may be cut off.
    pub fn table(self, file: &str, open_end: bool) -> Table {
        let width = self.columns.len();
        let last = self.rows.last().and_then(|(_, cells)| cells.last());
        let last = last.map(|(place, _)| *place).filter(|_| open_end);
        let mut table = Table::new(file, self.columns);
        for (line, cells) in &self.rows {
            let mut row = vec![""; width];
            for (place, text) in cells {
                row[*place] = text;
            }
            table.push(*line, row);
        }
        if let Some(column) = last {
            table.drop_torn(column);
        }
        table
    }
}
