//! Tables of energies that are already counted: pyJoules' CSV, the AI Energy Score's, eco2AI's, `perf stat -j`, the counters of powercap.

use super::form::{From, Shape, cell};
use crate::import::delimited::Table;
use crate::import::role::Role;

const OF_SCORE: &str = "the AI Energy Score's energy is of the GPUs alone, for a thousand requests";

/// pyJoules' CSV handler: a part of a program a row.
pub const PYJOULES: Shape = Shape {
    name: "pyjoules",
    needs: &["timestamp", "tag", "duration", "package_0"],
    roles: &[
        (Role::Scale, From::Column("tag")),
        (Role::Seconds, From::Made(seconds)),
        (Role::Joules, From::Made(domains)),
    ],
    by_row: true,
    energy_j: 1.0,
    note: None,
};

/// The leaderboard's data, a model a row; kWh.
pub const AI_ENERGY_SCORE: Shape = Shape {
    name: "AI Energy Score",
    needs: &["model", "total_gpu_energy", "energy_score"],
    roles: &[
        (Role::Variant, From::Column("model")),
        (Role::Scale, From::Column("task")),
        (Role::Joules, From::Column("total_gpu_energy")),
    ],
    by_row: true,
    energy_j: 3.6e6,
    note: Some(OF_SCORE),
};

/// eco2AI's `emission.csv`, a tracker a row.
pub const ECO2AI: Shape = Shape {
    name: "eco2ai",
    needs: &["project_name", "duration(s)", "power_consumption(kWh)"],
    roles: &[
        (Role::Variant, From::Column("project_name")),
        (Role::Scale, From::Column("experiment_description")),
        (Role::Seconds, From::Column("duration(s)")),
        (Role::Joules, From::Column("power_consumption(kWh)")),
    ],
    by_row: true,
    energy_j: 3.6e6,
    note: None,
};

/// `perf stat -j`, an event a line.
pub const PERF_JSON: Shape = Shape {
    name: "perf stat -j",
    needs: &["counter-value", "unit", "event"],
    roles: &[
        (Role::Seconds, From::Column("interval")),
        (Role::Joules, From::Whole(events)),
    ],
    by_row: false,
    energy_j: 1.0,
    note: None,
};

/// A log of powercap's `energy_uj`, a counter that is read again and again.
pub const POWERCAP: Shape = Shape {
    name: "powercap",
    needs: &["energy_uj"],
    roles: &[(Role::Joules, From::Whole(risen))],
    by_row: false,
    energy_j: 1.0,
    note: Some("joules are what the counter `energy_uj` rose by since the first row"),
};

fn number(table: &Table, row: usize, name: &str) -> Option<f64> {
    cell(table, row, name)?
        .parse()
        .ok()
        .filter(|value: &f64| value.is_finite())
}

/// Seconds, or the nanoseconds of pyJoules before 2020.
fn seconds(table: &Table, row: usize) -> Option<String> {
    let duration = number(table, row, "duration")?;
    let nanoseconds = number(table, row, "timestamp").is_some_and(|time| time > 1e15);
    let seconds = if nanoseconds {
        duration / 1e9
    } else {
        duration
    };
    Some(seconds.to_string())
}

/// The unit of a domain of pyJoules', of those whose sum is the machine's; joules.
pub fn domain_joules(name: &str) -> Option<f64> {
    match name.rsplit_once('_')?.0 {
        "package" | "dram" => Some(1e-6),
        "nvidia_gpu" => Some(1e-3),
        _ => None,
    }
}

fn domains(table: &Table, row: usize) -> Option<String> {
    let known = table.columns.iter();
    let known = known.filter_map(|name| Some((name, domain_joules(name)?)));
    let parts: Option<Vec<f64>> = known
        .map(|(name, unit)| Some(number(table, row, name)? * unit))
        .collect();
    Some(parts?.iter().sum::<f64>().to_string())
}

/// Package and memory up to each row.
fn events(table: &Table) -> Vec<String> {
    let mut joules = None;
    let event = |row: usize| {
        let name = cell(table, row, "event")?;
        let counted = ["energy-pkg", "energy-ram"]
            .iter()
            .any(|domain| name.contains(domain));
        let unit = cell(table, row, "unit")? == "Joules";
        number(table, row, "counter-value").filter(|_| counted && unit)
    };
    let mut sum = |row: usize| {
        let value = event(row)?;
        let so_far = joules.unwrap_or(0.0) + value;
        joules = Some(so_far);
        Some(so_far.to_string())
    };
    let rows = 0..table.rows();
    rows.map(|row| sum(row).unwrap_or_default()).collect()
}

/// Joules since the first row; nothing where the counter began anew, as what it rose by is told by nobody.
fn risen(table: &Table) -> Vec<String> {
    let counts: Vec<Option<f64>> = (0..table.rows())
        .map(|row| number(table, row, "energy_uj"))
        .collect();
    let told: Vec<f64> = counts.iter().flatten().copied().collect();
    let first = told.first().copied().filter(|_| told.is_sorted());
    let since = |count: Option<f64>| Some(((count? - first?) / 1e6).to_string());
    counts
        .into_iter()
        .map(|count| since(count).unwrap_or_default())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn energies_are_summed_or_refused() {
        let parse = |text: &str, mark| Table::parse("x.csv", text, mark).unwrap();
        let table = parse(
            "timestamp;tag;duration;package_0;dram_0;core_0;nvidia_gpu_0\n1;a;2;3e6;1e6;9e6;500\n",
            ';',
        );
        assert_eq!(
            (domains(&table, 0), seconds(&table, 0)),
            (Some("4.5".to_owned()), Some("2".to_owned()))
        );
        let old = parse(
            "timestamp,tag,duration,package_0\n1599722530834595361,a,5e8,\n",
            ',',
        );
        assert_eq!(
            (domains(&old, 0), seconds(&old, 0)),
            (None, Some("0.5".to_owned()))
        );
        assert_eq!(
            risen(&parse("energy_uj\n5000000\n7000000\n", ',')),
            ["0", "2"]
        );
        assert_eq!(
            risen(&parse("energy_uj\n5000000\n1000000\n", ',')),
            ["", ""],
            "it began anew"
        );
        let events = events(&parse(
            "counter-value,unit,event\n1.5,Joules,power/energy-pkg/\n9,,cycles\n2.5,Joules,power/energy-ram/\n1,Joules,power/energy-cores/\n",
            ',',
        ));
        assert_eq!(events, ["1.5", "", "4", ""]);
    }
}
