//! Which sizes and budgets of a log are one cell.

use std::fs;

use effbench::record::store;
use serde_json::Value;

use crate::{effbench, err, out};

/// Arms of one size have slightly different numbers of parameters; they are one scale, and `gain` answers.
#[test]
fn sizes_that_are_nearly_equal_are_one_scale() {
    let folder = tempfile::tempdir().unwrap();
    let mut text = "variant,params,tokens,loss\n".to_owned();
    for (variant, more, worth) in [("gelu", 1.0, 1.0), ("swiglu", 1.02, 1.5)] {
        for params in [10e6, 40e6] {
            for tokens in [2e8, 4e8, 8e8] {
                let loss = 8.0 * f64::powf(worth * params * tokens, -0.03);
                text += &format!("{variant},{},{tokens},{loss}\n", more * params);
            }
        }
    }
    fs::write(folder.path().join("x.csv"), text).unwrap();
    let args = [
        "import", "x.csv", "--map", "run=@row", "--base", "gelu", "--out", "x.json",
    ];
    let output = effbench(folder.path(), &args);
    assert!(
        err(&output).contains(
            "sizes of two variants within 5% are one scale: swiglu 10200000 as n10000000"
        ),
        "{}",
        err(&output)
    );
    assert!(
        out(&output).contains("Next: effbench gain x.json\n"),
        "{}",
        out(&output)
    );
    let file = store::read_valid(&folder.path().join("x.json")).unwrap();
    let scales: Vec<&str> = file
        .trials
        .iter()
        .map(|trial| trial.scale.as_str())
        .collect();
    assert_eq!(
        scales,
        [
            "n10000000",
            "n10000000",
            "n10000000",
            "n40000000",
            "n40000000",
            "n40000000"
        ]
        .repeat(2)
    );
    let said = out(&effbench(folder.path(), &["gain", "x.json"]));
    assert!(said.contains("swiglu/n10000000"), "{said}");
}

/// One budget a size, as on a compute-optimal ray: the runs of a variant are one curve.
#[test]
fn a_compute_optimal_ladder_is_judged_without_a_flag() {
    let folder = tempfile::tempdir().unwrap();
    let mut text = "variant,params,tokens,step,loss\n".to_owned();
    for (variant, worth) in [("adam", 1.0), ("muon", 1.4)] {
        for params in [1e6_f64, 2e6, 4e6, 8e6] {
            let loss = 20.0 * (worth * params * params).powf(-0.05);
            text += &format!("{variant},{params},{},1000,{loss}\n", 20.0 * params);
        }
    }
    fs::write(folder.path().join("x.csv"), text).unwrap();
    let output = effbench(
        folder.path(),
        &["import", "x.csv", "--base", "adam", "--out", "x.json"],
    );
    assert!(
        err(&output).contains("each size has one budget of its own"),
        "{}",
        err(&output)
    );
    let file = store::read_valid(&folder.path().join("x.json")).unwrap();
    let cells: Vec<&str> = file
        .trials
        .iter()
        .take(2)
        .map(|trial| trial.cell.as_str())
        .collect();
    assert_eq!(cells, ["adam/ladder@120000", "adam/ladder@480000"]);
    let fitted = effbench(folder.path(), &["fit", "x.json"]);
    assert_eq!(fitted.status.code(), Some(0), "{}", err(&fitted));
    let said = out(&effbench(
        folder.path(),
        &["gain", "x.json", "--target", "4.5", "--format", "json"],
    ));
    let said: Value = serde_json::from_str(&said).unwrap();
    let gain = said["targets"][0]["variants"][0]["gains"]["model_flops"]["value"]
        .as_f64()
        .unwrap();
    assert!((gain - 1.4).abs() < 1e-6, "{gain}");
}

/// Budgets in FLOPs keep their differences, however small they are.
#[test]
fn small_budgets_in_flops_stay_apart() {
    for scale in [1e3, 1e7, 1e12, 1e20] {
        let folder = tempfile::tempdir().unwrap();
        let rows: String = [1.0, 1.1, 2.0]
            .map(|c| format!("a,{},{}\n", c * scale, 4.0 - 0.1 * c))
            .concat();
        fs::write(
            folder.path().join("x.csv"),
            format!("variant,flops,loss\n{rows}"),
        )
        .unwrap();
        effbench(
            folder.path(),
            &["import", "x.csv", "--map", "run=@row", "--out", "x.json"],
        );
        let file = store::read_valid(&folder.path().join("x.json")).unwrap();
        let mut budgets: Vec<Option<u64>> = file.trials.iter().map(|trial| trial.budget).collect();
        budgets.dedup();
        assert_eq!(
            (budgets.len(), file.run.repeats),
            (3, 1),
            "{scale}: {budgets:?}"
        );
        assert!(
            budgets.iter().all(|budget| budget.is_some_and(|b| b > 0)),
            "{budgets:?}"
        );
    }
}

/// The same losses once per byte and once per token stand beside each other in no command.
#[test]
fn losses_per_byte_and_per_token_share_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let table = |variant: &str, shift: f64| {
        let mut text = "step,seed,flops,loss\n".to_owned();
        for (k, seed) in (0..9).map(|k| (k / 3, k % 3)) {
            let loss = 3.0 - 0.2 * f64::from(k) + 0.01 * f64::from(seed) - shift;
            let step = 100 << k;
            text += &format!("{step},{seed},{step}e9,{loss}\n");
        }
        fs::write(here.join(format!("{variant}.csv")), text).unwrap();
    };
    table("old", 0.0);
    table("new", 0.1);
    for (name, unit) in [("old", "nats"), ("new", "bits-per-byte")] {
        let (csv, json) = (format!("{name}.csv"), format!("{name}.json"));
        let variant = format!("variant={name}");
        let args = ["import", &csv, "--unit", unit, "--let", &variant];
        let args = [&args[..], &["--map", "run=@row,budget=step"]].concat();
        let output = effbench(
            here,
            &[&args[..], &["--base", name, "--out", &json]].concat(),
        );
        assert!(output.status.success(), "{}", err(&output));
    }
    let files = ["old.json", "new.json"];
    let compared = effbench(here, &[&["compare"][..], &files].concat());
    assert!(!out(&compared).contains("nats lower"), "{}", out(&compared));
    let gain = effbench(here, &[&["gain"][..], &files, &["--base", "old"]].concat());
    assert!(!out(&gain).contains("times the compute"), "{}", out(&gain));
    let fit = effbench(here, &[&["fit"][..], &files, &["--law", "joint"]].concat());
    assert!(err(&fit).contains("per byte"), "{}", err(&fit));
    let report = out(&effbench(
        here,
        &[&["report"][..], &files, &["--full"]].concat(),
    ));
    assert!(report.contains("per byte"), "{report}");
}
