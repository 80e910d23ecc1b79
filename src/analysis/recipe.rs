//! How the gains of single changes combine: alone, last in, and shared out (Shapley 1953), beside the whole.
//!
//! Which variants are the parts of which is read from their settled specs: a part changes a subset of the keys that the whole
//! changes, to the same values. Single gains are often multiplied as if changes did not know of each other; published ones
//! overstate their joint gain by up to 2.7 times that way (Gundlach et al. 2025, arXiv 2511.21622, whose six steps multiply to
//! 3.57 and were measured together at 1.33).

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use super::answer::Answer;
use super::form::Form;
use super::gain::Gain;
use super::scatter::Scatter;
use super::settings::{Settings, settings};
use super::stratum::Stratum;
use crate::stat::Estimate;

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
    pub alone: Gain,
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
    pub joint: Gain,
    /// The product of the single gains, where all are solved.
    pub product: Option<Estimate>,
    /// Joint over product, paired: 1 where gains multiply.
    pub interaction: Option<Estimate>,
}

/// What a variant changes of the base: key to value.
type Difference = Settings;

/// A variant with what it changes.
struct Arm<'a> {
    changes: Difference,
    answer: &'a Answer,
}

impl Arm<'_> {
    fn log(&self) -> Option<&Form> {
        self.answer.log_gain.as_ref()
    }
}

/// The recipes of a world at one scale and budget, from the answers there. A variant is one where at least two of the others are
/// parts of it and share no key. What is only bounded multiplies with nothing.
pub fn recipes(
    stratum: &Stratum,
    answers: &[Answer],
    base: &str,
    at: (&str, Option<u64>),
    scatter: Option<&Scatter>,
) -> Vec<Recipe> {
    let (scale, budget) = at;
    let of = |variant: &str, any: bool| {
        let mut trials = stratum
            .trials
            .iter()
            .filter(|t| t.variant == variant && t.scale == scale && (any || t.budget == budget));
        trials.next().map(|trial| settings(trial))
    };
    let Some(origin) = of(base, true) else {
        return Vec::new();
    };
    let here = answers
        .iter()
        .filter(|answer| answer.scale == scale && answer.budget == budget);
    let arms: Vec<Arm> = here
        .filter_map(|answer| {
            Some(Arm {
                changes: difference(&origin, &of(&answer.variant, false)?),
                answer,
            })
        })
        .collect();
    (0..arms.len())
        .filter_map(|whole| recipe(&arms, whole, scatter))
        .collect()
}

fn difference(base: &Difference, variant: &Difference) -> Difference {
    let changed = variant
        .iter()
        .filter(|(key, value)| base.get(*key) != Some(value));
    let mut found: Difference = changed
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let dropped = base.keys().filter(|key| !variant.contains_key(*key));
    found.extend(dropped.map(|key| (key.clone(), Value::Null)));
    found
}

/// The arms whose changes are some of the whole's, and those of them that are a single change: they have no part of their own.
fn parts(arms: &[Arm], whole: usize) -> (Vec<usize>, Vec<usize>) {
    let within = |part: &Difference, all: &Difference| {
        part.iter().all(|(key, value)| all.get(key) == Some(value))
    };
    let (changes, all) = (|k: usize| &arms[k].changes, &arms[whole].changes);
    let is_part = |&k: &usize| {
        let own = changes(k);
        k != whole && !own.is_empty() && own.len() < all.len() && within(own, all)
    };
    let parts: Vec<usize> = (0..arms.len()).filter(is_part).collect();
    let holds = |k: usize, j: usize| j != k && within(changes(j), changes(k));
    let singles = parts.iter().copied();
    let singles = singles.filter(|&k| !parts.iter().any(|&j| holds(k, j)));
    let singles = singles.collect();
    (parts, singles)
}

