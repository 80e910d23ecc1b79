//! From a meter's successive values to joules, by phase: exact, or the exact reason why not. Never 0, never below it.
//!
//! A counter's difference is taken as it stands where some power below [`MOST_W`] explains it. Where the counter fell, one
//! wrap at its range is tried by the same test, and what no power explains is a reset. An interval so long that a whole
//! range more would pass the test as well may hide a wrap, and is refused. Power is integrated by trapezoids.

use std::collections::BTreeMap;

use super::meter::{Law, Value};
use crate::reading::{Absent, Phase, PhaseEnergy};

/// More than any package, GPU or platform draws: beyond it a counter's step is no consumption.
pub const MOST_W: f64 = 4000.0;
/// Updates of a counter without a change after which it counts as frozen: no part under load stands still for so long.
pub const FROZEN_UPDATES: f64 = 100.0;
/// Seconds between two samples of power beyond which nobody knows what was drawn between them.
pub const MOST_GAP_S: f64 = 5.0;

/// One meter's account.
#[derive(Debug)]
pub struct Account {
    law: Law,
    update_s: f64,
    least_s: f64,
    /// The last value, where it could be read, and when.
    last: Option<(f64, Value)>,
    /// Whether there was a value ever.
    begun: bool,
    /// When the counter last changed.
    moved_s: f64,
    phase: Phase,
    whole: Tally,
    phases: BTreeMap<Phase, Tally>,
    wraps: u64,
    resets: u64,
}

/// A sum over stretches of time.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    /// Steps of the counter, or joules.
    amount: f64,
    seconds: f64,
    stretches: u32,
    broken: Option<Absent>,
}

impl Account {
    /// An empty account of a meter with this law, update period and shortest stretch.
    pub fn new(law: Law, update_s: f64, least_s: f64) -> Self {
        Self {
            law,
            update_s,
            least_s,
            last: None,
            begun: false,
            moved_s: 0.0,
            phase: Phase::Other,
            whole: Tally {
                stretches: 1,
                ..Tally::default()
            },
            phases: BTreeMap::new(),
            wraps: 0,
            resets: 0,
        }
    }

    /// Takes a value read at `at_s`, or the failure to read it.
    pub fn read(&mut self, at_s: f64, value: Result<Value, Absent>) {
        let value = value.ok().filter(|value| self.makes_sense(*value));
        let step = match (self.last, value) {
            (Some((before_s, before)), Some(now)) => {
                Some((at_s - before_s, self.step(before_s, before, at_s, now)))
            }
            // A counter that came back says nothing about the time without it.
            (Some((before_s, _)), None) => Some((at_s - before_s, Err(Absent::Vanished))),
            (None, Some(_)) if !self.begun => None,
            (None, _) => Some((0.0, Err(Absent::Vanished))),
        };
        if let Some((seconds, amount)) = step {
            self.tallies().for_each(|tally| tally.add(seconds, amount));
        }
        if self.last.map(|(_, before)| before) != value {
            self.moved_s = at_s;
        }
        self.begun = true;
        self.last = value.map(|value| (at_s, value));
    }

