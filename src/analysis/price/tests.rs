//! Published bills, recomputed: each from its paper's own hours, watts and factors.

use super::*;
use crate::config::Library;
use crate::config::price::{Figure, Modelled};
use crate::record::example::example;
use crate::record::{Metric, ResultFile, Status, metric};

fn figure(value: f64) -> Figure {
    Figure {
        value,
        source: "a test".to_owned(),
        by_default: false,
    }
}

fn shipped() -> Price {
    Library::builtin().price("default").unwrap()
}

/// A rent per machine and hour, energy included, with a building and a grid.
fn rented(per_h: f64, pue: f64, gco2e_per_kwh: f64) -> Price {
    let hardware = Hardware::RentPerH(figure(per_h));
    Price {
        hardware,
        pue: figure(pue),
        gco2e_per_kwh: figure(gco2e_per_kwh),
        ..shipped()
    }
}

fn used(hours: f64, watts: f64) -> Usage {
    let seconds = hours * SECONDS_PER_HOUR;
    Usage {
        seconds: Amount::Measured { value: seconds },
        cores: Cores::Gpu,
        joules: Amount::Measured {
            value: watts * seconds,
        },
        metered: "measured".to_owned(),
        data: None,
    }
}

fn close(found: &Amount, expected: f64, relative: f64) {
    let value = found.value().unwrap();
    assert!(
        (value / expected - 1.0).abs() < relative,
        "{value} against {expected}"
    );
}

const TONNE: f64 = 1e6;
const MWH: f64 = 3.6e9;

/// LLaMA (Touvron et al. 2023, arXiv 2302.13971), table 15: 400 W x GPU hours x PUE 1.1, at 0.385 kgCO2e per kWh; the
/// last row is its estimate of OPT-175B. The paper prints whole numbers.
#[test]
fn the_bill_of_llama() {
    let price = rented(0.0, 1.1, 385.0);
    let rows = [
        (82_432.0, 36.3, 14.0),
        (135_168.0, 59.5, 22.9),
        (530_432.0, 233.4, 89.9),
        (1_022_362.0, 449.8, 173.2),
        (809_472.0, 356.2, 137.1),
    ];
    for (hours, mwh, tonnes) in rows {
        let usage = used(hours, 400.0);
        let found = [
            price.energy(&usage).total.scale(1.1 / MWH),
            price.carbon(&usage).total.scale(1.0 / TONNE),
        ];
        for (found, expected) in found.iter().zip([mwh, tonnes]) {
            assert!(
                (found.value().unwrap() - expected).abs() <= 0.06,
                "{found:?} against {expected}"
            );
        }
    }
}

/// BLOOM (Luccioni et al. 2022, arXiv 2211.02001): 433 MWh at 57 g, and for 1 082 990 GPU hours in servers of eight, 11.2
/// tonnes embodied: 2500 kg a server, 150 kg a GPU, six years, 85% used. GPT-3 (Patterson et al. 2021, arXiv 2104.10350):
/// 1287 MWh at 0.429 kg.
#[test]
fn the_bills_of_bloom_and_gpt3() {
    let dynamic = |mwh: f64, grams| {
        rented(0.0, 1.0, grams)
            .carbon(&used(1.0, mwh * 1e6))
            .total
            .scale(1.0 / TONNE)
    };
    close(&dynamic(433.0, 57.0), 24.7, 1e-3);
    close(&dynamic(1287.0, 429.0), 552.0, 1e-3);
    let per_gpu = 150.0 + 2500.0 / 8.0;
    let life = Some(Life {
        years: figure(6.0),
        utilisation: figure(0.85),
    });
    let price = Price {
        embodied_kgco2e: Some(figure(per_gpu)),
        life,
        ..rented(0.0, 1.0, 57.0)
    };
    let priced = price.carbon(&used(1_082_990.0, 433e6 / 1_082_990.0));
    assert_eq!(
        priced
            .parts
            .iter()
            .map(|part| part.what)
            .collect::<Vec<_>>(),
        ["energy", "embodied"]
    );
    close(&priced.parts[0].amount.scale(1.0 / TONNE), 24.7, 1e-3);
    close(&priced.parts[1].amount.scale(1.0 / TONNE), 11.2, 5e-3);
    close(&priced.total.scale(1.0 / TONNE), 24.7 + 11.2, 3e-3);
}

