//! Forms of logs that say their step or their loss in an unusual place: each text is invented, in the form of the program that is named.

use super::programs::says;

#[test]
fn json_behind_a_prefix() {
    says(
        "DLLL {\"timestamp\": \"1.5\", \"elapsedtime\": \"1.25\", \"type\": \"LOG\", \"step\": [0, 100], \"data\": {\"average_loss\": 9.5, \"step_loss\": 8.5}}\n\
         DLLL {\"timestamp\": \"2.5\", \"elapsedtime\": \"2.25\", \"type\": \"LOG\", \"step\": [], \"data\": {\"seconds\": 8.5}}\n",
        "jsonl",
        &["timestamp 1.5, elapsed 1.25, type LOG, step 100, average_loss 9.5, train_loss 8.5"],
    );
    says(
        "starting\n2025 INFO {\"step\": 5, \"loss\": NaN}\n2025 INFO {\"lr\": 5}\n",
        "jsonl",
        &["step 5, loss nan"],
    );
}

#[test]
fn a_database_s_rows() {
    says(
        "CREATE TABLE IF NOT EXISTS test (\n  build_commit TEXT\n);\n\nINSERT INTO test (build_commit, model_type, n_gen) VALUES ('8cf4', 'it''s 7B', '0');\n",
        "sql",
        &["build_commit 8cf4, model_type it's 7B, n_gen 0"],
    );
}

#[test]
fn translation_models() {
    says(
        "[2023] Ep. 1 : Up. 500 : Sen. 12,345 : Cost 8.125 * 345,678 @ 1,234 after 691,356 : Time 60.12s : 5749.12 words/s\n\
         [2023] [valid] Ep. 1 : Up. 500 : cross-entropy : 180.12 : new best\n[2023] [valid] Ep. 1 : Up. 500 : ce-mean-words : 6.9 : new best\n\
         [2023] Ep. 1 : Up. 600 : Sen. 12,345 : Cost 78.125 : Time 60.12s\n",
        "marian",
        &[
            "step 500, train_loss 8.125, tokens 691,356",
            "step 500, val_loss 6.9",
        ],
    );
    says(
        "[2023 INFO] Step 50/1000; acc: 5.12; ppl: 12332.5; xent: 9.42; lr: 0.00001; 12345/12345 tok/s;     15 sec;\n\
         [2023 INFO] Validation perplexity: 2000.5\n[2023 INFO] Validation accuracy: 8.1\n",
        "named",
        &[
            "step 50, steps 1000, train_loss 9.42",
            "step 50, val perplexity 2000.5",
        ],
    );
}

#[test]
fn a_step_before_a_dict_and_behind_a_loss() {
    says(
        "12/01/2021 - INFO - __main__ - Step 1: {'lr': 1.0e-06, 'samples': 192, 'steps': 0, 'loss/train': 11.02}\n\
         12/01/2021 - INFO - __main__ - Step 1: {'loss/eval': 10.5, 'perplexity': 36315.5}\n",
        "trainer",
        &[
            "step 1, lr 1.0e-06, samples 192, train_loss 11.02",
            "step 1, eval_loss 10.5, perplexity 36315.5",
        ],
    );
    says(
        "INFO:tensorflow:loss = 4.5, step = 100 (12.3 sec)\nI0301 12:00:00 tpu_estimator.py:1] loss = 3.5, step = 200 (12.3 sec)\n\
         INFO:tensorflow:Saving dict for global step 200: eval_loss = 3.6, global_step = 200, loss = 3.61\n\
         INFO:tensorflow:Saving dict for global step 300: accuracy = 0.5, global_step = 300, loss = 3.25\n",
        "named",
        &[
            "step 100, train_loss 4.5",
            "step 200, train_loss 3.5",
            "step 200, val_loss 3.6",
            "step 300, val_loss 3.25",
        ],
    );
}

#[test]
fn trainers_of_other_houses() {
    says(
        "2023-07-10 14:26:28,977\tINFO train.py:317 in record_current_batch_training_metrics -- tflops=188.02,step=36,loss=5.5,tgs (tokens/gpu/second)=4233.73,lr=7.6e-06,num_consumed_tokens=4849664,fwd_bwd_time=3.72\n",
        "named",
        &["step 36, train_loss 5.5, tokens 4849664"],
    );
    says(
        "2024/05/07 12:12:19 - mmengine - INFO - Iter(train) [1010/2046]  lr: 1.0704e-04  eta: 0:56:54  memory: 15266  loss: 0.75  grad_norm: 0.0009\n",
        "mmengine",
        &["step 1010, steps 2046, train_loss 0.75"],
    );
    says(
        "2020-07-27 - INFO - Epoch [2][580/1000]\tlr: 1.000e-02, loss_cls: 2.5, loss: 2.25\n\
         2023/05/24 - mmengine - INFO - Epoch(train)  [3][   1/1000]  lr: 9.0e-09  loss: 2.0  loss_cls: 3.1140\n",
        "mmengine",
        &["step 1580, train_loss 2.25", "step 2001, train_loss 2.0"],
    );
    says(
        "{'loss': 1.5, 'epoch': 0.26, 'global_step/max_steps': '12/94', 'elapsed_time': '18m 26s'}\n\
         {'eval_loss': 1.25, 'epoch': 0.28, 'global_step/max_steps': '13/94', 'elapsed_time': '20m 10s'}\n",
        "trainer",
        &[
            "train_loss 1.5, epoch 0.26, step 12, elapsed_time 18m 26s",
            "epoch 0.28, step 13, elapsed_time 20m 10s, eval_loss 1.25",
        ],
    );
    says(
        "    1 93.44 s run, 11.8750 loss, 0.000000000001 LR, 642.43 GB used,  19644.30 GFLOPS\n",
        "tinygrad",
        &["step 1, train_loss 11.8750"],
    );
}
