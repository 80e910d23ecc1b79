//! What NVML answers. Nothing here is decided: every answer is passed on, or the reason why there is none.

use std::sync::Arc;

use nvml_wrapper::bitmasks::device::ThrottleReasons;
use nvml_wrapper::enum_wrappers::device::{Clock, EccCounter, MemoryError, TemperatureSensor};
use nvml_wrapper::enums::device::{SampleValue, UsedGpuMemory};
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::struct_wrappers::device::ProcessInfo;
use nvml_wrapper::structs::device::FieldId;
use nvml_wrapper::sys_exports::field_id::NVML_FI_DEV_POWER_INSTANT;
use nvml_wrapper::{Device, Nvml};
use nvml_wrapper::{cuda_driver_version_major, cuda_driver_version_minor};

use super::{Drivers, Facts, GpuSensors, Process, Told};
use crate::reading::Absent;

/// All GPUs in NVML's order; none where its library does not load.
pub fn gpus() -> Vec<Arc<dyn GpuSensors>> {
    let Ok(nvml) = Nvml::init() else {
        return Vec::new();
    };
    let nvml = Arc::new(nvml);
    let gpu = |index| {
        Arc::new(Driver {
            nvml: nvml.clone(),
            index,
        }) as Arc<dyn GpuSensors>
    };
    (0..nvml.device_count().unwrap_or(0)).map(gpu).collect()
}

/// The driver's versions, or in a sentence why there is no driver to ask.
pub fn drivers() -> Result<Drivers, String> {
    let nvml = Nvml::init().map_err(|error| match error {
        NvmlError::LibloadingError(_) => {
            "the driver's library libnvidia-ml.so.1 is not there".to_owned()
        }
        NvmlError::DriverNotLoaded => "NVIDIA's kernel module is not loaded".to_owned(),
        NvmlError::LibRmVersionMismatch => {
            "the driver's library and its kernel module are of two versions".to_owned()
        }
        other => format!("NVIDIA's management library does not start: {other}"),
    })?;
    let cuda = |version| {
        format!(
            "{}.{}",
            cuda_driver_version_major(version),
            cuda_driver_version_minor(version)
        )
    };
    Ok(Drivers {
        driver: nvml.sys_driver_version().ok(),
        cuda: nvml.sys_cuda_driver_version().ok().map(cuda),
    })
}

/// A GPU of the driver's.
struct Driver {
    nvml: Arc<Nvml>,
    index: u32,
}

impl Driver {
    fn ask<T>(&self, question: impl FnOnce(&Device) -> Result<T, NvmlError>) -> Told<T> {
        self.nvml
            .device_by_index(self.index)
            .and_then(|gpu| question(&gpu))
            .map_err(|error| absent(&error))
    }
}

fn absent(error: &NvmlError) -> Absent {
    match error {
        NvmlError::NoPermission => Absent::NoPermission,
        NvmlError::GpuLost | NvmlError::ResetRequired => Absent::Vanished,
        _ => Absent::NoSensor,
    }
}

impl GpuSensors for Driver {
    fn energy_mj(&self) -> Told<u64> {
        self.ask(|gpu| gpu.total_energy_consumption())
    }

    fn power_mw(&self) -> Told<u64> {
        self.ask(|gpu| {
            let fields = gpu.field_values_for(&[FieldId(NVML_FI_DEV_POWER_INSTANT)])?;
            match fields.into_iter().next().map(|field| field?.value) {
                Some(Ok(SampleValue::U32(milliwatts))) => Ok(u64::from(milliwatts)),
                Some(Ok(SampleValue::U64(milliwatts))) => Ok(milliwatts),
                // Older drivers know the average of the last second alone.
                _ => gpu.power_usage().map(u64::from),
            }
        })
    }

    fn clock_mhz(&self) -> Told<u32> {
        self.ask(|gpu| gpu.clock_info(Clock::SM))
    }

    fn temperature_c(&self) -> Told<u32> {
        self.ask(|gpu| gpu.temperature(TemperatureSensor::Gpu))
    }

    fn held_down_by(&self) -> Told<ThrottleReasons> {
        self.ask(|gpu| gpu.current_throttle_reasons())
    }

    fn processes(&self) -> Told<Vec<Process>> {
        let process = |info: ProcessInfo| Process {
            id: info.pid,
            memory_bytes: match info.used_gpu_memory {
                UsedGpuMemory::Used(bytes) => Some(bytes),
                UsedGpuMemory::Unavailable => None,
            },
        };
        Ok(self
            .ask(|gpu| gpu.running_compute_processes())?
            .into_iter()
            .map(process)
            .collect())
    }

    fn facts(&self) -> Facts {
        let watts = |milliwatts: u32| f64::from(milliwatts) / 1e3;
        let (uncorrected, volatile) = (MemoryError::Uncorrected, EccCounter::Volatile);
        Facts {
            model: self.ask(|gpu| gpu.name()).ok(),
            bus: self.ask(|gpu| gpu.pci_info()).ok().map(|pci| pci.bus_id),
            memory_bytes: self
                .ask(|gpu| gpu.memory_info())
                .ok()
                .map(|memory| memory.total),
            compute_capability: self
                .ask(|gpu| gpu.cuda_compute_capability())
                .ok()
                .map(|version| format!("{}.{}", version.major, version.minor)),
            power_limit_w: self.ask(|gpu| gpu.enforced_power_limit()).ok().map(watts),
            default_power_limit_w: self
                .ask(|gpu| gpu.power_management_limit_default())
                .ok()
                .map(watts),
            persistence: self.ask(|gpu| gpu.is_in_persistent_mode()).ok(),
            max_clock_mhz: self.ask(|gpu| gpu.max_clock_info(Clock::SM)).ok(),
            max_memory_clock_mhz: self.ask(|gpu| gpu.max_clock_info(Clock::Memory)).ok(),
            ecc: self
                .ask(|gpu| gpu.is_ecc_enabled())
                .ok()
                .map(|state| state.currently_enabled),
            uncorrected_errors: self
                .ask(|gpu| gpu.total_ecc_errors(uncorrected, volatile))
                .ok(),
            mig: self
                .ask(|gpu| gpu.mig_mode())
                .ok()
                .map(|mode| mode.current != 0),
        }
    }
}
