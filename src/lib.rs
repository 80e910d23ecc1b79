//! effbench: is the next gain in more scale or in a better algorithm?
//!
//! ```text
//! options ─▶ CAMPAIGN ─▶ runner ─▶ trial ─▶ RECORD ─▶ analysis ─▶ report ─▶ stdout, files
//!                                    │        └─▶ results/*.json ─▶ CI, other machines
//!                 config, data, device, ops, model,
//!                 train │ infer, measure
//!
//!     needs candle, a device, time          pure: no candle, no device, no clock
//! ```
//!
//! An hourglass: the left cone turns a description into numbers, the right cone turns numbers into words, and the waist,
//! [`record`], is one versioned type. What is to be run is a value of its own, a `campaign`, from Rust as from the command
//! line. The modules below stand in the order of the data flow, which is also the order of reading and the import law: a
//! module names only modules above it. Without the feature `run` only the right cone is built, without candle: the judge
//! that a CI job needs.

pub mod error;
pub mod unit;
pub mod stat;
pub mod stream;
pub mod reading;
pub mod config;
#[cfg(feature = "run")]
pub mod data;
#[cfg(feature = "run")]
pub mod device;
#[cfg(feature = "run")]
pub mod ops;
#[cfg(feature = "run")]
pub mod model;
#[cfg(feature = "run")]
pub mod train;
#[cfg(feature = "run")]
pub mod infer;
#[cfg(feature = "run")]
pub mod measure;
pub mod record;
pub mod import;
#[cfg(feature = "run")]
pub mod trial;
#[cfg(feature = "run")]
pub mod law;
#[cfg(feature = "run")]
pub mod runner;
#[cfg(feature = "run")]
pub mod campaign;
pub mod analysis;
pub mod report;
pub mod cli;

/// candle allocates for every operation, and a general allocator gives large blocks back to the system and faults them in
/// again: worth up to 1.9 times the speed of a training step, measured.
#[cfg(feature = "run")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
