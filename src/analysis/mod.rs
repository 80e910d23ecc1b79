//! Records in, findings out: pure functions from a result file to values that `report` puts into words.
//!
//! ```
//! # fn main() -> effbench::error::Result<()> {
//! use effbench::analysis::{answer, axis::Axis};
//! use effbench::record::store;
//!
//! # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/quick.json");
//! let file = store::read_valid(std::path::Path::new(path))?;
//! let found = answer(&file).expect("a base with several budgets, and a variant");
//! // How many times the base's FLOPs it would take the base to get as far, and why nobody knows where nobody does.
//! println!("{} against {}: {:?}", found.variant, found.base, found.headline());
//! for caveat in &found.caveats {
//!     println!("{}: {}", caveat.message, caveat.remedy);
//! }
//! # assert!(found.gains.contains_key(&Axis::ModelFlops));
//! # Ok(())
//! # }
//! ```

use serde::Serialize;

pub mod law;
pub mod price;
pub mod axis;
pub mod question;
pub mod settings;
pub mod stratum;
pub mod compare;
pub mod fit;
pub mod frontier;
pub mod pairs;
pub mod scatter;
pub mod form;
mod local;
pub mod gain;
mod taught;
mod planned;
pub mod caveat;
pub mod answer;
pub mod projection;
pub mod recipe;
pub mod spectrum;
pub mod summary;
pub mod target;
pub mod trend;
pub mod forecast;
pub mod beside;
pub mod study;
pub mod challenge;
pub mod along;
pub mod transfer;
pub mod valley;
pub mod ladder;
pub mod think;
pub mod cell;
pub mod drafted;
pub mod scarce;
pub mod mixture;
pub mod findings;
pub mod lifecycle;
#[cfg(test)]
mod coverage;

pub use answer::{Answer, answer};
pub use axis::Axis;
pub use gain::Gain;
pub use law::PowerLaw;
pub use question::Unanswered;
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

impl Caveat {
    /// The code of trials that shared the machine with other programs.
    pub(crate) const SHARED_MACHINE: &'static str = "shared_machine";
    /// The code of trials whose timings mean nothing.
    pub(crate) const INVALID_TRIALS: &'static str = "invalid_trials";

    /// Whether it is the seconds that are in doubt.
    pub fn is_of_seconds(&self) -> bool {
        [Self::SHARED_MACHINE, Self::INVALID_TRIALS].contains(&self.code)
    }
}
