//! A look at a GPU every half second while a trial computes on it: clock, temperature, what holds the clock down, who else is
//! there, and how much of its memory this process holds.
//!
//! A GPU that waits clocks down and says so; only what it does under load is held against a trial. A figure that could be read
//! at first and not later is absent: half of a window is not the window.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use nvml_wrapper::bitmasks::device::ThrottleReasons as Held;

use super::{Facts, GpuSensors, Told};
use crate::measure::disturbance::Disturbance;
use crate::measure::poll::Poller;
use crate::measure::window::median;
use crate::reading::Absent;

/// How often: NVML renews clocks and temperature several times a second.
pub const EVERY: Duration = Duration::from_millis(500);

/// Relative change of the clock, from the first look under load to the median, above which speed is not one machine's.
pub const MOST_CLOCK_DRIFT: f64 = 0.05;
/// Share of looks under load that found the power limit at work: above it the limit decides the speed.
pub const MOST_POWER_CAPPED: f64 = 0.1;

/// Something that holds a GPU's clock down.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cause {
    /// The flag's word.
    pub code: &'static str,
    /// NVML's words for it.
    bits: Held,
    /// Share of looks above which it is told.
    limit: f64,
    /// Whether it is the machine's own way, and no disturbance.
    is_note: bool,
}

/// Why a flag of a GPU could not have been raised.
pub const UNWATCHED: &str = "gpu_not_watched";

/// Every flag that watching a GPU may raise.
pub fn codes() -> impl Iterator<Item = &'static str> {
    CAUSES
        .iter()
        .map(|cause| cause.code)
        .chain(["gpu_clock_drift", "gpu_foreign_processes"])
}

/// Every cause by name. `HW_SLOWDOWN` alone is a sum of the others on newer GPUs, and on older ones all that there is.
pub const CAUSES: [Cause; 5] = [
    cause(
        "gpu_thermal_slowdown",
        Held::SW_THERMAL_SLOWDOWN.union(Held::HW_THERMAL_SLOWDOWN),
        0.0,
        false,
    ),
    cause("gpu_hardware_slowdown", Held::HW_SLOWDOWN, 0.0, false),
    cause("gpu_power_brake", Held::HW_POWER_BRAKE_SLOWDOWN, 0.0, false),
    cause(
        "gpu_power_capped",
        Held::SW_POWER_CAP,
        MOST_POWER_CAPPED,
        true,
    ),
    cause(
        "gpu_clocks_set",
        Held::APPLICATIONS_CLOCKS_SETTING.union(Held::SYNC_BOOST),
        0.0,
        true,
    ),
];

const fn cause(code: &'static str, bits: Held, limit: f64, is_note: bool) -> Cause {
    Cause {
        code,
        bits,
        limit,
        is_note,
    }
}

impl Cause {
    /// Whether it is among what holds a GPU down.
    pub fn holds(&self, held: Held) -> bool {
        held.intersects(self.bits)
    }
}

/// Looks at one figure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    /// The first.
    pub start: f64,
    /// Of all.
    pub median: f64,
    /// The lowest.
    pub lowest: f64,
    /// The highest.
    pub highest: f64,
}

/// What was seen of a GPU.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// Looks.
    pub looks: u64,
    /// MHz of the multiprocessors under load.
    pub clock_mhz: Told<Range>,
    /// Degrees Celsius of the chip.
    pub temperature_c: Told<Range>,
    /// Share of the looks under load that found each cause, by its word.
    pub held_down: Told<BTreeMap<&'static str, f64>>,
    /// Most processes at once that are not this one.
    pub foreign: Told<u64>,
    /// Most of the GPU's memory that this process held.
    pub memory_bytes: Told<u64>,
    /// What it is and how it is set.
    pub facts: Facts,
    /// Processor seconds that looking took.
    pub poller_cpu_s: Option<f64>,
}

/// A GPU that is being watched.
pub struct Watch(Poller<State>);

struct State {
    gpu: Arc<dyn GpuSensors>,
    /// The number by which the GPU lists this process, where that is known.
    own: Option<u32>,
    looks: u64,
    clock_mhz: Column<f64>,
    temperature_c: Column<f64>,
    held: Column<Held>,
    foreign: Column<u64>,
    memory_bytes: Column<u64>,
}

/// Values in order, until one could not be read.
struct Column<T> {
    values: Vec<T>,
    broken: Option<Absent>,
}

impl<T> Default for Column<T> {
    fn default() -> Self {
        Self {
            values: Vec::new(),
            broken: None,
        }
    }
}

impl<T> Column<T> {
    fn take(&mut self, told: Told<T>) {
        match told {
            Ok(value) => self.values.push(value),
            Err(absent) => {
                let why = if self.values.is_empty() {
                    absent
                } else {
                    Absent::Vanished
                };
                self.broken.get_or_insert(why);
            }
        }
    }

