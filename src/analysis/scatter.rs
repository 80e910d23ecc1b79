//! What all repeats of a cell share, and no number of repeats averages out: how far cells' means lie off smooth curves.
//!
//! A rate that was chosen once, a schedule that happens to suit one budget: such an error moves every repeat of a cell alike, so
//! the spread over seeds does not know it. It shows in the curves. The means of ln loss of all variants of a study are
//! smoothed together: a level and a slope for each variant, one bend in ln C for all, and where sizes vary a bowl in ln N; what
//! cells lie off by, in nats, beyond the luck of their seeds is the variance that their repeats share. Where variants ran at too few
//! budgets for a slope each, they have one in common, and what their slopes differ by counts as scatter, which errs to the safe
//! side. Where even that leaves nothing to see, the shared deviation is taken to be twice that of one seed, with few
//! degrees of freedom: in the studies under `results/` it was 0.4 to 3.5 times as large, 1.6 in the middle.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::stratum::Stratum;
use crate::record::Status;
use crate::record::parents::own_flops;
use crate::stat::linear::residual_of;
use crate::stat::mean;

/// Degrees of freedom that a slope for each variant must leave; with fewer they have one in common.
const OWN_SLOPES: usize = 4;
/// Degrees of freedom below which the scatter of cells is not seen.
const LEAST: usize = 2;
/// A shared deviation that nobody could see, in deviations of one seed ...
const ASSUMED: f64 = 2.0;
/// ... known as well as from so many cells.
const ASSUMED_FREEDOM: f64 = 3.0;
/// Above this range of costs one bend in logarithms does not describe a curve.
const LONG: f64 = 50.0;

/// Whether the shared deviation was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// In the scatter of the cells' means.
    Seen,
    /// It was not: too few cells.
    Assumed,
}

/// Standard deviations in nats, within a study on one kind of data.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Scatter {
    /// Of what the repeats of a cell share.
    pub shared_sd_nats: f64,
    /// Of one trial around its cell, without what a seed does to all cells; `null` where no cell has two.
    pub luck_sd_nats: Option<f64>,
    /// Of a cell's mean around smooth curves, luck included, where it was seen.
    pub cell_sd_nats: Option<f64>,
    /// Degrees of freedom of the shared deviation.
    pub freedom: f64,
    /// Where it comes from.
    pub basis: Basis,
}

/// A cell's losses by seed.
struct Cell<'a> {
    variant: &'a str,
    scale: &'a str,
    log_flops: f64,
    log_params: Option<f64>,
    losses: BTreeMap<u64, f64>,
}

impl Cell<'_> {
    fn mean(&self) -> f64 {
        self.losses.values().sum::<f64>() / self.losses.len() as f64
    }
}

impl Scatter {
    /// How the finished trials of a world scatter; `None` where no cell has two, so that nothing is known of luck either.
    pub fn of(stratum: &Stratum) -> Option<Self> {
        let cells = cells(stratum);
        let luck = luck(&cells)?;
        let curves = Curves::of(&cells, true).filter(|curves| curves.freedom >= OWN_SLOPES);
        let curves = curves
            .or_else(|| Curves::of(&cells, false))
            .filter(|curves| curves.freedom >= LEAST);
        Some(match curves {
            Some(curves) => {
                let (variance, of_luck) = (curves.around(&cells), curves.luck(&cells));
                Self {
                    shared_sd_nats: (variance - of_luck).max(0.0).sqrt(),
                    luck_sd_nats: Some(luck.sqrt()),
                    cell_sd_nats: Some(variance.sqrt()),
                    freedom: curves.freedom as f64,
                    basis: Basis::Seen,
                }
            }
            None => Self {
                shared_sd_nats: ASSUMED * luck.sqrt(),
                luck_sd_nats: Some(luck.sqrt()),
                cell_sd_nats: None,
                freedom: ASSUMED_FREEDOM,
                basis: Basis::Assumed,
            },
        })
    }
}

