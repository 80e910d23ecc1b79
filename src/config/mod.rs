//! What is asked for, as pure data: raw values that remember their file and line, layered (base, variant, suite,
//! `--set`), and read through [`Knobs`], which defaults, checks and writes out every one.
//!
//! In the order of reading: [`tree`] holds raw values, [`knob`] declares keys, each with what it
//! may hold, [`keys`] says where they stand, [`knobs`] reads them, [`catalog`] is what extension points are,
//! [`names`] says what things are called, [`load`] turns TOML into [`table`]s; [`rate_source`] says where a learning rate comes
//! from, [`rate_surface`] is what a sweep found, [`rate`] chooses; [`variant`], [`change`], [`suite`] and [`price`] are the kinds of files and
//! [`library`] is what ships, [`schema`] describes their files to programs; `grid` lists a suite's places and [`cells`] makes trials' specs of them layer by layer; [`plan`] is what a run of them takes, and
//! [`against`] what two builds against each other are called.
//!
//! ```
//! # fn main() -> effbench::error::Result<()> {
//! use effbench::config::Library;
//!
//! let library = Library::builtin();
//! let variant = library.variant("gpt2+rope+muon")?;
//! let optimizer = variant.tree.get("train.optimizer.kind").map(|entry| &entry.value);
//! assert_eq!(optimizer, Some(&"muon".into()));
//! assert!(library.variant("gpt3").is_err(), "and the error says what there is");
//! # Ok(())
//! # }
//! ```

pub mod tree;
mod holds;
pub mod knob;
pub mod keys;
pub mod knobs;
pub mod catalog;
pub mod names;
pub mod field;
pub mod table;
pub mod load;
pub mod rate_source;
pub mod rate_surface;
pub mod rate;
pub mod variant;
pub mod change;
pub mod suite;
pub mod price;
mod weights;
pub mod library;
pub mod schema;
mod layers;
mod grid;
pub mod cells;
pub mod plan;
pub mod against;

pub use against::Gate;
pub use catalog::{Broken, Catalog, Named};
pub use cells::Cell;
pub use change::Change;
pub use keys::{Key, Section, Slot};
pub use knob::{Declarations, Knob};
pub use knobs::{Knobs, Settled, Spec, settle};
pub use layers::{HELD_OUT, Overrides};
pub use library::Library;
pub use load::parse_set;
pub use price::Price;
pub use rate::Tuned;
pub use rate_source::RateSource;
pub use rate_surface::RateSurface;
pub use suite::{Headline, Suite};
pub use tree::{Entry, Origin, Tree};
pub use variant::Variant;
