//! The trials that answer a run's headline question, paired by repeat: what the base reached at each of its budgets, and what
//! the variant reached, from the same seed and data.

use std::collections::BTreeSet;
use std::fmt;

use crate::record::{Headline, ResultFile, Status, Trial, metric};

/// Why a run answers no question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unanswered {
    /// The suite asks none.
    NoQuestion,
    /// The variant is the base.
    SameVariant(String),
    /// This cell has no finished trial with a loss.
    NoTrial(String),
    /// The base has fewer than two budgets at the headline's scale.
    OneBudget(String),
    /// No repeat has both the variant and the base at every budget.
    NoPair,
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoQuestion => write!(f, "this suite compares nothing with a base"),
            Self::SameVariant(name) => write!(f, "the variant in question, {name}, is the base itself"),
            Self::NoTrial(cell) => write!(f, "{cell} has no finished trial"),
            Self::OneBudget(base) => write!(f, "{base} ran at one budget only, so there is nothing to price a gain in"),
            Self::NoPair => write!(f, "no repeat finished both the variant and the base at every budget"),
        }
    }
}

/// What one finished trial spent and reached.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Model FLOPs.
    pub model_flops: f64,
    /// Model and optimizer FLOPs, where the optimizer's were counted.
    pub total_flops: Option<f64>,
    /// Seconds of training, where they were measured.
    pub wall_s: Option<f64>,
    /// Final loss in nats.
    pub loss: f64,
}

/// One repeat with everything finished.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    /// Which repeat.
    pub repeat: u64,
    /// The base, by budget in the order of [`Pairs::budgets`].
    pub base: Vec<Point>,
    /// The variant at the headline's budget.
    pub variant: Point,
}

impl Pair {
    /// Seconds of different machines or builds are not of one kind.
    fn without_seconds(mut self) -> Self {
        self.base.iter_mut().chain([&mut self.variant]).for_each(|point| point.wall_s = None);
        self
    }
}

/// All complete repeats, and the trials they were looked for in.
#[derive(Debug, Clone)]
pub struct Pairs<'a> {
    /// The question.
    pub headline: &'a Headline,
    /// The variant whose compute is the currency.
    pub base: &'a str,
    /// The metric compared.
    pub loss: &'static str,
    /// The base's budgets in steps, ascending.
    pub budgets: Vec<u64>,
    /// Complete repeats, ascending.
    pub pairs: Vec<Pair>,
    /// Every trial of the base and the variant that belongs to the question, finished or not.
    pub trials: Vec<&'a Trial>,
}

/// Finds the trials that answer a file's headline question.
pub fn pair(file: &ResultFile) -> Result<Pairs<'_>, Unanswered> {
    let (Some(headline), Some(base)) = (&file.run.headline, file.run.base.as_deref()) else {
        return Err(Unanswered::NoQuestion);
    };
    if headline.variant == base {
        return Err(Unanswered::SameVariant(base.to_owned()));
    }
    let in_question =
        |trial: &&Trial| trial.scale == headline.scale && (trial.variant == base || is_variant(trial, headline));
    let trials: Vec<&Trial> = file.trials.iter().filter(in_question).collect();
    let loss = loss_metric(&trials);
    let finished: Vec<(&Trial, Point)> = trials.iter().filter_map(|t| Some((*t, point(t, loss)?))).collect();
    if !finished.iter().any(|(t, _)| is_variant(t, headline)) {
        return Err(Unanswered::NoTrial(cell_of(headline)));
    }
    if !finished.iter().any(|(t, _)| t.variant == base) {
        return Err(Unanswered::NoTrial(format!("{base}/{}", headline.scale)));
    }
    let of_base = finished.iter().filter(|(t, _)| t.variant == base);
    let budgets: Vec<u64> = of_base.filter_map(|(t, _)| t.budget).collect::<BTreeSet<u64>>().into_iter().collect();
    if budgets.len() < 2 {
        return Err(Unanswered::OneBudget(base.to_owned()));
    }
    let repeats: BTreeSet<u64> = finished.iter().map(|(t, _)| t.repeat).collect();
    let complete = |repeat: u64| {
        let here = || finished.iter().filter(move |(t, _)| t.repeat == repeat);
        let variant = here().find(|(t, _)| is_variant(t, headline))?.1;
        let at = |budget: u64| here().find(|(t, _)| t.variant == base && t.budget == Some(budget)).map(|(_, p)| *p);
        let base = budgets.iter().map(|budget| at(*budget)).collect::<Option<Vec<Point>>>()?;
        let pair = Pair { repeat, base, variant };
        let places: BTreeSet<(u64, u64)> = here().map(|(t, _)| (t.machine, t.build)).collect();
        Some(if places.len() == 1 { pair } else { pair.without_seconds() })
    };
    let pairs: Vec<Pair> = repeats.into_iter().filter_map(complete).collect();
    if pairs.is_empty() { Err(Unanswered::NoPair) } else { Ok(Pairs { headline, base, loss, budgets, pairs, trials }) }
}

