//! Why a table that says no loss cannot be read as it is, where its columns show what it is.

use crate::error::Error;
use crate::import::columns;
use crate::import::delimited::Table;
use crate::record::loss::plain;

/// What columns of power are called, without their unit.
const POWERS: [&str; 4] = ["power_draw", "pwr", "watts", "pkgwatt"];

/// The reason, with what makes it readable; `None` where nothing is known.
pub(super) fn why(table: &Table) -> Option<Error> {
    nameless(table)
        .or_else(|| of_power(table))
        .or_else(|| of_energy(table))
}

/// The reason where the text itself shows it: power that is logged without times.
pub(super) fn text(file: &str, text: &str) -> Option<Error> {
    let is_dmon =
        |line: &str| line.starts_with('#') && line.contains(" pwr ") && line.contains("gpu ");
    let mut head = text.lines().take(50);
    head.any(is_dmon).then(|| {
        Error::input(format!(
            "{file}: `nvidia-smi dmon` without times, and energy needs them"
        ))
        .hint("`nvidia-smi dmon -o DT` writes them")
    })
}

/// A first line of figures is no header.
fn nameless(table: &Table) -> Option<Error> {
    let printed = [".log", ".txt", ".out", ".err"]
        .iter()
        .any(|end| table.file.ends_with(end));
    let is_figure = |column: &&String| {
        let text = column.trim_start_matches(['+', '-', '.']);
        let begins = text.starts_with(|c: char| c.is_ascii_digit());
        // A program's line may begin with a time.
        begins && (!printed || text.parse::<f64>().is_ok())
    };
    let columns = table.columns.len();
    let figures = table.columns.iter().filter(is_figure).count();
    (columns > 1 && 2 * figures >= columns).then(|| {
        let names: Vec<String> = (1..=columns.min(12)).map(|k| format!("c{k}")).collect();
        Error::input(format!(
            "{}: its first line holds figures, and no names of columns",
            table.file
        ))
        .hint(format!(
            "name them, between the same marks: `sed -i '1i {}' FILE`, then `--map ROLE=c1`",
            names.join(",")
        ))
    })
}

/// Whether a column is of power: `power.draw [W]`, `PkgWatt`, `gpu_power_w`.
fn is_power(column: &str) -> bool {
    let name = plain(column);
    let named = POWERS
        .iter()
        .any(|known| name == *known || name.strip_suffix("_w") == Some(known));
    let units = ["_w", "_watt", "_watts", "_mw"];
    named
        || units
            .iter()
            .any(|unit| name.ends_with(&format!("power{unit}")))
}

fn of_power(table: &Table) -> Option<Error> {
    let column = table.columns.iter().find(|column| is_power(column))?;
    let message = format!(
        "{}: `{}` is a power, and energy needs its times",
        table.file,
        column.escape_debug()
    );
    Some(Error::input(message).hint(format!(
        "--map watts=\"{}\",seconds=COLUMN names both; without times in the file: `nvidia-smi --query-gpu=timestamp,index,power.draw`, \
         `nvidia-smi dmon -o DT`",
        column.escape_debug()
    )))
}

fn of_energy(table: &Table) -> Option<Error> {
    let is_energy = |column: &&String| {
        let name = plain(column);
        let words = ["energy", "joules", "consumption"];
        columns::energy_unit(column).is_some() && words.iter().any(|word| name.contains(word))
    };
    let mut energies = table.columns.iter().filter(is_energy);
    let column = energies.next()?;
    let message = format!(
        "{}: nothing says what the loss is, nor which energy is meant",
        table.file
    );
    Some(Error::input(message).hint(format!(
        "--map joules=\"{}\" makes a trial of each row (of speeds --map tokens_per_s=COLUMN), --map variant=COLUMN names it. The file has: {}",
        column.escape_debug(),
        table.names()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_says_why_it_is_not_read() {
        let rows = [
            (
                "binary-trees,39.8,35.1\n",
                "x.csv: its first line holds figures, and no names of columns",
            ),
            (
                "index,power.draw [W]\n",
                "x.csv: `power.draw [W]` is a power, and energy needs its times",
            ),
            (
                "model,GPU Energy (Wh)\n",
                "x.csv: nothing says what the loss is, nor which energy is meant",
            ),
        ];
        for (text, says) in rows {
            let table = Table::parse("x.csv", text, ',').unwrap();
            assert_eq!(
                why(&table).map(|error| error.message).as_deref(),
                Some(says)
            );
        }
        assert_eq!(
            why(&Table::parse("x.log", "2024-01-01,10:00 | INFO\n", ',').unwrap()),
            None
        );
        let dmon = "# gpu   pwr  temp\n    0   111    83\n";
        assert!(text("x.txt", dmon).is_some() && text("x.txt", "step 5\n").is_none());
        for text in ["a,b\n", "step,mfu,accuracy\n", "power,x\n"] {
            assert_eq!(
                why(&Table::parse("x.csv", text, ',').unwrap()),
                None,
                "{text}"
            );
        }
    }
}
