//! Tests of `account`.

use super::*;
use proptest::prelude::*;

proptest! {
    /// Whatever a counter says, and however late it is read: joules that some power explains, or a reason.
    #[test]
    fn no_joules_are_zero_or_below_or_beyond_all_power(
        readings in prop::collection::vec(
            (0.0..60.0f64, prop::option::weighted(0.95, 0..=RANGE_UJ)),
            0..12,
        ),
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

/// Joules, wraps and resets of a counter's readings.
fn counted(law: Law, readings: &[(f64, i64)]) -> (Result<f64, Absent>, u64, u64) {
    let account = account(law, readings);
    (account.energy_j(), account.wraps(), account.resets())
}

#[test]
fn counts_become_exact_joules() {
    let range = RANGE_UJ as i64;
    let check = |law, readings: &[(f64, i64)], joules, wraps| {
        let expected = (Ok(joules), wraps, 0);
        assert_eq!(counted(law, readings), expected, "{readings:?}");
    };
    // 50 W and 100 W.
    let even = [(0.0, 1_000_000), (1.0, 51_000_000), (2.0, 151_000_000)];
    check(RAPL, &even, 150.0, 0);
    // A wrap: 30 J up to the range, 70 J after it.
    let wraps = [
        (0.0, range - 30_000_000),
        (1.0, 70_000_000),
        (2.0, 170_000_000),
    ];
    check(RAPL, &wraps, 200.0, 1);
    // Two wraps, 300 W polled every 15 s: each interval is short enough to be sure of.
    let slow: Vec<(f64, i64)> = (0..31)
        .map(|k: i32| (f64::from(k) * 15.0, i64::from(k) * 4_500_000_000 % range))
        .collect();
    check(RAPL, &slow, 135_000.0, 2);
    // A counter without a range never falls.
    check(ENDLESS, &[(0.0, 5_000), (1.0, 305_000)], 300.0, 0);
    // It stands still for less than it may.
    let short = [(0.0, 0), (1.0, 9_000_000), (1.05, 9_000_000)];
    check(RAPL, &short, 9.0, 0);
}

#[test]
fn what_a_counter_cannot_tell_is_absent_for_its_reason() {
    let check = |law, readings: &[(f64, i64)], why| {
        let expected = (Err(why), 0, u64::from(why == Absent::Reset));
        assert_eq!(counted(law, readings), expected, "{readings:?}");
    };
    let rapl: [(&[(f64, i64)], Absent); 14] = [
        // Two wraps between two polls cannot be seen: in 40 s a package could draw more than its range, 65.5 kJ.
        (&[(0.0, 0), (40.0, 100_000_000)], Absent::WrapUncertain),
        (
            &[(0.0, 0), (1.0, 9_000_000), (400.0, 5_000_000)],
            Absent::WrapUncertain,
        ),
        // It fell, and a wrap would mean 65 kW.
        (
            &[(0.0, 900_000_000), (1.0, 5_000_000), (2.0, 99_000_000)],
            Absent::Reset,
        ),
        // It leapt by what no power explains.
        (&[(0.0, 0), (1.0, 9_000_000_000)], Absent::Reset),
        // It stands still under load, from the start, in the middle, at the end.
        (&[(0.0, 7), (1.0, 7), (2.0, 7)], Absent::Frozen),
        (
            &[
                (0.0, 7),
                (1.0, 9_000_000),
                (2.0, 9_000_000),
                (3.0, 12_000_000),
            ],
            Absent::Frozen,
        ),
        (
            &[(0.0, 7), (1.0, 9_000_000), (1.2, 9_000_000)],
            Absent::Frozen,
        ),
        // It vanishes at the end, in the middle, or was never there.
        (&[(0.0, 7), (1.0, 9_000_000), (2.0, -1)], Absent::Vanished),
        (
            &[(0.0, 7), (1.0, -1), (2.0, 9_000_000), (3.0, 12_000_000)],
            Absent::Vanished,
        ),
        (&[(0.0, -1), (1.0, -1)], Absent::Vanished),
        // Above its own range.
        (&[(0.0, 7), (1.0, RANGE_UJ as i64 + 1)], Absent::Vanished),
        // Too short to tell.
        (&[(0.0, 7), (0.19, 9_000_007)], Absent::WindowTooShort),
        (&[(0.0, 7)], Absent::WindowTooShort),
        (&[], Absent::WindowTooShort),
    ];
    rapl.iter()
        .for_each(|(readings, why)| check(RAPL, readings, *why));
    check(
        ENDLESS,
        &[(0.0, 5_000), (1.0, 4_000), (2.0, 9_000)],
        Absent::Reset,
    );
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
