//! Multi-head latent attention: what it holds, and that the form that decodes is the form that trains.

use super::*;
use crate::infer::Generator;
use crate::model::{Params, Part, Span};

/// DeepSeek-V3's, whose layer of latent attention has 187,107,328 parameters (arXiv 2412.19437, section 4.2, for the sizes). Nothing is
/// allocated.
#[test]
fn parameters_of_the_published_size() {
    let sets = json!({
        "model": {"width": 7168, "heads": 128, "layers": 1, "bias": false, "mixer": {
            "kind": "mla", "head_width": 128, "latent": 512, "rotary": 64, "query_latent": 1536,
        }},
        "data": {"kind": "markov", "states": 11},
        "measure": {"window_s": 0.01},
    });
    let model = prepared("gpt2", sets).experiment.model;
    assert_eq!(model.params_by_part()[&Part::Mixer], 187_107_328);
    assert_eq!(model.state_scalars(1), 576);
    // Over a token that is seen decoding makes 3.4 times the work of the form that trains, and in place of 40,960 numbers keeps 576.
    let over = |seen: usize| model.work(Span::token_after(seen)).forward;
    assert_eq!(over(101) - over(100), 278_528);
    let window = |seen: u64| {
        model
            .work(Span {
                seen: 0,
                new: seen,
                learns: false,
            })
            .forward
    };
    assert_eq!(window(3) + window(1) - 2 * window(2), 81_920);
}

/// Token by token, in runs, and as whole windows.
#[test]
fn what_decodes_is_what_trains() {
    for mixer in [
        json!({"kind": "mla"}),
        json!({"kind": "mla", "query_latent": 5, "latent": 6, "rotary": 2}),
        json!({"kind": "mla", "rotary": 0, "head_width": 5}),
    ] {
        let sets = json!({
            "model": {
                "width": 24, "heads": 3, "layers": 1, "context": 20, "init_std": 0.3, "mixer": mixer,
            },
            "train": {"batch": 2, "steps": 3},
            "data": {"kind": "markov", "states": 11},
            "measure": {"window_s": 0.01},
        });
        let experiment = prepared("llama", sets).experiment;
        let (model, ops) = (&experiment.model, experiment.ops);
        let weights = Params::init(model.decls(), 4, &Device::Cpu)
            .unwrap()
            .detached();
        let inputs = &batch(&experiment, 0).inputs[..20];
        let ids = Tensor::from_slice(inputs, inputs.len(), &Device::Cpu).unwrap();
        let whole = model.logits(&weights, &ids, 1, 20, ops).unwrap();
        let whole = whole.to_vec2::<f32>().unwrap();
        for runs in [vec![1; 20], vec![5, 1, 4, 10]] {
            let mut generator = Generator::new(model, &weights, ops, &Device::Cpu, 1);
            let mut at = 0;
            for run in runs {
                let made = values(&generator.feed(&inputs[at..at + run]).unwrap());
                at += run;
                let (mut far, mut size) = (0f32, 0f32);
                for (made, truth) in made.iter().zip(&whole[at - 1]) {
                    far = far.max((made - truth).abs());
                    size = size.max(truth.abs());
                }
                assert!(far < 1e-5 * size, "{mixer} after {at}: {far:e} of {size}");
            }
        }
    }
}
