//! Every row of every catalog, and every variant and change that ships, obeys the law; and faulty kinds are caught, each by the rule that is
//! for its fault.
#![cfg(feature = "run")]

mod ops;
mod optimizers;
#[path = "../../examples/own_mixer.rs"]
#[allow(dead_code)] // its `main`
mod own_mixer;
mod parts;
mod sources;

use effbench::config::{Library, Origin, Tree, Variant};
use effbench::law::{self, Broken};
use effbench::trial::{Registry, settle};
use serde_json::json;

/// Holds a law over every row of a catalog.
macro_rules! every_row {
    ($($test:ident: $law:path, $($catalog:ident).+;)*) => {$(
        #[test]
        fn $test() {
            let registry = Registry::builtin();
            let names: Vec<&str> = registry.$($catalog).+.iter().map(|row| row.name()).collect();
            assert!(!names.is_empty());
            for name in names {
                assert_eq!($law(&registry, name), [], "{name}");
            }
        }
    )*};
}

every_row! {
    mixers: law::mixer, slots.mixers;
    feed_forward_layers: law::feed_forward, slots.ffns;
    norms: law::norm, slots.norms;
    positions: law::position, slots.positions;
    streams: law::stream, slots.streams;
    linears: law::linear, slots.linears;
    losses: law::loss, slots.losses;
    optimizers_in_the_catalog: law::optimizer, optimizers;
    schedules: law::schedule, schedules;
    sources_in_the_catalog: law::source, sources;
    meters: law::meter, meters;
}

/// Every variant that ships, and each change over the first that it changes.
fn part_of_variants(part: usize) {
    let registry = Registry::builtin();
    let variants = Library::builtin().compositions().unwrap();
    assert!(variants.len() >= 60);
    let (own, of_kinds): (Vec<&Variant>, Vec<&Variant>) = variants
        .iter()
        .partition(|variant| is_more_than_a_kind(variant));
    for variant in own.iter().skip(part).step_by(PARTS) {
        let broken = law::variant(&registry, &variant.tree);
        assert_eq!(broken, [], "{}", variant.name);
    }
    for variant in of_kinds.iter().skip(part).step_by(PARTS) {
        let settled = settle(&registry, &variant.tree);
        assert!(settled.is_ok(), "{}: {:?}", variant.name, settled.err());
    }
}

/// Whether a change says more than which kind one part is, how wide its layer, or how the optimizer, its schedule or a loss is set:
/// each kind has obeyed its own law already. Two kinds together, such as a mixer without positions, are more.
fn is_more_than_a_kind(variant: &Variant) -> bool {
    let is_kind = |key: &str| {
        key.starts_with("model.") && (key.ends_with(".kind") || key == "model.norm.place")
    };
    let is_setting = |key: &str| {
        key == "model.ffn.ratio"
            || ["train.optimizer.", "train.schedule.", "train.loss."]
                .iter()
                .any(|table| key.starts_with(table))
    };
    let keys = || variant.own.iter().map(|(key, _)| key);
    !variant.name.contains('+')
        || keys().any(|key| !is_kind(key) && !is_setting(key))
        || keys().filter(|key| is_kind(key)).count() > 1
}

/// They are tried side by side.
const PARTS: usize = 4;

#[test]
fn variants_0() {
    part_of_variants(0);
}

#[test]
fn variants_1() {
    part_of_variants(1);
}

#[test]
fn variants_2() {
    part_of_variants(2);
}

#[test]
fn variants_3() {
    part_of_variants(3);
}

/// Parts that do not train: neither work nor state is claimed for them, and they stay.
#[test]
fn frozen_parts() {
    let registry = Registry::builtin();
    let frozen = [
        vec!["embedding"],
        vec!["embedding", "blocks.00"],
        vec!["blocks.*.*.*_bias", "blocks.01.mixer", "final_norm"],
        vec![
            "blocks.*.mixer.qkv",
            "blocks.*.*_norm",
            "embedding.position",
        ],
    ];
    for names in frozen {
        let mut tree = Library::builtin().variant("gpt2").unwrap().tree;
        let origin = Origin::named("test");
        tree.set("train.freeze", json!(names), origin.clone());
        // What the token table has not learnt, the rest can.
        tree.set("model.head.tied", json!(false), origin);
        assert_eq!(law::variant(&registry, &tree), [], "{names:?}");
    }
}

/// Parts as they are when their keys say something else than by default.
#[test]
fn choices() {
    let registry = Registry::builtin();
    let models = [
        json!({"mixer": {"kind": "attention", "gate": "head", "sink": true, "qk_norm": true}}),
        json!({"mixer": {"kind": "mla", "query_latent": 5, "latent": 7}}),
        json!({"x0": true, "mixer": {"value_embedding": true, "gate": "head"}}),
        // Where rotations do not say where in the text a window lies.
        json!({"position": {"kind": "learned"}, "mixer": {"kind": "mla", "rotary": 0}}),
        json!({"position": {"kind": "learned"}, "mixer": {
            "kind": "sliding", "window": 3, "gate": "elementwise", "sink": true,
        }}),
    ];
    for model in models {
        let mut tree = Library::builtin().variant("llama").unwrap().tree;
        let keys = json!({"model": model});
        tree.overlay(&Tree::from_json(&keys, &Origin::named("test")).unwrap());
        let mut broken = law::variant(&registry, &tree);
        // Keys of another scaling are read where that is chosen, which the law of positions tries.
        broken.retain(|found| !found.to_string().contains("model.position.scaling_"));
        assert_eq!(broken, [], "{keys}");
    }
}

/// What models that exist are made of, beside what others are.
#[test]
fn choices_of_checkpoints() {
    let registry = Registry::builtin();
    let models = [
        json!({"head_width": 6, "embedding_scale": 3.0, "mixer": {
            "kind": "attention", "qkv_bias": true, "theta": 50.0, "score_scale": 0.3,
        }}),
        json!({"norm": {"place": "reordered"}, "ffn": {"kind": "geglu", "hidden": 13}, "mixer": {
            "kind": "attention", "qk_norm": true, "qk_norm_over": "projection",
        }}),
        json!({"position": {
            "kind": "rope", "scaling": "llama3", "scaling_context": 9, "theta": 20.0,
        }}),
        json!({"ffn": {"kind": "gelu", "ratio": 1.0, "hidden": 13}, "position": {
            "kind": "rope", "scaling": "linear", "scaling_factor": 2.5,
        }}),
    ];
    for model in models {
        let mut tree = Library::builtin().variant("llama").unwrap().tree;
        let keys = json!({"model": model});
        tree.overlay(&Tree::from_json(&keys, &Origin::named("test")).unwrap());
        let mut broken = law::variant(&registry, &tree);
        // Keys of another scaling are read where that is chosen, which the law of positions tries.
        broken.retain(|found| !found.to_string().contains("model.position.scaling_"));
        assert_eq!(broken, [], "{keys}");
    }
}

#[test]
fn a_kind_that_is_not_there_is_a_broken_law() {
    let rules = rules(&law::mixer(&Registry::builtin(), "nothing"));
    assert_eq!(rules[0], "a row has a name and a sentence");
}

/// The rules that were broken.
fn rules(broken: &[Broken]) -> Vec<&'static str> {
    broken.iter().map(|broken| broken.rule).collect()
}

/// Whether exactly these rules caught a fault.
fn caught(fault: &str, broken: &[Broken], by: &[&str]) {
    let said: Vec<String> = broken.iter().map(ToString::to_string).collect();
    assert_eq!(rules(broken), by, "{fault}:\n{}", said.join("\n"));
}
