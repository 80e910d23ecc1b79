//! Tables of tools that measure speed, energy or accuracy and no loss.

use std::fs;
use std::path::Path;

use effbench::record::metric::{
    DECODE_TOKENS_PER_S, PREFILL_TOKENS_PER_S, TASK_ACCURACY, TRAIN_ENERGY_J, TRAIN_TOKENS_PER_S,
    TRAIN_WALL_S, VAL_LOSS_NATS,
};
use effbench::record::{Status, Trial, store};

use super::{err, out, run};

/// What is made of a file of that name and text.
fn import(name: &str, text: &str, options: &str) -> Vec<Trial> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(name), text).unwrap();
    let line = format!("import {name} --out a.json {options}");
    let output = run(folder.path(), line.trim());
    assert_eq!(output.status.code(), Some(0), "{name}: {}", err(&output));
    let file = store::read_valid(&folder.path().join("a.json")).unwrap();
    assert!(file.trials.iter().all(|trial| trial.status == Status::Ok));
    file.trials
}

/// Two rows as llama-bench writes them, the fields that matter.
const LLAMA_BENCH: &str = r#"[
 {"build_commit": "0a1b", "model_type": "llama 1B Q4_0", "model_n_params": 1100048384, "n_prompt": 512, "n_gen": 0,
  "n_depth": 0, "avg_ts": 72.0, "samples_ns": [1, 2, 3], "samples_ts": [73.0, 72.5, 70.0]},
 {"build_commit": "0a1b", "model_type": "llama 1B Q4_0", "model_n_params": 1100048384, "n_prompt": 0, "n_gen": 128,
  "n_depth": 4096, "avg_ts": 9.5, "samples_ns": [1, 2, 3], "samples_ts": [9.0, 10.0, 9.5]},
 {"build_commit": "0a1b", "model_type": "llama 1B Q4_0", "model_n_params": 1100048384, "n_prompt": 512, "n_gen": 128,
  "n_depth": 0, "avg_ts": 30.0, "samples_ns": [1, 2, 3], "samples_ts": [30.0, 30.0, 30.0]}
]"#;

#[test]
fn llama_bench_is_read_with_its_samples_in_every_form() {
    let trials = import("bench.json", LLAMA_BENCH, "");
    let cells: Vec<&str> = trials.iter().map(|trial| &*trial.cell).collect();
    // Prompt and generation together are neither speed.
    assert_eq!(cells, ["llama 1B Q4_0/pp512", "llama 1B Q4_0/tg128@d4096"]);
    let prefill = &trials[0].metrics[PREFILL_TOKENS_PER_S];
    assert_eq!(
        (prefill.value, prefill.n, prefill.samples.as_slice()),
        (Some(72.5), Some(3), &[73.0, 72.5, 70.0][..])
    );
    assert_eq!(trials[1].metric(DECODE_TOKENS_PER_S), Some(9.5));
    assert_eq!(trials[0].params(), Some(1_100_048_384));
    let lines: String = serde_json::from_str::<Vec<serde_json::Value>>(LLAMA_BENCH)
        .unwrap()
        .iter()
        .map(|row| format!("{row}\n"))
        .collect();
    let by_lines = import("bench.jsonl", &lines, "");
    let csv = "build_commit,model_type,model_n_params,n_prompt,n_gen,n_depth,avg_ts,stddev_ts\n\
               \"0a1b\",\"llama 1B Q4_0\",\"1100048384\",\"512\",\"0\",\"0\",\"72.0\",\"0.5\"\n";
    let by_commas = import("bench.csv", csv, "");
    let pasted = "| model | size | params | backend | test | t/s |\n| --- | ---: | ---: | --- | ---: | ---: |\n\
                  | llama 7B Q4_0 | 3.56 GiB | 6.74 B | CUDA | pp512 | 4918.36 ± 132.23 |\n\
                  | llama 7B Q4_0 | 3.56 GiB | 6.74 B | CUDA | tg128 | 165.76 ± 1.50 |\n\nbuild: 0a1b (5000)\n";
    let pasted = import("bench.md", pasted, "");
    assert_eq!(pasted[0].metric(PREFILL_TOKENS_PER_S), Some(4918.36));
    assert_eq!(pasted[1].metric(DECODE_TOKENS_PER_S), Some(165.76));
    assert_eq!(pasted[1].params(), Some(6_740_000_000));
    assert_eq!(by_lines[1].metric(DECODE_TOKENS_PER_S), Some(9.5));
    assert_eq!(by_commas[0].metric(PREFILL_TOKENS_PER_S), Some(72.0));
}

