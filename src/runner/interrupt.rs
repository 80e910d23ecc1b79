//! A request to stop, by Ctrl-C or by the system.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, Result};

/// Raised once somebody asks to stop; clones share the flag.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Raised by SIGINT, SIGTERM and SIGHUP, but for those that whoever started this program had it ignore: `nohup` does so with
    /// SIGHUP, a shell's script with the SIGINT of what it starts with `&`. To be called once in a process.
    pub fn on_signals() -> Result<Self> {
        let interrupt = Self::default();
        let raised = interrupt.clone();
        let ignored = ignored();
        ctrlc::set_handler(move || raised.raise())
            .map_err(|error| Error::internal(format!("cannot watch for Ctrl-C: {error}")))?;
        ignore(&ignored);
        Ok(interrupt)
    }

    /// Asks to stop.
    pub fn raise(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether somebody asked.
    pub fn raised(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Which of the signals that ask to stop are ignored.
#[cfg(unix)]
fn ignored() -> Vec<libc::c_int> {
    let is_ignored = |signal: &libc::c_int| {
        // SAFETY: `sigaction` without a new action only fills the struct it is given; a zeroed `sigaction` is valid.
        unsafe {
            let mut found: libc::sigaction = std::mem::zeroed();
            libc::sigaction(*signal, std::ptr::null(), &raw mut found) == 0
                && found.sa_sigaction == libc::SIG_IGN
        }
    };
    let signals = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];
    signals.into_iter().filter(is_ignored).collect()
}

#[cfg(unix)]
fn ignore(signals: &[libc::c_int]) {
    for signal in signals {
        // SAFETY: `signal` takes a number and a disposition; `SIG_IGN` runs no code of ours.
        unsafe { libc::signal(*signal, libc::SIG_IGN) };
    }
}

#[cfg(not(unix))]
fn ignored() -> [i32; 0] {
    []
}

#[cfg(not(unix))]
fn ignore(_: &[i32]) {}
