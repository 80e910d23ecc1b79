//! Forms that public logs have: each line is invented, in the form of the program that is named.

use super::read;

/// Checks the dialect, and what its rows say: `step 1, loss 3.5` for each row, empty cells left out.
pub(super) fn says(text: &str, name: &str, rows: &[&str]) {
    let (dialect, columns, cells, _) = read(text);
    let row = |cells: &Vec<String>| {
        let said = columns
            .iter()
            .zip(cells)
            .filter(|(_, cell)| !cell.is_empty());
        let said: Vec<String> = said
            .map(|(column, cell)| format!("{column} {cell}"))
            .collect();
        said.join(", ")
    };
    let found: Vec<String> = cells.iter().map(row).collect();
    assert_eq!(dialect, name, "{text}");
    assert_eq!(found, rows, "{text}");
}

#[test]
fn fairseq_counts_in_bits_and_its_perplexity_says_so() {
    says(
        "2021-01-01 10:00:00 | INFO | train_inner | epoch 001:     50 / 200 loss=4.5, nll_loss=3.0, ppl=8, wps=100, num_updates=50, lr=0.1, wall=70\n\
         2021-01-01 10:01:00 | INFO | valid | epoch 001 | valid on 'valid' subset | loss 4.25 | nll_loss 2.5 | ppl 5.66 | num_updates 200 | best_loss 4.25\n\
         2021-01-01 10:01:01 | INFO | train | epoch 001 | loss 4.4 | nll_loss 2.9 | ppl 7.46 | num_updates 200 | wall 280\n",
        "fairseq",
        &[
            "step 50, train_loss_bits 3.0, elapsed 70",
            "step 200, val_loss_bits 2.5",
        ],
    );
    // Before 2020 the mean over an epoch is all that is printed; a fork prints nats, which its perplexity shows.
    says(
        "| epoch 002 | loss 3.000 | ppl 8.00 | wps 100 | num_updates 400 | wall 90 | train_wall 80\n\
         | epoch 002 | valid on 'valid' subset | loss 2.500 | ppl 12.18 | num_updates 400\n",
        "fairseq",
        &[
            "step 400, train_loss_bits 3.000, elapsed 90",
            "step 400, val_loss 2.500",
        ],
    );
    says(
        "2021-01-01 | INFO | valid | {\"epoch\": 1, \"valid_loss\": \"2.5\", \"valid_ppl\": \"5.66\", \"valid_num_updates\": \"200\"}\n",
        "fairseq",
        &["step 200, val_loss_bits 2.5"],
    );
}

#[test]
fn lines_of_one_step_are_one_row() {
    says(
        "[2024-01-01 10:00:00] INFO     [olmo.train:816, rank=0] [step=10/1000,epoch=0]\n    train/CrossEntropyLoss=7.25\n    \
         train/Perplexity=1,408\n    throughput/total_tokens=40,960\n    System/Peak GPU Memory (MB)=42,133\n\
         [2024-01-01 10:00:10] INFO     [olmo.train:816, rank=0] [step=20/1000,epoch=0]\n    train/CrossEntropyLoss=6.5\n    \
         throughput/total_tokens=81,920\n    eval/c4/CrossEntropyLoss=6.75\n",
        "olmo",
        &[
            "step 10, steps 1000, train_loss 7.25, tokens 40,960",
            "step 20, steps 1000, train_loss 6.5, tokens 81,920, eval c4 loss 6.75",
        ],
    );
    says(
        "0: [batch=11/100]:\n0:       Train time/batch: 10\n0:       Train time/token: 20480\n0:       Train loss/train/total: 9.5\n\
         0:       Train metrics/train/LanguageCrossEntropy: 9.25\n[Eval batch=1/1] Eval on eval data:\n     \
         Eval metrics/eval/LanguageCrossEntropy: 9.125\n     Eval metrics/eval/LanguagePerplexity: 9182.6\n",
        "composer",
        &[
            "step 11, steps 100, batches before 10, tokens_per_step 2048, train_loss 9.25, val_loss 9.125",
        ],
    );
}

#[test]
fn a_validation_that_is_printed_again_is_one() {
    says(
        "Training epoch 0, iteration 9/99 | lr: 1e-05 | global_step: 9 | reduced_train_loss: 2.5 | train_step_timing in s: 0.03\n\
         Training epoch 0, iteration 10/99 | lr: 1e-05 | global_step: 10 | reduced_train_loss: 2.25 | val_loss: 2.75\n\
         Training epoch 0, iteration 11/99 | lr: 1e-05 | global_step: 11 | reduced_train_loss: 2.0 | val_loss: 2.75\n",
        "nemo",
        &[
            "step 9, train_loss 2.5",
            "step 10, train_loss 2.25, val_loss 2.75",
            "step 11, train_loss 2.0",
        ],
    );
}

#[test]
fn mlperf_calls_a_language_models_loss_its_accuracy() {
    let line = |key: &str, value: &str, ms: u32, samples: u32| {
        format!(
            ":::MLLOG {{\"namespace\": \"\", \"time_ms\": {ms}, \"event_type\": \"POINT_IN_TIME\", \"key\": \"{key}\", \
             \"value\": {value}, \"metadata\": {{\"samples_count\": {samples}}}}}\n"
        )
    };
    let of = |benchmark: &str| {
        let rows = [
            ("submission_benchmark", benchmark, 1000, 0),
            ("global_batch_size", "32", 1000, 0),
            ("max_sequence_length", "100", 1000, 0),
            ("run_start", "null", 2000, 0),
            ("train_loss", "5.5", 12_000, 320),
            ("eval_accuracy", "4.5", 22_000, 640),
        ];
        rows.map(|(key, value, ms, samples)| line(key, value, ms, samples))
            .concat()
    };
    let trained = "train_loss 5.5, step 10, samples 320, tokens 32000, elapsed_s 10";
    says(
        &of("\"llama31_8b\""),
        "mlperf",
        &[
            trained,
            "step 20, samples 640, tokens 64000, elapsed_s 20, val_loss 4.5",
        ],
    );
    says(&of("\"bert\""), "mlperf", &[trained]);
}

