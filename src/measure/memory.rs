//! Peak resident memory of this process. One trial is one process, so it is the trial's.
//!
//! On Linux from `/proc/self/status`: `getrusage` there also counts what the parent held when it forked.

/// Bytes, from the kernel's high-water mark; `None` where the system does not tell.
pub fn peak_bytes() -> Option<u64> {
    #[cfg(target_os = "linux")]
    {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kib * 1024)
    }
    #[cfg(all(unix, not(target_os = "linux")))]
    {
        // SAFETY: `getrusage` fills the struct it is given and keeps no reference to it; a zeroed `rusage` is valid.
        let usage = unsafe {
            let mut usage: libc::rusage = std::mem::zeroed();
            (libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) == 0).then_some(usage)
        }?;
        // macOS counts in bytes, the others in KiB.
        let unit = if cfg!(target_os = "macos") { 1 } else { 1024 };
        u64::try_from(usage.ru_maxrss).ok().map(|n| n * unit)
    }
    #[cfg(not(unix))]
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_touched_buffer_raises_the_peak() {
        let before = peak_bytes().unwrap();
        let buffer = vec![1u8; 256 << 20];
        assert!(buffer.iter().map(|&b| u64::from(b)).sum::<u64>() > 0);
        assert!(peak_bytes().unwrap() >= before.max(256 << 20));
    }
}
