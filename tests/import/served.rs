//! What serving benchmarks and meters of power leave.

use std::fs;

use effbench::record::metric::{
    DECODE_TOKENS_PER_S, PREFILL_TOKENS_PER_S, TASK_ACCURACY, TRAIN_ENERGY_J, TRAIN_WALL_S,
    VAL_LOSS_NATS,
};
use effbench::record::{Trial, store};

use super::{err, run};

fn import(name: &str, text: &str) -> Vec<Trial> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(name), text).unwrap();
    let output = run(
        folder.path(),
        &format!("import {name} --let variant=v --out a.json"),
    );
    assert_eq!(output.status.code(), Some(0), "{name}: {}", err(&output));
    let file = store::read_valid(&folder.path().join("a.json")).unwrap();
    file.trials
}

#[test]
fn a_load_of_a_serving_benchmark_is_a_cell() {
    let one = |many: u32, speed: f64| {
        format!(
            "{{\"backend\": \"vllm\", \"model_id\": \"m\", \"request_rate\": \"inf\", \"max_concurrency\": {many}, \"duration\": 20.5, \
             \"request_throughput\": 9.7, \"output_throughput\": {speed}, \"mean_ttft_ms\": 15.0, \"ttfts\": [0.1, 0.2]}}"
        )
    };
    let cells = |trials: &[Trial]| {
        let told = |t: &Trial| (t.cell.clone(), t.metric(DECODE_TOKENS_PER_S));
        trials.iter().map(told).collect::<Vec<_>>()
    };
    let expected = [
        ("v/rate inf, 16 at once".to_owned(), Some(1363.1)),
        ("v/rate inf, 64 at once".to_owned(), Some(2363.1)),
    ];
    let lines = format!("{}\n{}\n", one(16, 1363.1), one(64, 2363.1));
    assert_eq!(cells(&import("bench.jsonl", &lines)), expected);
    let pretty = one(16, 1363.1).replace(", ", ",\n ").replace('{', "{\n");
    assert_eq!(cells(&import("vllm.json", &pretty)), expected[..1]);
    let table = "main: n_kv_max = 4096\n\n|    PP |     TG |    B |   N_KV |   T_PP s | S_PP t/s |   T_TG s | S_TG t/s |      T s |    S t/s |\n\
                 |-------|--------|------|--------|----------|----------|----------|----------|----------|----------|\n\
                 |   128 |    128 |    2 |    512 |    0.198 |  1295.19 |    5.029 |    50.90 |    5.227 |    97.95 |\n";
    let batched = import("batched.md", table);
    assert_eq!(
        cells(&batched),
        [("v/pp128+tg128, batch 2".to_owned(), Some(50.9))]
    );
    assert_eq!(batched[0].metric(PREFILL_TOKENS_PER_S), Some(1295.19));
}

/// Two GPUs at 100 W and 50 W over two seconds; counters that rise, and one that begins anew; joules of a window.
#[test]
fn power_over_time_is_energy() {
    let smi = "timestamp, index, power.draw [W]\n2026/06/18 00:00:00.000, 0, 100.00 W\n2026/06/18 00:00:00.000, 1, 50.00 W\n\
               2026/06/18 00:00:01.000, 0, 100.00 W\n2026/06/18 00:00:01.000, 1, [N/A]\n2026/06/18 00:00:02.000, 0, 100.00 W\n\
               2026/06/18 00:00:02.000, 1, 50.00 W\n";
    let bridge = "Delta,Time,DRAM_ENERGY (J),PACKAGE_ENERGY (J)\n0,1700000000000,100,1000\n200,1700000000500,101,1010\n\
                  201,1700000001000,102,1013\n200,1700000002000,103,1023\n";
    for (name, text, joules) in [("smi.csv", smi, 300.0), ("bridge.csv", bridge, 26.0)] {
        let trials = import(name, text);
        assert_eq!(trials.len(), 1, "{name}");
        let (found, seconds) = (
            trials[0].metric(TRAIN_ENERGY_J),
            trials[0].metric(TRAIN_WALL_S),
        );
        assert_eq!((found, seconds), (Some(joules), Some(2.0)), "{name}");
    }
    let zeus = "start_time,window_name,elapsed_time,gpu0_energy,gpu1_energy\n1690000000.1,epoch,12.5,1500.5,500\n";
    let window = import("zeus.csv", zeus);
    assert_eq!(window[0].metric(TRAIN_ENERGY_J), Some(2000.5));
    // Meters that nothing tells apart give no energy, nor does a counter that begins anew.
    let folder = tempfile::tempdir().unwrap();
    for text in [
        smi.replace(" 1, 50", " 0, 50"),
        bridge.replace(",1013", ",3"),
    ] {
        fs::write(folder.path().join("x.csv"), text).unwrap();
        let output = run(folder.path(), "import x.csv --let variant=v --out a.json");
        assert_eq!(output.status.code(), Some(2), "{}", err(&output));
    }
}

