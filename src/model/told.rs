//! What the passes of a step told, and what parts of a model make of it once the step is done.

use std::collections::BTreeMap;

use super::id::ParamId;

/// Tokens that went to each expert, by router.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Loads(BTreeMap<usize, Vec<u64>>);

impl Loads {
    /// Of one router.
    pub(super) fn one(router: ParamId, loads: Vec<u64>) -> Self {
        Self(BTreeMap::from([(router.0, loads)]))
    }

    /// Of one router, by its weights.
    pub fn of(&self, router: ParamId) -> Option<&[u64]> {
        self.0.get(&router.0).map(Vec::as_slice)
    }

    /// Adds what another pass sent.
    pub fn join(&mut self, other: &Self) {
        for (router, loads) in &other.0 {
            let sum = self.0.entry(*router).or_default();
            sum.resize(loads.len(), 0);
            sum.iter_mut().zip(loads).for_each(|(sum, n)| *sum += n);
        }
    }

    /// MaxVio, the largest load over the mean, less 1 (Wang et al. 2024, arXiv 2408.15664, section 4.1): the largest of any router.
    /// `None` where nothing is routed.
    pub fn max_violation(&self) -> Option<f64> {
        let of_router = |loads: &Vec<u64>| {
            let (most, all) = (loads.iter().max()?, loads.iter().sum::<u64>());
            (all > 0).then(|| *most as f64 * loads.len() as f64 / all as f64 - 1.0)
        };
        self.0.values().filter_map(of_router).reduce(f64::max)
    }
}

/// An update's place in a training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct After {
    /// Updates before it.
    pub step: u64,
    /// Planned updates.
    pub steps: u64,
}

/// What a part makes of a buffer's numbers after an update, given what the whole batch told.
pub type Rule = Box<dyn Fn(&mut [f32], &Loads, After) + Send + Sync>;
