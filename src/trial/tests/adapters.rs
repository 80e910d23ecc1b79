//! Low-rank changes of a model that a file gives: what they start as, cost, train, and are once they are in their matrices.

use std::path::{Path, PathBuf};

use super::*;
use crate::infer::Generator;
use crate::model::{Decl, Params, Role, Weights};
use crate::ops::counted;
use crate::record::metric as name;

const CONTEXT: usize = 12;

fn tree(variant: &str, extra: Value) -> Tree {
    let sets = json!({
        "model": {"width": 24, "heads": 3, "kv_heads": 1, "layers": 2, "context": CONTEXT, "init_std": 0.3},
        "train": {"batch": 2, "steps": 3, "optimizer": {"lr": 0.01}},
        "data": {"kind": "markov", "states": 11, "validation_tokens": 480},
        "measure": {"window_s": 0.01},
    });
    let mut tree = Library::builtin().variant(variant).unwrap().tree;
    for layer in [sets, extra] {
        tree.overlay(&Tree::from_json(&layer, &Origin::named("test")).unwrap());
    }
    tree
}

fn settled(variant: &str, extra: Value) -> Prepared {
    settle(&Registry::builtin(), &tree(variant, extra)).unwrap()
}

/// What a trial of a variant learnt, in a file of that folder.
fn kept(prepared: &Prepared, path: PathBuf) -> (Trial, PathBuf) {
    let job = Job {
        keep_weights: Some(path.clone()),
        ..job(prepared)
    };
    let trial = run(&Registry::builtin(), &job, &mut |_| {}).unwrap();
    assert_eq!(trial.status, Status::Ok);
    (trial, path)
}

fn parent(folder: &Path) -> PathBuf {
    kept(&settled("llama", json!({})), folder.join("p.safetensors")).1
}

fn adapted(kind: &str, from: &Path) -> Prepared {
    let extra = json!({"model": {"from": from, "linear": {"kind": kind, "rank": 3}}});
    settled("llama", extra)
}

/// Logits of whole windows, and of one token by token.
fn logits(experiment: &Experiment, weights: &Weights) -> [Vec<f32>; 2] {
    let (model, ops) = (&experiment.model, experiment.ops);
    let tokens = batch(experiment, 0).inputs;
    let ids = Tensor::from_slice(&tokens, tokens.len(), &Device::Cpu).unwrap();
    let whole = model.logits(weights, &ids, 2, CONTEXT, ops).unwrap();
    let mut generator = Generator::new(model, weights, ops, &Device::Cpu, 1);
    let fed = tokens[..CONTEXT].iter();
    let fed = fed.flat_map(|token| values(&generator.feed(&[*token]).unwrap()));
    [values(&whole), fed.collect()]
}

fn farthest(a: &[Vec<f32>; 2], b: &[Vec<f32>; 2]) -> f32 {
    let pairs = a.concat().into_iter().zip(b.concat());
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

fn after_steps(experiment: &Experiment) -> Params {
    let mut trained = trainer(experiment, 1);
    for step in 0..experiment.steps {
        trained.step(&batch(experiment, step)).unwrap();
    }
    trained.params().clone()
}

/// Mangrulkar et al. 2022, PEFT, counts 2,442,240 numbers at rank 8 for SmolLM2-135M's seven matrices a layer.
#[test]
fn as_many_numbers_train_as_where_matrices_stand_apart() {
    let sets = json!({
        "model": {"layers": 30, "width": 576, "heads": 9, "kv_heads": 3, "bias": false, "vocab": 49152, "ffn": {"hidden": 1536},
                  "linear": {"kind": "lora", "train_rest": false}},
    });
    let prepared = prepared("llama", sets);
    let decls = prepared.experiment.model.trained();
    assert_eq!(decls.iter().map(Decl::count).sum::<u64>(), 2_442_240);
    // They are in their matrices when the model serves; the head is the table.
    assert_eq!(prepared.cost.params_total, 134_515_008);
}

#[test]
fn before_the_first_step_a_model_is_its_base_to_the_bit() {
    let folder = tempfile::tempdir().unwrap();
    let path = parent(folder.path());
    let base = settled("llama", json!({"model": {"from": path}})).experiment;
    let start = |experiment: &Experiment| experiment.model.start(5, &Device::Cpu).unwrap();
    let truth = logits(&base, &start(&base).detached());
    for kind in ["lora", "dora"] {
        let experiment = adapted(kind, &path).experiment;
        let params = start(&experiment);
        let merged = experiment.model.merged(&params).unwrap();
        for params in [&params, &merged] {
            let found = logits(&experiment, &params.detached());
            let same = |(a, b): (&f32, &f32)| a.to_bits() == b.to_bits();
            let (found, truth) = (found.concat(), truth.concat());
            assert!(found.iter().zip(&truth).all(same), "{kind}");
        }
    }
}

#[test]
fn once_trained_a_change_is_in_its_matrix_and_costs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = parent(folder.path());
    for kind in ["lora", "dora"] {
        let prepared = adapted(kind, &path);
        let experiment = &prepared.experiment;
        let model = &experiment.model;
        let (started, trained) = (
            model.start(1, &Device::Cpu).unwrap(),
            after_steps(experiment),
        );
        for (k, decl) in model.decls().iter().enumerate() {
            let moved = values(&started.vars()[k]) != values(&trained.vars()[k]);
            let is_change = decl.name.contains("_lora_") || decl.name.contains("_magnitude");
            assert_eq!(
                (moved, decl.trains),
                (is_change, is_change),
                "{}",
                decl.name
            );
        }
        let before = logits(experiment, &started.detached());
        let beside = logits(experiment, &trained.detached());
        let merged = model.merged(&trained).unwrap().detached();
        let within = logits(experiment, &merged);
        assert!(farthest(&before, &beside) > 1e-2, "{kind}");
        assert!(farthest(&beside, &within) < 1e-5, "{kind}");
        let ids = Tensor::from_slice(&[0u32; CONTEXT], CONTEXT, &Device::Cpu).unwrap();
        let forward = || model.logits(&merged, &ids, 1, CONTEXT, experiment.ops);
        let (done, flops) = counted(forward).unwrap();
        done.unwrap();
        assert_eq!(
            flops as f64,
            prepared.cost.forward_flops_per_token * CONTEXT as f64
        );
        // What a trial keeps is a model of the base's names, that others begin with.
        let (trial, file) = kept(&prepared, folder.path().join(format!("{kind}.safetensors")));
        let base = settled("llama", json!({"model": {"from": file}})).experiment;
        let loaded = base.model.start(7, &Device::Cpu).unwrap();
        assert_eq!(logits(&base, &loaded.detached()), within, "{kind}");
        assert!(trial.metrics[name::VAL_LOSS_NATS].value.is_some());
        let read = model.bytes_read(&merged, 1);
        assert_eq!(read, base.model.bytes_read(&loaded.detached(), 1));
    }
}

