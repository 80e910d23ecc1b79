//! Trials of a sweep as points of a surface of learning rates.

use serde_json::Value;

use super::asked::Asked;
use super::{Cost, Status, Trial, metric};
use crate::stat::surface::Point;

/// Where a cell lies on its arm's surface.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Position {
    /// Natural logarithm of the optimizer steps.
    pub ln_steps: f64,
    /// Natural logarithm of the width.
    pub ln_width: f64,
}

impl Position {
    /// Of a settled spec and its cost; `None` where the spec does not say.
    pub fn of(spec: &Value, cost: &Cost) -> Option<Self> {
        let asked = Asked::of(spec);
        let steps = cost.train_tokens as f64 / (asked.batch()? * asked.context()?);
        Some(Self {
            ln_steps: steps.ln(),
            ln_width: asked.width()?.ln(),
        })
    }

    /// Of a trial.
    pub fn of_trial(trial: &Trial) -> Option<Self> {
        Self::of(&trial.spec, trial.cost.as_ref()?)
    }
}

/// What a fit needs of each trial. A cell is its place; a trial that did not finish diverged, as far as its rate goes.
pub fn points(trials: &[&Trial]) -> Vec<Point> {
    let mut places: Vec<(u64, u64)> = Vec::new();
    let point = |trial: &&Trial| {
        let Position { ln_steps, ln_width } = Position::of_trial(trial)?;
        let ln_lr = trial.asked().lr()?.ln();
        let place = (ln_steps.to_bits(), ln_width.to_bits());
        let cell = places
            .iter()
            .position(|known| *known == place)
            .unwrap_or_else(|| {
                places.push(place);
                places.len() - 1
            });
        let loss_nats = trial
            .metric(metric::VAL_LOSS_NATS)
            .filter(|_| trial.status == Status::Ok);
        Some(Point {
            cell,
            seed: trial.seed,
            ln_steps,
            ln_size: ln_width,
            ln_lr,
            loss_nats,
        })
    };
    trials.iter().filter_map(point).collect()
}
