//! GPUs of every kind, looked at a few times.

use std::sync::Arc;

use super::super::Process;
use super::super::fake::{Answers, Fake};
use super::*;

const OWN: u32 = 9;

/// Looks so often at a GPU, without a thread.
fn seen(gpu: &Fake, own: Option<u32>, looks: usize) -> Seen {
    let mut state = State::new(Arc::new(gpu.clone()), own);
    (0..looks).for_each(|_| state.look());
    state.seen()
}

fn told(seen: &Seen) -> Vec<(&'static str, f64, bool)> {
    let rounded = |value: f64| (1e6 * value).round() / 1e6;
    let above = seen
        .disturbances()
        .into_iter()
        .filter(|found| found.value > found.limit);
    above
        .map(|found| (found.code, rounded(found.value), found.is_note))
        .collect()
}

fn alone() -> Fake {
    Fake::default().with(&[OWN])
}

#[test]
fn what_holds_a_gpu_down_is_told_by_name() {
    let check = |held: &[Held], expected: &[(&'static str, f64, bool)]| {
        let gpu = Fake {
            held_down_by: Answers::of(held.iter().map(|now| Ok(*now))),
            ..alone()
        };
        assert_eq!(
            told(&seen(&gpu, Some(OWN), held.len())),
            expected,
            "{held:?}"
        );
    };
    let calm = Held::empty();
    check(&[calm; 4], &[]);
    check(
        &[calm, calm, calm, Held::SW_THERMAL_SLOWDOWN],
        &[("gpu_thermal_slowdown", 0.25, false)],
    );
    check(
        &[calm, Held::HW_THERMAL_SLOWDOWN],
        &[("gpu_thermal_slowdown", 0.5, false)],
    );
    let both = Held::HW_SLOWDOWN | Held::HW_POWER_BRAKE_SLOWDOWN;
    check(
        &[calm, both],
        &[
            ("gpu_hardware_slowdown", 0.5, false),
            ("gpu_power_brake", 0.5, false),
        ],
    );
    // At its power limit now and then, or all the time: the machine's own way.
    let mut now_and_then = [calm; 20];
    now_and_then[3] = Held::SW_POWER_CAP;
    check(&now_and_then, &[]);
    check(&[Held::SW_POWER_CAP; 4], &[("gpu_power_capped", 1.0, true)]);
    check(
        &[Held::APPLICATIONS_CLOCKS_SETTING; 4],
        &[("gpu_clocks_set", 1.0, true)],
    );
}

#[test]
fn a_clock_is_held_against_its_own_start_under_load() {
    let check = |clocks: &[u32], idle: usize, expected: &[(&'static str, f64, bool)]| {
        let (waits, works) = (vec![Ok(Held::GPU_IDLE); idle], [Ok(Held::empty())]);
        let clock_mhz = Answers::of(clocks.iter().map(|now| Ok(*now)));
        let gpu = Fake {
            clock_mhz,
            held_down_by: Answers::of(waits.into_iter().chain(works)),
            ..alone()
        };
        let seen = seen(&gpu, Some(OWN), idle + clocks.len());
        assert_eq!(told(&seen), expected, "{clocks:?}");
        seen
    };
    let steady = check(&[1980, 1975, 1980, 1965], 0, &[]);
    let range = Range {
        start: 1980.0,
        median: 1977.5,
        lowest: 1965.0,
        highest: 1980.0,
    };
    assert_eq!((steady.looks, steady.clock_mhz), (4, Ok(range)));
    check(
        &[1980, 1485, 1485, 1485],
        0,
        &[("gpu_clock_drift", 0.25, false)],
    );
    // While it waits it is not asked for its clock: what it had then is no start.
    let waited = check(&[1980, 1980], 3, &[]);
    assert_eq!((waited.looks, waited.clock_mhz.unwrap().start), (5, 1980.0));
    let never = Fake {
        held_down_by: Answers::always(Ok(Held::GPU_IDLE)),
        ..alone()
    };
    assert_eq!(
        seen(&never, Some(OWN), 3).clock_mhz,
        Err(Absent::WindowTooShort)
    );
}

#[test]
fn others_on_a_gpu_are_counted_and_its_own_process_is_not() {
    let process = |id, gibibytes: u64| Process {
        id,
        memory_bytes: Some(gibibytes << 30),
    };
    let lists = [
        vec![process(OWN, 3)],
        vec![process(7, 20), process(OWN, 5), process(8, 1)],
        vec![process(OWN, 4)],
    ];
    let gpu = Fake {
        processes: Answers::of(lists.map(Ok)),
        ..Fake::default()
    };
    let busy = seen(&gpu, Some(OWN), 3);
    assert_eq!((busy.foreign, busy.memory_bytes), (Ok(2), Ok(5 << 30)));
    assert_eq!(told(&busy), [("gpu_foreign_processes", 2.0, false)]);
    let calm = seen(&alone(), Some(OWN), 3);
    assert_eq!(
        (calm.foreign, calm.memory_bytes, told(&calm)),
        (Ok(0), Ok(1 << 30), vec![])
    );

    // A driver that hides processes, or does not say how much they hold.
    let hidden = seen(&Fake::default(), None, 2);
    assert_eq!(
        (hidden.foreign, hidden.memory_bytes),
        (Err(Absent::ProcessesHidden), Err(Absent::ProcessesHidden))
    );
    let silent = vec![Process {
        id: OWN,
        memory_bytes: None,
    }];
    let silent = seen(
        &Fake {
            processes: Answers::always(Ok(silent)),
            ..Fake::default()
        },
        Some(OWN),
        2,
    );
    assert_eq!(
        (silent.foreign, silent.memory_bytes),
        (Ok(0), Err(Absent::NoSensor))
    );
}

#[test]
fn what_cannot_be_read_is_absent_with_its_reason() {
    // It fell off the bus between two looks.
    let lost = |first: u32| Answers::of([Ok(first), Err(Absent::Vanished)]);
    let vanished = Fake {
        clock_mhz: lost(1980),
        temperature_c: lost(50),
        held_down_by: Answers::of([Ok(Held::SW_THERMAL_SLOWDOWN), Err(Absent::Vanished)]),
        processes: Answers::of([
            Ok(vec![Process {
                id: OWN,
                memory_bytes: Some(1),
            }]),
            Err(Absent::Vanished),
        ]),
        ..Fake::default()
    };
    let refused = Fake {
        clock_mhz: Answers::always(Err(Absent::NoPermission)),
        temperature_c: Answers::always(Err(Absent::NoPermission)),
        held_down_by: Answers::always(Err(Absent::NoPermission)),
        processes: Answers::always(Err(Absent::NoPermission)),
        ..Fake::default()
    };
    for (gpu, absent) in [
        (vanished, Absent::Vanished),
        (refused, Absent::NoPermission),
    ] {
        let seen = seen(&gpu, Some(OWN), 3);
        assert_eq!(
            (seen.clock_mhz, seen.temperature_c),
            (Err(absent), Err(absent))
        );
        assert_eq!(
            (seen.held_down.clone(), seen.foreign, seen.memory_bytes),
            (Err(absent), Err(absent), Err(absent))
        );
        assert!(told(&seen).is_empty());
    }
    let none = seen(&alone(), Some(OWN), 0);
    assert_eq!(
        (none.looks, none.temperature_c, none.foreign),
        (0, Err(Absent::WindowTooShort), Err(Absent::WindowTooShort))
    );
}

#[test]
fn a_split_gpu_is_noted() {
    let facts = Facts {
        mig: Some(true),
        ecc: Some(true),
        ..Facts::default()
    };
    assert_eq!(
        told(&seen(&Fake { facts, ..alone() }, Some(OWN), 1)),
        [("gpu_split", 1.0, true)]
    );
    let facts = Facts {
        mig: Some(false),
        ..Facts::default()
    };
    assert!(told(&seen(&Fake { facts, ..alone() }, Some(OWN), 1)).is_empty());
}

#[test]
fn the_thread_looks_by_itself_and_its_time_is_known() {
    let watch = Watch::start(Arc::new(alone()), Some(OWN), Duration::from_millis(5));
    std::thread::sleep(Duration::from_millis(200));
    let seen = watch.end();
    assert!(
        seen.looks > 5 && seen.poller_cpu_s.unwrap() < 0.1,
        "{seen:?}"
    );
    // A trial shorter than the first look still has the last.
    assert_eq!(
        Watch::start(Arc::new(alone()), Some(OWN), EVERY)
            .end()
            .looks,
        1
    );
}
