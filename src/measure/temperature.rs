//! The processor's temperature, where Linux shows one: a trial that starts hotter than the first one is throttled sooner.

use std::fs;
use std::path::Path;

/// Drivers of sensors on the processor itself.
const DRIVERS: [&str; 5] = [
    "coretemp",
    "k10temp",
    "zenpower",
    "cpu_thermal",
    "soc_thermal",
];
/// Thermal zones of the processor, where no driver is known.
const ZONES: [&str; 4] = ["x86_pkg_temp", "cpu-thermal", "cpu_thermal", "soc-thermal"];

/// Degrees Celsius of the hottest sensor; `None` where there is none, as in most virtual machines.
pub fn processor_c() -> Option<f64> {
    look(Path::new("/sys/class"))
}

fn look(class: &Path) -> Option<f64> {
    let hottest = |values: Vec<f64>| values.into_iter().reduce(f64::max);
    hottest(by_driver(&class.join("hwmon"))).or_else(|| hottest(by_zone(&class.join("thermal"))))
}

fn folders(of: &Path) -> Vec<std::path::PathBuf> {
    fs::read_dir(of)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect()
}

fn text(path: &Path) -> Option<String> {
    fs::read_to_string(path)
        .ok()
        .map(|text| text.trim().to_owned())
}

/// Thousandths of a degree; 0 and below are sensors that say nothing.
fn degrees(path: &Path) -> Option<f64> {
    text(path)?
        .parse::<f64>()
        .ok()
        .map(|thousandths| thousandths / 1000.0)
        .filter(|c| *c > 0.0)
}

fn by_driver(hwmon: &Path) -> Vec<f64> {
    let own = |folder: &std::path::PathBuf| {
        text(&folder.join("name")).is_some_and(|name| DRIVERS.contains(&&*name))
    };
    let sensors = |folder: std::path::PathBuf| {
        let inputs = folders(&folder).into_iter().filter(|path| {
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            name.starts_with("temp") && name.ends_with("_input")
        });
        inputs
            .filter_map(|path| degrees(&path))
            .collect::<Vec<f64>>()
    };
    folders(hwmon)
        .into_iter()
        .filter(own)
        .flat_map(sensors)
        .collect()
}

fn by_zone(thermal: &Path) -> Vec<f64> {
    let own = |zone: &std::path::PathBuf| {
        text(&zone.join("type")).is_some_and(|kind| ZONES.contains(&&*kind))
    };
    folders(thermal)
        .into_iter()
        .filter(own)
        .filter_map(|zone| degrees(&zone.join("temp")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hottest_sensor_of_the_processor_counts() {
        let check = |files: &[(&str, &str)], expected: Option<f64>| {
            let root = tempfile::tempdir().unwrap();
            for (path, text) in files {
                let path = root.path().join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, format!("{text}\n")).unwrap();
            }
            assert_eq!(look(root.path()), expected, "{files:?}");
        };
        let disk = [
            ("hwmon/hwmon0/name", "nvme"),
            ("hwmon/hwmon0/temp1_input", "91000"),
        ];
        let cores = [
            ("hwmon/hwmon1/name", "coretemp"),
            ("hwmon/hwmon1/temp1_input", "54000"),
            ("hwmon/hwmon1/temp2_input", "57500"),
            ("hwmon/hwmon1/temp2_max", "99000"),
        ];
        let zone = [
            ("thermal/thermal_zone0/type", "x86_pkg_temp"),
            ("thermal/thermal_zone0/temp", "48000"),
        ];
        check(&[], None);
        check(&disk, None);
        check(&[&disk[..], &cores].concat(), Some(57.5));
        check(&zone, Some(48.0));
        check(&[&cores[..], &zone].concat(), Some(57.5));
        check(
            &[
                ("hwmon/hwmon1/name", "k10temp"),
                ("hwmon/hwmon1/temp1_input", "broken"),
            ],
            None,
        );
        check(
            &[
                ("thermal/thermal_zone0/type", "acpitz"),
                ("thermal/thermal_zone0/temp", "48000"),
            ],
            None,
        );
    }
}
