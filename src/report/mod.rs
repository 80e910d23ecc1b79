//! Findings in, pages out, and pages shown in every medium. Nothing here prints, reads the environment or knows a terminal:
//! `cli` says how wide it is.
//!
//! ```
//! # fn main() -> effbench::error::Result<()> {
//! use effbench::record::store;
//! use effbench::report::{Style, render, report};
//!
//! # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/quick.json");
//! let file = store::read_valid(std::path::Path::new(path))?;
//! let page = report(&file, None, Some("My runs"));
//! let text = render::text::text(&page, Style { width: Some(80), ..Style::default() });
//! # assert!(text.starts_with("My runs"));
//! # Ok(())
//! # }
//! ```

pub mod page;
pub mod render;
pub mod view;

pub use render::Style;
pub use view::report::page as report;
pub use view::sentence::sentence;
pub use view::summary::{summary, summary_json};
pub use view::{
    challenge, changes, compare, fit, forecast, gain, joint, lifecycle, listing, overview, price,
    projection, target, think,
};
