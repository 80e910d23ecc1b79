//! RAPL through Linux's perf events: the counters of the PMU `power`, 64 bits wide, whose wraps the kernel handles.
//!
//! `/sys/bus/event_source/devices/power` says the PMU's `type`, the processors that stand for one package each (`cpumask`),
//! and the events with their codes, scales and units. An event is opened for a processor, not for a process. Reading needs
//! CAP_PERFMON, or a low `kernel.perf_event_paranoid`. Source: the kernel's arch/x86/events/rapl.c and man 2 perf_event_open.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use super::meter::{About, Found, Law, Meter, MeterKind, Missing, Place, Value, elsewhere};
use super::powercap::{RAPL_LEAST_UPDATES, RAPL_UPDATE_S, absent, scope};
use crate::config::Named;
use crate::reading::{Absent, Quality};

const SOURCE: &str = "rapl.perf";
const DEVICE: &str = "sys/bus/event_source/devices/power";

/// The events that count, with what they are; `energy-cores` and `energy-gpu` are parts of the package.
const EVENTS: [(&str, &str); 3] = [
    ("energy-pkg", "cpu_package"),
    ("energy-ram", "dram"),
    ("energy-psys", "platform"),
];

/// The instrument `rapl.perf`.
pub(super) struct Kind;

impl Named for Kind {
    fn name(&self) -> &'static str {
        SOURCE
    }

    fn about(&self) -> &'static str {
        "the processor's own energy counters, package and DRAM, through Linux's perf events"
    }
}

impl MeterKind for Kind {
    fn find(&self, place: &Place) -> Vec<Found> {
        find(place, &kernel::open)
    }
}

/// An open event: its count, whenever asked.
type Count = Box<dyn FnMut() -> io::Result<u64> + Send>;
/// Opens an event of a PMU on a processor.
type Open<'a> = &'a dyn Fn(u32, u64, u32) -> io::Result<Count>;

/// The PMU as its folder describes it.
#[derive(Debug, Clone, PartialEq)]
struct Pmu {
    kind: u32,
    events: Vec<Event>,
    /// One processor a package, with the package's name.
    packages: Vec<(u32, String)>,
}

#[derive(Debug, Clone, PartialEq)]
struct Event {
    component: &'static str,
    config: u64,
    /// Joules of one count.
    scale_j: f64,
}

fn find(place: &Place, open: Open) -> Vec<Found> {
    let missing = |absent, why: &str, remedy: String| {
        let id = "cpu".to_owned();
        let why = why.to_owned();
        vec![Found::Missing(Missing {
            id,
            component: "cpu_package",
            source: SOURCE,
            absent,
            why,
            remedy,
        })]
    };
    let pmu = match Pmu::read(&place.root) {
        Ok(pmu) => pmu,
        Err(Absent::NoSensor) if place.is_virtual => {
            let absent = Absent::VirtualMachine;
            return missing(
                absent,
                "this is a virtual machine, and its hypervisor hides the counters",
                elsewhere(absent),
            );
        }
        Err(Absent::NoSensor) => {
            let remedy = format!("sudo modprobe rapl, or {}", elsewhere(Absent::NoSensor));
            return missing(
                Absent::NoSensor,
                "the kernel shows no `power` events",
                remedy,
            );
        }
        Err(absent) => {
            return missing(
                absent,
                "the description of the `power` events is not understood",
                "none known".into(),
            );
        }
    };
    pmu.meters(open)
}

impl Pmu {
    /// Reads the description below a root.
    fn read(root: &Path) -> Result<Self, Absent> {
        let device = root.join(DEVICE);
        let text = |name: &str| {
            fs::read_to_string(device.join(name))
                .map(|text| text.trim().to_owned())
                .map_err(|error| absent(&error))
        };
        let kind = text("type")?.parse().map_err(|_| Absent::Unsupported)?;
        let cpus = cpu_list(&text("cpumask")?).ok_or(Absent::Unsupported)?;
        let mut events = Vec::new();
        for (name, component) in EVENTS {
            let Ok(code) = text(&format!("events/{name}")) else {
                continue;
            };
            let scale_j = text(&format!("events/{name}.scale"))?
                .parse()
                .ok()
                .filter(|scale: &f64| *scale > 0.0);
            let unit = text(&format!("events/{name}.unit"))?;
            match (event_code(&code), scale_j) {
                (Some(config), Some(scale_j)) if unit == "Joules" => events.push(Event {
                    component,
                    config,
                    scale_j,
                }),
                _ => return Err(Absent::Unsupported),
            }
        }
        if events.is_empty() || cpus.is_empty() {
            return Err(Absent::NoSensor);
        }
        Ok(Self {
            kind,
            events,
            packages: packages(root, &cpus),
        })
    }

    fn meters(&self, open: Open) -> Vec<Found> {
        let mut found = Vec::new();
        for event in &self.events {
            // Every package shows the platform's one counter.
            let shown = if event.component == "platform" {
                1
            } else {
                self.packages.len()
            };
            for (cpu, package) in &self.packages[..shown] {
                let id = match event.component {
                    "cpu_package" => format!("package-{package}"),
                    "dram" => format!("dram-{package}"),
                    _ => "psys".to_owned(),
                };
                found.push(match open(self.kind, event.config, *cpu) {
                    Ok(count) => Found::Open(Box::new(Counter {
                        about: self.about(event, id),
                        count,
                    })),
                    Err(error) => Found::Missing(refused(event, id, &error)),
                });
            }
        }
        found
    }

