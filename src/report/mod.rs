//! Findings in, pages out, and pages shown in every medium. Nothing here prints, reads the environment or knows a terminal:
//! `cli` says how wide it is.

pub mod page;
pub mod render;
pub mod view;

pub use render::Style;
pub use view::report::page as report;
pub use view::sentence::sentence;
pub use view::summary::{summary, summary_json};
pub use view::{compare, fit, gain, joint, listing, price, projection, target};
