//! Fake GPUs read as meters.

use super::*;
use crate::measure::energy::account::Account;
use crate::measure::energy::channels::{measured, relate};
use crate::measure::gpu::Facts;
use crate::measure::gpu::fake::{Answers, Fake};
use crate::reading::{Channel, Energy};

fn gpu(energy_mj: Result<u64, Absent>, power_mw: Result<u64, Absent>, process: u32) -> Fake {
    Fake {
        energy_mj: Answers::always(energy_mj),
        power_mw: Answers::always(power_mw),
        ..Fake::default()
    }
    .with(&[process])
}

/// Reads a GPU once a second while its counter runs through `energies`, and makes channels of it.
fn story(power_mw: Result<u64, Absent>, energies: &[Result<u64, Absent>]) -> Vec<Channel> {
    // It is asked once while it is found, and then once a second.
    let answers = [energies[0]].into_iter().chain(energies.iter().copied());
    let fake = Fake {
        energy_mj: Answers::of(answers),
        ..gpu(energies[0], power_mw, 1)
    };
    let mut open: Vec<(Box<dyn Meter>, Account)> =
        meters(0, &(Arc::new(fake) as Arc<dyn GpuSensors>))
            .into_iter()
            .filter_map(|found| match found {
                Found::Open(meter) => {
                    let about = meter.about();
                    let account = Account::new(about.law, about.update_s, about.least_s);
                    Some((meter, account))
                }
                Found::Missing(_) => None,
            })
            .collect();
    for second in 0..energies.len() {
        open.iter_mut()
            .for_each(|(meter, account)| account.read(second as f64, meter.read()));
    }
    let mut channels: Vec<Channel> = open
        .iter()
        .map(|(meter, account)| measured(meter.about(), account))
        .collect();
    relate(&mut channels);
    channels
}

/// 300 J a second, from 5 kJ on, for so many seconds.
fn steady(seconds: u64) -> Vec<Result<u64, Absent>> {
    (0..=seconds)
        .map(|second| Ok(5_000_000 + 300_000 * second))
        .collect()
}

#[test]
fn a_board_gives_exact_joules_or_the_exact_reason() {
    type Row = (&'static str, Result<f64, Absent>, Option<String>);
    let check = |power, energies: &[Result<u64, Absent>], rows: &[Row]| {
        let channels = story(power, energies);
        let found: Vec<_> = channels
            .iter()
            .map(|c| (c.id.as_str(), c.energy_j, c.overlaps.clone()))
            .collect();
        assert_eq!(found, rows);
    };
    let over = Some("gpu0".to_owned());
    let power = ("gpu0-power", Ok(3600.0), over.clone());
    check(
        Ok(300_000),
        &steady(12),
        &[("gpu0", Ok(3600.0), None), power.clone()],
    );
    // Too few updates; and between five and ten seconds only the counter tells anything.
    let short = Err(Absent::WindowTooShort);
    check(
        Ok(300_000),
        &steady(4),
        &[("gpu0", short, None), ("gpu0-power", short, over.clone())],
    );
    check(
        Ok(300_000),
        &steady(6),
        &[
            ("gpu0", Ok(1800.0), None),
            ("gpu0-power", short, over.clone()),
        ],
    );
    // The driver was loaded again.
    let mut reset = steady(12);
    reset[7..]
        .iter_mut()
        .enumerate()
        .for_each(|(k, energy)| *energy = Ok(300_000 * k as u64));
    check(
        Ok(300_000),
        &reset,
        &[("gpu0", Err(Absent::Reset), None), power.clone()],
    );
    // It fell off the bus.
    let mut lost = steady(12);
    lost[9] = Err(Absent::NoSensor);
    check(
        Ok(300_000),
        &lost,
        &[("gpu0", Err(Absent::Vanished), None), power.clone()],
    );
    // It stands still.
    check(
        Ok(300_000),
        &vec![Ok(5_000_000); 13],
        &[("gpu0", Err(Absent::Frozen), None), power],
    );
    // Before Volta there is no counter, and before that no power.
    let none = vec![Err(Absent::NoSensor); 13];
    check(Ok(300_000), &none, &[("gpu0", Ok(3600.0), None)]);
    check(Err(Absent::NoSensor), &none, &[]);
    check(
        Err(Absent::NoSensor),
        &steady(12),
        &[("gpu0", Ok(3600.0), None)],
    );
}

#[test]
fn counter_and_integral_that_disagree_are_flagged() {
    let check = |milliwatts, ratio: f64, differs| {
        let counter = &story(Ok(milliwatts), &steady(12))[0];
        assert!(
            (counter.check_ratio.unwrap() - ratio).abs() < 1e-12 && counter.differs() == differs,
            "{counter:?}"
        );
    };
    check(300_000, 1.0, None);
    check(288_000, 3600.0 / 3456.0, None);
    // 3600 J against 2400 J, which is a third of the larger.
    check(200_000, 1.5, Some(0.5));
    // Nothing to check against.
    assert_eq!(
        story(Err(Absent::NoSensor), &steady(12))[0].check_ratio,
        None
    );
    let energy = Energy {
        channels: story(Ok(200_000), &steady(12)),
        poller_cpu_s: None,
    };
    assert_eq!(energy.measured_j(), Ok(3600.0));
}

#[test]
fn the_gpu_in_use_is_the_one_that_lists_the_process() {
    let ids = |gpus: &[Fake], process| -> Vec<String> {
        let gpus: Vec<Arc<dyn GpuSensors>> = gpus
            .iter()
            .map(|gpu| Arc::new(gpu.clone()) as Arc<dyn GpuSensors>)
            .collect();
        let own = Own {
            process,
            ..Own::default()
        };
        let id = |found: Found| match found {
            Found::Open(meter) => meter.about().id.clone(),
            Found::Missing(missing) => missing.absent.code().to_owned(),
        };
        in_use(&gpus, &own).into_iter().map(id).collect()
    };
    let plain = |process| gpu(Ok(1), Err(Absent::NoSensor), process);
    assert_eq!(ids(&[plain(7)], 9), ["gpu0"]);
    assert_eq!(ids(&[plain(7), plain(9)], 9), ["gpu1"]);
    assert_eq!(ids(&[plain(7), plain(8)], 9), ["gpu_not_identified"]);
    assert_eq!(ids(&[plain(9), plain(9)], 9), ["gpu_not_identified"]);
    assert!(ids(&[], 9).is_empty());
    assert_eq!(
        ids(
            &[gpu(Err(Absent::NoPermission), Err(Absent::NoPermission), 9)],
            9
        ),
        ["no_permission"]
    );
}

#[test]
fn a_split_gpu_says_so() {
    let facts = Facts {
        mig: Some(true),
        ..Facts::default()
    };
    let fake = Fake {
        facts,
        ..Fake::default()
    };
    for found in meters(0, &(Arc::new(fake) as Arc<dyn GpuSensors>)) {
        let Found::Open(meter) = found else {
            panic!("it does not open")
        };
        assert_eq!(
            meter.about().scope,
            "the whole GPU, every process on it, all of its MIG instances together"
        );
    }
}
