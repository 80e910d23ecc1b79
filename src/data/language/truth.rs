//! Known truth about the language: a second reader, written from the grammar's table alone (nondeterministic: it tries every
//! rule and keeps every reading), against the oracle and the generator.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Value, json};

use super::grammar::{Rule, Symbol};
use super::walk::{LABELS, Walk};
use super::{KNOBS, Language, read};
use crate::config::{Origin, Section, Spec, Tree, settle};
use crate::data::generated::{Generated, Process};
use crate::data::testing::{refusal, source};
use crate::data::{Batch, Source};

const DATA: Section = Section {
    path: "data",
    knobs: KNOBS,
};

fn language(knobs: &Value) -> Generated<Language> {
    let tree = Tree::from_json(&json!({ "data": knobs }), &Origin::named("test")).unwrap();
    let read = |spec: &Spec| read(&spec.at(&DATA));
    let ((process, validation_tokens), _) = settle(&tree, Vec::new, read).unwrap();
    Generated {
        process,
        validation_tokens,
    }
}

/// Small languages in which everything happens within a few tokens.
fn small() -> [Value; 3] {
    let base = json!({"categories": 3, "rules": 3, "vocab": 11, "names": 2, "features": 2, "depth": 2, "fill": 1,
        "name_share": 0.5, "agreement": 0.7});
    let with = |change: Value| {
        let mut knobs = base.clone();
        change
            .as_object()
            .unwrap()
            .iter()
            .for_each(|(key, value)| knobs[key.as_str()] = value.clone());
        knobs
    };
    [
        base.clone(),
        with(
            json!({"grammar_seed": 7, "theta": 3.0, "discount": 0.0, "zipf": 2.0, "offspring": 1.4}),
        ),
        with(
            json!({"grammar_seed": 6, "vocab": 9, "depth": 1, "fill": 2, "agreement": 1.0, "zipf": 0.0}),
        ),
    ]
}

/// A place that is still to be filled: its symbol, the depth it lies at, and the rule instance it belongs to.
type Place = (Symbol, u32, usize);

/// One way to read the tokens so far.
#[derive(Clone, Default)]
struct Reading {
    /// The next place last.
    open: Vec<Place>,
    /// What each rule instance chose.
    features: Vec<u32>,
    names: Vec<u32>,
    nats: f64,
}

/// All ways to go on by one token, with each token's probability.
fn steps(language: &Language, zipf: f64, reading: &Reading) -> Vec<(u32, f64, Reading)> {
    let grammar = &language.grammar;
    let mut next = reading.clone();
    let Some((symbol, depth, owner)) = next.open.pop() else {
        next.open.push((Symbol::Category(0), 0, 0));
        next.features.push(0);
        return vec![(0, 1.0, next)];
    };
    match symbol {
        Symbol::Terminal(token) => vec![(token, 1.0, next)],
        Symbol::Copy => vec![(next.features[owner], 1.0, next)],
        Symbol::Choice => grammar
            .features
            .clone()
            .map(|token| {
                let mut next = next.clone();
                next.features[owner] = token;
                (token, 1.0 / grammar.features.len() as f64, next)
            })
            .collect(),
        Symbol::Name => grammar
            .names
            .clone()
            .map(|token| {
                let mut next = next.clone();
                let p = name_probability(language, &next.names, token);
                next.names.push(token);
                (token, p, next)
            })
            .collect(),
        Symbol::Category(category) => {
            let (per, category) = (grammar.rules_per_category, category as usize);
            let body = |rule: &Rule| {
                grammar.symbols[rule.body.start as usize..rule.body.end as usize].to_vec()
            };
            let allowed = |rule: &Rule| {
                depth < grammar.depth
                    || !body(rule).iter().any(|s| matches!(s, Symbol::Category(_)))
            };
            let rules: Vec<(f64, &Rule)> = grammar.rules[category * per..(category + 1) * per]
                .iter()
                .enumerate()
                .filter(|(_, rule)| allowed(rule))
                .map(|(rank, rule)| (((rank + 1) as f64).powf(-zipf), rule))
                .collect();
            let total: f64 = rules.iter().map(|(weight, _)| weight).sum();
            rules
                .into_iter()
                .map(|(weight, rule)| {
                    let mut next = next.clone();
                    let owner = next.features.len();
                    next.features.push(0);
                    next.open.extend(
                        body(rule)
                            .into_iter()
                            .rev()
                            .map(|symbol| (symbol, depth + 1, owner)),
                    );
                    (rule.opener, weight / total, next)
                })
                .collect()
        }
    }
}

