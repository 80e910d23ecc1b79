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

/// Magnitudes before a unit or alone.
const MAGNITUDES: [(&str, f64); 9] = [
    ("n", 1e-9),
    ("µ", 1e-6),
    ("m", 1e-3),
    ("k", 1e3),
    ("M", 1e6),
    ("G", 1e9),
    ("T", 1e12),
    ("P", 1e15),
    ("E", 1e18),
];
/// Units that figures have here, longest first.
const UNITS: [&str; 8] = ["FLOP/s", "FLOP", "gCO2e", "B/s", "USD", "Wh", "B", "J"];
const DURATIONS: [(&str, f64); 7] = [
    ("d", 86_400.0),
    ("h", 3600.0),
    ("min", 60.0),
    ("s", 1.0),
    ("ms", 1e-3),
    ("µs", 1e-6),
    ("ns", 1e-9),
];

/// A figure with a unit as a number, and the unit without a magnitude: 4.5e8 and `B` of `450 MB`, 82 and `s` of `1 min 22 s`, 0.717 and
/// none of `71.7%`.
fn number(cell: &str) -> Option<(f64, &'static str)> {
    if let Some(percent) = cell.strip_suffix('%') {
        return Some((percent.parse::<f64>().ok()? / 100.0, ""));
    }
    let words: Vec<&str> = cell.split(' ').collect();
    let durations = words.chunks(2).map(|pair| {
        let [figure, unit] = pair else { return None };
        let (_, seconds) = DURATIONS.iter().find(|(known, _)| known == unit)?;
        Some(figure.parse::<f64>().ok()? * seconds)
    });
    if let Some(seconds) = durations.sum::<Option<f64>>() {
        return Some((seconds, "s"));
    }
    let (figure, unit) = match words[..] {
        [figure] => (figure, ""),
        [figure, unit] => (figure, unit),
        _ => return None,
    };
    let figure: f64 = figure.parse().ok()?;
    let base = UNITS.iter().find(|base| unit.ends_with(**base));
    let base = base.copied().unwrap_or_default();
    let magnitude = match unit.strip_suffix(base)? {
        "" => 1.0,
        prefix => MAGNITUDES.iter().find(|(known, _)| *known == prefix)?.1,
    };
    Some((figure * magnitude, base))
}

/// The table with columns of figures that have units as columns of numbers in one unit, which their names tell.
fn in_numbers(mut table: Table) -> Table {
    for k in 0..table.columns.len() {
        let cells = table.rows.iter().map(|row| row[k].as_str());
        let filled = || {
            cells
                .clone()
                .filter(|cell| !cell.is_empty() && *cell != "-")
        };
        let Some(found) = filled().map(number).collect::<Option<Vec<_>>>() else {
            continue;
        };
        let has_units = filled().any(|cell| cell.parse::<f64>().is_err());
        let Some((_, unit)) = found.first().copied().filter(|_| has_units) else {
            continue;
        };
        if found.iter().any(|(_, other)| *other != unit) {
            continue;
        }
        if !unit.is_empty() {
            table.columns[k] = format!("{} ({unit})", table.columns[k]);
        }
        for row in &mut table.rows {
            if let Some((value, _)) = number(&row[k]) {
                // The figure has a few digits, and a product's last bits are none of them.
                let rounded = format!("{value:.9e}").parse().unwrap_or(value);
                row[k] = f64::to_string(&rounded);
            }
        }
    }
    table
}

fn csv(table: &Table) -> String {
    let table = &in_numbers(in_columns(table));
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
    fn figures_with_units_are_numbers_in_one_unit() {
        let mut table = Table::new(["cell", "memory", "wait", "MBU", "rate", "mixed", "n"]);
        table.row(["a", "450 MB", "1 min 22 s", "71.7%", "76.1 k", "3 MB", "4"]);
        table.row(["b", "1.1 GB", "773 ms", "", "512", "3 s", "3"]);
        let expected = "cell,memory (B),wait (s),MBU,rate,mixed,n\n\
                        a,450000000,82,0.717,76100,3 MB,4\n\
                        b,1100000000,0.773,,512,3 s,3";
        assert_eq!(csv(&table), expected);
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
