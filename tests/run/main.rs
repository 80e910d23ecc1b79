//! `effbench run` from outside: a real suite of tiny models, killed, resumed, repeated, and refused.
#![cfg(feature = "run")]

mod against;
mod campaign;
mod challenge;
mod parts;
mod refused;
mod stages;
mod surroundings;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use effbench::record::{ResultFile, Status, Trial, journal, store};

const SUITE: &str = include_str!("../fixtures/tiny.toml");

fn effbench(folder: &Path, args: &[&str]) -> Output {
    command(folder, args).output().unwrap()
}

fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_effbench"));
    command
        .current_dir(folder)
        .args(args)
        .env_remove("RAYON_NUM_THREADS")
        .stdin(Stdio::null());
    command
}

fn folder_with_suite() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("tiny.toml"), SUITE).unwrap();
    folder
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn read(folder: &Path, name: &str) -> ResultFile {
    store::read_valid(&folder.join(name)).unwrap()
}

/// Cell, repeat and the bits of the losses of every trial.
fn losses(file: &ResultFile) -> Vec<(String, u64, Vec<u64>)> {
    let mut rows: Vec<_> = file
        .trials
        .iter()
        .map(|trial| {
            let bits = trial
                .curve
                .train_loss_nats
                .iter()
                .flatten()
                .chain(trial.curve.val_loss_nats.iter().flatten());
            (
                trial.cell.clone(),
                trial.repeat,
                bits.map(|loss| loss.to_bits()).collect(),
            )
        })
        .collect();
    rows.sort();
    rows
}

/// What a step of each variant asks of the fused ops, in operations and bytes.
fn work(file: &ResultFile) -> BTreeSet<(String, Vec<u64>)> {
    let counts = |trial: &Trial| {
        ["step_ops", "step_tensor_bytes"]
            .map(|name| trial.metric(name).unwrap() as u64)
            .to_vec()
    };
    file.trials
        .iter()
        .map(|trial| (trial.variant.clone(), counts(trial)))
        .collect()
}