/// Pitman-Yor, from the definition; what is left of it when there is no fresh name.
fn name_probability(language: &Language, names: &[u32], token: u32) -> f64 {
    let (theta, d) = (language.habit.theta, language.habit.discount);
    let distinct = names.iter().collect::<HashSet<_>>().len() as f64;
    let (n, all) = (names.len() as f64, language.grammar.names.len() as f64);
    let count = names.iter().filter(|&&name| name == token).count() as f64;
    let fresh = if distinct < all {
        (theta + d * distinct) / (n + theta)
    } else {
        0.0
    };
    let seen = if distinct < all {
        1.0
    } else {
        (n + theta) / (n - d * distinct)
    };
    if count > 0.0 {
        seen * (count - d) / (n + theta)
    } else {
        fresh / (all - distinct)
    }
}

#[test]
fn every_document_has_one_reading_and_it_costs_what_the_oracle_says() {
    let check = |knobs: Value, zipf: f64, documents: usize, context: usize| {
        let language = language(&knobs);
        let batch = language.train(1, 0, documents, context);
        let oracle = language.oracle(&batch);
        for ((inputs, targets), nats) in batch
            .inputs
            .chunks(context)
            .zip(batch.targets.chunks(context))
            .zip(oracle.nats.chunks(context))
        {
            let mut readings = vec![Reading::default()];
            let document: Vec<u32> = [&inputs[..1], targets].concat();
            assert_eq!(document[..context], *inputs, "a target is the next input");
            for &token in &document {
                let all = readings.iter().flat_map(|reading| {
                    steps(&language.process, zipf, reading)
                        .into_iter()
                        .map(|(t, p, mut next)| {
                            next.nats = reading.nats - p.ln();
                            (t, next)
                        })
                });
                readings = all
                    .filter(|(t, _)| *t == token)
                    .map(|(_, next)| next)
                    .collect();
            }
            assert_eq!(readings.len(), 1, "{document:?}");
            let total: f64 = nats.iter().sum();
            assert!(
                (readings[0].nats - total).abs() < 1e-9,
                "{total} against {}",
                readings[0].nats
            );
        }
    };
    check(json!({}), 1.0, 1000, 64);
    check(
        json!({"preset": "rich", "rules": 40, "zipf": 1.3}),
        1.3,
        100,
        128,
    );
    for (knobs, zipf) in small().into_iter().zip([1.0, 2.0, 0.0]) {
        check(knobs, zipf, 300, 64);
    }
}

