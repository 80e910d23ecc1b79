//! Cells that begin with what others have learnt, or learn from them.

use std::fs;

use effbench::record::{ResultFile, Status, Trial};

use crate::{effbench, read, stderr};

/// A parent, one that only measures it, one that goes on with other data, and a student.
const STAGES: &str = r#"
about = "Stages."
base = "gpt2:scratch"
repeats = 2
[set]
data = { kind = "language", preset = "easy", validation_tokens = 512 }
model = { context = 16, layers = 2, heads = 2 }
train = { batch = 4, optimizer.lr = 0.01 }
measure = { window_s = 0, warmup_s = 0 }
[[cells]]
stage = "first"
variants = ["gpt2"]
scales = ["w8"]
steps = [40]
[[cells]]
stage = "seen"
from = "gpt2:first@40"
variants = ["gpt2"]
scales = ["w8"]
set = { train.steps = 0 }
[[cells]]
stage = "scratch"
variants = ["gpt2"]
scales = ["w8"]
steps = [10, 20]
set = { data.changed = 0.5 }
[[cells]]
stage = "tuned"
from = "gpt2:first@40"
variants = ["gpt2"]
scales = ["w8"]
steps = [10]
set = { data.changed = 0.5 }
[[cells]]
stage = "taught"
teacher = "gpt2:first/w8@40"
variants = ["gpt2"]
scales = ["w8"]
steps = [10]
"#;

fn named<'a>(file: &'a ResultFile, cell: &str, repeat: u64) -> &'a Trial {
    let mut trials = file.trials.iter();
    let found = trials.find(|trial| trial.cell == cell && trial.repeat == repeat);
    found.unwrap_or_else(|| panic!("no trial of {cell}"))
}

fn ran(folder: &std::path::Path, args: &[&str], code: i32) -> String {
    let output = effbench(folder, args);
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        stderr(&output)
    );
    assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
    said
}

#[test]
fn a_parent_is_trained_once_a_repeat_and_its_children_begin_with_its_weights() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    fs::write(here.join("s.toml"), STAGES).unwrap();
    ran(here, &["run", "./s.toml", "--out", "s.json"], 0);
    let file = read(here, "s.json");
    assert_eq!(file.trials.len(), 12);
    assert!(file.trials.iter().all(|trial| trial.status == Status::Ok));
    for repeat in 0..2 {
        let of = |cell: &str| named(&file, cell, repeat);
        let (first, seen) = (of("gpt2:first/w8@40"), of("gpt2:seen/w8"));
        let (tuned, taught) = (of("gpt2:tuned/w8@10"), of("gpt2:taught/w8@10"));
        let loss = |trial: &Trial, name: &str| trial.metric(name);
        // What only measures its parent finds its parent.
        assert_eq!(seen.parent.as_ref(), Some(&first.id));
        let bits = |trial: &Trial| loss(trial, "val_loss_nats").unwrap().to_bits();
        assert_eq!(bits(seen), bits(first));
        assert_eq!(
            loss(seen, "val_loss_before_nats"),
            None,
            "the data are the same"
        );
        // What goes on forgets, or does not, and says so; its cost is its own.
        assert_eq!(tuned.parent.as_ref(), Some(&first.id));
        assert!(loss(tuned, "val_loss_before_nats").is_some());
        let scratch = of("gpt2:scratch/w8@10");
        assert_eq!(tuned.train_flops(), scratch.train_flops());
        assert!(loss(tuned, "val_loss_nats") < loss(scratch, "val_loss_nats"));
        // A student pays for its teacher's passes, and for its own head once more.
        assert_eq!(
            (&taught.teacher, &taught.parent),
            (&Some(first.id.clone()), &None)
        );
        let cost = |trial: &Trial| trial.cost.clone().unwrap();
        let (own, learning) = (cost(scratch), cost(taught));
        let more = learning.train_flops_per_sequence - own.train_flops_per_sequence;
        let head = 3.0 * 2.0 * 16.0 * 8.0 * 128.0;
        assert_eq!(more as f64, 16.0 * own.forward_flops_per_token + head);
    }
    let free = ran(here, &["gain", "s.json", "--variant", "gpt2:tuned"], 0);
    assert!(
        free.contains("what that took to train is not counted"),
        "{free}"
    );
    let counted = ["gain", "s.json", "--variant", "gpt2:tuned", "--parents"];
    let counted = ran(here, &counted, 0);
    assert!(
        counted.contains("counted as if it had been trained for this alone"),
        "{counted}"
    );
    whoever_doubts_a_file_runs_some_of_it_again(here);
    a_run_goes_on_only_with_the_same_weights(here);
}

