//! NVIDIA GPUs as their driver's management library (NVML) shows them: what they are, how they are set, what they do now.
//!
//! [`GpuSensors`] is all that is asked of one; `driver` asks NVML, tests answer themselves. [`watch`] looks at the GPU that a trial
//! computes on while it trains, and [`listed`] and [`used`] say which one that is and whose processes are on it.

use std::collections::BTreeSet;
use std::sync::Arc;

use nvml_wrapper::bitmasks::device::ThrottleReasons;

use crate::reading::Absent;

mod driver;
#[cfg(test)]
pub mod fake;
pub mod watch;

pub use driver::{drivers, gpus};

/// What NVML says, or why it says nothing.
pub type Told<T> = Result<T, Absent>;

/// One GPU.
pub trait GpuSensors: Send + Sync {
    /// Millijoules since the driver was loaded.
    fn energy_mj(&self) -> Told<u64>;
    /// Milliwatts now.
    fn power_mw(&self) -> Told<u64>;
    /// Clock of the multiprocessors now.
    fn clock_mhz(&self) -> Told<u32>;
    /// Temperature of the chip now.
    fn temperature_c(&self) -> Told<u32>;
    /// What holds the clocks down now.
    fn held_down_by(&self) -> Told<ThrottleReasons>;
    /// The processes that compute on it now.
    fn processes(&self) -> Told<Vec<Process>>;
    /// What it is and how it is set.
    fn facts(&self) -> Facts;
}

/// A process that computes on a GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    /// Its number, which in a container may be that outside of it.
    pub id: u32,
    /// Bytes of the GPU's memory that it holds, where the driver tells.
    pub memory_bytes: Option<u64>,
}

/// What a GPU is and how it is set, each where the driver tells.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Facts {
    /// As it calls itself.
    pub model: Option<String>,
    /// Its place on the PCI bus: `00000000:0a:00.0`.
    pub bus: Option<String>,
    /// Its memory.
    pub memory_bytes: Option<u64>,
    /// CUDA compute capability: `9.0`.
    pub compute_capability: Option<String>,
    /// The limit that is enforced.
    pub power_limit_w: Option<f64>,
    /// The limit that it is delivered with.
    pub default_power_limit_w: Option<f64>,
    /// Whether the driver stays loaded while nobody uses it.
    pub persistence: Option<bool>,
    /// Highest clock of the multiprocessors.
    pub max_clock_mhz: Option<u32>,
    /// Highest clock of the memory.
    pub max_memory_clock_mhz: Option<u32>,
    /// Whether its memory corrects errors.
    pub ecc: Option<bool>,
    /// Errors since the driver was loaded that were not corrected.
    pub uncorrected_errors: Option<u64>,
    /// Whether it is split into instances (MIG).
    pub mig: Option<bool>,
}

/// Versions of a machine's driver.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Drivers {
    /// The driver's: `580.95.05`.
    pub driver: Option<String>,
    /// The newest CUDA that it can run: `13.0`.
    pub cuda: Option<String>,
}

/// Who computed on each GPU at some moment; `None` for a GPU that does not tell.
pub type Listed = Vec<Option<BTreeSet<u32>>>;

/// The processes on each GPU.
pub fn listed(gpus: &[Arc<dyn GpuSensors>]) -> Listed {
    let of = |gpu: &Arc<dyn GpuSensors>| {
        Some(
            gpu.processes()
                .ok()?
                .iter()
                .map(|process| process.id)
                .collect(),
        )
    };
    gpus.iter().map(of).collect()
}

/// How this process is known: by its number, by where its device lies, and by who was on the GPUs before it came.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Own {
    /// Its number.
    pub process: u32,
    /// The place on the PCI bus of the device that it opened, where it knows.
    pub bus: Option<String>,
    /// Who computed on the GPUs before it opened its device.
    pub before: Listed,
}

