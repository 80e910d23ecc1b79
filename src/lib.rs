//! Scale or algorithm? See README.md.

#[cfg(feature = "run")]
pub mod data;
pub mod error;
#[cfg(feature = "run")]
pub mod ops;
pub mod record;
pub mod spec;
#[cfg(feature = "run")]
pub mod stream;
#[cfg(feature = "run")]
pub mod trial;
