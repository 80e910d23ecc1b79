//! The GPU that a trial computes on: opened, watched while it trains, and written down.

use std::collections::BTreeMap;

use crate::device::{self, Opened};
use crate::error::Result;
use crate::measure::gpu::watch::{EVERY, Range, Seen, Watch};
use crate::measure::gpu::{Own, Told, gpus, listed, own_number, used};
use crate::reading::Absent;
use crate::record::{GpuRange, GpuState};

/// Opens a device by name, and says how this process is known on it where it is a GPU. Who was there before must be asked
/// before: in a container a process knows itself only by having come since.
pub(super) fn open(name: &str) -> Result<(Opened, Option<Own>)> {
    let before = if name == "cpu" {
        Vec::new()
    } else {
        listed(&gpus())
    };
    let opened = device::open(name)?;
    let own = || Own {
        process: std::process::id(),
        bus: opened.bus.clone(),
        before,
    };
    let own = (opened.name != "cpu").then(own);
    Ok((opened, own))
}

/// Begins to watch the GPU that this process computes on; `None` where the driver shows none.
pub(super) fn watch(own: &Own) -> Option<Watch> {
    let gpus = gpus();
    let index = used(&gpus, own)?;
    Some(Watch::start(
        gpus[index].clone(),
        own_number(own, index, gpus[index].as_ref()),
        EVERY,
    ))
}

/// The most of a device's memory that was used: as its pool counts, exactly; else as the driver counts by process, seen twice a
/// second, which is little less where the pool keeps what is freed.
pub(super) fn peak_bytes(opened: &Opened, seen: Option<&Seen>) -> Option<u64> {
    opened.peak_bytes().or_else(|| seen?.memory_bytes.ok())
}

/// The record's form of what was seen.
pub(super) fn state(seen: &Seen) -> GpuState {
    let mut reasons = BTreeMap::new();
    GpuState {
        looks: seen.looks,
        clock_mhz: told(&seen.clock_mhz, "clock_mhz", &mut reasons).map(range),
        temperature_c: told(&seen.temperature_c, "temperature_c", &mut reasons).map(range),
        held_down: told(&seen.held_down, "held_down", &mut reasons).map(|shares| {
            shares
                .iter()
                .map(|(code, share)| ((*code).to_owned(), *share))
                .collect()
        }),
        foreign_processes: told(&seen.foreign, "foreign_processes", &mut reasons).copied(),
        process_memory_bytes: told(&seen.memory_bytes, "process_memory_bytes", &mut reasons)
            .copied(),
        power_limit_w: setting(seen.facts.power_limit_w, "power_limit_w", &mut reasons),
        ecc: setting(seen.facts.ecc, "ecc", &mut reasons),
        uncorrected_errors: setting(
            seen.facts.uncorrected_errors,
            "uncorrected_errors",
            &mut reasons,
        ),
        mig: setting(seen.facts.mig, "mig", &mut reasons),
        poller_cpu_s: seen.poller_cpu_s,
        reasons,
    }
}

fn told<'a, T>(
    figure: &'a Told<T>,
    name: &str,
    reasons: &mut BTreeMap<String, String>,
) -> Option<&'a T> {
    figure
        .as_ref()
        .map_err(|absent| reasons.insert(name.to_owned(), absent.code().to_owned()))
        .ok()
}

fn setting<T>(value: Option<T>, name: &str, reasons: &mut BTreeMap<String, String>) -> Option<T> {
    if value.is_none() {
        reasons.insert(name.to_owned(), Absent::NoSensor.code().to_owned());
    }
    value
}

fn range(range: &Range) -> GpuRange {
    let Range {
        start,
        median,
        lowest,
        highest,
    } = *range;
    GpuRange {
        start,
        median,
        lowest,
        highest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::gpu::Facts;

    #[test]
    fn what_was_not_seen_is_null_beside_its_reason() {
        let seen = Seen {
            looks: 4,
            clock_mhz: Ok(Range {
                start: 1980.0,
                median: 1950.0,
                lowest: 1900.0,
                highest: 1980.0,
            }),
            temperature_c: Err(Absent::NoPermission),
            held_down: Ok([("gpu_power_capped", 0.25)].into()),
            foreign: Err(Absent::ProcessesHidden),
            memory_bytes: Ok(5 << 30),
            facts: Facts {
                power_limit_w: Some(700.0),
                ecc: Some(true),
                mig: Some(false),
                ..Facts::default()
            },
            poller_cpu_s: Some(0.01),
        };
        let state = state(&seen);
        assert_eq!(
            (state.clock_mhz.unwrap().median, state.power_limit_w),
            (1950.0, Some(700.0))
        );
        assert_eq!(state.held_down.unwrap()["gpu_power_capped"], 0.25);
        let reasons: Vec<(&str, &str)> = state
            .reasons
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .collect();
        let missing = [
            ("foreign_processes", "processes_hidden"),
            ("temperature_c", "no_permission"),
            ("uncorrected_errors", "no_sensor"),
        ];
        assert_eq!(reasons, missing);
        assert_eq!(
            peak_bytes(&device::open("cpu").unwrap(), Some(&seen)),
            Some(5 << 30)
        );
        assert_eq!(peak_bytes(&device::open("cpu").unwrap(), None), None);
    }

    #[test]
    fn a_processor_is_no_gpu() {
        assert_eq!(open("cpu").unwrap().1, None);
    }
}
