//! Tables in long form, a metric a row, as MLflow, Comet and readers of TensorBoard's events export them: `run_id,key,value,step`.

use super::columns;
use super::delimited::Table;
use super::log::Log;
use super::mapping::Mapping;
use super::role::Role;
use super::shape;
use crate::record::loss::plain;

/// What the column is called that names the metric, and the one that holds its figure.
const NAMES: [&str; 6] = [
    "key",
    "metric",
    "metric_name",
    "metricname",
    "metric_key",
    "tag",
];
const VALUES: [&str; 3] = ["value", "metric_value", "metricvalue"];
/// Metrics of one table, and cells of the table that comes of it.
const MOST: usize = 1000;
const MOST_CELLS: usize = 20_000_000;

/// The log with a column for each metric, where it is in long form and one of its metrics is a loss.
pub fn pivoted(log: &Log, mapping: &Mapping) -> Option<Log> {
    let table = &log.table;
    let place = |names: &[&str]| {
        let is = |column: &String| names.contains(&plain(column).as_str());
        table.columns.iter().position(is)
    };
    if shape::of(table).is_some() {
        return None;
    }
    let (name, value) = place(&NAMES).zip(place(&VALUES))?;
    let asked = mapping.column(Role::Loss);
    if asked.is_some_and(|asked| table.columns.iter().any(|column| column == asked)) {
        return None;
    }
    let mut metrics: Vec<&str> = Vec::new();
    for row in 0..table.rows() {
        let metric = table.cell(row, name);
        if !metric.is_empty() && !metrics.contains(&metric) {
            metrics.push(metric);
        }
        if metrics.len() > MOST {
            return None;
        }
    }
    if metrics.len().saturating_mul(table.rows()) > MOST_CELLS {
        return None;
    }
    let is_loss = |metric: &&&str| columns::is_loss(metric) || asked == Some(**metric);
    metrics.iter().find(is_loss)?;
    let others = (0..table.columns.len()).filter(|place| ![name, value].contains(place));
    let others: Vec<usize> = others.collect();
    let kept = others.iter().map(|&place| table.columns[place].clone());
    let names = metrics.iter().map(|metric| (*metric).to_owned());
    let mut wide = Table::new(&table.file, kept.chain(names).collect());
    for row in 0..table.rows() {
        let metric = table.cell(row, name);
        let told = others.iter().map(|&place| table.cell(row, place));
        let cell = |known: &&str| {
            if *known == metric {
                table.cell(row, value)
            } else {
                ""
            }
        };
        let cells: Vec<&str> = told.chain(metrics.iter().map(cell)).collect();
        wide.push(table.line(row), cells);
    }
    wide.mark_all(table.marks(value));
    Some(Log {
        table: wide,
        dialect: "a table of metrics, one a row",
        ..log.clone()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_a_metric_becomes_a_column_a_metric() {
        let text = "run_id,key,value,step\na,val_loss,4.5,0\na,train_loss,4.25,0\na,lr,0.1,0\n";
        let log = Log {
            name: "m.csv".to_owned(),
            stem: "m".to_owned(),
            path: "m.csv".to_owned(),
            blake3: String::new(),
            written_at: String::new(),
            table: Table::parse("m.csv", text, ',').unwrap(),
            passed: Default::default(),
            dialect: "table",
        };
        let table = pivoted(&log, &Mapping::default()).unwrap().table;
        assert_eq!(
            table.columns,
            ["run_id", "step", "val_loss", "train_loss", "lr"]
        );
        let row = |row| (0..5).map(|k| table.cell(row, k)).collect::<Vec<_>>();
        assert_eq!(
            (row(0), row(1)),
            (
                vec!["a", "0", "4.5", "", ""],
                vec!["a", "0", "", "4.25", ""]
            )
        );
        let said = Mapping::parse(&["loss=value".to_owned()], &[], &[]).unwrap();
        assert_eq!(pivoted(&log, &said), None, "somebody said which");
    }
}
