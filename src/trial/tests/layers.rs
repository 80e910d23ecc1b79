//! Layers that differ: what each sees, costs and keeps, and how a spec says so.

use super::*;
use crate::model::{Params, Part, Span};

/// Keys over the default variant in small sizes.
fn with(keys: Value) -> Result<Prepared> {
    let sizes = json!({
        "model": {"width": 16, "heads": 2, "context": 24},
        "train": {"batch": 2, "steps": 4},
        "data": {"kind": "markov", "states": 11},
    });
    let mut tree = Library::builtin().variant("gpt2").unwrap().tree;
    for layer in [sizes, keys] {
        tree.overlay(&Tree::from_json(&layer, &Origin::named("test")).unwrap());
    }
    settle(&Registry::builtin(), &tree)
}

/// The furthest token back that the last one's logits depend on.
fn sees(experiment: &Experiment) -> usize {
    let (model, context) = (&experiment.model, experiment.model.shape.context);
    let weights = Params::init(model.decls(), 1, &Device::Cpu)
        .unwrap()
        .detached();
    let last = |ids: &[u32]| {
        let ids = Tensor::from_slice(ids, ids.len(), &Device::Cpu).unwrap();
        let logits = model.logits(&weights, &ids, 1, context, experiment.ops);
        values(&logits.unwrap().get(context - 1).unwrap())
    };
    let ids: Vec<u32> = (0..context as u32).map(|t| t * 7 % 11).collect();
    let plain = last(&ids);
    let changes = |back: &usize| {
        let mut other = ids.clone();
        let at = context - 1 - back;
        other[at] = (other[at] + 1) % 11;
        last(&other) != plain
    };
    (0..context).filter(changes).max().unwrap()
}

#[test]
fn windows_see_exactly_as_far_as_they_reach() {
    for (layers, window) in [(1, 1), (1, 5), (2, 5), (3, 4), (4, 2), (5, 1)] {
        let keys =
            json!({"model": {"layers": layers, "mixer": {"kind": "sliding", "window": window}}});
        let experiment = with(keys).unwrap().experiment;
        // L (w - 1) + 1 tokens, the last itself among them.
        assert_eq!(
            sees(&experiment),
            layers * (window - 1),
            "{layers} layers of {window}"
        );
    }
    // One layer that sees all is enough to see all.
    let hybrid = json!({"model": {"layers": 2, "pattern": ["sliding", "attention"]}});
    assert_eq!(sees(&with(hybrid).unwrap().experiment), 23);
}

#[test]
fn each_layer_costs_and_keeps_what_its_own_mixer_does() {
    let model = |keys: Value| with(json!({"model": keys})).unwrap();
    let full = model(json!({"layers": 4}));
    let sliding = model(json!({"layers": 4, "mixer": {"kind": "sliding", "window": 5}}));
    let hybrid = model(json!({
        "layers": 4,
        "pattern": ["sliding", "sliding", "attention"],
        "layer": {"sliding": {"mixer": {"window": 5}}},
    }));
    // Layers 0, 1 and 3 are windows.
    let mixed = |of: &dyn Fn(&Prepared) -> u64| {
        assert_eq!(4 * of(&hybrid), of(&full) + 3 * of(&sliding));
        assert!(of(&sliding) < of(&full));
    };
    mixed(&|p| p.experiment.model.work(Span::window(24)).forward);
    mixed(&|p| p.experiment.model.work(Span::window(24)).backward);
    mixed(&|p| p.experiment.model.work(Span::token_after(20)).forward);
    mixed(&|p| p.experiment.model.state_scalars(24));
    mixed(&|p| p.cost.kv_bytes_per_token);
    mixed(&|p| p.cost.cache_bytes_per_window.unwrap());
    assert_eq!(
        sliding.cost.kv_bytes_per_token, 0,
        "a window keeps no more of more tokens"
    );
    // Pairs of a window of 24: 24 * 25 / 2 in full; 1 + 2 + 3 + 4 + 20 * 5 of five.
    let (pairs, of_five) = (300, 110);
    let saved = full.cost.train_flops_per_sequence - sliding.cost.train_flops_per_sequence;
    assert_eq!(saved, 4 * 7 * 2 * 16 * (pairs - of_five));
}

