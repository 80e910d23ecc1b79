//! A sweep and shards of a run, each by itself.

use std::collections::BTreeSet;
use std::fs;

use effbench::record::{RateSource, Trial};

use crate::{SUITE, effbench, folder_with_suite, losses, read, stderr};

/// The suite with a sweep before it, and one budget.
fn tuned() -> String {
    let sweep = "first_seed = 1\ntune = { lr = [0.005, 0.01, 0.02] }";
    SUITE
        .replace("first_seed = 1", sweep)
        .replace("[10, 40]", "[10]")
}

/// Two parts of a run are its trials, by the same ids and the same bits; a sweep made once serves both.
#[test]
fn parts_of_a_run_fit_together() {
    let folder = folder_with_suite();
    let here = folder.path();
    fs::write(here.join("tuned.toml"), tuned()).unwrap();
    let run = |args: &[&str]| {
        let output = effbench(here, &[&["run", "./tuned.toml"], args].concat());
        assert_eq!(
            output.status.code(),
            Some(0),
            "{args:?}: {}",
            stderr(&output)
        );
    };
    run(&["--out", "whole.json"]);
    run(&["--shard", "sweep", "--out", "sweep.json"]);
    run(&["--shard", "1/2", "--rates", "sweep.json", "--out", "1.json"]);
    run(&["--shard", "2/2", "--rates", "sweep.json", "--out", "2.json"]);
    let parts = ["sweep.json", "1.json", "2.json"].map(|name| read(here, name));
    assert_eq!(parts.each_ref().map(|part| part.trials.len()), [12, 2, 2]);
    // A sweep looks at one part of the windows and is judged by another; every repeat draws a rate, and says so.
    for trial in parts.iter().flat_map(|part| &part.trials) {
        let part = if trial.in_sweep() {
            "validation"
        } else {
            "test"
        };
        assert_eq!(trial.spec["data"]["held_out"], part, "{}", trial.cell);
        match &trial.lr_source {
            RateSource::Grid => {}
            RateSource::Surface {
                from, ln_lr, draw, ..
            } => {
                let lr = trial.spec["train"]["optimizer"]["lr"].as_f64().unwrap();
                assert!(
                    (lr.ln() - ln_lr - draw).abs() < 1e-3 && *draw != 0.0,
                    "{:?}",
                    trial.lr_source
                );
                assert_eq!(from.as_deref(), Some("sweep.json"));
            }
            other => panic!("{}: {other}", trial.cell),
        }
    }
    let ids = |trials: Vec<&Trial>| -> BTreeSet<String> {
        trials.iter().map(|trial| trial.id.clone()).collect()
    };
    let whole = read(here, "whole.json");
    assert_eq!(
        ids(parts.iter().flat_map(|part| &part.trials).collect()),
        ids(whole.trials.iter().collect())
    );
    let mut rows: Vec<_> = parts.iter().flat_map(losses).collect();
    rows.sort();
    assert_eq!(rows, losses(&whole));
}

#[test]
fn parts_that_are_none_are_refused() {
    let folder = folder_with_suite();
    let here = folder.path();
    fs::write(here.join("tuned.toml"), tuned()).unwrap();
    let refused: [(&[&str], &str); 5] = [
        (
            &["run", "./tuned.toml", "--shard", "1/2"],
            "`effbench run ./tuned.toml --shard sweep --out rates.json`",
        ),
        (
            &["run", "./tiny.toml", "--shard", "sweep"],
            "chooses no learning rates",
        ),
        (
            &["run", "./tiny.toml", "--rates", "sweep.json"],
            "chooses no learning rates",
        ),
        (
            &["run", "./tiny.toml", "--shard", "3/3"],
            "the run has 2 repeats",
        ),
        (&["run", "./tiny.toml", "--shard", "3/2"], "write I/N"),
    ];
    for (args, says) in refused {
        let output = effbench(here, args);
        assert_eq!(
            output.status.code(),
            Some(2),
            "{args:?}: {}",
            stderr(&output)
        );
        assert!(
            stderr(&output).contains(says),
            "{args:?}: {}",
            stderr(&output)
        );
    }
}

/// Where no sweep speaks for a place nothing runs, until somebody asks for it by name.
#[test]
fn what_no_sweep_speaks_for_is_refused_and_what_the_hint_says_works() {
    let folder = folder_with_suite();
    let here = folder.path();
    fs::write(
        here.join("book.txt"),
        "It was the best of times, it was the worst of times.\n".repeat(4000),
    )
    .unwrap();
    let refused: [(&[&str], &str); 4] = [
        (&["run", "ci", "--scales", "w1024"], "steps at width 1024"),
        (
            &["run", "ci", "--set", "train.steps=50000"],
            "50000 steps at width 32",
        ),
        (
            &["run", "ci", "--data", "markov"],
            "no sweep has chosen a learning rate for gpt2 on markov",
        ),
        (
            &[
                "run",
                "ci",
                "--data",
                "book.txt",
                "--set",
                "data.tokenizer=char",
            ],
            "no sweep has chosen a learning rate",
        ),
    ];
    for (args, says) in refused {
        let run = |more: &[&str]| effbench(here, &[args, more, &["--dry-run"]].concat());
        let output = run(&[]);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(
            stderr(&output).contains(says) && stderr(&output).contains("--untuned"),
            "{}",
            stderr(&output)
        );
        for remedy in [&["--untuned"][..], &["--set", "train.optimizer.lr=0.01"]] {
            assert_eq!(
                run(remedy).status.code(),
                Some(0),
                "{args:?} {remedy:?}: {}",
                stderr(&run(remedy))
            );
        }
    }
    // Bytes of any text were swept, and quick sweeps what was not.
    let planned = |args: &[&str]| {
        let output = effbench(here, &[args, &["--dry-run", "--format", "json"]].concat());
        let plan: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        plan["tuning_trials"].as_u64().unwrap()
    };
    assert_eq!(planned(&["run", "quick"]), 0);
    assert_eq!(planned(&["run", "quick", "--data", "book.txt"]), 0);
    assert_eq!(
        planned(&["run", "quick", "--data", "markov"]),
        3 * 3 * 4 * 2
    );
    assert_eq!(
        planned(&["run", "quick", "--data", "markov", "--untuned"]),
        0
    );
}