fn cells<'a>(stratum: &Stratum<'a>) -> Vec<Cell<'a>> {
    let loss = stratum.loss_metric();
    let mut cells: Vec<(Option<u64>, Cell)> = Vec::new();
    let mut places: BTreeMap<(&str, &str, Option<u64>), usize> = BTreeMap::new();
    for trial in stratum
        .trials
        .iter()
        .filter(|trial| trial.status == Status::Ok)
    {
        let (Some(flops), Some(loss)) = (own_flops(trial), trial.metric(loss)) else {
            continue;
        };
        if !(flops > 0.0 && loss > 0.0 && loss.is_finite()) {
            continue;
        }
        let place = *places
            .entry((&trial.variant, &trial.scale, trial.budget))
            .or_insert_with(|| {
                let log_params = trial
                    .params()
                    .filter(|params| *params > 0)
                    .map(|params| (params as f64).ln());
                let (variant, scale, log_flops) =
                    (trial.variant.as_str(), trial.scale.as_str(), flops.ln());
                cells.push((
                    trial.budget,
                    Cell {
                        variant,
                        scale,
                        log_flops,
                        log_params,
                        losses: BTreeMap::new(),
                    },
                ));
                cells.len() - 1
            });
        cells[place].1.losses.insert(trial.seed, loss);
    }
    cells.into_iter().map(|(_, cell)| cell).collect()
}

/// Variance of a trial around its cell, after what each seed does to all cells is taken out.
fn luck(cells: &[Cell]) -> Option<f64> {
    let mut deviations: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
    for cell in cells.iter().filter(|cell| cell.losses.len() > 1) {
        let mean = cell.mean();
        cell.losses
            .iter()
            .for_each(|(seed, loss)| deviations.entry(*seed).or_default().push(loss - mean));
    }
    let trials: usize = deviations.values().map(Vec::len).sum();
    let several = cells.iter().filter(|cell| cell.losses.len() > 1).count();
    // A seed of one cell only does nothing to others.
    let squares = deviations.values().map(|of_seed| {
        let shared = if several > 1 && of_seed.len() > 1 {
            mean(of_seed).unwrap_or(0.0)
        } else {
            0.0
        };
        of_seed
            .iter()
            .map(|deviation| (deviation - shared).powi(2))
            .sum::<f64>()
    });
    let shared = deviations.values().filter(|of_seed| of_seed.len() > 1);
    let common = if several > 1 {
        shared.count().saturating_sub(1)
    } else {
        0
    };
    let freedom = trials
        .checked_sub(several + common)
        .filter(|freedom| *freedom > 0)?;
    Some(squares.sum::<f64>() / freedom as f64)
}

/// Smooth curves of ln loss through all variants' cells, as what they can follow in nats: a level, and perhaps a slope, of each
/// variant, and what all have in common.
struct Curves {
    /// Each variant's cells, and its level and slope there.
    arms: Vec<(Vec<usize>, Vec<Vec<f64>>)>,
    /// What variants have in common, with their own taken out (Frisch and Waugh 1933).
    common: Vec<Vec<f64>>,
    /// Degrees of freedom left.
    freedom: usize,
}

impl Curves {
    fn of(cells: &[Cell], own_slopes: bool) -> Option<Self> {
        let names: BTreeSet<&str> = cells.iter().map(|cell| cell.variant).collect();
        // A residual of ln loss times the loss is one in nats.
        let in_nats = |column: &[f64]| -> Vec<f64> {
            cells
                .iter()
                .zip(column)
                .map(|(c, x)| x * c.mean())
                .collect()
        };
        let (level, place) = (in_nats(&vec![1.0; cells.len()]), in_nats(&places(cells)));
        let arm = |name: &str| {
            let members: Vec<usize> = (0..cells.len())
                .filter(|&k| cells[k].variant == name)
                .collect();
            let of = |values: &[f64]| members.iter().map(|&k| values[k]).collect::<Vec<f64>>();
            let known = if own_slopes {
                vec![of(&level), of(&place)]
            } else {
                vec![of(&level)]
            };
            (members, known)
        };
        let mut found = Self {
            arms: names.into_iter().map(arm).collect(),
            common: Vec::new(),
            freedom: 0,
        };
        found.common = common(cells, own_slopes)
            .iter()
            .map(|column| found.within(&in_nats(column)))
            .collect();
        let taken: usize = found.arms.iter().map(|(_, known)| rank(known)).sum();
        found.freedom = cells.len().checked_sub(taken + rank(&found.common))?;
        Some(found)
    }