#[test]
fn codecarbons_energies_are_joules() {
    // The rows of one run are totals since it began: the last of them is the run's.
    let text = "timestamp,project_name,run_id,duration,emissions,cpu_energy,energy_consumed\n\
                2026-05-01T09:55:00,base,a-1,300.5,0.004,0.0036,0.02\n\
                2026-05-01T10:00:00,base,a-1,812.5,0.012,0.0096,0.05\n\
                2026-05-01T11:00:00,base,a-2,800.0,0.011,0.0095,0.0475\n\
                2026-05-01T12:00:00,muon,a-3,640.0,0.010,0.0076,0.0375\n";
    for options in [
        "",
        "--map variant=project_name,seconds=duration,joules=energy_consumed",
    ] {
        let trials = import("emissions.csv", text, options);
        let told: Vec<_> = trials
            .iter()
            .map(|t| {
                (
                    &*t.cell,
                    t.repeat,
                    t.metric(TRAIN_ENERGY_J),
                    t.metric(TRAIN_WALL_S),
                )
            })
            .collect();
        let expected = [
            ("base/all", 0, Some(180_000.0), Some(812.5)),
            ("base/all", 1, Some(171_000.0), Some(800.0)),
            ("muon/all", 0, Some(135_000.0), Some(640.0)),
        ];
        assert_eq!(told, expected);
        assert_eq!(trials[0].metric(VAL_LOSS_NATS), None);
    }
    let tasks = "task_name,timestamp,project_name,run_id,duration,emissions,energy_consumed\n\
                 load,2026-05-01T10:00:00,base,a-1,10,0.001,0.001\ntrain,2026-05-01T10:01:00,base,a-1,60,0.01,0.01\n";
    let trials = import("emissions_base.csv", tasks, "");
    let told: Vec<_> = trials
        .iter()
        .map(|t| (&*t.cell, t.metric(TRAIN_ENERGY_J)))
        .collect();
    assert_eq!(
        told,
        [("load/all", Some(3600.0)), ("train/all", Some(36_000.0))]
    );
}

#[test]
fn lm_evals_tasks_are_cells() {
    let text = r#"{"results": {
        "arc_easy": {"alias": "arc_easy", "acc,none": 0.41, "acc_stderr,none": 0.0068, "acc_norm,none": 0.39},
        "gsm8k": {"alias": "gsm8k", "exact_match,strict-match": 0.08, "exact_match,flexible-extract": 0.1},
        "wikitext": {"alias": "wikitext", "word_perplexity,none": 37.4, "bits_per_byte,none": 0.95}},
        "versions": {"arc_easy": 1}, "config": {"model": "hf", "model_args": "pretrained=some/model,dtype=float32"}}"#;
    let trials = import("results.json", text, "");
    let told: Vec<_> = trials
        .iter()
        .map(|t| (&*t.cell, t.metric(TASK_ACCURACY)))
        .collect();
    let expected = [
        ("some/model/arc_easy", Some(0.41)),
        ("some/model/gsm8k", Some(0.08)),
        ("some/model/wikitext", None),
    ];
    assert_eq!(told, expected);
    let nats = trials[2].metric(VAL_LOSS_NATS).unwrap();
    assert!((nats - 0.95 * std::f64::consts::LN_2).abs() < 1e-12);
    let named = import("results.json", text, "--let variant=mine");
    assert_eq!(named[0].cell, "mine/arc_easy");
}