/// Trials are found again to the bit, those too that begin with others' weights or learn from others; a loss that nobody measured is found out.
fn whoever_doubts_a_file_runs_some_of_it_again(here: &std::path::Path) {
    let said = ran(
        here,
        &["validate", "s.json", "--rerun", "2", "--seed", "1"],
        0,
    );
    assert_eq!(said.matches("the same to the bit").count(), 2, "{said}");
    for child in ["gpt2:seen/w8", "gpt2:taught/w8@10"] {
        assert!(said.contains(child), "{child} was not drawn: {said}");
    }
    let forged = |name: &str, forge: fn(&mut Trial)| {
        let mut file = read(here, "s.json");
        file.trials.iter_mut().for_each(forge);
        fs::write(here.join(name), serde_json::to_vec(&file).unwrap()).unwrap();
    };
    forged("better.json", |trial| {
        for name in ["val_loss_nats", "excess_loss_nats"] {
            if let Some(loss) = trial.metrics.get_mut(name) {
                loss.value = loss.value.map(|loss| loss - 0.5);
            }
        }
    });
    let said = ran(here, &["validate", "better.json", "--rerun", "1"], 5);
    assert!(said.contains("more than its repeats differ by"), "{said}");
    // The loss is honest, and what it took is not.
    forged("cheaper.json", |trial| {
        trial.cost.as_mut().unwrap().train_flops /= 2.0;
        let of_curve = trial.curve.train_flops.iter_mut();
        of_curve.for_each(|flops| *flops /= 2.0);
    });
    let said = ran(here, &["validate", "cheaper.json", "--rerun", "1"], 5);
    assert!(said.contains("the same to the bit"), "{said}");
    assert!(said.contains("by its spec it has"), "{said}");
}

/// A child that is missing needs its parent's file, which a file of results alone does not bring back.
fn a_run_goes_on_only_with_the_same_weights(here: &std::path::Path) {
    let run = ["run", "./s.toml", "--out", "s.json", "--resume"];
    let mut file = read(here, "s.json");
    file.trials.retain(|trial| trial.cell != "gpt2:seen/w8");
    fs::write(here.join("s.json"), serde_json::to_vec(&file).unwrap()).unwrap();
    let weights = fs::read_dir(here.join("s.weights")).unwrap();
    let weights = weights.filter(|entry| {
        let path = entry.as_ref().unwrap().path();
        path.extension()
            .is_some_and(|ending| ending == "safetensors")
    });
    assert_eq!(weights.count(), 2);
    fs::rename(here.join("s.weights"), here.join("aside")).unwrap();
    let said = ran(here, &run, 2);
    assert!(
        said.contains("the weights are gone that gpt2:seen/w8 needs"),
        "{said}"
    );
    fs::rename(here.join("aside"), here.join("s.weights")).unwrap();
    ran(here, &run, 0);
    let (whole, again) = (file, read(here, "s.json"));
    assert_eq!((whole.trials.len(), again.trials.len()), (10, 12));
    assert!(
        whole
            .trials
            .iter()
            .all(|trial| again.trials.contains(trial))
    );
}

/// A sweep and the parts that judge by it, each by itself, are what a whole run is.
#[test]
fn parts_of_a_run_with_stages_fit_together() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let rate = "set = { train.optimizer.lr = 0.01 }";
    let suite = STAGES
        .replace("optimizer.lr = 0.01 }", "clip = 1 }")
        .replace(
            "repeats = 2",
            "repeats = 2\ntune = { lr = [0.005, 0.01, 0.02] }",
        )
        .replace("steps = [40]", &format!("steps = [40]\n{rate}"));
    let keep = suite.find("[[cells]]\nstage = \"taught\"").unwrap();
    fs::write(here.join("s.toml"), &suite[..keep]).unwrap();
    let run = |args: &[&str]| ran(here, &[&["run", "./s.toml"], args].concat(), 0);
    let variants = ["--variants", "gpt2:tuned"];
    let with = |args: &[&str]| run(&[&variants, args].concat());
    with(&["--out", "whole.json"]);
    with(&["--shard", "sweep", "--out", "sweep.json"]);
    with(&["--shard", "1/2", "--rates", "sweep.json", "--out", "1.json"]);
    with(&["--shard", "2/2", "--rates", "sweep.json", "--out", "2.json"]);
    ran(
        here,
        &[
            "merge",
            "sweep.json",
            "1.json",
            "2.json",
            "--out",
            "all.json",
        ],
        0,
    );
    let judged = |name: &str| {
        let file = read(here, name);
        let loss = |trial: &Trial| trial.metric("val_loss_nats").unwrap().to_bits();
        let mut found: Vec<_> = file
            .trials
            .iter()
            .filter(|trial| !trial.in_sweep())
            .map(|trial| (trial.id.clone(), trial.parent.clone(), loss(trial)))
            .collect();
        found.sort();
        found
    };
    assert_eq!(judged("whole.json"), judged("all.json"));
}

#[test]
fn what_cannot_begin_is_refused_before_anything_runs() {
    let folder = tempfile::tempdir().unwrap();
    let check = |from: &str, to: &str, want: &str| {
        assert!(STAGES.contains(from));
        fs::write(folder.path().join("s.toml"), STAGES.replacen(from, to, 1)).unwrap();
        let said = ran(folder.path(), &["run", "./s.toml", "--dry-run"], 2);
        assert!(said.contains(want), "{said}");
    };
    check(
        "from = \"gpt2:first@40\"",
        "from = \"gpt2:fist@40\"",
        "s.toml:18: from = \"gpt2:fist/w8@40\": the suite has no such cell\nhint: did you mean `gpt2:first/w8@40`?",
    );
    check(
        "stage = \"first\"\n",
        "stage = \"first\"\nfrom = \"gpt2:seen/w8\"\n",
        "a cell would need itself",
    );
    check(
        "from = \"gpt2:first@40\"\nvariants = [\"gpt2\"]",
        "from = \"gpt2:first@40\"\nvariants = [\"llama\"]",
        "llama:seen/w8 cannot begin with the weights of gpt2:first/w8@40",
    );
    check(
        "stage = \"first\"",
        "stage = \"a stage\"",
        "a stage is a word",
    );
}
