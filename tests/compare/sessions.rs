//! What differs between sessions and over time: drift, history, alarms, and runs again.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::{Change, Folder, GOOD, golden, noisy, said, session, slow, slowdown, text, trials};

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
    let says = "Cannot tell about time; no regression found in the rest: 5 cells, time not resolved between sessions, which may differ by 106% (the whole suite trains 70% slower now)";
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
