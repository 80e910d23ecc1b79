//! Cells of the base in a row, and what they say between each other.

use std::collections::BTreeSet;

use crate::analysis::axis::Axis;
use crate::analysis::pairs::BaseCell;
use crate::stat::{Falling, mean};

/// Costs that differ by no more than this share are the same.
pub(super) const SAME_COST: f64 = 0.02;

/// Tokens to a parameter that differ by no more than this factor are on one ray.
const SAME_RAY: f64 = 1.3;

/// Cells of the base in a row, with their means over repeats.
pub(super) struct Path {
    pub(super) cells: Vec<usize>,
    /// Mean ln cost.
    pub(super) places: Vec<f64>,
    /// Mean loss, nats.
    pub(super) losses: Vec<f64>,
    pub(super) curve: Option<Falling>,
}

/// What a path says at a cost.
pub(super) struct Read {
    pub(super) loss: f64,
    /// Of ln loss, by cell.
    pub(super) shares: Vec<(usize, f64)>,
    /// Nats for an e-fold cost.
    pub(super) slope: f64,
    pub(super) reading_se: f64,
}

impl Path {
    /// Of cells with their mean ln cost and loss.
    pub(super) fn of(mut cells: Vec<usize>, mean: &dyn Fn(usize) -> (f64, f64)) -> Self {
        cells.sort_by(|a, b| mean(*a).0.total_cmp(&mean(*b).0));
        let points: Vec<(f64, f64)> = cells.iter().map(|&k| mean(k)).collect();
        let (places, losses) = points.iter().copied().unzip();
        Self {
            curve: Falling::through(&points),
            cells,
            places,
            losses,
        }
    }

    /// Ln cost of its first and last cell.
    pub(super) fn range(&self) -> (f64, f64) {
        (self.places[0], self.places[self.places.len() - 1])
    }

    /// What is reached for ln cost `x` and no more than is there; `None` before the first cell.
    pub(super) fn read(&self, x: f64) -> Option<Read> {
        let (from, to) = self.range();
        if x < from - 1e-9 {
            return None;
        }
        let Some(curve) = &self.curve else {
            let share = 1.0 / self.cells.len() as f64;
            let shares = self.cells.iter().map(|&cell| (cell, share)).collect();
            return Some(Read {
                loss: mean(&self.losses)?,
                shares,
                slope: 0.0,
                reading_se: 0.0,
            });
        };
        let place = x.clamp(from, to);
        let (loss, shares) = (curve.at(place)?, curve.shares(place));
        let chord: f64 = shares
            .iter()
            .zip(&self.losses)
            .map(|(share, loss)| share * loss.ln())
            .sum();
        let slope = if x > to {
            0.0
        } else {
            loss * curve.slope(place)?
        };
        let shares = self
            .cells
            .iter()
            .copied()
            .zip(shares)
            .filter(|(_, share)| *share > 0.0)
            .collect();
        Some(Read {
            loss,
            shares,
            slope,
            reading_se: 0.5 * (loss - chord.exp()).abs(),
        })
    }

    /// What the cell at ln cost `x` reached, where there is one.
    pub(super) fn measured(&self, x: f64) -> Option<Read> {
        let apart = |k: &usize| (self.places[*k] - x).abs();
        let nearest = (0..self.cells.len()).min_by(|a, b| apart(a).total_cmp(&apart(b)))?;
        let read = || Read {
            loss: self.losses[nearest],
            shares: vec![(self.cells[nearest], 1.0)],
            slope: 0.0,
            reading_se: 0.0,
        };
        (apart(&nearest) <= SAME_COST.ln_1p()).then(read)
    }
}

/// The rows that cells of the base make: each size, and each ray of at least two sizes. In tokens and steps a larger model costs
/// no more, so there only the variant's own size counts.
pub(super) fn rows(cells: &[BaseCell], scale: &str, axis: Axis) -> Vec<Vec<usize>> {
    let of_scale = |scale: &str| {
        (0..cells.len())
            .filter(|&k| cells[k].scale == scale)
            .collect::<Vec<usize>>()
    };
    if matches!(axis, Axis::Tokens | Axis::Steps) {
        return Some(of_scale(scale))
            .filter(|row| !row.is_empty())
            .into_iter()
            .collect();
    }
    let mut scales: Vec<&str> = cells.iter().map(|cell| cell.scale.as_str()).collect();
    scales.sort_unstable();
    scales.dedup();
    let mut rows: Vec<Vec<usize>> = scales.iter().map(|scale| of_scale(scale)).collect();
    for first in cells {
        let Some(read_at) = first.tokens_per_param else {
            continue;
        };
        let near = |k: &usize| {
            cells[*k]
                .tokens_per_param
                .is_some_and(|other| (other / read_at).ln().abs() < SAME_RAY.ln())
        };
        let row: Vec<usize> = (0..cells.len()).filter(near).collect();
        let sizes = row
            .iter()
            .map(|&k| &cells[k].scale)
            .collect::<BTreeSet<_>>();
        if sizes.len() > 1 && sizes.len() == row.len() && !rows.contains(&row) {
            rows.push(row);
        }
    }
    rows
}
