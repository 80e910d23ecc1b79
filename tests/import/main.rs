//! `effbench import` from outside: logs of every kind in, a result file out that the other commands take.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use effbench::analysis::gain::Blank;
use effbench::analysis::{Axis, Gain, answer};
use effbench::record::{Headline, store};
use serde_json::Value;

mod criterion;
mod dialects;
mod tools;
mod optimizers;
mod served;
mod sizes;

/// As the modded-nanogpt speedruns print it: the program's own text, then lines of figures, the clock restarted at step 11.
const SPEEDRUN: &str = "import torch\nlr = 0.0036 # step: see below\nRunning pytorch 2.5 on 8 x H100\n====\n\
    step:0/5100 val_loss:16.0012 train_time:387ms step_avg:nanms\n\
    step:1/5100 train_loss:15.9932 train_time:23767ms step_avg:nanms\n\
    step:11/5100 train_loss:9.1337 train_time:77ms step_avg:nanms\n\
    step:2500/5100 val_loss:3.6 train_time:355000ms step_avg:142.00ms\n\
    step:5100/5100 val_loss:3.2760 train_time:724200ms step_avg:142.00ms\npeak memory 31 GiB\n";

fn effbench(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_effbench"))
        .args(args)
        .current_dir(folder)
        .output()
        .unwrap()
}

/// The same with the arguments between spaces.
fn run(folder: &Path, line: &str) -> Output {
    effbench(folder, &line.split(' ').collect::<Vec<_>>())
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn speedrun_logs_become_a_valid_result_file() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("muon.txt", SPEEDRUN);
    write(
        "adam.txt",
        &SPEEDRUN.replace("3.2760", "3.3406").replace("3.6 ", "3.7 "),
    );
    write("soap.txt", &SPEEDRUN.replace("3.2760", "nan"));
    let output = run(
        folder.path(),
        "import adam.txt muon.txt soap.txt --map variant=@file,loss=val_loss,seconds=train_time,budget=steps \
         --let tokens_per_step=524288 --let params=124e6 --base adam --out speedrun.json",
    );
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let expected = "3 trials of 3 variants from 3 files; 1 diverged\n\
                    Result file: speedrun.json. Next: effbench gain speedrun.json --target base\n";
    assert_eq!(out(&output), expected);
    assert!(
        err(&output)
            .contains("note: soap/all@5100, repeat 0: diverged, the loss is not a number at step 5100 (soap.txt:9)")
    );
    assert!(
        err(&output).contains("are 6 N D (3 of 3 trials)"),
        "{}",
        err(&output)
    );

    let valid = effbench(folder.path(), &["validate", "speedrun.json"]);
    assert_eq!(
        out(&valid),
        "speedrun.json: valid, effbench.result/2, 3 trials (2 ok, 1 diverged)\n"
    );
    let file: Value =
        serde_json::from_slice(&fs::read(folder.path().join("speedrun.json")).unwrap()).unwrap();
    assert!(jsonschema::is_valid(
        &effbench::record::json_schema(),
        &file
    ));
    let muon = &file["trials"][1];
    assert_eq!(muon["cell"], "muon/all@5100");
    assert_eq!(muon["metrics"]["val_loss_nats"]["value"], 3.276);
    assert_eq!(muon["metrics"]["train_wall_s"]["value"], 724.2);
    assert_eq!(muon["curve"]["step"], serde_json::json!([0, 2500, 5100]));
    assert_eq!(
        muon["curve"]["wall_s"],
        serde_json::json!([0.387, 355.0, 724.2])
    );
    assert_eq!(muon["stated"]["by_six_n_d"], "train_flops");
    assert_eq!(muon["cost"], Value::Null);
    let command = file["run"]["command"].as_str().unwrap();
    assert!(
        command.starts_with("effbench import adam.txt#blake3:")
            && command.contains("--let params=124e6"),
        "{command}"
    );
}

