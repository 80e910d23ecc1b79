//! Scale or algorithm? See README.md.

#[cfg(feature = "run")]
pub mod data;
pub mod analysis;
pub mod error;
#[cfg(feature = "run")]
pub mod ops;
pub mod record;
pub mod spec;
pub mod stat;
#[cfg(feature = "run")]
pub mod stream;
#[cfg(feature = "run")]
pub mod trial;
pub mod unit;
