//! Trials as they run. What every variant obeys, whatever it is made of, is in the law (`tests/law`).

use candle_core::{Device, Tensor, quantized};
use serde_json::{Value, json};

use super::*;
use crate::config::{Library, Origin, Tree};
use crate::data::Batch;
use crate::device;
#[cfg(feature = "cuda")]
use crate::infer::Generator;
use crate::train::Trainer;

mod adapters;
mod answers;
mod checkpoints;
mod choices;
mod depth;
mod drafts;
mod experts;
mod export;
mod from_file;
mod gpu;
mod halves;
mod keys;
mod latent;
mod layers;
mod losses;
mod metering;
mod packed;
mod products;
mod resuming;
mod scaling;
mod streams;
mod weights;
mod zero_init;

fn prepared(variant: &str, sets: Value) -> Prepared {
    let mut tree = Library::builtin().variant(variant).unwrap().tree;
    tree.overlay(&Tree::from_json(&sets, &Origin::named("test")).unwrap());
    settle(&Registry::builtin(), &tree).unwrap()
}

/// Small enough for a debug build, odd enough to find a mix-up of axes.
#[cfg(feature = "cuda")]
fn small(variant: &str) -> Experiment {
    let sets = json!({
        "model": {"layers": 2, "width": 24, "heads": 3, "context": 10},
        "train": {"batch": 3, "steps": 200, "optimizer": {"lr": 0.01}},
        "data": {"kind": "markov", "states": 11},
    });
    prepared(variant, sets).experiment
}

fn trainer(experiment: &Experiment, seed: u64) -> Trainer {
    experiment
        .trainer(seed, &device::open("cpu").unwrap())
        .unwrap()
}

