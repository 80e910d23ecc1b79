//! Data sources: batches that seeds make, parts that never meet, and an oracle that is a probability and nobody's lesser.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::keys::every_key_is_read;
use super::learning::settles_to_itself;
use super::recipe::{Recipe, of_settled};
use super::rule::{Outcome, Rule, broken, expect, is_listed};
use crate::config::Broken;
use crate::data::{Batch, HeldOut, IGNORE, Source, Validation};
use crate::error::{Error, Result};
use crate::stream::stream;
use crate::trial::Registry;

/// The rules that the data source of that name breaks. One that settles from no knobs but asks for `data.path` gets a text.
pub fn source(registry: &Registry, name: &str) -> Vec<Broken> {
    let plain = json!({"kind": name});
    let asks_for_a_path = |error: Error| error.message.contains("data.path");
    let settled = Recipe::of(registry, &json!({"data": plain})).settled(&json!({}));
    if !settled.err().is_some_and(asks_for_a_path) {
        return source_with(registry, name, &plain);
    }
    let written = tempfile::tempdir().map_err(|error| Error::internal(error.to_string()));
    let with_text = written.and_then(|folder| {
        let path = folder.path().join("text.txt");
        std::fs::write(&path, text()).map_err(|error| Error::internal(error.to_string()))?;
        Ok(source_with(registry, name, &of_file(name, &path)))
    });
    with_text.unwrap_or_else(|error| {
        vec![Broken {
            rule: "defaults settle to themselves",
            expected: "a file for a text".to_owned(),
            found: error.to_string(),
        }]
    })
}

fn of_file(name: &str, path: &Path) -> Value {
    json!({"kind": name, "path": path})
}

/// Words in which nothing repeats for long.
fn text() -> String {
    let mut stream = stream("law/text", 0, 0);
    let letters = (0..40_000).map(|_| match stream.below(32) {
        letter @ 0..26 => char::from(b'a' + letter as u8),
        31 => '\n',
        _ => ' ',
    });
    letters.collect()
}

/// The same with knobs of its own below `data`.
pub fn source_with(registry: &Registry, name: &str, knobs: &Value) -> Vec<Broken> {
    let mut given = knobs.clone();
    given["kind"] = json!(name);
    let recipe = Recipe::of(
        registry,
        &json!({"data": given, "model": {"context": CONTEXT}}),
    );
    let mut found = is_listed(&registry.sources, name);
    found.extend(broken(&SETTLES, &recipe));
    found.extend(of_settled(&recipe, |experiment| {
        broken(&RULES, &experiment.source)
    }));
    found
}

type Held = Arc<dyn Source>;

const SETTLES: [Rule<Recipe>; 2] = [
    ("defaults settle to themselves", settles_to_itself),
    ("every declared key is read", every_key_is_read),
];

const RULES: [Rule<Held>; 6] = [
    ("tokens are of the vocabulary", tokens_are_of_the_vocabulary),
    (
        "a batch is a function of seed and step",
        a_batch_is_its_seeds,
    ),
    ("what is trained on judges nothing", parts_never_meet),
    ("an oracle is a probability", an_oracle_is_a_probability),
    (
        "an oracle's mean is its entropy",
        an_oracles_mean_is_its_entropy,
    ),
    (
        "no table of pairs beats the oracle",
        no_table_beats_the_oracle,
    ),
];

const CONTEXT: usize = 64;
const ROWS: usize = 8;

/// Standard errors that a mean may be off by: one in 16,000 draws is further.
const MOST_ERRORS: f64 = 4.0;

/// Token ids beyond which probabilities are not added up.
const MOST_IDS: usize = 4096;

fn held_out(source: &Held, part: HeldOut) -> Result<Vec<Validation>> {
    source.held_out(part, ROWS, CONTEXT)
}

fn tokens_are_of_the_vocabulary(source: &Held) -> Outcome {
    let vocab = source.vocab() as u32;
    let parts = held_out(source, HeldOut::All)?.into_iter().map(|v| v.batch);
    for batch in parts.chain([source.train(1, 0, ROWS, CONTEXT)]) {
        let tokens = batch.rows * CONTEXT;
        expect(
            batch.context == CONTEXT
                && batch.inputs.len() == tokens
                && batch.targets.len() == tokens,
            format!("{tokens} inputs and targets"),
            format!("{} and {}", batch.inputs.len(), batch.targets.len()),
        )?;
        let asked = batch.targets.iter().filter(|&&target| target != IGNORE);
        let most = batch.inputs.iter().chain(asked).max().copied().unwrap_or(0);
        expect(
            most < vocab && batch.targets_known() > 0,
            format!("targets, and tokens below {vocab}"),
            format!("{} targets, and token {most}", batch.targets_known()),
        )?;
    }
    Ok(())
}

