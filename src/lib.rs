//! Scale or algorithm? See README.md.

pub mod analysis;
pub mod cli;
#[cfg(feature = "run")]
pub mod data;
pub mod error;
pub mod record;
pub mod report;
pub mod spec;
pub mod stat;
#[cfg(feature = "run")]
pub mod trial;
pub mod unit;
