//! The main table of a page, as comma-separated values (RFC 4180).

use super::medium::Medium;
use crate::report::page::{Page, Table};

/// The main table.
#[derive(Debug, Clone, Copy)]
pub struct Csv;

impl Medium for Csv {
    fn show(&self, page: &Page) -> Option<String> {
        page.table().map(|table| csv(&table))
    }
}

/// A figure with its ends, `1.2 (1.0 to 1.4)`, or its standard deviation, `1.2 ± 0.1`, apart; none of a cell without.
fn apart(cell: &str) -> Option<(&str, Vec<&str>)> {
    if let Some((value, spread)) = cell.split_once(" ± ") {
        return Some((value, vec![spread]));
    }
    let (value, rest) = cell.split_once(" (")?;
    let ends = rest.strip_suffix(')')?;
    let (low, high) = ends
        .strip_prefix("95% ")
        .unwrap_or(ends)
        .split_once(" to ")?;
    Some((value, vec![low, high]))
}

/// The table with a column of its own for each end of an interval, as programs read them.
fn in_columns(table: &Table) -> Table {
    let mut wide = Table::new(Vec::<String>::new());
    wide.rows = vec![Vec::new(); table.rows.len()];
    for (k, column) in table.columns.iter().enumerate() {
        let cells = || {
            table
                .rows
                .iter()
                .map(|row| row.get(k).map_or("", String::as_str))
        };
        let more = cells().filter_map(|cell| Some(apart(cell)?.1.len())).max();
        wide.columns.push(column.clone());
        let ends: &[&str] = match more {
            Some(2) => &["low", "high"],
            Some(_) => &["sd"],
            None => &[],
        };
        let named = ends.iter().map(|end| format!("{column} {end}"));
        wide.columns
            .extend(named.map(|name| name.trim_start().to_owned()));
        for (row, cell) in wide.rows.iter_mut().zip(cells()) {
            let found = apart(cell).filter(|(_, found)| found.len() == ends.len());
            let (value, found) = found.unwrap_or((cell, Vec::new()));
            row.push(value.to_owned());
            row.extend((0..ends.len()).map(|end| found.get(end).map_or("", |end| *end).to_owned()));
        }
    }
    wide
}

fn csv(table: &Table) -> String {
    let table = &in_columns(table);
    let line = |cells: &Vec<String>| {
        let cells: Vec<String> = cells.iter().map(|cell| field(cell)).collect();
        cells.join(",")
    };
    let lines = std::iter::once(&table.columns).chain(&table.rows).map(line);
    lines.collect::<Vec<_>>().join("\n")
}

/// In quotes where it holds what separates; nothing that a spreadsheet would run.
fn field(text: &str) -> String {
    let signed = text.strip_prefix(['+', '-']);
    let formula = text.starts_with(['=', '@', '\t'])
        || signed.is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()));
    let text = if formula {
        format!("'{text}")
    } else {
        text.to_owned()
    };
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_where_they_must_be() {
        let mut table = Table::new(["cell", "says, \"what\""]);
        table.row(["=1+1", "-0.21 (-0.3 to -0.1)"]);
        assert_eq!(
            csv(&table),
            "cell,\"says, \"\"what\"\"\",\"says, \"\"what\"\" low\",\"says, \"\"what\"\" high\"\n'=1+1,-0.21,-0.3,-0.1"
        );
    }

    #[test]
    fn intervals_and_spreads_have_columns_of_their_own() {
        let mut table = Table::new(["cell", "gain", "loss", "note"]);
        table.row(["a", "1.2 (1.0 to 1.4)", "3.100 ± 0.007", "n (one)"]);
        table.row(["b", "> 1.9", "3.000", ""]);
        let expected = "cell,gain,gain low,gain high,loss,loss sd,note\n\
                        a,1.2,1.0,1.4,3.100,0.007,n (one)\n\
                        b,> 1.9,,,3.000,,";
        assert_eq!(csv(&table), expected);
    }
}
