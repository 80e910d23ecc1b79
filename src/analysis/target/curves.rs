//! The runs of one arm at one scale as curves, by seed.

use std::collections::BTreeMap;

use super::ratio::{Bound, Side};
use crate::analysis::axis::{Axis, Spent};
use crate::analysis::stratum::Stratum;
use crate::record::{Status, Trial, metric};
use crate::stat::{Crossing, Descent};

/// Points of one run: what was spent by axis, and the loss.
struct Course {
    spent: BTreeMap<Axis, Vec<f64>>,
    losses: Vec<f64>,
}

/// All runs of one seed: one, or one a budget.
pub struct Runner {
    seed: Option<(u64, u64, u64)>,
    /// A curve a run, and one through the ends of several.
    curves: BTreeMap<Axis, Vec<Descent>>,
    /// The lowest final loss.
    last: f64,
    /// How many of the curves are a run's own.
    own: usize,
    /// Whether one of them diverged.
    pub diverged: bool,
}

/// The runs of one arm; seeds that nobody knows are each their own.
pub fn runs<'a>(stratum: &Stratum, trials: impl Iterator<Item = &'a Trial>) -> Vec<Runner> {
    let mut seeds: BTreeMap<(u64, u64, u64), Vec<&Trial>> = BTreeMap::new();
    for trial in trials.filter(|trial| matches!(trial.status, Status::Ok | Status::Diverged)) {
        // Without seeds a repeat is a place in the log: two budgets of one place belong together, whoever ran them.
        seeds
            .entry((trial.seed, trial.machine, trial.build))
            .or_default()
            .push(trial);
    }
    seeds
        .into_iter()
        .filter_map(|(seed, trials)| runner(stratum, seed, &trials))
        .collect()
}

fn runner(stratum: &Stratum, seed: (u64, u64, u64), trials: &[&Trial]) -> Option<Runner> {
    let courses: Vec<Course> = trials
        .iter()
        .filter_map(|trial| course(stratum, trial))
        .collect();
    let unknown = |trial: &&Trial| {
        trial
            .validity
            .flags
            .iter()
            .any(|f| f.code == "seed_unknown" || f.code == "seeds_unpaired")
    };
    let mut curves: BTreeMap<Axis, Vec<Descent>> = BTreeMap::new();
    for axis in Axis::ALL {
        let known: Vec<(&Vec<f64>, &Vec<f64>)> = courses
            .iter()
            .filter_map(|course| Some((course.spent.get(&axis)?, &course.losses)))
            .collect();
        if known.is_empty() || known.len() < courses.len() {
            continue;
        }
        let points = |(spent, losses): &(&Vec<f64>, &Vec<f64>)| -> Vec<(f64, f64)> {
            spent.iter().copied().zip(losses.iter().copied()).collect()
        };
        let mut of: Vec<Descent> = known
            .iter()
            .filter_map(|one| Descent::through(&points(one)))
            .collect();
        if known.len() > 1 {
            let ends: Vec<(f64, f64)> = known
                .iter()
                .filter_map(|one| points(one).last().copied())
                .collect();
            of.extend(Descent::through(&ends));
        }
        curves.insert(axis, of);
    }
    let first = curves.values().next()?;
    let last = first
        .iter()
        .map(|curve| curve.last().1)
        .fold(f64::INFINITY, f64::min);
    Some(Runner {
        seed: Some(seed).filter(|_| !trials.iter().any(unknown)),
        last,
        own: courses.len(),
        diverged: trials.iter().any(|trial| trial.status == Status::Diverged),
        curves,
    })
}

/// The one point of a trial without a curve: its end.
fn ending(trial: &Trial, end: &Spent) -> Option<Course> {
    let spent = Axis::ALL
        .into_iter()
        .filter_map(|axis| Some((axis, vec![end.on(axis)?])));
    Some(Course {
        spent: spent.collect(),
        losses: vec![trial.metric(metric::VAL_LOSS_NATS)?],
    })
}

