//! Scale or algorithm? See README.md.

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
#[cfg(feature = "run")]
pub mod trial;
