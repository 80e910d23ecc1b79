//! The learning spectrometer: a variant's gain in nats, split by what predicting a token takes.
//!
//! The source labels every token (rule, agreement, recall, ...) and knows its exact probability, so excess loss is a sum over
//! labels: sum of (tokens of the label / all tokens) x (excess per token of the label). Base and variant are compared at the
//! same budget, seed and validation tokens; nothing is fitted, so the parts sum to the whole.

use std::collections::BTreeMap;

use serde::Serialize;

use super::form::Form;
use super::question::Question;
use super::scatter::Scatter;
use super::stratum::Stratum;
use crate::record::{Status, Trial};
use crate::stat::interval::LEVEL;
use crate::stat::{Estimate, mean, mean_estimate, ratio_of_means};

/// One label's part.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Part {
    /// What predicting these tokens takes.
    pub label: String,
    /// Share of the tokens.
    pub token_share: f64,
    /// The base's excess loss on them, in nats per token of any label.
    pub base_nats: f64,
    /// The variant's.
    pub variant_nats: f64,
    /// What the variant gains on them, in nats per token of any label: the parts sum to the whole.
    pub gain_nats: Estimate,
    /// Their share of the whole gain, where the whole is told from 0 (Fieller's interval).
    pub share: Option<Estimate>,
}

/// A variant's gain at equal budget, by label.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Spectrum {
    /// Whose gain.
    pub variant: String,
    /// At this scale ...
    pub scale: String,
    /// ... and this budget of both, in steps.
    pub budget: Option<u64>,
    /// The whole: the base's excess loss minus the variant's.
    pub whole_nats: Estimate,
    /// By label, the largest gain first.
    pub parts: Vec<Part>,
}

/// Nats per token of any label, and the share of tokens, by label.
type Split<'a> = BTreeMap<&'a str, (f64, f64)>;

/// Splits the gain at equal budget; `None` where the source has no oracle, or no repeat has both.
pub fn spectrum(
    stratum: &Stratum,
    question: &Question,
    scatter: Option<&Scatter>,
) -> Option<Spectrum> {
    let of = |variant: &str| -> BTreeMap<u64, Split> {
        let here = stratum.trials.iter().filter(|t| {
            t.status == Status::Ok
                && t.variant == variant
                && t.scale == question.scale
                && t.budget == question.budget
        });
        here.filter_map(|trial| Some((trial.seed, split(trial)?)))
            .collect()
    };
    let (base, variant) = (of(&question.base), of(&question.variant));
    let seeds: Vec<u64> = base
        .keys()
        .copied()
        .filter(|seed| variant.contains_key(seed))
        .collect();
    let both: Vec<(&Split, &Split)> = seeds
        .iter()
        .map(|seed| (&base[seed], &variant[seed]))
        .collect();
    let labels: Vec<&str> = both.first()?.0.keys().copied().collect();
    if both
        .iter()
        .any(|(a, b)| !a.keys().eq(labels.iter()) || !b.keys().eq(labels.iter()))
    {
        return None;
    }
    let whole: Vec<f64> = both
        .iter()
        .map(|(base, variant)| total(base) - total(variant))
        .collect();
    let over =
        |of: &dyn Fn(&(&Split, &Split)) -> f64| mean(&both.iter().map(of).collect::<Vec<_>>());
    let part = |label: &&str| {
        let gains: Vec<f64> = both
            .iter()
            .map(|(base, variant)| base[label].0 - variant[label].0)
            .collect();
        Some(Part {
            label: (*label).to_owned(),
            token_share: over(&|(base, _)| base[label].1)?,
            base_nats: over(&|(base, _)| base[label].0)?,
            variant_nats: over(&|(_, variant)| variant[label].0)?,
            gain_nats: mean_estimate(&gains, LEVEL)?,
            share: ratio_of_means(&gains, &whole, LEVEL),
        })
    };
    let mut parts: Vec<Part> = labels.iter().map(part).collect::<Option<_>>()?;
    parts.sort_by(|a, b| b.gain_nats.value.total_cmp(&a.gain_nats.value));
    Some(Spectrum {
        variant: question.variant.clone(),
        scale: question.scale.clone(),
        budget: question.budget,
        whole_nats: whole_nats(&seeds, &both, question).estimate(scatter),
        parts,
    })
}

