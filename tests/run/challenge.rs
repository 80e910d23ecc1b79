//! `effbench challenge` from outside: what the rules refuse before anything is trained, a plan, and lines of a committed file.

use std::fs;
use std::path::Path;

use super::{effbench, stderr};

const FRONTIER: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/results/zoo-epyc-19h-1c-linux.json"
);

#[test]
fn what_breaks_a_rule_is_refused_in_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let files = [
        ("easier.toml", "base = \"gpt2\"\n[data]\nagreement = 0.9\n"),
        ("longer.toml", "base = \"gpt2\"\n[train]\nsteps = 3200\n"),
        ("batch.toml", "base = \"gpt2\"\n[train]\nbatch = 32\n"),
        (
            "begun.toml",
            "base = \"gpt2\"\n[model]\nfrom = \"kept.safetensors\"\n",
        ),
        ("gpt2.toml", "base = \"llama\"\n[model]\nlayers = 3\n"),
        ("alone.toml", "[model]\nffn.ratio = 2\n"),
        ("typo.toml", "base = \"gpt2\"\n[model]\nlayerz = 3\n"),
        (
            "suite.toml",
            "base = \"gpt2\"\n[[cells]]\nvariants = [\"gpt2\"]\n",
        ),
    ];
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let fixed = "the protocol fixes this key for all\nhint: leave it out";
    let rows = [
        ("./easier.toml", 4, "easier.toml:3: data.agreement = 0.9: "),
        ("./easier.toml", 4, fixed),
        ("./longer.toml", 4, "longer.toml:3: train.steps = 3200: "),
        ("./batch.toml", 4, "batch.toml:3: train.batch = 32: "),
        ("./begun.toml", 4, "model.from = "),
        ("./gpt2.toml", 4, "gpt2: the name of the base"),
        ("gpt2", 4, "gpt2: the name of the base"),
        (
            "./alone.toml",
            4,
            "alone: it begins with no variant, and so has no train",
        ),
        (
            "./alone.toml",
            4,
            "hint: its first line is `base = \"gpt2\"`",
        ),
        ("./typo.toml", 2, "layerz"),
        ("./suite.toml", 2, "cells"),
        ("./nowhere.toml", 2, "nowhere.toml"),
        ("./nowhere.json", 2, "nowhere.json"),
    ];
    for (file, code, says) in rows {
        let output = effbench(folder.path(), &["challenge", file, "--against", FRONTIER]);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{file}: {said}");
        assert!(said.contains(says), "{file}: {said}");
        assert!(
            output.stdout.is_empty() && said.lines().count() <= 2,
            "{file}: {said}"
        );
    }
    let left = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, files.len(), "nothing is written");
}

/// Nothing is trained for a command that cannot go on, nor twice for one that does.
#[test]
fn what_is_there_is_refused_or_taken_before_the_base_is_trained() {
    let folder = tempfile::tempdir().unwrap();
    let mine = "base = \"gpt2+rope\"\n[model]\nffn.ratio = 2\n";
    fs::write(folder.path().join("mine.toml"), mine).unwrap();
    let run = |more: &[&str]| {
        let args = ["challenge", "mine.toml", "--against", FRONTIER];
        effbench(folder.path(), &[&args[..], more].concat())
    };
    fs::create_dir(folder.path().join("challenge-mine.json.partial")).unwrap();
    let output = run(&[]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("challenge-mine.json.partial is already there"),
        "{said}"
    );
    assert!(!said.contains("a trial of gpt2 first"), "{said}");
    fs::remove_dir(folder.path().join("challenge-mine.json.partial")).unwrap();
    // What was kept is another's here, which is found out next.
    let theirs = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/results/challenge/rope-lean.json"
    );
    fs::copy(theirs, folder.path().join("challenge-mine.json")).unwrap();
    let output = run(&["--resume"]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("not part of this plan"), "{said}");
    assert!(!said.contains("a trial of gpt2 first"), "{said}");
}

#[test]
fn without_the_file_it_is_held_against_there_is_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    let output = effbench(folder.path(), &["challenge", "gpt2+rope"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("in the root of a clone of the repository"));
    let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/quick.json");
    let output = effbench(
        folder.path(),
        &["challenge", "gpt2+rope", "--against", fixture],
    );
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    assert!(stderr(&output).contains("held against a result of suite zoo"));
}

#[test]
fn a_plan_is_of_the_challenger_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("mine.toml"),
        "base = \"gpt2+rope\"\n[model]\nffn.ratio = 2\n",
    )
    .unwrap();
    let args = ["challenge", "mine.toml", "--dry-run", "--against", FRONTIER];
    let output = effbench(folder.path(), &args);
    let said = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(
        said.contains("would run 32 trials, 20 of them to choose learning rates: mine/w32@400"),
        "{said}"
    );
    assert!(
        said.contains("mine/w32@1600 at 4 repeats") && !said.contains("gpt2/"),
        "{said}"
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

/// The table of docs/challenge.md is what the program says of the committed files.
#[test]
fn the_table_of_the_page_is_what_the_program_prints() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/challenge.md")).unwrap();
    let command = "effbench challenge results/challenge/*.json results/zoo-epyc-19h-1c-linux.json";
    assert!(page.contains(command), "the page names the command");
    let mut files: Vec<String> = fs::read_dir(root.join("results/challenge"))
        .unwrap()
        .map(|entry| format!("results/challenge/{}", entry.unwrap().file_name().display()))
        .collect();
    files.sort();
    assert!(files.len() >= 3, "{files:?}");
    files.push("results/zoo-epyc-19h-1c-linux.json".to_owned());
    let args: Vec<&str> = ["challenge"]
        .into_iter()
        .chain(files.iter().map(String::as_str))
        .collect();
    let output = effbench(root, &args);
    let said = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(said.lines().count(), 2 + files.len() - 1 + 19);
    assert!(page.contains(said.trim()), "{said}");
}

/// A sweep whose losses were lowered where somebody wanted his rate to be chosen is found out from the file alone.
#[test]
fn a_file_whose_rates_are_not_its_sweeps_is_refused() {
    let theirs = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/results/challenge/rope-lean.json"
    );
    let text = fs::read_to_string(theirs).unwrap();
    let mut file: serde_json::Value = serde_json::from_str(&text).unwrap();
    for trial in file["trials"].as_array_mut().unwrap() {
        let lr = trial["spec"]["train"]["optimizer"]["lr"].as_f64().unwrap();
        if trial["lr_source"]["kind"] == "grid" && lr > 0.04 {
            for name in ["val_loss_nats", "excess_loss_nats"] {
                let loss = &mut trial["metrics"][name]["value"];
                *loss = (loss.as_f64().unwrap() - 0.4).into();
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("forged.json"), file.to_string()).unwrap();
    let args = ["challenge", "forged.json", "--against", FRONTIER];
    let output = effbench(folder.path(), &args);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(4), "{said}");
    let hand = "rate chosen by hand: not comparable (it trained at 0.0";
    assert!(said.contains(hand), "{said}");
    assert!(output.stdout.is_empty());
}
