//! A rotation of queries and keys by their positions: angles as trained, or stretched afterwards for longer windows, kept for as long
//! as the model lives.

use std::f64::consts::TAU;
use std::sync::{Mutex, PoisonError};

use candle_core::{DType, Device};

use crate::error::Result;
use crate::ops::RopeTable;

/// How angles differ from those of Su et al. 2021.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Stretch {
    /// Not at all.
    None,
    /// All divided by this: positions are interpolated (Chen et al. 2023, arXiv 2306.15595, equation 4).
    Linear(f64),
    /// Those of slow pairs divided by a factor, those of fast ones not, those between by something between (Llama 3.1:
    /// `apply_scaling` of Meta's llama-models; `rope_type` llama3 of `transformers`).
    Llama3 {
        /// Angles of slow pairs are divided by this.
        factor: f64,
        /// Pairs that turn at most so often over `original` positions are slow.
        low: f64,
        /// Pairs that turn at least so often over `original` positions are fast.
        high: f64,
        /// The longest window before.
        original: f64,
    },
    /// Of each pair divided by a number of its own.
    Each(Vec<f64>),
}

impl Stretch {
    /// What the angle of a pair is divided by, which turns by `frequency` radians from a position to the next.
    fn divisor(&self, pair: usize, frequency: f64) -> f64 {
        match self {
            Stretch::None => 1.0,
            Stretch::Linear(factor) => *factor,
            Stretch::Llama3 {
                factor,
                low,
                high,
                original,
            } => {
                let turns = original * frequency / TAU;
                let fast = ((turns - low) / (high - low)).clamp(0.0, 1.0);
                1.0 / ((1.0 - fast) / factor + fast)
            }
            Stretch::Each(all) => all[pair],
        }
    }
}

/// Places that a table of angles is made for: those of the context, or of a longer cache, which is filled token by token.
pub(super) fn places(context: usize, last: usize) -> usize {
    match last <= context {
        true => context,
        false => last.next_power_of_two(),
    }
}

/// Of heads of an even width.
pub(super) struct Rotation {
    theta: f64,
    stretch: Stretch,
    head_width: usize,
    context: usize,
    /// Of the whole context, on the device that asked last: its cosines would take as long as a small model's step.
    table: Mutex<Option<RopeTable>>,
}

impl Rotation {
    /// By `theta^(-2i / D)` and what stretches that, for positions below `context`.
    pub fn new(theta: f64, stretch: Stretch, head_width: usize, context: usize) -> Self {
        Self {
            theta,
            stretch,
            head_width,
            context,
            table: Mutex::new(None),
        }
    }

    /// Whether its angles are those of another.
    pub fn is_like(&self, other: &Self) -> bool {
        let own = |it: &Self| (it.theta, it.head_width, it.context);
        own(self) == own(other) && self.stretch == other.stretch
    }

    /// Of positions `offset..offset + time`.
    ///
    /// # Errors
    /// Where they reach beyond the context.
    pub fn angles(&self, offset: usize, time: usize, device: &Device) -> Result<RopeTable> {
        let mut kept = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let last = offset + time;
        let table = match kept.take().filter(|table| table.holds(last, device)) {
            Some(table) => table,
            None => {
                let (all, count) = (self.frequencies(), places(self.context, last));
                RopeTable::of(&all, (0, count), DType::F32, device)?
            }
        };
        Ok(kept.insert(table).slice(offset, time)?)
    }

    /// Of each pair, in radians from a position to the next.
    fn frequencies(&self) -> Vec<f64> {
        let plain = RopeTable::frequencies(self.theta, self.head_width);
        let pairs = plain.into_iter().enumerate();
        pairs
            .map(|(pair, f)| f / self.stretch.divisor(pair, f))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fast_pairs_stay_slow_ones_are_stretched_and_those_between_lie_between() {
        let stretch = Stretch::Llama3 {
            factor: 8.0,
            low: 1.0,
            high: 4.0,
            original: 8192.0,
        };
        let check = |turns: f64, divisor: f64| {
            let found = stretch.divisor(0, turns * TAU / 8192.0);
            assert!((found - divisor).abs() < 1e-12, "{turns} turns: {found}");
        };
        check(1000.0, 1.0);
        check(4.0, 1.0);
        // A third of the way: 1 / (2/3 / 8 + 1/3).
        check(2.0, 2.4);
        check(1.0, 8.0);
        check(0.01, 8.0);
        // Of Llama 3.1 8B (theta 500,000, 128 channels) the first 29 pairs stay and the last 29 are divided by 8.
        let plain = RopeTable::frequencies(5e5, 128);
        let all: Vec<f64> = plain.iter().map(|f| stretch.divisor(0, *f)).collect();
        let count = |divisor: f64| all.iter().filter(|d| **d == divisor).count();
        assert_eq!((all.len(), count(1.0), count(8.0)), (64, 29, 29));
        let rotation = |stretch| Rotation::new(100.0, stretch, 4, 8).frequencies();
        assert_eq!(rotation(Stretch::None), [1.0, 0.1]);
        assert_eq!(rotation(Stretch::Linear(4.0)), [0.25, 0.025]);
        assert_eq!(rotation(Stretch::Each(vec![1.0, 2.0])), [1.0, 0.05]);
    }
}
