//! A table of anybody's runs: names, units, filters, predictions, and what no law can answer.

use std::path::Path;

use serde_json::Value;

use crate::{csv, effbench, json, out};

const UNITS: [&str; 4] = ["--unit", "params=1e9", "--unit", "tokens=1e9"];

/// The table and what its columns are.
fn columns(path: &Path) -> [&str; 8] {
    let path = path.to_str().unwrap();
    let [params, tokens, loss] = ["params=Model (B)", "tokens=Tokens (B)", "loss=val loss"];
    [
        "--csv", path, "--map", params, "--map", tokens, "--map", loss,
    ]
}

/// Runs of a law in parameters and tokens, in billions, with odd names, an empty figure and 0.5% of luck.
fn in_billions() -> String {
    let mut text = "who;Model (B);Tokens (B);val loss;note\n".to_owned();
    let luck = [0.004, -0.006, 0.003, 0.001, -0.004, 0.005, -0.002, -0.001];
    let mut k = 0;
    for params in [0.01, 0.04, 0.16, 0.64, 2.56] {
        for ratio in [5.0, 20.0, 80.0, 320.0] {
            let (n, d): (f64, f64) = (params * 1e9, ratio * params * 1e9);
            let loss = 1.5 + 114.0 * n.powf(-0.2425) + 152.5 * d.powf(-0.2425) + luck[k % 8];
            text += &format!("me;{params};{};{loss};\"a; b\"\n", ratio * params);
            k += 1;
        }
    }
    text + "me;0.01;;3.1;lost\n"
}

#[test]
fn a_table_of_anybodys_runs_is_fitted_filtered_and_predicted() {
    let (_folder, path) = csv(&in_billions());
    let law = ["--law", "over-training", "--bootstrap", "50"];
    let table = [&columns(&path)[..], &law].concat();
    let unitless = json(&table);
    let notes = unitless["fit"]["notes"].to_string();
    assert!(
        notes.contains("`Model (B)` are multiplied by 1e9, as its name says")
            && notes.contains("`--unit tokens=1` takes them as they are")
            && notes.contains("1 row left out for want of a figure (line 22)"),
        "{notes}"
    );
    let asked = [
        "--where",
        "tokens/params<=80 and params<1e9",
        "--predict",
        "2.56e9,5.12e10",
        "--predict",
        "1e20",
        "--inference-tokens",
        "1e12",
        "--target-loss",
        "2.9",
    ];
    let found = json(&[&table[..], &UNITS, &asked].concat());
    let shape = &found["fit"]["shapes"][0];
    let missed = &found["fit"]["held_out"][0];
    assert_eq!((&shape["n"], &missed["n"]), (&12.into(), &8.into()));
    assert!(missed["rms_error_nats"].as_f64().unwrap() < 0.1, "{missed}");
    let alpha = &shape["parameters"][3];
    let (low, high) = (
        alpha["interval"]["low"].as_f64().unwrap(),
        alpha["interval"]["high"].as_f64().unwrap(),
    );
    assert!(
        low < 0.2425 && high > 0.2425 && alpha["name"] == "alpha",
        "{alpha}"
    );
    let [run, best] = &found["fit"]["predictions"].as_array().unwrap()[..] else {
        panic!("two were asked for")
    };
    let truth = 1.5 + 114.0 * 2.56e9f64.powf(-0.2425) + 152.5 * 5.12e10f64.powf(-0.2425);
    let interval =
        |found: &Value, name: &str| ["low", "high"].map(|end| found[name][end].as_f64().unwrap());
    let (law, one) = (interval(run, "law_interval"), interval(run, "run_interval"));
    assert!(
        one[0] < truth && truth < one[1] && one[0] < law[0] && law[1] < one[1],
        "{run}"
    );
    assert_eq!(run["extrapolated"][0]["what"], "N");
    assert!(
        best["best_split"] == true && best["params"].as_f64().unwrap() > 0.0,
        "{best}"
    );
    let life = &found["fit"]["lifetimes"][0];
    assert!(
        life["params_factor"].as_f64().unwrap() < 1.0
            && life["total_factor"].as_f64().unwrap() < 1.0,
        "{life}"
    );
    let text = out(&[&table[..], &UNITS, &asked].concat());
    let first = text.lines().next().unwrap();
    assert!(
        first.contains("The runs that it did not see are missed by")
            && text.contains("for one run; extrapolated: N 4.000 times the largest fitted"),
        "{text}"
    );
}