#[test]
fn a_table_without_losses_is_read_where_somebody_says_what_it_holds() {
    let text =
        "variant,run,speed,energy_kwh,acc\na,1,12.3k tok/s,0.01,41%\na,2,12.5k tok/s,0.02,42%\n";
    let trials = import("t.csv", text, "--map tokens_per_s=speed,accuracy=acc");
    let told: Vec<_> = trials
        .iter()
        .map(|t| {
            (
                t.repeat,
                t.metric(TRAIN_TOKENS_PER_S),
                t.metric(TRAIN_ENERGY_J),
                t.metric(TASK_ACCURACY),
            )
        })
        .collect();
    let expected = [
        (0, Some(12_300.0), Some(36_000.0), Some(0.41)),
        (1, Some(12_500.0), Some(72_000.0), Some(0.42)),
    ];
    assert_eq!(told, expected);
    // Nobody said so: a loss whose column has another name must not be lost in silence.
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("t.csv"), text).unwrap();
    let output = run(folder.path(), "import t.csv --out a.json");
    assert_eq!(output.status.code(), Some(2));
    assert!(
        err(&output).contains("nothing says what the loss is"),
        "{}",
        err(&output)
    );
    assert!(err(&output).contains("--map tokens_per_s=COLUMN"));
}

#[test]
fn speeds_of_two_runs_are_compared() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, speeds: [f64; 4]| {
        let rows: String = speeds.iter().map(|speed| format!("a,{speed}\n")).collect();
        fs::write(
            folder.path().join(format!("{name}.csv")),
            format!("variant,speed\n{rows}"),
        )
        .unwrap();
        let line = format!("import {name}.csv --map prefill_tokens_per_s=speed --out {name}.json");
        assert_eq!(run(folder.path(), &line).status.code(), Some(0));
    };
    write("base", [100.0, 101.0, 99.0, 100.0]);
    write("new", [50.0, 50.5, 49.5, 50.0]);
    let found = run(folder.path(), "compare base.json new.json --gate regress");
    assert_eq!(
        found.status.code(),
        Some(1),
        "{}{}",
        out(&found),
        err(&found)
    );
    assert!(
        out(&found).contains("prefill_tokens_per_s"),
        "{}",
        out(&found)
    );
}

#[test]
fn a_dry_run_says_what_is_what_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let text = "# made by hand\nname,step,val_loss,params,time,note\na,100,3.5,124M,0:01:40,x\na,200,3.25,124M,0:02:40,y\n";
    fs::write(folder.path().join("log.csv"), text).unwrap();
    let line = "import log.csv --map variant=name,seconds=time --out a.json --dry-run";
    let output = run(folder.path(), line);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let said = out(&output);
    for part in [
        "1 trial of 1 variant from 1 file. Nothing was written",
        "2 rows of figures; not used: note.",
        "a/all@200",
        "3.25",
        "0:01:40",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!Path::new(&folder.path().join("a.json")).exists());
    let json = run(
        folder.path(),
        "import log.csv --let variant=b --dry-run --format json",
    );
    let document: serde_json::Value = serde_json::from_str(&out(&json)).unwrap();
    let roles = document["logs"][0]["roles"].as_array().unwrap();
    let loss = roles.iter().find(|taken| taken["role"] == "loss").unwrap();
    assert_eq!(
        (&loss["source"], &loss["first"]),
        (&"val_loss".into(), &"3.5".into())
    );
}

const LLMC: &str = "val loss 11.009463\n\
                step    1/18865 | loss 11.009344 (+nanz)| norm 15.3517 (+nanz)| lr 8.57e-07 | 1024.05 ms | 52.1% bf16 MFU | 511962 tok/s\n\
                step  250/18865 | loss 6.500000 (-0.2z)| norm 1.0 (+0.1z)| lr 2.0e-04 | 1018.85 ms | 52.3% bf16 MFU | 514581 tok/s\n\
                val loss 6.427\n";

const MEGATRON: &str = " iteration 200/ 1000 | consumed tokens: 104857600 | lm loss: 5.100213E+00 | loss scale: 1.0 |\n \
                    valid loss at iteration 200 | lm loss value: 5.050031E+00 | lm loss PPL: 1.542004E+02 |\n";

