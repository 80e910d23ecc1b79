//! Two sources in different proportions: the loss on each, and the proportion that is best for the first, for the second, and for both
//! alike.

use std::collections::BTreeMap;

use serde_json::Value;

use super::cell::Cell;
use super::stratum::words;
use crate::record::{Trial, metric};
use crate::stat::interval::LEVEL;
use crate::stat::{Estimate, Interval, critical, lowest_of_parabola, mean, mean_estimate, sd};

/// Cells that differ in the share of the second source and in nothing else.
#[derive(Debug, Clone)]
pub struct Mixture {
    /// `gpt2`.
    pub variant: String,
    /// In steps, where cells carry it.
    pub budget: Option<u64>,
    /// What the two sources are called.
    pub sources: [String; 2],
    /// By rising share.
    pub rows: Vec<Row>,
    /// For the first source's loss, the second's, and the mean of both.
    pub best: Vec<Best>,
}

/// One proportion.
#[derive(Debug, Clone)]
pub struct Row {
    /// The cell's name.
    pub cell: String,
    /// Share of the second source's windows.
    pub share: f64,
    /// Losses on both, in nats.
    pub losses: [Estimate; 2],
    /// Repeats.
    pub n: usize,
}

/// What a proportion is the best for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aim {
    /// The first source's loss.
    First,
    /// The second's.
    Second,
    /// The mean of both.
    Both,
}

/// The proportion with the lowest loss.
#[derive(Debug, Clone)]
pub struct Best {
    /// Which loss.
    pub aim: Aim,
    /// Where it is lowest.
    pub share: Share,
    /// By how much it is lower there, at the share that ran, than at the lowest share: repeat by repeat, in nats.
    pub saved: Option<Estimate>,
}

/// A best share.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Share {
    /// Between two that ran: the lowest point of a parabola through the best and its neighbours, repeat by repeat.
    Told(Estimate),
    /// The lowest or the highest that ran has the lowest loss.
    AtEdge(f64),
    /// Repeats do not agree on one between the neighbours; here is the best that ran.
    Untold(f64),
}

/// Proportions beside each other: three at the least.
const FEWEST: usize = 3;

/// Every set of proportions among the cells.
pub fn mixtures(cells: &[Cell]) -> Vec<Mixture> {
    let mut groups: BTreeMap<(String, Option<u64>, String), Vec<&Cell>> = BTreeMap::new();
    for cell in cells {
        let trial = cell.any();
        let Some(rest) = share_of(trial).and_then(|_| without_share(trial)) else {
            continue;
        };
        let key = (trial.variant.clone(), trial.budget, rest.to_string());
        groups.entry(key).or_default().push(cell);
    }
    groups
        .into_iter()
        .filter_map(|((variant, budget, _), cells)| mixture(variant, budget, &cells))
        .collect()
}

/// The share of the second source, where there is one.
fn share_of(trial: &Trial) -> Option<f64> {
    trial.spec.pointer("/mixed/share")?.as_f64()
}

/// What else it is; rates may have been chosen for each share.
fn without_share(trial: &Trial) -> Option<Value> {
    let mut spec = trial.spec.clone();
    spec.pointer_mut("/mixed")?.as_object_mut()?.remove("share");
    if let Some(optimizer) = spec.pointer_mut("/train/optimizer") {
        optimizer.as_object_mut()?.remove("lr");
    }
    Some(spec)
}

fn mixture(variant: String, budget: Option<u64>, cells: &[&Cell]) -> Option<Mixture> {
    let mut rows: Vec<(Row, BTreeMap<u64, [f64; 2]>)> =
        cells.iter().filter_map(|cell| row(cell)).collect();
    rows.sort_by(|(a, _), (b, _)| a.share.total_cmp(&b.share));
    rows.dedup_by(|(a, _), (b, _)| a.share == b.share);
    if rows.len() < FEWEST {
        return None;
    }
    let spec = &cells.first()?.any().spec;
    let named = |pointer| words(spec.pointer(pointer), "the second source");
    let by_share: Vec<(f64, BTreeMap<u64, [f64; 2]>)> = rows
        .iter()
        .map(|(row, losses)| (row.share, losses.clone()))
        .collect();
    let aims = [Aim::First, Aim::Second, Aim::Both];
    Some(Mixture {
        variant,
        budget,
        sources: [named("/data"), named("/mixed/data")],
        best: aims
            .into_iter()
            .filter_map(|aim| best(aim, &by_share))
            .collect(),
        rows: rows.into_iter().map(|(row, _)| row).collect(),
    })
}

fn row(cell: &Cell) -> Option<(Row, BTreeMap<u64, [f64; 2]>)> {
    let losses = |trial: &Trial| {
        let names = [metric::VAL_LOSS_NATS, metric::VAL_LOSS_MIXED_NATS];
        let [first, second] = names.map(|name| trial.metric(name));
        Some((trial.repeat, [first?, second?]))
    };
    let by_repeat: BTreeMap<u64, [f64; 2]> = cell.finished().filter_map(losses).collect();
    let of = |k: usize| {
        let all: Vec<f64> = by_repeat.values().map(|losses| losses[k]).collect();
        mean_estimate(&all, LEVEL)
    };
    let row = Row {
        cell: cell.name.clone(),
        share: share_of(cell.any())?,
        losses: [of(0)?, of(1)?],
        n: by_repeat.len(),
    };
    Some((row, by_repeat))
}

impl Aim {
    fn of(self, losses: &[f64; 2]) -> f64 {
        match self {
            Self::First => losses[0],
            Self::Second => losses[1],
            Self::Both => 0.5 * (losses[0] + losses[1]),
        }
    }
}

