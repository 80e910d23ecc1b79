//! TensorBoard's downloads: a tag a file, `run-NAME-tag-TAG.csv`, with the columns `Wall time`, `Step`, `Value`. The tags of one run are
//! put together again.

use std::collections::BTreeMap;

use super::delimited::Table;
use super::log::{Log, TAGS, tagged};

/// A log for each run, where several logs are tags of one; others as they are.
pub fn joined(logs: Vec<Log>) -> Vec<Log> {
    let key = |log: &Log| {
        let (run, _) = tagged(&log.stem)?;
        let folder = log.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        (log.dialect == TAGS).then(|| (folder.to_owned(), run.to_owned()))
    };
    let mut places: BTreeMap<(String, String), usize> = BTreeMap::new();
    let mut all: Vec<Log> = Vec::new();
    for log in logs {
        let place = key(&log).map(|key| *places.entry(key).or_insert(all.len()));
        match place.and_then(|place| all.get_mut(place)) {
            Some(first) => append(first, &log),
            None => all.push(log),
        }
    }
    all
}

/// Adds the rows of another tag; its column is one more.
fn append(first: &mut Log, other: &Log) {
    let mut columns = first.table.columns.clone();
    let value = other.table.columns.last().cloned().unwrap_or_default();
    let place = columns
        .iter()
        .position(|column| *column == value)
        .unwrap_or(columns.len());
    if place == columns.len() {
        columns.push(value);
    }
    let mut table = Table::new(&first.table.file, columns);
    for row in 0..first.table.rows() {
        let cells = (0..first.table.columns.len()).map(|column| first.table.cell(row, column));
        table.push(first.table.line(row), cells);
    }
    for row in 0..other.table.rows() {
        let mut cells = vec![""; table.columns.len()];
        cells[0] = other.table.cell(row, 0);
        cells[1] = other.table.cell(row, 1);
        cells[place] = other.table.cell(row, 2);
        table.push(other.table.line(row), cells);
    }
    first.table = table;
}
