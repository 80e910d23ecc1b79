//! A whole trial beside a meter: joules by phase and by token, and a wattmeter's log from the spec to the record.

use serde_json::{Value, json};

use super::{job, prepared};
use crate::config::{Library, Named, Origin, Tree};
use crate::measure::energy::meter::{About, Found, Law, Meter, MeterKind, Place, Value as Reading};
use crate::measure::{Clock, Monotonic, clock};
use crate::reading::{Absent, Method, Phase, Quality};
use crate::trial::refusal::refuse_no_meter;
use crate::trial::{Registry, run, settle};

/// A processor that takes 50 W whatever it does, as counters of microjoules on a clock of their own.
struct FiftyWatts;

impl Named for FiftyWatts {
    fn name(&self) -> &'static str {
        "fifty_watts"
    }

    fn about(&self) -> &'static str {
        "a counter that runs with the clock"
    }
}

impl MeterKind for FiftyWatts {
    fn find(&self, _place: &Place) -> Vec<Found> {
        let about = About {
            id: "package-0".to_owned(),
            component: "cpu_package",
            source: "fifty_watts",
            quality: Quality::Sensor,
            scope: "a test".to_owned(),
            overlaps: None,
            law: Law::Counter {
                per_joule: 1e6,
                wraps_at: None,
            },
            update_s: 1e-4,
            resolution_j: Some(1e-6),
            least_s: 1e-3,
        };
        vec![Found::Open(Box::new(Running(about, Monotonic::start())))]
    }
}

struct Running(About, Monotonic);

impl Meter for Running {
    fn about(&self) -> &About {
        &self.0
    }

    fn read(&mut self) -> Result<Reading, Absent> {
        Ok(Reading::Count((self.1.now_s() * 50e6) as u64))
    }
}

#[test]
fn a_meter_gives_joules_by_phase_and_by_token() {
    let sets = json!({
        "model": {"layers": 1, "width": 16, "heads": 2, "context": 16},
        "train": {"batch": 4, "steps": 20},
        "data": {"kind": "markov", "states": 5},
        "measure": {"val_points": 2, "curve_points": 4, "window_s": 0.01},
    });
    let prepared = prepared("gpt2", sets);
    let registry = Registry::builtin().meter(FiftyWatts);
    let trial = run(&registry, &job(&prepared), &mut |_| {}).unwrap();
    assert!(crate::record::validate::validate_trial(&trial).is_empty());
    let value = |name: &str| {
        trial.metrics[name]
            .value
            .unwrap_or_else(|| panic!("{name}: {:?}", trial.metrics[name]))
    };
    let channel = trial
        .energy
        .channels
        .iter()
        .find(|channel| channel.id == "package-0")
        .unwrap();
    let near = |a: f64, b: f64| (a / b - 1.0).abs() < 0.05;
    assert!(
        near(
            trial.energy.measured_j.unwrap(),
            50.0 * channel.window_s.unwrap()
        ),
        "{channel:?}"
    );
    assert!(
        trial
            .energy
            .channels
            .iter()
            .all(|channel| channel.method != Method::Modelled),
        "the processor is measured"
    );
    let phases: Vec<Phase> = channel.phases.iter().map(|part| part.phase).collect();
    let all = [
        Phase::Train,
        Phase::Evaluate,
        Phase::Prefill,
        Phase::Generate,
    ];
    assert_eq!(phases, all);
    let train = &channel.phases[0];
    assert!(near(train.energy_j.unwrap(), 50.0 * train.window_s));
    let trained = 20.0 * 4.0 * 16.0;
    assert!(
        (value("energy_j_per_train_token") / (train.energy_j.unwrap() / trained) - 1.0).abs()
            < 1e-9
    );
    assert!(value("energy_j_per_prefill_token") > 0.0 && value("energy_j_per_decode_token") > 0.0);
    let column = trial.curve.energy_j.as_ref().unwrap();
    assert!(
        column.windows(2).all(|pair| pair[0] < pair[1]) && column.len() == trial.curve.step.len()
    );
    assert!(
        near(*column.last().unwrap(), train.energy_j.unwrap()),
        "{column:?}"
    );
    // The poll: one reading a second.
    assert!(trial.energy.poller_cpu_s.unwrap() < 0.01 * channel.window_s.unwrap().max(1.0));
}