    fn values(&self) -> Told<&[T]> {
        match self.broken {
            Some(absent) => Err(absent),
            None if self.values.is_empty() => Err(Absent::WindowTooShort),
            None => Ok(&self.values),
        }
    }
}

impl Watch {
    /// Looks `every` so often from now on; `own` is the number by which the GPU lists this process.
    pub fn start(gpu: Arc<dyn GpuSensors>, own: Option<u32>, every: Duration) -> Self {
        let mut poller = Poller::new(State::new(gpu, own));
        // Without the thread there is still the look at the end.
        poller.start("gpu", every, State::look);
        Self(poller)
    }

    /// Looks for the last time.
    pub fn end(mut self) -> Seen {
        let poller_cpu_s = self.0.stop();
        self.0.with(|state| {
            state.look();
            Seen {
                poller_cpu_s,
                ..state.seen()
            }
        })
    }
}

impl State {
    fn new(gpu: Arc<dyn GpuSensors>, own: Option<u32>) -> Self {
        Self {
            gpu,
            own,
            looks: 0,
            clock_mhz: Column::default(),
            temperature_c: Column::default(),
            held: Column::default(),
            foreign: Column::default(),
            memory_bytes: Column::default(),
        }
    }

    fn look(&mut self) {
        let (gpu, own) = (self.gpu.clone(), self.own);
        self.looks += 1;
        let held = gpu.held_down_by();
        let waits = held.is_ok_and(|held| held.contains(Held::GPU_IDLE));
        if !waits {
            self.clock_mhz.take(gpu.clock_mhz().map(f64::from));
            self.held.take(held);
        }
        self.temperature_c.take(gpu.temperature_c().map(f64::from));
        let processes = gpu.processes();
        let known = |id: Option<u32>| id.ok_or(Absent::ProcessesHidden);
        let others = |own| {
            Ok(processes
                .as_ref()
                .map_err(|e| *e)?
                .iter()
                .filter(|one| one.id != own)
                .count() as u64)
        };
        self.foreign.take(known(own).and_then(others));
        let mine = |own| {
            processes
                .as_ref()
                .map_err(|e| *e)?
                .iter()
                .find(|one| one.id == own)
                .ok_or(Absent::Vanished)
        };
        let bytes = known(own)
            .and_then(mine)
            .and_then(|one| one.memory_bytes.ok_or(Absent::NoSensor));
        self.memory_bytes.take(bytes);
    }

    fn seen(&self) -> Seen {
        let most = |column: &Column<u64>| {
            column
                .values()
                .map(|all| all.iter().copied().max().unwrap_or(0))
        };
        Seen {
            looks: self.looks,
            clock_mhz: self.clock_mhz.values().map(range),
            temperature_c: self.temperature_c.values().map(range),
            held_down: self.held.values().map(shares),
            foreign: most(&self.foreign),
            memory_bytes: most(&self.memory_bytes),
            facts: self.gpu.facts(),
            poller_cpu_s: None,
        }
    }
}

fn range(values: &[f64]) -> Range {
    Range {
        start: values.first().copied().unwrap_or(f64::NAN),
        median: median(values).unwrap_or(f64::NAN),
        lowest: values.iter().copied().fold(f64::INFINITY, f64::min),
        highest: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
    }
}

fn shares(held: &[Held]) -> BTreeMap<&'static str, f64> {
    let share = |cause: &Cause| {
        held.iter().filter(|now| cause.holds(**now)).count() as f64 / held.len() as f64
    };
    CAUSES
        .iter()
        .map(|cause| (cause.code, share(cause)))
        .collect()
}

impl Seen {
    /// What speaks against the timings, whether above its limit or not; what could not be seen is left out.
    pub fn disturbances(&self) -> Vec<Disturbance> {
        let told = |code, value, limit, is_note| Disturbance {
            code,
            value,
            limit,
            severe: f64::INFINITY,
            is_note,
        };
        let shares = self.held_down.as_ref().ok();
        let held = shares.into_iter().flat_map(|shares| {
            CAUSES
                .iter()
                .map(|cause| told(cause.code, shares[cause.code], cause.limit, cause.is_note))
        });
        let drift = self
            .clock_mhz
            .as_ref()
            .ok()
            .map(|clock| (clock.median / clock.start - 1.0).abs());
        let drift = drift.map(|drift| told("gpu_clock_drift", drift, MOST_CLOCK_DRIFT, false));
        let foreign = self
            .foreign
            .ok()
            .map(|count| told("gpu_foreign_processes", count as f64, 0.0, false));
        let split = self
            .facts
            .mig
            .map(|split| told("gpu_split", f64::from(u8::from(split)), 0.0, true));
        held.chain(drift).chain(foreign).chain(split).collect()
    }
}

#[cfg(test)]
mod tests;
