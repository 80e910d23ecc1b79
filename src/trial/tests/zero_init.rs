//! Matrices that start at 0: what a model is before its first step, and what optimizers make of gradients that are 0.

use super::*;
use crate::model::{Init, Params, Role};

fn with(variant: &str) -> Experiment {
    let sets = json!({
        "model": {"width": 16, "heads": 2, "layers": 2, "context": 12},
        "train": {"batch": 2, "steps": 3},
        "data": {"kind": "markov", "states": 11},
        "measure": {"window_s": 0.01},
    });
    prepared(variant, sets).experiment
}

#[test]
fn blocks_are_the_identity_and_every_token_is_as_likely() {
    for variant in [
        "gpt2+zeroinit+untied",
        "llama+zeroinit+untied",
        "gpt2+zeroinit+untied+softcap",
        "gpt2+sandwich+zeroinit+untied",
    ] {
        let experiment = with(variant);
        let (model, batch) = (&experiment.model, batch(&experiment, 0));
        let params = Params::init(model.decls(), 1, &Device::Cpu).unwrap();
        let ids = Tensor::from_slice(&batch.inputs, batch.inputs.len(), &Device::Cpu).unwrap();
        let weights = params.detached();
        let all = model.activations(&weights, &ids, batch.rows, batch.context, experiment.ops);
        let all: Vec<Vec<f32>> = all.unwrap().iter().map(values).collect();
        assert_eq!(all[0], all[1], "{variant}");
        assert_eq!(all[1], all[2], "{variant}");
        let given = (&ids, batch.targets.as_slice());
        let loss = model.loss(&weights, given, batch.rows, batch.context, experiment.ops);
        let loss = f64::from(values(&loss.unwrap())[0]);
        assert!((loss - 11f64.ln()).abs() < 1e-6, "{variant}: {loss}");
    }
}

/// What stands before a matrix of zeros has no gradient in the first step: an update of full size made of nothing would be noise.
#[test]
fn the_first_step_of_muon_moves_what_has_a_gradient() {
    let experiment = with("gpt2+zeroinit+muon");
    let mut trainer = trainer(&experiment, 1);
    let all = |trainer: &Trainer| -> Vec<Vec<f32>> {
        let vars = trainer.params().vars().iter();
        vars.map(|var| values(var)).collect()
    };
    let before = all(&trainer);
    trainer.step(&batch(&experiment, 0)).unwrap();
    let after = all(&trainer);
    let size = |x: &[f32]| x.iter().fold(0f32, |size, x| size.max(x.abs()));
    for ((decl, before), after) in experiment.model.decls().iter().zip(before).zip(after) {
        if decl.role != Role::Matrix {
            continue;
        }
        let moved: Vec<f32> = after.iter().zip(&before).map(|(a, b)| a - b).collect();
        let share = size(&moved) / size(&after);
        match decl.init {
            Init::Normal(0.0) => assert!(size(&after) > 1e-5, "{} moves", decl.name),
            _ => assert!(share < 1e-3, "{} only decays: {share}", decl.name),
        }
    }
}

#[test]
fn a_tied_head_cannot_start_at_zero() {
    let mut tree = Library::builtin().variant("gpt2").unwrap().tree;
    let sets = json!({"model": {"head": {"zero_init": true}}});
    tree.overlay(&Tree::from_json(&sets, &Origin::named("test")).unwrap());
    let settled = settle(&Registry::builtin(), &tree);
    let message = settled.err().unwrap().to_string();
    assert!(
        message.contains("tied to the token table cannot start at 0"),
        "{message}"
    );
}
