//! `effbench fit` from outside: its first line, its JSON, what it refuses, and the published points of Hoffmann et al. 2022.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

const QUICK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/quick.json");
const REAL: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/results/quick-epyc-19h-2c-linux.json"
);

fn effbench(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_effbench"))
        .arg("fit")
        .args(args)
        .output()
        .unwrap()
}

fn out(args: &[&str]) -> String {
    let output = effbench(args);
    assert!(
        output.status.success(),
        "{args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

fn json(args: &[&str]) -> Value {
    serde_json::from_str(&out(&[args, &["--format", "json"]].concat())).unwrap()
}

fn csv(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("points.csv");
    fs::write(&path, text).unwrap();
    (folder, path)
}

/// The two laws that Gundlach et al. 2025 (arXiv 2511.21622) fit with E fixed at 1.9, rounded, six budgets each, 0.3% of luck.
fn alike() -> String {
    let mut text = "group,flops,loss\n".to_owned();
    let luck = [0.003, -0.003, -0.003, 0.003, 0.003, -0.003];
    for k in 0..6 {
        let flops = 1e15 * 3f64.powi(k as i32);
        text += &format!(
            "old,{flops:e},{}\n",
            (1.9 + 40.0 * flops.powf(-0.07)) * (1.0 + luck[k])
        );
        text += &format!(
            "new,{flops:e},{}\n",
            (1.9 + 78.0 * flops.powf(-0.09)) * (1.0 - luck[(k + 1) % 6])
        );
    }
    text
}

#[test]
fn the_first_line_answers() {
    let first = |args: &[&str]| out(args).lines().next().unwrap_or_default().to_owned();
    let own = first(&[REAL, "--group", "gpt2"]);
    assert!(
        own.starts_with("gpt2: the loss falls toward E = ") && !own.contains("oracle"),
        "one model size: {own}"
    );
    let known = first(&[REAL, "--group", "gpt2", "--irreducible", "oracle"]);
    assert!(
        known.starts_with("gpt2: the loss falls toward E = 1.177 (known from the oracle) as C^-0."),
        "{known}"
    );
    assert!(known.contains("n = 16 points, 4 repeats"), "{known}");
    assert!(out(&[REAL, "--group", "gpt2"]).contains("N is all parameters, embeddings included"));
    let (_folder, path) = csv(&alike());
    let refused = first(&["--csv", path.to_str().unwrap()]);
    assert!(
        refused.starts_with("Which of old and new gains more from scale cannot be told"),
        "{refused}"
    );
}

#[test]
fn a_fixed_floor_claims_what_a_free_one_does_not() {
    let (_folder, path) = csv(&alike());
    let found = json(&["--csv", path.to_str().unwrap(), "--irreducible", "1.9"]);
    let ranking = &found["fit"]["rankings"][0];
    assert_eq!(
        (&ranking["with_e_held"], &ranking["verdict"]),
        (&"second".into(), &"cannot_tell".into())
    );
    let sentence = found["sentence"].as_str().unwrap();
    assert!(
        sentence
            .contains("cannot be told, although E as it is held would claim a larger a for new"),
        "{sentence}"
    );
    let free = json(&["--csv", path.to_str().unwrap()]);
    assert_eq!(
        free["fit"]["rankings"][0]["at_equal_compute"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
    let e = &free["fit"]["groups"][0]["parameters"][0];
    assert_eq!(
        (&e["name"], &e["identified"], &e["interval"]["low"]),
        (&"E".into(), &false.into(), &Value::Null)
    );
    let claims = free["fit"]["rankings"][0]["claims"].as_array().unwrap();
    assert!(
        claims.iter().any(|claim| claim["allowed"] == true),
        "{claims:?}"
    );
}

const GAIN: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/results/gain-epyc-19h-2c-linux.json"
);
const ISOFLOP: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/results/isoflop-epyc-19h-2c-linux.json"
);

/// Runs of one model size, three budgets for three parameters, a law that misses gpt2's: nothing of that ranks anybody.
#[test]
fn the_committed_gain_ranks_nobody_by_scale() {
    let found = json(&[GAIN, "--bootstrap", "50"]);
    let sentence = found["sentence"].as_str().unwrap();
    assert!(
        sentence.starts_with("This law does not describe the runs of gpt2 ")
            && !sentence.contains("gains more from scale than"),
        "{sentence}"
    );
    for ranking in found["fit"]["rankings"].as_array().unwrap() {
        assert!(
            ranking["verdict"] == "cannot_tell" && ranking["unranked"].is_string(),
            "{ranking}"
        );
    }
    for group in found["fit"]["groups"].as_array().unwrap() {
        for parameter in group["parameters"].as_array().unwrap() {
            let (low, high) = (
                parameter["interval"]["low"].as_f64(),
                parameter["interval"]["high"].as_f64(),
            );
            let value = parameter["value"].as_f64().unwrap();
            assert!(
                low.is_none_or(|low| low <= value) && high.is_none_or(|high| value <= high),
                "{parameter}"
            );
            assert!(
                low.zip(high)
                    .is_none_or(|(low, high)| high > 1.000_01 * low),
                "{parameter}"
            );
        }
    }
}

/// Two laws over one file: their splits agree within their intervals, or the one that misses its runs says so before anything.
#[test]
fn the_committed_isoflop_has_one_split_of_compute() {
    for floor in ["free", "oracle"] {
        let law = json(&[
            ISOFLOP,
            "--law",
            "chinchilla",
            "--irreducible",
            floor,
            "--bootstrap",
            "0",
        ]);
        let sentence = law["sentence"].as_str().unwrap();
        assert!(
            sentence.starts_with("gpt2: this law does not describe the runs (lack of fit, F = "),
            "{sentence}"
        );
        assert!(!sentence.contains("best split as"), "{sentence}");
    }
    let valleys = json(&[ISOFLOP, "--law", "isoflop"]);
    let interval = &valleys["fit"]["profiles"][0]["interval"];
    let (low, high) = (
        interval["low"].as_f64().unwrap(),
        interval["high"].as_f64().unwrap(),
    );
    assert!(
        low < 0.437 && 0.437 < high,
        "three budgets bound little: {interval}"
    );
}

#[test]
fn a_group_with_too_few_budgets_does_not_keep_the_others_from_it() {
    let (_folder, path) = csv(&(alike() + "young,1e15,3.1\n"));
    let text = out(&["--csv", path.to_str().unwrap(), "--bootstrap", "20"]);
    assert!(
        text.contains("not fitted: young: 1 points for 3 free parameters"),
        "{text}"
    );
}

#[test]
fn a_law_is_followed_by_a_leader_and_a_follower() {
    let (_folder, path) = csv(&alike());
    let table = [
        "--csv",
        path.to_str().unwrap(),
        "--irreducible",
        "1.9",
        "--bootstrap",
        "200",
        "--project",
    ];
    let found = json(&[&table[..], &["--group", "new", "--start", "1e20"]].concat());
    let projection = &found["projections"][0]["projection"];
    // ln(ln(g k) / ln g) / (a ln k) with the defaults' g = 3.92 and k = 3.57, at the fitted exponent.
    let exponent = found["fit"]["groups"][0]["parameters"][2]["value"]
        .as_f64()
        .unwrap();
    let (g, k) = (3.92f64.ln(), 3.57f64.ln());
    close(
        &projection["peak"]["year"],
        ((g + k) / g).ln() / (exponent * k),
        1e-9,
        "peak",
    );
    let low = projection["peak_nats_interval"]["low"].as_f64().unwrap();
    assert!(
        low > 0.0 && low < projection["peak"]["nats"].as_f64().unwrap(),
        "{projection}"
    );
    let text = out(&table);
    assert!(
        text.contains("\n\nnew: A follower with a constant budget trails by at most"),
        "{text}"
    );
    for (args, message) in [
        (["--growth", "1,1,2"], "expected a factor a year above 1"),
        (["--growth", "2,2"], "write three factors a year"),
    ] {
        let output = effbench(&[&table[..], &args].concat());
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            output.status.code() == Some(2) && said.contains(message),
            "{args:?}: {said}"
        );
    }
    let output = effbench(&[REAL, "--law", "isoflop", "--project"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.code() == Some(2) && said.contains("--law power or --law chinchilla"),
        "{said}"
    );
}

#[test]
fn what_cannot_be_fitted_is_refused_with_2() {
    let two = csv("flops,loss\n1e15,3\n2e15,2.9\n");
    let bad = csv("flops,loss\n1e15,3\n\"2,000\",2.9\n");
    let rows: [(&[&str], &str); 7] = [
        (&[], "<RESULT"),
        (
            &["--csv", two.1.to_str().unwrap()],
            "2 points for 3 free parameters",
        ),
        (
            &["--csv", bad.1.to_str().unwrap()],
            ":3: column `flops`: `2,000` is no number",
        ),
        (
            &["--csv", two.1.to_str().unwrap(), "--law", "chinchilla"],
            "this law needs `params`",
        ),
        (
            &["--csv", two.1.to_str().unwrap(), "--irreducible", "2.95"],
            "is not below its lowest loss",
        ),
        (
            &["--csv", two.1.to_str().unwrap(), "--irreducible", "oracle"],
            "not every run has an oracle's loss",
        ),
        (&[QUICK, "--group", "gpt"], "did you mean `gpt2`?"),
    ];
    for (args, message) in rows {
        let output = effbench(args);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            (output.status.code(), output.stdout.len()),
            (Some(2), 0),
            "{args:?}: {said}"
        );
        assert!(said.contains(message), "{args:?}: {said}");
    }
}

#[test]
fn every_law_fits_the_quick_file_or_says_why_not() {
    for (law, works) in [("power", true), ("isoflop", true), ("chinchilla", false)] {
        let output = effbench(&[REAL, "--law", law, "--bootstrap", "20"]);
        assert_eq!(
            output.status.success(),
            works,
            "{law}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

/// One law over groups, from a plain table: what is told first, the gain at both ends, its change, and what is refused.
#[test]
fn one_law_over_groups_tells_gains_along_compute() {
    let luck = [0.003, -0.003, -0.003, 0.003, 0.003, -0.003];
    let table = |bend: f64| {
        let mut text = "variant,flops,loss\n".to_owned();
        for k in 0..6 {
            let flops = 1e15 * 4f64.powi(k as i32);
            let off = 1.0 + bend * (k as f64 - 2.5).powi(2);
            text += &format!(
                "lstm,{flops:e},{}\n",
                (1.9 + 36.3 * flops.powf(-0.065)) * (1.0 + luck[k])
            );
            let transformer = (1.9 + 81.7 * flops.powf(-0.091)) * (1.0 - luck[(k + 1) % 6]);
            text += &format!("transformer,{flops:e},{}\n", transformer * off);
        }
        csv(&text)
    };
    let (_folder, path) = table(0.0);
    let args = [
        "--csv",
        path.to_str().unwrap(),
        "--map",
        "group=variant",
        "--law",
        "joint",
    ];
    let text = out(&args);
    assert!(
        text.starts_with("transformer is worth more than its compute: lstm would need "),
        "{text}"
    );
    assert!(
        text.contains("Gain over lstm against compute") && text.contains("no gain"),
        "{text}"
    );
    let found = &json(&args)["fit"]["joint"];
    let first = &found["gains"][0]["curve"][0];
    close(&first["gain"], 3.8, 0.25, "the gain at 1e15");
    let (low, high) = (
        first["interval"]["low"].as_f64().unwrap(),
        first["interval"]["high"].as_f64().unwrap(),
    );
    assert!(low < 3.8 && 3.8 < high && high / low < 3.0, "{first}");
    assert_eq!(found["gains"][0]["trend"], "grows");
    let other = out(&[&args[..], &["--base", "transformer"]].concat());
    assert!(
        other.starts_with("lstm is worth less than its compute: transformer would need "),
        "{other}"
    );

    let (_folder, path) = table(0.012);
    let bent = out(&[
        "--csv",
        path.to_str().unwrap(),
        "--map",
        "group=variant",
        "--law",
        "joint",
    ]);
    assert!(
        bent.starts_with("The law does not describe the runs of "),
        "{bent}"
    );
    assert!(bent.contains("No gain over lstm is told"), "{bent}");
    let refused = effbench(&[&args[..], &["--base", "gru"]].concat());
    assert_eq!(refused.status.code(), Some(2));
}

fn close(found: &Value, expected: f64, share: f64, what: &str) {
    let found = found.as_f64().unwrap();
    assert!(
        (found / expected - 1.0).abs() <= share,
        "{what}: {found} against {expected}"
    );
}

/// The figures that Besiroglu et al. 2024 (arXiv 2404.10102) got from the 240 points read off Hoffmann's figure 4, and those
/// that all 245 give. `CHINCHILLA_CSV` names epoch-research/analyzing-chinchilla's data/svg_extracted_data.csv.
#[test]
#[ignore = "needs the published points: CHINCHILLA_CSV=FILE"]
fn published_points_give_the_published_fit() {
    let path = std::env::var("CHINCHILLA_CSV").unwrap();
    let columns = [
        "--csv",
        &path,
        "--law",
        "chinchilla",
        "--map",
        "params=Model Size",
        "--map",
        "flops=Training FLOP",
    ];
    let found = json(
        &[
            &columns[..],
            &["--drop-highest", "5", "--bootstrap", "4000"],
        ]
        .concat(),
    );
    let group = &found["fit"]["groups"][0];
    close(&group["objective"], 0.00101827402, 1e-6, "objective");
    let rows = [
        ("E", 1.8172, 0.001, 0.02566),
        ("A", 478.0, 0.01, 124.52),
        ("alpha", 0.3473, 0.001, 0.0154),
        ("B", 2143.0, 0.01, 1293.28),
        ("beta", 0.3672, 0.001, 0.0206),
    ];
    for ((name, value, share, se), parameter) in
        rows.iter().zip(group["parameters"].as_array().unwrap())
    {
        assert_eq!(parameter["name"], *name);
        close(&parameter["value"], *value, *share, name);
        if ["E", "alpha", "beta"].contains(name) {
            close(&parameter["bootstrap_se"], *se, 0.25, name);
        }
    }
    let all = &group["refits"][0];
    assert_eq!(
        (&all["what"], &all["moved"][1]),
        (&"with all 245 points".into(), &"beta".into())
    );
    close(&all["objective"], 0.00182601, 1e-5, "objective of all");
    for (value, expected) in all["values"]
        .as_array()
        .unwrap()
        .iter()
        .zip([1.891339, 495.726, 0.349313, 12845.6, 0.453049])
    {
        close(value, expected, 1e-4, "all 245");
    }
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
    let table = [
        "--csv",
        path.to_str().unwrap(),
        "--map",
        "params=Model (B)",
        "--map",
        "tokens=Tokens (B)",
        "--map",
        "loss=val loss",
        "--law",
        "over-training",
        "--bootstrap",
        "50",
    ];
    let unitless = json(&table);
    let notes = unitless["fit"]["notes"].to_string();
    assert!(
        notes.contains("--unit params=1e9")
            && notes.contains("1 row left out for want of a figure (line 22)"),
        "{notes}"
    );
    let units = ["--unit", "params=1e9", "--unit", "tokens=1e9"];
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
    let found = json(&[&table[..], &units, &asked].concat());
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
    let text = out(&[&table[..], &units, &asked].concat());
    assert!(
        text.lines()
            .next()
            .unwrap()
            .contains("The runs that it did not see are missed by"),
        "{text}"
    );
    assert!(
        text.contains("for one run; extrapolated: N 4.000 times the largest fitted"),
        "{text}"
    );
    // The same questions of Chinchilla's law and of one of compute alone.
    let chinchilla = json(
        &[
            &table[..8],
            &units,
            &[
                "--law",
                "chinchilla",
                "--bootstrap",
                "20",
                "--predict",
                "1e8,2e9",
            ],
        ]
        .concat(),
    );
    let found = &chinchilla["fit"]["predictions"][0];
    assert!(
        found["run_interval"]["low"].as_f64() < found["loss_nats"].as_f64(),
        "{found}"
    );
    let power = json(
        &[
            &table[..8],
            &units,
            &["--law", "power", "--bootstrap", "20", "--predict", "1e19"],
        ]
        .concat(),
    );
    assert_eq!(
        (
            &power["fit"]["predictions"][0]["flops"],
            &power["fit"]["predictions"][0]["params"]
        ),
        (&1e19.into(), &Value::Null)
    );
}

#[test]
fn what_a_law_cannot_answer_is_refused() {
    let (_folder, path) = csv(&in_billions());
    let table = [
        "--csv",
        path.to_str().unwrap(),
        "--map",
        "params=Model (B)",
        "--map",
        "tokens=Tokens (B)",
        "--map",
        "loss=val loss",
    ];
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

fn parameter(found: &Value, group: &str, name: &str) -> f64 {
    let all = found["fit"][group][0]["parameters"].as_array().unwrap();
    all.iter().find(|p| p["name"] == name).unwrap()["value"]
        .as_f64()
        .unwrap()
}

/// Gadre et al. 2024 (arXiv 2403.08540) on C4, the fit of their own code. `OVER_TRAINING_CSV` holds group, params, tokens and loss of
/// the 34 runs of exp_data/models in mlfoundations/scaling.
#[test]
#[ignore = "needs the published runs: OVER_TRAINING_CSV=FILE"]
fn published_over_training_runs_give_the_published_fit() {
    let path = std::env::var("OVER_TRAINING_CSV").unwrap();
    let rows = "tokens/params=20 and params<6e8 or tokens/params=320 and params<2e7";
    let found = json(&[
        "--csv",
        &path,
        "--law",
        "over-training",
        "--where",
        rows,
        "--bootstrap",
        "0",
    ]);
    for (name, published) in [
        ("E", 1.50826),
        ("a", 113.693),
        ("b", 189.516),
        ("alpha", 0.24247),
    ] {
        let value = parameter(&found, "shapes", name);
        assert!(
            (value / published - 1.0).abs() < 2e-5,
            "{name}: {value} against {published}"
        );
    }
}

/// Muennighoff et al. 2023 (arXiv 2305.16264), appendix A: at the published R_D* and R_N* the objective over the 182 runs is
/// 0.015825935 and R^2 0.77220; the profile of R_D* is flat, and its lowest point is elsewhere. `DATA_CONSTRAINED_CSV` holds params,
/// tokens, unique_tokens and loss of the runs that utils/parametric_fit.ipynb of huggingface/datablations keeps.
#[test]
#[ignore = "needs the published runs: DATA_CONSTRAINED_CSV=FILE"]
fn published_runs_on_repeated_data_do_not_identify_what_repeats_are_worth() {
    let path = std::env::var("DATA_CONSTRAINED_CSV").unwrap();
    let base = [
        "E=1.8691436784",
        "A=520.82495166",
        "alpha=0.3526596",
        "B=1487.7160938",
        "beta=0.3526596",
    ];
    let held: Vec<&str> = base.iter().flat_map(|held| ["--hold", held]).collect();
    let table = [
        "--csv",
        &path,
        "--law",
        "data-constrained",
        "--bootstrap",
        "0",
    ];
    let published = json(
        &[
            &table[..],
            &held,
            &["--hold", "R_D*=15.387756", "--hold", "R_N*=5.309743"],
        ]
        .concat(),
    );
    close(
        &published["fit"]["shapes"][0]["objective"],
        0.015825935,
        1e-6,
        "objective",
    );
    close(
        &published["fit"]["shapes"][0]["r_squared"],
        0.7722046,
        1e-6,
        "R^2",
    );
    let found = json(&[&table[..], &held].concat());
    let shape = &found["fit"]["shapes"][0];
    assert!(
        shape["objective"].as_f64().unwrap() < 0.0158252,
        "{}",
        shape["objective"]
    );
    let star = &shape["parameters"][5];
    assert_eq!(
        (&star["name"], &star["identified"]),
        (&"R_D*".into(), &false.into()),
        "{star}"
    );
    assert!(
        found["sentence"]
            .as_str()
            .unwrap()
            .contains("The data do not identify R_D*"),
        "{}",
        found["sentence"]
    );
}

/// Li et al. 2025 (arXiv 2503.04715). Their own code, on their released runs, does not give the figures that they print (0.713, 0.307;
/// 0.571): it gives p 0.767 and q 0.197 (step-law/steplaw, issue 10). The valleys of the cells hold the published p, k and r within
/// their intervals, and q below them. `STEP_LAW_CSV` holds params, tokens, lr, batch in sequences of 2048 tokens, and loss.
#[test]
#[ignore = "needs the published runs: STEP_LAW_CSV=FILE"]
fn the_published_sweep_gives_the_published_batch() {
    let path = std::env::var("STEP_LAW_CSV").unwrap();
    let found = json(&[
        "--csv",
        &path,
        "--law",
        "rate",
        "--unit",
        "batch=2048",
        "--predict",
        "1e9,1e11",
    ]);
    let law = &found["fit"]["rates"][0];
    let holds = |of: &str, k: usize, published: f64| {
        let interval = &law[of][k]["interval"];
        assert!(
            interval["low"].as_f64() < Some(published)
                && interval["high"].as_f64() > Some(published),
            "{}",
            law[of]
        );
    };
    holds("rate", 1, 0.713);
    holds("batch", 0, 0.58);
    holds("batch", 1, 0.571);
    close(&law["batch"][1]["value"], 0.571, 0.02, "r");
    // The published 0.307 lies above what these runs allow.
    assert!(
        law["rate"][2]["interval"]["high"].as_f64() < Some(0.307),
        "{}",
        law["rate"]
    );
    close(&law["by_near_runs"][1], 0.767, 0.005, "p by their own code");
    close(&law["by_near_runs"][2], 0.197, 0.01, "q by their own code");
}