fn recipe(arms: &[Arm], whole: usize, scatter: Option<&Scatter>) -> Option<Recipe> {
    let Arm {
        changes: all,
        answer,
    } = &arms[whole];
    let changes = |k: usize| &arms[k].changes;
    let (parts, singles) = parts(arms, whole);
    let keys: Vec<&String> = singles.iter().flat_map(|&k| changes(k).keys()).collect();
    let distinct: BTreeSet<&String> = keys.iter().copied().collect();
    if singles.len() < 2 || singles.len() > MOST_CHANGES || distinct.len() < keys.len() {
        return None;
    }
    let rest: Vec<String> = all
        .iter()
        .filter(|(key, _)| !distinct.contains(key))
        .map(|(key, value)| said(key, value))
        .collect();
    let subsets = Subsets::of(arms, whole, &singles, &parts);
    let product = singles.iter().try_fold(None, |sum: Option<Form>, &k| {
        let log = arms[k].log()?;
        Some(Some(
            sum.map_or_else(|| log.clone(), |sum| sum.minus(log, -1.0)),
        ))
    });
    let product = product.flatten();
    let interaction = arms[whole]
        .log()
        .zip(product.as_ref())
        .map(|(joint, product)| joint.minus(product, 1.0));
    let change = |place: usize| {
        let single = singles[place];
        let without = subsets
            .arm((1 << singles.len()) - 1 - (1 << place))
            .filter(|_| rest.is_empty());
        let without = without.or_else(|| subsets.rest_of(single));
        let last =
            without.and_then(|without| Some(arms[whole].log()?.minus(arms[without].log()?, 1.0)));
        Change {
            variant: arms[single].answer.variant.clone(),
            keys: changes(single)
                .iter()
                .map(|(key, value)| said(key, value))
                .collect(),
            alone: arms[single].answer.headline(),
            last: last.map(|log| log.ratio(scatter)),
            shapley: rest
                .is_empty()
                .then(|| subsets.shapley(place))
                .flatten()
                .map(|log| log.ratio(scatter)),
        }
    };
    Some(Recipe {
        variant: answer.variant.clone(),
        scale: answer.scale.clone(),
        budget: answer.budget,
        changes: (0..singles.len()).map(change).collect(),
        joint: answer.headline(),
        product: product.map(|log| log.ratio(scatter)),
        interaction: interaction.map(|log| log.ratio(scatter)),
        rest,
    })
}

/// `model.position.kind = "rope"`; a key that is gone is so.
fn said(key: &str, value: &Value) -> String {
    if value.is_null() {
        format!("no {key}")
    } else {
        format!("{key} = {value}")
    }
}

/// The arms that are subsets of a recipe's single changes, by the bits of the changes in them.
struct Subsets<'a> {
    arms: &'a [Arm<'a>],
    whole: usize,
    changes: usize,
    by_bits: BTreeMap<usize, usize>,
    /// The arm that is the whole without a single change, by that change.
    complements: BTreeMap<usize, usize>,
}

impl<'a> Subsets<'a> {
    fn of(arms: &'a [Arm<'a>], whole: usize, singles: &[usize], parts: &[usize]) -> Self {
        let union = |bits: usize| -> Difference {
            let chosen = singles
                .iter()
                .enumerate()
                .filter(|(place, _)| bits & (1 << place) != 0);
            chosen.flat_map(|(_, &k)| arms[k].changes.clone()).collect()
        };
        let find = |wanted: &Difference| {
            parts
                .iter()
                .copied()
                .chain([whole])
                .find(|&k| arms[k].changes == *wanted)
        };
        let by_bits = (1..1 << singles.len())
            .filter_map(|bits| Some((bits, find(&union(bits))?)))
            .collect();
        let without = |single: usize| -> Difference {
            let others = arms[whole]
                .changes
                .iter()
                .filter(|(key, _)| !arms[single].changes.contains_key(*key));
            others.map(|(k, v)| (k.clone(), v.clone())).collect()
        };
        let complements = singles
            .iter()
            .filter_map(|&single| Some((single, find(&without(single))?)))
            .collect();
        Self {
            arms,
            whole,
            changes: singles.len(),
            by_bits,
            complements,
        }
    }

    fn arm(&self, bits: usize) -> Option<usize> {
        self.by_bits.get(&bits).copied()
    }

    fn rest_of(&self, single: usize) -> Option<usize> {
        self.complements
            .get(&single)
            .copied()
            .filter(|arm| *arm != self.whole)
    }

    /// Mean over all orders of what the change at `place` adds: the sum over subsets S without it of
    /// |S|! (k - |S| - 1)! / k! times v(S and it) - v(S), where v is a log gain and v of nothing is 0.
    fn shapley(&self, place: usize) -> Option<Form> {
        let full = (1 << self.changes) - 1;
        let logs: Vec<&Form> = (1..=full)
            .map(|bits| self.arms[self.arm(bits)?].log())
            .collect::<Option<_>>()?;
        let weight = |bits: usize| {
            let size = bits.count_ones() as usize;
            factorial(size) * factorial(self.changes - size - 1) / factorial(self.changes)
        };
        let mut share = logs[0].times(0.0);
        for bits in (0..=full).filter(|bits| bits & (1 << place) == 0) {
            share = share.minus(logs[(bits | (1 << place)) - 1], -weight(bits));
            if bits > 0 {
                share = share.minus(logs[bits - 1], weight(bits));
            }
        }
        Some(share)
    }
}

