//! One cell's answers, and what each way to answer is worth: the share of problems solved, over repeats and problems.

use std::fmt;

use serde::Serialize;

use crate::reading::Thoughts;
use crate::record::{Answers, Trial};
use crate::stat::answers::{majority_at_k, pass_at_k};
use crate::stat::bootstrap::{bca, draws};
use crate::stat::interval::LEVEL;
use crate::stat::{Interval, mean};
use crate::stream::stream;

/// Resamples of the problems.
const DRAWS: usize = 1000;

/// How an answer is come by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// The likeliest token, again and again.
    Greedy,
    /// So many samples of which the verifier takes a right one.
    Best(u64),
    /// The answer that most of so many samples give.
    Majority(u64),
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Greedy => f.write_str("greedy"),
            Self::Best(1) => f.write_str("1 sample"),
            Self::Best(k) => write!(f, "best of {k}"),
            Self::Majority(k) => write!(f, "majority of {k}"),
        }
    }
}

/// A way to answer, and what it is worth.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Method {
    /// Which.
    pub way: Way,
    /// Share of problems solved, the mean over repeats.
    pub accuracy: f64,
    /// By bootstrap over problems; none where all problems are alike.
    pub interval: Option<Interval>,
    /// FLOPs of a problem.
    pub flops: f64,
    /// Seconds of a problem, all of them answered in one go; only of what was run.
    pub seconds: Option<f64>,
}

/// A cell that was asked.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Solver {
    /// `gpt2/w64@1600`.
    pub name: String,
    /// `gpt2`.
    pub variant: String,
    /// `w64`, or a shape's name.
    pub scale: String,
    /// Parameters.
    pub params: Option<u64>,
    /// What is generated before an answer, and in how many tokens.
    pub thoughts: (Thoughts, u64),
    /// FLOPs of its training.
    pub train_flops: f64,
    /// Repeats.
    pub repeats: usize,
    /// Greedy, best of 1, 2, 4 ...; or, where a problem has one answer, majorities.
    pub methods: Vec<Method>,
    /// What it said, by repeat.
    #[serde(skip)]
    pub answers: Vec<Answers>,
}

impl Solver {
    /// Of the finished trials of one cell, all asked the same problems; `None` where they were not, or cost nobody knows what.
    pub(super) fn of(trials: &[&Trial]) -> Option<Self> {
        let first = trials.first()?;
        let answers: Vec<Answers> = trials.iter().filter_map(|t| t.answers.clone()).collect();
        let asked = |a: &Answers| (a.problems(), a.samples, a.answer_tokens);
        let one = answers.first()?;
        if answers.iter().any(|other| asked(other) != asked(one)) {
            return None;
        }
        let methods = ways(one).map(|way| method(way, &answers)).collect();
        Some(Self {
            name: first.cell.clone(),
            variant: first.variant.clone(),
            scale: first.scale.clone(),
            params: first.params(),
            thoughts: (one.thoughts, one.thought_tokens),
            train_flops: first.train_flops()?,
            repeats: answers.len(),
            methods,
            answers,
        })
    }

    /// The same with some of the problems, and nothing said of its methods.
    pub(super) fn asked_only(&self, problems: &[usize]) -> Self {
        let mut own = self.clone();
        own.methods.clear();
        for answers in &mut own.answers {
            let pick = |counts: &[u64]| problems.iter().map(|k| counts[*k]).collect();
            (answers.greedy, answers.right) = (pick(&answers.greedy), pick(&answers.right));
            let votes = answers.votes.take();
            answers.votes = votes.map(|all| problems.iter().map(|k| all[*k].clone()).collect());
        }
        own
    }

    /// What one way is worth.
    pub fn method(&self, way: Way) -> Option<&Method> {
        self.methods.iter().find(|method| method.way == way)
    }
}

/// 1, 2, 4 ... up to n.
pub(super) fn doubling(n: u64) -> impl Iterator<Item = u64> {
    std::iter::successors(Some(1), |k| Some(2 * k)).take_while(move |k| *k <= n)
}

fn ways(answers: &Answers) -> impl Iterator<Item = Way> {
    let n = answers.samples;
    let votes = answers.votes.is_some();
    // Where a problem has one answer among few, to say all of them is no way to solve it: there samples vote.
    let best = doubling(n)
        .take_while(move |k| *k == 1 || !votes)
        .map(Way::Best);
    // Of two votes the first decides.
    let most = doubling(n)
        .filter(move |k| votes && *k > 2)
        .map(Way::Majority);
    std::iter::once(Way::Greedy).chain(best).chain(most)
}

/// The probability that each problem is solved.
pub(super) fn solved(answers: &Answers, way: Way) -> Vec<f64> {
    let unknown = f64::NAN;
    match way {
        Way::Greedy => answers.greedy.iter().map(|right| *right as f64).collect(),
        Way::Best(k) => {
            let of = |c: &u64| pass_at_k(answers.samples, *c, k).unwrap_or(unknown);
            answers.right.iter().map(of).collect()
        }
        Way::Majority(k) => {
            let of = |votes: &Vec<u64>| majority_at_k(votes, k as usize).unwrap_or(unknown);
            answers.votes.iter().flatten().map(of).collect()
        }
    }
}

/// The probability that each problem is solved, the mean over repeats.
pub(super) fn share_of_repeats(answers: &[Answers], way: Way) -> Vec<f64> {
    let mut each = vec![0.0; answers[0].problems()];
    for one in answers {
        let part = answers.len() as f64;
        each.iter_mut()
            .zip(solved(one, way))
            .for_each(|(sum, share)| *sum += share / part);
    }
    each
}

fn method(way: Way, answers: &[Answers]) -> Method {
    let each = share_of_repeats(answers, way);
    let n = answers[0].samples;
    let mean_of =
        |of: &dyn Fn(&Answers) -> f64| answers.iter().map(of).sum::<f64>() / answers.len() as f64;
    let a_problem = |of: &dyn Fn(&Answers) -> f64| mean_of(&|a| of(a) / a.problems() as f64);
    let (k, seconds) = match way {
        Way::Greedy => (1, Some(a_problem(&|a| a.greedy_s))),
        Way::Best(k) | Way::Majority(k) => (k, (k == n).then(|| a_problem(&|a| a.samples_s))),
    };
    Method {
        way,
        accuracy: mean(&each).unwrap_or(f64::NAN),
        interval: over_problems(&each),
        flops: mean_of(&|answers| answers.flops(k as f64)),
        seconds,
    }
}

/// The interval of a mean over problems: they are the unit, not the samples.
fn over_problems(each: &[f64]) -> Option<Interval> {
    // Resamples of what does not vary would say that nothing can.
    let varies = each.iter().any(|share| (share - each[0]).abs() > 1e-9);
    if !varies {
        return None;
    }
    let mut stream = stream("think/problems", 0, 0);
    let statistic = |sample: &[f64]| mean(sample).unwrap_or(f64::NAN);
    let drawn = draws(each, statistic, DRAWS, |n| stream.below(n));
    bca(each, statistic, &drawn, LEVEL)
}
