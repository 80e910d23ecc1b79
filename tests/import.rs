//! `effbench import` from outside: logs of every kind in, a result file out that the other commands take.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use effbench::analysis::gain::Blank;
use effbench::analysis::{Axis, Gain, answer};
use effbench::record::{Headline, store};
use serde_json::{Value, json};

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
    let map = "variant=@file,loss=val_loss,seconds=train_time,budget=steps";
    let args = [
        "import",
        "adam.txt",
        "muon.txt",
        "soap.txt",
        "--map",
        map,
        "--let",
        "tokens_per_step=524288",
    ];
    let rest = [
        "--let",
        "params=124e6",
        "--base",
        "adam",
        "--out",
        "speedrun.json",
    ];
    let output = effbench(folder.path(), &[&args[..], &rest].concat());
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

/// What criterion 0.8 leaves of a run of two benchmarks, the sort taking so many times 2 ms.
fn bench(folder: &Path, run: usize, slower: f64) {
    let luck = [1.0, 1.004, 0.997][run % 3];
    let rows = [
        ("hash", None, None, "hash", 0.5e6),
        (
            "sort",
            Some("merge"),
            Some("1000"),
            "sort/merge/1000",
            2e6 * slower,
        ),
    ];
    for (group, function, value, place, ns) in rows {
        let new = folder.join("target/criterion").join(place).join("new");
        fs::create_dir_all(&new).unwrap();
        let about = json!({
            "group_id": group, "function_id": function, "value_str": value, "throughput": {"Elements": 1000},
            "full_id": place, "directory_name": place, "title": place,
        });
        fs::write(new.join("benchmark.json"), about.to_string()).unwrap();
        let iters = [10.0, 20.0, 30.0];
        let times: Vec<f64> = iters
            .iter()
            .zip([1.01, 1.0, 0.99])
            .map(|(n, noise)| n * ns * luck * noise)
            .collect();
        let samples = json!({"sampling_mode": "Linear", "iters": iters, "times": times});
        fs::write(new.join("sample.json"), samples.to_string()).unwrap();
        // The run before, which is not this one.
        fs::create_dir_all(new.with_file_name("base")).unwrap();
        fs::write(new.with_file_name("base").join("sample.json"), "{}").unwrap();
    }
}

/// Three runs of each side, imported one by one; a program that sorts 30% slower.
#[test]
fn benchmarks_are_judged_by_their_runs() {
    let folder = tempfile::tempdir().unwrap();
    for (side, slower) in [("base", 1.0), ("head", 1.3)] {
        for run in 0..3 {
            bench(folder.path(), run, slower);
            let file = format!("{side}/{run}.json");
            let output = effbench(
                folder.path(),
                &["import", "target/criterion", "--out", &file],
            );
            let expected = format!(
                "2 benchmarks in 1 run, n = 1\nResult file: {file}. Next: effbench compare BASE.json {file}\n"
            );
            assert_eq!(out(&output), expected, "{}", err(&output));
            assert!(
                err(&output).contains("note: criterion names neither the machine nor the unit"),
                "{}",
                err(&output)
            );
        }
    }
    let file: Value =
        serde_json::from_slice(&fs::read(folder.path().join("base/0.json")).unwrap()).unwrap();
    assert!(jsonschema::is_valid(
        &effbench::record::json_schema(),
        &file
    ));
    let sort = &file["trials"][1];
    assert_eq!(
        (&sort["cell"], &sort["variant"], &sort["scale"]),
        (
            &json!("sort/merge/1000"),
            &json!("sort"),
            &json!("merge/1000")
        )
    );
    let metric = &sort["metrics"]["iteration_s"];
    assert_eq!(
        (&metric["value"], &metric["samples"]),
        (&json!(0.002), &json!([0.00202, 0.002, 0.00198]))
    );
    let compare = |base: &str, new: &str, gate: &str| {
        let output = effbench(folder.path(), &["compare", base, new, "--gate", gate]);
        (output.status.code(), out(&output))
    };
    let (code, said) = compare("base", "head", "regress");
    assert!(
        said.starts_with("sort/merge/1000 runs 30% slower (95% "),
        "{said}"
    );
    assert!(
        said.contains("n = 3): regression.") && said.contains("separate sessions"),
        "{said}"
    );
    assert_eq!(code, Some(1));
    // One run tells nothing, however many samples it has.
    let (code, said) = compare("base/0.json", "head/0.json", "regress");
    assert!(
        said.starts_with("Cannot tell: 2 cells, time cannot be told (n = 3 would)."),
        "{said}"
    );
    assert!(said.contains("too few: need 3"), "{said}");
    assert_eq!(code, Some(0));
    assert_eq!(
        compare("base/0.json", "head/0.json", "conclusive").0,
        Some(3)
    );
    let (code, said) = compare("base", "base", "equivalent");
    assert!(
        said.starts_with("No regression: 2 cells, time identical."),
        "{said}"
    );
    assert_eq!(code, Some(0));
}

