//! One question has one answer, over all commands and pages: what `gain --format json` computes is what every other command
//! prints, to the printed digits, of every committed result file and of the example.
//!
//! The figures are written out here from the numbers, and not by the program's own sentences: a page that computes one for
//! itself, or another way, does not have them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use effbench::analysis::fit::solve::on_all_cores;
use effbench::record::pool::read_all;
use effbench::report::summary_json;
use effbench::unit::{Nats, Times};
use serde_json::Value;

/// Run in the repository's root.
fn effbench(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_effbench"))
        .args(args)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

fn json(args: &[&str]) -> Value {
    let args: Vec<&str> = args.iter().copied().chain(["--format", "json"]).collect();
    serde_json::from_str(&effbench(&args)).unwrap()
}

/// The committed results and the fixture that ask a question of a base.
fn files() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let results = fs::read_dir(root.join("results")).unwrap();
    let mut paths: Vec<PathBuf> = results.map(|entry| entry.unwrap().path()).collect();
    paths.push(root.join("tests/fixtures/quick.json"));
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "json"));
    paths.sort();
    let asks = |path: &PathBuf| {
        let file = read_all(std::slice::from_ref(path)).unwrap();
        let base = file.run.base.clone();
        let finished = |base: &String| {
            let mut trials = file.trials.iter();
            trials.any(|trial| !trial.in_sweep() && trial.variant == *base)
        };
        base.as_ref().is_some_and(finished)
    };
    let here: Vec<PathBuf> = paths.into_iter().filter(asks).collect();
    assert!(here.len() >= 5, "{here:?}");
    here.iter()
        .map(|path| path.to_str().unwrap().to_owned())
        .collect()
}

fn number(value: &Value) -> f64 {
    value
        .as_f64()
        .unwrap_or_else(|| panic!("no number: {value}"))
}

/// `1.79 (1.64 to 2.0)` of a gain, and `95% 1.64 to 2.0` of its interval; nothing where an end is open or the gain is a bound.
fn solved(gain: &Value) -> Option<(String, String)> {
    let interval = gain.get("interval").filter(|found| found.is_object())?;
    let (low, high) = (interval["low"].as_f64()?, interval["high"].as_f64()?);
    (low > 0.0).then(|| {
        let ends = format!("{} to {}", Times(low), Times(high));
        (
            format!("{} ({ends})", Times(number(&gain["value"]))),
            format!("95% {ends}"),
        )
    })
}

/// What the answer's sentence must hold.
fn told(answer: &Value) -> Vec<String> {
    let nats = |fall: &Value| {
        let change = -number(fall);
        format!(
            "{}{} nats",
            if change > 0.0 { "+" } else { "" },
            Nats(change)
        )
    };
    let (base, variant) = (&answer["base"], answer["variant"].as_str().unwrap());
    let mut parts = Vec::new();
    if answer["doubling"].is_object() {
        let doubling = nats(&answer["doubling"]["nats"]["value"]);
        parts.push(format!(
            "Spend twice as much on {}: {doubling}.",
            base.as_str().unwrap()
        ));
    }
    if answer["equal_compute_nats"].is_object() {
        let equal = nats(&answer["equal_compute_nats"]["value"]);
        parts.push(format!("Change to {variant} at the same cost: {equal}"));
    }
    let gain = &answer["gains"]["model_flops"];
    if let Some((_, range)) = solved(gain) {
        let times = Times(number(&gain["value"]));
        parts.push(format!(
            " {times} times the compute for that ({range}, n = "
        ));
    } else if gain["kind"] == "more_than" {
        let bound = Times(number(&gain["bound"]));
        parts.push(format!("more than {bound} times the compute"));
    }
    parts
}

/// A page's text: without markup, its marks of quotation plain, and in one line.
fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    for letter in text.chars() {
        match letter {
            '<' => inside = true,
            '>' => inside = false,
            letter if !inside => out.push(letter),
            _ => (),
        }
    }
    let out = out.replace("&lt;", "<").replace("&gt;", ">");
    let out = out.replace("&amp;", "&").replace('\\', "");
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What every command and page says of a file; `run` closes with the summary, which is the library's.
fn said(path: &str) -> BTreeMap<&'static str, String> {
    let file = read_all(&[PathBuf::from(path)]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let page = |ending: &str| {
        let out = folder.path().join(format!("page.{ending}"));
        effbench(&["report", path, "--out", out.to_str().unwrap()]);
        let text = fs::read_to_string(out).unwrap();
        if ending == "html" {
            plain(&text)
        } else {
            plain(&text.replace("<details>", ""))
        }
    };
    BTreeMap::from([
        ("gain", plain(&effbench(&["gain", path, "--full"]))),
        ("report", plain(&effbench(&["report", path, "--full"]))),
        ("report.html", page("html")),
        ("report.md", page("md")),
        ("run", plain(&effbench(&["summary", path]))),
        ("run --format json", summary_json(&file, path).to_string()),
    ])
}

/// The headline's figures and, where a page lists all gains, each of them.
#[test]
fn the_headline_is_one_in_every_medium() {
    // Side by side: each file is read by a process for every medium.
    let files = files();
    on_all_cores(files.len(), |k| one_headline(&files[k]));
}

fn one_headline(path: &str) {
    let studies = json(&["gain", path])["studies"].clone();
    let said = said(path);
    for study in studies.as_array().unwrap() {
        let answers = study["answers"].as_array().unwrap();
        if let Some(place) = study["headline"].as_u64() {
            for part in told(&answers[place as usize]) {
                for (medium, text) in &said {
                    assert!(text.contains(&part), "{path}, {medium} lacks {part:?}");
                }
            }
        }
        for answer in answers {
            let Some((gain, _)) = solved(&answer["gains"]["model_flops"]) else {
                continue;
            };
            for medium in ["gain", "report.html"] {
                assert!(
                    said[medium].contains(&gain),
                    "{path}, {medium} lacks {gain}"
                );
            }
        }
    }
}