/// Losses straight in log FLOPs: what costs half as much per step and learns the same is worth twice the compute.
#[test]
fn an_imported_gain_is_the_one_put_in() {
    let mut text = "name,seed,step,flops,loss\n".to_owned();
    for (variant, each) in [("base", 2e9), ("half", 1e9)] {
        for (seed, luck) in [(11, 0.01), (12, -0.02), (15, 0.03)] {
            for steps in [400.0, 800.0, 1600.0] {
                let loss = 4.0 - 0.3 * f64::ln(steps / 400.0) + luck;
                text += &format!("{variant},{seed},{steps},{},{loss}\n", each * steps);
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("x.csv"), text).unwrap();
    let args = [
        "import",
        "x.csv",
        "--map",
        "variant=name,run=@row",
        "--base",
        "base",
        "--out",
        "x.json",
    ];
    let output = effbench(folder.path(), &args);
    assert!(
        out(&output).starts_with("18 trials of 2 variants from 1 file\n"),
        "{}{}",
        out(&output),
        err(&output)
    );
    let mut file = store::read_valid(&folder.path().join("x.json")).unwrap();
    file.run.headline = Some(Headline {
        variant: "half".to_owned(),
        scale: "all".to_owned(),
        budget: 800,
    });
    let answer = answer(&file).unwrap();
    let Gain::Solved(estimate) = answer.headline() else {
        panic!("{:?}", answer.headline())
    };
    assert!((estimate.value - 2.0).abs() < 1e-9, "{estimate:?}");
    assert_eq!((estimate.n, file.run.repeats), (3, 3));
    assert_eq!(
        answer.on(Axis::TotalFlops),
        Gain::Unknown {
            n: 3,
            why: Blank::CostUnknown
        },
        "nobody counted the optimizer's FLOPs"
    );
    let codes: Vec<&str> = answer.caveats.iter().map(|caveat| caveat.code).collect();
    assert_eq!(codes, ["learning_rate", "imported"]);
}

#[test]
fn what_is_asked_next_fits_what_there_is() {
    let table = |rows: &str| format!("variant,seed,step,flops,loss\n{rows}");
    let rows = [
        (
            "a,0,100,1e9,3\na,0,200,2e9,2.9\nb,0,100,1e9,2.8\n",
            "effbench gain x.json --base a",
        ),
        (
            "a,0,100,1e9,3\na,0,200,2e9,2.9\na,0,400,4e9,2.8\na,0,800,8e9,2.7\n",
            "effbench fit x.json",
        ),
        (
            "a,0,100,1e9,3\nb,0,100,1e9,2.9\n",
            "effbench report x.json --out x.html",
        ),
    ];
    for (rows, next) in rows {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("x.csv"), table(rows)).unwrap();
        let args = [
            "import", "x.csv", "--map", "run=@row", "--out", "x.json", "--format", "json",
        ];
        let output = effbench(folder.path(), &args);
        let said: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|e| panic!("{e}: {}", err(&output)));
        assert_eq!(said["next"], next);
        assert_eq!(said["points"], rows.lines().count());
        assert_eq!(err(&output), "", "one document and nothing else");
    }
}

#[test]
fn what_cannot_be_imported_says_where_and_leaves_nothing() {
    let rows: [(&str, &[&str], &str, &str); 6] = [
        (
            "step,val_loss\n1,2\n",
            &["--map", "loss=valid_loss"],
            "x.csv: no column `valid_loss`",
            "did you mean `val_loss`? The file has: step, val_loss",
        ),
        (
            "step,loss\n1,2,3\n",
            &[],
            "x.csv:2: 3 cells under 2 columns",
            "quotes",
        ),
        (
            "step,loss\n1,abc\n",
            &["--let", "variant=a"],
            "x.csv:2: column `loss`: `abc` is not a number",
            "",
        ),
        (
            "step,loss\n1,2\n",
            &["--let", "varian=a"],
            "unknown role `varian`",
            "did you mean `variant`?",
        ),
        (
            "step,loss\n1,2\n",
            &["--let", "variant=a", "--base", "b"],
            "--base b: no run is of this variant",
            "there is: a",
        ),
        ("", &[], "x.csv: empty", ""),
    ];
    for (text, args, says, hint) in rows {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("x.csv"), text).unwrap();
        let output = effbench(
            folder.path(),
            &[&["import", "x.csv", "--out", "x.json"], args].concat(),
        );
        assert_eq!(
            (output.status.code(), out(&output).as_str()),
            (Some(2), ""),
            "{text:?}"
        );
        assert!(
            err(&output).starts_with(&format!("error: {says}")) && err(&output).contains(hint),
            "{}",
            err(&output)
        );
        assert!(!folder.path().join("x.json").exists());
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("x.csv"), "variant,loss\na,3\n").unwrap();
    let output = effbench(folder.path(), &["import", "x.csv", "--out", "./x.csv"]);
    assert!(
        err(&output).contains("--out x.csv: is one of the logs"),
        "{}",
        err(&output)
    );
    assert_eq!(
        fs::read_to_string(folder.path().join("x.csv")).unwrap(),
        "variant,loss\na,3\n"
    );
}