#[test]
fn a_layer_has_what_the_nearest_table_says() {
    let keys = json!({"model": {
        "layers": 4,
        "ffn": {"kind": "gelu", "ratio": 2},
        "pattern": ["sliding", "plain"],
        "layer": {
            "plain": {"ffn": {"kind": "swiglu"}, "norm": {"kind": "rmsnorm"}},
            "3": {"ffn": {"ratio": 1}},
            "0": {"ffn": {"ratio": 3}, "mixer": {"window": 2}},
        },
    }});
    let prepared = with(keys).unwrap();
    let shape = |name: &str| {
        let decls = prepared.experiment.model.decls();
        decls
            .iter()
            .find(|decl| decl.name == name)
            .map(|decl| decl.shape.clone())
    };
    assert_eq!(shape("blocks.00.ffn.up"), Some(vec![48, 16]));
    assert_eq!(shape("blocks.01.ffn.gate_up"), Some(vec![2 * 48, 16]));
    assert_eq!(shape("blocks.02.ffn.up"), Some(vec![32, 16]));
    assert_eq!(shape("blocks.03.ffn.gate_up"), Some(vec![2 * 16, 16]));
    assert_eq!(shape("blocks.00.ffn_norm.bias"), Some(vec![16]));
    assert_eq!(shape("blocks.01.ffn_norm.bias"), None, "an RMSNorm");
    assert_eq!(shape("final_norm.bias"), Some(vec![16]), "of no layer");
    // What was read and what was not said: in the place where the next reading finds it.
    let at = |key: &str| prepared.spec.pointer(key).cloned();
    assert_eq!(at("/model/layer/0/mixer/window"), Some(json!(2)));
    assert_eq!(
        at("/model/mixer"),
        Some(json!({"kind": "attention", "window": 6})),
        "windows are a kind of attention"
    );
    let again = Tree::from_json(&prepared.spec, &Origin::named("settled spec")).unwrap();
    let again = settle(&Registry::builtin(), &again).unwrap();
    assert_eq!(again.spec, prepared.spec);
    // A variant without any of it is as silent as before.
    let plain = with(json!({})).unwrap().spec;
    let model = plain["model"].as_object().unwrap();
    assert!(
        ["pattern", "layer", "linear"]
            .iter()
            .all(|key| !model.contains_key(*key))
    );
}

#[test]
fn a_pattern_that_means_nothing_is_refused() {
    let check = |keys: Value, want: &str| {
        let message = with(json!({"model": keys})).err().unwrap().to_string();
        assert!(message.contains(want), "{message}\nhas no\n{want}");
    };
    check(
        json!({"layers": 2, "pattern": ["slidng", "attention"]}),
        "`slidng` is no mixer",
    );
    check(
        json!({"layers": 2, "pattern": ["slidng", "attention"]}),
        "did you mean `sliding`?",
    );
    check(json!({"layers": 2, "pattern": ["0"]}), "`0` is no mixer");
    check(
        json!({"layers": 2, "pattern": ["sliding", "sliding", "attention"]}),
        "3 words, of which 2 layers take the first",
    );
    check(
        json!({"layers": 2, "pattern": []}),
        "expected a list of strings",
    );
    check(
        json!({"layers": 2, "pattern": [1]}),
        "expected a list of strings",
    );
    check(
        json!({"layers": 2, "layer": {"2": {"ffn": {"kind": "relu"}}}}),
        "unknown key `model.layer.2.ffn.kind`",
    );
    check(
        json!({"layers": 2, "layer": {"1": {"ffn": {"kind": "rlu"}}}}),
        "did you mean `relu`?",
    );
}

#[test]
fn changes_of_attention_are_of_every_layer_that_has_it() {
    let gains = |variant: &str| {
        let sets = json!({"model": {"width": 16, "heads": 2, "layers": 2}});
        let prepared = prepared(variant, sets);
        let decls = prepared.experiment.model.decls().to_vec();
        let names = decls.into_iter().map(|decl| decl.name);
        names.filter(|name| name.ends_with("_gain")).count()
    };
    assert_eq!(gains("gpt2+qknorm"), 4);
    assert_eq!(gains("gpt2+hybrid+qknorm"), 4);
}

/// What the paper's 130M model holds (arXiv 2405.21060): 24 layers of width 768, 50288 tied rows, a norm before each layer and one at the
/// end. Its layers have no feed-forward part, which ours keep.
#[test]
fn mamba2_has_the_parameters_of_the_published_model() {
    let model = json!({
        "width": 768, "layers": 24, "heads": 12, "bias": false,
        "mixer": {"kind": "mamba2", "state": 128, "head_width": 64},
    });
    let parts = with(json!({"model": model})).unwrap().experiment.model;
    let of_mixers = parts.params_by_part()[&Part::Mixer];
    assert_eq!(of_mixers + 50_288 * 768 + 25 * 768, 128_989_632);
}

/// Decoding keeps as much after one token as after all, and costs as much.
#[test]
fn a_state_neither_grows_nor_slows() {
    for kind in ["linear", "mamba2", "gated-deltanet"] {
        let prepared = with(json!({"model": {"mixer": {"kind": kind}}})).unwrap();
        let model = &prepared.experiment.model;
        assert_eq!(model.state_scalars(1), model.state_scalars(24), "{kind}");
        let [early, late] = [1, 23].map(|seen| model.work(Span::token_after(seen)));
        assert_eq!(early, late, "{kind}");
        // Two layers of two heads; of Gated DeltaNet keys of 6 and values of 12, and three tokens of 48 channels.
        if kind == "gated-deltanet" {
            assert_eq!(model.state_scalars(1), 2 * (2 * 6 * 12 + 3 * 48));
        }
    }
}
