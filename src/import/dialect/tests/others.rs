//! Programs that print bars, blocks and tables rather than lines of figures.

use super::check;

#[test]
fn keras_bars_end_an_epoch() {
    let two = "Epoch 1/2\n\r 50/100 [=====>......] - ETA: 2s - loss: 2.2012 - accuracy: 0.2\r100/100 [======] - 5s 45ms/step - loss: 2.1012 \
               - accuracy: 0.2512 - val_loss: 2.0512 - val_accuracy: 0.26\nEpoch 2/2\n100/100 - 4s - loss: 1.9012 - val_loss: 1.8512\n";
    let three = "Epoch 1/2\n 50/100 ━━━━━━━━ 25s 250ms/step - accuracy: 0.1 - loss: 2.2012\r100/100 ━━━━━━━━━ 5s 45ms/step - accuracy: 0.2 - \
                 loss: 2.1012 - val_accuracy: 0.2 - val_loss: 2.0512\nEpoch 2/2\n100/100 ━━━━ 4s 41ms/step - accuracy: 0.3 - loss: 1.9012 \
                 - val_accuracy: 0.3 - val_loss: 1.8512\n";
    for text in [two, three] {
        check(
            text,
            "keras",
            &["step", "train_loss", "val_loss"],
            &[&["100", "2.1012", "2.0512"], &["200", "1.9012", "1.8512"]],
            0,
        );
    }
    // Bars of samples say nothing of steps.
    check(
        "Epoch 1/9\n6000/6000 [====] - 5s 800us/sample - loss: 2.1\n",
        "keras",
        &["epoch", "train_loss"],
        &[&["1", "2.1"]],
        0,
    );
}

#[test]
fn levanter_says_its_progress() {
    let at = "2024-06-01 10:00:20,345 - 0 - tqdm_logging - tqdm_loggable.py:150 - INFO - Progress on:train";
    check(
        &format!(
            "{at} 100it/1.20kit rate:1.2it/s remaining:12:30 elapsed:01:30 postfix:loss=6.21\n\
             2024-06-01 - 0 - levanter.eval - eval.py:200 - INFO - paloma/c4_en loss: 5.900\n\
             2024-06-01 - 0 - levanter.eval - eval.py:200 - INFO - eval loss: 5.912\n\
             {at} 1.20kit/1.20kit rate:1.2it/s remaining:00:00 elapsed:14:30 postfix:loss=4.02\n\
             {at} 1.20kit/1.20kit rate:1.2it/s remaining:00:00 elapsed:14:31 postfix:loss=4.01\n"
        ),
        "levanter",
        &["step", "train_loss", "elapsed", "val_loss"],
        &[
            &["100", "6.21", "01:30", ""],
            &["100", "", "", "5.912"],
            &["1200", "4.02", "14:30", ""],
        ],
        1,
    );
}

#[test]
fn epochs_of_rwkv_are_so_many_steps() {
    check(
        "NEW RUN 2023-08-01\n{'load_model': '', 'ctx_len': 1024, 'epoch_steps': 1000, 'micro_bsz': 12}\n\
         0 4.123456 61.7722 0.00060000 2023-08-01 10:20:00.123456 0\n1 3.523456 33.9013 0.00058000 2023-08-01 10:40:00.123456 1\n\
         1 3.523456 99.9 0.00058000 2023-08-01 10:40:00.123456 1\n",
        "rwkv",
        &["step", "train_loss"],
        &[&["1000", "4.123456"], &["2000", "3.523456"]],
        2,
    );
}