    /// A column without what each variant's own level and slope follow.
    fn within(&self, column: &[f64]) -> Vec<f64> {
        let mut left = vec![0.0; column.len()];
        for (members, known) in &self.arms {
            let residual = residual_of(
                &members.iter().map(|&k| column[k]).collect::<Vec<_>>(),
                known,
            );
            members
                .iter()
                .zip(residual)
                .for_each(|(&k, value)| left[k] = value);
        }
        left
    }

    /// Mean square of what no curve follows.
    fn left(&self, column: &[f64]) -> f64 {
        let left = residual_of(&self.within(column), &self.common);
        left.iter().map(|value| value * value).sum::<f64>() / self.freedom as f64
    }

    /// Variance of cells' means around the curves.
    fn around(&self, cells: &[Cell]) -> f64 {
        self.left(
            &cells
                .iter()
                .map(|cell| cell.mean().ln() * cell.mean())
                .collect::<Vec<_>>(),
        )
    }

    /// As much of it as the luck of seeds makes, each seed's deviations against the same curves: what a seed, or a rate drawn with
    /// it, does to a whole variant is not in them.
    fn luck(&self, cells: &[Cell]) -> f64 {
        let seeds: BTreeSet<u64> = cells
            .iter()
            .flat_map(|cell| cell.losses.keys().copied())
            .collect();
        let of = |seed: &u64| {
            let apart = |cell: &Cell| {
                let n = cell.losses.len() as f64;
                let known = cell.losses.get(seed).filter(|_| n > 1.0);
                known.map_or(0.0, |loss| (loss - cell.mean()) / (n * (n - 1.0)).sqrt())
            };
            self.left(&cells.iter().map(apart).collect::<Vec<_>>())
        };
        seeds.iter().map(of).sum()
    }
}

/// ln C around the middle of all.
fn places(cells: &[Cell]) -> Vec<f64> {
    let middle = mean(&cells.iter().map(|cell| cell.log_flops).collect::<Vec<_>>()).unwrap_or(0.0);
    cells.iter().map(|cell| cell.log_flops - middle).collect()
}

/// What all variants have in common: a bend in ln C, a third power over a long range, and a bowl in ln N where sizes vary.
fn common(cells: &[Cell], own_slopes: bool) -> Vec<Vec<f64>> {
    let x = places(cells);
    let range = x.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
    let power = |k: i32| x.iter().map(|x| x.powi(k)).collect::<Vec<f64>>();
    let mut columns = if own_slopes {
        vec![power(2)]
    } else {
        vec![power(1), power(2)]
    };
    if 2.0 * range > LONG.ln() {
        columns.push(power(3));
    }
    if let Some(size) = sizes(cells) {
        let times = |other: &[f64]| {
            size.iter()
                .zip(other)
                .map(|(a, b)| a * b)
                .collect::<Vec<f64>>()
        };
        columns.extend([times(&x), times(&size), size.clone()]);
    }
    columns
}

/// ln N of each cell, its scale's mean around the middle of all; `None` for one size. Variants of one scale differ by a few
/// parts in a hundred, which says nothing of size.
fn sizes(cells: &[Cell]) -> Option<Vec<f64>> {
    let mut by_scale: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for cell in cells {
        by_scale
            .entry(cell.scale)
            .or_default()
            .push(cell.log_params?);
    }
    let means: BTreeMap<&str, f64> = by_scale
        .iter()
        .filter_map(|(scale, sizes)| Some((*scale, mean(sizes)?)))
        .collect();
    let middle = means.values().sum::<f64>() / means.len() as f64;
    (means.len() > 1).then(|| {
        cells
            .iter()
            .map(|cell| means[cell.scale] - middle)
            .collect()
    })
}

/// How many of these columns are independent.
fn rank(columns: &[Vec<f64>]) -> usize {
    let size = |column: &[f64]| column.iter().map(|value| value * value).sum::<f64>().sqrt();
    let independent =
        |k: usize| size(&residual_of(&columns[k], &columns[..k])) > 1e-7 * size(&columns[k]);
    (0..columns.len()).filter(|&k| independent(k)).count()
}