const LITGPT: &str = "Epoch 1 | iter 1 step 0 | loss train: 2.9, val: n/a | iter time: 4500.1 ms\n\
                  Epoch 1 | iter 2 step 1 | loss train: 2.8, val: n/a | iter time: 4500.1 ms (step)\n\
                  Epoch 1 | iter 3 step 1 | loss train: 2.7, val: n/a | iter time: 4500.1 ms\n\
                  Epoch 1 | iter 4 step 2 | loss train: 2.6, val: n/a | iter time: 4500.1 ms (step)\n\
                  Final evaluation | val loss: 2.5 | val ppl: 12.18\n";

const SETS: &str = r#"{"log_history":[{"loss":3.2,"step":100},{"eval_wiki_loss":3.1,"step":100},{"eval_code_loss":2.1,"step":100}]}"#;

const WANDB: &str = "\"train/global_step\",\"adam - eval/loss\",\"adam - eval/loss__MIN\",\"adam - train/loss\"\n250,5.5,5.4,5.75\n500,4.5,4.4,4.75\n";

/// What people's logs hold beside the figures of the example: each a log, what it must come to, and by which options.
#[test]
fn what_a_reader_of_the_log_would_name() {
    let bar = |done: u64, all: u64| {
        format!(
            "{}%|##   | {done}/{all} [00:10<00:20,  9.9it/s]",
            100 * done / all
        )
    };
    // Bars of a tokenizer and of an evaluation are not the training's; the frame behind a dict has its step.
    let trainer = format!(
        "Map: {}\n{}\r{{'loss': 3.21, 'epoch': 0.33}}\n{}\r{}\n{{'eval_loss': 2.4, 'epoch': 0.33}}\n{}\n",
        bar(5000, 5000),
        bar(97, 300),
        bar(100, 300),
        bar(1000, 1000),
        bar(100, 300),
    );
    let rows = [
        (
            "t.log",
            trainer.as_str(),
            "--let variant=a",
            2.4,
            "a/all@100",
        ),
        ("l.log", LLMC, "--let variant=a", 6.427, "a/all@250"),
        ("m.log", MEGATRON, "--let variant=a", 5.050031, "a/all@200"),
        ("g.log", LITGPT, "--let variant=a", 2.5, "a/all@2"),
        (
            "s.json",
            SETS,
            "--let variant=a --map loss=eval_wiki_loss",
            3.1,
            "a/all@100",
        ),
        ("w.csv", WANDB, "", 4.5, "adam/all@500"),
        (
            "p.csv",
            "variant,step,val_log_perplexity\na,1,4\n",
            "--map loss=val_log_perplexity",
            4.0,
            "a/all@1",
        ),
        (
            "run-a-tag-eval_perplexity.csv",
            "Wall time,Step,Value\n1700000000.5,100,1\n",
            "--let variant=a",
            0.0,
            "a/all@100",
        ),
    ];
    for (name, text, options, loss, cell) in rows {
        let trials = import(name, text, options);
        assert_eq!(trials.len(), 1, "{name}");
        assert_eq!(
            (trials[0].metric(VAL_LOSS_NATS), &*trials[0].cell),
            (Some(loss), cell),
            "{name}"
        );
    }
}

#[test]
fn the_tags_of_one_run_are_one_run() {
    let tags = tempfile::tempdir().unwrap();
    for (tag, loss) in [("train_loss", "4.0"), ("eval_loss", "4.25")] {
        let text = format!("Wall time,Step,Value\n1700000000.5,100,5.5\n1700000200.5,300,{loss}\n");
        fs::write(tags.path().join(format!("run-muon-tag-{tag}.csv")), text).unwrap();
    }
    let line = "import run-muon-tag-train_loss.csv run-muon-tag-eval_loss.csv --let variant=muon --out a.json";
    assert_eq!(run(tags.path(), line).status.code(), Some(0));
    let file = store::read_valid(&tags.path().join("a.json")).unwrap();
    assert_eq!(file.trials.len(), 1, "two tags of one run");
    assert_eq!(file.trials[0].metric(VAL_LOSS_NATS), Some(4.25));
}

