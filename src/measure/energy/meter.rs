//! What every meter answers, whatever it is: which component, by which instrument, how often renewed, and its value now.

use std::path::PathBuf;

use crate::config::Named;
use crate::measure::gpu::Own;
use crate::reading::{Absent, Quality};

/// What a meter says at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// A counter of energy, in the meter's own steps.
    Count(u64),
    /// Power.
    Watts(f64),
}

/// How successive values become joules.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Law {
    /// Differences of a counter.
    Counter {
        /// Steps of the counter in a joule.
        per_joule: f64,
        /// Highest value, after which it begins again at 0; `None` where it never does.
        wraps_at: Option<u64>,
    },
    /// Power, integrated by trapezoids.
    Power,
}

/// A meter's description.
#[derive(Debug, Clone, PartialEq)]
pub struct About {
    /// `package-0`, `dram-0`, `gpu0`: the same for every instrument on the same component.
    pub id: String,
    /// `cpu_package`, `dram`, `gpu`, `platform`.
    pub component: &'static str,
    /// The catalog's name of the instrument, or of one of its figures: `rapl.powercap`, `nvml.total_energy`.
    pub source: &'static str,
    /// What stands behind its figures.
    pub quality: Quality,
    /// What its joules cover, in words.
    pub scope: String,
    /// The channel that holds these joules too.
    pub overlaps: Option<String>,
    /// From values to joules.
    pub law: Law,
    /// Seconds between two updates, at most.
    pub update_s: f64,
    /// Smallest step, where it is known.
    pub resolution_j: Option<f64>,
    /// The shortest stretch, in seconds, that it can tell anything about.
    pub least_s: f64,
}

/// An open meter.
pub trait Meter: Send {
    /// What it is.
    fn about(&self) -> &About;
    /// Its value now. An error means that it is there no more.
    fn read(&mut self) -> Result<Value, Absent>;
}

/// A meter that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// `cpu`, `gpu0`.
    pub id: String,
    /// `cpu_package`, `gpu`.
    pub component: &'static str,
    /// The instrument.
    pub source: &'static str,
    /// Why, as a word.
    pub absent: Absent,
    /// Why, as a sentence without a full stop.
    pub why: String,
    /// What would change it: a command where there is one.
    pub remedy: String,
}

/// What looking for a meter found.
pub enum Found {
    /// It can be read.
    Open(Box<dyn Meter>),
    /// It cannot.
    Missing(Missing),
}

/// Where to look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The system's root, `/` but in tests.
    pub root: PathBuf,
    /// Whether a hypervisor is known to be there.
    pub is_virtual: bool,
    /// Which GPUs count.
    pub gpus: Gpus,
}

/// Which GPUs to meter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gpus {
    /// None: the trial runs on the processor.
    None,
    /// The one that this process computes on.
    Used(Own),
    /// Every one, to say what could be measured.
    All,
}

/// One instrument of the catalog.
pub trait MeterKind: Named {
    /// Its meters on this machine, open, or why there are none.
    fn find(&self, place: &Place) -> Vec<Found>;
}

impl Place {
    /// Why a machine without a processor's counter has none.
    pub(super) fn no_sensor(&self) -> Absent {
        if self.is_virtual {
            Absent::VirtualMachine
        } else {
            Absent::NoSensor
        }
    }
}

/// What to do where there is no counter.
pub fn elsewhere(absent: Absent) -> String {
    let meter = "a wattmeter's log: --set measure.external_meter=FILE.csv";
    match absent {
        Absent::VirtualMachine => {
            format!("run on the host or on a machine of your own, or give {meter}")
        }
        _ => format!("give {meter}"),
    }
}
