//! How the gains of single changes combine: alone, last in, and shared out (Shapley 1953), beside the whole.
//!
//! Which variants are the parts of which is read from their settled specs: a part changes a subset of the keys that the whole
//! changes, to the same values. Single gains are often multiplied as if changes did not know of each other; published ones
//! overstate their joint gain by up to 2.7 times that way (Gundlach et al. 2025, arXiv 2511.21622, whose six steps multiply to
//! 3.57 and were measured together at 1.33).

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use super::axis::Axis;
use super::gain::log_gain;
use super::pairs::{Question, Unanswered, pair_in};
use super::world::World;
use crate::record::Trial;
use crate::stat::interval::LEVEL;
use crate::stat::{Estimate, Solution, ratio_estimate};

/// More changes than this have more subsets than anybody runs.
const MOST_CHANGES: usize = 6;

/// One change of a recipe.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// The variant that makes this change alone.
    pub variant: String,
    /// What it changes: `model.position.kind = "rope"`.
    pub keys: Vec<String>,
    /// Its gain over the base.
    pub alone: Estimate,
    /// The whole's gain over the whole without it, where that was run.
    pub last: Option<Estimate>,
    /// Its share of the whole's log gain, averaged over all orders, where every subset was run: factors that multiply to the
    /// whole.
    pub shapley: Option<Estimate>,
}

/// A variant whose changes were run one by one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Recipe {
    /// The variant with all changes.
    pub variant: String,
    /// The scale ...
    pub scale: String,
    /// ... and the variants' budget in steps.
    pub budget: Option<u64>,
    /// Its changes, in the order in which their variants first ran.
    pub changes: Vec<Change>,
    /// Keys that it changes and no single variant does.
    pub rest: Vec<String>,
    /// Its gain over the base.
    pub joint: Estimate,
    /// The product of the single gains.
    pub product: Estimate,
    /// Joint over product, paired: 1 where gains multiply.
    pub interaction: Estimate,
}

/// What a variant changes of the base: key to value.
type Difference = BTreeMap<String, Value>;

/// Log gains in model FLOPs by repeat.
type Logs = BTreeMap<u64, f64>;

/// The recipes of a world at one scale and budget. A variant is one where at least two of the others are parts of it, share
/// no key, and every gain is solved in at least one common repeat.
pub fn recipes(world: &World, base: &str, scale: &str, budget: Option<u64>) -> Vec<Recipe> {
    let at = |variant: &str, any: bool| {
        let fits = |t: &&&Trial| t.variant == variant && t.scale == scale && (any || t.budget == budget);
        world.trials.iter().find(fits).map(|trial| settings(&trial.spec))
    };
    let Some(origin) = at(base, true) else { return Vec::new() };
    let mut arms: Vec<(&str, Difference, Logs)> = Vec::new();
    for variant in world.variants().into_iter().filter(|variant| *variant != base) {
        let Some(settings) = at(variant, false) else { continue };
        let asked = Question { base: base.to_owned(), variant: variant.to_owned(), scale: scale.to_owned(), budget };
        if let Ok(logs) = logs(world, &asked) {
            arms.push((variant, difference(&origin, &settings), logs));
        }
    }
    (0..arms.len()).filter_map(|whole| recipe(&arms, whole, scale, budget)).collect()
}

/// Model and training settings that make an algorithm, flattened; not how long, how large or how fast it learns.
fn settings(spec: &Value) -> Difference {
    let mut flat = BTreeMap::new();
    for table in ["model", "train"] {
        spec.get(table).into_iter().for_each(|value| flatten(table, value, &mut flat));
    }
    let dial = ["train.optimizer.lr", "train.steps", "train.tokens", "train.tokens_per_param"];
    flat.retain(|key, _| !dial.contains(&key.as_str()));
    flat
}

fn flatten(key: &str, value: &Value, into: &mut Difference) {
    match value {
        Value::Object(table) => table.iter().for_each(|(name, value)| flatten(&format!("{key}.{name}"), value, into)),
        value => drop(into.insert(key.to_owned(), value.clone())),
    }
}