/// Points of curves, one row each, are a trial a run and no trial a row; what is asked of rows is counted, not listed.
#[test]
fn rows_without_a_judged_loss_are_no_trials() {
    let folder = tempfile::tempdir().unwrap();
    let mut text = "name,seed,step,flops,train/loss,val/loss\n".to_owned();
    for (name, seed) in [("a", 0), ("a", 1), ("b", 0), ("b", 1)] {
        for step in 1..=500 {
            let val = if step % 100 == 0 {
                format!("{}", 4.0 - 0.001 * f64::from(step))
            } else {
                String::new()
            };
            text += &format!(
                "{name},{seed},{step},{}e9,{},{val}\n",
                step,
                4.1 - 0.001 * f64::from(step)
            );
        }
    }
    fs::write(folder.path().join("x.csv"), text).unwrap();
    let import = |more: &[&str]| {
        let args = [
            &[
                "import",
                "x.csv",
                "--map",
                "variant=name",
                "--base",
                "a",
                "--out",
                "x.json",
            ][..],
            more,
        ]
        .concat();
        let output = effbench(folder.path(), &args);
        assert_eq!(output.status.code(), Some(0), "{}", err(&output));
        (out(&output), err(&output))
    };
    let (said, notes) = import(&[]);
    assert!(
        said.starts_with("4 trials of 2 variants from 1 file\n")
            && said.contains("gain x.json --target base"),
        "{said}"
    );
    let named = "note: taken because of their names: train_loss = train/loss, loss = val/loss\n";
    assert_eq!(notes, named);
    let file = store::read_valid(&folder.path().join("x.json")).unwrap();
    assert_eq!(
        file.trials[0].curve.val_loss_nats.iter().flatten().count(),
        5
    );
    let (said, notes) = import(&["--map", "run=@row"]);
    assert!(
        said.starts_with("20 trials of 2 variants from 1 file\n"),
        "{said}"
    );
    assert!(
        notes.contains("1980 rows with a training loss only, which are no runs"),
        "{notes}"
    );
    assert_eq!(notes.lines().count(), 2, "{notes}");
}

/// Bits and perplexities become nats and are told; a perplexity that is taken for nats is doubted.
#[test]
fn losses_have_a_unit() {
    let rows: [(&str, &[&str], f64, &str); 5] = [
        (
            "loss",
            &["--unit", "bits"],
            2.0 * std::f64::consts::LN_2,
            "",
        ),
        ("val_ppl", &[], 2.0_f64.ln(), ""),
        ("val_bpb", &[], 2.0 * std::f64::consts::LN_2, ""),
        ("loss", &["--unit", "perplexity"], 2.0_f64.ln(), ""),
        ("loss", &[], 2.0, ""),
    ];
    for (column, more, nats, _) in rows {
        let folder = tempfile::tempdir().unwrap();
        fs::write(
            folder.path().join("x.csv"),
            format!("variant,step,{column}\na,1,2.5\na,2,2\n"),
        )
        .unwrap();
        let output = effbench(
            folder.path(),
            &[&["import", "x.csv", "--out", "x.json"], more].concat(),
        );
        assert_eq!(output.status.code(), Some(0), "{}", err(&output));
        let file = store::read_valid(&folder.path().join("x.json")).unwrap();
        let found = file.trials[0].metric("val_loss_nats").unwrap();
        assert!((found - nats).abs() < 1e-12, "{column} {more:?}: {found}");
        assert_eq!(
            file.trials[0].metric("val_bits_per_byte"),
            (column == "val_bpb").then_some(2.0)
        );
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("x.csv"),
        "variant,step,loss\na,1,900\na,2,40\n",
    )
    .unwrap();
    let output = effbench(folder.path(), &["import", "x.csv", "--out", "x.json"]);
    assert!(
        err(&output).contains("is it a perplexity (--unit perplexity)"),
        "{}",
        err(&output)
    );
}

/// Two imports that say nothing of their order are separate; one that says that its runs took turns is not.
#[test]
fn interleaved_is_what_somebody_says() {
    let folder = tempfile::tempdir().unwrap();
    let mut text = "variant,seed,step,seconds,loss\n".to_owned();
    for seed in 0..5 {
        for (variant, each) in [("a", 1.0), ("b", 1.02)] {
            text += &format!(
                "{variant},{seed},100,{},{}\n",
                each * (10.0 + f64::from(seed)),
                3.0 + 0.01 * f64::from(seed)
            );
        }
    }
    fs::write(folder.path().join("x.csv"), text).unwrap();
    for (more, expected) in [
        (&[][..], "separate sessions"),
        (&["--interleaved"][..], "interleaved in one session"),
    ] {
        effbench(
            folder.path(),
            &[&["import", "x.csv", "--out", "x.json"], more].concat(),
        );
        let said = out(&effbench(
            folder.path(),
            &["compare", "x.json", "--base-arm", "a", "--new-arm", "b"],
        ));
        assert!(said.contains(expected), "{said}");
    }
}
