//! Logs of two optimizers, judged at a target.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::{effbench, err, out, run};

/// Curves of two optimizers as speedruns log them, straight in log loss and log steps: muon needs 1/1.3 of the steps, and a step of
/// it takes 1.05 times as long.
fn optimizer_logs(folder: &Path, seeds: u64) {
    for (variant, worth, each_ms) in [("adam", 1.0, 140.0), ("muon", 1.3, 147.0)] {
        for seed in 0..seeds {
            let mut text = "import torch\nprint('step: hello')\n".to_owned();
            for step in (0..=2000).step_by(125) {
                let luck = 1.0 + 0.001 * (seed as f64 - 1.0);
                let loss = 8.0 * luck * (worth * f64::from(step.max(1))).powf(-0.11);
                text += &format!(
                    "step:{step}/2000 val_loss:{loss:.6} train_time:{:.0}ms step_avg:1ms\n",
                    each_ms * f64::from(step)
                );
                text += &format!(
                    "step:{}/2000 train_loss:{loss:.6} train_time:{:.0}ms\n",
                    step + 1,
                    each_ms * f64::from(step + 1)
                );
            }
            fs::write(folder.join(format!("{variant}_seed{seed}.txt")), text).unwrap();
        }
    }
}

/// One import and one gain: steps, seconds, tokens and FLOPs to a loss, paired by the seeds in the files' names.
#[test]
fn an_optimizer_comparison_is_judged_at_a_target() {
    let folder = tempfile::tempdir().unwrap();
    optimizer_logs(folder.path(), 3);
    let mut names: Vec<String> = fs::read_dir(folder.path())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let output = run(
        folder.path(),
        &format!(
            "import {} --split @file={{variant}}_seed{{seed}} --map budget=steps --let tokens_per_step=524288 \
             --let params=124e6 --base adam --interleaved --out x.json",
            names.join(" ")
        ),
    );
    let expected = "6 trials of 2 variants from 6 files\nResult file: x.json. Next: effbench gain x.json --target base\n";
    assert_eq!(out(&output), expected, "{}", err(&output));
    assert!(
        err(&output).contains("note: 12 lines of 6 files hold no figures and are passed over"),
        "{}",
        err(&output)
    );
    let valid = effbench(folder.path(), &["validate", "x.json"]);
    assert!(out(&valid).contains("6 trials (6 ok)"), "{}", out(&valid));

    let output = run(
        folder.path(),
        "gain x.json --target 3.6 --against 1.2 --format json",
    );
    let said: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", err(&output)));
    let muon = &said["targets"][0]["variants"][0];
    let rows = [
        ("steps", 1.3),
        ("tokens", 1.3),
        ("model_flops", 1.3),
        ("wall_seconds", 1.3 / 1.05),
    ];
    for (axis, expected) in rows {
        let gain = &muon["gains"][axis];
        let value = gain["value"].as_f64().unwrap();
        assert!((value / expected - 1.0).abs() < 1e-3, "{axis}: {gain}");
        assert_eq!([&gain["n"], &gain["paired"]], [&json!(3), &json!(true)]);
        assert!(muon["p"][axis].as_f64().unwrap() < 0.01, "{axis}");
    }
    let sentence = said["sentences"][0].as_str().unwrap();
    assert!(
        sentence.starts_with("To reach 3.60 nats adam spends 1.30 times muon's steps (95% "),
        "{sentence}"
    );
    assert!(
        sentence.contains("n = 3, paired by seed) and 1.24 times its seconds"),
        "{sentence}"
    );
    let text = out(&effbench(
        folder.path(),
        &["gain", "x.json", "--target", "base"],
    ));
    assert!(
        text.contains("Spent to get there") && text.contains("! "),
        "{text}"
    );
    assert!(
        !text.contains("took turns on one machine"),
        "it was said that they did: {text}"
    );
}
