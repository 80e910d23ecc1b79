//! What is asked for, as pure data: raw values that remember their file and line, layered (base, variant, suite,
//! `--set`), and read through [`Knobs`], which defaults, checks and writes out every one.

pub mod catalog;
pub mod knobs;
pub mod tree;

pub use catalog::{Catalog, Named};
pub use knobs::{Knobs, Settled};
pub use tree::{Entry, Origin, Tree};
