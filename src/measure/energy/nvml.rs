//! NVIDIA GPUs through NVML: the energy counter first, and instant power, integrated, as its cross-check.
//!
//! The counter (`nvmlDeviceGetTotalEnergyConsumption`, Volta and later) runs in millijoules since the driver was loaded and is
//! renewed every 20 to 100 ms; it begins anew when the driver is loaded again. Both figures are the whole GPU's, whoever
//! computes on it; where it is split into instances (MIG) they are still the whole GPU's.

use std::sync::Arc;

use super::account::MOST_GAP_S;
use super::meter::{About, Found, Gpus, Law, Meter, MeterKind, Missing, Place, Value};
use crate::config::Named;
use crate::measure::gpu::{self, GpuSensors, Own};
use crate::reading::{Absent, Quality};

/// The slowest that GPUs renew their counter and their power.
pub const NVML_UPDATE_S: f64 = 0.1;
/// Updates in the shortest stretch: one missed at either end is then 4% of it.
pub const NVML_LEAST_UPDATES: f64 = 50.0;
/// The shortest stretch that power sampled about once a second tells anything about.
pub const NVML_LEAST_SAMPLED_S: f64 = 2.0 * MOST_GAP_S;

/// The counter's name in records.
pub const ENERGY: &str = "nvml.total_energy";
/// The sampled power's.
pub const POWER: &str = "nvml.power_instant";

/// The instrument `nvml`.
pub(super) struct Kind;

impl Named for Kind {
    fn name(&self) -> &'static str {
        "nvml"
    }

    fn about(&self) -> &'static str {
        "an NVIDIA GPU's energy counter, and its power integrated, through NVIDIA's management library"
    }
}

impl MeterKind for Kind {
    fn find(&self, place: &Place) -> Vec<Found> {
        match &place.gpus {
            Gpus::None => Vec::new(),
            Gpus::Used(own) => in_use(&gpu::gpus(), own),
            Gpus::All => gpu::gpus()
                .iter()
                .enumerate()
                .flat_map(|(index, gpu)| meters(index, gpu))
                .collect(),
        }
    }
}

/// The models of all GPUs, for what must be modelled.
pub fn models() -> Vec<String> {
    gpu::gpus()
        .iter()
        .filter_map(|gpu| gpu.facts().model)
        .collect()
}

/// The meters of the one GPU that this process computes on.
fn in_use(gpus: &[Arc<dyn GpuSensors>], own: &Own) -> Vec<Found> {
    match gpu::used(gpus, own) {
        Some(index) => meters(index, &gpus[index]),
        None if gpus.is_empty() => Vec::new(),
        None => vec![Found::Missing(Missing {
            id: "gpu".to_owned(),
            component: "gpu",
            source: ENERGY,
            absent: Absent::NotIdentified,
            why: format!(
                "NVML shows {} GPUs, and not which one this process computes on",
                gpus.len()
            ),
            remedy:
                "start it where only one GPU is visible: docker run --gpus device=0, srun --gpus=1"
                    .to_owned(),
        })],
    }
}

/// The counter, and the power beside it; the power alone where there is no counter.
fn meters(index: usize, gpu: &Arc<dyn GpuSensors>) -> Vec<Found> {
    let id = format!("gpu{index}");
    let (counter, power) = (gpu.energy_mj(), gpu.power_mw());
    let is_split = gpu.facts().mig == Some(true);
    let meter = |about, read| {
        Found::Open(Box::new(BoardMeter {
            about,
            gpu: gpu.clone(),
            read,
        }))
    };
    let mut found = match counter {
        Ok(_) => vec![meter(counted(&id, is_split), read_energy as Read)],
        Err(absent) if power.is_err() => vec![Found::Missing(missing(&id, absent))],
        Err(_) => Vec::new(),
    };
    if power.is_ok() {
        found.push(meter(
            sampled(&id, is_split, counter.is_ok()),
            read_power as Read,
        ));
    }
    found
}

fn missing(id: &str, absent: Absent) -> Missing {
    let (why, remedy) = match absent {
        Absent::NoPermission => (
            "the driver refuses this user both the energy counter and the power",
            "start it as a user with the video or render group, or in a container with --gpus all",
        ),
        _ => (
            "the driver offers neither an energy counter nor the power of this GPU",
            "a GPU of Volta's generation or later, passed through whole where this is a virtual machine",
        ),
    };
    let (why, remedy) = (why.to_owned(), remedy.to_owned());
    Missing {
        id: id.to_owned(),
        component: "gpu",
        source: ENERGY,
        absent,
        why,
        remedy,
    }
}

fn scope(is_split: bool) -> String {
    let whole = "the whole GPU, every process on it";
    if is_split {
        format!("{whole}, all of its MIG instances together")
    } else {
        whole.to_owned()
    }
}

fn counted(id: &str, is_split: bool) -> About {
    About {
        id: id.to_owned(),
        component: "gpu",
        source: ENERGY,
        quality: Quality::Sensor,
        scope: scope(is_split),
        overlaps: None,
        law: Law::Counter {
            per_joule: 1e3,
            wraps_at: None,
        },
        update_s: NVML_UPDATE_S,
        resolution_j: Some(1e-3),
        least_s: NVML_LEAST_UPDATES * NVML_UPDATE_S,
    }
}

fn sampled(id: &str, is_split: bool, beside_counter: bool) -> About {
    About {
        id: if beside_counter {
            format!("{id}-power")
        } else {
            id.to_owned()
        },
        source: POWER,
        overlaps: beside_counter.then(|| id.to_owned()),
        law: Law::Power,
        resolution_j: None,
        least_s: NVML_LEAST_SAMPLED_S,
        ..counted(id, is_split)
    }
}

type Read = fn(&dyn GpuSensors) -> Result<Value, Absent>;

fn read_energy(gpu: &dyn GpuSensors) -> Result<Value, Absent> {
    gpu.energy_mj().map(Value::Count)
}

fn read_power(gpu: &dyn GpuSensors) -> Result<Value, Absent> {
    gpu.power_mw()
        .map(|milliwatts| Value::Watts(milliwatts as f64 / 1e3))
}

/// One figure of a GPU.
struct BoardMeter {
    about: About,
    gpu: Arc<dyn GpuSensors>,
    read: Read,
}

impl Meter for BoardMeter {
    fn about(&self) -> &About {
        &self.about
    }

    fn read(&mut self) -> Result<Value, Absent> {
        (self.read)(self.gpu.as_ref())
    }
}

#[cfg(test)]
mod tests;