/// (4 N + 6 N_l) / 6 N of the FLOPs in products with weights, less what is asked of no input; gradients and AdamW's state of the changes
/// alone.
#[test]
fn what_stays_costs_no_gradient_and_no_state() {
    let folder = tempfile::tempdir().unwrap();
    let path = parent(folder.path());
    let full = settled("llama", json!({"model": {"from": path}}));
    let lora = adapted("lora", &path);
    let decls = |of: &Prepared, is: &dyn Fn(&Decl) -> bool| -> u64 {
        let decls = of.experiment.model.decls().iter();
        decls.filter(|decl| is(decl)).map(Decl::count).sum()
    };
    let is_matrix = |decl: &Decl| decl.role == Role::Matrix && !decl.trains;
    let (matrices, changes) = (decls(&lora, &is_matrix), decls(&lora, &|decl| decl.trains));
    // Nothing before the first product learns, so that its input has no gradient, and the table of the head none of its own.
    let first = decls(&lora, &|decl| {
        ["blocks.00.mixer.qkv", "blocks.00.mixer.qkv_lora_a"].contains(&decl.name.as_str())
    });
    let table = 11 * 24;
    let spared = CONTEXT as u64 * 2 * (matrices + first + table);
    assert_eq!(
        lora.cost.train_flops_per_sequence,
        full.cost.train_flops_per_sequence - spared + CONTEXT as u64 * 6 * changes
    );
    assert_eq!(
        lora.cost.forward_flops_per_token,
        full.cost.forward_flops_per_token
    );
    let all = decls(&full, &|_| true);
    assert_eq!(full.cost.state_bytes, 4 * 4 * all);
    assert_eq!(lora.cost.state_bytes, 4 * (all + changes) + 4 * 3 * changes);
}

#[test]
fn what_a_model_was_drawn_with_trains_unless_it_is_told_to_stay() {
    let trains = |extra: Value| {
        let model = settled("llama", extra).experiment.model;
        let decls = model.decls().iter();
        let of = decls.filter(|d| ["embedding.tokens", "final_norm.gain"].contains(&&*d.name));
        of.map(|decl| decl.trains).collect::<Vec<_>>()
    };
    let drawn = json!({"model": {"linear": {"kind": "lora"}}});
    assert_eq!(trains(drawn), [true, true]);
    let told = json!({"model": {"linear": {"kind": "lora", "train_rest": false}}});
    assert_eq!(trains(told), [false, false]);
    let folder = tempfile::tempdir().unwrap();
    let from = parent(folder.path());
    let all = json!({"model": {"from": from, "linear": {"kind": "lora", "train_rest": true}}, "train": {"freeze": ["embedding"]}});
    assert_eq!(trains(all), [false, true]);
}

/// Hayou et al. 2024, LoRA+, arXiv 2402.12354: a rate that falls as 1 / width for A, and stays for B.
#[test]
fn rates_carry_over_widths() {
    let extra = json!({"model": {"width": 128, "heads": 4, "linear": {"kind": "dora"}}});
    let model = settled("llama", extra).experiment.model;
    let rate = |name: &str| {
        let mut decls = model.decls().iter();
        decls.find(|decl| decl.name == name).unwrap().adaptive().lr
    };
    let found = ["lora_a", "lora_b", "magnitude"].map(|n| rate(&format!("blocks.01.ffn.down_{n}")));
    assert_eq!(found, [0.25, 1.0, 1.0]);
}

/// B has rows of the rank, which no format packs: there is none by then.
#[test]
fn what_is_merged_is_packed_as_its_base_is() {
    let extra = json!({
        "model": {"width": 32, "heads": 2, "linear": {"kind": "lora"}}, "infer": {"weights": "q8_0"},
    });
    let prepared = settled("gpt2", extra);
    let trial = run(&Registry::builtin(), &job(&prepared), &mut |_| {}).unwrap();
    let excess = trial.metrics[name::PACKED_EXCESS_NATS].value.unwrap();
    assert!(excess != 0.0 && excess.abs() < 0.1, "{excess}");
}
