//! Weights that are packed before they serve.

use super::*;
use crate::model::{Beside, Packing};
use crate::ops::Format;
use crate::record::metric as name;

fn tree(extra: Value) -> Tree {
    let sets = json!({
        "model": {"width": 64, "heads": 2, "layers": 2, "context": 12},
        "train": {"batch": 2, "steps": 6},
        "data": {"kind": "markov", "states": 11, "validation_tokens": 480},
        "measure": {"window_s": 0.01},
    });
    let mut tree = Library::builtin().variant("gpt2").unwrap().tree;
    for layer in [sets, extra] {
        tree.overlay(&Tree::from_json(&layer, &Origin::named("test")).unwrap());
    }
    tree
}

fn settled(extra: Value) -> Result<Prepared> {
    settle(&Registry::builtin(), &tree(extra))
}

#[test]
fn what_packing_saves_and_costs_is_measured() {
    let of = |extra: Value| {
        let prepared = settled(extra).unwrap();
        run(&Registry::builtin(), &job(&prepared), &mut |_| {}).unwrap()
    };
    let plain = of(json!({}));
    let trial = |name: &str| of(json!({"infer": {"weights": name}}));
    let value = |trial: &Trial, name: &str| trial.metrics[name].value;
    let bytes = |trial: &Trial| value(trial, name::WEIGHTS_READ_BYTES).unwrap();
    assert_eq!(value(&plain, name::PACKED_EXCESS_NATS), None);
    let (mut errors, mut divergences) = (Vec::new(), Vec::new());
    for (format, bits) in [("q8_0", 8.5), ("q4_0", 4.5)] {
        let packed = trial(format);
        // It learns the same; what is packed serves.
        assert_eq!(packed.curve.train_loss_nats, plain.curve.train_loss_nats);
        let loss = |trial: &Trial| value(trial, name::VAL_LOSS_NATS);
        assert_eq!(loss(&packed), loss(&plain));
        // Gains, and a row of the table, stay f32.
        let ratio = bytes(&packed) / bytes(&plain);
        assert!(
            (bits / 32.0..bits / 32.0 + 0.02).contains(&ratio),
            "{format}: {ratio}"
        );
        errors.push(value(&packed, name::PACKED_EXCESS_NATS).unwrap());
        divergences.push(value(&packed, name::PACKED_KL_NATS).unwrap());
        let same_first = value(&packed, name::PACKED_TOP1_AGREEMENT).unwrap();
        assert!((0.8..=1.0).contains(&same_first), "{format}: {same_first}");
    }
    // Each bit less doubles the error, and a divergence grows with its square.
    let [fine, coarse] = divergences[..] else {
        panic!("{divergences:?}")
    };
    assert!(
        0.0 < fine && 20.0 * fine < coarse && coarse < 0.01,
        "{divergences:?}"
    );
    assert!(errors[0].abs() < 0.01 && errors[0] != 0.0, "{errors:?}");
    assert!(
        errors[1].abs() < 0.1 && errors[0].abs() < errors[1].abs(),
        "{errors:?}"
    );
}

/// The loss with packed weights is that with the numbers that they stand for.
#[test]
fn packed_weights_serve_as_their_numbers_do() {
    let experiment = settled(json!({})).unwrap().experiment;
    let model = &experiment.model;
    let params = model.start(1, &Device::Cpu).unwrap();
    let batch = batch(&experiment, 0);
    let score = |weights: &crate::model::Weights| {
        let ops = crate::ops::Ops::fused();
        let scored = crate::infer::evaluate(
            model,
            weights,
            &batch,
            ops,
            &Device::Cpu,
            &Beside::default(),
        )
        .unwrap();
        let nats = scored.into_iter().flatten().map(|token| token.nats);
        nats.collect::<Vec<f32>>()
    };
    let packed = model
        .serving(&params, Some(Packing::To(Format::Q8_0)))
        .unwrap();
    let seen = score(&packed);
    assert_ne!(seen, score(&params.detached()));
    // The head's numbers are the table's, whose rows are looked up as they were trained: with a table of numbers that packing
    // leaves as they are, all are the same.
    for (id, decl) in model.decls().iter().enumerate() {
        if decl.shape.len() == 2 {
            let rounded = crate::ops::Packed::of(params.vars()[id].as_tensor(), Format::Q8_0);
            params.vars()[id]
                .set(&rounded.unwrap().unpacked().unwrap())
                .unwrap();
        }
    }
    let again = model
        .serving(&params, Some(Packing::To(Format::Q8_0)))
        .unwrap();
    let (packed, rounded) = (score(&again), score(&params.detached()));
    let worst = packed.iter().zip(&rounded).map(|(a, b)| (a - b).abs());
    assert!(worst.fold(0.0, f32::max) < 1e-4);
}

/// A recurrence reads its packed weights whole for a window, and packed for a token.
#[test]
fn packed_recurrences_decode_what_they_read() {
    let extra = json!({"model": {"mixer": {"kind": "lstm"}, "init_std": 0.3}});
    let experiment = settled(extra).unwrap().experiment;
    let (model, ops) = (&experiment.model, experiment.ops);
    let params = model.start(1, &Device::Cpu).unwrap();
    let weights = model
        .serving(&params, Some(Packing::To(Format::Q8_0)))
        .unwrap();
    let tokens = &batch(&experiment, 0).inputs[..12];
    let ids = Tensor::from_slice(tokens, 12, &Device::Cpu).unwrap();
    let whole = model.logits(&weights, &ids, 1, 12, ops).unwrap();
    let mut generator = crate::infer::Generator::new(model, &weights, ops, &Device::Cpu, 1);
    for (from, to) in [(0, 5), (5, 7), (7, 8), (8, 9), (9, 10), (10, 11), (11, 12)] {
        let fed = generator.feed(&tokens[from..to]).unwrap();
        let off = (fed - whole.narrow(0, to - 1, 1).unwrap()).unwrap();
        let worst = off.abs().unwrap().max_all().unwrap();
        let worst = worst.to_scalar::<f32>().unwrap();
        assert!(worst < 1e-4, "after {to} tokens: {worst}");
    }
}

#[test]
fn what_cannot_be_packed_is_refused() {
    for (extra, expected) in [
        (
            json!({"infer": {"weights": "q4_k"}}),
            "it packs 256 numbers of a row at a time, and embedding.tokens has rows of 64",
        ),
        (
            json!({"infer": {"weights": "q8_0"}, "compute": {"device": "cuda"}}),
            "packed weights serve on the CPU, and compute.device is cuda",
        ),
        (json!({"infer": {"weights": "q9"}}), "q8_0"),
        (
            json!({"infer": {"weights": "q8_0"}, "model": {"linear": {"kind": "fp8"}}}),
            "weights that model.linear.kind rounds for every product would be rounded twice",
        ),
    ] {
        let error = settled(extra).err().unwrap();
        let said = format!("{error}");
        assert!(said.contains(expected), "{said}");
    }
}