fn best(aim: Aim, rows: &[(f64, BTreeMap<u64, [f64; 2]>)]) -> Option<Best> {
    // Repeats that every share has: those are compared with themselves.
    let whole = |repeat: &&u64| rows.iter().all(|(_, losses)| losses.contains_key(repeat));
    let repeats: Vec<u64> = rows.first()?.1.keys().filter(whole).copied().collect();
    let of = |row: usize, repeat: u64| aim.of(&rows[row].1[&repeat]);
    let means: Option<Vec<f64>> = (0..rows.len())
        .map(|row| mean(&repeats.iter().map(|r| of(row, *r)).collect::<Vec<_>>()))
        .collect();
    let lowest = means?
        .iter()
        .enumerate()
        .min_by(|(_, a), (_, b)| a.total_cmp(b))
        .map(|(row, _)| row)?;
    let saved: Vec<f64> = repeats
        .iter()
        .map(|repeat| of(0, *repeat) - of(lowest, *repeat))
        .collect();
    let at = rows[lowest].0;
    let share = if lowest == 0 || lowest + 1 == rows.len() {
        Share::AtEdge(at)
    } else {
        let three = [lowest - 1, lowest, lowest + 1];
        let bottom =
            |repeat: &u64| lowest_of_parabola(three.map(|row| (rows[row].0, of(row, *repeat))));
        let bottoms: Option<Vec<f64>> = repeats.iter().map(bottom).collect();
        let ends = [rows[lowest - 1].0, rows[lowest + 1].0];
        let told = bottoms.and_then(|all| between(&all, ends));
        told.map_or(Share::Untold(at), Share::Told)
    };
    Some(Best {
        aim,
        share,
        saved: mean_estimate(&saved, LEVEL).filter(|_| lowest > 0),
    })
}

/// The mean of lowest points with its t interval, where that lies between the neighbours: beyond them nothing ran that the parabola
/// was drawn through.
fn between(bottoms: &[f64], [low, high]: [f64; 2]) -> Option<Estimate> {
    let (value, n) = (mean(bottoms)?, bottoms.len());
    let half = critical(n as f64 - 1.0, LEVEL)? * sd(bottoms)? / (n as f64).sqrt();
    let interval = Interval {
        low: value - half,
        high: value + half,
        level: LEVEL,
    };
    (interval.low >= low && interval.high <= high).then_some(Estimate {
        value,
        interval: Some(interval),
        n,
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;
    use crate::analysis::findings::Findings;
    use crate::record::example::example;
    use crate::record::{Metric, ResultFile, Status};

    /// Five shares, three repeats; the first source's loss is lowest at `at(repeat)`, the second's falls with its share.
    pub(crate) fn mixed(at: impl Fn(u64) -> f64) -> ResultFile {
        let mut file = example();
        let model = file.trials.remove(0);
        file.trials.clear();
        for (k, share) in [0.0, 0.25, 0.5, 0.75, 1.0].into_iter().enumerate() {
            for repeat in 0..3 {
                let mut trial = Trial {
                    cell: format!("gpt2/s{k}"),
                    scale: format!("s{k}"),
                    status: Status::Ok,
                    repeat,
                    order: 3 * k as u64 + repeat,
                    ..model.clone()
                };
                trial.arm = trial.cell.clone();
                trial.spec["mixed"] = json!({
                    "share": share, "data": {"kind": "language", "preset": "easy", "changed": 0.5}
                });
                let first = 3.0 + 0.01 * repeat as f64 + (share - at(repeat)).powi(2);
                for (name, loss) in [
                    (metric::VAL_LOSS_NATS, first),
                    (metric::VAL_LOSS_MIXED_NATS, 4.0 - share),
                ] {
                    let metric = Metric::value(name, loss);
                    trial.metrics.insert(name.into(), metric);
                }
                file.trials.push(trial);
            }
        }
        file
    }

    fn found(at: impl Fn(u64) -> f64) -> Mixture {
        let file = mixed(at);
        let mut all = mixtures(&Findings::of(&file).cells);
        assert_eq!(all.len(), 1);
        all.remove(0)
    }

    #[test]
    fn the_best_share_lies_between_those_that_ran_with_its_interval() {
        let mixture = found(|repeat| 0.4 + 0.01 * repeat as f64);
        assert_eq!(mixture.rows.len(), 5);
        assert_eq!(
            mixture.sources[1],
            "synthetic language (easy, 50.0% changed)"
        );
        let Share::Told(first) = mixture.best[0].share else {
            panic!("{:?}", mixture.best)
        };
        assert!((first.value - 0.41).abs() < 1e-12);
        // t of 2 degrees of freedom times 0.01 over the root of 3.
        let half = 4.302_652_729_749_462 * 0.01 / 3f64.sqrt();
        assert!((first.interval.unwrap().high - 0.41 - half).abs() < 1e-12);
        let saved = mixture.best[0].saved.unwrap();
        assert!(
            (saved.value - (0.41f64 * 0.41 - 0.09 * 0.09)).abs() < 1e-3,
            "{saved:?}"
        );
        // More of the second source is better for the second source, as far as it ran.
        assert_eq!(mixture.best[1].share, Share::AtEdge(1.0));
    }

    #[test]
    fn what_repeats_do_not_agree_on_is_not_told() {
        let mixture = found(|repeat| [0.3, 0.5, 0.7][repeat as usize]);
        assert_eq!(mixture.best[0].share, Share::Untold(0.5));
    }

    #[test]
    fn fewer_than_three_shares_and_a_single_source_are_no_mixture() {
        let mut file = mixed(|_| 0.4);
        file.trials.retain(|trial| trial.order < 6);
        assert!(mixtures(&Findings::of(&file).cells).is_empty());
        assert!(mixtures(&Findings::of(&example()).cells).is_empty());
    }
}