/// The number by which a GPU lists this process: its own; in a container, where numbers are others than inside, the one that
/// came when it opened its device. `None` where that cannot be told.
pub fn own_number(own: &Own, index: usize, gpu: &dyn GpuSensors) -> Option<u32> {
    let now: BTreeSet<u32> = gpu
        .processes()
        .ok()?
        .iter()
        .map(|process| process.id)
        .collect();
    // In a container our number may be that of somebody else outside, who was there before us.
    let before = own.before.get(index).and_then(Option::as_ref);
    if now.contains(&own.process) && !before.is_some_and(|before| before.contains(&own.process)) {
        return Some(own.process);
    }
    let came: Vec<u32> = now
        .difference(own.before.get(index)?.as_ref()?)
        .copied()
        .collect();
    if let [one] = came[..] {
        Some(one)
    } else {
        None
    }
}

/// The place of the one GPU that this process computes on. NVML's numbers are not CUDA's: it is the one at the opened device's
/// place on the bus, else the only one, else the only one that lists this process, by its own number or as the one that came.
pub fn used(gpus: &[Arc<dyn GpuSensors>], own: &Own) -> Option<usize> {
    let at_place = || {
        let place = own.bus.as_deref()?;
        gpus.iter()
            .position(|gpu| gpu.facts().bus.is_some_and(|bus| same_place(&bus, place)))
    };
    let alone = || (gpus.len() == 1).then_some(0);
    let numbers: Vec<Option<u32>> = gpus
        .iter()
        .enumerate()
        .map(|(index, gpu)| own_number(own, index, gpu.as_ref()))
        .collect();
    let only = |is_own: &dyn Fn(u32) -> bool| {
        let mut places = (0..numbers.len()).filter(|index| numbers[*index].is_some_and(is_own));
        places.next().filter(|_| places.next().is_none())
    };
    at_place()
        .or_else(alone)
        .or_else(|| only(&|id| id == own.process))
        .or_else(|| only(&|id| id != own.process))
}

/// NVML writes a domain of eight digits, CUDA one of four, in capitals or not.
fn same_place(one: &str, other: &str) -> bool {
    let plain = |place: &str| place.trim_start_matches('0').to_ascii_lowercase();
    plain(one) == plain(other)
}

#[cfg(test)]
mod tests {
    use super::fake::Fake;
    use super::*;

    fn shared(gpus: &[Fake]) -> Vec<Arc<dyn GpuSensors>> {
        gpus.iter()
            .map(|gpu| Arc::new(gpu.clone()) as Arc<dyn GpuSensors>)
            .collect()
    }

    #[test]
    fn the_gpu_in_use_is_known_by_its_place_or_by_who_is_on_it() {
        let at = |bus: &str, processes: &[u32]| {
            let facts = Facts {
                bus: Some(bus.to_owned()),
                ..Facts::default()
            };
            Fake {
                facts,
                ..Fake::default()
            }
            .with(processes)
        };
        let (first, second) = ("00000000:0A:00.0", "00000000:0B:00.0");
        let check = |gpus: &[Fake], own: &Own, expected| {
            assert_eq!(used(&shared(gpus), own), expected, "{own:?}")
        };
        let own = |bus: Option<&str>, before: &[&[u32]]| Own {
            process: 9,
            bus: bus.map(str::to_owned),
            before: before
                .iter()
                .map(|one| Some(one.iter().copied().collect()))
                .collect(),
        };
        let nobody: &[&[u32]] = &[&[], &[]];
        check(
            &[at(first, &[]), at(second, &[])],
            &own(Some("0000:0b:00.0"), nobody),
            Some(1),
        );
        check(&[at(first, &[])], &own(None, &[&[]]), Some(0));
        check(
            &[at(first, &[7]), at(second, &[9])],
            &own(None, nobody),
            Some(1),
        );
        // In a container: 4711 came when the device was opened.
        check(
            &[at(first, &[7]), at(second, &[8, 4711])],
            &own(None, &[&[7], &[8]]),
            Some(1),
        );
        // Two came at once; or the process is on both; or nobody can be seen.
        check(
            &[at(first, &[5]), at(second, &[6])],
            &own(None, nobody),
            None,
        );
        check(
            &[at(first, &[9]), at(second, &[9])],
            &own(None, nobody),
            None,
        );
        check(
            &[at(first, &[7]), at(second, &[9])],
            &own(None, &[&[7], &[]]),
            Some(1),
        );
        check(&[at(first, &[]), at(second, &[])], &own(None, nobody), None);
        check(&[], &own(None, &[]), None);
    }
}
