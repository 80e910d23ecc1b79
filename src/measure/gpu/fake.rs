//! A GPU for tests: what it answers is set from outside, once or call by call.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use nvml_wrapper::bitmasks::device::ThrottleReasons;

use super::{Facts, GpuSensors, Process, Told};
use crate::reading::Absent;

/// Answers in turn; the last one stays.
#[derive(Debug, Clone)]
pub struct Answers<T>(Arc<Mutex<VecDeque<Told<T>>>>);

impl<T: Clone> Answers<T> {
    /// The same every time.
    pub fn always(answer: Told<T>) -> Self {
        Self::of([answer])
    }

    /// One after the other.
    pub fn of(answers: impl IntoIterator<Item = Told<T>>) -> Self {
        Self(Arc::new(Mutex::new(answers.into_iter().collect())))
    }

    fn next(&self) -> Told<T> {
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if left.len() > 1 {
            left.pop_front()
        } else {
            left.front().cloned()
        }
        .unwrap_or(Err(Absent::NoSensor))
    }
}

/// A GPU that is calm, alone and cool unless told otherwise.
#[derive(Debug, Clone)]
pub struct Fake {
    /// Its counter.
    pub energy_mj: Answers<u64>,
    /// Its power.
    pub power_mw: Answers<u64>,
    /// Its clock.
    pub clock_mhz: Answers<u32>,
    /// Its temperature.
    pub temperature_c: Answers<u32>,
    /// What holds it down.
    pub held_down_by: Answers<ThrottleReasons>,
    /// Who is on it.
    pub processes: Answers<Vec<Process>>,
    /// What it is.
    pub facts: Facts,
}

impl Default for Fake {
    fn default() -> Self {
        Self {
            energy_mj: Answers::always(Ok(1)),
            power_mw: Answers::always(Ok(300_000)),
            clock_mhz: Answers::always(Ok(1980)),
            temperature_c: Answers::always(Ok(50)),
            held_down_by: Answers::always(Ok(ThrottleReasons::empty())),
            processes: Answers::always(Ok(Vec::new())),
            facts: Facts::default(),
        }
    }
}

impl Fake {
    /// With these processes on it, each with a GiB.
    pub fn with(self, processes: &[u32]) -> Self {
        let process = |id: &u32| Process {
            id: *id,
            memory_bytes: Some(1 << 30),
        };
        Self {
            processes: Answers::always(Ok(processes.iter().map(process).collect())),
            ..self
        }
    }
}

impl GpuSensors for Fake {
    fn energy_mj(&self) -> Told<u64> {
        self.energy_mj.next()
    }

    fn power_mw(&self) -> Told<u64> {
        self.power_mw.next()
    }

    fn clock_mhz(&self) -> Told<u32> {
        self.clock_mhz.next()
    }

    fn temperature_c(&self) -> Told<u32> {
        self.temperature_c.next()
    }

    fn held_down_by(&self) -> Told<ThrottleReasons> {
        self.held_down_by.next()
    }

    fn processes(&self) -> Told<Vec<Process>> {
        self.processes.next()
    }

    fn facts(&self) -> Facts {
        self.facts.clone()
    }
}