/// The judged points of a trial; where its curve has none, its end.
fn course(stratum: &Stratum, trial: &Trial) -> Option<Course> {
    let curve = &trial.curve;
    let judged: Vec<usize> = (0..curve.val_loss_nats.len())
        .filter(|&k| curve.val_loss_nats[k].is_some())
        .collect();
    let end = stratum.spent(trial);
    if judged.is_empty() {
        return ending(trial, &end);
    }
    let whole = |values: Vec<f64>| (!values.is_empty()).then_some(values);
    let at = |values: &[f64]| {
        whole(
            judged
                .iter()
                .filter_map(|&k| values.get(k).copied())
                .collect(),
        )
    };
    let counts = |values: &[u64]| {
        at(&values
            .iter()
            .map(|value| *value as f64)
            .collect::<Vec<f64>>())
    };
    let flops = at(&curve.train_flops);
    let seconds = at(&curve.wall_s);
    // What the optimizer computes and what a second costs is the same all along.
    let scaled = |values: &Option<Vec<f64>>, by: Axis, total: Axis| {
        let factor = end.on(total)? / end.on(by)?;
        Some(
            values
                .as_ref()?
                .iter()
                .map(|value| value * factor)
                .collect::<Vec<f64>>(),
        )
    };
    let columns = [
        (
            Axis::TotalFlops,
            scaled(&flops, Axis::ModelFlops, Axis::TotalFlops),
        ),
        (
            Axis::Money,
            scaled(&seconds, Axis::WallSeconds, Axis::Money),
        ),
        (Axis::ModelFlops, flops),
        (Axis::WallSeconds, seconds),
        (Axis::Tokens, counts(&curve.tokens)),
        (Axis::Steps, counts(&curve.step)),
        (Axis::Joules, curve.energy_j.as_deref().and_then(at)),
    ];
    let losses = judged
        .iter()
        .filter_map(|&k| curve.val_loss_nats[k])
        .collect();
    Some(Course {
        spent: columns
            .into_iter()
            .filter_map(|(axis, values)| Some((axis, values?)))
            .collect(),
        losses,
    })
}

impl Runner {
    /// What it costs to reach a loss: by the run or the curve that gets there for the least.
    pub fn cost(&self, axis: Axis, target: f64) -> Option<Side> {
        let (log, bound) = match self.best(axis, target)?.1 {
            Crossing::At(x) => (x, Bound::Exact),
            Crossing::By(x) => (x, Bound::Less),
            Crossing::Beyond(x) => (x, Bound::More),
        };
        Some(Side {
            seed: self.seed,
            log,
            bound,
        })
    }

    /// The curve that gets to a loss for the least, by its place, and where.
    fn best(&self, axis: Axis, target: f64) -> Option<(usize, Crossing)> {
        let found = self
            .curves
            .get(&axis)?
            .iter()
            .map(|curve| curve.first(target))
            .enumerate();
        let rank = |crossing: &Crossing| match *crossing {
            Crossing::At(x) | Crossing::By(x) => (false, x),
            // Of those that did not get there the one that went farthest says most.
            Crossing::Beyond(x) => (true, -x),
        };
        found.min_by(|(_, a), (_, b)| {
            let (a, b) = (rank(a), rank(b));
            a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
        })
    }

    /// Whether it got to a loss on the way of a run, before a share of that run was done.
    pub fn on_the_way(&self, target: f64, share: f64) -> bool {
        let axis = if self.curves.contains_key(&Axis::Steps) {
            Some(&Axis::Steps)
        } else {
            self.curves.keys().next()
        };
        let Some((axis, (place, at))) =
            axis.and_then(|axis| Some((axis, self.best(*axis, target)?)))
        else {
            return false;
        };
        match at {
            Crossing::At(x) | Crossing::By(x) => {
                place < self.own && x < self.curves[axis][place].last().0 + share.ln()
            }
            Crossing::Beyond(_) => false,
        }
    }

    /// The logarithm of the largest cost on an axis.
    pub fn far(&self, axis: Axis) -> Option<f64> {
        self.curves
            .get(&axis)?
            .iter()
            .map(|curve| curve.last().0)
            .reduce(f64::max)
    }

    /// The lowest loss that it has at a cost.
    pub fn loss(&self, axis: Axis, at: f64) -> Option<Side> {
        let log = self
            .curves
            .get(&axis)?
            .iter()
            .filter_map(|curve| curve.at(at))
            .reduce(f64::min)?;
        Some(Side {
            seed: self.seed,
            log,
            bound: Bound::Exact,
        })
    }

    /// Its final loss.
    pub fn last(&self) -> f64 {
        self.last
    }

    /// Whether it is only a number, not a seed that somebody knows.
    pub fn is_blind(&self) -> bool {
        self.seed.is_none()
    }
}