fn difference(base: &Difference, variant: &Difference) -> Difference {
    let changed = variant.iter().filter(|(key, value)| base.get(*key) != Some(value));
    let mut found: Difference = changed.map(|(key, value)| (key.clone(), value.clone())).collect();
    let dropped = base.keys().filter(|key| !variant.contains_key(*key));
    found.extend(dropped.map(|key| (key.clone(), Value::Null)));
    found
}

/// Log gains of the repeats that solve; a bound is no number to compute with.
fn logs(world: &World, question: &Question) -> Result<Logs, Unanswered> {
    let pairs = pair_in(world, question)?;
    let solved = pairs.pairs.iter().filter_map(|pair| match log_gain(pair, Axis::ModelFlops) {
        Some(Solution::At(log)) => Some((pair.repeat, log)),
        _ => None,
    });
    Ok(solved.collect())
}

fn recipe(arms: &[(&str, Difference, Logs)], whole: usize, scale: &str, budget: Option<u64>) -> Option<Recipe> {
    let (variant, all, _) = &arms[whole];
    let within = |part: &Difference| part.iter().all(|(key, value)| all.get(key) == Some(value));
    let parts: Vec<usize> = (0..arms.len())
        .filter(|&k| k != whole && !arms[k].1.is_empty() && arms[k].1.len() < all.len() && within(&arms[k].1))
        .collect();
    // A single change is a part that has no part of its own.
    let holds = |k: usize, j: usize| j != k && arms[j].1.iter().all(|(key, value)| arms[k].1.get(key) == Some(value));
    let singles: Vec<usize> = parts.iter().copied().filter(|&k| !parts.iter().any(|&j| holds(k, j))).collect();
    let keys: Vec<&String> = singles.iter().flat_map(|&k| arms[k].1.keys()).collect();
    let distinct: BTreeSet<&String> = keys.iter().copied().collect();
    if singles.len() < 2 || singles.len() > MOST_CHANGES || distinct.len() < keys.len() {
        return None;
    }
    let rest: Vec<String> =
        all.iter().filter(|(key, _)| !distinct.contains(key)).map(|(key, value)| said(key, value)).collect();
    let subsets = Subsets::of(arms, whole, &singles, &parts);
    let repeats = subsets.common(&singles.iter().copied().chain([whole]).collect::<Vec<_>>());
    let over = |repeats: &[u64], log: &dyn Fn(u64) -> f64| {
        ratio_estimate(&repeats.iter().map(|k| log(*k)).collect::<Vec<f64>>(), LEVEL)
    };
    let of = |arm: usize, repeat: u64| arms[arm].2[&repeat];
    let sum = |repeat: u64| singles.iter().map(|&k| of(k, repeat)).sum::<f64>();
    let changes = (0..singles.len()).map(|place| {
        let single = singles[place];
        let without = subsets.arm((1 << singles.len()) - 1 - (1 << place)).filter(|_| rest.is_empty());
        let without = without.or_else(|| subsets.rest_of(single));
        let last = without.and_then(|without| {
            over(&subsets.common(&[whole, without]), &|repeat| of(whole, repeat) - of(without, repeat))
        });
        Some(Change {
            variant: arms[single].0.to_owned(),
            keys: arms[single].1.iter().map(|(key, value)| said(key, value)).collect(),
            alone: over(&repeats, &|repeat| of(single, repeat))?,
            last,
            shapley: rest.is_empty().then(|| subsets.shapley(place)).flatten(),
        })
    });
    Some(Recipe {
        variant: (*variant).to_owned(),
        scale: scale.to_owned(),
        budget,
        changes: changes.collect::<Option<_>>()?,
        joint: over(&repeats, &|repeat| of(whole, repeat))?,
        product: over(&repeats, &sum)?,
        interaction: over(&repeats, &|repeat| of(whole, repeat) - sum(repeat))?,
        rest,
    })
}

/// `model.position.kind = "rope"`; a key that is gone is so.
fn said(key: &str, value: &Value) -> String {
    if value.is_null() { format!("no {key}") } else { format!("{key} = {value}") }
}

