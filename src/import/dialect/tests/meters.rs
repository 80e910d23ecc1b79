//! Energies and speeds as programs print them: each text is invented, in the form of the program that is named.

use super::programs::says;
use crate::import::dialect::of;

#[test]
fn perf_stat_in_its_forms() {
    let whole = " Performance counter stats for 'system wide':\n\nS0        1              1,234.56 Joules power/energy-pkg/\n\
                 S1        1                 10.44 Joules power/energy-pkg/   ( +-  0.12% )\n\
                 S0        1                  5.00 Joules power/energy-cores/\n\n      10.5 +- 0.1 seconds time elapsed  ( +-  0.3% )\n";
    let forms: [(&str, &[&str]); 7] = [
        (whole, &["printed by perf stat, joules 1245, seconds 10.5"]),
        // Without a word on sockets a counter that comes again is of another run; its own time is a sum over sockets.
        (
            "893.25,Joules,power/energy-pkg/,20005559241,100.00,,\n892.5,Joules,power/energy-pkg/,20005343388,100.00,,\n",
            &[
                "printed by perf stat, joules 893.25",
                "printed by perf stat, joules 892.5",
            ],
        ),
        (
            "# started on Tue Dec  2 10:00:00 2025\n\n12.5,Joules,power/energy-pkg/,1,100.00,,\n3.25,Joules,power/energy-ram/,1,100.00,,\n\
             <not supported>,Joules,power/energy-gpu/,0,100.00,,\n2500000000,ns,duration_time,1,100.00,,\n",
            &["printed by perf stat, joules 15.75, seconds 2.5"],
        ),
        (
            "S0,1,12.5,Joules,power/energy-pkg/,1,100.00,,\nS1,1,13.5,Joules,power/energy-pkg/,1,100.00,,\n",
            &["printed by perf stat, joules 26"],
        ),
        (
            "     1.001048308,19.50,Joules,power/energy-pkg/,2002406532,100.00,,\n     2.002369058,19.25,Joules,power/energy-pkg/,2,100.00,,\n",
            &["printed by perf stat, joules 38.75, seconds 2.002369058"],
        ),
        (
            "12,50,Joules,power/energy-pkg/,1,100,00,,\n",
            &["printed by perf stat, joules 12.5"],
        ),
        (
            "#           time             counts   unit events\n     1.5              43.25 Joules power/energy-pkg/\n     3.0              44.25 Joules power/energy-pkg/\n",
            &["printed by perf stat, joules 87.5, seconds 3"],
        ),
    ];
    for (text, rows) in forms {
        says(text, "energy", rows);
    }
}

#[test]
fn meters_that_sample_power() {
    says(
        "Running for 4.0 seconds (2 samples at 2.0 second intervals).\n  Time    User  Idle  Run  Watts\n\
         10:00:09   3.4   94.6    2   5.25\n10:00:11   2.5   95.6    1   5.75\nAverage   3.0   95.1   1.5   5.50\n",
        "energy",
        &["printed by powerstat, joules 22, seconds 4"],
    );
    says(
        "*** Sampled system activity (Mon Jan  1 10:00:00 2025 +0100) (1000.00ms elapsed) ***\nCPU Power: 1234 mW\n\
         Combined Power (CPU + GPU + ANE): 1500 mW\n*** Sampled system activity (Mon Jan  1 10:00:01 2025 +0100) (2000.00ms elapsed) ***\n\
         Combined Power (CPU + GPU + ANE): 2500 mW\n",
        "energy",
        &["printed by powermetrics, joules 6.5, seconds 3"],
    );
    says(
        "5.5 sec\nCore\tCPU\tBusy%\tPkgWatt\tRAMWatt\n-\t-\t1.5\t40.0\t4.0\n0\t0\t1.5\t40.0\t4.0\n",
        "energy",
        &["printed by turbostat, joules 242, seconds 5.5"],
    );
    says(
        "Time_Of_Day_Seconds\tCPU\tPkgWatt\n1700000000.5\t-\t99\n1700000002.5\t-\t10\n1700000004.5\t-\t20\n",
        "energy",
        &["printed by turbostat, joules 60, seconds 4"],
    );
    says(
        "#Date       Time        gpu    pwr  gtemp\n#YYYYMMDD   HH:MM:SS    Idx      W      C\n 20250101   10:00:00      0    111     45\n",
        "dmon",
        &["timestamp 2025-01-01 10:00:00, index 0, power.draw [W] 111"],
    );
    // Nothing says how far apart these lines are, nor those of a `turbostat` without times.
    for text in [
        "# gpu   pwr\n# Idx     W\n    0   111\n    0   112\n",
        "CPU\tPkgWatt\n-\t10\n-\t20\n",
    ] {
        assert!(
            of("x.log", text).is_none_or(|(_, table, _)| table.rows() == 0),
            "{text}"
        );
    }
}

