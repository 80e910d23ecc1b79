//! `effbench fit` from outside: its first line, its JSON, what it refuses, and the published points of Hoffmann et al. 2022.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

mod published;
mod table;

const QUICK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/quick.json");
const REAL: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/fixtures/one_width/quick-epyc-19h-2c-linux.json"
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
    "/tests/fixtures/one_width/gain-epyc-19h-2c-linux.json"
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
    assert!(bent.contains("No gain over lstm can be shown"), "{bent}");
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
