//! Tests of `dialect`: lines as the programs print them.

use super::of;

mod meters;
mod others;
mod loggers;
mod programs;

/// What a text is read as: the dialect, its columns, its rows, and the lines passed over.
fn read(text: &str) -> (String, Vec<String>, Vec<Vec<String>>, usize) {
    let (dialect, table, passed) = of("x.log", text).expect("a dialect");
    let rows = (0..table.rows()).map(|row| {
        let cells = (0..table.columns.len()).map(|k| table.cell(row, k).to_owned());
        cells.collect()
    });
    let name = dialect.name.to_owned();
    (name, table.columns.clone(), rows.collect(), passed.count)
}

fn check(text: &str, name: &str, columns: &[&str], rows: &[&[&str]], passed: usize) {
    let found = read(text);
    assert_eq!((found.0.as_str(), found.3), (name, passed), "{text}");
    assert_eq!(found.1, columns, "{text}");
    let expected: Vec<Vec<&str>> = rows.iter().map(|row| row.to_vec()).collect();
    assert_eq!(found.2, expected, "{text}");
}

#[test]
fn trainer() {
    check(
        "  0%|          | 0/1000 [00:00<?, ?it/s]\r 50%|#####     | 500/1000 [01:00<01:00, 8.3it/s]\n\
         {'loss': 2.31, 'grad_norm': 1.25, 'learning_rate': 5e-05, 'epoch': 0.5}\n\
         \r100%|##########| 50/50 [00:10<00:00, 5.0it/s]\u{1b}[A\n\
         {'eval_loss': 2.2, 'eval_runtime': 10.1, 'epoch': 0.5}\n\
         {'train_runtime': 120.5, 'train_loss': 2.5, 'epoch': 1.0}\n",
        "trainer",
        &[
            "step",
            "train_loss",
            "grad_norm",
            "learning_rate",
            "epoch",
            "eval_loss",
            "eval_runtime",
        ],
        &[
            &["500", "2.31", "1.25", "5e-05", "0.5", "", ""],
            &["500", "", "", "", "0.5", "2.2", "10.1"],
        ],
        4,
    );
}

#[test]
fn words_with_keys() {
    check(
        "import os\nstep:0/5100 val_loss:16.00 train_time:387ms\n2025-01-01 12:00:00 INFO step:1/5100 train_loss:15.9 train_time:23767ms\n",
        "key-value",
        &["step", "steps", "val_loss", "train_time", "train_loss"],
        &[
            &["0", "5100", "16.00", "387ms", ""],
            &["1", "5100", "", "23767ms", "15.9"],
        ],
        1,
    );
    check(
        "s:0 tel:13.0\ns:0 eval:0.25\ns:0 trl:12.9 lr:0.0006 norm:1.23\n",
        "key-value",
        &["s", "tel", "eval", "trl", "lr", "norm"],
        &[
            &["0", "13.0", "", "", "", ""],
            &["0", "", "0.25", "", "", ""],
            &["0", "", "", "12.9", "0.0006", "1.23"],
        ],
        0,
    );
}

#[test]
fn nanogpt() {
    check(
        "tokens per iteration will be: 16,384\nnumber of parameters: 10.65M\nstep 0: train loss 4.35, val loss 4.40\n\
         iter 0: loss 4.4000, time 41.76ms, mfu -100.00%\nsaving checkpoint to out\n",
        "nanogpt",
        &[
            "step",
            "train loss",
            "val loss",
            "params",
            "tokens_per_step",
            "loss",
            "time",
            "mfu",
        ],
        &[
            &["0", "4.35", "4.40", "10650000", "16384", "", "", ""],
            &[
                "0", "", "", "10650000", "16384", "4.4000", "41.76ms", "-100.00%",
            ],
        ],
        1,
    );
}

#[test]
fn nanochat() {
    check(
        "Step 00000 | Validation bpb: 3.2145\n\
         step 00100/21400 (0.47%) | loss: 5.12 | lrm: 1.00 | dt: 512.31ms | tok/sec: 1,023,410 | mfu: 47.15 | total time: 0.85m\n",
        "nanochat",
        &[
            "step",
            "val bpb",
            "steps",
            "loss",
            "lrm",
            "dt",
            "tok/sec",
            "mfu",
            "train time",
        ],
        &[
            &["00000", "3.2145", "", "", "", "", "", "", ""],
            &[
                "00100",
                "",
                "21400",
                "5.12",
                "1.00",
                "512.31ms",
                "1,023,410",
                "47.15",
                "0.85m",
            ],
        ],
        0,
    );
}

#[test]
fn torchtitan() {
    check(
        "[rank0]:[titan] 2025-01-31 12:00:00,123 - root - INFO - Training starts at step 1.\n\
         [rank0]:[titan] 2025-01-31 12:00:09,123 - root - INFO - step:  1  loss: 12.25  grad_norm:  3.20  memory: 47.60GiB(50.11%)  tps: 3,000\n\
         [rank0]:[titan] 2025-01-31 12:01:09,123 - root - INFO - validate step: 10  loss:  7.01\n",
        "torchtitan",
        &[
            "step",
            "loss",
            "grad_norm",
            "memory",
            "tps of a device",
            "val loss",
        ],
        &[
            &["1", "12.25", "3.20", "47.60GiB(50.11%)", "3,000", ""],
            &["10", "", "", "", "", "7.01"],
        ],
        1,
    );
}

#[test]
fn megatron() {
    check(
        " [2025-01-31 12:00:00] iteration      100/  500000 | consumed samples:        25600 | elapsed time per iteration (ms): 512.3 \
         | learning rate: 1.500E-04 | lm loss: 7.100000E+00 | loss scale: 1.0 |\n\
         -----------------------------------\n\
         \u{20}validation loss at iteration 100 | lm loss value: 7.000000E+00 | lm loss PPL: 1.096633E+03 |\n\
         \u{20}validation loss at iteration 100 on test set | lm loss value: 6.9E+00 | lm loss PPL: 9.9E+02 |\n",
        "megatron",
        &[
            "step",
            "steps",
            "consumed samples",
            "elapsed time per iteration (ms)",
            "learning rate",
            "loss",
            "loss scale",
            "val loss",
        ],
        &[
            &[
                "100",
                "500000",
                "25600",
                "512.3",
                "1.500E-04",
                "7.100000E+00",
                "1.0",
                "",
            ],
            &["100", "", "", "", "", "", "", "7.000000E+00"],
        ],
        2,
    );
}

#[test]
fn litgpt() {
    check(
        "Seed set to 42\nEpoch 1 | iter 4 step 1 | loss train: 2.123, val: n/a | iter time: 400.12 ms (step) remaining time: 0:10:00\n\
         Epoch 1 | iter 8 step 2 | loss train: 2.001, val: 2.100 | iter time: 400.12 ms (step)\niter 8: val loss 2.0123, val time: 1000.00 ms\n",
        "litgpt",
        &["step", "iter", "loss", "val loss"],
        &[
            &["1", "4", "2.123", ""],
            &["2", "8", "2.001", ""],
            &["2", "8", "", "2.0123"],
        ],
        1,
    );
}

#[test]
fn a_progress_bar_and_a_cut_off_end() {
    // Two lines over one another, and a last one of which nobody knows whether its figure is whole.
    let text = "step:1 loss:3.25\rstep:2 loss:3.125\nstep:3 loss:3";
    check(
        text,
        "key-value",
        &["step", "loss"],
        &[&["1", "3.25"], &["2", "3.125"]],
        0,
    );
    assert!(of("x.log", "a poem\nof two lines\n").is_none());
}
