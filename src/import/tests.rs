//! Published logs in miniature; `tests/import.rs` has them judged.

use super::*;
use crate::import::delimited::Table;
use crate::record::BySixND;
use crate::record::metric::{TASK_ACCURACY, TRAIN_LOSS_NATS, TRAIN_WALL_S, VAL_LOSS_NATS};
use crate::record::validate::validate;

fn log(name: &str, text: &str) -> Log {
    Log {
        name: name.to_owned(),
        stem: name.split('.').next().unwrap().to_owned(),
        path: name.to_owned(),
        blake3: blake3::hash(text.as_bytes()).to_hex().to_string(),
        written_at: "2026-11-22T05:00:00Z".to_owned(),
        table: Table::parse(name, text, ',').unwrap(),
        passed: Default::default(),
        dialect: "table",
    }
}

fn of(logs: &[Log], columns: &[&str], constants: &[&str]) -> Result<Imported> {
    let owned = |texts: &[&str]| {
        texts
            .iter()
            .map(|text| (*text).to_owned())
            .collect::<Vec<_>>()
    };
    import(
        logs,
        &Mapping::parse(&owned(columns), &owned(constants), &[])?,
        About::default(),
    )
}

fn sound(logs: &[Log], columns: &[&str], constants: &[&str]) -> Imported {
    let imported = of(logs, columns, constants).unwrap();
    assert_eq!(validate(&imported.file), []);
    imported
}

fn codes(trial: &Trial) -> Vec<&str> {
    trial
        .validity
        .flags
        .iter()
        .map(|flag| flag.code.as_str())
        .collect()
}

/// The matched comparison of four optimizers that the modded-nanogpt speedruns published in October 2024
/// (records/track_1_short/2024-10-29_Optimizers): one row a run, constants for what is the same.
#[test]
fn an_end_of_run_table_is_one_trial_a_row() {
    let text = "optimizer,final_loss,train_time\nadam,3.3406,706860ms\n\"distributed shampoo\",3.2858,914430ms\n\
                soap,3.2752,1535100ms\nmuon,3.2760,724200ms\n";
    let columns = ["variant=optimizer", "loss=final_loss", "seconds=train_time"];
    let constants = ["step=5100", "tokens_per_step=524288", "params=124e6"];
    let found = sound(&[log("table.csv", text)], &columns, &constants);
    let cells: Vec<&str> = found.file.trials.iter().map(|t| t.cell.as_str()).collect();
    assert_eq!(
        cells,
        [
            "adam/all@5100",
            "distributed shampoo/all@5100",
            "soap/all@5100",
            "muon/all@5100"
        ]
    );
    let muon = &found.file.trials[3];
    assert_eq!(
        (muon.metric(VAL_LOSS_NATS), muon.metric(TRAIN_WALL_S)),
        (Some(3.276), Some(724.2))
    );
    let tokens = 5100 * 524_288;
    assert_eq!(
        (muon.params(), muon.train_tokens()),
        (Some(124_000_000), Some(tokens))
    );
    assert_eq!(muon.train_flops(), Some(6.0 * 124e6 * tokens as f64));
    assert_eq!(
        muon.stated.as_ref().unwrap().by_six_n_d,
        Some(BySixND::TrainFlops)
    );
    assert_eq!(codes(muon), ["six_n_d", "seed_unknown"]);
    assert_eq!(
        (found.points, found.file.run.repeats, muon.repeat),
        (4, 1, 0)
    );
    assert!(
        found.notes[0].contains("6 N D (4 of 4 trials)"),
        "{:?}",
        found.notes
    );
}

/// The columns of hansgundlach/Experimental_Progress: FLOPs as its authors count them, one file a run.
#[test]
fn one_file_a_run_takes_its_name_and_ends_with_its_last_loss() {
    let header =
        "step,training_loss,validation_loss,total_flops_profiler,theoretical_flops,tokens\n";
    let swiglu = format!(
        "{header}100,6.5,6.4,1e13,9e12,1638400\n200,5.5,5.4,2e13,1.8e13,3276800\n300,5.2,,3e13,2.7e13,4915200\n"
    );
    let lstm = format!("{header}100,16.4,6.9,1e13,8e12,1638400\n200,nan,NaN,2e13,1.6e13,3276800\n");
    let columns = [
        "variant=@file",
        "loss=validation_loss",
        "train_loss=training_loss",
        "flops=theoretical_flops",
    ];
    let found = sound(
        &[log("swiglu.csv", &swiglu), log("lstm.csv", &lstm)],
        &columns,
        &["budget=300"],
    );
    let (swiglu, lstm) = (&found.file.trials[0], &found.file.trials[1]);
    assert_eq!(swiglu.cell, "swiglu/all@300");
    assert_eq!(
        (swiglu.metric(VAL_LOSS_NATS), swiglu.train_flops()),
        (Some(5.4), Some(1.8e13))
    );
    assert_eq!(swiglu.curve.val_loss_nats, [Some(6.4), Some(5.4), None]);
    assert_eq!((swiglu.curve.step.len(), swiglu.curve.wall_s.len()), (3, 0));
    assert_eq!(lstm.status, Status::Diverged);
    assert_eq!(
        lstm.reason.as_deref(),
        Some("the loss is not a number at step 200 (lstm.csv:3)")
    );
    assert_eq!(lstm.curve.val_loss_nats, [Some(6.9), None]);
    assert_eq!(
        found.notes.last().unwrap(),
        &format!(
            "lstm/all@300, repeat 0: diverged, {}",
            lstm.reason.as_ref().unwrap()
        )
    );
    assert_eq!(
        swiglu.spec["imported"]["map"]["columns"]["flops"],
        "theoretical_flops"
    );
    assert_eq!(swiglu.spec["imported"]["file"], "swiglu.csv");
}