/// The arms that are subsets of a recipe's single changes, by the bits of the changes in them.
struct Subsets<'a> {
    arms: &'a [(&'a str, Difference, Logs)],
    whole: usize,
    changes: usize,
    by_bits: BTreeMap<usize, usize>,
    /// The arm that is the whole without a single change, by that change.
    complements: BTreeMap<usize, usize>,
}

impl<'a> Subsets<'a> {
    fn of(arms: &'a [(&'a str, Difference, Logs)], whole: usize, singles: &[usize], parts: &[usize]) -> Self {
        let union = |bits: usize| -> Difference {
            let chosen = singles.iter().enumerate().filter(|(place, _)| bits & (1 << place) != 0);
            chosen.flat_map(|(_, &k)| arms[k].1.clone()).collect()
        };
        let find = |wanted: &Difference| parts.iter().copied().chain([whole]).find(|&k| arms[k].1 == *wanted);
        let by_bits = (1..1 << singles.len()).filter_map(|bits| Some((bits, find(&union(bits))?))).collect();
        let without = |single: usize| -> Difference {
            arms[whole]
                .1
                .iter()
                .filter(|(key, _)| !arms[single].1.contains_key(*key))
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect()
        };
        let complements = singles.iter().filter_map(|&single| Some((single, find(&without(single))?))).collect();
        Self { arms, whole, changes: singles.len(), by_bits, complements }
    }

    fn arm(&self, bits: usize) -> Option<usize> {
        self.by_bits.get(&bits).copied()
    }

    fn rest_of(&self, single: usize) -> Option<usize> {
        self.complements.get(&single).copied().filter(|arm| *arm != self.whole)
    }

    /// The repeats in which all these arms' gains are solved.
    fn common(&self, arms: &[usize]) -> Vec<u64> {
        let all = |repeat: &u64| arms.iter().all(|&arm| self.arms[arm].2.contains_key(repeat));
        self.arms[arms[0]].2.keys().copied().filter(all).collect()
    }

    /// Mean over all orders of what the change at `place` adds: the sum over subsets S without it of
    /// |S|! (k - |S| - 1)! / k! times v(S and it) - v(S), where v is a log gain and v of nothing is 0.
    fn shapley(&self, place: usize) -> Option<Estimate> {
        let full = (1 << self.changes) - 1;
        let every: Vec<usize> = (1..=full).map(|bits| self.arm(bits)).collect::<Option<_>>()?;
        let value = |bits: usize, repeat: u64| if bits == 0 { 0.0 } else { self.arms[every[bits - 1]].2[&repeat] };
        let weight = |bits: usize| {
            let size = bits.count_ones() as usize;
            factorial(size) * factorial(self.changes - size - 1) / factorial(self.changes)
        };
        let share = |repeat: &u64| {
            let without = (0..=full).filter(|bits| bits & (1 << place) == 0);
            without.map(|bits| weight(bits) * (value(bits | (1 << place), *repeat) - value(bits, *repeat))).sum()
        };
        ratio_estimate(&self.common(&every).iter().map(share).collect::<Vec<f64>>(), LEVEL)
    }
}

