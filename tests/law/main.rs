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

use effbench::config::{Library, Origin};
use effbench::law::{self, Broken};
use effbench::trial::Registry;
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

#[test]
fn variants() {
    let registry = Registry::builtin();
    let variants = Library::builtin().compositions().unwrap();
    assert!(variants.len() >= 7);
    for variant in variants {
        assert_eq!(
            law::variant(&registry, &variant.tree),
            [],
            "{}",
            variant.name
        );
    }
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