/// The whole as a sum of what both cells reached, with all that makes it uncertain: the same figure, and the same interval, as the
/// gain at equal compute where both spent the same.
fn whole_nats(seeds: &[u64], both: &[(&Split, &Split)], question: &Question) -> Form {
    let over = |of: &dyn Fn(&(&Split, &Split)) -> f64| {
        both.iter().map(of).sum::<f64>() / both.len() as f64
    };
    let (base, variant) = (
        over(&|(base, _)| total(base)),
        over(&|(_, variant)| total(variant)),
    );
    let apart = |(seed, (of_base, of_variant)): (&u64, &(&Split, &Split))| {
        (*seed, total(of_base) - total(of_variant) - (base - variant))
    };
    let by_seed = seeds.iter().zip(both).map(apart).collect();
    let base_cell = Question {
        variant: question.base.clone(),
        ..question.clone()
    }
    .cell();
    let loads = [(base_cell, 1.0), (question.cell(), -1.0)]
        .into_iter()
        .collect();
    Form {
        value: base - variant,
        by_seed,
        loads,
        reading_se: 0.0,
    }
}

/// A trial's excess loss by label; `None` where it has no labels.
fn split(trial: &Trial) -> Option<Split<'_>> {
    let tokens = trial
        .skills
        .iter()
        .map(|skill| skill.tokens as f64)
        .sum::<f64>();
    let part = |tokens_here: u64, excess: f64| {
        (
            tokens_here as f64 / tokens * excess,
            tokens_here as f64 / tokens,
        )
    };
    let labels = trial
        .skills
        .iter()
        .map(|skill| (skill.label.as_str(), part(skill.tokens, skill.excess_nats)));
    (tokens > 0.0).then(|| labels.collect())
}

fn total(split: &Split) -> f64 {
    split.values().map(|(nats, _)| nats).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::stratum::strata;
    use crate::record::example::example;
    use crate::record::metric;

    fn question() -> Question {
        Question {
            base: "gpt2".into(),
            variant: "modern".into(),
            scale: "w32".into(),
            budget: Some(400),
        }
    }

    /// The example's labels: 40000 tokens with 0.8 and 25536 with 1.3 times the excess.
    #[test]
    fn the_parts_sum_to_the_whole() {
        let file = example();
        let found = spectrum(&strata(&file, None)[0], &question(), None).unwrap();
        let sum: f64 = found.parts.iter().map(|part| part.gain_nats.value).sum();
        assert!((sum - found.whole_nats.value).abs() < 1e-12);
        let shares: f64 = found
            .parts
            .iter()
            .map(|part| part.share.unwrap().value)
            .sum();
        assert!((shares - 1.0).abs() < 1e-12);
        assert!((found.parts.iter().map(|part| part.token_share).sum::<f64>() - 1.0).abs() < 1e-12);
        let of = |label: &str| found.parts.iter().find(|part| part.label == label).unwrap();
        let (rule, recall) = (40_000.0 * 0.8, 25_536.0 * 1.3);
        assert!((of("rule").share.unwrap().value - rule / (rule + recall)).abs() < 1e-12);
        assert_eq!(found.parts[0].label, "recall", "the largest first");
        assert_eq!((found.whole_nats.n, of("rule").gain_nats.n), (4, 4));
    }

    #[test]
    fn without_labels_or_a_common_repeat_there_is_none() {
        let mut file = example();
        file.trials
            .iter_mut()
            .filter(|t| t.variant == "modern")
            .for_each(|t| t.skills.clear());
        assert_eq!(spectrum(&strata(&file, None)[0], &question(), None), None);
        let mut file = example();
        file.trials
            .retain(|t| (t.variant == "modern") == (t.repeat == 0));
        assert_eq!(spectrum(&strata(&file, None)[0], &question(), None), None);
    }

    /// The labels' weighted excess is the trial's own, so the whole is the difference of the recorded losses.
    #[test]
    fn the_shipped_results_agree_with_their_recorded_losses() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/fixtures/one_width/quick-epyc-19h-2c-linux.json"
        );
        let file = crate::record::store::read_valid(std::path::Path::new(path)).unwrap();
        for trial in &file.trials {
            let recorded = trial.metric(metric::EXCESS_LOSS_NATS).unwrap();
            let summed = total(&split(trial).unwrap());
            assert!(
                (summed - recorded).abs() < 1e-6,
                "{}: {summed} against {recorded}",
                trial.cell
            );
        }
    }
}