#[test]
fn the_same_seed_is_the_same_repeat() {
    let rows: [(&str, &[u64], &[bool]); 4] = [
        ("a,1\na,2\na,3\nb,2\nb,3\n", &[0, 1, 2, 1, 2], &[false; 5]),
        ("a,3\na,1\n", &[1, 0], &[false; 2]),
        ("a,1\na,2\nb,100\nb,101\n", &[0, 1, 0, 1], &[true; 4]),
        (
            "a,1\na,2\nb,2\nc,7\n",
            &[0, 1, 1, 0],
            &[false, false, false, true],
        ),
    ];
    for (pairs, repeats, unpaired) in rows {
        let text: String = pairs.lines().map(|pair| format!("{pair},3.0\n")).collect();
        let found = sound(
            &[log("x.csv", &format!("variant,seed,loss\n{text}"))],
            &[],
            &[],
        )
        .file
        .trials;
        assert_eq!(
            found.iter().map(|t| t.repeat).collect::<Vec<_>>(),
            repeats,
            "{pairs}"
        );
        let flagged: Vec<bool> = found
            .iter()
            .map(|t| codes(t).contains(&"seeds_unpaired"))
            .collect();
        assert_eq!(flagged, unpaired, "{pairs}");
    }
}

/// Points of isoFLOP curves have no seeds and no steps: every size is a scale of its own, tokens follow from C = 6 N D.
#[test]
fn points_of_a_law_are_cells_of_their_own() {
    let text = "Model Size,Training FLOP,loss\n57300000.4,1.4e18,3.9\n114000000,1.4e18,3.7\n57300000.4,6e19,3.3\n";
    let columns = ["params=Model Size", "flops=Training FLOP", "run=@row"];
    let found = sound(
        &[log("points.csv", text)],
        &columns,
        &["variant=chinchilla"],
    )
    .file
    .trials;
    let cells: Vec<&str> = found.iter().map(|t| t.cell.as_str()).collect();
    assert_eq!(
        cells,
        [
            "chinchilla/n57300000@1400000000",
            "chinchilla/n114000000@1400000000",
            "chinchilla/n57300000@60000000000"
        ]
    );
    assert_eq!(
        found[1].train_tokens(),
        Some((1.4e18_f64 / (6.0 * 114e6)).round() as u64)
    );
    assert_eq!(
        found[1].stated.as_ref().unwrap().by_six_n_d,
        Some(BySixND::TrainTokens)
    );
}

/// The speedruns restart their clock after ten untimed steps; the judged losses are all on the clock that counts.
#[test]
fn a_clock_that_is_restarted_early_still_counts() {
    let text = "step,seconds,train_loss,loss\n0,0.4,,16\n1,23.7,15.9,\n10,25.8,9.2,\n11,0.1,9.1,\n14,0.5,8.8,\n\
                125,19.4,5.5,5.4\n126,19.6,5.4,\n";
    let found = sound(&[log("x.csv", text)], &[], &["variant=a", "seed=0"])
        .file
        .trials;
    assert_eq!(codes(&found[0]), ["untimed_points"]);
    assert_eq!(found[0].curve.step, [0, 14, 125, 126]);
    assert_eq!(found[0].curve.wall_s, [0.4, 0.5, 19.4, 19.6]);
    assert_eq!(
        found[0].metric(TRAIN_WALL_S),
        Some(19.4),
        "up to the last judged loss"
    );
}

#[test]
fn what_was_decided_is_flagged() {
    let rows: [(&str, &[&str]); 5] = [
        ("1,1,3.5\n2,2,inf\n3,3,3.4\n", &["not_a_number"]),
        ("1,9,3.5\n3,9.5,3.4\n2,9.2,3.3\n", &["rows_sorted"]),
        ("1,9,3.5\n2,1,3.4\n", &["clock_restarted"]),
        ("1,,3.5\n2,1,3.4\n", &["gaps"]),
        ("1,1,3.5\n2,2,3.4\n", &[]),
    ];
    for (text, expected) in rows {
        let found = sound(
            &[log("x.csv", &format!("step,seconds,loss\n{text}"))],
            &[],
            &["variant=a", "seed=0"],
        )
        .file;
        assert_eq!(codes(&found.trials[0]), expected, "{text}");
    }
    let restarted = sound(
        &[log("x.csv", "step,seconds,loss\n1,9,3.5\n2,1,3.4\n")],
        &[],
        &["variant=a"],
    )
    .file;
    assert_eq!(
        restarted.trials[0].metrics[TRAIN_WALL_S].reason.as_deref(),
        Some("the log's clock was restarted")
    );
    assert!(restarted.trials[0].curve.wall_s.is_empty());
}