/// DeepSeek-V3 (arXiv 2412.19437), table 1: 2.788 million H800 hours at 2 dollars.
#[test]
fn the_bill_of_deepseek() {
    let priced = rented(2.0, 1.0, 0.0).money(&used(2.788e6, 700.0));
    close(&priced.total, 5.576e6, 1e-12);
    assert_eq!(priced.unit.show(priced.total.value().unwrap()), "5.6 M USD");
    assert_eq!(priced.parts.len(), 1, "a rent pays for the energy");
    assert_eq!(serde_json::to_value(&priced).unwrap()["unit"], "USD");
}

/// A bought machine loses its price over the hours it works, and its owner pays for the energy.
#[test]
fn what_is_bought_is_spread_over_its_life() {
    let life = Some(Life {
        years: figure(5.0),
        utilisation: figure(0.5),
    });
    let price = Price {
        hardware: Hardware::Bought(figure(4380.0)),
        rent_includes_energy: false,
        per_kwh: Some(figure(0.25)),
        life,
        ..rented(0.0, 1.2, 400.0)
    };
    let priced = price.money(&used(10.0, 500.0));
    close(&priced.parts[0].amount, 2.0, 1e-12);
    close(&priced.parts[1].amount, 5.0 * 1.2 * 0.25, 1e-12);
    close(&priced.total, 3.5, 1e-12);
    assert_eq!(
        priced.parts[0].how,
        "training hours x 4.4 k USD over 5 years at 0.5 utilisation"
    );
    assert_eq!(priced.parts[1].how, "measured x PUE 1.2 x 0.25 USD per kWh");
}

#[test]
fn without_a_meter_there_is_a_range_or_a_reason() {
    let file = example();
    let (trial, machine) = (&file.trials[0], &file.machines[0]);
    let hours = trial.metric(metric::TRAIN_WALL_S).unwrap() / SECONDS_PER_HOUR;
    let price = shipped();
    close(
        &price.money_of(trial, machine).total,
        hours * 2.0 * 0.0425,
        1e-12,
    );
    assert_eq!(
        price.carbon_of(trial, machine).total,
        Amount::absent("virtual_machine")
    );

    let modelled = Some(Modelled {
        idle_w: figure(50.0),
        max_w: figure(200.0),
    });
    let price = Price {
        modelled,
        rent_includes_energy: false,
        ..price
    };
    let energy = price.energy_of(trial, machine);
    let [low, high] = energy.total.bounds().unwrap();
    assert!(
        (low - 50.0 * 3600.0 * hours).abs() < 1e-9 && (high - 200.0 * 3600.0 * hours).abs() < 1e-9
    );
    assert_eq!(
        (energy.total.value(), energy.parts[0].how.as_str()),
        (None, "modelled: training seconds x 50 to 200 W")
    );
    // One modelled part makes the sum a range, whatever else was measured.
    let money = price.money_of(trial, machine);
    assert!(matches!(money.parts[0].amount, Amount::Measured { .. }));
    assert!(matches!(money.total, Amount::Modelled { low, high } if low < high));
}

#[test]
fn a_trials_joules_are_those_of_its_training() {
    let mut file = example();
    let machine = file.machines[0].clone();
    let trial = &mut file.trials[0];
    let channel = &mut trial.energy.channels[0];
    (channel.energy_j, channel.reason) = (Some(40.0), None);
    let mut unread = channel.clone();
    (unread.id, unread.energy_j, unread.reason) =
        ("gpu0".to_owned(), None, Some("no_permission".to_owned()));
    trial.energy.channels.push(unread);
    trial.energy.measured_j = Some(40.0);
    let energy = shipped().energy_of(trial, &machine);
    assert_eq!(energy.total, Amount::Measured { value: 40.0 });
    let how =
        "measured over the whole trial: cpu (rapl.powercap); not metered: gpu0 (no_permission)";
    assert_eq!(energy.parts[0].how, how);

    let name = metric::ENERGY_J_PER_TRAIN_TOKEN;
    trial
        .metrics
        .insert(name.to_owned(), Metric::value(name, 1e-4));
    let tokens = trial.cost.as_ref().unwrap().train_tokens as f64;
    close(
        &shipped().energy_of(trial, &machine).total,
        1e-4 * tokens,
        1e-12,
    );

    trial.status = Status::Diverged;
    assert_eq!(
        shipped().energy_of(trial, &machine).total,
        Amount::absent("the trial did not finish")
    );
    assert_eq!(
        shipped().money_of(trial, &machine).total,
        Amount::absent("the trial ended as diverged")
    );
}

