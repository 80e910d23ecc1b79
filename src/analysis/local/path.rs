//! Cells of the base in a row, and what they say between each other.

use crate::stat::{Falling, mean};

/// Costs that differ by no more than this share are the same.
const SAME_COST: f64 = 0.02;

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
