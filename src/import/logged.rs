//! One training run as a log tells it: who it is, its points, and the figures that stand beside them.

use std::collections::BTreeMap;

use super::role::Role;
use crate::record::LossUnit;

/// One training run as a log tells it.
#[derive(Debug, Clone, PartialEq)]
pub struct LoggedRun {
    /// Which log, by its place among the logs.
    pub log: usize,
    /// Line of its first row.
    pub line: usize,
    /// Who it is.
    pub identity: Identity,
    /// Rising by `axis`; those without any loss are left out.
    pub points: Vec<Point>,
    /// What the points are ordered by; `None` for a single one that says nothing.
    pub axis: Option<Role>,
    /// Whether the rows were out of order.
    pub sorted: bool,
    /// Points left out because the clock was restarted after them.
    pub untimed: usize,
    /// Points that were trained again after a restart, and are replaced.
    pub replaced: usize,
    /// Whether the log's seconds are times of day, and count from its first row here.
    pub stamped: bool,
    /// What the log counts its loss in; the points are in nats.
    pub unit: LossUnit,
    /// Whether the judged loss is the training's, as the log states no other.
    pub of_training: bool,
    /// Figures that are metrics as they stand, of all rows in their order.
    pub figures: BTreeMap<Role, Vec<f64>>,
}

/// What is the same for all points of a run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    /// The algorithm.
    pub variant: String,
    /// The size, where the log names it.
    pub scale: Option<String>,
    /// The random seed.
    pub seed: Option<u64>,
    /// Planned steps.
    pub budget: Option<u64>,
    /// Parameters.
    pub params: Option<u64>,
}

/// One row's figures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// In the file.
    pub line: usize,
    /// Optimizer steps done.
    pub step: Option<u64>,
    /// Training tokens seen.
    pub tokens: Option<u64>,
    /// FLOPs spent.
    pub flops: Option<f64>,
    /// Seconds of training.
    pub seconds: Option<f64>,
    /// Training loss; may be NaN.
    pub train_loss: Option<f64>,
    /// The loss that is judged; may be NaN.
    pub loss: Option<f64>,
    /// Joules spent.
    pub joules: Option<f64>,
    /// Power.
    pub watts: Option<f64>,
}

impl Point {
    /// Whether it states a loss of any kind.
    pub fn states_a_loss(&self) -> bool {
        self.train_loss.is_some() || self.loss.is_some()
    }

    /// Whether it states an energy, or a power that becomes one.
    pub fn states_energy(&self) -> bool {
        self.joules.is_some() || self.watts.is_some()
    }

    /// The figure on one of the axes of a curve.
    pub fn on(&self, axis: Role) -> Option<f64> {
        match axis {
            Role::Step => self.step.map(|step| step as f64),
            Role::Tokens => self.tokens.map(|tokens| tokens as f64),
            Role::Flops => self.flops,
            Role::Seconds => self.seconds,
            _ => None,
        }
    }
}

impl LoggedRun {
    /// Whether it is a row of a table of speeds or energies, and states no loss.
    pub fn is_measured(&self) -> bool {
        let no_loss = self.points.iter().all(|point| !point.states_a_loss());
        let stated = !self.figures.is_empty() || self.joules().is_some();
        no_loss && stated
    }

    /// Joules at the end.
    pub fn joules(&self) -> Option<f64> {
        self.points.iter().rev().find_map(|point| point.joules)
    }
}

/// `adam, scale w64, seed 3`.
pub fn describe(identity: &Identity) -> String {
    let mut text = identity.variant.escape_debug().to_string();
    if let Some(scale) = &identity.scale {
        text.push_str(&format!(", scale {}", scale.escape_debug()));
    }
    for (what, value) in [
        ("seed", identity.seed),
        ("budget", identity.budget),
        ("params", identity.params),
    ] {
        text.push_str(
            &value
                .map(|value| format!(", {what} {value}"))
                .unwrap_or_default(),
        );
    }
    text
}
