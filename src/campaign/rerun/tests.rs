//! Trials that are run again: which can be, in what order, and what is said of the others.

use serde_json::json;

use super::*;

/// What `effbench.result/1` wrote has no `data.held_out`; the loss of other windows is another.
#[test]
fn a_trial_of_before_is_judged_by_the_windows_of_then() {
    let registry = Registry::builtin();
    let tree = json!({"model": {"width": 16}, "train": {"steps": 10}});
    let settled = settle(&registry, &tree_of(&tree, &BTreeMap::new()).unwrap()).unwrap();
    let looks_at = |change: fn(&mut Value)| {
        let mut trial = Trial::blank();
        trial.spec = settled.spec.clone();
        change(&mut trial.spec["data"]);
        let job = job(&registry, &trial, Here::default()).unwrap();
        job.trial.spec["data"]["held_out"].clone()
    };
    assert_eq!(looks_at(|_| {}), "test");
    let without = |data: &mut Value| {
        data.as_object_mut().unwrap().remove("held_out");
    };
    assert_eq!(looks_at(without), "validation");
}

/// Three trials drawn are two that judge and one of the sweep, and every trial is drawn in the end.
#[test]
fn a_sweeps_trials_are_among_those_that_are_run_again() {
    let of = |k: u64| Trial {
        repeat: k,
        lr_source: if k < 4 {
            RateSource::Grid
        } else {
            RateSource::Set
        },
        ..Trial::blank()
    };
    let trials: Vec<Trial> = (0..7).map(of).collect();
    let order: Vec<u64> = interleaved(trials.iter().collect())
        .iter()
        .map(|trial| trial.repeat)
        .collect();
    assert_eq!(order, [4, 5, 0, 6, 1, 2, 3]);
}

/// A trial that names a file is run again where that file, or its folder, is given, and what is lacking is told as it is.
#[test]
fn what_a_trial_lacks_is_told_and_a_file_that_is_given_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("small.gguf");
    std::fs::write(&file, "GGUF").unwrap();
    let mut example = crate::record::example::example();
    example.trials.truncate(1);
    let lacks = |example: &ResultFile, here: Here| lacks(&example.trials[0], example, here, 1);
    assert_eq!(lacks(&example, Here::default()), None);
    let spec = &mut example.trials[0].spec;
    spec["model"]["from"] = "small.gguf".into();
    spec["model"]["from_blake3"] = "00".into();
    let error = none_of(&example, Here::default());
    let said = "no trial can be run again: they begin with the weights of small.gguf, which the result file only names (1)";
    assert_eq!(error.message, said);
    assert!(error.hint.unwrap().contains("--file PATH"));
    for files in [vec![file], vec![folder.path().to_owned()]] {
        let here = Here {
            data: None,
            files: &files,
        };
        assert_eq!(lacks(&example, here), None);
    }
    example.trials[0].status = Status::Failed;
    let error = none_of(&example, Here::default());
    assert_eq!(
        error.message,
        "no trial can be run again: they did not finish (1)"
    );
    assert_eq!(error.hint, None);
}

#[test]
fn a_loss_is_the_same_near_or_another() {
    let of = |now: Option<f64>, sd: Option<f64>| Again {
        cell: String::new(),
        repeat: 0,
        then_nats: 1.5,
        now_nats: now,
        sd_nats: sd,
        verdict: Verdict::Failed,
        reason: None,
    };
    for (now, sd, want) in [
        (Some(1.5), None, Verdict::Same),
        (Some(1.5 + 1e-9), None, Verdict::Unknown),
        (Some(1.52), Some(0.01), Verdict::Near),
        (Some(1.54), Some(0.01), Verdict::Other),
        (None, Some(0.01), Verdict::Failed),
    ] {
        assert_eq!(verdict(&of(now, sd)), want, "{now:?} {sd:?}");
    }
}
