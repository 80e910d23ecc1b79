//! Mixtures of experts in a model: what they are where they are something simpler, what they cost, and how their loads are balanced.

use super::*;
use crate::measure::Monotonic;
use crate::measure::energy::{Metering, Plan};
use crate::model::{Params, weights};
use crate::record::metric as name;
use crate::trial::training::{Training, train};

fn with(variant: &str, extra: &Value) -> Prepared {
    let sets = json!({
        "model": {"width": 16, "heads": 2, "layers": 2, "context": 12, "bias": false},
        "train": {"batch": 3, "steps": 3},
        "data": {"kind": "markov", "states": 11, "validation_tokens": 480},
        "measure": {"window_s": 0.01},
    });
    let mut tree = Library::builtin().variant(variant).unwrap().tree;
    for layer in [&sets, extra] {
        tree.overlay(&Tree::from_json(layer, &Origin::named("test")).unwrap());
    }
    settle(&Registry::builtin(), &tree).unwrap()
}

/// The numbers that are minimised, of the first batch with these parameters.
fn terms(experiment: &Experiment, params: &Params) -> Vec<f32> {
    let (model, batch) = (&experiment.model, batch(experiment, 0));
    let ids = Tensor::from_slice(&batch.inputs, batch.inputs.len(), &Device::Cpu).unwrap();
    let given = (&ids, batch.targets.as_slice());
    let tape = experiment.ops.tape();
    let ops = experiment.ops.on(&tape);
    let loss = model.loss(&params.tracked(), given, batch.rows, batch.context, ops);
    values(&loss.unwrap())
}

/// Parameters that start from a seed, some of them then given by their last names.
fn params(experiment: &Experiment, given: &dyn Fn(&str, &Tensor) -> Option<Tensor>) -> Params {
    let decls = experiment.model.decls();
    let params = Params::init(decls, 1, &Device::Cpu).unwrap();
    for (decl, var) in decls.iter().zip(params.vars()) {
        if let Some(numbers) = given(&decl.name, &var.as_detached_tensor()) {
            var.set(&numbers).unwrap();
        }
    }
    params
}

#[test]
fn one_expert_is_a_dense_layer() {
    let dense = with(
        "gpt2",
        &json!({"model": {"ffn": {"kind": "swiglu", "ratio": 1.0}}}),
    );
    let one = json!({"kind": "moe", "experts": 1, "chosen": 1, "shared": 0, "ratio": 1.0});
    let one = with("gpt2", &json!({"model": {"ffn": one}}));
    let (dense, one) = (dense.experiment, one.experiment);
    let of_dense = params(&dense, &|_, _| None);
    let same = params(&one, &|name, _| {
        let name = name.replace("experts_", "");
        let place = dense.model.decls().iter().position(|d| d.name == name)?;
        Some(of_dense.vars()[place].as_detached_tensor())
    });
    let (dense, one) = (terms(&dense, &of_dense), terms(&one, &same));
    assert!((dense[0] - one[0]).abs() < 1e-6, "{dense:?} {one:?}");
}

/// Experts, their rows of the router and their biases in another order.
#[test]
fn the_order_of_experts_changes_no_loss() {
    for router in ["sigmoid", "softmax"] {
        let ffn = json!({"experts": 5, "chosen": 2, "ratio": 0.5, "router": router});
        let experiment = with("gpt2+moe", &json!({"model": {"ffn": ffn}})).experiment;
        let order = [3usize, 0, 4, 1, 2];
        let spread = |name: &str, x: &Tensor| {
            let bias = Tensor::new(&[0.3f32, -0.1, 0.0, 0.2, -0.4], &Device::Cpu).unwrap();
            name.ends_with("router_bias")
                .then_some(bias)
                .or_else(|| Some((x * 3.0).unwrap()))
        };
        let shuffled = |name: &str, x: &Tensor| {
            let x = spread(name, x).unwrap();
            if !(name.contains("router") || name.contains("experts_")) {
                return Some(x);
            }
            let rows = x.dim(0).unwrap() / 5;
            let parts: Vec<Tensor> = order
                .iter()
                .map(|&e| x.narrow(0, e * rows, rows).unwrap())
                .collect();
            Some(Tensor::cat(&parts, 0).unwrap())
        };
        let one = terms(&experiment, &params(&experiment, &spread));
        let other = terms(&experiment, &params(&experiment, &shuffled));
        assert!((one[0] - other[0]).abs() < 1e-5, "{one:?} {other:?}");
    }
}

#[test]
fn what_experts_weigh_and_what_of_it_a_token_uses() {
    let (c, f, layers) = (16u64, 8, 2);
    let moe = with("gpt2+moe", &json!({}));
    let dense = with(
        "gpt2",
        &json!({"model": {"ffn": {"kind": "swiglu", "ratio": 0.5}}}),
    );
    // One shared expert is the dense layer of that width; 16 more, of which a token takes 4, and the router.
    let beside = |experts: u64| layers * (experts * 3 * c * f + 16 * c);
    let all = |p: &Prepared| p.cost.params_total;
    assert_eq!(all(&moe) - all(&dense), beside(16));
    assert_eq!(moe.cost.params_active - all(&dense), beside(4));
    let per_token = |p: &Prepared| p.cost.forward_flops_per_token;
    assert_eq!(per_token(&moe) - per_token(&dense), 2.0 * beside(4) as f64);
    // Distinct experts that a batch is expected to read: 4, 7, 14.4 and 16.
    let model = &moe.experiment.model;
    let weights = params(&moe.experiment, &|_, _| None).detached();
    let of_expert = 4 * layers * 3 * c * f;
    let read = |batch| model.bytes_read(&weights, batch);
    for (batch, experts) in [(1, 4.0), (2, 7.0), (8, 14.3982), (32, 15.9984)] {
        let more = read(batch) as f64 - read(1) as f64;
        let expected = (experts - 4.0) * of_expert as f64;
        assert!(
            (more - expected).abs() < 0.001 * of_expert as f64,
            "{batch}: {more}"
        );
    }
}