#[test]
fn brute_force_enumeration_agrees_with_the_oracle() {
    const TOKENS: usize = 11;
    for (knobs, zipf) in small().into_iter().zip([1.0, 2.0, 0.0]) {
        let language = language(&knobs).process;
        // The mass of every string: the sum over all its readings.
        let mut mass: BTreeMap<Vec<u32>, f64> = BTreeMap::new();
        let mut front = vec![(Vec::new(), 1.0, Reading::default())];
        for _ in 0..TOKENS {
            front = front
                .iter()
                .flat_map(|(string, p, reading)| {
                    steps(&language, zipf, reading)
                        .into_iter()
                        .map(move |(token, q, next)| {
                            ([string.as_slice(), &[token]].concat(), p * q, next)
                        })
                })
                .collect();
            front
                .iter()
                .for_each(|(string, p, _)| *mass.entry(string.clone()).or_default() += p);
        }
        let whole: f64 = mass
            .iter()
            .filter(|(string, _)| string.len() == TOKENS)
            .map(|(_, p)| p)
            .sum();
        assert!((whole - 1.0).abs() < 1e-9);
        assert!(mass.len() > 300, "{knobs}: only {} strings", mass.len());
        let mut labels = HashSet::new();
        for (prefix, p) in mass.iter().filter(|(string, _)| string.len() < TOKENS) {
            let mut walk = language.state();
            walk.restart();
            prefix[1..].iter().for_each(|&token| walk.take(token));
            labels.insert(LABELS[walk.label() as usize]);
            for token in 0..language.vocab() as u32 {
                let joint = mass
                    .get(&[prefix.as_slice(), &[token]].concat())
                    .copied()
                    .unwrap_or(0.0);
                let said = (-walk.nats(token)).exp();
                assert!(
                    (said - joint / p).abs() < 1e-9,
                    "{prefix:?}, then {token}: {said} against {}",
                    joint / p
                );
            }
        }
        for label in [
            "rule depth 0",
            "rule depth 1",
            "forced",
            "feature",
            "agreement",
            "name",
        ] {
            assert!(
                labels.contains(label),
                "{knobs}: nothing is labelled `{label}`"
            );
        }
    }
}

/// Walks through documents, calling `visit` before each target with the walk and the target.
fn visit(language: &Generated<Language>, batch: &Batch, mut visit: impl FnMut(&Walk, u32)) {
    let mut walk = language.process.state();
    for targets in batch.targets.chunks(batch.context) {
        walk.restart();
        for &target in targets {
            visit(&walk, target);
            walk.take(target);
        }
    }
}

#[test]
fn probabilities_sum_to_one_at_every_prefix_and_draws_follow_them() {
    let check = |knobs: Value, documents: usize| {
        let language = language(&knobs);
        let vocab = language.vocab() as u32;
        let batch = language.train(5, 0, documents, 64);
        // What a drawn token costs, less what it must cost in the mean: a martingale, by label.
        let mut sums = [[0.0; 3]; LABELS.len()];
        visit(&language, &batch, |walk, target| {
            let nats: Vec<f64> = (0..vocab).map(|token| walk.nats(token)).collect();
            let total: f64 = nats.iter().map(|n| (-n).exp()).sum();
            assert!(
                (total - 1.0).abs() < 1e-9,
                "{total} after {:?}",
                walk.slot()
            );
            let mean: f64 = nats
                .iter()
                .filter(|n| n.is_finite())
                .map(|n| n * (-n).exp())
                .sum();
            let square: f64 = nats
                .iter()
                .filter(|n| n.is_finite())
                .map(|n| n * n * (-n).exp())
                .sum();
            let [count, sum, variance] = &mut sums[walk.label() as usize];
            *count += 1.0;
            *sum += nats[target as usize] - mean;
            *variance += square - mean * mean;
        });
        for (label, [count, sum, variance]) in LABELS.iter().zip(sums) {
            assert!(count > 0.0, "{knobs}: no token is labelled `{label}`");
            assert!(
                sum.abs() <= 4.5 * variance.sqrt() + 1e-6,
                "{knobs}: {label}: {sum} of {variance}"
            );
        }
        let costly: Vec<&str> = LABELS
            .iter()
            .zip(sums)
            .filter(|(_, s)| s[2] > 0.0)
            .map(|(label, _)| *label)
            .collect();
        assert!(
            !costly.contains(&"forced") && !costly.contains(&"agreement"),
            "{costly:?}"
        );
    };
    check(json!({}), 1000);
    check(json!({"preset": "rich"}), 300);
    check(
        json!({"categories": 3, "rules": 3, "vocab": 12, "names": 3, "features": 2, "fill": 1, "name_share": 0.5}),
        1000,
    );
}