#[test]
fn several_folders_are_several_repeats_and_what_is_none_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let copies: Vec<String> = (0..3).map(|run| format!("run{run}")).collect();
    for (run, copy) in copies.iter().enumerate() {
        bench(folder.path(), run, 1.0);
        fs::rename(
            folder.path().join("target/criterion"),
            folder.path().join(copy),
        )
        .unwrap();
    }
    let all: Vec<&str> = ["import"]
        .into_iter()
        .chain(copies.iter().map(String::as_str))
        .chain(["--out", "x.json"])
        .collect();
    let output = effbench(folder.path(), &all);
    assert!(
        out(&output).starts_with("2 benchmarks in 3 runs, n = 3\n"),
        "{}",
        err(&output)
    );
    let over = effbench(
        folder.path(),
        &["import", "run1", "--out", "run1/hash/new/sample.json"],
    );
    assert!(
        err(&over).starts_with("error: --out run1: already holds that file"),
        "{}",
        err(&over)
    );
    let twins = effbench(folder.path(), &["import", ".", "--out", "y.json"]);
    assert!(
        err(&twins).starts_with("error: .: two benchmarks are called `hash`"),
        "{}",
        err(&twins)
    );
    fs::create_dir(folder.path().join("empty")).unwrap();
    fs::write(
        folder.path().join("run1/hash/new/sample.json"),
        "{\"iters\": [1.0], \"times\": []}",
    )
    .unwrap();
    fs::write(folder.path().join("x.csv"), "variant,loss\na,3\n").unwrap();
    let rows: [(&[&str], &str); 5] = [
        (
            &["empty"],
            "empty: a folder without a benchmark of criterion's",
        ),
        (&["run0", "run0"], "hash: runs 1 and 2 are one and the same"),
        (
            &["run1"],
            "run1/hash/new/sample.json: not as many iterations as times above 0",
        ),
        (
            &["run0", "--map", "loss=x"],
            "--map, --let, --split, --unit, --interleaved and --base are for logs",
        ),
        (&["run0", "x.csv"], "x.csv: cannot be read: not a directory"),
    ];
    for (args, says) in rows {
        let output = effbench(
            folder.path(),
            &[&["import"], args, &["--out", "y.json"]].concat(),
        );
        assert_eq!(
            (output.status.code(), out(&output).as_str()),
            (Some(2), ""),
            "{args:?}"
        );
        assert!(err(&output).contains(says), "{args:?}: {}", err(&output));
        assert!(!folder.path().join("y.json").exists());
    }
}

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
    let rest = [
        "--split",
        "@file={variant}_seed{seed}",
        "--map",
        "budget=steps",
        "--let",
        "tokens_per_step=524288",
    ];
    let more = [
        "--let",
        "params=124e6",
        "--base",
        "adam",
        "--interleaved",
        "--out",
        "x.json",
    ];
    let args: Vec<&str> = ["import"]
        .into_iter()
        .chain(names.iter().map(String::as_str))
        .chain(rest)
        .chain(more)
        .collect();
    let output = effbench(folder.path(), &args);
    let expected = "6 trials of 2 variants from 6 files\nResult file: x.json. Next: effbench gain x.json --target base\n";
    assert_eq!(out(&output), expected, "{}", err(&output));
    assert!(
        err(&output).contains("note: 12 lines of 6 files hold no figures and are passed over"),
        "{}",
        err(&output)
    );
    let valid = effbench(folder.path(), &["validate", "x.json"]);
    assert!(out(&valid).contains("6 trials (6 ok)"), "{}", out(&valid));

    let output = effbench(
        folder.path(),
        &[
            "gain",
            "x.json",
            "--target",
            "3.6",
            "--against",
            "1.2",
            "--format",
            "json",
        ],
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
        assert_eq!(
            (&gain["n"], &gain["paired"]),
            (&json!(3), &json!(true)),
            "{axis}"
        );
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
    assert_eq!(notes, "");
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
    assert_eq!(notes.lines().count(), 1, "{notes}");
}