#[test]
fn what_a_token_cannot_take_is_refused() {
    let refused = |ffn: Value| {
        let sets = json!({"model": {"ffn": ffn, "context": 8}});
        let mut tree = Library::builtin().variant("gpt2+moe").unwrap().tree;
        tree.overlay(&Tree::from_json(&sets, &Origin::named("test")).unwrap());
        settle(&Registry::builtin(), &tree)
            .err()
            .unwrap()
            .to_string()
    };
    let error = refused(json!({"experts": 3}));
    assert!(
        error.contains("of 3 experts no token can take 4"),
        "{error}"
    );
    let error = refused(json!({"chosen": 1}));
    assert!(error.contains("its router learns nothing"), "{error}");
}

/// What balances by a loss adds that to what is minimised, once for a layer, and nothing to what is reported.
#[test]
fn a_balancing_loss_is_not_reported() {
    let of = |variant: &str| {
        let experiment = with(variant, &json!({})).experiment;
        terms(&experiment, &params(&experiment, &|_, _| None))
    };
    let (plain, balanced) = (of("gpt2+moe-unbalanced"), of("gpt2+moe-aux"));
    assert_eq!((plain.len(), balanced.len()), (1, 3));
    assert_eq!(plain[0].to_bits(), balanced[0].to_bits());
    // 0.01 where loads are even, and more where they are not.
    assert!(
        balanced[1..]
            .iter()
            .all(|term| (0.0099..0.02).contains(term)),
        "{balanced:?}"
    );
}

#[test]
fn biases_are_kept_with_the_weights() {
    let experiment = with("gpt2+moe", &json!({})).experiment;
    let mut trainer = trainer(&experiment, 1);
    for step in 0..3 {
        trainer.step(&batch(&experiment, step)).unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    let decls = experiment.model.decls();
    weights::write(&path, decls, trainer.params()).unwrap();
    let from = with("gpt2+moe", &json!({"model": {"from": path}})).experiment;
    let started = from.model.start(9, &Device::Cpu).unwrap();
    let mut moved = 0;
    for (decl, (kept, given)) in decls
        .iter()
        .zip(trainer.params().vars().iter().zip(started.vars()))
    {
        assert_eq!(values(kept), values(given), "{}", decl.name);
        moved += u32::from(decl.buffer && values(kept).iter().any(|bias| *bias != 0.0));
    }
    assert_eq!(moved, 2);
}

/// A frozen layer's biases stay.
#[test]
fn frozen_biases_stay() {
    let frozen = json!({"train": {"freeze": ["blocks.00.ffn"]}});
    let experiment = with("gpt2+moe", &frozen).experiment;
    let mut trainer = trainer(&experiment, 1);
    trainer.step(&batch(&experiment, 0)).unwrap();
    let decls = experiment.model.decls().iter().zip(trainer.params().vars());
    for (decl, var) in decls.filter(|(decl, _)| decl.buffer) {
        let stays = values(var).iter().all(|bias| *bias == 0.0);
        assert_eq!(stays, decl.name.starts_with("blocks.00"), "{}", decl.name);
    }
}

fn trained(variant: &str, ffn: &Value) -> Training {
    let sets = json!({
        "model": {"layers": 1, "context": 16, "ffn": ffn},
        "train": {"batch": 16, "steps": 150, "optimizer": {"lr": 0.01}},
        "data": {"states": 64, "zipf": 2.0, "validation_tokens": 4096},
    });
    let experiment = with(variant, &sets).experiment;
    let (opened, clock) = (device::open("cpu").unwrap(), Monotonic::start());
    let meters = Metering::start(
        &Registry::builtin().meters,
        Plan::default(),
        Arc::new(clock),
    );
    let nothing = &mut |_| ();
    train(&experiment, 3, &opened, &clock, (&meters, None), nothing).unwrap()
}

#[test]
fn a_bias_balances_what_is_uneven_without() {
    let violation = |variant: &str, ffn: Value| {
        let training = trained(variant, &ffn);
        let curve = &training.curve;
        assert_eq!(curve.max_violation.len(), curve.step.len());
        training.quality.unwrap().loads.max_violation().unwrap()
    };
    let plain = violation("gpt2+moe-unbalanced", json!({"experts": 8, "chosen": 2}));
    let bias = violation("gpt2+moe", json!({"experts": 8, "chosen": 2}));
    // 0.06 here; what is left is the luck of 4096 tokens.
    assert!(plain > 0.5 && bias < 0.12, "{plain} {bias}");
}

#[test]
fn a_trial_records_loads() {
    let trial = run(
        &Registry::builtin(),
        &job(&with("gpt2+moe", &json!({}))),
        &mut |_| {},
    )
    .unwrap();
    assert_eq!(trial.status, Status::Ok, "{:?}", trial.reason);
    assert!(trial.metrics[name::MAX_VIOLATION].value.unwrap() >= 0.0);
    assert_eq!(trial.curve.max_violation.len(), trial.curve.step.len());
    let trial = run(
        &Registry::builtin(),
        &job(&with("gpt2", &json!({}))),
        &mut |_| {},
    )
    .unwrap();
    let absent = trial.metrics[name::MAX_VIOLATION].reason.as_deref();
    assert_eq!(absent, Some("the model has no experts"));
    assert!(trial.curve.max_violation.is_empty());
}