#[test]
fn a_wattmeters_log_is_integrated_and_its_folder_stays_out_of_the_record() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("watts.csv");
    // Its clock is an hour ahead; a sample every 20 ms, from a while before the trial to a while after it.
    let now_s = clock::unix_s() + 3600.0;
    let lines: String = (-500..15_000)
        .map(|k| format!("{:.3},80\n", now_s + f64::from(k) * 0.02))
        .collect();
    std::fs::write(&path, format!("t_utc,w\n{lines}")).unwrap();
    let sets = json!({
        "model": {"layers": 1, "width": 16, "heads": 2, "context": 16},
        "train": {"batch": 4, "steps": 60},
        "data": {"kind": "markov", "states": 5},
        "measure": {"window_s": 0.3, "external_meter": path, "external_meter_offset_s": 3600},
    });
    let prepared = prepared("gpt2", sets);
    assert_eq!(prepared.spec["measure"]["external_meter"], "watts.csv");
    assert_eq!(prepared.paths["measure.external_meter"], path);
    let trial = run(&Registry::builtin(), &job(&prepared), &mut |_| {}).unwrap();
    let channel = trial
        .energy
        .channels
        .iter()
        .find(|channel| channel.component == "machine")
        .unwrap();
    assert_eq!(channel.method, Method::Sampled, "{channel:?}");
    assert_eq!(channel.source, "external_meter");
    assert!((channel.energy_j.unwrap() / (80.0 * channel.window_s.unwrap()) - 1.0).abs() < 1e-6);
    assert_eq!(trial.energy.measured_j, channel.energy_j);
    let text = serde_json::to_string(&trial).unwrap();
    assert!(!text.contains(folder.path().to_str().unwrap()));
}

#[test]
fn a_wattmeters_log_that_is_none_is_refused_before_anything_runs() {
    let refused = |measure: Value| {
        let mut tree = Library::builtin().variant("gpt2").unwrap().tree;
        tree.overlay(
            &Tree::from_json(&json!({ "measure": measure }), &Origin::named("test")).unwrap(),
        );
        settle(&Registry::builtin(), &tree)
            .and_then(|prepared| refuse_no_meter(&prepared.experiment))
            .expect_err("a refusal")
            .to_string()
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.csv");
    assert!(refused(json!({"external_meter": path})).contains("log.csv cannot be read"));
    std::fs::write(&path, "time,power\n").unwrap();
    assert!(
        refused(json!({"external_meter": path}))
            .contains("its first line names the columns: t_utc,w")
    );
    assert!(
        refused(json!({"external_meter_offset_s": 3}))
            .contains("there is no measure.external_meter")
    );
}

/// What reading meters costs a step: trials with a meter and without, in turn.
#[test]
#[ignore = "measures for minutes: cargo test --release the_poll_costs -- --ignored --nocapture"]
fn the_poll_costs_less_than_a_percent_of_a_step() {
    let sets = json!({
        "model": {"layers": 2, "width": 32, "heads": 2, "context": 32},
        "train": {"batch": 8, "steps": 800},
        "data": {"kind": "markov", "states": 7},
    });
    let prepared = prepared("gpt2", sets);
    let step_s = |registry: &Registry| {
        let trial = run(registry, &job(&prepared), &mut |_| {}).unwrap();
        trial.metrics["train_step_s"].value.unwrap()
    };
    let (with, without) = (Registry::builtin().meter(FiftyWatts), Registry::builtin());
    let pair = |round: usize| {
        let (first, second) = if round.is_multiple_of(2) {
            (&with, &without)
        } else {
            (&without, &with)
        };
        let (a, b) = (step_s(first), step_s(second));
        if round.is_multiple_of(2) {
            a / b
        } else {
            b / a
        }
    };
    let mut ratios: Vec<f64> = (0..8).map(pair).collect();
    ratios.sort_by(f64::total_cmp);
    let median = (ratios[3] + ratios[4]) / 2.0;
    assert!(
        (median - 1.0).abs() < 0.01,
        "with a meter over without, eight pairs: {ratios:.4?}, median {median:.4}"
    );
}