/// Arms of one size have slightly different numbers of parameters; they are one scale, and `gain` answers.
#[test]
fn sizes_that_are_nearly_equal_are_one_scale() {
    let folder = tempfile::tempdir().unwrap();
    let mut text = "variant,params,tokens,loss\n".to_owned();
    for (variant, more, worth) in [("gelu", 1.0, 1.0), ("swiglu", 1.02, 1.5)] {
        for params in [10e6, 40e6] {
            for tokens in [2e8, 4e8, 8e8] {
                let loss = 8.0 * f64::powf(worth * params * tokens, -0.03);
                text += &format!("{variant},{},{tokens},{loss}\n", more * params);
            }
        }
    }
    fs::write(folder.path().join("x.csv"), text).unwrap();
    let args = [
        "import", "x.csv", "--map", "run=@row", "--base", "gelu", "--out", "x.json",
    ];
    let output = effbench(folder.path(), &args);
    assert!(
        err(&output).contains(
            "sizes of two variants within 5% are one scale: swiglu 10200000 as n10000000"
        ),
        "{}",
        err(&output)
    );
    assert!(
        out(&output).contains("Next: effbench gain x.json\n"),
        "{}",
        out(&output)
    );
    let file = store::read_valid(&folder.path().join("x.json")).unwrap();
    let scales: Vec<&str> = file
        .trials
        .iter()
        .map(|trial| trial.scale.as_str())
        .collect();
    assert_eq!(
        scales,
        [
            "n10000000",
            "n10000000",
            "n10000000",
            "n40000000",
            "n40000000",
            "n40000000"
        ]
        .repeat(2)
    );
    let said = out(&effbench(folder.path(), &["gain", "x.json"]));
    assert!(said.contains("swiglu/n10000000"), "{said}");
}

/// One budget a size, as on a compute-optimal ray: the runs of a variant are one curve.
#[test]
fn a_compute_optimal_ladder_is_judged_without_a_flag() {
    let folder = tempfile::tempdir().unwrap();
    let mut text = "variant,params,tokens,step,loss\n".to_owned();
    for (variant, worth) in [("adam", 1.0), ("muon", 1.4)] {
        for params in [1e6_f64, 2e6, 4e6, 8e6] {
            let loss = 20.0 * (worth * params * params).powf(-0.05);
            text += &format!("{variant},{params},{},1000,{loss}\n", 20.0 * params);
        }
    }
    fs::write(folder.path().join("x.csv"), text).unwrap();
    let output = effbench(
        folder.path(),
        &["import", "x.csv", "--base", "adam", "--out", "x.json"],
    );
    assert!(
        err(&output).contains("each size has one budget of its own"),
        "{}",
        err(&output)
    );
    let file = store::read_valid(&folder.path().join("x.json")).unwrap();
    let cells: Vec<&str> = file
        .trials
        .iter()
        .take(2)
        .map(|trial| trial.cell.as_str())
        .collect();
    assert_eq!(cells, ["adam/ladder@120000", "adam/ladder@480000"]);
    let fitted = effbench(folder.path(), &["fit", "x.json"]);
    assert_eq!(fitted.status.code(), Some(0), "{}", err(&fitted));
    let said = out(&effbench(
        folder.path(),
        &["gain", "x.json", "--target", "4.5", "--format", "json"],
    ));
    let said: Value = serde_json::from_str(&said).unwrap();
    let gain = said["targets"][0]["variants"][0]["gains"]["model_flops"]["value"]
        .as_f64()
        .unwrap();
    assert!((gain - 1.4).abs() < 1e-6, "{gain}");
}

/// Budgets in FLOPs keep their differences, however small they are.
#[test]
fn small_budgets_in_flops_stay_apart() {
    for scale in [1e3, 1e7, 1e12, 1e20] {
        let folder = tempfile::tempdir().unwrap();
        let rows: String = [1.0, 1.1, 2.0]
            .map(|c| format!("a,{},{}\n", c * scale, 4.0 - 0.1 * c))
            .concat();
        fs::write(
            folder.path().join("x.csv"),
            format!("variant,flops,loss\n{rows}"),
        )
        .unwrap();
        effbench(
            folder.path(),
            &["import", "x.csv", "--map", "run=@row", "--out", "x.json"],
        );
        let file = store::read_valid(&folder.path().join("x.json")).unwrap();
        let mut budgets: Vec<Option<u64>> = file.trials.iter().map(|trial| trial.budget).collect();
        budgets.dedup();
        assert_eq!(
            (budgets.len(), file.run.repeats),
            (3, 1),
            "{scale}: {budgets:?}"
        );
        assert!(
            budgets.iter().all(|budget| budget.is_some_and(|b| b > 0)),
            "{budgets:?}"
        );
    }
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
