//! What a spec adds to the loss: what it is, what it costs, and that what is reported stays the next token's.

use super::*;
use crate::model::Params;

fn with(variant: &str) -> Prepared {
    let sets = json!({
        "model": {"width": 16, "heads": 2, "layers": 2, "context": 12},
        "train": {"batch": 2, "steps": 3},
        "data": {"kind": "markov", "states": 11, "validation_tokens": 480},
        "measure": {"window_s": 0.01},
    });
    prepared(variant, sets)
}

/// The numbers that are minimised, of the first batch at the start.
fn terms(experiment: &Experiment) -> Vec<f32> {
    let (model, batch) = (&experiment.model, batch(experiment, 0));
    let weights = Params::init(model.decls(), 1, &Device::Cpu)
        .unwrap()
        .detached();
    let ids = Tensor::from_slice(&batch.inputs, batch.inputs.len(), &Device::Cpu).unwrap();
    let given = (&ids, batch.targets.as_slice());
    let loss = model.loss(&weights, given, batch.rows, batch.context, experiment.ops);
    values(&loss.unwrap())
}

#[test]
fn the_first_number_is_the_next_tokens_to_the_bit() {
    let plain = terms(&with("gpt2").experiment);
    assert_eq!(plain.len(), 1);
    for (variant, numbers) in [("gpt2+zloss", 2), ("gpt2+mtp", 2), ("gpt2+zloss+mtp", 3)] {
        let terms = terms(&with(variant).experiment);
        assert_eq!(terms[0].to_bits(), plain[0].to_bits(), "{variant}");
        assert_eq!(terms.len(), numbers, "{variant}");
    }
}

#[test]
fn z_is_the_mean_of_squared_normalisers() {
    let experiment = with("gpt2+zloss").experiment;
    let batch = batch(&experiment, 0);
    let weights = Params::init(experiment.model.decls(), 1, &Device::Cpu)
        .unwrap()
        .detached();
    let ids = Tensor::from_slice(&batch.inputs, batch.inputs.len(), &Device::Cpu).unwrap();
    let logits = experiment
        .model
        .logits(&weights, &ids, 2, 12, experiment.ops);
    let logits = logits.unwrap().to_vec2::<f32>().unwrap();
    let square = |row: &Vec<f32>| {
        let sum: f64 = row.iter().map(|x| f64::from(*x).exp()).sum();
        sum.ln().powi(2)
    };
    let mean = logits.iter().map(square).sum::<f64>() / logits.len() as f64;
    let found = f64::from(terms(&experiment)[1]);
    assert!((found / (1e-4 * mean) - 1.0).abs() < 1e-4, "{found}");
}

#[test]
fn a_second_head_costs_a_block_and_a_product_and_is_gone_when_served() {
    let (plain, more) = (with("gpt2"), with("gpt2+mtp"));
    let (c, v, t) = (16u64, 11, 12);
    // A block of a width of 16: 12 C^2 multiply-adds a token, and 7 products of pairs of a window.
    let block = 6 * t * 12 * c * c + 7 * 2 * c * (t * (t + 1) / 2);
    let head = 6 * t * c * v;
    let train = |p: &Prepared| p.cost.train_flops_per_sequence;
    assert_eq!(train(&more) - train(&plain), block + head);
    assert_eq!(
        more.cost.forward_flops_per_token,
        plain.cost.forward_flops_per_token
    );
    assert_eq!(more.cost.kv_bytes_per_token, plain.cost.kv_bytes_per_token);
    assert_eq!(more.cost.params_active, plain.cost.params_total);
    // Two matrices with biases each in mixer and feed-forward layer, three norms.
    let own = 12 * c * c + (4 + 5) * c + 3 * 2 * c;
    let kept = |p: &Prepared| p.experiment.model.params_kept();
    assert_eq!(kept(&more) - kept(&plain), own);
    let trial = run(&Registry::builtin(), &job(&more), &mut |_| {}).unwrap();
    assert_eq!(trial.status, Status::Ok, "{:?}", trial.reason);
    // Losses of 11 states are below ln 11 + 1, of two heads' sum they would not be.
    let losses = trial.curve.train_loss_nats.iter().flatten();
    assert!(
        losses
            .chain(trial.curve.val_loss_nats.iter().flatten())
            .all(|loss| *loss < 3.4)
    );
}

#[test]
fn a_loss_that_is_not_there_is_refused() {
    let check = |loss: Value, want: &str| {
        let mut tree = Library::builtin().variant("gpt2").unwrap().tree;
        let sets = json!({"train": {"loss": loss}, "data": {"kind": "markov"}});
        tree.overlay(&Tree::from_json(&sets, &Origin::named("test")).unwrap());
        let error = settle(&Registry::builtin(), &tree).err().unwrap();
        let message = error.to_string();
        assert!(message.contains(want), "{message}\nhas no\n{want}");
    };
    check(
        json!({"zloss": {"weight": 1}}),
        "`train.loss` has: z-loss, multi-token",
    );
    check(
        json!({"multi-token": {"weight": 1, "tokens": 1}}),
        "expected a whole number from 2 to 16",
    );
    check(
        json!({"multi-token": {"tokens": 2}}),
        "train.loss.multi-token.tokens has no effect beside the other keys",
    );
}
