//! Whether this machine is a virtual one: it decides what can be measured, and how much to believe.

use std::fs;

/// The hypervisor's name, `none` on bare metal, `None` where it cannot be told.
pub fn hypervisor() -> Option<String> {
    by_cpuid().or_else(by_device_tree)
}

/// Whether a hypervisor is known to be there.
pub fn is_virtual() -> bool {
    hypervisor().is_some_and(|name| name != "none")
}

/// The hypervisor bit (leaf 1, ECX bit 31) and the signature that the hypervisor itself gives (leaf 0x4000_0000).
#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
fn by_cpuid() -> Option<String> {
    use raw_cpuid::{CpuId, Hypervisor};
    let cpuid = CpuId::new();
    if !cpuid.get_feature_info()?.has_hypervisor() {
        return Some("none".to_owned());
    }
    let name = match cpuid.get_hypervisor_info().map(|info| info.identify()) {
        Some(Hypervisor::Xen) => "xen",
        Some(Hypervisor::VMware) => "vmware",
        Some(Hypervisor::HyperV) => "hyperv",
        Some(Hypervisor::KVM) => "kvm",
        Some(Hypervisor::QEMU) => "qemu",
        Some(Hypervisor::Bhyve) => "bhyve",
        Some(Hypervisor::QNX) => "qnx",
        Some(Hypervisor::ACRN) => "acrn",
        Some(Hypervisor::Unknown(..)) | None => "unknown",
    };
    Some(name.to_owned())
}

#[cfg(not(any(target_arch = "x86", target_arch = "x86_64")))]
fn by_cpuid() -> Option<String> {
    None
}

/// Where there is no cpuid, Linux names the hypervisor in the device tree or in `/sys/hypervisor`.
fn by_device_tree() -> Option<String> {
    [
        "/proc/device-tree/hypervisor/compatible",
        "/sys/hypervisor/type",
    ]
    .iter()
    .find_map(|path| {
        let text = fs::read_to_string(path).ok()?;
        let name = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
        (!name.is_empty()).then(|| name.to_lowercase())
    })
}
