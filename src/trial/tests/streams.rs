//! What a block gets beside the stream: where it began, and what a token is worth by itself.

use super::*;
use crate::model::{Params, Part, Role};

fn with(variant: &str, layers: usize) -> Experiment {
    let sets = json!({
        "model": {"width": 16, "heads": 2, "layers": layers, "context": 12},
        "train": {"batch": 2, "steps": 3},
        "data": {"kind": "markov", "states": 11},
        "measure": {"window_s": 0.01},
    });
    prepared(variant, sets).experiment
}

/// The stream after the embedding and after each block, and the logits, of the first batch; parameters by name as `change` says.
fn activations(experiment: &Experiment, change: impl Fn(&str) -> Option<f32>) -> Vec<Vec<f32>> {
    let (model, batch) = (&experiment.model, batch(experiment, 0));
    let params = Params::init(model.decls(), 1, &Device::Cpu).unwrap();
    for (decl, var) in model.decls().iter().zip(params.vars()) {
        if let Some(number) = change(&decl.name) {
            let all = Tensor::full(number, var.shape(), &Device::Cpu).unwrap();
            var.set(&all).unwrap();
        }
    }
    let ids = Tensor::from_slice(&batch.inputs, batch.inputs.len(), &Device::Cpu).unwrap();
    let weights = params.detached();
    let all = model.activations(&weights, &ids, batch.rows, batch.context, experiment.ops);
    all.unwrap().iter().map(values).collect()
}

#[test]
fn a_stream_that_recalls_nothing_is_the_stream_and_one_that_keeps_nothing_begins_again() {
    for variant in ["gpt2", "transformer-2017", "gpt2+parallel"] {
        let (plain, recalls) = (with(variant, 2), with(&format!("{variant}+x0"), 2));
        let scalars = |keeps: f32, takes: f32| {
            move |name: &str| match name.rsplit('.').next() {
                Some("keeps") => Some(keeps),
                Some("takes") => Some(takes),
                _ => None,
            }
        };
        let truth = activations(&plain, |_| None);
        assert_eq!(activations(&recalls, scalars(1.0, 0.0)), truth, "{variant}");
        assert_ne!(activations(&recalls, |_| None)[1], truth[1], "{variant}");
        // The second block then begins as the first did.
        let anew = activations(&recalls, scalars(0.0, 1.0));
        assert_eq!(anew[1], truth[1], "{variant}");
        assert_ne!(anew[2], truth[2], "{variant}");
    }
}

#[test]
fn what_multiplies_the_stream_starts_as_published_and_learns_slowly() {
    let experiment = with("gpt2+x0", 3);
    let params = Params::init(experiment.model.decls(), 1, &Device::Cpu).unwrap();
    let both = experiment.model.decls().iter().zip(params.vars());
    let of = |end: &str| -> Vec<(f32, f64)> {
        let named = both.clone().filter(|(decl, _)| decl.name.ends_with(end));
        named
            .map(|(decl, var)| (values(var)[0], decl.lr_scale))
            .collect()
    };
    assert_eq!(of(".keeps"), [(1.15, 0.01), (1.1, 0.01), (1.05, 0.01)]);
    assert_eq!(of(".takes"), [(0.2, 1.0), (0.125, 1.0), (0.05, 1.0)]);
}

#[test]
fn every_other_layer_has_a_table_and_the_last_one_has() {
    for (layers, tables) in [(1, vec![0]), (2, vec![1]), (5, vec![0, 2, 4])] {
        let [with_tables, plain] = ["gpt2+value-embeddings", "gpt2"].map(|v| with(v, layers).model);
        let names = with_tables
            .decls()
            .iter()
            .filter(|decl| decl.name.ends_with("value_table") && decl.role == Role::Embedding);
        let names: Vec<String> = names.map(|decl| decl.name.clone()).collect();
        let known = tables
            .iter()
            .map(|layer| format!("blocks.{layer:02}.mixer.value_table"));
        assert_eq!(names, known.collect::<Vec<_>>());
        // 11 tokens, two heads of 8; gates of 12 channels.
        let more = |part| {
            let of = |model: &crate::model::Model| model.params_by_part()[&part];
            of(&with_tables) - of(&plain)
        };
        assert_eq!(more(Part::Embedding), tables.len() as u64 * 11 * 16);
        assert_eq!(more(Part::Mixer), tables.len() as u64 * 2 * 12);
    }
}

/// A token's value is its own: with a table of ones every value is more by what the gate lets through, and so is their mean.
#[test]
fn what_is_looked_up_is_added_to_values() {
    let experiment = with("gpt2+value-embeddings", 1);
    let stream = |table: f32| {
        let numbers = activations(&experiment, |name| match name.rsplit('.').next() {
            Some("value_table") => Some(table),
            // Nothing but the last product's rows of ones, so that the block adds the sum of what the heads bring.
            Some("out") => Some(1.0),
            Some("down") => Some(0.0),
            _ => None,
        });
        numbers[1].clone()
    };
    // A gate at 0 is half of 3; 16 channels.
    let more = 16.0 * 1.5 * experiment.model.shape.scaling.of_branches() as f32;
    for (with, without) in stream(1.0).iter().zip(stream(0.0)) {
        assert!((with - without - more).abs() < 1e-3, "{with} {without}");
    }
}
