//! Tables in which runs of one size and length differ in learning rate or batch: of such a sweep only the best is a run that a law of
//! size and compute is about.

use std::collections::{BTreeMap, BTreeSet};

use crate::analysis::fit::points::{Point, Points};
use crate::import::delimited::Table;
use crate::import::{columns, figures};
use crate::stat::mean;

/// Losses of each setting of a cell.
type Settings = BTreeMap<[Option<u64>; 2], Vec<f64>>;

/// The runs at the best rate and batch of each size and length, by the mean over repeats; told where that leaves runs out. For laws
/// that are not about the rate itself.
pub fn best_of_cells(points: Points) -> Points {
    let mut cells: BTreeMap<(String, [u64; 3], Option<u64>), Settings> = BTreeMap::new();
    for point in &points.points {
        let losses = cells.entry(cell(point)).or_default();
        losses.entry(setting(point)).or_default().push(point.loss);
    }
    let best: BTreeMap<_, _> = cells
        .iter()
        .filter_map(|(cell, settings)| {
            let all = settings.iter();
            let of = |losses: &[f64]| mean(losses).unwrap_or(f64::INFINITY);
            let (best, _) = all.min_by(|(_, a), (_, b)| of(a).total_cmp(&of(b)))?;
            Some((cell, best))
        })
        .collect();
    let swept = cells.values().filter(|settings| settings.len() > 1).count();
    if swept == 0 {
        return points;
    }
    let (all, mut notes) = (points.points.len(), points.notes.clone());
    let keep = |point: &Point| best.get(&cell(point)) == Some(&&setting(point));
    let kept: Vec<Point> = points.points.iter().filter(|p| keep(p)).cloned().collect();
    notes.push(format!(
        "{swept} of {} sizes and lengths ran at several learning rates or batches: the best of each counts, which leaves {} of {all} runs; \
         `--law rate` is about the others",
        cells.len(),
        kept.len(),
    ));
    Points {
        points: kept,
        notes,
    }
}

fn cell(point: &Point) -> (String, [u64; 3], Option<u64>) {
    let unique = point.unique_tokens.map(f64::to_bits);
    (point.group.clone(), point.cell(), unique)
}

fn setting(point: &Point) -> [Option<u64>; 2] {
    [point.rate, point.batch].map(|value| value.map(f64::to_bits))
}

/// Columns of numbers that nobody reads and that differ among runs of one size, length and rate: what else was swept.
pub fn unread(
    table: &Table,
    taken: &[Option<usize>],
    points: &[Point],
    rows: &[usize],
) -> Option<String> {
    let figure = |column: usize, row: usize| {
        let text = table.cell(row, column);
        figures::number(text, table.marks(column)).map(f64::to_bits)
    };
    let varies = |column: &usize| {
        let mut cells: BTreeMap<_, BTreeSet<u64>> = BTreeMap::new();
        let mut values = BTreeSet::new();
        for (point, row) in points.iter().zip(rows) {
            let Some(value) = figure(*column, *row) else {
                return false;
            };
            values.insert(value);
            let key = (cell(point), setting(point));
            cells.entry(key).or_default().insert(value);
        }
        // What is new in each row is a result, or counts the rows.
        let swept = values.len() > 1 && values.len() * 4 <= points.len();
        swept && cells.values().filter(|of| of.len() > 1).count() * 2 > cells.len()
    };
    let names: Vec<String> = (0..table.columns.len())
        .filter(|column| !taken.contains(&Some(*column)))
        .filter(|column| !columns::is_loss(&table.columns[*column]))
        .filter(varies)
        .map(|column| format!("`{}`", table.columns[column].escape_debug()))
        .collect();
    let (first, those) = (names.first()?, names.join(", "));
    Some(format!(
        "{those} differ among runs of one size, length and rate and are not read: `--map batch={}` takes a column as the batch",
        first.trim_matches('`')
    ))
}

#[cfg(test)]
mod tests {
    use super::super::{Units, points};
    use super::*;

    const TABLE: &str = "N,D,lr,width,loss\n1e6,2e7,1e-3,64,3.2\n1e6,2e7,1e-2,64,3.0\n1e6,2e7,1e-2,128,3.1\n\
                         1e6,2e7,1e-3,128,3.4\n1e7,2e8,1e-2,64,2.6\n1e7,2e8,1e-2,128,2.5\n1e7,2e8,1e-3,64,2.7\n1e7,2e8,1e-3,128,2.9\n";

    fn read(text: &str) -> Points {
        points(text, "x.csv", &[], &Units::default()).unwrap()
    }

    #[test]
    fn of_a_sweep_the_best_setting_counts_with_all_its_repeats() {
        let best = best_of_cells(read(TABLE));
        let losses: Vec<f64> = best.points.iter().map(|point| point.loss).collect();
        assert_eq!(losses, [3.0, 3.1, 2.6, 2.5]);
        let note = best.notes.last().unwrap();
        assert!(
            note.contains("2 of 2 sizes") && note.contains("4 of 8 runs"),
            "{note}"
        );
        // A log's own rate falls as it goes: each of its lines is a length of its own.
        let log = read("N,D,lr,loss\n1e6,1e6,1e-2,4\n1e6,2e6,5e-3,3.5\n");
        assert_eq!(best_of_cells(log.clone()), log);
    }

    #[test]
    fn what_else_was_swept_is_told() {
        let said = |text: &str| read(text).notes.join("\n");
        assert!(said(TABLE).contains("--map batch=width"), "{}", said(TABLE));
        let read_as_batch = said(&TABLE.replace("width", "bs"));
        assert!(!read_as_batch.contains("not read"), "{read_as_batch}");
    }
}
