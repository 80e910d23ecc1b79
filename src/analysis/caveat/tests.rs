//! Reasons for doubt, each brought up.

use crate::analysis::answer;
use crate::record::example::{example, study};
use crate::record::{Flag, RateSource, ResultFile, Severity, Stated, metric};

fn codes(file: &ResultFile) -> Vec<&'static str> {
    answer(file)
        .unwrap()
        .caveats
        .iter()
        .map(|caveat| caveat.code)
        .collect()
}

type Change = fn(&mut ResultFile);

/// A reason for doubt, and what brings it up.
const DOUBTS: [(&str, Change); 13] = [
    ("calibration_drift", |f| {
        f.calibrations[1].gemm_f32_flops_per_s = Some(1.2e11)
    }),
    ("incomplete_repeats", |f| f.run.repeats = 5),
    ("few_repeats", |f| {
        (f.run.repeats, _) = (2, f.trials.retain(|t| t.repeat < 2))
    }),
    ("few_budgets", |f| {
        f.trials
            .retain(|t| t.variant == "modern" || t.budget != Some(1600))
    }),
    ("learning_rate", |f| {
        f.trials[0].lr_source = RateSource::Untuned
    }),
    ("learning_rate", |f| {
        let base = f.trials.iter_mut().filter(|t| t.variant == "gpt2");
        base.for_each(|t| t.lr_source = RateSource::Set);
    }),
    ("learning_rate", |f| {
        f.trials[0].lr_source = RateSource::of_words("tuned: x.json (at its grid's edge)")
    }),
    ("data_differ", |f| {
        f.trials[0].spec["data"]["vocab"] = 256.into()
    }),
    ("embedding_share", |f| {
        f.trials[0].cost.as_mut().unwrap().embedding_share = 0.31
    }),
    ("invalid_trials", |f| {
        let flag = Flag {
            code: "cpu_steal".to_owned(),
            severity: Severity::Invalid,
            value: None,
            limit: None,
        };
        f.trials[0].validity.flags.push(flag);
        f.trials[0].validity.ok = false;
    }),
    ("unknown_tokens", |f| {
        let flag = Flag {
            code: "unknown_tokens".to_owned(),
            severity: Severity::Warn,
            value: Some(0.2),
            limit: Some(0.01),
        };
        f.trials[0].validity.flags.push(flag);
    }),
    ("imported", |f| {
        f.trials[0].stated = Some(Stated {
            train_flops: f.trials[0].train_flops(),
            ..Stated::default()
        });
        f.trials[0].cost = None;
    }),
    ("axes_disagree", |f| {
        for trial in f.trials.iter_mut().filter(|t| t.variant == "modern") {
            let wall = trial.metrics.get_mut(metric::TRAIN_WALL_S).unwrap();
            wall.value = wall.value.map(|s| 3.0 * s);
        }
    }),
];

#[test]
fn each_reason_for_doubt_is_found() {
    assert_eq!(
        codes(&example()),
        ["shared_error_assumed", "synthetic_data"]
    );
    // What a file is called says nothing of its rates.
    let mut named = example();
    named
        .trials
        .iter_mut()
        .for_each(|t| t.lr_source = RateSource::of_words("tuned: knowl-edge.json"));
    assert_eq!(codes(&named), ["shared_error_assumed", "synthetic_data"]);
    for (code, change) in DOUBTS {
        let mut file = example();
        change(&mut file);
        assert!(codes(&file).contains(&code), "{code}: {:?}", codes(&file));
    }
}

/// What is done already is no remedy, and another text for all is none where two kinds of data are the point.
#[test]
fn a_remedy_is_one_that_is_not_done() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/results/reuse-epyc-19h-1c-linux.json"
    );
    let file = crate::record::store::read_valid(std::path::Path::new(path)).unwrap();
    let studies = crate::analysis::study::studies(&file, None, None, None).unwrap();
    let caveats: Vec<_> = studies
        .iter()
        .flat_map(|study| &study.answers)
        .filter(|answer| answer.variant != "gpt2:first")
        .flat_map(|answer| &answer.caveats)
        .collect();
    assert!(caveats.iter().any(|caveat| caveat.code == "cell_scatter"));
    for caveat in caveats {
        let done = ["rates from one surface", "--data FILE"];
        let advised = done.iter().any(|done| caveat.remedy.starts_with(done));
        assert!(!advised, "{caveat:?}");
    }
}

#[test]
fn text_needs_no_caveat_for_its_data() {
    let mut file = study(4, |variant, steps, _| {
        Some(1.0 / steps as f64 - if variant == "modern" { 1e-4 } else { 0.0 })
    });
    file.run.data = "tinyshakespeare".to_owned();
    file.trials
        .iter_mut()
        .for_each(|trial| trial.spec = serde_json::json!({"data": {"kind": "text"}}));
    assert!(!codes(&file).contains(&"synthetic_data"));
}
