//! Tables with a column for each run, as wandb writes a chart: `Step`, `NAME - METRIC`, and `NAME - METRIC__MIN` beside it.

use super::columns;
use super::delimited::Table;
use super::log::Log;
use super::mapping::Mapping;
use super::role::Role;

/// The log with a row for each run and step, where its columns are runs and nobody said which is the loss.
pub fn melted(log: &Log, mapping: &Mapping) -> Option<Log> {
    let table = &log.table;
    if mapping.says(Role::Loss) || columns::find(table, "loss").is_ok_and(|loss| loss.is_some()) {
        return None;
    }
    let runs: Vec<(usize, &str, &str)> = (0..table.columns.len())
        .filter_map(|place| {
            let column = &table.columns[place];
            let named = column
                .rsplit_once(" - ")
                .filter(|(_, metric)| columns::is_loss(metric));
            // ClearML's has the metric first.
            let turned = || {
                let (metric, run) = column.split_once(" - ")?;
                columns::is_loss(metric).then_some((run, metric))
            };
            let (run, metric) = named.or_else(turned)?;
            Some((place, run, metric))
        })
        .collect();
    let axis = ["step", "seconds"].into_iter().find_map(|name| {
        let place = columns::find(table, name).ok().flatten()?;
        Some((name, place))
    });
    let (axis, step) = axis?;
    let mut metrics: Vec<&str> = Vec::new();
    for (_, _, metric) in &runs {
        if !metrics.contains(metric) {
            metrics.push(metric);
        }
    }
    let names = [axis, "variant"].into_iter().chain(metrics.iter().copied());
    let names = names.map(str::to_owned);
    let mut long = Table::new(&table.file, names.collect());
    // Two metrics in one table are two charts: which of them is judged must be plain.
    columns::find(&long, "loss").ok().flatten()?;
    let mut variants: Vec<&str> = Vec::new();
    for (_, run, _) in &runs {
        if !variants.contains(run) {
            variants.push(run);
        }
    }
    for variant in variants {
        for row in 0..table.rows() {
            let of = |metric: &&str| {
                let known = runs
                    .iter()
                    .find(|(_, run, m)| *run == variant && m == metric);
                known.map_or("", |(place, ..)| table.cell(row, *place))
            };
            let cells: Vec<&str> = metrics.iter().map(of).collect();
            if cells.iter().any(|cell| !cell.is_empty()) {
                let begin = [table.cell(row, step), variant];
                long.push(table.line(row), begin.into_iter().chain(cells));
            }
        }
    }
    Some(Log {
        name: log.name.clone(),
        stem: log.stem.clone(),
        path: log.path.clone(),
        blake3: log.blake3.clone(),
        written_at: log.written_at.clone(),
        table: long,
        passed: log.passed,
        dialect: "a chart of wandb, a run a column",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_a_run_becomes_a_row_a_run() {
        let text = "Step,\"lr=0.1, a - val_loss\",\"lr=0.1, a - val_loss__MIN\",b - val_loss\n0,4.5,4.5,4.25\n10,3.5,3.5,\n";
        let log = Log {
            name: "w.csv".to_owned(),
            stem: "w".to_owned(),
            path: "w.csv".to_owned(),
            blake3: String::new(),
            written_at: String::new(),
            table: Table::parse("w.csv", text, ',').unwrap(),
            passed: Default::default(),
            dialect: "table",
        };
        let long = melted(&log, &Mapping::default()).unwrap().table;
        assert_eq!(long.columns, ["step", "variant", "val_loss"]);
        let rows: Vec<[&str; 3]> = (0..long.rows())
            .map(|row| [0, 1, 2].map(|column| long.cell(row, column)))
            .collect();
        let a = "lr=0.1, a";
        assert_eq!(
            rows,
            [["0", a, "4.5"], ["10", a, "3.5"], ["0", "b", "4.25"]]
        );
        let said = Mapping::parse(&["loss=b - val_loss".to_owned()], &[], &[]).unwrap();
        assert_eq!(melted(&log, &said), None, "somebody said which");
    }
}
