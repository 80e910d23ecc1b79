//! A table in text, the only one: names stand left and are never broken, figures stand right, words break between words where a
//! terminal is narrow, and what still has no room beside its row's name goes on below, under the names again.

use std::collections::BTreeSet;

use super::lines::{columns, visible, wrap};
use super::medium::Style;
use crate::report::page::Table;

/// Blank characters between columns.
const GAP: usize = 2;
/// No column of words is made narrower than this.
const NARROWEST: usize = 12;

/// One column on its way to a width.
#[derive(Clone)]
struct Column {
    head: String,
    cells: Vec<String>,
    right: bool,
    /// Below this a word would break.
    least: usize,
    width: usize,
}

/// The table in lines, without a last line break.
pub(super) fn grid(table: &Table, style: Style) -> String {
    let width = style.width.unwrap_or(usize::MAX);
    let all: Vec<Column> = (0..table.columns.len()).map(|k| column(table, k)).collect();
    let drawn = panels(&all, keys(table), width).into_iter().map(|panel| {
        let mut shown: Vec<Column> = panel.iter().map(|k| all[*k].clone()).collect();
        squeeze(&mut shown, width);
        draw(&shown, table.rows.len(), style)
    });
    drawn.collect::<Vec<_>>().join("\n\n")
}

/// How many of the first columns it takes to tell the rows apart: those that stand in every panel.
fn keys(table: &Table) -> usize {
    let distinct = |k: usize| {
        let names: BTreeSet<&[String]> = table.rows.iter().map(|row| &row[..k]).collect();
        names.len() == table.rows.len()
    };
    let most = table.columns.len().min(2);
    (1..=most).find(|k| distinct(*k)).unwrap_or(1)
}

fn column(table: &Table, k: usize) -> Column {
    let head = visible(&table.columns[k]);
    let cells: Vec<String> = table.rows.iter().map(|row| visible(&row[k])).collect();
    let right = table.is_numeric(k);
    let widest = |texts: &[String]| texts.iter().map(|text| columns(text)).max().unwrap_or(0);
    let word = |text: &str| text.split(' ').map(columns).max().unwrap_or(0);
    let natural = widest(&cells);
    let longest_word = cells.iter().map(|cell| word(cell)).max().unwrap_or(0);
    let fixed = k == 0 || right;
    let least = if fixed {
        natural
    } else {
        longest_word.max(natural.min(NARROWEST))
    };
    Column {
        least: least.max(word(&head)),
        width: natural.max(columns(&head)),
        head,
        cells,
        right,
    }
}

fn total(columns: &[Column]) -> usize {
    columns.iter().map(|c| c.width).sum::<usize>() + GAP * columns.len().saturating_sub(1)
}

/// Takes from the widest column that can give until everything fits or nothing can give.
fn squeeze(all: &mut [Column], width: usize) {
    while total(all) > width {
        let widest = all
            .iter_mut()
            .filter(|column| column.width > column.least)
            .max_by_key(|column| column.width);
        let Some(widest) = widest else { return };
        widest.width -= 1;
    }
}

/// Which columns stand beside each other at their least; the keys name the rows of every panel.
fn panels(all: &[Column], keys: usize, width: usize) -> Vec<Vec<usize>> {
    let key: Vec<usize> = (0..keys.min(all.len())).collect();
    let names: usize = key.iter().map(|k| all[*k].least + GAP).sum();
    let mut panels = vec![key.clone()];
    let mut taken = names;
    for (k, column) in all.iter().enumerate().skip(key.len()) {
        let alone = panels.last().is_some_and(|panel| panel.len() == key.len());
        if taken + column.least > width && !alone {
            panels.push(key.clone());
            taken = names;
        }
        taken += column.least + GAP;
        panels
            .last_mut()
            .into_iter()
            .for_each(|panel| panel.push(k));
    }
    panels
}

