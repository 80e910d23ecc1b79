//! Who finds what hard: problems in fifths by how often one solver's own samples solve them (Snell et al. 2024, arXiv 2408.03314, section
//! 3.2), and the exchange rate within each. Easy problems are solved by the first sample, hard ones by none; between them compute is
//! exchanged.

use serde::Serialize;

use super::exchange::{Exchange, exchange};
use super::solver::{Solver, Way, share_of_repeats};
use crate::stat::mean;

/// Parts of the problems.
const PARTS: usize = 5;

/// Problems by difficulty.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difficulty {
    /// Whose samples say what is hard: of all that were asked the one of middling training.
    pub base: String,
    /// From the hardest to the easiest.
    pub parts: Vec<Part>,
}

/// A fifth of the problems.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Part {
    /// Problems.
    pub problems: usize,
    /// Share of the base's samples that are right.
    pub once: f64,
    /// Share of the problems that all of its samples solve.
    pub all: f64,
    /// The same of the solver with the most training: share of right samples.
    pub trained: f64,
    /// The exchange rate within, or why there is none.
    pub exchange: Result<Exchange, String>,
}

/// The fifths of the problems; `None` where there are fewer than five, or nobody to compare.
pub fn difficulty(solvers: &[&Solver]) -> Option<Difficulty> {
    let mut by_training = solvers.to_vec();
    by_training.sort_by(|a, b| a.train_flops.total_cmp(&b.train_flops));
    let (base, most) = (by_training.get(by_training.len() / 2)?, by_training.last()?);
    let each = share_of_repeats(&base.answers, Way::Best(1));
    if each.len() < PARTS || solvers.len() < 2 {
        return None;
    }
    let mut order: Vec<usize> = (0..each.len()).collect();
    order.sort_by(|a, b| each[*a].total_cmp(&each[*b]));
    let part = |k: usize| {
        let own = &order[each.len() * k / PARTS..each.len() * (k + 1) / PARTS];
        let within: Vec<Solver> = solvers
            .iter()
            .map(|solver| solver.asked_only(own))
            .collect();
        let share = |solver: &Solver, way: Way| {
            mean(&share_of_repeats(&solver.asked_only(own).answers, way)).unwrap_or(f64::NAN)
        };
        Part {
            problems: own.len(),
            once: share(base, Way::Best(1)),
            all: share(base, Way::Best(base.answers[0].samples)),
            trained: share(most, Way::Best(1)),
            exchange: exchange(&within.iter().collect::<Vec<_>>()),
        }
    };
    Some(Difficulty {
        base: base.name.clone(),
        parts: (0..PARTS).map(part).collect(),
    })
}