    fn about(&self, event: &Event, id: String) -> About {
        let package = self
            .packages
            .first()
            .map(|(_, package)| format!("package-{package}"));
        About {
            id,
            component: event.component,
            source: SOURCE,
            quality: Quality::FirmwareModel,
            scope: scope(event.component).to_owned(),
            overlaps: package.filter(|_| event.component == "platform"),
            law: Law::Counter {
                per_joule: 1.0 / event.scale_j,
                wraps_at: None,
            },
            update_s: RAPL_UPDATE_S,
            resolution_j: Some(event.scale_j),
            least_s: RAPL_LEAST_UPDATES * RAPL_UPDATE_S,
        }
    }
}

fn refused(event: &Event, id: String, error: &io::Error) -> Missing {
    let absent = absent(error);
    let (why, remedy) = match absent {
        Absent::NoPermission => (
            "the event is there, and this user may not open it".to_owned(),
            "sudo setcap cap_perfmon+ep \"$(command -v effbench)\", or sudo sysctl kernel.perf_event_paranoid=-1",
        ),
        _ => (
            format!("the kernel lists the event and does not open it: {error}"),
            "none known",
        ),
    };
    Missing {
        id,
        component: event.component,
        source: SOURCE,
        absent,
        why,
        remedy: remedy.to_owned(),
    }
}

/// `0,18` or `0-1`.
fn cpu_list(text: &str) -> Option<Vec<u32>> {
    let mut cpus = Vec::new();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        cpus.extend(first.parse().ok()?..=last.parse::<u32>().ok()?);
    }
    Some(cpus)
}

/// `event=0x02`.
fn event_code(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("event=0x")?, 16).ok()
}

/// The package of each processor, and its die where one package is listed more than once: `0`, `0-die-1`.
fn packages(root: &Path, cpus: &[u32]) -> Vec<(u32, String)> {
    let topology = |cpu: u32, file: &str| {
        let path = root.join(format!("sys/devices/system/cpu/cpu{cpu}/topology/{file}"));
        fs::read_to_string(path)
            .ok()
            .map(|text| text.trim().to_owned())
    };
    let package = |index: usize, cpu: u32| {
        topology(cpu, "physical_package_id").unwrap_or_else(|| index.to_string())
    };
    let names: Vec<String> = cpus
        .iter()
        .enumerate()
        .map(|(index, cpu)| package(index, *cpu))
        .collect();
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    names
        .iter()
        .for_each(|name| *times.entry(name).or_default() += 1);
    let full = |(cpu, name): (&u32, &String)| match times[name.as_str()] {
        1 => (*cpu, name.clone()),
        _ => (
            *cpu,
            format!(
                "{name}-die-{}",
                topology(*cpu, "die_id").unwrap_or_else(|| cpu.to_string())
            ),
        ),
    };
    cpus.iter().zip(&names).map(full).collect()
}

/// An open event.
struct Counter {
    about: About,
    count: Count,
}

impl Meter for Counter {
    fn about(&self) -> &About {
        &self.about
    }

    fn read(&mut self) -> Result<Value, Absent> {
        (self.count)()
            .map(Value::Count)
            .map_err(|_| Absent::Vanished)
    }
}

#[cfg(target_os = "linux")]
mod kernel {
    //! The system call.

    use std::fs::File;
    use std::io::{self, Read};
    use std::os::fd::{FromRawFd, RawFd};

    /// The first published size of the structure (PERF_ATTR_SIZE_VER0); the kernel takes what follows as zero.
    const SIZE: u32 = 64;
    const ANY_PROCESS: libc::pid_t = -1;
    const NO_GROUP: libc::c_int = -1;
    const CLOSE_ON_EXEC: libc::c_ulong = 8;

    /// `struct perf_event_attr` as first published.
    #[repr(C)]
    #[derive(Default)]
    struct Attributes {
        kind: u32,
        size: u32,
        config: u64,
        sample_period: u64,
        sample_type: u64,
        read_format: u64,
        flags: u64,
        wakeup_events: u32,
        breakpoint: u32,
        config1: u64,
    }

    /// Opens an event for a processor.
    pub(super) fn open(kind: u32, config: u64, cpu: u32) -> io::Result<super::Count> {
        let attributes = Attributes {
            kind,
            size: SIZE,
            config,
            ..Attributes::default()
        };
        let cpu =
            libc::c_int::try_from(cpu).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        // SAFETY: the kernel reads `size` bytes, which is the structure's size, keeps no reference to it, and takes the other
        // arguments by value.
        let opened = unsafe {
            libc::syscall(
                libc::SYS_perf_event_open,
                &raw const attributes,
                ANY_PROCESS,
                cpu,
                NO_GROUP,
                CLOSE_ON_EXEC,
            )
        };
        let descriptor = RawFd::try_from(opened)
            .ok()
            .filter(|descriptor| *descriptor >= 0);
        let descriptor = descriptor.ok_or_else(io::Error::last_os_error)?;
        // SAFETY: the descriptor was just opened, and nothing else owns it.
        let mut file = unsafe { File::from_raw_fd(descriptor) };
        Ok(Box::new(move || {
            let mut bytes = [0; 8];
            file.read_exact(&mut bytes)?;
            Ok(u64::from_ne_bytes(bytes))
        }))
    }
}

#[cfg(not(target_os = "linux"))]
mod kernel {
    //! There are no perf events.

    use std::io;

    pub(super) fn open(_kind: u32, _config: u64, _cpu: u32) -> io::Result<super::Count> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(test)]
mod tests;