fn a_batch_is_its_seeds(source: &Held) -> Outcome {
    let batch = |seed: u64, step: u64| source.train(seed, step, ROWS, CONTEXT);
    let first = batch(1, 3);
    for (holds, expected, found) in [
        (batch(1, 3) == first, "the same batch again", "another"),
        (
            batch(1, 4) != first,
            "another batch at the next step",
            "the same",
        ),
        (
            batch(2, 3) != first,
            "another batch of the next seed",
            "the same",
        ),
        (
            held_out(source, HeldOut::All)? == held_out(source, HeldOut::All)?,
            "the same validation set again",
            "another",
        ),
    ] {
        expect(holds, expected, found)?;
    }
    Ok(())
}

/// What chooses a learning rate has seen nothing of what judges it, and neither is trained on.
fn parts_never_meet(source: &Held) -> Outcome {
    const STEPS: u64 = 40;
    let windows = |batch: &Batch| -> Vec<Vec<u32>> {
        let of_batch = batch
            .inputs
            .chunks(CONTEXT)
            .zip(batch.targets.chunks(CONTEXT));
        of_batch.map(|(i, t)| [i, t].concat()).collect()
    };
    let part = |part| -> Result<Vec<Vec<u32>>> {
        let batches = held_out(source, part)?;
        Ok(batches.iter().flat_map(|v| windows(&v.batch)).collect())
    };
    let (validation, test) = (part(HeldOut::Validation)?, part(HeldOut::Test)?);
    let all = part(HeldOut::All)?;
    expect(
        all == [validation.clone(), test.clone()].concat(),
        "the whole to be the validation part and the test part",
        format!(
            "{} windows and {}, of {} in all",
            validation.len(),
            test.len(),
            all.len()
        ),
    )?;
    expect(
        validation.len().abs_diff(test.len()) <= 1,
        "parts of one size",
        format!("{} windows and {}", validation.len(), test.len()),
    )?;
    let seen: HashSet<&Vec<u32>> = validation.iter().collect();
    let both = test.iter().filter(|window| seen.contains(window)).count();
    expect(
        both == 0,
        "no window in the validation part and the test part",
        format!("{both}"),
    )?;
    let held: HashSet<&Vec<u32>> = all.iter().collect();
    for step in 0..STEPS {
        let trained = windows(&source.train(1, step, ROWS, CONTEXT));
        let met = trained
            .iter()
            .filter(|window| held.contains(window))
            .count();
        expect(
            met == 0,
            "no window in training that judges",
            format!("{met} in batch {step}"),
        )?;
    }
    Ok(())
}

/// Of the first windows of the test part, at some positions that are asked for: a row per token id, each with that token as the
/// target of the last position.
fn alternatives(source: &Held, windows: usize) -> Result<Vec<(u32, Batch)>> {
    const EVERY: usize = 5;
    let vocab = source.vocab();
    let mut found = Vec::new();
    for test in held_out(source, HeldOut::Test)? {
        let rows = test
            .batch
            .inputs
            .chunks(CONTEXT)
            .zip(test.batch.targets.chunks(CONTEXT));
        for (inputs, targets) in rows {
            if found.len() >= windows * CONTEXT.div_ceil(EVERY) {
                return Ok(found);
            }
            let asked = (0..CONTEXT).filter(|&at| targets[at] != IGNORE);
            for at in asked.step_by(EVERY) {
                let mut batch = Batch {
                    rows: vocab,
                    context: at + 1,
                    inputs: inputs[..=at].repeat(vocab),
                    targets: targets[..=at].repeat(vocab),
                };
                let last = batch.targets.iter_mut().skip(at).step_by(at + 1);
                last.zip(0..).for_each(|(target, id)| *target = id);
                found.push((targets[at], batch));
            }
        }
    }
    Ok(found)
}

/// What the oracle says of every token id at the last position of [`alternatives`], and of the one that came, in nats; `None`
/// where the source has no oracle, or more tokens than are worth adding up.
fn predictions(source: &Held, windows: usize) -> Result<Option<Vec<(f64, Vec<f64>)>>> {
    if source.labels().is_empty() || source.vocab() > MOST_IDS {
        return Ok(None);
    }
    let mut all = Vec::new();
    for (target, batch) in alternatives(source, windows)? {
        let Some(oracle) = source.oracle(&batch) else {
            return Err(Error::internal(
                "an oracle of the test part, and none of another batch",
            ));
        };
        let last = oracle.nats.iter().skip(batch.context - 1);
        let nats: Vec<f64> = last.step_by(batch.context).copied().collect();
        all.push((nats[target as usize], nats));
    }
    Ok(Some(all))
}

