//! What is counted as spent: a gain is a vector, one number an axis, because an optimizer can save steps and cost seconds.

use serde::Serialize;

use super::price::Usage;
use crate::config::Price;
use crate::record::{Machine, Trial, metric};
use crate::stat::mean;

/// What is counted as spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Axis {
    /// Model FLOPs: the headline's.
    ModelFlops,
    /// Model and optimizer FLOPs.
    TotalFlops,
    /// Training tokens.
    Tokens,
    /// Optimizer steps.
    Steps,
    /// Seconds of training.
    WallSeconds,
    /// Joules, where meters read them.
    Joules,
    /// Money, at stated prices.
    Money,
    /// Grams of CO2 equivalent, where meters read joules.
    Carbon,
}

impl Axis {
    /// All of them, the headline's first.
    pub const ALL: [Self; 8] = [
        Self::ModelFlops,
        Self::TotalFlops,
        Self::Tokens,
        Self::Steps,
        Self::WallSeconds,
        Self::Joules,
        Self::Money,
        Self::Carbon,
    ];

    /// For prose, after "in".
    pub fn words(self) -> &'static str {
        match self {
            Self::ModelFlops => "model FLOPs",
            Self::TotalFlops => "FLOPs with the optimizer's",
            Self::Tokens => "tokens",
            Self::Steps => "steps",
            Self::WallSeconds => "seconds",
            Self::Joules => "joules",
            Self::Money => "money",
            Self::Carbon => "gCO2e",
        }
    }

    /// For the head of a column.
    pub fn heading(self) -> &'static str {
        match self {
            Self::TotalFlops => "+ optimizer",
            other => other.words(),
        }
    }

    /// Whether it depends on the machine and the build, so that only trials of one of each compare.
    pub fn is_local(self) -> bool {
        matches!(
            self,
            Self::WallSeconds | Self::Joules | Self::Money | Self::Carbon
        )
    }
}

/// What one finished trial spent, on each axis that is known.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Spent([Option<f64>; Axis::ALL.len()]);

impl Spent {
    /// Of a trial on its machine; what is not above 0 is not known. Money and carbon need prices, and only what is measured
    /// through and through counts: a ratio of ranges would be no gain.
    pub fn of(trial: &Trial, machine: &Machine, price: Option<&Price>) -> Self {
        let mut spent = Self::default();
        let flops = trial.train_flops();
        // Nobody says what an imported trial's optimizer cost.
        let total = flops
            .zip(trial.cost.as_ref())
            .map(|(flops, cost)| flops + cost.optimizer_flops);
        let steps = trial.curve.step.last().copied().or(trial.budget);
        let counted = [
            (Axis::ModelFlops, flops),
            (Axis::TotalFlops, total),
            (
                Axis::Tokens,
                trial.train_tokens().map(|tokens| tokens as f64),
            ),
            (Axis::Steps, steps.map(|steps| steps as f64)),
        ];
        counted
            .into_iter()
            .for_each(|(axis, value)| value.into_iter().for_each(|value| spent.put(axis, value)));
        trial
            .metric(metric::TRAIN_WALL_S)
            .into_iter()
            .for_each(|s| spent.put(Axis::WallSeconds, s));
        let mut measured =
            |axis, value: Option<f64>| value.into_iter().for_each(|value| spent.put(axis, value));
        measured(Axis::Joules, Usage::of(trial, machine).joules.value());
        measured(
            Axis::Money,
            price.and_then(|price| price.money_of(trial, machine).total.value()),
        );
        measured(
            Axis::Carbon,
            price.and_then(|price| price.carbon_of(trial, machine).total.value()),
        );
        spent
    }

    /// The geometric mean of several, on the axes that all of them know.
    pub fn mean(several: &[Self]) -> Self {
        let mut spent = Self::default();
        for axis in Axis::ALL {
            let logs: Option<Vec<f64>> = several.iter().map(|of| Some(of.on(axis)?.ln())).collect();
            match (several.first().and_then(|first| first.on(axis)), &logs) {
                // To the last digit.
                (Some(first), Some(_)) if several.iter().all(|of| of.on(axis) == Some(first)) => {
                    spent.put(axis, first)
                }
                (_, Some(logs)) => mean(logs)
                    .into_iter()
                    .for_each(|log| spent.put(axis, log.exp())),
                _ => {}
            }
        }
        spent
    }

    /// On one axis.
    pub fn on(&self, axis: Axis) -> Option<f64> {
        self.0[axis as usize]
    }

    /// Without what depends on the machine and the build.
    pub fn without_local(mut self) -> Self {
        Axis::ALL
            .into_iter()
            .filter(|axis| axis.is_local())
            .for_each(|axis| self.0[axis as usize] = None);
        self
    }

    fn put(&mut self, axis: Axis, value: f64) {
        self.0[axis as usize] = Some(value).filter(|value| value.is_finite() && *value > 0.0);
    }
}