fn batch(experiment: &Experiment, step: u64) -> Batch {
    experiment
        .source
        .train(1, step, experiment.batch, experiment.model.shape.context)
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

#[cfg(feature = "cuda")]
fn for_every_variant(check: impl Fn(&str, &Experiment)) {
    let names: Vec<String> = Library::builtin()
        .compositions()
        .unwrap()
        .into_iter()
        .map(|v| v.name)
        .collect();
    assert!(names.len() >= 7, "{names:?}");
    for name in names {
        check(&name, &small(&name));
    }
}

#[test]
fn parameters_and_flops_of_gpt2_are_the_published_ones() {
    // nanoGPT's transformer_sizing notebook: GPT-2 of 124 M parameters without biases, context 1024.
    let sets = json!({
        "model": {"layers": 12, "width": 768, "heads": 12, "vocab": 50257, "context": 1024, "bias": false,
                  "head": {"tied": true}},
    });
    let cost = prepared("gpt2", sets).cost;
    assert_eq!(cost.params_total, 124_337_664);
    let windows = cost.train_tokens as f64 / 1024.0;
    assert_eq!(
        cost.train_flops_full_square,
        Some(874_944_921_600.0 * windows)
    );
    // Executed is the causal half of attention, and backwards 5 products where the convention has 4.
    let attention = |products: u64, pairs: u64| 12 * products * 2 * pairs * 768;
    let executed = 874_944_921_600 - attention(6, 1024 * 1024) + attention(7, 1024 * 1025 / 2);
    assert_eq!(cost.train_flops_per_sequence, executed);
}

#[test]
fn the_speed_shapes_weigh_what_the_peer_does_without_its_norm_biases() {
    // 6 layers of width 384, vocabulary 256, untied: tables 2 * 256 * 384 and 256 * 384 positions; 12 C^2 a block for gpt2.
    let sets = json!({
        "model": {"layers": 6, "width": 384, "heads": 6, "vocab": 256, "context": 256, "bias": false,
                  "head": {"tied": false}},
        "data": {"kind": "uniform", "vocab": 256},
    });
    let block = |ffn: u64| 4 * 384 * 384 + ffn + 2 * 384;
    let gpt2 = prepared("gpt2", sets.clone()).cost.params_total;
    assert_eq!(gpt2, 3 * 256 * 384 + 6 * block(8 * 384 * 384) + 384);
    let llama = prepared("llama", sets).cost.params_total;
    assert_eq!(llama, 2 * 256 * 384 + 6 * block(3 * 384 * 1024) + 384);
}

#[test]
fn a_learning_rate_of_a_thousand_diverges_and_leaves_no_nan() {
    let sets = json!({
        "model": {"layers": 1, "width": 8, "heads": 1, "context": 8},
        "train": {"batch": 2, "steps": 30, "clip": 0.0,
                  "optimizer": {"kind": "sgd", "lr": 1e8}, "schedule": {"warmup": 0.0}},
        "data": {"kind": "markov", "states": 5},
    });
    let prepared = prepared("gpt2", sets);
    let trial = run(&Registry::builtin(), &job(&prepared), &mut |_| {}).unwrap();
    assert_eq!(trial.status, Status::Diverged);
    assert!(trial.reason.is_some());
    let text = serde_json::to_string(&trial).unwrap();
    let back: Trial = serde_json::from_str(&text).unwrap();
    assert!(
        back.metrics
            .values()
            .all(|m| m.value.is_some() != m.reason.is_some()),
        "null goes with a reason"
    );
}

#[test]
fn a_finished_trial_has_every_metric_or_a_reason() {
    let sets = json!({
        "model": {"layers": 1, "width": 16, "heads": 2, "context": 16},
        "train": {"batch": 4, "steps": 20},
        "data": {"kind": "language", "validation_tokens": 4096},
        "measure": {"val_points": 2, "curve_points": 5, "window_s": 0.01},
    });
    let prepared = prepared("gpt2", sets);
    let mut events = 0;
    let trial = run(&Registry::builtin(), &job(&prepared), &mut |_| events += 1).unwrap();
    assert_eq!(trial.status, Status::Ok, "{:?}", trial.reason);
    assert!(events > 0);
    // A benchmark's iteration and a log's joules are what only an import can have.
    use crate::record::metric::{self, ITERATION_S, REGISTRY, TRAIN_ENERGY_J};
    let imported = [ITERATION_S, TRAIN_ENERGY_J];
    let guessed = [
        metric::SPECULATIVE_TOKENS_PER_S,
        metric::SPECULATIVE_SPEEDUP,
        metric::DRAFT_ACCEPTANCE,
        metric::TOKENS_PER_PASS,
        metric::ENERGY_J_PER_SPECULATIVE_TOKEN,
    ];
    let elsewhere = [&imported[..], &guessed].concat();
    for row in REGISTRY.iter().filter(|row| !elsewhere.contains(&row.name)) {
        let metric = &trial.metrics[row.name];
        assert!(
            metric.value.is_some() != metric.reason.is_some(),
            "{}",
            row.name
        );
    }
    assert_eq!(trial.curve.step, [4, 8, 10, 12, 16, 20]);
    assert_eq!(trial.curve.val_loss_nats.iter().flatten().count(), 2);
    let value = |name: &str| trial.metrics[name].value.unwrap();
    let excess = value("val_loss_nats") - value("oracle_loss_nats");
    assert!((excess - value("excess_loss_nats")).abs() < 1e-9);
    let by_label: f64 = trial
        .skills
        .iter()
        .map(|s| s.excess_nats * s.tokens as f64)
        .sum();
    let tokens: u64 = trial.skills.iter().map(|s| s.tokens).sum();
    assert!(
        (by_label / tokens as f64 - excess).abs() < 1e-9,
        "labels do not sum to the whole"
    );
    assert!(trial.energy.measured_j.is_none() && trial.energy.reason.is_some());
}

fn job(prepared: &Prepared) -> Job {
    let trial = Trial {
        id: "0".into(),
        cell: "gpt2/test".into(),
        arm: "gpt2/test".into(),
        variant: "gpt2".into(),
        scale: "test".into(),
        seed: 1,
        spec: prepared.spec.clone(),
        spec_sha256: prepared.spec_sha256.clone(),
        cost: Some(prepared.cost.clone()),
        ..Trial::blank()
    };
    Job {
        trial,
        paths: prepared.paths.clone(),
        parent: None,
        teacher: None,
        peak_flops_per_s: Some(1e11),
        stream_bytes_per_s: Some(1e10),
        checkpoint: None,
        keep_weights: None,
        checkpoint_every_s: 60.0,
    }
}

#[test]
fn suites_for_a_gpu_have_the_sizes_that_they_name() {
    let library = Library::builtin();
    let check =
        |suite: &str, cell: &str, params: std::ops::Range<f64>, dtype: &str, tokens: u64| {
            let suite = library.suite(suite).unwrap();
            let cells = suite
                .cells(&library, &crate::config::Overrides::default())
                .unwrap();
            let cell = cells
                .into_iter()
                .find(|one| one.name.starts_with(cell))
                .unwrap_or_else(|| panic!("no cell {cell}"));
            let settled = settle(&Registry::builtin(), &cell.tree).unwrap();
            let millions = settled.cost.params_total as f64 / 1e6;
            assert!(
                params.contains(&millions),
                "{}: {millions} million parameters",
                cell.name
            );
            assert_eq!(
                (
                    settled.spec["compute"]["dtype"].as_str(),
                    settled.cost.train_tokens
                ),
                (Some(dtype), tokens)
            );
            let (model, batch) = (&settled.spec["model"], &settled.spec["train"]["batch"]);
            assert_eq!(
                model["width"].as_u64().unwrap() / model["heads"].as_u64().unwrap(),
                64,
                "{}",
                cell.name
            );
            assert!(batch.as_u64().unwrap() >= 16);
        };
    // GPT-2's 124 million have one matrix for embedding and head; apart they are 162.
    check(
        "throughput-gpu",
        "gpt2/124m-bf16",
        162.0..163.0,
        "bf16",
        400 * 16_384,
    );
    check(
        "throughput-gpu",
        "llama/124m-f32",
        161.0..163.0,
        "f32",
        100 * 16_384,
    );
    check(
        "gain-gpu",
        "modern/w256@2000",
        3.0..4.0,
        "bf16",
        2000 * 16_384,
    );
    check("ladder-gpu", "gpt2/w256", 3.0..4.0, "bf16", 2000 * 16_384);
    check("ladder-gpu", "gpt2/w768", 85.0..90.0, "bf16", 6000 * 16_384);
    check(
        "ladder-gpu",
        "gpt2/w1216",
        335.0..355.0,
        "bf16",
        12_000 * 16_384,
    );
}

#[test]
fn bf16_is_not_emulated_on_a_cpu() {
    let prepared = prepared("gpt2", json!({"compute": {"dtype": "bf16"}}));
    let error = run(&Registry::builtin(), &job(&prepared), &mut |_| {}).unwrap_err();
    assert!(
        error.message.contains("on the CPU it is emulated"),
        "{error}"
    );
    assert_eq!(error.kind, crate::error::Kind::Input);
}