#[test]
fn labels_and_probabilities_are_functions_of_the_prefix() {
    let language = language(&small()[0]);
    let batch = language.train(0, 0, 3000, 16);
    let oracle = language.oracle(&batch);
    let mut known: BTreeMap<&[u32], u8> = BTreeMap::new();
    let mut met_again = 0;
    for (window, labels) in batch.inputs.chunks(16).zip(oracle.labels.chunks(16)) {
        for (at, &label) in labels.iter().enumerate() {
            let before = known.insert(&window[..=at], label);
            met_again += usize::from(before.is_some());
            assert!(
                before.is_none_or(|before| before == label),
                "{:?}",
                &window[..=at]
            );
        }
    }
    assert!(met_again > 10_000, "{met_again}");
}

#[test]
fn a_batch_is_a_function_of_seed_and_step_and_validation_of_neither() {
    let language = language(&json!({"validation_tokens": 6400}));
    let batch = language.train(3, 4, 8, 64);
    assert_eq!(batch, language.train(3, 4, 8, 64));
    assert!(
        batch
            .inputs
            .iter()
            .chain(&batch.targets)
            .all(|&token| (token as usize) < language.vocab())
    );
    // The same documents in the same order whatever the batch size, and longer windows only go on.
    assert_eq!(
        language.train(3, 2, 16, 64).inputs[..8 * 64],
        batch.inputs[..]
    );
    let longer = language.train(3, 4, 8, 96);
    assert!(
        batch
            .inputs
            .chunks(64)
            .zip(longer.inputs.chunks(96))
            .all(|(short, long)| *short == long[..64])
    );
    // No document comes twice: not in other steps, not in other seeds, not in validation.
    let mut seen: HashSet<Vec<u32>> = HashSet::new();
    let mut fresh = |batch: &Batch| {
        batch
            .inputs
            .chunks(64)
            .all(|window| seen.insert(window.to_vec()))
    };
    let validation = language.validation(7, 64).unwrap();
    assert_eq!(validation.iter().map(|v| v.batch.rows).sum::<usize>(), 100);
    assert!(validation.iter().all(|v| fresh(&v.batch)));
    assert!((0..50).all(|step| (0..4).all(|seed| fresh(&language.train(seed, step, 100, 64)))));
    let whole = language.validation(100, 64).unwrap();
    let inputs: Vec<u32> = validation
        .iter()
        .flat_map(|v| v.batch.inputs.clone())
        .collect();
    assert_eq!(whole[0].batch.inputs, inputs);
}

#[test]
fn presets_are_defaults_and_impossible_knobs_are_refused() {
    let easy = source(json!({"kind": "language"}), 64).unwrap();
    let rich = source(json!({"kind": "language", "preset": "rich"}), 64).unwrap();
    assert_eq!((easy.vocab(), rich.vocab()), (128, 512));
    assert_eq!(easy.labels(), LABELS);
    let check = |knobs: Value, want: &str| {
        let found = refusal(knobs, 64);
        assert!(found.contains(want), "{found}");
    };
    check(json!({"preset": "eazy"}), "did you mean `easy`?");
    check(
        json!({"vocab": 20}),
        "data.vocab = 20: a separator, 16 names, 4 features and 12 rules",
    );
    check(
        json!({"names": 0}),
        "data.names = 0: name slots need at least one name",
    );
    check(
        json!({"features": 1}),
        "data.features = 1: agreement needs at least 2",
    );
    check(
        json!({"discount": 1.0}),
        "data.discount = 1.0: expected a number from 0 to 0.95",
    );
    check(
        json!({"offspring": 2}),
        "data.offspring = 2: expected a number from 0 to 1.5",
    );
    check(
        json!({"rules": 1}),
        "data.rules = 1: a category needs at least 2",
    );
    check(
        json!({"categories": 2_000_000}),
        "data.categories = 2000000: with so many rules and tokens",
    );
}