#[test]
fn what_is_known_by_the_names_of_a_step_and_a_loss() {
    for (line, row) in [
        (
            "Step 12 | loss:1.25 lr:2e-05 tokens_per_second_per_gpu:542.97",
            "step 12, train_loss 1.25",
        ),
        (
            "I0811 21:54:55.531340 13830 metric_logger.py:226] completed step: 9, seconds: 0.5, TFLOP/s/device: 5.2, \
             Tokens/s/device: 86.5, total_weights: 157, loss: 4.5, lm_loss: 4.25, perplexity: 70.1",
            "step 9, train_loss 4.5",
        ),
        (
            "step: 20         train loss: 2.75        test loss: 2.5         tokens/gpu/sec: 10191.80        MFU: 69.45%",
            "step 20, val_loss 2.5, train_loss 2.75",
        ),
        (
            "[05:19:47.352788] Epoch: [2]  [20/100]  lr: 0.000012  closs: 0.75 (0.95)  grad_norm: 0.26 (0.39)  time: 4.3",
            "step 220, train_loss 0.75",
        ),
        (
            "[12:00:01] [INFO] - Step 10/500 | Loss: 5.5 | best loss: 5.25 | elapsed: 12.5",
            "step 10, steps 500, train_loss 5.5, elapsed 12.5",
        ),
    ] {
        says(&format!("{line}\n"), "named", &[row]);
    }
    for none in [
        "at step 100 the loss was 3.5\n",
        "max steps 100, loss scale 4096\n",
        "total loss: 3.5\n",
    ] {
        assert!(super::of("x.log", none).is_none(), "{none}");
    }
}

#[test]
fn older_and_other_forms_of_programs_that_are_known() {
    // Iterations are no steps: the validation is of the last step.
    says(
        "iter 80 | step 10: loss 2.5, iter time: 263.85 ms (optimizer.step)\niter 80: val loss 2.75, val time: 3778.02 ms\n\
         iter 90 | step 11: loss 2.25, iter time: 60.50 ms\n",
        "litgpt",
        &[
            "step 10, iter 80, loss 2.5",
            "step 10, iter 80, val loss 2.75",
        ],
    );
    says(
        "Ep 1 | iter 8 | stEp 2: loss train (curr): 1.75, val (prev val iter): None | iter time: 121.17 ms (opt.step)\n",
        "litgpt",
        &["step 2, iter 8, loss 1.75"],
    );
    says(
        "Iter 1: Val loss 4.5, Val took 9.213s\nIter 10: Train loss 4.25, Learning Rate 2.000e-08, It/sec 1.4, Trained Tokens 1656, Peak mem 5 GB\n",
        "nanogpt",
        &[
            "step 1, Val loss 4.5, Val took 9.213s",
            "step 10, Train loss 4.25, Learning Rate 2.000e-08, It/sec 1.4, Trained Tokens 1656, Peak mem 5",
        ],
    );
    says(
        "490 | loss 5.5 | lr 4.900000e-05 | 8060.78ms | mfu 0.21%\nstep 500: train loss 5.4, val loss 5.25\n",
        "nanogpt",
        &[
            "step 490, loss 5.5, lr 4.900000e-05, mfu 0.21%",
            "step 500, train loss 5.4, val loss 5.25",
        ],
    );
    says(
        " samples/sec: 26.5 | iteration       10/  1000 | learning rate: 4.1E-06 | lm_loss: 1.05E+01 | loss scale: 4096.0 |\n\
         \u{20}validation results at iteration 10 | lm_loss value: 1.025E+01 | lm_loss_ppl value: 2.8E+04 | \n",
        "megatron",
        &[
            "step 10, steps 1000, learning rate 4.1E-06, loss 1.05E+01, loss scale 4096.0",
            "step 10, val loss 1.025E+01",
        ],
    );
    says(
        "step   10/74 | loss     nan (+nanz)| norm    nan (+nanz)| lr 3.00e-04 | 36.58 ms | 112241 tok/s\nval loss nan\n",
        "llm.c",
        &[
            "step 10, steps 74, train loss nan, tok/s 112241",
            "step 10, val loss nan",
        ],
    );
    says(
        " 50%|#####     | 5/10 [00:05<00:05]\n{'loss': '2.5', 'epoch': '0.1', 'train_runtime': '11.0'}\n",
        "trainer",
        &["step 5, train_loss 2.5, epoch 0.1, train_runtime 11.0"],
    );
}

/// A log that was cut off behind a loss, before the bar said its step: all that stands before it is read.
#[test]
fn a_loss_whose_step_was_cut_off_is_left_out() {
    let text = "{'loss': '2.5', 'epoch': '0.1'}\n 50%|#####     | 5/10 [00:05<00:05]\n{'loss': '2.25', 'epoch': '0.2'}\n";
    says(text, "trainer", &["step 5, train_loss 2.5, epoch 0.1"]);
    assert_eq!(read(text).3, 1, "the last loss");
}
