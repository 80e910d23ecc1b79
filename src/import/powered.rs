//! Power as energy: over the seconds of a run's rows, or a row's mean over its own.

use std::collections::BTreeSet;

use super::delimited::Table;
use super::logged::LoggedRun;
use crate::error::{Error, Result};
use crate::record::loss::plain;

/// What columns are called that say which meter a row is of.
const METERS: [&str; 12] = [
    "gpu",
    "gpu_id",
    "gpu_index",
    "index",
    "uuid",
    "gpu_uuid",
    "device",
    "device_id",
    "socket",
    "card",
    "node",
    "hostname",
];

/// Sets the joules of a run whose rows state power.
///
/// # Errors
///
/// Power without seconds, one reading of it that is not said to be a mean, rows of several meters.
pub(super) fn integrate(run: &mut LoggedRun, table: &Table, by_row: bool) -> Result<()> {
    if run.joules().is_some() || run.points.iter().all(|point| point.watts.is_none()) {
        return Ok(());
    }
    let (file, line) = (&table.file, run.line);
    one_meter(run, table)?;
    let readings = run.points.iter_mut().filter_map(|point| {
        let (seconds, watts) = point.seconds.zip(point.watts)?;
        Some((seconds, watts, &mut point.joules))
    });
    let (mut last, mut sum, mut count) = (None, 0.0, 0);
    for (seconds, watts, joules) in readings {
        count += 1;
        sum += match last.replace((seconds, watts)) {
            Some((before, then)) => 0.5 * (watts + then) * (seconds - before).max(0.0),
            None if by_row => watts * seconds,
            None => 0.0,
        };
        *joules = Some(sum);
    }
    if by_row && count == 1 || count > 1 {
        return Ok(());
    }
    let message = match count {
        0 => format!("{file}:{line}: power without seconds tells no energy"),
        _ => format!("{file}:{line}: one reading of power tells no energy"),
    };
    Err(Error::input(message).hint(
        "--map seconds=COLUMN names the times of the readings; where each row is a run, and its power a mean, also --map run=@row",
    ))
}

/// Powers of several meters would be taken for one that rises and falls.
fn one_meter(run: &LoggedRun, table: &Table) -> Result<()> {
    let (file, line) = (&table.file, run.line);
    if run.sorted {
        let message =
            format!("{file}:{line}: the times of the power go back: two meters, or two runs");
        return Err(Error::input(message)
            .hint("--map scale=COLUMN tells meters apart, --map run=COLUMN runs"));
    }
    let lines: BTreeSet<usize> = run.points.iter().map(|point| point.line).collect();
    let rows: Vec<usize> = (0..table.rows())
        .filter(|&row| lines.contains(&table.line(row)))
        .collect();
    let several = |column: &usize| {
        let name = plain(&table.columns[*column]);
        let cells: BTreeSet<&str> = rows.iter().map(|&row| table.cell(row, *column)).collect();
        METERS.contains(&name.as_str()) && cells.len() > 1
    };
    match (0..table.columns.len()).find(several) {
        None => Ok(()),
        Some(column) => {
            let name = table.columns[column].escape_debug();
            Err(Error::input(format!(
                "{file}:{line}: power of several meters, by its column `{name}`"
            ))
            .hint(format!("--map scale=\"{name}\" makes a cell of each")))
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::import::delimited::Table;
    use crate::import::log::Log;
    use crate::import::mapping::Mapping;
    use crate::import::runs::read_runs;

    fn joules(text: &str, columns: &str) -> Result<Vec<Option<f64>>, String> {
        let log = Log {
            name: "p.csv".to_owned(),
            stem: "p".to_owned(),
            path: "p.csv".to_owned(),
            blake3: String::new(),
            written_at: String::new(),
            table: Table::parse("p.csv", text, ',').unwrap(),
            passed: Default::default(),
            dialect: "table",
        };
        let mapping =
            Mapping::parse(&[columns.to_owned()], &["variant=v".to_owned()], &[]).unwrap();
        let runs = read_runs(&log, 0, &mapping).map_err(|error| error.message)?;
        Ok(runs.runs.iter().map(|run| run.joules()).collect())
    }

    #[test]
    fn power_is_energy_over_its_seconds() {
        let text = "time,power_mw\n2001-09-09 02:00:00,1000\n2001-09-09 02:00:10,3000\n2001-09-09 02:00:20,3000\n";
        let found = joules(text, "seconds=time,watts=power_mw");
        assert_eq!(found, Ok(vec![Some(50.0)]));
        let table = "model,seconds,mean power (W)\na,10,100\nb,20,100 W\n";
        let by_row = "run=@row,watts=mean power (W)";
        assert_eq!(joules(table, by_row), Ok(vec![Some(1000.0), Some(2000.0)]));
        for (text, says) in [
            (
                "power\n5\n",
                "p.csv:2: power without seconds tells no energy",
            ),
            (
                "seconds,power\n9,5\n",
                "p.csv:2: one reading of power tells no energy",
            ),
            (
                "seconds,gpu,power\n1,0,5\n2,1,5\n3,0,5\n",
                "p.csv:2: power of several meters, by its column `gpu`",
            ),
            (
                "seconds,power\n9,5\n9,7\n",
                "p.csv:3: v has two powers at seconds 9, here and at line 2",
            ),
        ] {
            assert_eq!(joules(text, "watts=power"), Err(says.to_owned()));
        }
    }
}