#[test]
fn libraries_that_count_energy() {
    says(
        "[codecarbon INFO @ 10:00:15] 0.000375 kWh of electricity used since the beginning.\n\
         [codecarbon INFO @ 10:00:30] 0.0005 kWh of electricity and 0.0 L of water were used since the beginning.\n\
         [codecarbon INFO @ 10:10:30] 0.0001 kWh of electricity used since the begining.\n",
        "energy",
        &[
            "printed by CodeCarbon, joules 1800",
            "printed by CodeCarbon, joules 360",
        ],
    );
    says(
        "CarbonTracker: \nActual consumption for 10 epoch(s):\n\tTime:\t0:10:30\n\tEnergy:\t0.5 kWh\n\tCO2eq:\t3.1 g\nCarbonTracker: \n\
         Predicted consumption for 1000 epoch(s):\n\tTime:\t16:10:34\n\tEnergy:\t3.8096 kWh\n",
        "energy",
        &["printed by carbontracker, joules 1800000, seconds 630"],
    );
    says(
        "begin timestamp : 1675697491.3; tag : foo; duration : 3.75; package_0 : 150000000.0; core_0 : 1.0; nvidia_gpu_0 : 2000\n",
        "energy",
        &["printed by pyJoules, joules 152, seconds 3.75, part foo"],
    );
}

#[test]
fn speeds_of_more_servers() {
    says(
        "[ Prompt: 22.2 t/s | Generation: 11.2 t/s ]\n",
        "printed",
        &["printed by llama.cpp, prefill_tokens_per_s 22.2, decode_tokens_per_s 11.2"],
    );
    says(
        "llama_model_loader: loaded meta data with 20 key-value pairs and 291 tensors from models/a.Q4_0.gguf (version GGUF V3 (latest))\n\
         llama_print_timings: prompt eval time =     0.00 ms /     1 tokens (    0.00 ms per token,      inf tokens per second)\n\
         llama_print_timings:        eval time = 10.0 ms /    30 runs   ( 1664.58 ms per token,     0.60 tokens per second)\n",
        "printed",
        &["model a.Q4_0, printed by llama.cpp, decode_tokens_per_s 0.60"],
    );
    let loads = [
        "Throughput: 89.27 requests/s, 22853.37 total tokens/s, 11426.69 output tokens/s\n",
        "Total Output Throughput (tokens/sec):             11426.69\n",
        "Output token throughput: 11426.69 tokens/s\n",
        "Metric,avg,min\nRequest Latency (ms),1,2\n\nMetric,Value\nOutput Token Throughput (tokens/sec),11426.69\nRequest Count,5\n",
        "│ Output Token Throughput (tokens/sec) │ 11426.69 │ N/A │\n",
    ];
    for text in loads {
        let (dialect, table, _) = of("x.txt", text).expect(text);
        assert_eq!(
            (dialect.name, table.cell(0, 1)),
            ("printed", "11426.69"),
            "{text}"
        );
    }
    assert!(of("x.txt", "Throughput: 81.74 requests/s, 20926.37 tokens/s\n").is_none());
    says(
        "MLPerf Results Summary\nSUT name : PySUT\nScenario : Server\nCompleted tokens per second: 1264.46\nResult is : VALID\n\
         MLPerf Results Summary\nScenario : Offline\nTokens per second: 2755.16\nResult is : INVALID\n",
        "printed",
        &["part Server, decode_tokens_per_s 1264.46, printed by MLPerf"],
    );
}

