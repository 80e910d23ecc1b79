//! Records in, findings out: pure functions from a result file to values that `report` puts into words.

use serde::Serialize;

pub mod caveat;
pub mod fit;
pub mod gain;
pub mod pairs;
pub mod summary;

pub use gain::{Answer, Axis, Gain, answer};
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