fn an_oracle_is_a_probability(source: &Held) -> Outcome {
    let labels = source.labels().len();
    for test in held_out(source, HeldOut::Test)? {
        let Some(oracle) = &test.oracle else {
            return expect(labels == 0, "an oracle where there are labels", "none");
        };
        let targets = &test.batch.targets;
        let fits = |(&target, &nats): (&u32, &f64)| match target {
            IGNORE => nats == 0.0,
            _ => nats.is_finite() && nats >= 0.0,
        };
        expect(
            oracle.nats.len() == targets.len() && targets.iter().zip(&oracle.nats).all(fits),
            "finite nats of every target, none of what is ignored",
            "others",
        )?;
        expect(
            oracle.labels.len() == targets.len()
                && oracle
                    .labels
                    .iter()
                    .all(|&label| usize::from(label) < labels),
            format!("a label below {labels} of every target"),
            "others",
        )?;
        let again = source.oracle(&test.batch);
        expect(
            again.as_ref() == Some(oracle),
            "the same of the same batch again",
            "others",
        )?;
    }
    for (_, nats) in predictions(source, 4)?.unwrap_or_default() {
        let sum: f64 = nats.iter().map(|nats| (-nats).exp()).sum();
        expect(
            (sum - 1.0).abs() < 1e-9,
            "the probabilities of all tokens to add up to 1",
            format!("{sum}"),
        )?;
    }
    Ok(())
}

/// Mean and standard error.
fn mean(numbers: &[f64]) -> (f64, f64) {
    let n = numbers.len() as f64;
    let mean = numbers.iter().sum::<f64>() / n;
    let squares = numbers.iter().map(|x| (x - mean).powi(2)).sum::<f64>();
    (mean, (squares / (n - 1.0).max(1.0) / n).sqrt())
}

/// Tokens come as often as the oracle says: what it loses on those that came is, on average, its own entropy.
fn an_oracles_mean_is_its_entropy(source: &Held) -> Outcome {
    let Some(all) = predictions(source, 24)? else {
        return Ok(());
    };
    let entropy = |nats: &[f64]| -> f64 {
        let possible = nats.iter().filter(|nats| nats.is_finite());
        possible.map(|nats| (-nats).exp() * nats).sum()
    };
    let more: Vec<f64> = all.iter().map(|(came, all)| came - entropy(all)).collect();
    let (more, error) = mean(&more);
    expect(
        more.abs() <= MOST_ERRORS * error + 1e-12,
        "a mean loss of the entropy of what it says",
        format!("{more:.4} +- {error:.4} nats more"),
    )
}

/// A table of which token follows which, counted in training, knows less than the exact probability, and on what no training saw
/// it cannot be luck.
fn no_table_beats_the_oracle(source: &Held) -> Outcome {
    const WINDOWS: usize = 2000;
    /// Added to every count (Krichevsky and Trofimov 1981).
    const BEFORE: f64 = 0.5;
    let vocab = source.vocab();
    if source.labels().is_empty() || vocab > MOST_IDS {
        return Ok(());
    }
    let mut counts = vec![BEFORE; vocab * vocab];
    let pairs = |batch: &Batch| -> Vec<(usize, u32, u32)> {
        let both = batch.inputs.iter().zip(&batch.targets).enumerate();
        let asked = both.filter(|(_, (_, target))| **target != IGNORE);
        asked.map(|(at, (from, to))| (at, *from, *to)).collect()
    };
    for (_, from, to) in pairs(&source.train(1, 0, WINDOWS, CONTEXT)) {
        counts[from as usize * vocab + to as usize] += 1.0;
    }
    let row = |from: u32| &counts[from as usize * vocab..][..vocab];
    let totals: Vec<f64> = (0..vocab as u32)
        .map(|from| row(from).iter().sum())
        .collect();
    let mut more = Vec::new();
    for test in held_out(source, HeldOut::Test)? {
        let Some(oracle) = &test.oracle else {
            return Ok(());
        };
        for (at, from, to) in pairs(&test.batch) {
            let table = (totals[from as usize] / row(from)[to as usize]).ln();
            more.push(table - oracle.nats[at]);
        }
    }
    let (more, error) = mean(&more);
    expect(
        more >= -MOST_ERRORS * error,
        "a loss of a table of pairs above the oracle's",
        format!("one {:.4} +- {error:.4} nats below", -more),
    )
}
