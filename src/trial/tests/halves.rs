//! Keys and values that decoding keeps in half precision: what they cost, and what keeps no such.

use super::*;
use crate::infer::Generator;
use crate::model::Params;

fn sets(mixer: &Value, cache: &str) -> Value {
    json!({
        "model": {
            "width": 24, "heads": 3, "layers": 2, "context": 40, "init_std": 0.3, "mixer": mixer,
        },
        "train": {"batch": 2, "steps": 3},
        "data": {"kind": "markov", "states": 11},
        "infer": {"cache": cache, "prompt": 4, "generate": 4},
        "measure": {"window_s": 0.01},
    })
}

/// In runs and token by token, over a window's end and as a prompt.
#[test]
fn decoding_over_halves_is_nearly_decoding_over_floats() {
    for mixer in [
        json!({"kind": "attention"}),
        json!({"kind": "sliding", "window": 5}),
        json!({"kind": "mla"}),
        json!({"kind": "differential"}),
    ] {
        let mut last: Vec<Vec<f32>> = Vec::new();
        let mut bytes = Vec::new();
        for cache in ["f32", "f16"] {
            let experiment = prepared("llama", sets(&mixer, cache)).experiment;
            bytes.push(experiment.cache_bytes(40));
            let (model, ops) = (&experiment.model, experiment.ops);
            let weights = Params::init(model.decls(), 4, &Device::Cpu).unwrap();
            let weights = weights.detached().with_cache(experiment.infer.cache);
            let inputs = &batch(&experiment, 0).inputs[..40];
            let mut generator = Generator::new(model, &weights, ops, &Device::Cpu, 1);
            let mut logits = None;
            for run in [&inputs[..7], &inputs[7..27], &inputs[27..30]] {
                logits = Some(generator.feed(run).unwrap());
            }
            for token in inputs[30..].chunks(1) {
                logits = Some(generator.feed(token).unwrap());
            }
            last.push(logits.unwrap().flatten_all().unwrap().to_vec1().unwrap());
        }
        assert_eq!(bytes[0], 2 * bytes[1], "{mixer}");
        let size = last[0].iter().fold(0f32, |top, x| top.max(x.abs()));
        let apart = last[0].iter().zip(&last[1]).map(|(a, b)| (a - b).abs());
        let apart = apart.fold(0f32, f32::max) / size;
        assert!(apart > 0.0 && apart < 1e-2, "{mixer}: {apart}");
    }
}

#[test]
fn a_state_that_is_summed_up_is_kept_whole() {
    for kind in ["gated-deltanet", "lstm", "mamba2"] {
        let mut tree = Library::builtin().variant("llama").unwrap().tree;
        let sets = sets(&json!({"kind": kind}), "f16");
        tree.overlay(&Tree::from_json(&sets, &Origin::named("test")).unwrap());
        let refused = settle(&Registry::builtin(), &tree).err().unwrap();
        assert!(refused.message.contains("summed up"), "{kind}: {refused}");
    }
}
