//! What is asked for, as pure data: raw values that remember their file and line, layered (base, variant, suite,
//! `--set`), and read through [`Knobs`], which defaults, checks and writes out every one.
//!
//! In the order of reading: [`tree`] holds raw values, [`knobs`] reads them, [`catalog`] is the law of extension points,
//! [`load`] turns TOML into [`table`]s, [`variant`] and [`suite`] are the two kinds of files, [`cells`] makes trials' specs
//! of them layer by layer, [`rate`] chooses learning rates and
//! [`rate_source`] says where one comes from, [`rate_surface`] is what a sweep found, [`price`] is what machines and energy cost, [`library`] is what ships.

pub mod catalog;
pub mod cells;
pub mod knobs;
mod layers;
pub mod library;
pub mod load;
pub mod price;
pub mod rate;
pub mod rate_source;
pub mod rate_surface;
pub mod suite;
pub mod table;
pub mod tree;
pub mod variant;

pub use catalog::{Catalog, Named};
pub use cells::{Cell, Overrides};
pub use knobs::{Knobs, Settled, settle};
pub use library::Library;
pub use load::parse_set;
pub use price::Price;
pub use rate::Tuned;
pub use rate_source::RateSource;
pub use rate_surface::RateSurface;
pub use suite::{Headline, Suite};
pub use tree::{Entry, Origin, Tree};
pub use variant::Variant;
