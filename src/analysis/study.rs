//! Everything that result files say about gains: every variant over the base, at every scale and budget that was run, with
//! how changes combine and what they teach.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use serde::Serialize;

use super::answer::{Answer, answer_pairs};
use super::beside::{Beside, besides};
use super::forecast::{Forecast, Untold, forecasts};
use super::gain::Gain;
use super::pairs::pair_in;
use super::question::{Question, Unanswered};
use super::recipe::{Recipe, recipes};
use super::scatter::Scatter;
use super::spectrum::{Spectrum, spectrum};
use super::stratum::{Stratum, strata};
use super::trend::{Trend, trends};
use crate::config::Price;
use crate::record::{ResultFile, Trial};
use crate::stat::holm;

/// The gains on one kind of data.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Study {
    /// What the data are.
    pub data: String,
    /// Whether they are generated.
    pub generated: bool,
    /// The variant whose compute is the currency.
    pub base: String,
    /// What the suite asked before anything ran, where it asked and has its answer here.
    pub headline: Option<usize>,
    /// One per variant, scale and budget, in the order in which the variants first ran.
    pub answers: Vec<Answer>,
    /// Cells of other variants without a gain, and why.
    pub unanswered: Vec<Refused>,
    /// How the gains of single changes combine.
    pub recipes: Vec<Recipe>,
    /// The gains by what a token takes, for the answers that have it.
    pub spectra: Vec<Spectrum>,
    /// What each cell wants and takes beside the base's of the same scale and budget.
    pub besides: Vec<Beside>,
    /// How each variant's gain moves with compute.
    pub trends: Vec<Trend>,
    /// What each variant's cheaper runs foretold of its dearest, and what came.
    pub forecasts: Vec<Forecast>,
    /// Variants of which nothing could be foretold.
    pub untold: Vec<Untold>,
    /// The error that repeats share, which is in the intervals; `null` where no cell ran twice.
    pub scatter: Option<Scatter>,
}

/// The best of several, which looks better than it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Picked<'a> {
    /// The variant with the largest gain.
    pub best: &'a Answer,
    /// Of so many at its place.
    pub of: usize,
    /// The chance of no gain at equal compute, adjusted over all of them (Holm 1979); absent for one repeat.
    pub p: Option<f64>,
}

impl Study {
    /// The answer to the question, where one was asked. Else the best one where most variants are answered, of several such places
    /// that of the most steps at which the best gain says how much: nobody asked for the one that happens to stand last.
    pub fn asked(&self) -> Option<&Answer> {
        if let Some(asked) = self.headline.and_then(|place| self.answers.get(place)) {
            return Some(asked);
        }
        let known = |answer: &&Answer| answer.headline().value().is_some();
        let here = |a: &Answer, b: &Answer| a.scale == b.scale && a.budget == b.budget;
        let beside = |answer: &Answer| {
            let all = self.answers.iter().filter(known);
            all.filter(|other| here(other, answer)).count()
        };
        // Where the base ran nothing as dear, the gain itself says which is best.
        let worth = |answer: &Answer| {
            let nats = answer.equal_compute_nats.map(|nats| nats.value);
            let gain = answer.headline().value().unwrap_or(0.0);
            (nats.unwrap_or(f64::NEG_INFINITY), gain)
        };
        let best = |place: &Answer| {
            let there = self.answers.iter().filter(known);
            there.filter(|answer| here(answer, place)).max_by(|a, b| {
                let ((a, a_gain), (b, b_gain)) = (worth(a), worth(b));
                a.total_cmp(&b).then(a_gain.total_cmp(&b_gain))
            })
        };
        // At the base's own dearest budget a gain is no more than a side by design: the dearest place that says how much opens.
        let says = |gain: Gain| match gain {
            Gain::Solved(_) => true,
            Gain::MoreThan(bound) => bound.told && bound.bound > 1.0,
            Gain::LessThan(bound) => bound.told && bound.bound < 1.0,
            Gain::Unknown { .. } => false,
        };
        let figure = |place: &Answer| best(place).is_some_and(|best| says(best.headline()));
        let place = self.answers.iter().filter(known);
        best(place.max_by_key(|place| (beside(place), figure(place), place.budget))?)
    }

