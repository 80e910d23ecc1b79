//! RAPL through Linux's powercap folder: one file a zone, in microjoules.
//!
//! A zone is a folder `intel-rapl:N` (on AMD too) or, below a package, `intel-rapl:N:M`; what it is stands in its file `name`,
//! never in its number. Counted are packages (`package-0`, `package-0-die-1`) and their `dram`; `core` and `uncore` are parts
//! of their package, `psys` holds packages and is kept apart, and `intel-rapl-mmio:N` shows the same registers a second time.
//! Source: the kernel's Documentation/power/powercap/powercap.rst and Documentation/ABI/testing/sysfs-class-powercap.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::meter::{About, Found, Law, Meter, MeterKind, Missing, Place, Value, elsewhere};
use crate::config::Named;
use crate::reading::{Absent, Quality};

/// The hardware renews its counters about every millisecond (Intel SDM, volume 3, on RAPL).
pub const RAPL_UPDATE_S: f64 = 1e-3;
/// Updates in the shortest stretch: one missed at either end is then 1% of it.
pub const RAPL_LEAST_UPDATES: f64 = 200.0;
/// Values of the register behind a zone's file.
const REGISTER: f64 = 4_294_967_296.0;

const SOURCE: &str = "rapl.powercap";

/// The instrument `rapl.powercap`.
pub(super) struct Kind;

impl Named for Kind {
    fn name(&self) -> &'static str {
        SOURCE
    }

    fn about(&self) -> &'static str {
        "the processor's own energy counters, package and DRAM, through Linux's powercap files"
    }
}

impl MeterKind for Kind {
    fn find(&self, place: &Place) -> Vec<Found> {
        let mut zones = Vec::new();
        let mut named = BTreeMap::new();
        // Inside a container the class may be hidden where the devices are not.
        for folder in ["sys/class/powercap", "sys/devices/virtual/powercap"] {
            gather(&place.root.join(folder), &mut named);
        }
        for (name, path) in &named {
            zones.extend(Zone::of(name, path, &named));
        }
        // The register itself goes before its mirror in memory.
        zones.sort_by_key(|zone| (zone.mirror, zone.id.clone()));
        let found = meters(&zones);
        if found.is_empty() {
            vec![no_zones(place)]
        } else {
            found
        }
    }
}

/// One meter for each component: of a register and its mirror, the first that opens.
fn meters(zones: &[Zone]) -> Vec<Found> {
    let packages: Vec<&str> = zones
        .iter()
        .filter(|z| z.component == "cpu_package")
        .map(|z| z.id.as_str())
        .collect();
    let mut found: BTreeMap<&str, Found> = BTreeMap::new();
    for zone in zones {
        if !matches!(found.get(zone.id.as_str()), Some(Found::Open(_))) {
            let opened = zone.open(packages.first().copied());
            if matches!(opened, Found::Open(_)) || !found.contains_key(zone.id.as_str()) {
                found.insert(&zone.id, opened);
            }
        }
    }
    found.into_values().collect()
}

fn no_zones(place: &Place) -> Found {
    let absent = place.no_sensor();
    let why = match absent {
        Absent::VirtualMachine => {
            "this is a virtual machine, and its hypervisor hides the counters"
        }
        _ => "there is no RAPL zone in /sys/class/powercap",
    };
    let remedy = match absent {
        Absent::VirtualMachine => elsewhere(absent),
        _ => format!("sudo modprobe intel_rapl_msr, or {}", elsewhere(absent)),
    };
    let id = "cpu".to_owned();
    Found::Missing(Missing {
        id,
        component: "cpu_package",
        source: SOURCE,
        absent,
        why: why.to_owned(),
        remedy,
    })
}

/// Every zone's folder by its name; the class shows all side by side, the devices one within the other.
fn gather(folder: &Path, named: &mut BTreeMap<String, PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("intel-rapl") && !named.contains_key(&name) {
            let path = entry.path();
            named.insert(name, path.clone());
            gather(&path, named);
        }
    }
}

/// A zone that counts.
struct Zone {
    id: String,
    component: &'static str,
    mirror: bool,
    folder: PathBuf,
}