/// A run that diverged early was meant to go as far as its siblings.
#[test]
fn a_diverged_run_belongs_to_the_cell_of_its_siblings() {
    let text = "variant,seed,step,loss\na,0,100,4\na,0,200,3\na,1,100,4\na,1,150,inf\na,2,100,\n";
    let found = sound(&[log("x.csv", text)], &[], &[]).file.trials;
    let said: Vec<(&str, Status)> = found.iter().map(|t| (t.cell.as_str(), t.status)).collect();
    assert_eq!(
        said,
        [
            ("a/all@200", Status::Ok),
            ("a/all@200", Status::Diverged),
            ("a/all@200", Status::Failed)
        ]
    );
    assert_eq!(
        found[2].reason.as_deref(),
        Some("the log states no loss (x.csv:6)")
    );
}

#[test]
fn names_from_outside_stay_what_they_are() {
    let text = "variant,scale,loss\n\"a, \"\"b\"\" <i>\",größe/2@3,3\n../../etc,w1,4\n";
    let found = sound(&[log("x.csv", text)], &[], &[]).file.trials;
    assert_eq!(found[0].cell, "a, \"b\" <i>/größe/2@3");
    assert_eq!(found[1].variant, "../../etc");
    assert!(
        found
            .iter()
            .all(|t| t.id.len() == 16 && t.id.chars().all(|c| c.is_ascii_hexdigit()))
    );
}

#[test]
fn what_cannot_be_told_apart_is_refused() {
    let rows = [
        (
            "variant,seed,run,loss\na,1,x,3\na,1,y,4\n",
            "x.csv:2 and x.csv:3: two runs of a, seed 1",
        ),
        (
            "variant,seed,loss\na,1,3\nb,,4\n",
            "x.csv:3: b has no seed, and other runs have one",
        ),
    ];
    for (text, says) in rows {
        let error = of(&[log("x.csv", text)], &[], &[]).unwrap_err();
        assert!(error.message.starts_with(says), "{error}");
    }
    let error = import(
        &[log("x.csv", "variant,loss\nadam,3\n")],
        &Mapping::default(),
        About {
            base: Some("adm"),
            ..About::default()
        },
    )
    .unwrap_err();
    assert_eq!(error.hint.as_deref(), Some("did you mean `adam`?"));
}

/// Importing the same log twice gives the same trials, so that pooling counts them once; another log gives others.
#[test]
fn a_trial_is_known_by_what_it_came_from() {
    let ids = |text: &str| {
        sound(&[log("x.csv", text)], &[], &[])
            .file
            .trials
            .into_iter()
            .map(|t| t.id)
            .collect::<Vec<_>>()
    };
    let (one, same) = (
        ids("variant,loss\na,3\nb,4\n"),
        ids("variant,loss\na,3\nb,4\n"),
    );
    assert_eq!(one, same);
    assert_ne!(one, ids("variant,loss\na,3\nb,5\n"));
}

/// As a model card of Hugging Face's says it, whose training loss is `No log` where none was printed yet.
#[test]
fn answers_along_a_training_are_those_of_its_end() {
    let text = "Training Loss,Epoch,Step,Validation Loss,Accuracy\nNo log,1.0,10,2.5,0.25\n2.0,2.0,20,2.25,0.5\n";
    let found = sound(&[log("card.csv", text)], &[], &["variant=a"]);
    let trial = &found.file.trials[0];
    let metrics = [VAL_LOSS_NATS, TRAIN_LOSS_NATS, TASK_ACCURACY].map(|name| trial.metric(name));
    assert_eq!(metrics, [Some(2.25), Some(2.0), Some(0.5)]);
}

#[test]
fn a_columns_name_says_how_large_its_figures_are() {
    let text =
        "Name,total_tokens,total_gflops,parameter_count,loss\na,20000000,3.0e9,25000000,3.5\n";
    let columns = ["variant=Name", "flops=total_gflops"];
    let found = sound(&[log("runs.csv", text)], &columns, &[]);
    let trial = &found.file.trials[0];
    let counts = (trial.train_flops(), trial.train_tokens(), trial.params());
    assert_eq!(counts, (Some(3e18), Some(20_000_000), Some(25_000_000)));

    let text = "variant,budget,loss\na,6e+19,3.5\n";
    let error = of(&[log("runs.csv", text)], &[], &[]).unwrap_err();
    assert_eq!(
        error.message,
        "runs.csv:2: column `budget`: 6e19 is too large for a count"
    );
    let hint = error.hint.unwrap();
    assert!(hint.contains("--map flops=\"budget\""), "{hint}");
    assert!(of(&[log("runs.csv", text)], &["flops=budget"], &[]).is_ok());
}