    /// The variant with the largest gain at the question's place, where several have one.
    pub fn picked(&self) -> Option<Picked<'_>> {
        let asked = self.asked()?;
        let here = |answer: &&Answer| answer.scale == asked.scale && answer.budget == asked.budget;
        let here: Vec<&Answer> = self.answers.iter().filter(here).collect();
        // A bound is less than what it stands for, so that gains at equal compute rank first.
        let rank = |k: &usize| here[*k].equal_compute_nats.map(|nats| nats.value);
        let best = (0..here.len())
            .filter(|k| rank(k).is_some())
            .max_by(|a, b| rank(a).partial_cmp(&rank(b)).unwrap_or(Ordering::Equal))?;
        let chances: Option<Vec<f64>> = here.iter().map(|answer| answer.p).collect();
        let p = chances.map(|chances| holm(&chances)[best]);
        (here.len() > 1).then_some(Picked {
            best: here[best],
            of: here.len(),
            p,
        })
    }
}

/// A cell without a gain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// `modern/w32@400`.
    pub cell: String,
    /// Why.
    pub reason: String,
}

/// Studies every kind of data in a file at these prices; `base` where the file names none or another is wanted, `only` one variant.
///
/// Cells on data on which the base ran nothing are told as unanswered.
pub fn studies(
    file: &ResultFile,
    price: Option<&Price>,
    base: Option<&str>,
    only: Option<&str>,
) -> Result<Vec<Study>, Unanswered> {
    let base = base
        .or(file.run.base.as_deref())
        .ok_or(Unanswered::NoQuestion)?;
    if only == Some(base) {
        return Err(Unanswered::SameVariant(base.to_owned()));
    }
    let strata = strata(file, price);
    let here: Vec<&Stratum> = strata
        .iter()
        .filter(|stratum| stratum.variants().contains(&base))
        .collect();
    if here.is_empty() {
        return Err(Unanswered::NoTrial(base.to_owned()));
    }
    // A cell that ran in several builds has several answers, and none is chosen in silence.
    for stratum in &here {
        let wanted =
            |trial: &&Trial| trial.variant == base || only.is_none_or(|only| only == trial.variant);
        stratum.of_one_kind(
            &stratum
                .trials
                .iter()
                .copied()
                .filter(wanted)
                .collect::<Vec<_>>(),
        )?;
    }
    let mut found: Vec<Study> = here
        .into_iter()
        .map(|stratum| study(file, stratum, base, only))
        .collect();
    let elsewhere = strata
        .iter()
        .filter(|stratum| !stratum.variants().contains(&base));
    let reason = |stratum: &Stratum| format!("{base} has no finished trial on {}", stratum.data);
    let refused = elsewhere.flat_map(|stratum| {
        let cells = questions(stratum, base, only)
            .into_iter()
            .map(|question| question.cell());
        cells.map(|cell| Refused {
            cell,
            reason: reason(stratum),
        })
    });
    found[0].unanswered.extend(refused);
    Ok(found)
}

fn study(file: &ResultFile, stratum: &Stratum, base: &str, only: Option<&str>) -> Study {
    let mut study = Study {
        data: stratum.data.clone(),
        generated: stratum.generated,
        base: base.to_owned(),
        headline: None,
        answers: Vec::new(),
        unanswered: Vec::new(),
        recipes: Vec::new(),
        spectra: Vec::new(),
        besides: Vec::new(),
        trends: Vec::new(),
        forecasts: Vec::new(),
        untold: Vec::new(),
        scatter: Scatter::of(stratum),
    };
    let scatter = study.scatter;
    let asked = Question::of(file).ok();
    let questions = questions(stratum, base, only);
    for question in &questions {
        match pair_in(stratum, question) {
            Ok(pairs) => {
                if asked.as_ref() == Some(question) {
                    study.headline = Some(study.answers.len());
                }
                study
                    .answers
                    .push(answer_pairs(file, &pairs, scatter.as_ref()));
                study
                    .spectra
                    .extend(spectrum(stratum, question, scatter.as_ref()));
            }
            Err(why) => study.unanswered.push(Refused {
                cell: question.cell(),
                reason: why.to_string(),
            }),
        }
    }
    study.besides = besides(file, stratum, &questions);
    // Over all variants, whichever is asked for: what cells scatter by is known from all.
    (study.forecasts, study.untold) = forecasts(stratum, &self::questions(stratum, base, None));
    let wanted = |variant: &str| only.is_none_or(|only| only == variant);
    study.forecasts.retain(|one| wanted(&one.variant));
    study.untold.retain(|one| wanted(&one.variant));
    study.trends = trends(&study.answers, scatter.as_ref());
    let places: BTreeSet<(&str, Option<u64>)> = stratum
        .trials
        .iter()
        .map(|t| (t.scale.as_str(), t.budget))
        .collect();
    let whole = |recipe: &Recipe| only.is_none_or(|only| only == recipe.variant);
    let recipes = |at| recipes(stratum, &study.answers, base, at, scatter.as_ref());
    study.recipes = places.into_iter().flat_map(recipes).filter(whole).collect();
    study
}