#[test]
fn a_suite_runs_answers_and_repeats_to_the_bit() {
    let folder = folder_with_suite();
    let here = folder.path();
    let first = effbench(here, &["run", "./tiny.toml", "--out", "a.json"]);
    assert_eq!(first.status.code(), Some(0), "{}", stderr(&first));
    let text = String::from_utf8_lossy(&first.stdout);
    for expected in ["gpt2/w16@10", "modern/w16@40", "energy", "a.json"] {
        assert!(text.contains(expected), "{expected} is not in\n{text}");
    }
    assert_eq!(
        stderr(&first).matches("tokens/s").count(),
        8,
        "one line a trial: {}",
        stderr(&first)
    );
    let a = read(here, "a.json");
    assert_eq!(a.trials.len(), 8);
    assert!(
        a.trials
            .iter()
            .all(|trial| trial.status == Status::Ok && trial.metric("mfu").is_some())
    );
    assert!(
        a.run.command.starts_with("effbench run tiny.toml"),
        "{}",
        a.run.command
    );

    // What a step asks of the fused ops is the same for every repeat, seed and budget of a variant.
    assert!(
        work(&a).len() == 2
            && work(&a)
                .iter()
                .all(|(_, counts)| counts.iter().all(|n| *n > 20)),
        "{:?}",
        work(&a)
    );

    // A second process, and one thread instead of all: the same bits.
    for threads in ["1", "2"] {
        let threads = format!("compute.threads={threads}");
        let rest = ["--out", "b.json", "--fresh", "--set", &threads];
        let again = effbench(here, &[&["run", "./tiny.toml"], &rest[..]].concat());
        assert_eq!(again.status.code(), Some(0), "{}", stderr(&again));
        let b = read(here, "b.json");
        assert_eq!((losses(&a), work(&a)), (losses(&b), work(&b)), "{threads}");
    }

    // What is there is not touched without being told to.
    let refused = effbench(here, &["run", "./tiny.toml", "--out", "a.json"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        stderr(&refused).contains("--resume") && stderr(&refused).contains("--fresh"),
        "{}",
        stderr(&refused)
    );
    let resumed = effbench(here, &["run", "./tiny.toml", "--out", "a.json", "--resume"]);
    assert_eq!(resumed.status.code(), Some(0), "{}", stderr(&resumed));
    assert_eq!(a, read(here, "a.json"));
}

#[test]
fn a_kill_loses_no_finished_trial_and_repeats_none() {
    let folder = folder_with_suite();
    let here = folder.path();
    let undisturbed = effbench(here, &["run", "./tiny.toml", "--out", "whole.json"]);
    assert_eq!(
        undisturbed.status.code(),
        Some(0),
        "{}",
        stderr(&undisturbed)
    );

    let partial = here.join("killed.json.partial");
    let mut kept = Vec::new();
    for round in 1..=3 {
        let args = ["run", "./tiny.toml", "--out", "killed.json", "--resume"];
        let mut run = command(here, &args)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let began = Instant::now();
        while journal::read_journal(&partial).unwrap().trials.len() < 2 * round {
            assert!(
                began.elapsed() < Duration::from_secs(120),
                "no trial finished"
            );
            assert!(
                run.try_wait().unwrap().is_none(),
                "the run ended before it was killed"
            );
            thread::sleep(Duration::from_millis(2));
        }
        run.kill().unwrap();
        run.wait().unwrap();
        let trials = journal::read_journal(&partial).unwrap().trials;
        for earlier in &kept {
            assert!(
                trials.contains(earlier),
                "a finished trial was lost or run again"
            );
        }
        kept = trials;
    }
    // Without --out, the newest unfinished run of the suite is looked for in results/ only: name this one.
    let resumed = effbench(
        here,
        &["run", "./tiny.toml", "--out", "killed.json", "--resume"],
    );
    assert_eq!(resumed.status.code(), Some(0), "{}", stderr(&resumed));
    let file = read(here, "killed.json");
    for earlier in &kept {
        assert!(
            file.trials.contains(earlier),
            "a finished trial was lost or run again"
        );
    }
    assert_eq!(losses(&file), losses(&read(here, "whole.json")));
    assert!(!partial.exists());
}

#[test]
fn a_run_that_blows_up_is_recorded_as_diverged_and_the_suite_goes_on() {
    let folder = folder_with_suite();
    let here = folder.path();
    let blow = [
        "--set",
        "train.optimizer.kind=sgd",
        "--set",
        "train.optimizer.lr=1e8",
        "--set",
        "train.clip=0",
    ];
    let args = [
        &[
            "run",
            "./tiny.toml",
            "--out",
            "a.json",
            "--variants",
            "gpt2",
        ],
        &blow[..],
    ]
    .concat();
    let output = effbench(here, &args);
    assert_eq!(output.status.code(), Some(5), "{}", stderr(&output));
    let file = read(here, "a.json");
    assert_eq!(file.trials.len(), 4);
    assert!(
        file.trials
            .iter()
            .all(|trial| trial.status == Status::Diverged && trial.reason.is_some())
    );
    assert!(String::from_utf8_lossy(&output.stdout).contains("diverged"));
}

#[test]
fn bad_input_is_a_sentence_with_a_hint_and_nothing_is_written() {
    let folder = folder_with_suite();
    let here = folder.path();
    fs::write(
        here.join("malformed.toml"),
        "about = \"x\"\nrepeats = = 3\n",
    )
    .unwrap();
    fs::write(here.join("empty.txt"), "").unwrap();
    fs::write(here.join("short.txt"), "to be").unwrap();
    fs::write(
        here.join("binary.bin"),
        [0u8, 159, 146, 150, 0, 255].repeat(2000),
    )
    .unwrap();
    let before = names(here);
    let rows: &[(&[&str], &str)] = &[
        (&["run", "quik"], "quick"),
        (&["run", "./nowhere.toml"], "nowhere.toml"),
        (&["run", "--variants", "gtp2"], "gpt2"),
        (&["run", "--scales", "32"], "w64"),
        (&["run", "--set", "train.optimizr.lr=1"], "train.optimizer"),
        (&["run", "--set", "model.mixer.kind=atention"], "attention"),
        (&["run", "--set", "train.schedule.kind=cosin"], "cosine"),
        (&["run", "--set", "train.steps=-3"], "train.steps"),
        (
            &["run", "--set", "train.steps=10", "--set", "train.tokens=10"],
            "train.",
        ),
        (
            &["run", "--set", "model.width=33", "--set", "model.heads=2"],
            "model.width",
        ),
        (&["run", "--data", "nothing.txt"], "nothing.txt"),
        (&["run", "--data", "empty.txt"], "empty"),
        (&["run", "--data", "short.txt"], "short"),
        (
            &[
                "run",
                "--data",
                "binary.bin",
                "--set",
                "data.tokenizer=char",
            ],
            "binary.bin",
        ),
        (&["run", "./malformed.toml"], "malformed.toml:2"),
        (&["run", "--device", "gpu"], "cuda"),
        (&["run", "--out", "tiny.toml/x.json"], "tiny.toml"),
        (&["run", "--out", "/proc/nothing/x.json"], "/proc"),
        (&["show", "lama"], "llama"),
        (&["list", "variant"], "variants"),
    ];
    for (args, says) in rows {
        let output = effbench(here, args);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
        assert!(
            said.contains("error: ") && said.contains(says),
            "{args:?}: {said}"
        );
        assert!(said.contains("hint: "), "{args:?} has no hint: {said}");
        assert!(said.lines().count() <= 5, "{args:?} says too much: {said}");
        assert!(!said.contains("panicked"), "{args:?}: {said}");
        assert_eq!(names(here), before, "{args:?} wrote something");
    }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn text_of_ones_own_is_trained_on_and_its_path_stays_out_of_the_record() {
    let folder = folder_with_suite();
    let here = folder.path();
    let secret = here.join("private-folder");
    fs::create_dir(&secret).unwrap();
    let line = |i: usize| format!("line {} of a text that says {} things\n", i, i * i % 97);
    fs::write(
        secret.join("story.txt"),
        (0..400).map(line).collect::<String>(),
    )
    .unwrap();
    let path = secret.join("story.txt");
    let args = [
        "run",
        "./tiny.toml",
        "--variants",
        "gpt2",
        "--repeats",
        "1",
        "--data",
        path.to_str().unwrap(),
    ];
    let output = effbench(here, &[&args[..], &["--out", "text.json"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let written = fs::read_to_string(here.join("text.json")).unwrap();
    assert!(
        !written.contains("private-folder"),
        "a path of the user is in the record"
    );
    let file = read(here, "text.json");
    assert!(
        file.run.command.contains("story.txt#blake3:"),
        "{}",
        file.run.command
    );
    let trial = &file.trials[0];
    let (nats, bits) = (
        trial.metric("val_loss_nats").unwrap(),
        trial.metric("val_bits_per_byte").unwrap(),
    );
    assert!(
        (nats / std::f64::consts::LN_2 - bits).abs() < 1e-9,
        "characters of this text are bytes"
    );
}
