//! MLflow's files of metrics, `mlruns/EXPERIMENT/RUN/metrics/NAME`: milliseconds since 1970, the figure, the step, a line each; the file's
//! name is the metric's.

use super::delimited::Table;

/// The table of such a file; `None` where it is none.
pub fn table(stem: &str, file: &str, text: &str) -> Option<Table> {
    let columns = ["timestamp", stem, "step"].map(str::to_owned);
    let mut table = Table::new(file, columns.to_vec());
    for (index, line) in text.lines().enumerate() {
        let cells: Vec<&str> = line.split(' ').collect();
        let [time, figure, step] = cells.as_slice() else {
            return None;
        };
        let since_1970 = time.len() == 13 && time.bytes().all(|b| b.is_ascii_digit());
        let sound = since_1970 && figure.parse::<f64>().is_ok() && step.parse::<u64>().is_ok();
        sound.then(|| table.push(index + 1, cells))?;
    }
    if !text.ends_with('\n') {
        table.drop_torn(2);
    }
    (table.rows() > 0).then_some(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_a_metric() {
        let text = "1700000000000 4.5 0\n1700000010000 3.5 100\n";
        let found = table("val_loss", "val_loss", text).unwrap();
        assert_eq!(found.columns, ["timestamp", "val_loss", "step"]);
        assert_eq!(
            (found.rows(), found.cell(1, 1), found.cell(1, 2)),
            (2, "3.5", "100")
        );
        for none in ["", "a b c\n", "1 2 3\n", "1700000000000 4.5\n"] {
            assert_eq!(table("x", "x", none), None, "{none}");
        }
    }
}