/// The headline's cell by name.
pub fn cell_of(headline: &Headline) -> String {
    format!("{}/{}@{}", headline.variant, headline.scale, headline.budget)
}

/// Whether a trial is of the headline's variant and budget; a suite with one budget does not name it.
fn is_variant(trial: &Trial, headline: &Headline) -> bool {
    trial.variant == headline.variant && trial.budget.is_none_or(|budget| budget == headline.budget)
}

/// Excess loss where every finished trial has it, else validation loss: differences are the same, as the oracle's loss cancels.
fn loss_metric(trials: &[&Trial]) -> &'static str {
    let finished = || trials.iter().filter(|t| t.status == Status::Ok);
    let all = finished().all(|t| t.metric(metric::EXCESS_LOSS_NATS).is_some());
    if all { metric::EXCESS_LOSS_NATS } else { metric::VAL_LOSS_NATS }
}

/// What a finished trial spent and reached; `None` where it did not finish, or spent nothing that is known.
fn point(trial: &Trial, loss: &str) -> Option<Point> {
    let model_flops = trial.train_flops().filter(|flops| trial.status == Status::Ok && *flops > 0.0)?;
    Some(Point {
        model_flops,
        total_flops: trial.cost.as_ref().map(|cost| model_flops + cost.optimizer_flops),
        wall_s: trial.metric(metric::TRAIN_WALL_S).filter(|s| *s > 0.0),
        loss: trial.metric(loss).filter(|loss| loss.is_finite())?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::example::{example, study};

    #[test]
    fn only_complete_repeats_are_paired() {
        let file = study(4, |variant, steps, repeat| {
            let diverged = (variant == "gpt2" && steps == 800 && repeat == 1) || (variant == "modern" && repeat == 2);
            (!diverged).then_some(1.0 / steps as f64)
        });
        let pairs = pair(&file).unwrap();
        assert_eq!(pairs.budgets, [400, 800, 1600]);
        assert_eq!(pairs.pairs.iter().map(|p| p.repeat).collect::<Vec<_>>(), [0, 3]);
        assert_eq!(
            pairs.pairs[0].base.iter().map(|p| p.loss).collect::<Vec<_>>(),
            [1.0 / 400.0, 1.0 / 800.0, 1.0 / 1600.0]
        );
        assert_eq!(pairs.trials.len(), 16, "modern at 400 steps is not in question");
        assert_eq!(pairs.loss, metric::EXCESS_LOSS_NATS);
    }

    #[test]
    fn a_file_without_an_answer_says_why() {
        type Spoil = fn(&mut ResultFile);
        let rows: [(&str, Spoil); 6] = [
            ("this suite compares nothing with a base", |f| f.run.headline = None),
            ("gpt2, is the base itself", |f| f.run.headline.as_mut().unwrap().variant = "gpt2".to_owned()),
            ("modern/w32@400 has no finished trial", |f| f.trials.retain(|t| t.variant == "gpt2")),
            ("gpt2/w32 has no finished trial", |f| f.trials.retain(|t| t.variant == "modern")),
            ("gpt2 ran at one budget only", |f| f.trials.retain(|t| t.variant == "modern" || t.budget == Some(400))),
            ("no repeat finished both", |f| f.trials.retain(|t| (t.variant == "modern") == (t.repeat == 0))),
        ];
        for (says, spoil) in rows {
            let mut file = example();
            spoil(&mut file);
            let why = pair(&file).unwrap_err().to_string();
            assert!(why.contains(says), "{why}");
        }
    }

    #[test]
    fn without_an_oracle_the_validation_loss_is_compared() {
        let mut file = example();
        for trial in &mut file.trials {
            trial.metrics.remove(metric::EXCESS_LOSS_NATS);
        }
        assert_eq!(pair(&file).unwrap().loss, metric::VAL_LOSS_NATS);
    }
}
