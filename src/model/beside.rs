//! What a pass leaves beside its output: terms of the loss, and how many tokens went to each expert.

use std::sync::{Mutex, PoisonError};

use candle_core::Tensor;

use super::id::ParamId;
use super::told::Loads;
use crate::error::Result;
use crate::ops::IGNORED;

/// Filled while a pass runs.
#[derive(Default)]
pub struct Beside {
    /// One number for each window.
    terms: Mutex<Vec<Tensor>>,
    loads: Mutex<Loads>,
}

impl Beside {
    /// A term of what training minimises, which is no part of a loss that is reported: one number for each window, (B).
    pub fn add_loss(&self, term_b: Tensor) {
        let terms = self.terms.lock();
        terms.unwrap_or_else(PoisonError::into_inner).push(term_b);
    }

    /// Tokens that a router sent to each of its experts.
    pub fn tell(&self, router: ParamId, loads: Vec<u64>) {
        let told = Loads::one(router, loads);
        let all = self.loads.lock();
        all.unwrap_or_else(PoisonError::into_inner).join(&told);
    }

    /// What all routers told.
    pub fn loads(&self) -> Loads {
        let loads = self.loads.lock();
        loads.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The terms, each a scalar: the mean over windows by what each is asked for, so that parts of a batch add up to the whole.
    pub(super) fn terms(&self, targets: &[u32], windows: usize) -> Result<Vec<Tensor>> {
        let terms = self.terms.lock();
        let terms = std::mem::take(&mut *terms.unwrap_or_else(PoisonError::into_inner));
        let known = |window: &[u32]| window.iter().filter(|t| **t != IGNORED).count() as f32;
        let all = known(targets);
        let of_windows = targets.chunks(targets.len() / windows.max(1));
        let shares: Vec<f32> = of_windows.map(|window| known(window) / all).collect();
        let mean = |term: &Tensor| {
            let shares = Tensor::from_slice(&shares, windows, term.device())?;
            Ok((term * shares)?.sum_all()?)
        };
        terms.iter().map(mean).collect()
    }
}
