//! `effbench compare` from outside: made-up changes of a known file, each with its verdict, sentence and exit code as a golden
//! file; the formats; and what is refused.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

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
            let loss = &mut trial["metrics"]["val_loss_nats"]["value"];
            *loss = (loss.as_f64().unwrap() + nats + 0.01 * luck("loss", place)).into();
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

/// Energy that one side reads and the other works out.
fn metered(file: &mut Value) {
    for trial in trials(file) {
        let channel = &mut trial["energy"]["channels"][0];
        channel["method"] = "modelled".into();
        channel["source"] = "tdp_x_util".into();
        channel["energy_j"] = 5.0.into();
        trial["energy"]["measured_j"] = Value::Null;
    }
}

/// The fixture's noise, and joules by a counter.
fn with_meter(mut file: Value) -> Value {
    for trial in trials(&mut file) {
        let channel = &mut trial["energy"]["channels"][0];
        channel["method"] = "counter".into();
        channel["energy_j"] = 5.0.into();
        trial["energy"]["measured_j"] = 5.0.into();
        trial["metrics"]["energy_j_per_train_token"] = serde_json::json!({
            "value": 1e-5, "unit": "J/token", "better": "lower", "kind": "sampled", "n": null, "sd": null, "se": null,
            "samples": [], "reason": null,
        });
    }
    file
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

#[test]
fn every_change_has_its_verdict_sentence_and_exit_code() {
    let rows: [(&str, Change, &[&str], i32, &str); 17] = [
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
            "Cannot tell about time; no regression found in the rest: 5 cells, time not told between",
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
    for (name, change, args, code, sentence) in rows {
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
fn unlike_meters_are_never_compared() {
    let folder = Folder::new(|_| ());
    let base = with_meter(noisy("base"));
    let mut new = base.clone();
    folder.write("base.json", &base.to_string());
    folder.write("new.json", &new.to_string());
    let metric = ["--metric", "energy_j_per_train_token"];
    let same = folder.compare(&metric);
    assert!(
        text(&same.stdout).starts_with("No regression: 5 cells, energy identical."),
        "{}",
        said(&same)
    );
    metered(&mut new);
    folder.write("new.json", &new.to_string());
    let unlike = folder.compare(&metric);
    golden("unlike_meters", &said(&unlike));
    let sentence = "Not comparable: 5 cells, energy not compared (unlike meters: cpu_package by rapl.powercap (counter) against";
    assert!(
        text(&unlike.stdout).starts_with(sentence) && unlike.status.code() == Some(4),
        "{}",
        said(&unlike)
    );
}

#[test]
fn what_cannot_be_read_is_refused_in_a_sentence() {
    let folder = Folder::new(|_| ());
    let good = fs::read_to_string(folder.0.path().join("new.json")).unwrap();
    let rows = [
        (
            "other_schema",
            good.replace("effbench.result/2", "effbench.result/3"),
            "newer than this build reads",
        ),
        (
            "corrupt",
            good[..good.len() / 2].to_owned(),
            "not JSON: EOF",
        ),
    ];
    for (name, new, says) in rows {
        folder.write("new.json", &new);
        let output = folder.compare(&[]);
        let found = said(&output);
        golden(name, &found);
        assert_eq!(
            (output.status.code(), output.stdout.len()),
            (Some(2), 0),
            "{found}"
        );
        assert!(found.contains(says), "{found}");
    }
    let rows: [(&[&str], &str); 8] = [
        (&["compare", "base.json"], "one arm only"),
        (
            &["compare", "base.json", "--base-arm", "gpt2"],
            "both --base-arm and --new-arm",
        ),
        (
            &[
                "compare",
                "base.json",
                "--base-arm",
                "gpt2",
                "--new-arm",
                "moderm",
            ],
            "did you mean `modern`?",
        ),
        (
            &[
                "compare",
                "base.json",
                "base.json",
                "--metric",
                "val_los_nats",
            ],
            "did you mean `val_loss_nats`?",
        ),
        (
            &["compare", "base.json", "base.json", "--margin", "mfu=x"],
            "`x` is not a margin",
        ),
        (
            &["compare", "base.json", "base.json", "--accept", "a=b"],
            "expected CELL:METRIC=REASON",
        ),
        (
            &["compare", "none.json", "base.json"],
            "none.json: cannot be read",
        ),
        (
            &["history", "base.json", "--cell", "gpt2/w32@40"],
            "did you mean `gpt2/w32@400`?",
        ),
    ];
    for (args, says) in rows {
        let output = folder.run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(
            text(&output.stderr).contains(says),
            "{args:?}: {}",
            text(&output.stderr)
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
fn the_arms_inside_a_file_are_compared() {
    let folder = Folder::new(slowdown);
    let output = folder.run(&[
        "compare",
        "new.json",
        "--base-arm",
        "gpt2",
        "--new-arm",
        "modern",
    ]);
    let said = text(&output.stdout);
    assert!(
        said.starts_with("modern/w32@800 against gpt2/w32@800 trains 68% slower"),
        "{said}"
    );
    assert_eq!(output.status.code(), Some(1), "{said}");
    // Two builds that ran in turn: the base's trials and the new side's in one file.
    let mut both = noisy("base");
    trials(&mut both)
        .iter_mut()
        .for_each(|trial| trial["arm"] = "main".into());
    let mut new = noisy("new");
    slowdown(&mut new);
    for trial in trials(&mut new) {
        trial["arm"] = "head".into();
        trial["id"] = format!("{}-head", trial["id"].as_str().unwrap()).into();
    }
    trials(&mut both).extend(trials(&mut new).clone());
    folder.write("both.json", &both.to_string());
    let output = folder.run(&["compare", "both.json"]);
    let said = text(&output.stdout);
    assert!(
        said.starts_with("gpt2/w32@400 trains 12% slower (95%"),
        "{said}"
    );
    assert!(
        said.contains("Base main of both.json, 20 trials; new head of both.json, 20 trials"),
        "{said}"
    );
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

#[test]
fn files_are_merged_unless_they_contradict_each_other() {
    let folder = Folder::new(slowdown);
    let refused = folder.run(&["merge", "base.json", "new.json", "--out", "all.json"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        text(&refused.stderr).contains("gpt2/w32@400 repeat 0 in base.json and new.json"),
        "{}",
        text(&refused.stderr)
    );
    assert!(!folder.0.path().join("all.json").exists());
    let mut shards = [noisy("base"), noisy("base")];
    for (k, shard) in shards.iter_mut().enumerate() {
        trials(shard).retain(|trial| trial["repeat"].as_u64().unwrap() % 2 == k as u64);
        folder.write(&format!("shard{k}.json"), &shard.to_string());
    }
    let merged = folder.run(&["merge", "shard0.json", "shard1.json", "--out", "all.json"]);
    assert_eq!(
        text(&merged.stdout),
        "all.json: 20 trials from 2 files\n",
        "{}",
        text(&merged.stderr)
    );
    let same = folder.run(&["compare", "base.json", "all.json"]);
    assert!(
        text(&same.stdout).starts_with("No regression: 5 cells, time identical"),
        "{}",
        text(&same.stdout)
    );
}

#[test]
fn a_history_shows_the_step() {
    let folder = Folder::new(|_| ());
    fs::create_dir(folder.0.path().join("nightly")).unwrap();
    for day in 1..=8 {
        let mut file = noisy(&format!("day {day}"));
        file["run"]["started_at"] = format!("2026-10-{day:02}T10:00:00Z").into();
        if day > 5 {
            slowdown(&mut file);
        }
        folder.write(&format!("nightly/{day}.json"), &file.to_string());
    }
    let output = folder.run(&["history", "nightly", "--cell", "gpt2/w32@400"]);
    golden("history", &said(&output));
    assert!(
        text(&output.stdout).contains("it changed for good by -11% at 2026-10-06T10:00:00Z"),
        "{}",
        said(&output)
    );
    let json = folder.run(&[
        "history",
        "nightly",
        "--cell",
        "gpt2/w32@400",
        "--metric",
        "val_loss_nats",
        "--format",
        "json",
    ]);
    let found: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(
        (
            &found["histories"][0]["points"][7]["n"],
            &found["histories"][0]["step"]
        ),
        (&4.into(), &Value::Null)
    );
}

#[test]
fn a_machine_is_told_how_often_it_would_alarm() {
    let folder = Folder::new(|_| ());
    let output = folder.run(&["compare", "--self-test", "base.json", "--repeats", "8"]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(
        said.starts_with(
            "Where nothing changed, this machine at n = 8 would raise a false alarm in at most"
        ),
        "{said}"
    );
    assert!(
        Path::new(GOOD).exists() && said.contains("train_tokens_per_s"),
        "{said}"
    );
}

/// Nightly runs whose speed jumps by 15%: a slowdown of 12% between sessions is nothing that they have not seen; in one session it is.
#[test]
fn earlier_sittings_widen_the_margin_between_sittings() {
    let folder = Folder::new(|file| {
        slowdown(file);
        session(file);
    });
    fs::create_dir(folder.0.path().join("nightly")).unwrap();
    for day in 1..=7 {
        let mut file = noisy(&format!("day {day}"));
        file["run"]["started_at"] = format!("2026-10-{day:02}T10:00:00Z").into();
        trials(&mut file)
            .iter_mut()
            .for_each(|trial| slow(trial, if day % 2 == 0 { 1.15 } else { 1.0 }));
        folder.write(&format!("nightly/{day}.json"), &file.to_string());
    }
    assert_eq!(folder.compare(&[]).status.code(), Some(1));
    let output = folder.compare(&["--history", "nightly"]);
    golden("slowdown_within_history", &said(&output));
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(
        text(&output.stdout).contains("(history)"),
        "{}",
        said(&output)
    );
    let few = folder.compare(&["--history", "nightly/1.json", "--history", "nightly/2.json"]);
    assert_eq!(few.status.code(), Some(1));
    assert!(
        text(&few.stderr).contains("note: --history: no cell has five earlier sessions"),
        "{}",
        said(&few)
    );
}

/// A file whose training steps ask for so many fused ops, on that device.
fn counting(mut file: Value, ops: u64, device: &str) -> Value {
    for trial in trials(&mut file) {
        trial["metrics"]["step_ops"] = serde_json::json!({
            "value": ops, "unit": "ops", "better": "lower", "kind": "exact", "n": null, "sd": null, "se": null,
            "samples": [], "reason": null,
        });
        trial["spec"]["compute"]["device"] = device.into();
        trial["spec_sha256"] = effbench::record::spec_sha256(&trial["spec"]).into();
    }
    file
}

/// One op more is told from a single trial; what an older build did not count is no doubt, and a GPU does other work.
#[test]
fn counted_ops_gate_by_equality() {
    let folder = Folder::new(|_| ());
    let rows: [(Value, i32, &str); 4] = [
        (
            counting(noisy("new"), 62, "cpu"),
            0,
            "counted work identical.",
        ),
        (
            counting(noisy("new"), 63, "cpu"),
            1,
            "gpt2/w32@400 has 1.6% more step_ops (n = 4): regression",
        ),
        (noisy("new"), 0, "counted work identical."),
        (
            counting(noisy("new"), 90, "cuda:0"),
            0,
            "counted work identical.",
        ),
    ];
    folder.write("base.json", &counting(noisy("base"), 62, "cpu").to_string());
    for (new, code, says) in rows {
        folder.write("new.json", &new.to_string());
        let output = folder.compare(&[]);
        let said = said(&output);
        assert!(
            output.status.code() == Some(code) && said.lines().next().unwrap().contains(says),
            "{said}"
        );
    }
}

/// Two repeats of every cell, three times slower and a whole nat worse, give or take a hundredth.
fn ruined(file: &mut Value) {
    trials(file).iter_mut().for_each(|trial| slow(trial, 3.0));
    unlearn(file, 1.0, |_| true);
}

fn lost(file: &mut Value, cells: &[&str]) {
    trials(file).retain(|trial| !cells.contains(&trial["cell"].as_str().unwrap()));
}

/// Two of four seeds that finished diverge now.
fn half_diverging(file: &mut Value) {
    let all = trials(file).clone();
    diverging(file);
    for (trial, was) in trials(file).iter_mut().zip(all) {
        if trial["repeat"].as_u64().unwrap() >= 2 {
            *trial = was;
        }
    }
}

/// What is gone, is called otherwise, or newly diverges is in the first sentence, and strict gates do not pass it.
#[test]
fn what_the_base_has_and_the_new_side_has_not_is_said_first() {
    let one: Change = |f| lost(f, &["gpt2/w32@400"]);
    let most: Change = |f| {
        lost(
            f,
            &[
                "gpt2/w32@400",
                "gpt2/w32@800",
                "gpt2/w32@1600",
                "modern/w32@800",
            ],
        )
    };
    let called: Change = |f| {
        for trial in trials(f).iter_mut().filter(|t| t["cell"] == "gpt2/w32@400") {
            (trial["cell"], trial["arm"]) = ("gpt2/small".into(), "gpt2/small".into());
        }
    };
    let rows: [(Change, &str); 3] = [
        (
            one,
            "1 of 5 cells of base.json is missing from new.json (gpt2/w32@400); of the rest: no regression: 4 cells",
        ),
        (
            most,
            "4 of 5 cells of base.json are missing from new.json (gpt2/w32@400, gpt2/w32@800, gpt2/w32@1600 and 1 more)",
        ),
        (
            called,
            "1 of 5 cells of base.json is missing from new.json (gpt2/w32@400, there as gpt2/small)",
        ),
    ];
    for (change, says) in rows {
        let folder = Folder::new(change);
        let loose = folder.compare(&[]);
        assert!(
            text(&loose.stdout).starts_with(says) && loose.status.code() == Some(0),
            "{}",
            said(&loose)
        );
        for gate in ["conclusive", "equivalent"] {
            let strict = folder.compare(&["--gate", gate]);
            assert!(
                text(&strict.stdout).starts_with("Not comparable: "),
                "{gate}: {}",
                said(&strict)
            );
            assert_eq!(strict.status.code(), Some(4), "{gate}");
        }
    }
    let output = Folder::new(half_diverging).compare(&[]);
    let says = "gpt2/w32@400 diverges in 2 of 4 trials, before in 0 of 4 (n = 4): regression";
    assert!(text(&output.stdout).starts_with(says), "{}", said(&output));
    assert!(
        output.status.code() == Some(1) && text(&output.stdout).contains("at seed 0, 1, where"),
        "{}",
        said(&output)
    );
}

/// Each cell alone has too few repeats, and all together leave no doubt.
#[test]
fn two_repeats_of_a_ruined_suite_are_a_regression() {
    for later in [false, true] {
        let folder = Folder::new(|_| ());
        let (mut base, mut new) = (noisy("base"), noisy("new"));
        ruined(&mut new);
        if later {
            session(&mut new);
        }
        for (name, file) in [("base.json", &mut base), ("new.json", &mut new)] {
            trials(file).retain(|trial| trial["repeat"].as_u64() < Some(2));
            folder.write(name, &file.to_string());
        }
        let output = folder.compare(&[]);
        let said = said(&output);
        assert!(
            output.status.code() == Some(1) && said.starts_with("The whole suite of 5 cells "),
            "{said}"
        );
        assert!(
            said.contains("trains 200% slower")
                && said.contains("validation loss 1.00 nats higher"),
            "{said}"
        );
    }
}

/// Every cell 1.7 times slower in another session: a regression where calibrations stood still, and no word of none where they did not.
#[test]
fn a_slow_sitting_reads_as_what_it_is() {
    let slower: Change = |file| {
        trials(file).iter_mut().for_each(|trial| slow(trial, 1.7));
        session(file);
    };
    let steady = Folder::new(slower).compare(&[]);
    assert!(
        steady.status.code() == Some(1) && text(&steady.stdout).contains("70% slower"),
        "{}",
        said(&steady)
    );
    let folder = Folder::new(slower);
    for name in ["base.json", "new.json"] {
        let mut file: Value =
            serde_json::from_str(&fs::read_to_string(folder.0.path().join(name)).unwrap()).unwrap();
        file["calibrations"][1]["gemm_f32_flops_per_s"] = 8e10.into();
        folder.write(name, &file.to_string());
    }
    let unsteady = folder.compare(&[]);
    let says = "Cannot tell about time; no regression found in the rest: 5 cells, time not told between sessions, which may differ by 106% (the whole suite trains 70% slower now)";
    assert!(
        unsteady.status.code() == Some(0) && text(&unsteady.stdout).starts_with(says),
        "{}",
        said(&unsteady)
    );
    assert_eq!(
        folder.compare(&["--gate", "conclusive"]).status.code(),
        Some(3)
    );
}

/// Slower by 2.5% in every cell, which none of them shows for sure: the suite does.
#[test]
fn a_little_of_everything_is_seen() {
    let folder = Folder::new(|_| ());
    let noisier = |name: &str, times: f64| {
        let mut file = noisy(name);
        for (place, trial) in trials(&mut file).iter_mut().enumerate() {
            slow(
                trial,
                times * (1.0 + 0.025 * luck(&format!("{name} again"), place)),
            );
        }
        file.to_string()
    };
    folder.write("base.json", &noisier("base", 1.0));
    folder.write("new.json", &noisier("new", 1.0));
    let same = folder.compare(&["--metric", "train_tokens_per_s"]);
    assert_eq!(same.status.code(), Some(0), "{}", said(&same));
    folder.write("new.json", &noisier("new", 1.04));
    let slower = folder.compare(&["--metric", "train_tokens_per_s"]);
    assert!(
        slower.status.code() == Some(1) && text(&slower.stdout).contains("whole suite"),
        "{}",
        said(&slower)
    );
}

/// A margin that is lowered holds in one session, and is refused aloud between two.
#[test]
fn a_lowered_margin_is_honoured_or_refused_aloud() {
    let slower: Change = |file| trials(file).iter_mut().for_each(|trial| slow(trial, 1.012));
    let narrow = [
        "--metric",
        "train_tokens_per_s",
        "--margin",
        "train_tokens_per_s=0.5%",
    ];
    let folder = Folder::new(slower);
    assert_eq!(folder.compare(&narrow[..2]).status.code(), Some(0));
    let honoured = folder.compare(&narrow);
    assert!(
        honoured.status.code() == Some(1) && !text(&honoured.stdout).contains("(noise)"),
        "{}",
        said(&honoured)
    );
    let refused = Folder::new(|file| {
        trials(file).iter_mut().for_each(|trial| slow(trial, 1.012));
        session(file);
    })
    .compare(&narrow);
    let says = "Cannot tell: 5 cells, time not told between sessions, which may differ by 10% (the whole suite trains 1.3% slower now); the margin of 0.50%";
    assert!(
        refused.status.code() == Some(0) && text(&refused.stdout).starts_with(says),
        "{}",
        said(&refused)
    );
}

/// A folder that holds a merged file beside its parts has every trial once.
#[test]
fn a_merged_file_beside_its_parts_counts_once() {
    let folder = Folder::new(slowdown);
    fs::create_dir(folder.0.path().join("nights")).unwrap();
    for (day, name) in [(1, "a"), (2, "b")] {
        let mut file = noisy(name);
        file["run"]["started_at"] = format!("2026-10-{day:02}T10:00:00Z").into();
        for trial in trials(&mut file) {
            trial["started_at"] = trial["started_at"]
                .as_str()
                .unwrap()
                .replace("11-21", &format!("10-{day:02}"))
                .into();
            trial["id"] = format!("{}-{name}", trial["id"].as_str().unwrap()).into();
            trial["seed"] = (trial["seed"].as_u64().unwrap() + 10 * day).into();
            trial["repeat"] = (trial["repeat"].as_u64().unwrap() + 10 * day).into();
        }
        folder.write(&format!("nights/{name}.json"), &file.to_string());
    }
    let merged = folder.run(&[
        "merge",
        "nights/a.json",
        "nights/b.json",
        "--out",
        "nights/all.json",
    ]);
    assert_eq!(merged.status.code(), Some(0), "{}", text(&merged.stderr));
    let output = folder.run(&["compare", "nights", "new.json"]);
    assert!(
        text(&output.stdout).contains("Base nights, 40 trials; new new.json, 20 trials"),
        "{}",
        said(&output)
    );
    let history = folder.run(&[
        "history",
        "nights",
        "--cell",
        "gpt2/w32@400",
        "--format",
        "json",
    ]);
    let found: Value = serde_json::from_slice(&history.stdout).unwrap();
    let points = found["histories"][0]["points"].as_array().unwrap();
    assert_eq!(
        points
            .iter()
            .map(|p| p["n"].as_u64().unwrap())
            .collect::<Vec<_>>(),
        [4, 4],
        "{found}"
    );
}

/// The file of fresh repeats has the last word, in every format.
#[test]
fn fresh_repeats_have_the_last_word() {
    let folder = Folder::new(|_| ());
    let both = |name: &str, change: Change| {
        let (mut base, mut new) = (
            noisy(&format!("{name} base")),
            noisy(&format!("{name} head")),
        );
        change(&mut new);
        for (file, arm) in [(&mut base, "base"), (&mut new, "head")] {
            for trial in trials(file) {
                trial["arm"] = arm.into();
                trial["id"] = format!("{}-{arm}", trial["id"].as_str().unwrap()).into();
            }
        }
        trials(&mut base).extend(trials(&mut new).clone());
        base.to_string()
    };
    folder.write("both.json", &both("first", slowdown));
    folder.write("same.json", &both("again", |_| ()));
    folder.write("slow.json", &both("again", slowdown));
    let first = folder.run(&["compare", "both.json"]);
    assert_eq!(first.status.code(), Some(1), "{}", said(&first));
    for (name, code, mark) in [("same.json", 0, "✅"), ("slow.json", 1, "❌")] {
        let output = folder.run(&[
            "compare",
            "both.json",
            "--confirmed-by",
            name,
            "--format",
            "markdown",
        ]);
        assert!(
            output.status.code() == Some(code) && text(&output.stdout).starts_with(mark),
            "{}",
            said(&output)
        );
    }
}
