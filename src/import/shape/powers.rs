//! Logs of power and of counters of energy as a run's joules: nvidia-smi's queries, EnergiBridge, Zeus's windows. A row's joules are those
//! since the first row.

use std::collections::BTreeMap;

use super::form::{From, Shape, cell};
use crate::import::delimited::Table;
use crate::import::quantity;
use crate::import::role::Role;

const OF_POWER: &str = "joules are the power that was logged, integrated over its times: what rose and fell between two readings is not in them";
const OF_COUNTERS: &str = "joules are what the counters rose by between the first row and the last: package and DRAM where both are there";

/// `nvidia-smi --query-gpu=timestamp,power.draw --format=csv -l 1`.
pub const NVIDIA_SMI: [Shape; 4] = [
    smi(&["timestamp", "power.draw [W]"]),
    smi(&["timestamp", "power.draw.average [W]"]),
    smi(&["timestamp", "power.draw.instant [W]"]),
    smi(&["timestamp", "power.draw"]),
];
/// EnergiBridge's CSV on Intel, on AMD, and of what gives a power.
pub const ENERGIBRIDGE: [Shape; 3] = [
    bridge(&["Delta", "Time", "PACKAGE_ENERGY (J)"]),
    bridge(&["Delta", "Time", "CPU_ENERGY (J)"]),
    bridge(&["Delta", "Time", "SYSTEM_POWER (Watts)"]),
];
/// The windows of Zeus's monitor, each a row.
pub const ZEUS: Shape = Shape {
    name: "zeus",
    needs: &["start_time", "window_name", "elapsed_time", "gpu0_energy"],
    roles: &[
        (Role::Scale, From::Column("window_name")),
        (Role::Seconds, From::Column("elapsed_time")),
        (Role::Joules, From::Made(of_window)),
    ],
    by_row: true,
    energy_j: 1.0,
    note: None,
};

const fn smi(needs: &'static [&'static str]) -> Shape {
    Shape {
        name: "nvidia-smi",
        needs,
        roles: &[
            (Role::Seconds, From::Whole(smi_seconds)),
            (Role::Joules, From::Whole(smi_joules)),
        ],
        by_row: false,
        energy_j: 1.0,
        note: Some(OF_POWER),
    }
}

const fn bridge(needs: &'static [&'static str]) -> Shape {
    Shape {
        name: "energibridge",
        needs,
        roles: &[
            (Role::Seconds, From::Whole(bridge_seconds)),
            (Role::Joules, From::Whole(bridge_joules)),
        ],
        by_row: false,
        energy_j: 1.0,
        note: Some(OF_COUNTERS),
    }
}

/// What was read of every row, a text each; nothing where a row does not say it.
fn texts(values: Vec<Option<f64>>) -> Vec<String> {
    let text = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
    values.into_iter().map(text).collect()
}

/// Seconds of every row since the first.
fn since_first(times: &[Option<f64>]) -> Vec<Option<f64>> {
    let first = times
        .iter()
        .flatten()
        .copied()
        .fold(f64::INFINITY, f64::min);
    times
        .iter()
        .map(|time| time.map(|time| time - first))
        .collect()
}

/// Energy so far at every row: power between two readings of one meter, whichever rows stand between them.
fn integrated(times: &[Option<f64>], watts: &[Option<f64>], meters: &[String]) -> Vec<Option<f64>> {
    let mut last: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    let mut joules = 0.0;
    let mut found = Vec::with_capacity(times.len());
    for ((time, watts), meter) in times.iter().zip(watts).zip(meters) {
        let Some((time, watts)) = time.zip(*watts) else {
            found.push(None);
            continue;
        };
        if let Some((before, then)) = last.insert(meter, (time, watts)) {
            // Two meters that nothing tells apart, or a clock that was set back: no energy can be told.
            if time <= before {
                return vec![None; times.len()];
            }
            joules += 0.5 * (watts + then) * (time - before);
        }
        found.push(Some(joules));
    }
    found
}

fn smi_times(table: &Table) -> Vec<Option<f64>> {
    let of = |row: usize| quantity::moment(cell(table, row, "timestamp")?);
    (0..table.rows()).map(of).collect()
}

fn smi_seconds(table: &Table) -> Vec<String> {
    texts(since_first(&smi_times(table)))
}

fn smi_joules(table: &Table) -> Vec<String> {
    let powers = [
        "power.draw [W]",
        "power.draw.average [W]",
        "power.draw.instant [W]",
        "power.draw",
    ];
    let rows = 0..table.rows();
    let watts = |row: usize| {
        let text = powers.iter().find_map(|name| cell(table, row, name))?;
        let watts = text.trim_end_matches('W').trim_end().parse::<f64>().ok()?;
        Some(watts).filter(|watts| watts.is_finite() && *watts >= 0.0)
    };
    let meter = |row: usize| {
        let names = [
            "uuid",
            "gpu_uuid",
            "index",
            "pci.bus_id",
            "gpu_bus_id",
            "serial",
        ];
        names
            .iter()
            .find_map(|name| cell(table, row, name))
            .unwrap_or_default()
            .to_owned()
    };
    let watts: Vec<Option<f64>> = rows.clone().map(watts).collect();
    let meters: Vec<String> = rows.map(meter).collect();
    texts(integrated(&smi_times(table), &watts, &meters))
}

fn numbers(table: &Table, name: &str) -> Option<Vec<Option<f64>>> {
    table.columns.iter().position(|column| column == name)?;
    let of = |row: usize| {
        cell(table, row, name)?
            .parse::<f64>()
            .ok()
            .filter(|x| x.is_finite())
    };
    Some((0..table.rows()).map(of).collect())
}

/// Seconds since the first row: what the table has are milliseconds since 1970.
fn bridge_times(table: &Table) -> Vec<Option<f64>> {
    let times = since_first(&numbers(table, "Time").unwrap_or_default());
    times.into_iter().map(|time| Some(time? / 1000.0)).collect()
}

fn bridge_seconds(table: &Table) -> Vec<String> {
    texts(bridge_times(table))
}

fn bridge_joules(table: &Table) -> Vec<String> {
    if let Some(watts) = numbers(table, "SYSTEM_POWER (Watts)") {
        let meters = vec![String::new(); table.rows()];
        return texts(integrated(&bridge_times(table), &watts, &meters));
    }
    let processor = ["PACKAGE_ENERGY (J)", "CPU_ENERGY (J)"];
    let processor = processor.iter().find_map(|name| numbers(table, name));
    let mut sums = vec![Some(0.0); table.rows()];
    for counter in processor
        .into_iter()
        .chain(numbers(table, "DRAM_ENERGY (J)"))
    {
        let told: Vec<f64> = counter.iter().flatten().copied().collect();
        // A counter that starts anew has risen by an amount that nothing tells.
        let first = told.first().copied().filter(|_| told.is_sorted());
        for (sum, now) in sums.iter_mut().zip(counter) {
            *sum = sum
                .zip(now)
                .zip(first)
                .map(|((sum, now), first)| sum + now - first);
        }
    }
    texts(sums)
}

fn of_window(table: &Table, row: usize) -> Option<String> {
    let is_energy = |name: &&String| {
        let meter = name.strip_suffix("_energy");
        meter.is_some_and(|meter| {
            ["gpu", "cpu", "dram"]
                .iter()
                .any(|kind| meter.starts_with(kind))
        })
    };
    let energies = table.columns.iter().filter(is_energy);
    let found: Option<Vec<f64>> = energies
        .map(|name| cell(table, row, name)?.parse().ok())
        .collect();
    Some(found?.iter().sum::<f64>().to_string())
}
