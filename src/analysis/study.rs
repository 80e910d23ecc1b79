//! Everything that result files say about gains: every variant over the base, at every scale and budget that was run, with
//! how changes combine and what they teach.

use std::collections::BTreeSet;

use serde::Serialize;

use super::gain::{Answer, answer_pairs};
use super::pairs::{Question, Unanswered, pair_in};
use super::recipe::{Recipe, recipes};
use super::spectrum::{Spectrum, spectrum};
use super::world::{World, worlds};
use crate::record::ResultFile;

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
}

/// A cell without a gain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// `modern/w32@400`.
    pub cell: String,
    /// Why.
    pub reason: String,
}

/// Studies every kind of data in a file; `base` where the file names none or another is wanted, `only` one variant.
///
/// Kinds of data on which the base ran nothing are left out.
pub fn studies(file: &ResultFile, base: Option<&str>, only: Option<&str>) -> Result<Vec<Study>, Unanswered> {
    let base = base.or(file.run.base.as_deref()).ok_or(Unanswered::NoQuestion)?;
    if only == Some(base) {
        return Err(Unanswered::SameVariant(base.to_owned()));
    }
    let worlds = worlds(file);
    let here: Vec<&World> = worlds.iter().filter(|world| world.variants().contains(&base)).collect();
    if here.is_empty() {
        return Err(Unanswered::NoTrial(base.to_owned()));
    }
    Ok(here.into_iter().map(|world| study(file, world, base, only)).collect())
}

fn study(file: &ResultFile, world: &World, base: &str, only: Option<&str>) -> Study {
    let mut study = Study {
        data: world.data.clone(),
        generated: world.generated,
        base: base.to_owned(),
        headline: None,
        answers: Vec::new(),
        unanswered: Vec::new(),
        recipes: Vec::new(),
        spectra: Vec::new(),
    };
    let asked = Question::of(file).ok();
    for question in questions(world, base, only) {
        match pair_in(world, &question) {
            Ok(pairs) => {
                if asked.as_ref() == Some(&question) {
                    study.headline = Some(study.answers.len());
                }
                study.answers.push(answer_pairs(file, &pairs));
                study.spectra.extend(spectrum(world, &question));
            }
            Err(why) => study.unanswered.push(Refused { cell: question.cell(), reason: why.to_string() }),
        }
    }
    let places: BTreeSet<(&str, Option<u64>)> = world.trials.iter().map(|t| (t.scale.as_str(), t.budget)).collect();
    let whole = |recipe: &Recipe| only.is_none_or(|only| only == recipe.variant);
    study.recipes =
        places.into_iter().flat_map(|(scale, budget)| recipes(world, base, scale, budget)).filter(whole).collect();
    study
}

/// Every cell of a variant other than the base, by variant, then scale and budget.
fn questions(world: &World, base: &str, only: Option<&str>) -> Vec<Question> {
    let variants = world.variants();
    let of = |variant: &str| -> BTreeSet<(String, Option<u64>)> {
        let trials = world.trials.iter().filter(|trial| trial.variant == variant);
        trials.map(|trial| (trial.scale.clone(), trial.budget)).collect()
    };
    let wanted = variants.into_iter().filter(|variant| *variant != base && only.is_none_or(|only| only == *variant));
    let question = |variant: &str, (scale, budget): (String, Option<u64>)| Question {
        base: base.to_owned(),
        variant: variant.to_owned(),
        scale,
        budget,
    };
    wanted.flat_map(|variant| of(variant).into_iter().map(move |place| question(variant, place))).collect()
}