#[test]
fn what_is_no_result_is_not_taken_for_one() {
    let refused = |name: &str, text: &str, options: &str, says: &str| {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(name), text).unwrap();
        let output = run(
            folder.path(),
            format!("import {name} --out a.json {options}").trim(),
        );
        assert_eq!(output.status.code(), Some(2), "{name}: {}", err(&output));
        assert!(err(&output).contains(says), "{name}: {}", err(&output));
    };
    let tag = "Wall time,Step,Value\n1700000000.5,100,0.001\n";
    refused(
        "run-a-tag-learning_rate.csv",
        tag,
        "--let variant=a",
        "nothing says what the loss is",
    );
    let sets = "step,val_wiki_loss,val_code_loss,loss\n1,3,2,4\n";
    refused(
        "s.csv",
        sets,
        "--let variant=a",
        "`val_wiki_loss` or `val_code_loss`",
    );
    let dicts = "{'loss': 3.21, 'epoch': 0.33}\n{'loss': 3.11, 'epoch': 0.66}\n{'eval_loss': 3.0, 'epoch': 0.66}\n";
    refused(
        "d.log",
        dicts,
        "--let variant=a",
        "trainer_state.json has the steps",
    );
    refused(
        "t.csv",
        "variant,step,val_loss,tokens\na,1,3,0.5\n",
        "",
        "0.5 is no count",
    );
    // A run that blew up after its last validation did not get there.
    let folder = tempfile::tempdir().unwrap();
    let text = "variant,step,train_loss,val_loss\na,100,3.0,3.1\na,200,nan,\na,300,nan,\n";
    fs::write(folder.path().join("n.csv"), text).unwrap();
    let output = run(folder.path(), "import n.csv --out a.json");
    assert!(
        err(&output).contains("the training loss is not a number at step 200"),
        "{}",
        err(&output)
    );
    // A loss that is the training's is told to be.
    fs::write(
        folder.path().join("t.log"),
        "iter 0: loss 4.5, time 1ms\niter 10: loss 4.25, time 1ms\n",
    )
    .unwrap();
    let output = run(folder.path(), "import t.log --let variant=a --out b.json");
    assert!(
        err(&output).contains("the training loss is judged"),
        "{}",
        err(&output)
    );
}

/// Each version of llama-bench has more settings: whatever differs from row to row is no repeat, unless it is what was measured.
#[test]
fn a_setting_that_nobody_has_heard_of_is_no_repeat() {
    let csv = "build_commit,model_type,model_n_params,use_magic,n_prompt,n_gen,n_depth,test_time,avg_ts,stddev_ts\n\
               0a1b,llama 1B,1100048384,0,512,0,0,2026-01-01T00:00:00Z,72.0,0.5\n\
               0a1b,llama 1B,1100048384,1,512,0,0,2026-01-01T00:00:09Z,81.0,0.6\n";
    let trials = import("bench.csv", csv, "");
    let cells: Vec<&str> = trials.iter().map(|trial| &*trial.cell).collect();
    assert_eq!(
        cells,
        ["llama 1B, use_magic 0/pp512", "llama 1B, use_magic 1/pp512"]
    );
}

/// Two checkpoints of one model, as lm-evaluation-harness wrote them in 2023, are no repeats; nor are other numbers of examples.
#[test]
fn a_checkpoint_of_a_model_is_another_model() {
    let of = |revision: &str, shots: u32| {
        let text = format!(
            r#"{{"results": {{"quiz": {{"acc": 0.5, "acc_stderr": 0.01}}}}, "versions": {{"quiz": 0}},
                "config": {{"model": "hf-causal", "model_args": "pretrained=org/m,revision={revision}", "num_fewshot": {shots}}}}}"#
        );
        import("results.json", &text, "").remove(0).cell
    };
    assert_eq!(of("step9", 0), "org/m@step9/quiz");
    assert_eq!(of("main", 5), "org/m/quiz, 5-shot");
}
