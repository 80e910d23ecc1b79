//! Findings in, text out. Nothing here prints, reads the environment or knows a terminal: `cli` says how wide it is.

pub mod summary;
pub mod compare;
pub mod findings;
pub mod gain;
pub mod fit;
mod fit_asked;
#[cfg(test)]
mod fit_cases;
mod fit_curve;
mod fit_rate;
mod fit_sentence;
pub mod joint;
pub mod listing;
pub mod page;
pub mod price;
pub mod projection;
pub mod section;
pub mod sentence;
pub mod table;
pub mod target;

pub use findings::Findings;
pub use section::page;
pub use sentence::sentence;
pub use summary::{summary, summary_json};
pub use table::Style;