/// LLaMA-Factory says tokens beside a training loss only: the steps order the points.
#[test]
fn rows_that_say_less_are_ordered_by_what_all_say() {
    let log = "{\"current_steps\": 10, \"loss\": 2.4, \"elapsed_time\": \"0:01:00\", \"total_tokens\": 161478}\n\
               {\"current_steps\": 20, \"eval_loss\": 2.1, \"elapsed_time\": \"0:02:10\"}\n";
    let trials = import("trainer_log.jsonl", log);
    assert_eq!(trials[0].metric(VAL_LOSS_NATS), Some(2.1));
    let by_time = log
        .replace("\"current_steps\": 20, ", "")
        .replace("current_steps", "x");
    assert_eq!(
        import("y.jsonl", &by_time)[0].metric(VAL_LOSS_NATS),
        Some(2.1)
    );
}

/// What lm-evaluation-harness wrote, on one line as `jq -c` leaves it.
#[test]
fn a_document_on_one_line_is_the_same_document() {
    let told = "{\"results\": {\"piqa\": {\"alias\": \"piqa\", \"acc,none\": 0.5}}, \"configs\": {}, \"model_name\": \"gpt2\"}\n";
    let trials = import("results.json", told);
    assert_eq!(trials[0].cell, "v/piqa");
    assert_eq!(trials[0].metric(TASK_ACCURACY), Some(0.5));
}

/// What a tool measured is called as the tool says, else as its file.
#[test]
fn a_measurement_without_a_name_is_called_like_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("idle.csv", "12.5,Joules,power/energy-pkg/,1,100.00,,\n");
    write(
        "q4.txt",
        "prompt eval rate:     199.5 tokens/s\neval rate:            61.5 tokens/s\n",
    );
    write(
        "energies.csv",
        "model,total_gpu_energy,energy_score\nm1,0.001,5\n",
    );
    write(
        "meter.csv",
        "at,draw_mw\n2025-01-31 12:00:00,1000\n2025-01-31 12:00:10,3000\n",
    );
    let told = |line: &str| {
        let output = run(
            folder.path(),
            &format!("import {line} --out a.json --force"),
        );
        assert_eq!(output.status.code(), Some(0), "{line}: {}", err(&output));
        let file = store::read_valid(&folder.path().join("a.json")).unwrap();
        let trial = &file.trials[0];
        let metrics = [TRAIN_ENERGY_J, PREFILL_TOKENS_PER_S].map(|name| trial.metric(name));
        (trial.variant.clone(), metrics)
    };
    write(
        "lmeval.md",
        "|Tasks|Version|Filter|n-shot|Metric| |Value | |Stderr|\n|-----|------:|------|-----:|------|---|-----:|---|-----:|\n\
         |arc  |      1|none  |     0|acc   |↑  |0.6540|±  |0.0098|\n|     |       |none  |     0|acc_norm|↑  |0.6|±  |0.0101|\n",
    );
    let output = run(folder.path(), "import lmeval.md --out l.json");
    let shares: Vec<Option<f64>> = store::read_valid(&folder.path().join("l.json"))
        .unwrap_or_else(|_| panic!("{}", err(&output)))
        .trials
        .iter()
        .map(|trial| trial.metric(TASK_ACCURACY))
        .collect();
    assert_eq!(shares, [Some(0.654)]);
    let rows = [
        ("idle.csv", "idle", [Some(12.5), None]),
        ("q4.txt", "q4", [None, Some(199.5)]),
        ("energies.csv", "m1", [Some(3600.0), None]),
        (
            "meter.csv --map variant=@file,seconds=at,watts=draw_mw",
            "meter",
            [Some(20.0), None],
        ),
    ];
    for (line, variant, metrics) in rows {
        assert_eq!(told(line), (variant.to_owned(), metrics), "{line}");
    }
}
