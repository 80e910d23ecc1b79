//! A request to stop, by Ctrl-C or by the system.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, Result};

/// Raised once somebody asks to stop; clones share the flag.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Raised by SIGINT, SIGTERM and SIGHUP. To be called once in a process.
    pub fn on_signals() -> Result<Self> {
        let interrupt = Self::default();
        let raised = interrupt.clone();
        ctrlc::set_handler(move || raised.raise())
            .map_err(|error| Error::internal(format!("cannot watch for Ctrl-C: {error}")))?;
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
