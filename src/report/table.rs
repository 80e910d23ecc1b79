//! A run cell by cell, as a table that fits where it is shown: columns that matter least are left out first, and named.

use comfy_table::{CellAlignment, LineStyle, Table, TableStyle};

use crate::analysis::CellSummary;
use crate::record::metric;
use crate::unit::{Bytes, Count, Seconds, Share};

/// How text is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Style {
    /// Columns of the terminal; `None` where there is none, and nothing needs to fit.
    pub width: Option<usize>,
    /// Whether lines may be drawn in more than ASCII.
    pub unicode: bool,
}

/// One column, with how gladly it is left out: 0 never, then the highest first.
struct Column {
    header: &'static str,
    values: Vec<String>,
    spare: u8,
}

/// Blank characters between columns.
const GAP: u16 = 2;

/// The table of a run's cells.
pub fn cells(cells: &[CellSummary], style: Style) -> String {
    let mut columns = columns(cells);
    let mut left_out = Vec::new();
    while style
        .width
        .is_some_and(|width| total_width(&columns) > width)
    {
        let Some(worst) = columns
            .iter()
            .map(|c| c.spare)
            .max()
            .filter(|spare| *spare > 0)
        else {
            break;
        };
        let place = columns
            .iter()
            .position(|c| c.spare == worst)
            .unwrap_or_default();
        left_out.push(columns.remove(place).header);
    }
    let mut text = draw(&columns, style);
    if !left_out.is_empty() {
        text += &format!("\n(no room for: {})", left_out.join(", "));
    }
    text
}

fn columns(cells: &[CellSummary]) -> Vec<Column> {
    let loss = loss_metric(cells);
    let header = if loss == metric::EXCESS_LOSS_NATS {
        "excess nats"
    } else {
        "val nats"
    };
    let tasks = cells
        .iter()
        .any(|cell| cell.metrics.contains_key(metric::TASK_ACCURACY));
    let accuracy = if tasks {
        metric::TASK_ACCURACY
    } else {
        metric::NEXT_TOKEN_ACCURACY
    };
    let names = cells.iter().map(name).collect();
    let params = cells.iter().map(|cell| {
        cell.params_total
            .map(|n| Count(n as f64).to_string())
            .unwrap_or_default()
    });
    let all = vec![
        Column {
            header: "cell",
            values: names,
            spare: 0,
        },
        Column {
            header: "params",
            values: params.collect(),
            spare: 3,
        },
        Column {
            header,
            values: cells.iter().map(|cell| plus_minus(cell, loss)).collect(),
            spare: 0,
        },
        figures(cells, "accuracy", accuracy, 1, |v| Share(v).to_string()),
        figures(cells, "tok/s", metric::TRAIN_TOKENS_PER_S, 2, |v| {
            Count(v).to_string()
        }),
        figures(cells, "MFU", metric::MFU, 4, |v| Share(v).to_string()),
        figures(cells, "memory", metric::PEAK_MEMORY_BYTES, 5, |v| {
            Bytes(v).to_string()
        }),
        figures(cells, "train", metric::TRAIN_WALL_S, 2, |v| {
            Seconds(v).to_string()
        }),
        Column {
            header: "n",
            values: cells.iter().map(finished).collect(),
            spare: 0,
        },
    ];
    all.into_iter()
        .filter(|column| column.spare == 0 || column.values.iter().any(|v| !v.is_empty()))
        .collect()
}

/// Excess loss where every cell that finished has it, else validation loss.
fn loss_metric(cells: &[CellSummary]) -> &'static str {
    let mut finished = cells.iter().filter(|cell| cell.finished() > 0);
    let all = finished.all(|cell| cell.metrics.contains_key(metric::EXCESS_LOSS_NATS));
    if all {
        metric::EXCESS_LOSS_NATS
    } else {
        metric::VAL_LOSS_NATS
    }
}

fn figures(
    cells: &[CellSummary],
    header: &'static str,
    name: &str,
    spare: u8,
    show: impl Fn(f64) -> String,
) -> Column {
    let values = cells
        .iter()
        .map(|cell| {
            cell.metrics
                .get(name)
                .map(|s| show(s.mean))
                .unwrap_or_default()
        })
        .collect();
    Column {
        header,
        values,
        spare,
    }
}

/// `0.912 ± 0.012` over repeats; without the second figure for one repeat.
fn plus_minus(cell: &CellSummary, name: &str) -> String {
    match cell.metrics.get(name) {
        None => String::new(),
        Some(spread) => match spread.sd {
            None => format!("{:.3}", spread.mean),
            Some(sd) => format!("{:.3} ± {sd:.3}", spread.mean),
        },
    }
}

/// The cell's name, and the arm's where that is another.
fn name(cell: &CellSummary) -> String {
    if cell.arm == cell.cell {
        cell.cell.clone()
    } else {
        format!("{} [{}]", cell.cell, cell.arm)
    }
}

/// `4`, or `3 of 4`.
fn finished(cell: &CellSummary) -> String {
    let (finished, trials) = (cell.finished(), cell.trials());
    if finished == trials {
        trials.to_string()
    } else {
        format!("{finished} of {trials}")
    }
}

fn total_width(columns: &[Column]) -> usize {
    let chars = |text: &str| text.chars().count();
    let widest = |c: &Column| {
        c.values
            .iter()
            .map(|v| chars(v))
            .max()
            .unwrap_or_default()
            .max(chars(c.header))
    };
    let gaps = usize::from(GAP) * columns.len().saturating_sub(1);
    columns.iter().map(widest).sum::<usize>() + gaps
}

fn draw(columns: &[Column], style: Style) -> String {
    let line = if style.unicode { '─' } else { '-' };
    let mut table = Table::new();
    table.load_style(TableStyle::new().header_separator(LineStyle::none().fill(line)));
    table.set_header(columns.iter().map(|column| column.header));
    let rows = columns.first().map_or(0, |column| column.values.len());
    for row in 0..rows {
        table.add_row(columns.iter().map(|column| column.values[row].as_str()));
    }
    let last = columns.len().saturating_sub(1);
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, if index == last { 0 } else { GAP }));
        column.set_cell_alignment(if index == 0 || index == last {
            CellAlignment::Left
        } else {
            CellAlignment::Right
        });
    }
    table.trim_fmt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::summarise;
    use crate::record::example::{example, study};

    #[test]
    fn a_narrow_terminal_loses_columns_and_is_told_which() {
        let summary = summarise(&example());
        for width in [100, 80, 60, 40] {
            let text = cells(
                &summary,
                Style {
                    width: Some(width),
                    unicode: true,
                },
            );
            let table = text.lines().take(summary.len() + 2);
            assert!(
                table.clone().all(|line| line.chars().count() <= width),
                "{width}:\n{text}"
            );
            assert_eq!(
                text.contains("(no room for:"),
                width < 80,
                "{width}:\n{text}"
            );
            assert!(
                text.contains("modern/w32@800") && text.contains("excess nats"),
                "{text}"
            );
        }
    }

    #[test]
    fn a_cell_says_how_many_trials_finished() {
        let file = study(2, |variant, _, repeat| {
            (variant == "gpt2" || repeat == 0).then_some(1.0)
        });
        let text = cells(&summarise(&file), Style::default());
        assert!(text.contains("1 of 2"), "{text}");
        assert!(!text.contains('─'), "{text}");
    }
}
