//! The processor: its name, its hardware threads, and the time that it spent on this process.

/// What the processor calls itself.
#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
pub fn brand() -> Option<String> {
    let brand = raw_cpuid::CpuId::new().get_processor_brand_string()?;
    Some(brand.as_str().trim().to_owned()).filter(|brand| !brand.is_empty())
}

/// What the system calls the processor.
#[cfg(not(any(target_arch = "x86", target_arch = "x86_64")))]
pub fn brand() -> Option<String> {
    let mut system = sysinfo::System::new().ok()?;
    system.refresh_cpu_all();
    system
        .cpus()
        .first()
        .map(|cpu| cpu.brand().trim().to_owned())
        .filter(|brand| !brand.is_empty())
}

/// Hardware threads that the machine shows, whatever this process may use of them.
pub fn threads() -> usize {
    #[cfg(unix)]
    {
        // SAFETY: sysconf takes a number and touches no memory of ours.
        let online = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) };
        if let Ok(online @ 1..) = usize::try_from(online) {
            return online;
        }
    }
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Processor seconds of all threads of this process; `None` where the system does not tell.
pub fn process_s() -> Option<f64> {
    #[cfg(unix)]
    return seconds(libc::CLOCK_PROCESS_CPUTIME_ID);
    #[cfg(not(unix))]
    None
}

/// Processor seconds of the calling thread.
pub fn thread_s() -> Option<f64> {
    #[cfg(unix)]
    return seconds(libc::CLOCK_THREAD_CPUTIME_ID);
    #[cfg(not(unix))]
    None
}

#[cfg(unix)]
fn seconds(clock: libc::clockid_t) -> Option<f64> {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: clock_gettime fills the structure it is given and keeps no reference to it.
    let answered = unsafe { libc::clock_gettime(clock, &raw mut time) } == 0;
    answered.then(|| time.tv_sec as f64 + time.tv_nsec as f64 / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_takes_processor_time() {
        let (process, thread) = (process_s().unwrap(), thread_s().unwrap());
        let mut sum = 0u64;
        while thread_s().unwrap() - thread < 0.01 {
            sum = sum.wrapping_mul(31).wrapping_add(1);
        }
        assert!(sum > 0 && process_s().unwrap() - process >= 0.01);
        assert!(threads() >= 1);
    }
}