fn factorial(n: usize) -> f64 {
    (1..=n).map(|k| k as f64).product()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::stratum::strata;
    use crate::analysis::study::studies;
    use crate::record::ResultFile;
    use crate::record::example::{add_variant, study};

    const ROPE: (&str, &str, &str) = ("model", "position", "rope");
    const MUON: (&str, &str, &str) = ("train", "optimizer", "muon");
    const GATE: (&str, &str, &str) = ("model", "ffn", "swiglu");

    fn base() -> ResultFile {
        study(3, |variant, steps, _| {
            (variant == "gpt2").then_some(2.0 * (steps as f64 / 400.0).powf(-0.3))
        })
    }

    fn found(file: &ResultFile) -> Vec<Recipe> {
        let stratum = &strata(file, None)[0];
        let study = studies(file, None, None, None).unwrap().remove(0);
        recipes(
            stratum,
            &study.answers,
            "gpt2",
            ("w32", Some(800)),
            study.scatter.as_ref(),
        )
    }

    fn close(found: &Estimate, expected: f64) {
        assert!(
            (found.value / expected - 1.0).abs() < 1e-6,
            "{found:?} is not {expected}"
        );
    }

    fn solved(gain: &Gain, expected: f64) {
        let Gain::Solved(estimate) = gain else {
            panic!("{gain:?}")
        };
        close(estimate, expected);
    }

    /// Two changes worth 1.4 and 1.5 that together are worth 10% less than their product.
    #[test]
    fn two_changes_alone_last_and_shared_out() {
        let mut file = base();
        add_variant(&mut file, "rope", &[ROPE], |_| 1.4);
        add_variant(&mut file, "muon", &[MUON], |_| 1.5);
        add_variant(&mut file, "both", &[ROPE, MUON], |repeat| {
            0.9 * 1.4 * 1.5 * (1.0 + 0.001 * repeat as f64)
        });
        let recipes = found(&file);
        let [recipe] = &recipes[..] else {
            panic!("{recipes:?}")
        };
        assert_eq!(
            (recipe.variant.as_str(), &recipe.rest[..]),
            ("both", &[][..])
        );
        let together = 0.9 * 1.4 * 1.5 * (1.001_f64 * 1.002).powf(1.0 / 3.0);
        solved(&recipe.joint, together);
        close(&recipe.product.unwrap(), 1.4 * 1.5);
        close(&recipe.interaction.unwrap(), together / (1.4 * 1.5));
        let rope = &recipe.changes[0];
        assert_eq!(
            (rope.variant.as_str(), &rope.keys[..]),
            ("rope", &["model.position.kind = \"rope\"".to_owned()][..])
        );
        solved(&rope.alone, 1.4);
        close(rope.last.as_ref().unwrap(), together / 1.5);
        close(
            rope.shapley.as_ref().unwrap(),
            (1.4 * together / 1.5).sqrt(),
        );
        let shares: f64 = recipe
            .changes
            .iter()
            .map(|change| change.shapley.unwrap().value)
            .product();
        assert!(
            (shares / together - 1.0).abs() < 1e-6,
            "the shares multiply to the whole"
        );
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
        let [recipe] = &recipes[..] else {
            panic!("{recipes:?}")
        };
        assert!(
            recipe
                .changes
                .iter()
                .all(|change| change.last.is_none() && change.shapley.is_none())
        );
        add_variant(&mut file, "rope-gate", &[ROPE, GATE], |_| 1.3);
        let all = found(&file)
            .into_iter()
            .find(|recipe| recipe.variant == "all")
            .unwrap();
        close(all.changes[1].last.as_ref().unwrap(), 1.7 / 1.3);
        assert!(all.changes[0].last.is_none());
        add_variant(&mut file, "rope-muon", &[ROPE, MUON], |_| 1.5);
        add_variant(&mut file, "muon-gate", &[MUON, GATE], |_| 1.4);
        let all = found(&file)
            .into_iter()
            .find(|recipe| recipe.variant == "all")
            .unwrap();
        // By hand: (v1 + v1) / 3 at the ends, (v12 - v2 + v13 - v3) / 6 in the middle, in logs.
        let v = |x: f64| x.ln();
        let rope =
            v(1.2) / 3.0 + (v(1.5) - v(1.3) + v(1.3) - v(1.1)) / 6.0 + (v(1.7) - v(1.4)) / 3.0;
        close(all.changes[0].shapley.as_ref().unwrap(), rope.exp());
    }

    #[test]
    fn a_variant_that_is_no_sum_of_others_is_no_recipe() {
        let mut file = base();
        add_variant(&mut file, "rope", &[ROPE], |_| 1.2);
        add_variant(&mut file, "muon", &[MUON], |_| 1.3);
        add_variant(
            &mut file,
            "other",
            &[("model", "position", "none"), MUON],
            |_| 1.2,
        );
        assert_eq!(found(&file), []);
        add_variant(&mut file, "more", &[ROPE, MUON, GATE], |_| 1.6);
        let recipes = found(&file);
        assert_eq!(recipes[0].rest, ["model.ffn.kind = \"swiglu\""]);
        assert!(
            recipes[0].changes[0].shapley.is_none(),
            "a rest has no variant of its own"
        );
    }
}
