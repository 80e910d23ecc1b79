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
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever a counter says, and however late it is read: joules that some power explains, or a reason.
        #[test]
        fn no_joules_are_zero_or_below_or_beyond_all_power(
            readings in prop::collection::vec((0.0..60.0f64, prop::option::weighted(0.95, 0..=RANGE_UJ)), 0..12),
            steps in prop::collection::vec((0.0..60.0f64, 0..10_000_000_000u64), 0..12),
        ) {
            let mut wild = Account::new(RAPL, 1e-3, 0.2);
            let mut at_s = 0.0;
            for (wait_s, count) in readings {
                at_s += wait_s;
                wild.read(at_s, count.map(Value::Count).ok_or(Absent::NoSensor));
            }
            // A counter that runs on, by what may be too much.
            let mut running = Account::new(RAPL, 1e-3, 0.2);
            let (mut at_s, mut count) = (0.0, 0);
            for (wait_s, more) in steps {
                at_s += wait_s;
                count = (count + more) % RANGE_UJ;
                running.read(at_s, Ok(Value::Count(count)));
            }
            for account in [wild, running] {
                if let Ok(joules) = account.energy_j() {
                    prop_assert!(joules > 0.0 && joules <= MOST_W * (account.window_s() + 12.0 * 2e-3), "{joules} J");
                }
            }
        }
    }

    const UJ: f64 = 1e6;
    /// 32 bits of 2^-16 J, in microjoules, as server packages have it.
    const RANGE_UJ: u64 = 65_532_610_987;
    const RAPL: Law = Law::Counter {
        per_joule: UJ,
        wraps_at: Some(RANGE_UJ),
    };
    const ENDLESS: Law = Law::Counter {
        per_joule: 1e3,
        wraps_at: None,
    };

    /// Seconds and counts, -1 for a reading that failed.
    fn account(law: Law, readings: &[(f64, i64)]) -> Account {
        let mut account = Account::new(law, 1e-3, 0.2);
        for (at_s, count) in readings {
            account.read(
                *at_s,
                u64::try_from(*count)
                    .map(Value::Count)
                    .map_err(|_| Absent::NoPermission),
            );
        }
        account
    }

    #[test]
    fn counts_become_exact_joules_or_the_exact_reason() {
        let check = |law, readings: &[(f64, i64)], joules, wraps, resets| {
            let account = account(law, readings);
            assert_eq!(account.energy_j(), joules, "{readings:?}");
            assert_eq!(
                (account.wraps(), account.resets()),
                (wraps, resets),
                "{readings:?}"
            );
        };
        let range = RANGE_UJ as i64;
        // 50 W and 100 W.
        check(
            RAPL,
            &[(0.0, 1_000_000), (1.0, 51_000_000), (2.0, 151_000_000)],
            Ok(150.0),
            0,
            0,
        );
        // A wrap: 30 J up to the range, 70 J after it.
        check(
            RAPL,
            &[
                (0.0, range - 30_000_000),
                (1.0, 70_000_000),
                (2.0, 170_000_000),
            ],
            Ok(200.0),
            1,
            0,
        );
        // Two wraps, 300 W polled every 15 s: each interval is short enough to be sure of.
        let slow: Vec<(f64, i64)> = (0..31)
            .map(|k: i32| (f64::from(k) * 15.0, i64::from(k) * 4_500_000_000 % range))
            .collect();
        check(RAPL, &slow, Ok(135_000.0), 2, 0);
        // Two wraps between two polls cannot be seen: in 40 s a package could draw more than its range, 65.5 kJ.
        check(
            RAPL,
            &[(0.0, 0), (40.0, 100_000_000)],
            Err(Absent::WrapUncertain),
            0,
            0,
        );
        check(
            RAPL,
            &[(0.0, 0), (1.0, 9_000_000), (400.0, 5_000_000)],
            Err(Absent::WrapUncertain),
            0,
            0,
        );
        // It fell, and a wrap would mean 65 kW.
        check(
            RAPL,
            &[(0.0, 900_000_000), (1.0, 5_000_000), (2.0, 99_000_000)],
            Err(Absent::Reset),
            0,
            1,
        );
        // It leapt by what no power explains.
        check(
            RAPL,
            &[(0.0, 0), (1.0, 9_000_000_000)],
            Err(Absent::Reset),
            0,
            1,
        );
        // A counter without a range never falls.
        check(ENDLESS, &[(0.0, 5_000), (1.0, 305_000)], Ok(300.0), 0, 0);
        check(
            ENDLESS,
            &[(0.0, 5_000), (1.0, 4_000), (2.0, 9_000)],
            Err(Absent::Reset),
            0,
            1,
        );
        // It stands still under load, from the start, in the middle, at the end.
        check(
            RAPL,
            &[(0.0, 7), (1.0, 7), (2.0, 7)],
            Err(Absent::Frozen),
            0,
            0,
        );
        check(
            RAPL,
            &[
                (0.0, 7),
                (1.0, 9_000_000),
                (2.0, 9_000_000),
                (3.0, 12_000_000),
            ],
            Err(Absent::Frozen),
            0,
            0,
        );
        check(
            RAPL,
            &[(0.0, 7), (1.0, 9_000_000), (1.2, 9_000_000)],
            Err(Absent::Frozen),
            0,
            0,
        );
        check(
            RAPL,
            &[(0.0, 0), (1.0, 9_000_000), (1.05, 9_000_000)],
            Ok(9.0),
            0,
            0,
        );
        // It vanishes at the end, in the middle, or was never there.
        check(
            RAPL,
            &[(0.0, 7), (1.0, 9_000_000), (2.0, -1)],
            Err(Absent::Vanished),
            0,
            0,
        );
        check(
            RAPL,
            &[(0.0, 7), (1.0, -1), (2.0, 9_000_000), (3.0, 12_000_000)],
            Err(Absent::Vanished),
            0,
            0,
        );
        check(RAPL, &[(0.0, -1), (1.0, -1)], Err(Absent::Vanished), 0, 0);
        // Above its own range.
        check(
            RAPL,
            &[(0.0, 7), (1.0, range + 1)],
            Err(Absent::Vanished),
            0,
            0,
        );
        // Too short to tell.
        check(
            RAPL,
            &[(0.0, 7), (0.19, 9_000_007)],
            Err(Absent::WindowTooShort),
            0,
            0,
        );
        check(RAPL, &[(0.0, 7)], Err(Absent::WindowTooShort), 0, 0);
        check(RAPL, &[], Err(Absent::WindowTooShort), 0, 0);
    }

    #[test]
    fn power_is_integrated_by_trapezoids() {
        let check = |samples: &[(f64, f64)], joules| {
            let mut account = Account::new(Law::Power, 0.1, 1.0);
            samples
                .iter()
                .for_each(|(at_s, watts)| account.read(*at_s, Ok(Value::Watts(*watts))));
            assert_eq!(account.energy_j(), joules, "{samples:?}");
        };
        check(&[(0.0, 100.0), (1.0, 200.0), (3.0, 200.0)], Ok(550.0));
        check(&[(0.0, 100.0), (1.0, 100.0), (2.0, 100.0)], Ok(200.0));
        check(&[(0.0, 100.0), (6.0, 100.0)], Err(Absent::Gap));
        check(
            &[(0.0, 100.0), (1.0, f64::NAN), (2.0, 100.0)],
            Err(Absent::Vanished),
        );
        check(&[(0.0, 100.0), (1.0, -5.0)], Err(Absent::Vanished));
        check(&[(0.0, 0.0), (2.0, 0.0)], Err(Absent::Frozen));
    }

    #[test]
    fn a_phase_has_its_own_joules_and_its_own_troubles() {
        let mut account = Account::new(RAPL, 1e-3, 0.2);
        let read = |account: &mut Account, at_s: f64, joules: f64, next: Phase| {
            account.read(at_s, Ok(Value::Count((joules * UJ) as u64)));
            account.enter(next);
        };
        read(&mut account, 0.0, 100.0, Phase::Train);
        read(&mut account, 1.0, 150.0, Phase::Evaluate);
        read(&mut account, 2.0, 160.0, Phase::Train);
        read(&mut account, 3.0, 260.0, Phase::Prefill);
        // The counter begins anew while prompts are read: training's joules are safe.
        read(&mut account, 4.0, 1.0, Phase::Generate);
        read(&mut account, 4.1, 4.0, Phase::Other);
        let found: Vec<(Phase, f64, Result<f64, Absent>)> = account
            .phases()
            .into_iter()
            .map(|part| (part.phase, part.window_s, part.energy_j))
            .collect();
        assert_eq!(
            found[..3],
            [
                (Phase::Train, 2.0, Ok(150.0)),
                (Phase::Evaluate, 1.0, Ok(10.0)),
                (Phase::Prefill, 1.0, Err(Absent::Reset)),
            ]
        );
        assert_eq!(
            (found[3].0, found[3].2),
            (Phase::Generate, Err(Absent::WindowTooShort))
        );
        assert_eq!(
            (account.energy_j(), account.resets()),
            (Err(Absent::Reset), 1)
        );
    }

    /// Ten stretches of 0.15 s are 1.5 s, and each is shorter than the meter can tell.
    #[test]
    fn many_short_stretches_are_no_long_window() {
        let mut account = Account::new(RAPL, 1e-3, 0.2);
        for k in 0..10 {
            for (part, phase) in [(0.0, Phase::Prefill), (0.15, Phase::Generate)] {
                let at_s = f64::from(k) * 0.5 + part;
                account.read(at_s, Ok(Value::Count((at_s * 100.0 * UJ) as u64)));
                account.enter(phase);
            }
        }
        let phases = account.phases();
        assert_eq!(phases[0].energy_j, Err(Absent::WindowTooShort));
        assert!((phases[1].energy_j.unwrap() - 0.35 * 9.0 * 100.0).abs() < 1e-4);
    }

    #[test]
    fn a_phase_that_begins_without_its_meter_has_no_joules() {
        let mut account = account(RAPL, &[(0.0, 0), (1.0, 9_000_000), (2.0, -1)]);
        account.enter(Phase::Train);
        account.read(3.0, Ok(Value::Count(20_000_000)));
        account.read(4.0, Ok(Value::Count(30_000_000)));
        assert_eq!(account.phases()[0].energy_j, Err(Absent::Vanished));
    }
}
