//! `effbench compare` from outside: made-up changes of a known file, each with its verdict, sentence and exit code as a golden
//! file; the formats; and what is refused.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

mod files;
mod gaps;
mod meters;
mod refused;
mod sessions;

const GOOD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/quick.json");
const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/compare/");

type Change = fn(&mut Value);

fn fixture() -> Value {
    serde_json::from_str(&fs::read_to_string(GOOD).unwrap()).unwrap()
}

fn trials(file: &mut Value) -> &mut Vec<Value> {
    file["trials"].as_array_mut().unwrap()
}

/// A small number that only place and name decide, in -1 to 1.
fn luck(name: &str, place: usize) -> f64 {
    let mut hash = 1469598103934665603_u64;
    for byte in name.bytes().chain(place.to_le_bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(1099511628211);
    }
    (hash >> 40) as f64 / (1_u64 << 23) as f64 - 1.0
}

/// Multiplies a trial's durations, and divides its rates.
fn slow(trial: &mut Value, times: f64) {
    for (name, up) in [
        ("train_step_s", true),
        ("train_wall_s", true),
        ("train_tokens_per_s", false),
        ("mfu", false),
    ] {
        if let Some(value) = trial["metrics"][name]["value"].as_f64() {
            trial["metrics"][name]["value"] = if up { value * times } else { value / times }.into();
        }
    }
    if let Some(samples) = trial["metrics"]["train_step_s"]["samples"].as_array_mut() {
        samples
            .iter_mut()
            .for_each(|s| *s = (s.as_f64().unwrap() * times).into());
    }
}

/// The fixture with the noise of a machine: half a percent on every trial's time, and memory a little different.
fn noisy(name: &str) -> Value {
    let mut file = fixture();
    for (place, trial) in trials(&mut file).iter_mut().enumerate() {
        slow(trial, 1.0 + 0.005 * luck(name, place));
        let memory = &mut trial["metrics"]["peak_memory_bytes"]["value"];
        *memory = (memory.as_f64().unwrap() * (1.0 + 0.001 * luck("memory", place + name.len())))
            .round()
            .into();
    }
    file
}

fn slowdown(file: &mut Value) {
    trials(file)
        .iter_mut()
        .filter(|t| t["cell"] == "gpt2/w32@400")
        .for_each(|trial| slow(trial, 1.12));
}

/// A validation loss that is so many nats higher in the cells that are chosen, give or take a hundredth.
fn unlearn(file: &mut Value, nats: f64, chosen: fn(&str) -> bool) {
    for (place, trial) in trials(file).iter_mut().enumerate() {
        if chosen(trial["cell"].as_str().unwrap()) {
            for name in ["val_loss_nats", "excess_loss_nats"] {
                let loss = &mut trial["metrics"][name]["value"];
                *loss = (loss.as_f64().unwrap() + nats + 0.01 * luck("loss", place)).into();
            }
        }
    }
}

/// Half the learning steps under the same name: the trials of half the budget stand in the cell.
fn halved(file: &mut Value) {
    let all = trials(file).clone();
    for trial in trials(file)
        .iter_mut()
        .filter(|t| t["cell"] == "gpt2/w32@800")
    {
        let half = |t: &&Value| t["cell"] == "gpt2/w32@400" && t["repeat"] == trial["repeat"];
        let mut other = all.iter().find(half).unwrap().clone();
        for key in ["cell", "arm", "order", "budget"] {
            other[key] = trial[key].clone();
        }
        other["id"] = format!("{}-half", trial["id"].as_str().unwrap()).into();
        *trial = other;
    }
}

fn session(file: &mut Value) {
    file["run"]["started_at"] = "2026-11-22T09:00:00Z".into();
}

fn machine(file: &mut Value) {
    session(file);
    file["machines"][0]["class_id"] = "arm-4c-linux".into();
    file["machines"][0]["strict_id"] = "77aa".into();
    file["machines"][0]["cpu"]["model"] = "Neoverse".into();
    trials(file).iter_mut().for_each(|trial| slow(trial, 2.0));
    for calibration in file["calibrations"].as_array_mut().unwrap() {
        calibration["gemm_f32_flops_per_s"] = 7.5e10.into();
    }
}

fn renamed(file: &mut Value) {
    for trial in trials(file) {
        let other = trial["cell"].as_str().unwrap().replace("w32", "w48");
        trial["cell"] = other.clone().into();
        trial["arm"] = other.into();
    }
}

