//! Serving behind tokens that are in the cache already.

use super::*;
use crate::infer::Generator;
use crate::record::metric as name;

fn settled(variant: &str, extra: Value) -> Result<Prepared> {
    let sets = json!({
        "model": {"width": 24, "heads": 3, "layers": 2, "context": 12},
        "train": {"batch": 2, "steps": 2},
        "data": {"kind": "markov", "states": 11, "validation_tokens": 48},
        "measure": {"window_s": 0.01},
    });
    let mut tree = Library::builtin().variant(variant).unwrap().tree;
    for layer in [sets, extra] {
        tree.overlay(&Tree::from_json(&layer, &Origin::named("test")).unwrap());
    }
    settle(&Registry::builtin(), &tree)
}

/// Every mixer's cache goes on from a copy, however long, without a trace of what another did with it.
#[test]
fn a_copied_cache_is_one_of_its_own() {
    let variants = [
        "llama",
        "llama+window",
        "llama+mla",
        "llama+differential",
        "llama+gla",
        "llama+mamba2",
        "llama+gdn",
        "transformer-2017",
        "lstm",
    ];
    for variant in variants {
        let experiment = settled(variant, json!({})).unwrap().experiment;
        let (model, ops) = (&experiment.model, experiment.ops);
        let weights = model.start(1, &Device::Cpu).unwrap().detached();
        let begun = |cache| Generator::new(model, &weights, ops, &Device::Cpu, 2).with(cache);
        let mut first = begun(model.cache(2, 40));
        let tokens: Vec<u32> = (0..80).map(|k| k * k % 11).collect();
        first.feed(&tokens[..36]).unwrap();
        let copy = first.cache().copied().unwrap();
        let mut other = begun(copy.copied().unwrap());
        other.feed(&[3; 20]).unwrap();
        let mut second = begun(copy);
        for from in (36..56).step_by(2) {
            let next = &tokens[from..from + 2];
            let (a, b) = (first.feed(next).unwrap(), second.feed(next).unwrap());
            assert_eq!(values(&a), values(&b), "{variant} after {from}");
        }
        assert_eq!(second.cache().seen(), 28);
    }
}

/// A cache longer than the windows of training holds what a model of longer windows would.
#[test]
fn a_cache_may_be_longer_than_the_context() {
    for variant in ["llama", "llama+mla", "transformer-2017"] {
        let of = |context: usize| {
            let sets = json!({"model": {"context": context}});
            settled(variant, sets).unwrap().experiment
        };
        let (short, long) = (of(12), of(64));
        let tokens: Vec<u32> = (0..40).map(|k| k * k % 11).collect();
        let decoded = |experiment: &Experiment| -> Vec<f32> {
            let model = &experiment.model;
            let weights = model.start(1, &Device::Cpu).unwrap().detached();
            let generator = Generator::new(model, &weights, experiment.ops, &Device::Cpu, 1);
            let mut generator = generator.with(model.cache(1, 40));
            generator.feed(&tokens[..30]).unwrap();
            let rest = tokens[30..].iter();
            rest.flat_map(|token| values(&generator.feed(&[*token]).unwrap()))
                .collect()
        };
        assert_eq!(decoded(&short), decoded(&long), "{variant}");
    }
}

#[test]
fn a_trial_serves_at_depth() {
    let extra = json!({"infer": {"depth": 30, "prompt": 6, "generate": 4, "batch": 3}});
    let prepared = settled("llama", extra).unwrap();
    let trial = run(&Registry::builtin(), &job(&prepared), &mut |_| {}).unwrap();
    let value = |name: &str| trial.metrics[name].value.unwrap();
    // Keys and values of 24 channels in two layers, f32, of three windows: 38 tokens when half is generated.
    let expected = 4 * 2 * 24 * 2 * 3 * (30 + 6 + 2);
    assert_eq!(value(name::CACHE_READ_BYTES), f64::from(expected));
    let rates = &trial.metrics[name::DECODE_TOKENS_PER_S].samples;
    let mut seconds: Vec<f64> = rates.iter().map(|rate| 3.0 / rate).collect();
    seconds.sort_by(f64::total_cmp);
    let bytes = value(name::CACHE_READ_BYTES) + value(name::WEIGHTS_READ_BYTES);
    let share = value(name::MBU) * 1e10 / bytes;
    assert!(seconds[0] <= 1.0 / share && 1.0 / share <= seconds[seconds.len() - 1]);
    assert_eq!(trial.spec["infer"]["depth"], 30);
    let without = settled("llama", json!({})).unwrap();
    assert!(without.spec["infer"].get("depth").is_none());
}

#[test]
fn places_that_no_table_has_are_refused() {
    let extra = json!({"infer": {"depth": 30, "prompt": 6, "generate": 4}});
    let refused = settled("gpt2", extra).err().unwrap().to_string();
    assert!(
        refused.contains("it does not fit the 12 places that the model can number"),
        "{refused}"
    );
    let fits = json!({"infer": {"depth": 2, "prompt": 6, "generate": 4}});
    assert!(settled("gpt2", fits).is_ok());
}