/// The law over all levels is held against the gains as measured: those it carries are `gain`'s own, to the last digit, and none
/// is contradicted; what it makes of a doubling meets what the measured levels make of it.
#[test]
fn the_law_along_compute_carries_the_measured_gains() {
    let mut compared = 0;
    for path in files() {
        let studies = json(&["gain", &path])["studies"].clone();
        let along = json(&["gain", &path, "--along", "compute"])["along_compute"].clone();
        for over in along.as_array().unwrap() {
            let study = studies.as_array().unwrap().iter();
            let study = study.clone().find(|s| s["data"] == over["data"]).unwrap();
            let none = Vec::new();
            for law in over["joint"]["gains"].as_array().unwrap_or(&none) {
                for measured in law["measured"].as_array().unwrap() {
                    let own = |answer: &&Value| {
                        answer["variant"] == law["variant"]
                            && (number(&answer["read_at"]["train_flops"])
                                / number(&measured["flops"])
                                - 1.0)
                                .abs()
                                < 1e-9
                    };
                    let answer = study["answers"].as_array().unwrap().iter().find(own);
                    let gain = &answer.unwrap()["gains"]["model_flops"];
                    assert_eq!(
                        (&gain["value"], &gain["interval"]),
                        (&measured["gain"], &measured["interval"]),
                        "{path}: {}",
                        law["variant"]
                    );
                    assert_eq!(measured["agrees"], true, "{path}: {measured}");
                    compared += 1;
                }
                let trend = study["trends"].as_array().unwrap().iter();
                let Some(trend) = trend.clone().find(|t| t["variant"] == law["variant"]) else {
                    continue;
                };
                let (own, by_law) = (
                    &trend["per_doubling"]["interval"],
                    &law["per_doubling_interval"],
                );
                assert!(
                    number(&own["low"]) <= number(&by_law["high"])
                        && number(&by_law["low"]) <= number(&own["high"]),
                    "{path}: {trend} and {by_law}"
                );
            }
        }
    }
    assert!(compared >= 10, "{compared}");
}

/// Arms of one file set against each other cell by cell: the loss differs by what `gain` reads at equal cost, and is worth what
/// `gain` says in tokens, within the luck of seeds.
#[test]
fn comparing_arms_says_what_the_gain_says() {
    let path = "tests/fixtures/one_width/quick-epyc-19h-2c-linux.json";
    let answers = json(&["gain", path])["studies"][0]["answers"].clone();
    let mut compared = 0;
    for variant in ["llama", "modern"] {
        let output = Command::new(env!("CARGO_BIN_EXE_effbench"))
            .args(["compare", path, "--base-arm", "gpt2", "--new-arm", variant])
            .args(["--format", "json"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        let found: Value = serde_json::from_slice(&output.stdout).unwrap();
        for answer in answers.as_array().unwrap() {
            if answer["variant"] != *variant || answer["equal_compute_measured"] != true {
                continue;
            }
            let cell = format!(
                "{variant}/{}@{}",
                answer["scale"].as_str().unwrap(),
                answer["budget"]
            );
            let row = |row: &&Value| {
                row["metric"] == "val_loss_nats"
                    && row["cell"]
                        .as_str()
                        .unwrap()
                        .starts_with(&format!("{cell} "))
            };
            let row = found["rows"].as_array().unwrap().iter().find(row).unwrap();
            let (change, fall) = (
                number(&row["change"]["value"]),
                number(&answer["equal_compute_nats"]["value"]),
            );
            assert!((change + fall).abs() < 1e-9, "{cell}: {change} and {fall}");
            let (worth, gain) = (&row["equivalent"], &answer["gains"]["tokens"]);
            if gain["kind"] == "solved" {
                let ratio = number(&worth["times"]) / number(&gain["value"]);
                assert!((ratio - 1.0).abs() < 0.01, "{cell}: {worth} and {gain}");
                for (one, other) in [
                    (number(&gain["value"]), &worth["interval"]),
                    (number(&worth["times"]), &gain["interval"]),
                ] {
                    // An end beyond the base's runs is open.
                    let high = other["high"].as_f64().unwrap_or(f64::INFINITY);
                    assert!(
                        number(&other["low"]) < one && one < high,
                        "{cell}: {worth} and {gain}"
                    );
                }
            }
            compared += 1;
        }
    }
    assert_eq!(compared, 4);
}

/// What the report says of scale is what `fit` says, in its own words and from the same runs.
#[test]
fn the_page_on_scale_says_what_the_fit_says() {
    for name in ["ladder", "isoflop"] {
        let path = format!("results/{name}-epyc-19h-2c-linux.json");
        let sentence = json(&["fit", &path])["sentence"]
            .as_str()
            .unwrap()
            .to_owned();
        let said = said(&path);
        for medium in ["report", "report.html", "report.md"] {
            assert!(
                said[medium].contains(&plain(&sentence)),
                "{path}, {medium} lacks {sentence:?}"
            );
        }
        // Nothing is read off a law that misses its runs.
        if sentence.contains("no best split, next doubling or forecast is read off it") {
            for forecast in [
                "What the next doubling of compute buys",
                "only one budget grows",
            ] {
                assert!(!said["report"].contains(forecast), "{path}: {forecast}");
            }
        }
    }
}
