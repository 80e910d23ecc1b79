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

fn csv(table: &Table) -> String {
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
            "cell,\"says, \"\"what\"\"\"\n'=1+1,-0.21 (-0.3 to -0.1)"
        );
    }
}
