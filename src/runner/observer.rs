//! Whoever watches a run: hears how it goes, and answers what only a person or a judge can.

use std::collections::BTreeSet;
use std::time::Duration;

use super::interrupt::Interrupt;
use crate::error::Result;
use crate::record::{ResultFile, Trial};
use crate::trial::{Event, Job};

/// Watches a run. Each method has an answer of its own, so that `()` watches in silence, and whoever wants to know one thing
/// writes one method.
pub trait Observer {
    /// Something worth a line of its own.
    fn note(&mut self, _text: &str) {}

    /// Trials begin: `total` are planned, `missing` are to be run now.
    fn begin(&mut self, _total: usize, _missing: &[&Job]) {}

    /// The machine's peaks are being measured.
    fn calibrating(&mut self) {}

    /// A trial begins.
    fn trial(&mut self, _job: &Job) {}

    /// A trial says where it is.
    fn heard(&mut self, _event: &Event) {}

    /// A trial is kept; `took` is what its process took.
    fn finished(&mut self, _trial: &Trial, _took: Duration) {}

    /// Trials end, well or not.
    fn end(&mut self) {}

    /// What a request to stop is seen by, asked for once, before anything runs; without an answer nothing stops a run.
    fn interrupt(&mut self) -> Result<Interrupt> {
        Ok(Interrupt::default())
    }

    /// Between two builds: the cells of this file that look worse, by name, to be run again. A run judges nothing itself.
    fn looks_worse(&mut self, _screened: &ResultFile) -> BTreeSet<String> {
        BTreeSet::new()
    }
}

/// Watches in silence.
impl Observer for () {}