    /// From the value last read on, everything is of this phase.
    pub fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        let lost = self.begun && self.last.is_none();
        let tally = self.phases.entry(phase).or_default();
        tally.stretches += 1;
        if lost {
            tally.broken.get_or_insert(Absent::Vanished);
        }
    }

    /// Joules of everything.
    pub fn energy_j(&self) -> Result<f64, Absent> {
        self.joules(&self.whole)
    }

    /// Joules of a phase until the last value, however short it is.
    pub fn so_far_j(&self, phase: Phase) -> Result<f64, Absent> {
        let tally = self.phases.get(&phase).copied().unwrap_or_default();
        tally
            .broken
            .map_or(Ok(tally.amount / self.per_joule()), Err)
    }

    /// Seconds between the first value and the last.
    pub fn window_s(&self) -> f64 {
        self.whole.seconds
    }

    /// Joules of each phase that was entered.
    pub fn phases(&self) -> Vec<PhaseEnergy> {
        let energy = |(phase, tally): (&Phase, &Tally)| PhaseEnergy {
            phase: *phase,
            window_s: tally.seconds,
            energy_j: self.joules(tally),
        };
        self.phases
            .iter()
            .filter(|(phase, _)| **phase != Phase::Other)
            .map(energy)
            .collect()
    }

    /// Times that the counter passed its range.
    pub fn wraps(&self) -> u64 {
        self.wraps
    }

    /// Times that the counter lost its count.
    pub fn resets(&self) -> u64 {
        self.resets
    }

    fn tallies(&mut self) -> impl Iterator<Item = &mut Tally> {
        [&mut self.whole, self.phases.entry(self.phase).or_default()].into_iter()
    }

    fn makes_sense(&self, value: Value) -> bool {
        match (self.law, value) {
            (Law::Counter { wraps_at, .. }, Value::Count(count)) => {
                wraps_at.is_none_or(|range| count <= range)
            }
            (Law::Power, Value::Watts(watts)) => watts.is_finite() && watts >= 0.0,
            (Law::Counter { .. }, Value::Watts(_)) | (Law::Power, Value::Count(_)) => false,
        }
    }

    /// What was consumed between two values, in steps of the counter, or in joules.
    fn step(&mut self, before_s: f64, before: Value, at_s: f64, now: Value) -> Result<f64, Absent> {
        let seconds = at_s - before_s;
        match (self.law, before, now) {
            (
                Law::Counter {
                    per_joule,
                    wraps_at,
                },
                Value::Count(before),
                Value::Count(now),
            ) => {
                if now == before && at_s - self.moved_s >= FROZEN_UPDATES * self.update_s {
                    return Err(Absent::Frozen);
                }
                // A counter moves in lumps: at either end an update may be due.
                let most = MOST_W * (seconds + 2.0 * self.update_s) * per_joule;
                self.counted(before, now, wraps_at, most)
            }
            (Law::Power, Value::Watts(_), Value::Watts(_)) if seconds > MOST_GAP_S => {
                Err(Absent::Gap)
            }
            (Law::Power, Value::Watts(before), Value::Watts(now)) => {
                Ok((before + now) / 2.0 * seconds)
            }
            _ => Err(Absent::Unsupported),
        }
    }

    fn counted(
        &mut self,
        before: u64,
        now: u64,
        wraps_at: Option<u64>,
        most: f64,
    ) -> Result<f64, Absent> {
        let wrapped = now < before;
        let steps = match wraps_at {
            _ if !wrapped => Some(now - before),
            Some(range) => Some(range - before + now),
            None => None,
        };
        let Some(steps) = steps.filter(|steps| *steps as f64 <= most) else {
            self.resets += 1;
            return Err(Absent::Reset);
        };
        if wraps_at.is_some_and(|range| (steps + range) as f64 <= most) {
            return Err(Absent::WrapUncertain);
        }
        self.wraps += u64::from(wrapped);
        Ok(steps as f64)
    }

    fn per_joule(&self) -> f64 {
        match self.law {
            Law::Counter { per_joule, .. } => per_joule,
            Law::Power => 1.0,
        }
    }

    fn joules(&self, tally: &Tally) -> Result<f64, Absent> {
        match tally.broken {
            Some(absent) => Err(absent),
            // Each stretch is uncertain by an update at either end.
            None if tally.seconds < self.least_s * f64::from(tally.stretches) => {
                Err(Absent::WindowTooShort)
            }
            None if tally.amount > 0.0 => Ok(tally.amount / self.per_joule()),
            None => Err(Absent::Frozen),
        }
    }
}

impl Tally {
    fn add(&mut self, seconds: f64, amount: Result<f64, Absent>) {
        self.seconds += seconds;
        match amount {
            Ok(amount) => self.amount += amount,
            Err(absent) => drop(self.broken.get_or_insert(absent)),
        }
    }
}

#[cfg(test)]
mod tests;