/// Every cell of a variant other than the base, by variant, then scale and budget.
fn questions(stratum: &Stratum, base: &str, only: Option<&str>) -> Vec<Question> {
    let variants = stratum.variants();
    let of = |variant: &str| -> BTreeSet<(String, Option<u64>)> {
        let trials = stratum
            .trials
            .iter()
            .filter(|trial| trial.variant == variant);
        trials
            .map(|trial| (trial.scale.clone(), trial.budget))
            .collect()
    };
    let wanted = variants
        .into_iter()
        .filter(|variant| *variant != base && only.is_none_or(|only| only == *variant));
    let question = |variant: &str, (scale, budget): (String, Option<u64>)| Question {
        base: base.to_owned(),
        variant: variant.to_owned(),
        scale,
        budget,
    };
    wanted
        .flat_map(|variant| {
            of(variant)
                .into_iter()
                .map(move |place| question(variant, place))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::axis::Axis;
    use crate::analysis::gain::Sign;
    use crate::analysis::transfer::transfers;
    use crate::config::Library;
    use crate::record::example::{add_variant, example, study as example_of};

    fn studied(
        file: &ResultFile,
        base: Option<&str>,
        only: Option<&str>,
    ) -> Result<Vec<Study>, Unanswered> {
        studies(
            file,
            Some(&Library::builtin().price("default").unwrap()),
            base,
            only,
        )
    }

    #[test]
    fn every_cell_is_answered_and_the_headline_is_known() {
        let file = example();
        let found = &studied(&file, None, None).unwrap()[0];
        let cells: Vec<(Option<u64>, usize)> =
            found.answers.iter().map(|a| (a.budget, a.n)).collect();
        assert_eq!(
            (cells, found.headline),
            (vec![(Some(400), 4), (Some(800), 4)], Some(0))
        );
        assert_eq!((found.spectra.len(), found.unanswered.len()), (2, 0));
        // At so much a core and hour, money is what seconds are.
        let answer = &found.answers[0];
        let value = |axis| answer.on(axis).value().unwrap();
        assert!((value(Axis::Money) / value(Axis::WallSeconds) - 1.0).abs() < 1e-9);
        assert!(
            matches!(answer.on(Axis::Carbon), Gain::Unknown { .. }),
            "no meter, no carbon"
        );
        assert_eq!(
            answer.read_at.unwrap().tokens_per_param,
            1024.0 * 400.0 / 31_000.0
        );
    }

    #[test]
    fn another_base_and_one_variant_can_be_asked_for() {
        let file = example();
        let found = &studied(&file, Some("modern"), Some("gpt2")).unwrap()[0];
        assert_eq!(found.headline, None);
        assert!(
            found
                .answers
                .iter()
                .all(|a| a.variant == "gpt2" && a.headline().sign() != Sign::More)
        );
        assert_eq!(
            found.answers[2].headline().sign(),
            Sign::Less,
            "gpt2 at 1600 steps is among modern's budgets"
        );
        assert_eq!(
            studied(&file, None, Some("gpt2")),
            Err(Unanswered::SameVariant("gpt2".to_owned()))
        );
        assert!(studied(&file, Some("nobody"), None).is_err());
        let mut file = example();
        file.run.base = None;
        assert_eq!(studied(&file, None, None), Err(Unanswered::NoQuestion));
    }

    /// Nobody asks for the answer that happens to stand last: without a question the best one opens, where most are answered.
    #[test]
    fn without_a_question_the_best_answer_opens() {
        let mut file = example_of(3, |variant, steps, _| {
            (variant == "gpt2").then_some(2.0 * (steps as f64 / 400.0).powf(-0.3))
        });
        file.run.headline = None;
        for (variant, worth) in [("a", 1.2), ("b", 1.5), ("c", 0.8)] {
            let set = [("model", "position", variant)];
            add_variant(&mut file, variant, &set, move |k| worth + 1e-3 * k as f64);
        }
        let found = &studied(&file, None, None).unwrap()[0];
        assert_eq!(found.answers.last().unwrap().variant, "c");
        assert_eq!(found.asked().unwrap().variant, "b");
        let only = &studied(&file, None, Some("c")).unwrap()[0];
        assert_eq!(only.asked().unwrap().variant, "c");
    }

    /// Where the base ran at a variant's own cost, the gain at equal compute is what the two trials differ by, to the digit of
    /// the spectrum, which compares them token by token. A parabola through all budgets contradicted 5 of these 22 pairs.
    #[test]
    fn no_gain_contradicts_the_trials_that_ran() {
        let mut compared = 0;
        // Of bases of one width: where there are several the best of them may stand at equal compute, at another size.
        for name in [
            "tests/fixtures/one_width/gain-epyc-19h-2c-linux",
            "tests/fixtures/one_width/quick-epyc-19h-2c-linux",
            "results/gain-epyc-19h-2c-linux",
            "results/origin-epyc-19h-2c-linux",
        ] {
            let path = format!("{}/{name}.json", env!("CARGO_MANIFEST_DIR"));
            let file = crate::record::store::read_valid(std::path::Path::new(&path)).unwrap();
            for study in studied(&file, None, None).unwrap() {
                for answer in &study.answers {
                    let same =
                        |s: &&Spectrum| (&s.variant, s.budget) == (&answer.variant, answer.budget);
                    let measured = study.spectra.iter().find(same).unwrap().whole_nats;
                    let told = answer.equal_compute_nats.unwrap();
                    let pairs = [
                        (told.value, measured.value),
                        (ends(&told).0, ends(&measured).0),
                        (ends(&told).1, ends(&measured).1),
                    ];
                    for (told, measured) in pairs {
                        assert!(
                            (told - measured).abs() < 1e-6,
                            "{}@{:?}: {told} and {measured}",
                            answer.variant,
                            answer.budget
                        );
                    }
                    compared += 1;
                }
            }
        }
        assert_eq!(compared, 22 + 4 + 22 + 5);
    }

    fn ends(estimate: &crate::stat::Estimate) -> (f64, f64) {
        estimate.interval.map(|i| (i.low, i.high)).unwrap()
    }

    /// The same trials on two kinds of data are two studies, and compare as such.
    #[test]
    fn kinds_of_data_are_studied_apart_and_side_by_side() {
        let mut file = example_of(3, |variant, steps, _| {
            (variant == "gpt2").then_some(2.0 * (steps as f64 / 400.0).powf(-0.3))
        });
        for (variant, worth) in [("a", 1.2), ("b", 1.5), ("c", 0.8)] {
            add_variant(
                &mut file,
                variant,
                &[("model", "position", variant)],
                move |k| worth + 1e-3 * k as f64,
            );
        }
        let mut text = file.trials.clone();
        for trial in &mut text {
            trial.spec["data"] = serde_json::json!({"kind": "text", "path": "play.txt"});
            trial.id.push_str("-text");
        }
        file.trials.extend(text);
        let found = studied(&file, None, None).unwrap();
        assert_eq!(
            found
                .iter()
                .map(|s| (s.data.as_str(), s.answers.len()))
                .collect::<Vec<_>>(),
            [("data `language`", 3), ("play.txt", 3)]
        );
        let compared = transfers(&found[0], &found[1]);
        let [transfer] = &compared[..] else {
            panic!("{compared:?}")
        };
        assert_eq!(
            (transfer.told, transfer.same_side, transfer.rank_correlation),
            (3, 3, Some(1.0))
        );
        assert_eq!(transfer.chance, Some(1.0 / 6.0));
    }
}