impl Zone {
    /// What a folder named `intel-rapl:0` or `intel-rapl:0:1` holds; `None` for what is no zone, or a part of one.
    fn of(name: &str, folder: &Path, named: &BTreeMap<String, PathBuf>) -> Option<Self> {
        let (control, number) = name.split_once(':')?;
        let zone = |id: String, component| {
            Some(Self {
                id,
                component,
                mirror: control.ends_with("-mmio"),
                folder: folder.to_owned(),
            })
        };
        let what = read(&folder.join("name")).ok()?;
        match number.split_once(':') {
            None if what.starts_with("package-") => zone(what, "cpu_package"),
            None if what == "psys" => zone(what, "platform"),
            None => None,
            Some((parent, _)) if what == "dram" => {
                let parent = named.get(&format!("{control}:{parent}"))?;
                let package = read(&parent.join("name")).ok()?;
                zone(
                    format!("dram-{}", package.strip_prefix("package-")?),
                    "dram",
                )
            }
            Some(_) => None,
        }
    }

    fn open(&self, package: Option<&str>) -> Found {
        match self.meter(package) {
            Ok(meter) => Found::Open(Box::new(meter)),
            Err(absent) => Found::Missing(self.missing(absent)),
        }
    }

    fn meter(&self, package: Option<&str>) -> Result<Zoned, Absent> {
        let file = self.folder.join("energy_uj");
        let number = |path: &Path| {
            read(path)
                .map_err(|error| absent(&error))?
                .parse()
                .map_err(|_| Absent::Unsupported)
        };
        number(&file)?;
        let range: u64 = number(&self.folder.join("max_energy_range_uj"))?;
        if range == 0 {
            return Err(Absent::Unsupported);
        }
        let about = About {
            id: self.id.clone(),
            component: self.component,
            source: SOURCE,
            quality: Quality::FirmwareModel,
            scope: scope(self.component).to_owned(),
            overlaps: package
                .filter(|_| self.component == "platform")
                .map(str::to_owned),
            law: Law::Counter {
                per_joule: 1e6,
                wraps_at: Some(range),
            },
            update_s: RAPL_UPDATE_S,
            resolution_j: Some((range as f64 / REGISTER).max(1.0) / 1e6),
            least_s: RAPL_LEAST_UPDATES * RAPL_UPDATE_S,
        };
        Ok(Zoned { about, file })
    }

    fn missing(&self, absent: Absent) -> Missing {
        let (why, remedy) = match absent {
            Absent::NoPermission => (
                "the counter is there, and this user may not read it",
                "sudo chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj",
            ),
            Absent::Unsupported => ("the zone's files hold no numbers", "none known"),
            _ => ("the zone has no counter", "none known"),
        };
        let (why, remedy) = (why.to_owned(), remedy.to_owned());
        Missing {
            id: self.id.clone(),
            component: self.component,
            source: SOURCE,
            absent,
            why,
            remedy,
        }
    }
}

/// What a RAPL domain's joules cover.
pub(super) fn scope(component: &str) -> &'static str {
    match component {
        "dram" => "the memory of one package, all processes",
        "platform" => "the whole platform as its maker wired it, packages included",
        _ => "one processor package, all processes; no memory, disk, fan or power supply",
    }
}

/// An open zone.
struct Zoned {
    about: About,
    file: PathBuf,
}

impl Meter for Zoned {
    fn about(&self) -> &About {
        &self.about
    }

    fn read(&mut self) -> Result<Value, Absent> {
        let text = read(&self.file).map_err(|_| Absent::Vanished)?;
        text.parse().map(Value::Count).map_err(|_| Absent::Vanished)
    }
}

fn read(path: &Path) -> io::Result<String> {
    fs::read_to_string(path).map(|text| text.trim().to_owned())
}

/// Why a file cannot be read.
pub(super) fn absent(error: &io::Error) -> Absent {
    match error.kind() {
        ErrorKind::PermissionDenied => Absent::NoPermission,
        _ => Absent::NoSensor,
    }
}

#[cfg(test)]
mod tests;
