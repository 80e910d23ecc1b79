//! The trials that answer a run's headline question, paired by repeat: what the base reached at each of its budgets, and what
//! the variant reached, from the same seed and data.

use std::collections::BTreeSet;
use std::fmt;

use super::axis::Spent;
use super::world::{World, worlds};
use crate::record::{ResultFile, Status, Trial};

/// What is asked: what is this variant worth over the base, at this scale and budget?
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The variant whose compute is the currency.
    pub base: String,
    /// The variant in question.
    pub variant: String,
    /// At this scale ...
    pub scale: String,
    /// ... and this budget of the variant, in steps; `None` where the cells carry none.
    pub budget: Option<u64>,
}

impl Question {
    /// The one that a suite fixed before anything ran.
    pub fn of(file: &ResultFile) -> Result<Self, Unanswered> {
        let (Some(headline), Some(base)) = (&file.run.headline, file.run.base.clone()) else {
            return Err(Unanswered::NoQuestion);
        };
        let (variant, scale) = (headline.variant.clone(), headline.scale.clone());
        Ok(Self { base, variant, scale, budget: Some(headline.budget) })
    }

    /// The cell in question: `modern/w32@400`.
    pub fn cell(&self) -> String {
        let budget = self.budget.map(|budget| format!("@{budget}")).unwrap_or_default();
        format!("{}/{}{budget}", self.variant, self.scale)
    }

    /// Whether a trial is of the cell in question; a suite with one budget does not name it.
    fn is_variant(&self, trial: &Trial) -> bool {
        let budget = trial.budget.is_none_or(|budget| self.budget.is_none_or(|asked| asked == budget));
        trial.scale == self.scale && trial.variant == self.variant && budget
    }

    fn is_base(&self, trial: &Trial) -> bool {
        trial.scale == self.scale && trial.variant == self.base
    }
}

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
    /// By axis.
    pub spent: Spent,
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
    /// Seconds and joules of different machines or builds are not of one kind.
    fn without_local(mut self) -> Self {
        self.base.iter_mut().chain([&mut self.variant]).for_each(|point| point.spent = point.spent.without_local());
        self
    }
}

/// All complete repeats, and the trials they were looked for in.
#[derive(Debug, Clone)]
pub struct Pairs<'a> {
    /// What is asked.
    pub question: Question,
    /// What the data are.
    pub data: String,
    /// Whether the data are generated.
    pub generated: bool,
    /// The metric compared.
    pub loss: &'static str,
    /// The base's budgets in steps, ascending.
    pub budgets: Vec<u64>,
    /// Complete repeats, ascending.
    pub pairs: Vec<Pair>,
    /// Every trial of the base and the variant that belongs to the question, finished or not.
    pub trials: Vec<&'a Trial>,
    /// Trials of the same cells that saw other data.
    pub elsewhere: usize,
}

/// Finds the trials that answer a file's headline question, where most of them are.
pub fn pair(file: &ResultFile) -> Result<Pairs<'_>, Unanswered> {
    let question = Question::of(file)?;
    let asked = |trial: &&&Trial| question.is_base(trial) || question.is_variant(trial);
    let count = |world: &World| world.trials.iter().filter(asked).count();
    let worlds = worlds(file, None);
    let total: usize = worlds.iter().map(count).sum();
    let Some(world) = worlds.iter().rev().max_by_key(|world| count(world)) else {
        return Err(Unanswered::NoTrial(question.cell()));
    };
    let mut pairs = pair_in(world, &question)?;
    pairs.elsewhere = total - pairs.trials.len();
    Ok(pairs)
}

/// Finds the trials that answer a question in one world.
pub fn pair_in<'a>(world: &World<'a>, question: &Question) -> Result<Pairs<'a>, Unanswered> {
    if question.variant == question.base {
        return Err(Unanswered::SameVariant(question.base.clone()));
    }
    let asked = |trial: &&Trial| question.is_base(trial) || question.is_variant(trial);
    let trials: Vec<&Trial> = world.trials.iter().copied().filter(asked).collect();
    let loss = world.loss_metric();
    let finished: Vec<(&Trial, Point)> = trials.iter().filter_map(|t| Some((*t, point(world, t, loss)?))).collect();
    if !finished.iter().any(|(t, _)| question.is_variant(t)) {
        return Err(Unanswered::NoTrial(question.cell()));
    }
    let of_base = || finished.iter().filter(|(t, _)| question.is_base(t));
    if of_base().next().is_none() {
        return Err(Unanswered::NoTrial(format!("{}/{}", question.base, question.scale)));
    }
    let budgets: Vec<u64> = of_base().filter_map(|(t, _)| t.budget).collect::<BTreeSet<u64>>().into_iter().collect();
    if budgets.len() < 2 {
        return Err(Unanswered::OneBudget(question.base.clone()));
    }
    let repeats: BTreeSet<u64> = finished.iter().map(|(t, _)| t.repeat).collect();
    let pairs: Vec<Pair> = repeats.into_iter().filter_map(|k| complete(&finished, question, &budgets, k)).collect();
    if pairs.is_empty() {
        return Err(Unanswered::NoPair);
    }
    let (question, data, generated) = (question.clone(), world.data.clone(), world.generated);
    Ok(Pairs { question, data, generated, loss, budgets, pairs, trials, elsewhere: 0 })
}

/// One repeat, where the variant and the base at every budget finished it.
fn complete(finished: &[(&Trial, Point)], question: &Question, budgets: &[u64], repeat: u64) -> Option<Pair> {
    let here = || finished.iter().filter(|(t, _)| t.repeat == repeat);
    let variant = here().find(|(t, _)| question.is_variant(t))?.1;
    let at = |budget: u64| Some(here().find(|(t, _)| question.is_base(t) && t.budget == Some(budget))?.1);
    let base = budgets.iter().map(|budget| at(*budget)).collect::<Option<Vec<Point>>>()?;
    let pair = Pair { repeat, base, variant };
    let places: BTreeSet<(u64, u64)> = here().map(|(t, _)| (t.machine, t.build)).collect();
    Some(if places.len() == 1 { pair } else { pair.without_local() })
}

/// What a finished trial spent and reached; `None` where it did not finish, or spent nothing that is known.
fn point(world: &World, trial: &Trial, loss: &str) -> Option<Point> {
    trial.train_flops().filter(|flops| trial.status == Status::Ok && *flops > 0.0)?;
    Some(Point { spent: world.spent(trial), loss: trial.metric(loss).filter(|loss| loss.is_finite())? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::example::{example, study};
    use crate::record::metric;

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
