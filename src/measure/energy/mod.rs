//! Energy: what meters this machine has, and why one that is not there gives nothing.
//!
//! Probed in the order of trust: RAPL package counters through Linux's powercap folder, then each GPU's counter through
//! NVML. Nothing is metered yet; a channel says whether a counter could be read at all.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use crate::measure::virtualization;
use crate::reading::{Absent, Channel, Energy};

/// One channel per component that could be metered, each with the reason why it is not.
pub fn channels() -> Energy {
    let cpu = powercap(Path::new("/sys/class/powercap"), virtualization::is_virtual());
    let mut channels =
        vec![Channel { id: "cpu".to_owned(), component: "cpu_package", source: "rapl.powercap", energy_j: Err(cpu) }];
    channels.extend(gpus());
    Energy { channels }
}

/// Why no package counter is read: zones are folders `intel-rapl:N` (on AMD too) with a file `energy_uj`.
fn powercap(root: &Path, is_virtual: bool) -> Absent {
    let zones = fs::read_dir(root).into_iter().flatten().flatten();
    let packages = zones.filter(|zone| {
        let name = zone.file_name();
        name.to_string_lossy().split_once("-rapl:").is_some_and(|(_, zone)| !zone.contains(':'))
    });
    let found = packages.map(|zone| fs::read_to_string(zone.path().join("energy_uj")));
    let mut absent = if is_virtual { Absent::VirtualMachine } else { Absent::NoSensor };
    for reading in found {
        match reading {
            Ok(_) => return Absent::Unsupported,
            Err(error) if error.kind() == ErrorKind::PermissionDenied => absent = Absent::NoPermission,
            Err(_) => {}
        }
    }
    absent
}

/// One channel per GPU that NVML shows; none where the library does not load.
fn gpus() -> Vec<Channel> {
    use nvml_wrapper::{Nvml, error::NvmlError};
    let Ok(nvml) = Nvml::init() else { return Vec::new() };
    let count = nvml.device_count().unwrap_or(0);
    let reason = |index| match nvml.device_by_index(index).and_then(|gpu| gpu.total_energy_consumption()) {
        Ok(_) => Absent::Unsupported,
        Err(NvmlError::NoPermission) => Absent::NoPermission,
        Err(_) => Absent::NoSensor,
    };
    let channel = |index| Channel {
        id: format!("gpu{index}"),
        component: "gpu",
        source: "nvml.total_energy",
        energy_j: Err(reason(index)),
    };
    (0..count).map(channel).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absent_counter_says_why() {
        let check = |files: &[&str], folders: &[&str], is_virtual, expected| {
            let root = tempfile::tempdir().unwrap();
            for folder in folders {
                fs::create_dir_all(root.path().join(folder)).unwrap();
            }
            for file in files {
                let path = root.path().join(file);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, "123\n").unwrap();
            }
            assert_eq!(powercap(root.path(), is_virtual), expected, "{files:?} {folders:?}");
        };
        check(&[], &[], true, Absent::VirtualMachine);
        check(&[], &[], false, Absent::NoSensor);
        check(&[], &["intel-rapl", "intel-rapl:0"], false, Absent::NoSensor);
        check(&["intel-rapl:0:0/energy_uj"], &[], false, Absent::NoSensor);
        check(&["intel-rapl:0/energy_uj"], &[], false, Absent::Unsupported);
        check(&["intel-rapl:0/energy_uj"], &[], true, Absent::Unsupported);
    }

    #[test]
    fn every_channel_of_this_machine_has_a_reason_and_no_joules() {
        let energy = channels();
        assert!(!energy.channels.is_empty());
        assert_eq!(energy.measured_j(), None);
        assert!(energy.reason().is_some());
    }
}
