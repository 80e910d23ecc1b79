//! Tests of `validate`.

use super::*;
use crate::reading::{Method, Phase, Quality};
use crate::record::example::{CELLS, example};
use crate::record::{Channel, Flag, PhaseEnergy, Stated};

#[test]
fn the_example_is_valid() {
    assert_eq!(validate(&example()), []);
}

type Spoil = fn(&mut ResultFile);

/// Where each is found, and how it is made.
const MISTAKES: [(&str, Spoil); 31] = [
    ("schema", |f| f.schema = "effbench.result/0".to_owned()),
    ("run.started_at", |f| {
        f.run.started_at = "yesterday".to_owned()
    }),
    ("run.finished_at", |f| {
        f.run.finished_at = Some("2026-11-21T10:00:00+01:00".to_owned())
    }),
    ("calibrations[0].machine", |f| f.calibrations[0].machine = 7),
    ("calibrations[0]", |f| {
        f.calibrations[0].stream_bytes_per_s = None
    }),
    ("build", |f| f.trials[0].build = 1),
    ("machine", |f| f.trials[0].machine = 1),
    ("id", |f| f.trials[0].id = f.trials[1].id.clone()),
    ("cell", |f| f.trials[0].cell = "gpt2\u{1b}[2J".to_owned()),
    ("", |f| f.trials[CELLS.len()].repeat = 0),
    ("", |f| f.trials[0].status = Status::Failed),
    ("spec_sha256", |f| {
        f.trials[0].spec["train"]["steps"] = 401.into()
    }),
    ("cost.train_flops_full_square", |f| {
        f.trials[0].cost.as_mut().unwrap().train_flops_full_square = Some(-1.0);
    }),
    ("curve.wall_s", |f| f.trials[0].curve.wall_s.truncate(1)),
    ("curve.step", |f| f.trials[0].curve.step.reverse()),
    ("curve.tokens", |f| f.trials[0].curve.tokens.clear()),
    ("stated", |f| f.trials[0].stated = Some(Stated::default())),
    ("metrics.mfu.unit", |f| {
        spoil_metric(f, |m| m.unit = "%".to_owned())
    }),
    ("metrics.mfu.better", |f| {
        spoil_metric(f, |m| m.better = crate::record::Better::Lower)
    }),
    ("metrics.mfu.kind", |f| {
        spoil_metric(f, |m| m.kind = crate::record::Kind::Exact)
    }),
    ("metrics.mfu", |f| spoil_metric(f, |m| m.value = None)),
    ("metrics", |f| {
        let loss = f.trials[0].metrics.get_mut("val_loss_nats").unwrap();
        loss.value = loss.value.map(|loss| loss - 0.1);
    }),
    ("metrics.mfu.value", |f| {
        spoil_metric(f, |m| m.value = Some(f64::NAN))
    }),
    ("metrics.mfu.n", |f| {
        spoil_metric(f, |m| (m.samples, m.n) = (vec![0.1, 0.2], Some(3)))
    }),
    ("metrics.speed", |f| {
        drop(
            f.trials[0]
                .metrics
                .insert("speed".into(), Metric::value(metric::MFU, 0.1)),
        )
    }),
    ("energy", |f| f.trials[0].energy.reason = None),
    ("energy.measured_j", |f| {
        let guess = Channel {
            id: "cpu".to_owned(),
            component: "cpu_package".to_owned(),
            method: Method::Modelled,
            source: "tdp_x_util".to_owned(),
            quality: Quality::Estimate,
            energy_j: Some(5.0),
            bounds_j: Some([2.0, 9.0]),
            window_s: Some(1.0),
            ..Channel::default()
        };
        f.trials[0].energy = Energy {
            channels: vec![guess],
            measured_j: Some(5.0),
            ..Energy::default()
        };
    }),
    ("energy.measured_j", |f| {
        let channel = |id: &str, overlaps: Option<&str>| Channel {
            id: id.to_owned(),
            method: Method::Counter,
            energy_j: Some(40.0),
            overlaps: overlaps.map(str::to_owned),
            ..Channel::default()
        };
        let channels = vec![
            channel("package-0", None),
            channel("psys", Some("package-0")),
        ];
        f.trials[0].energy = Energy {
            channels,
            measured_j: Some(80.0),
            ..Energy::default()
        };
    }),
    ("energy.channels[0].bounds_j", |f| {
        f.trials[0].energy.channels[0].bounds_j = Some([9.0, 2.0])
    }),
    ("energy.channels[0].phases[0]", |f| {
        let phase = PhaseEnergy {
            phase: Phase::Train,
            energy_j: None,
            window_s: 1.0,
            reason: None,
        };
        f.trials[0].energy.channels[0].phases.push(phase);
    }),
    ("validity.ok", |f| {
        let flag = Flag {
            code: "cpu_steal".to_owned(),
            severity: Severity::Invalid,
            value: Some(0.3),
            limit: Some(0.05),
        };
        f.trials[0].validity.flags.push(flag);
    }),
];

/// Each mistake is found at its place, and nothing else is.
#[test]
fn every_mistake_is_found() {
    for (place, spoil) in MISTAKES {
        let mut file = example();
        spoil(&mut file);
        let problems = validate(&file);
        assert_eq!(problems.len(), 1, "{place}: {problems:?}");
        assert!(problems[0].place.ends_with(place), "{place}: {problems:?}");
    }
}

fn spoil_metric(file: &mut ResultFile, spoil: impl Fn(&mut Metric)) {
    spoil(file.trials[0].metrics.get_mut(metric::MFU).unwrap());
}