fn draw(shown: &[Column], rows: usize, style: Style) -> String {
    let mut lines = Vec::new();
    if shown.iter().any(|column| !column.head.is_empty()) {
        let heads: Vec<&str> = shown.iter().map(|column| column.head.as_str()).collect();
        let head = row(shown, &heads);
        lines.extend(head.into_iter().map(|line| style.bold(&line)));
        let rule = if style.unicode { "─" } else { "-" };
        let width = total(shown);
        lines.push(rule.repeat(width));
    }
    for k in 0..rows {
        let cells: Vec<&str> = shown
            .iter()
            .map(|column| column.cells[k].as_str())
            .collect();
        lines.extend(row(shown, &cells).iter().map(|line| style.verdicts(line)));
    }
    lines.join("\n")
}

/// One row, of as many lines as its highest cell.
fn row(shown: &[Column], cells: &[&str]) -> Vec<String> {
    let broken: Vec<Vec<String>> = shown
        .iter()
        .zip(cells)
        .map(|(column, cell)| {
            let lines = wrap(cell, Some(column.width), "", "");
            lines.lines().map(str::to_owned).collect()
        })
        .collect();
    let height = broken.iter().map(Vec::len).max().unwrap_or(0).max(1);
    let gap = " ".repeat(GAP);
    let line = |k: usize| {
        let parts = shown.iter().zip(&broken).map(|(column, lines)| {
            let text = lines.get(k).map_or("", String::as_str);
            let blank = " ".repeat(column.width.saturating_sub(columns(text)));
            if column.right {
                format!("{blank}{text}")
            } else {
                format!("{text}{blank}")
            }
        });
        let parts: Vec<String> = parts.collect();
        parts.join(&gap).trim_end().to_owned()
    };
    (0..height).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(["cell", "gain", "tokens per parameter", "why"]);
        table.row([
            "gpt2-rope/w32@400",
            "1.8 (1.6 to 2.0)",
            "14",
            "it differs from no gain",
        ]);
        table.row(["llama/w32@400", "> 3.7", "", "beyond the base's runs"]);
        table
    }

    #[test]
    fn a_name_is_never_broken_and_nothing_is_left_out() {
        for width in [120, 80, 60, 40, 30] {
            let drawn = grid(&table(), Style::plain(width));
            for word in [
                "gpt2-rope/w32@400",
                "llama/w32@400",
                "1.8 (1.6 to 2.0)",
                "> 3.7",
                "parameter",
                "beyond",
            ] {
                assert!(drawn.contains(word), "{word} at {width}:\n{drawn}");
            }
            let fits = drawn.lines().all(|line| columns(line) <= width.max(35));
            assert!(fits, "{width}:\n{drawn}");
        }
    }

    /// Two columns name the rows where one does not.
    #[test]
    fn every_panel_says_whose_figures_it_shows() {
        let mut table = Table::new(["cell", "metric", "new / base", "verdict"]);
        table.row([
            "gpt2/w32@400",
            "loss",
            "0.977 (0.974 to 0.980)",
            "regressed, beyond the margin",
        ]);
        table.row([
            "gpt2/w32@400",
            "memory",
            "1.000 (1.000 to 1.000)",
            "equivalent",
        ]);
        let drawn = grid(&table, Style::plain(46));
        assert_eq!(drawn.matches("metric").count(), 2, "{drawn}");
        let whole = drawn.contains("loss    regressed, beyond the");
        assert!(whole, "a panel takes the room it has:\n{drawn}");
    }

    #[test]
    fn figures_stand_on_the_right_and_words_on_the_left() {
        let drawn = grid(&table(), Style::default());
        let lines: Vec<&str> = drawn.lines().collect();
        assert_eq!(
            lines,
            [
                "cell                           gain  tokens per parameter  why",
                "----------------------------------------------------------------------------------",
                "gpt2-rope/w32@400  1.8 (1.6 to 2.0)                    14  it differs from no gain",
                "llama/w32@400                 > 3.7                        beyond the base's runs",
            ]
        );
    }

    #[test]
    fn a_list_has_no_head() {
        let mut list = Table::new(["", ""]);
        list.row(["gpt2", "the base"]);
        list.row(["llama", "another"]);
        assert_eq!(
            grid(&list, Style::default()),
            "gpt2   the base\nllama  another"
        );
    }
}
