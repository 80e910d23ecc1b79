//! A file's tasks, each with those that were asked, their front, and the exchange rate.

use std::collections::BTreeMap;

use serde::Serialize;

use super::difficulty::{Difficulty, difficulty};
use super::exchange::{Exchange, exchange};
use super::solver::{Solver, Way, doubling, solved};
use crate::analysis::frontier::front;
use crate::reading::Thoughts;
use crate::record::identity::cell_id;
use crate::record::{ResultFile, Status, Trial};
use crate::stat::answers::{beta_coverage, beta_of};
use crate::stat::mean;

/// What was asked, of whom, and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Task {
    /// `Countdown with 3 numbers`.
    pub name: String,
    /// Problems, the same for all.
    pub problems: usize,
    /// The most samples that any was given.
    pub samples: u64,
    /// What guessing among well-formed answers gives with 1, 2, 4 ... guesses.
    pub chance: Vec<f64>,
    /// Those asked, in the order in which they ran.
    pub solvers: Vec<Solver>,
    /// Of which solver which method nothing beats on both accuracy and FLOPs of a problem, by rising FLOPs.
    pub front: Vec<(usize, usize)>,
    /// The exchange rate, or why there is none.
    pub exchange: Result<Exchange, String>,
    /// The same by how hard problems are, where there is a rate.
    pub difficulty: Option<Difficulty>,
    /// What the coverage of the solver that solves most follows.
    pub coverage: Option<Coverage>,
}

/// A Beta distribution of the problems' difficulty, fitted to how many samples were right.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Coverage {
    /// Whose.
    pub of: String,
    /// Its parameters.
    pub beta: [f64; 2],
    /// The largest difference to coverage as counted, over 1, 2, 4 ... samples.
    pub off: f64,
}

/// Every task of a file, in the order in which they first ran.
pub fn tasks(file: &ResultFile) -> Vec<Task> {
    let mut asked: Vec<&Trial> = file
        .trials
        .iter()
        .filter(|trial| trial.answers.is_some() && trial.status == Status::Ok)
        .collect();
    asked.sort_by_key(|trial| (trial.order, trial.repeat));
    let mut found: Vec<(&str, Vec<Vec<&Trial>>)> = Vec::new();
    let mut places = BTreeMap::new();
    for trial in asked {
        let Some(answers) = &trial.answers else {
            continue;
        };
        let of_task = found.iter().position(|(task, _)| *task == answers.task);
        let at = of_task.unwrap_or_else(|| {
            found.push((&answers.task, Vec::new()));
            found.len() - 1
        });
        let cells = &mut found[at].1;
        let key = (at, &trial.cell, &trial.arm, trial.machine, cell_id(trial));
        let place = *places.entry(key).or_insert_with(|| {
            cells.push(Vec::new());
            cells.len() - 1
        });
        cells[place].push(trial);
    }
    let of = |(name, cells): (&str, Vec<Vec<&Trial>>)| task(name, &cells);
    found.into_iter().filter_map(of).collect()
}

fn task(name: &str, cells: &[Vec<&Trial>]) -> Option<Task> {
    let solvers: Vec<Solver> = cells
        .iter()
        .filter_map(|trials| Solver::of(trials))
        .collect();
    let most = solvers.iter().map(|solver| &solver.answers[0]);
    let most = most.max_by_key(|answers| answers.samples)?;
    // Controls think what cannot help: they are no way to spend compute.
    let earnest = |solver: &&Solver| matches!(solver.thoughts.0, Thoughts::None | Thoughts::Own);
    let comparable: Vec<&Solver> = solvers.iter().filter(earnest).collect();
    let thinks_alike = comparable
        .windows(2)
        .all(|two| two[0].thoughts == two[1].thoughts);
    let exchange = match thinks_alike {
        true => exchange(&comparable),
        false => Err("it is asked of cells that think differently long".to_owned()),
    };
    Some(Task {
        name: name.to_owned(),
        problems: most.problems(),
        samples: most.samples,
        chance: most.chance.clone(),
        front: best(&solvers),
        difficulty: exchange.as_ref().ok().and_then(|_| difficulty(&comparable)),
        exchange,
        coverage: coverage(&comparable),
        solvers,
    })
}

/// The front over every method of every solver.
fn best(solvers: &[Solver]) -> Vec<(usize, usize)> {
    let each = solvers.iter().enumerate();
    let places: Vec<(usize, usize)> = each
        .flat_map(|(s, solver)| (0..solver.methods.len()).map(move |m| (s, m)))
        .collect();
    let costs: Vec<(f64, f64)> = places
        .iter()
        .map(|(s, m)| &solvers[*s].methods[*m])
        .map(|method| (method.flops, -method.accuracy))
        .collect();
    front(&costs).into_iter().map(|k| places[k]).collect()
}

/// Of the solver that solves most problems with all its samples, the first repeat.
fn coverage(solvers: &[&Solver]) -> Option<Coverage> {
    let all = |solver: &&&Solver| {
        let most = Way::Best(solver.answers[0].samples);
        mean(&solved(&solver.answers[0], most)).unwrap_or(0.0)
    };
    let solver = solvers.iter().max_by(|a, b| all(a).total_cmp(&all(b)))?;
    let answers = &solver.answers[0];
    let beta = beta_of(&answers.right, answers.samples)?;
    let off = |k: u64| {
        let counted = mean(&solved(answers, Way::Best(k))).unwrap_or(f64::NAN);
        (counted - beta_coverage(beta[0], beta[1], k as f64)).abs()
    };
    Some(Coverage {
        of: solver.name.clone(),
        beta,
        off: doubling(answers.samples).map(off).fold(0.0, f64::max),
    })
}
