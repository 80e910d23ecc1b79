//! Records in, findings out: pure functions from a result file to values that `report` puts into words.

use serde::Serialize;

pub mod axis;
pub mod caveat;
pub mod compare;
#[cfg(test)]
mod coverage;
pub mod fit;
pub mod form;
pub mod frontier;
pub mod gain;
pub mod law;
mod local;
pub mod pairs;
pub mod price;
pub mod projection;
pub mod recipe;
pub mod scatter;
pub mod settings;
pub mod spectrum;
pub mod study;
pub mod along;
pub mod summary;
pub mod target;
pub mod transfer;
pub mod trend;
pub mod valley;
pub mod stratum;

pub use axis::Axis;
pub use gain::{Answer, Gain, answer};
pub use law::PowerLaw;
pub use pairs::Unanswered;
pub use summary::{CellSummary, summarise};

/// A reason for doubt, with its remedy; it never stops anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Caveat {
    /// For programs: `few_repeats`.
    pub code: &'static str,
    /// One sentence without a full stop.
    pub message: String,
    /// What would take the doubt away.
    pub remedy: String,
}