/// What a name says and what `--unit` says are one: neither is counted on top of the other.
#[test]
fn a_unit_is_counted_once() {
    let (_folder, path) = csv(&in_billions());
    let law = ["--law", "chinchilla", "--bootstrap", "0"];
    let fitted = |more: &[&str]| {
        let found = json(&[&columns(&path)[..], &law, more].concat());
        found["fit"]["groups"][0]["parameters"].clone()
    };
    assert_eq!(fitted(&[]), fitted(&UNITS));
}

#[test]
fn every_law_of_tokens_or_compute_predicts() {
    let (_folder, path) = csv(&in_billions());
    let asked = |law: &str, run: &str| {
        let law = ["--law", law, "--bootstrap", "20", "--predict", run];
        let found = json(&[&columns(&path)[..], &UNITS, &law].concat());
        found["fit"]["predictions"][0].clone()
    };
    let run = asked("chinchilla", "1e8,2e9");
    let low = run["run_interval"]["low"].as_f64();
    assert!(low < run["loss_nats"].as_f64(), "{run}");
    let run = asked("power", "1e19");
    assert_eq!(
        (&run["flops"], &run["params"]),
        (&1e19.into(), &Value::Null)
    );
}

#[test]
fn what_a_law_cannot_answer_is_refused() {
    let (_folder, path) = csv(&in_billions());
    let table = columns(&path);
    let rows: [(&[&str], &str); 10] = [
        (
            &["--law", "over-training", "--where", "size<3"],
            "neither a number nor one of params",
        ),
        (
            &["--law", "over-training", "--where", "params>1e30"],
            "none of 20 rows is kept",
        ),
        (
            &["--law", "over-training", "--where", "tokens/params=20"],
            "20.000 tokens a parameter",
        ),
        (
            &["--law", "over-training", "--hold", "gamma=1"],
            "this law has no such parameter",
        ),
        (
            &["--law", "over-training", "--predict", "1B,20B"],
            "write positive plain numbers",
        ),
        (
            &["--law", "over-training", "--unit", "size=2"],
            "none of params",
        ),
        (
            &["--law", "data-constrained"],
            "this law needs `unique_tokens`",
        ),
        (&["--law", "rate"], "this law needs `lr`"),
        (&["--hold", "alpha=0.3"], "holds E only"),
        (
            &["--law", "isoflop", "--predict", "1e20"],
            "says nothing of the loss of other runs",
        ),
    ];
    for (args, message) in rows {
        let output = effbench(&[&table[..], args].concat());
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            (output.status.code(), output.stdout.len()),
            (Some(2), 0),
            "{args:?}: {said}"
        );
        assert!(said.contains(message), "{args:?}: {said}");
    }
}

/// Points made by a formula: every figure is told, as exact to rounding, and what they cannot show is said.
#[test]
fn runs_that_lie_on_their_law_identify_it() {
    let mut text = "params,tokens,loss\n".to_owned();
    for n in [1e7_f64, 3e7, 1e8, 3e8, 1e9] {
        for d in [3e8_f64, 1e9, 1e10, 1e11] {
            let loss = 1.69 + 406.4 * n.powf(-0.34) + 410.7 * d.powf(-0.28);
            text += &format!("{n},{d},{loss}\n");
        }
    }
    let (_folder, path) = csv(&text);
    let table = ["--csv", path.to_str().unwrap(), "--bootstrap", "0"];
    let found = json(&[&table[..], &["--law", "chinchilla"]].concat());
    let group = &found["fit"]["groups"][0];
    assert_eq!(group["exact"], true);
    for (parameter, truth) in group["parameters"]
        .as_array()
        .unwrap()
        .iter()
        .zip([1.69, 406.4, 0.34, 410.7, 0.28])
    {
        assert_eq!(parameter["identified"], true, "{parameter}");
        assert!((parameter["value"].as_f64().unwrap() / truth - 1.0).abs() < 1e-5);
    }
    let said = found["sentence"].as_str().unwrap();
    assert!(
        said.contains("N ~ C^0.452") && !said.contains("not identified"),
        "{said}"
    );
    let page = out(&[&table[..], &["--law", "chinchilla"]].concat());
    assert!(
        page.contains("exact to rounding") && page.contains("they hold no luck"),
        "{page}"
    );
}