#[test]
fn the_records_own_model_is_a_range_until_the_prices_have_watts() {
    let mut file = example();
    file.trials[0].energy.channels[0].bounds_j = Some([10.0, 30.0]);
    let modelled = Some(Modelled {
        idle_w: figure(50.0),
        max_w: figure(200.0),
    });
    let of = |price: &Price, file: &ResultFile| {
        price.energy_of(&file.trials[0], &file.machines[0]).total
    };
    let energy = |file: &ResultFile| of(&shipped(), file);
    assert_eq!(
        energy(&file),
        Amount::Modelled {
            low: 10.0,
            high: 30.0
        }
    );
    // Half of the channel's window was training.
    let train_s = file.trials[0].metric(metric::TRAIN_WALL_S).unwrap();
    file.trials[0].energy.channels[0].window_s = Some(2.0 * train_s);
    assert_eq!(
        energy(&file),
        Amount::Modelled {
            low: 5.0,
            high: 15.0
        }
    );
    let stated = of(
        &Price {
            modelled,
            ..shipped()
        },
        &file,
    )
    .bounds()
    .unwrap();
    assert!(
        (stated[0] / (50.0 * train_s) - 1.0).abs() < 1e-12,
        "{stated:?}"
    );
}

#[test]
fn a_rent_per_core_knows_the_trials_cores_and_no_gpu() {
    let mut file = example();
    let mut on = |device: &str, threads: u64| {
        file.trials[0].spec["compute"]["device"] = device.into();
        file.trials[0].spec["compute"]["threads"] = threads.into();
        Usage::of(&file.trials[0], &file.machines[0])
    };
    assert_eq!(
        (on("cpu", 0).cores, on("cpu", 1).cores),
        (Cores::Cpu(2), Cores::Cpu(1))
    );
    let gpu = on("cuda:0", 0);
    let Amount::Absent { reason } = shipped().money(&gpu).total else {
        panic!("a price from nothing")
    };
    assert!(reason.contains("give hardware.rent_per_h"), "{reason}");
    assert!(rented(2.0, 1.0, 0.0).money(&gpu).total.value().is_some());
}

/// Data are bought once, however often they are read and by however many trials.
#[test]
fn data_are_paid_for_once() {
    let mut file = example();
    let data = crate::config::price::Data {
        per_m_tokens: Some(figure(2.0)),
        per_label: Some(figure(0.5)),
    };
    let price = Price {
        data: Some(data),
        ..rented(0.0, 1.0, 0.0)
    };
    for (k, trial) in file.trials.iter_mut().enumerate() {
        let cost = trial.cost.as_mut().unwrap();
        (cost.train_tokens, cost.train_labels) = (1_000_000 + k as u64, Some(40));
    }
    let flag = crate::record::Flag {
        code: "repeated_data".to_owned(),
        severity: crate::record::Severity::Info,
        value: Some(4.0),
        limit: None,
    };
    let fresh = price.money_of(&file.trials[0], &file.machines[0]);
    close(&fresh.total, 2.0 + 20.0, 1e-12);
    file.trials[0].validity.flags.push(flag);
    let again = price.money_of(&file.trials[0], &file.machines[0]);
    close(&again.total, 0.5 + 5.0, 1e-12);
    let bill = price.bill(&file).money;
    let most = 1.0 + (file.trials.len() - 1) as f64 / 1e6;
    close(&bill.total, 2.0 * most + 20.0, 1e-12);
    let parts: Vec<&str> = bill.parts.iter().map(|part| part.what).collect();
    assert_eq!(parts, ["hardware", "data", "labels"]);
}