fn factorial(n: usize) -> f64 {
    (1..=n).map(|k| k as f64).product()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::world::worlds;
    use crate::record::ResultFile;
    use crate::record::example::{add_variant, study};

    const ROPE: (&str, &str, &str) = ("model", "position", "rope");
    const MUON: (&str, &str, &str) = ("train", "optimizer", "muon");
    const GATE: (&str, &str, &str) = ("model", "ffn", "swiglu");

    fn base() -> ResultFile {
        study(3, |variant, steps, _| (variant == "gpt2").then_some(2.0 * (steps as f64 / 400.0).powf(-0.3)))
    }

    fn found(file: &ResultFile) -> Vec<Recipe> {
        recipes(&worlds(file, None)[0], "gpt2", "w32", Some(800))
    }

    fn close(found: &Estimate, expected: f64) {
        assert!((found.value / expected - 1.0).abs() < 1e-9, "{found:?} is not {expected}");
    }

    /// Two changes worth 1.4 and 1.5 that together are worth 10% less than their product.
    #[test]
    fn two_changes_alone_last_and_shared_out() {
        let mut file = base();
        add_variant(&mut file, "rope", &[ROPE], |_| 1.4);
        add_variant(&mut file, "muon", &[MUON], |_| 1.5);
        add_variant(&mut file, "both", &[ROPE, MUON], |repeat| 0.9 * 1.4 * 1.5 * (1.0 + 0.001 * repeat as f64));
        let recipes = found(&file);
        let [recipe] = &recipes[..] else { panic!("{recipes:?}") };
        assert_eq!((recipe.variant.as_str(), &recipe.rest[..]), ("both", &[][..]));
        let together = 0.9 * 1.4 * 1.5 * (1.001_f64 * 1.002).powf(1.0 / 3.0);
        close(&recipe.joint, together);
        close(&recipe.product, 1.4 * 1.5);
        close(&recipe.interaction, together / (1.4 * 1.5));
        let rope = &recipe.changes[0];
        assert_eq!(
            (rope.variant.as_str(), &rope.keys[..]),
            ("rope", &["model.position.kind = \"rope\"".to_owned()][..])
        );
        close(&rope.alone, 1.4);
        close(rope.last.as_ref().unwrap(), together / 1.5);
        close(rope.shapley.as_ref().unwrap(), (1.4 * together / 1.5).sqrt());
        let shares: f64 = recipe.changes.iter().map(|change| change.shapley.unwrap().value).product();
        assert!((shares / together - 1.0).abs() < 1e-9, "the shares multiply to the whole");
    }

    /// Three changes need all eight subsets for shares; without them there is what there is.
    #[test]
    fn subsets_that_were_not_run_are_said_to_be_missing() {
        let mut file = base();
        add_variant(&mut file, "rope", &[ROPE], |_| 1.2);
        add_variant(&mut file, "muon", &[MUON], |_| 1.3);
        add_variant(&mut file, "gate", &[GATE], |_| 1.1);
        add_variant(&mut file, "all", &[ROPE, MUON, GATE], |_| 1.7);
        let recipes = found(&file);
        let [recipe] = &recipes[..] else { panic!("{recipes:?}") };
        assert!(recipe.changes.iter().all(|change| change.last.is_none() && change.shapley.is_none()));
        add_variant(&mut file, "rope-gate", &[ROPE, GATE], |_| 1.3);
        let all = found(&file).into_iter().find(|recipe| recipe.variant == "all").unwrap();
        close(all.changes[1].last.as_ref().unwrap(), 1.7 / 1.3);
        assert!(all.changes[0].last.is_none());
        add_variant(&mut file, "rope-muon", &[ROPE, MUON], |_| 1.5);
        add_variant(&mut file, "muon-gate", &[MUON, GATE], |_| 1.4);
        let all = found(&file).into_iter().find(|recipe| recipe.variant == "all").unwrap();
        // By hand: (v1 + v1) / 3 at the ends, (v12 - v2 + v13 - v3) / 6 in the middle, in logs.
        let v = |x: f64| x.ln();
        let rope = v(1.2) / 3.0 + (v(1.5) - v(1.3) + v(1.3) - v(1.1)) / 6.0 + (v(1.7) - v(1.4)) / 3.0;
        close(all.changes[0].shapley.as_ref().unwrap(), rope.exp());
    }

    #[test]
    fn a_variant_that_is_no_sum_of_others_is_no_recipe() {
        let mut file = base();
        add_variant(&mut file, "rope", &[ROPE], |_| 1.2);
        add_variant(&mut file, "muon", &[MUON], |_| 1.3);
        add_variant(&mut file, "other", &[("model", "position", "none"), MUON], |_| 1.2);
        assert_eq!(found(&file), []);
        add_variant(&mut file, "more", &[ROPE, MUON, GATE], |_| 1.6);
        let recipes = found(&file);
        assert_eq!(recipes[0].rest, ["model.ffn.kind = \"swiglu\""]);
        assert!(recipes[0].changes[0].shapley.is_none(), "a rest has no variant of its own");
    }
}