#[test]
fn google_s_writer() {
    says(
        "I0301 12:00:00.1 140 logging_writer.py:48] [500] collection=train accuracy=0.2, learning_rate=0.0002, loss=6.1235\n\
         I0301 12:01:00.1 140 logging_writer.py:48] [500] collection=eval accuracy=0.2, loss=5.9935\n\
         [1000] loss_per_nonpadding_target_token=3.5, accuracy=0.31\n[1000] eval_loss=5.5, eval_accuracy=0.33\n\
         [1500] train/loss=3.25, val/loss=3.5\n[2000] loss=1.0, ce_loss=0.5\n",
        "clu",
        &[
            "step 500, train_loss 6.1235",
            "step 500, val_loss 5.9935",
            "step 1000, train_loss 3.5",
            "step 1000, val_loss 5.5",
            "step 1500, train_loss 3.25, val_loss 3.5",
        ],
    );
}

#[test]
fn batches_of_epochs_are_steps() {
    says(
        "| epoch   1 |   200/ 2983 batches | lr 20.00 | ms/batch 7.12 | loss  7.63 | ppl  2056.30\n-----\n\
         | end of epoch   1 | time: 45.05s | valid loss  5.66 | valid ppl   287.10\n-----\n\
         | epoch   2 |   200/ 2983 batches | lr 20.00 | ms/batch 7.12 | loss  5.63 | ppl   278.30\n\
         | End of training | test loss  5.16 | test ppl   174.10\n",
        "epochs",
        &[
            "step 200, train_loss 7.63",
            "step 2983, val_loss 5.66",
            "step 3183, train_loss 5.63",
        ],
    );
    says(
        "epoch 1 iter 0: train loss 4.25. lr 6.000000e-04:   0%|          | 0/10 [00:00<?, ?it/s]\r\
         epoch 1 iter 9: train loss 1.5. lr 6.000000e-05: 100%|##########| 10/10 [24:10<00:00,  2.98it/s]\n\
         08/17/2020 10:24:00 - INFO - mingpt.trainer -   test loss: 1.75\n\
         epoch 2 iter 9: train loss 1.25. lr 6.000000e-05: 100%|##########| 10/10 [24:10<00:00,  2.98it/s]\n",
        "epochs",
        &[
            "step 1, train_loss 4.25",
            "step 10, train_loss 1.5",
            "step 10, val_loss 1.75",
            "step 20, train_loss 1.25",
        ],
    );
    let named = "INFO - Epoch: 1, Step: 1, Loss: 4.5\nINFO - Epoch: 1, Step: 2, Loss: 4.25\nINFO - Validation loss: 4.5\n\
                 INFO - Best validation loss: 4.0\nINFO - Epoch: 2, Step: 1, Loss: 3.5\nINFO - test loss: 3.0\n";
    says(
        named,
        "named",
        &[
            "step 1, train_loss 4.5",
            "step 2, train_loss 4.25",
            "step 2, val_loss 4.5",
            "step 3, train_loss 3.5",
        ],
    );
    says(
        "Epoch [1/3], Step [100/200], Loss: 4.5\nEpoch [1/3], Step [200/200], Loss: 4.25\nEpoch [2/3], Step [100/200], Loss: 3.5\n",
        "named",
        &[
            "step 100, steps 200, train_loss 4.5",
            "step 200, steps 200, train_loss 4.25",
            "step 300, steps 200, train_loss 3.5",
        ],
    );
}

#[test]
fn flame_says_the_time_below_a_step() {
    says(
        "[titan] 2025-05-02 10:00:03 - root - INFO -   Global batch size (w. parallel, distributed & accumulation) = 8 (524,288 tokens)\n\
         [titan] 2025-05-02 10:00:13 - root - INFO - step:  1  loss: 10.5  memory: 47.60GiB(60.19%)  tps: 3,012\n\
         [titan] 2025-05-02 10:00:13 - root - INFO - lr: 2.9297e-07 gnorm:  4.21 [ 0:00:21<5 days, 4:12:33]\n\
         [titan] 2025-05-02 10:00:53 - root - INFO - step:  2 token: 1,048,576 loss: 10.25 lr: 1e-6 gnorm: 4.5 [ 0:00:41<4:12:33]\n",
        "torchtitan",
        &[
            "step 1, loss 10.5, memory 47.60GiB(60.19%), tps of a device 3,012, elapsed 0:00:21, tokens_per_step 524288",
            "step 2, loss 10.25, elapsed 0:00:41, tokens_per_step 524288, tokens 1,048,576, lr 1e-6, gnorm 4.5",
        ],
    );
}