#[test]
fn xlm_and_tinygrad() {
    check(
        "INFO - 06/01/19 10:01:00 - 0:01:10 -     100 -   83.50 sent/s -  1972.82 words/s - MLM-en:  7.6743 ||  - model LR: 1.0000e-04\n\
         INFO - 06/01/19 10:02:10 - 0:02:20 - valid_en_mlm_ppl -> 350.123456\n\
         INFO - 06/01/19 10:02:10 - 0:02:20 - __log__:{\"epoch\": 0, \"valid_en_mlm_ppl\": 350.125, \"test_en_mlm_ppl\": 351.0}\n",
        "xlm",
        &["step", "elapsed", "train_loss", "val perplexity"],
        &[
            &["100", "0:01:10", "7.6743", ""],
            &["100", "", "", "350.125"],
        ],
        1,
    );
    // Of two objectives none is the loss.
    check(
        "INFO - 06/01/19 10:01:00 - 0:01:10 - 5 - 8.5 sent/s - 19.8 words/s - MLM-en:  7.6743 || MLM-fr: 8.0 - model LR: 1e-04\n",
        "xlm",
        &["step", "elapsed", "MLM-en loss", "MLM-fr loss"],
        &[&["5", "0:01:10", "7.6743", "8.0"]],
        0,
    );
    check(
        "   10   456.12 ms run,  40.12 ms python,  400.00 ms CUDA,    8.09 loss, 0.000100 LR, 12.31 GB used,  61234.12 GFLOPS\n\
         eval     5012/10000 50.12%,    1.23 val_loss STEP=  98 (in 123.4 ms)\n",
        "tinygrad",
        &["step", "train_loss", "val_loss"],
        &[&["10", "8.09", ""], &["98", "", "1.23"]],
        0,
    );
}

#[test]
fn a_table_of_a_notebook_is_read_below_what_stands_above_it() {
    check(
        "==((====))==  Unsloth\n   Batch size per device = 2\nStep\tTraining Loss\tValidation Loss\n1\t1.823400\tNo log\n2\t2.304100\t2.2\n",
        "notebook",
        &["Step", "Training Loss", "Validation Loss"],
        &[&["1", "1.823400", "No log"], &["2", "2.304100", "2.2"]],
        2,
    );
}

#[test]
fn what_is_printed_of_speed_and_energy_is_a_block_a_row() {
    check(
        "total duration:       4.6s\nprompt eval rate:     199.88 tokens/s\neval count:           259 token(s)\neval rate:            61.19 tokens/s\n",
        "printed",
        &["printed by", "prefill_tokens_per_s", "decode_tokens_per_s"],
        &[&["ollama", "199.88", "61.19"]],
        2,
    );
    check(
        "Prompt: 14 tokens, 120.345 tokens-per-sec\nGeneration: 100 tokens, 45.678 tokens-per-sec\nPeak memory: 4.321 GB\n",
        "printed",
        &["printed by", "prefill_tokens_per_s", "decode_tokens_per_s"],
        &[&["mlx-lm", "120.345", "45.678"]],
        1,
    );
    check(
        "llama_perf_context_print: prompt eval time = 123.45 ms / 10 tokens ( 12.35 ms per token, 81.00 tokens per second)\n\
         llama_perf_context_print:        eval time = 900.00 ms / 9 runs   ( 100.00 ms per token, 10.00 tokens per second)\n",
        "printed",
        &["printed by", "prefill_tokens_per_s", "decode_tokens_per_s"],
        &[&["llama.cpp", "81.00", "10.00"]],
        0,
    );
    check(
        " Performance counter stats for 'system wide':\n\n   1,234.50 Joules power/energy-pkg/\n    600.0 Joules power/energy-cores/\n\
         \u{20}   98.25 Joules power/energy-ram/ \n\n      10.002 seconds time elapsed\n",
        "energy",
        &["printed by", "joules", "seconds"],
        &[&["perf stat", "1332.75", "10.002"]],
        0,
    );
}

/// A line of an evaluation says its loss under the training's name.
#[test]
fn a_loss_of_an_evaluation_is_no_training_loss() {
    check(
        "completed step: 1, seconds: 0.5, total_weights: 16384, loss: 10.2\neval metrics after step: 1, loss=10.1, total_weights=65536.0\n\
         10:00 | INFO | train | step 2 | loss 5.123 | ppl 167.8\n10:00 | INFO | valid | step 2 | loss 4.023 | ppl 55.8\n",
        "named",
        &["step", "train_loss", "val_loss"],
        &[
            &["1", "10.2", ""],
            &["1", "", "10.1"],
            &["2", "5.123", ""],
            &["2", "", "4.023"],
        ],
        0,
    );
}
