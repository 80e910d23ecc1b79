//! Scale or algorithm? See README.md.

pub mod analysis;
#[cfg(feature = "run")]
pub mod data;
pub mod error;
#[cfg(feature = "run")]
pub mod measure;
pub mod reading;
pub mod record;
#[cfg(feature = "run")]
pub mod runner;
pub mod spec;
pub mod stat;
#[cfg(feature = "run")]
pub mod trial;
pub mod unit;
