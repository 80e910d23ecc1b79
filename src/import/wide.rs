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
            let (run, metric) = table.columns[place].rsplit_once(" - ")?;
            columns::is_loss(metric).then_some((place, run, metric))
        })
        .collect();
    let step = columns::find(table, "step").ok().flatten();
    let (Some((_, _, metric)), Some(step)) = (runs.first(), step) else {
        return None;
    };
    // Two metrics in one table are two charts: which of them is judged, somebody has to say.
    if runs.iter().any(|(_, _, other)| other != metric) {
        return None;
    }
    let names = ["step", "variant", metric].map(str::to_owned).to_vec();
    let mut long = Table::new(&table.file, names);
    for (place, run, _) in &runs {
        for row in 0..table.rows() {
            let cell = table.cell(row, *place);
            if !cell.is_empty() {
                long.push(table.line(row), [table.cell(row, step), run, cell]);
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