fn failing(file: &mut Value) {
    for trial in trials(file)
        .iter_mut()
        .filter(|t| t["cell"] == "gpt2/w32@400")
        .take(1)
    {
        trial["status"] = "failed".into();
        trial["reason"] = "the process ended without a result".into();
    }
}

fn diverging(file: &mut Value) {
    for trial in trials(file)
        .iter_mut()
        .filter(|t| t["cell"] == "gpt2/w32@400")
    {
        trial["status"] = "diverged".into();
        trial["reason"] = "the loss is not finite at step 37".into();
        for (_, metric) in trial["metrics"].as_object_mut().unwrap() {
            metric["value"] = Value::Null;
            metric["reason"] = "diverged".into();
        }
    }
}

/// Base and new side in a folder of their own; the base has the noise of one run, the new side that of another.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new(change: Change) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        let mut new = noisy("new");
        change(&mut new);
        folder.write("base.json", &noisy("base").to_string());
        folder.write("new.json", &new.to_string());
        folder
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.path().join(name), text).unwrap();
    }

    fn run(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_effbench"))
            .args(args)
            .current_dir(self.0.path())
            .output()
            .unwrap()
    }

    fn compare(&self, args: &[&str]) -> Output {
        self.run(&[&["compare", "base.json", "new.json"], args].concat())
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Everything that a run says, and what it exits with.
fn said(output: &Output) -> String {
    let code = output.status.code().unwrap();
    format!(
        "{}\n--- standard error\n{}--- exit {code}\n",
        text(&output.stdout).trim_end(),
        text(&output.stderr)
    )
}

/// Mend with `MEND_GOLDEN=1 cargo test --test compare`, and read what changed.
fn golden(name: &str, found: &str) {
    let path = PathBuf::from(format!("{GOLDEN}{name}.txt"));
    if std::env::var_os("MEND_GOLDEN").is_some() {
        fs::write(&path, found).unwrap();
    }
    assert_eq!(
        found,
        fs::read_to_string(&path).unwrap_or_default(),
        "{name}"
    );
}

/// A change, the arguments, the exit code, and how the sentence begins.
const CHANGES: [(&str, Change, &[&str], i32, &str); 17] = [
    (
        "aa_one_sitting",
        |_| (),
        &[],
        0,
        "No regression: 5 cells, time within",
    ),
    (
        "aa_two_sittings",
        session,
        &[],
        0,
        "Cannot tell about time; no regression found in the rest: 5 cells, time not resolved between",
    ),
    (
        "aa_two_sittings_conclusive",
        session,
        &["--gate", "conclusive"],
        3,
        "Cannot tell: 5 cells",
    ),
    (
        "slowdown",
        slowdown,
        &[],
        1,
        "gpt2/w32@400 trains 12% slower (95%",
    ),
    (
        "slowdown_in_two_sittings",
        |f| {
            slowdown(f);
            session(f);
        },
        &[],
        1,
        "gpt2/w32@400 trains 12% slower",
    ),
    (
        "slowdown_accepted",
        slowdown,
        &[
            "--accept",
            "gpt2/w32@400:train_tokens_per_s=checks were added",
        ],
        0,
        "No regression",
    ),
    (
        "slowdown_below_its_margin",
        slowdown,
        &["--margin", "train_tokens_per_s=20%"],
        0,
        "No regression",
    ),
    (
        "slowdown_markdown",
        slowdown,
        &["--format", "markdown"],
        1,
        "❌ **gpt2/w32@400 trains 12% slower",
    ),
    (
        "quality_regression",
        |f| unlearn(f, 0.3, |cell| cell == "gpt2/w32@800"),
        &[],
        1,
        "gpt2/w32@800 has a validation loss",
    ),
    (
        "one_name_for_two_cells",
        halved,
        &[],
        0,
        "gpt2/w32@800 (train.steps 800 against 400) is not one cell on both sides; of the rest: no regression: 4 cells",
    ),
    (
        "one_name_for_two_cells_strict",
        halved,
        &["--gate", "conclusive"],
        4,
        "Not comparable: gpt2/w32@800 (train.steps",
    ),
    (
        "other_machine",
        machine,
        &[],
        0,
        "Cannot tell about time and memory; no regression found in the rest: 5 cells, time not compared between",
    ),
    (
        "other_machine_time_only",
        machine,
        &["--metric", "train_tokens_per_s"],
        4,
        "Not comparable: 5 cells, time not compared",
    ),
    (
        "no_cell_in_common",
        renamed,
        &[],
        4,
        "Not comparable: no cell is in both",
    ),
    (
        "failed_trial",
        failing,
        &[],
        5,
        "Cannot judge: 1 of 40 trials failed or is invalid",
    ),
    (
        "too_few",
        |f| trials(f).retain(|t| t["repeat"].as_u64() < Some(2)),
        &[],
        0,
        "Cannot tell about time and memory; no regression found in the rest: 5 cells, time cannot be told (n = 5 would)",
    ),
    (
        "diverged",
        diverging,
        &[],
        1,
        "gpt2/w32@400 diverges in 4 of 4 trials, before in 0 of 4 (n = 4): regression",
    ),
];

#[test]
fn every_change_has_its_verdict_sentence_and_exit_code() {
    for (name, change, args, code, sentence) in CHANGES {
        let output = Folder::new(change).compare(args);
        let found = said(&output);
        golden(name, &found);
        assert_eq!(output.status.code(), Some(code), "{name}:\n{found}");
        assert!(
            found.starts_with(sentence),
            "{name}: expected `{sentence}`:\n{found}"
        );
    }
}

#[test]
fn a_file_is_the_same_as_itself() {
    let output = Folder::new(|_| ()).run(&["compare", "base.json", "base.json"]);
    let said = text(&output.stdout);
    let sentence = "No regression: 5 cells, time identical, memory identical, loss identical, counted work identical.";
    assert_eq!(
        (output.status.code(), said.lines().next().unwrap()),
        (Some(0), sentence)
    );
    assert!(!said.contains("NaN") && !said.contains("inf"), "{said}");
}

#[test]
fn programs_get_every_row() {
    let folder = Folder::new(slowdown);
    let json =
        |args: &[&str]| serde_json::from_slice::<Value>(&folder.compare(args).stdout).unwrap();
    let found = json(&["--format", "json"]);
    assert_eq!(
        (&found["schema"], &found["exit_code"], &found["verdict"]),
        (&"effbench.compare/1".into(), &1.into(), &"regressed".into())
    );
    let rows = found["rows"].as_array().unwrap();
    let row = rows
        .iter()
        .find(|r| r["cell"] == "gpt2/w32@400" && r["metric"] == "train_tokens_per_s")
        .unwrap();
    assert_eq!(
        (&row["method"], &row["setting"], &row["verdict"]),
        (
            &"paired_t".into(),
            &"interleaved".into(),
            &"regressed".into()
        )
    );
    let csv = text(&folder.compare(&["--format", "csv"]).stdout);
    let suite = found["suite"].as_array().unwrap();
    assert_eq!(csv.lines().count(), rows.len() + suite.len() + 1);
    let columns = csv.lines().next().unwrap().split(',').count();
    assert!(
        csv.lines()
            .filter(|line| !line.contains('"'))
            .all(|line| line.split(',').count() == columns),
        "{csv}"
    );
    let bencher = json(&["--format", "bencher"]);
    let speed = &bencher["gpt2/w32@400"]["train_tokens_per_s"];
    assert!(
        speed["lower_value"].as_f64() < speed["value"].as_f64()
            && speed["value"].as_f64() < speed["upper_value"].as_f64()
    );
    let action = json(&["--format", "github-action-benchmark"]);
    let entry = action
        .as_array()
        .unwrap()
        .iter()
        .find(|e| e["name"] == "gpt2/w32@400: 1 / train_tokens_per_s")
        .unwrap();
    assert_eq!(entry["unit"], "s");
    assert!(
        (entry["value"].as_f64().unwrap() * speed["value"].as_f64().unwrap() - 1.0).abs() < 1e-9,
        "{entry}"
    );
}

/// A result file may come from anyone.
#[test]
fn hostile_names_stay_names() {
    let folder = Folder::new(|file| {
        slowdown(file);
        file["machines"][0]["kernel"] = "</details><script>|x| @someone \u{1b}[31m".into();
    });
    let markdown = text(&folder.compare(&["--format", "markdown"]).stdout);
    assert!(
        !markdown.contains("<script")
            && !markdown.contains("|x|")
            && !markdown.contains(" @someone"),
        "{markdown}"
    );
    assert_eq!(markdown.matches("</details>").count(), 1);
    assert!(!text(&folder.compare(&[]).stdout).contains('\u{1b}'));
}
