//! effbench: is the next gain in more scale or in a better algorithm?
//!
//! ```text
//! options ─▶ CAMPAIGN ─▶ runner ─▶ trial ─▶ RECORD ─▶ analysis ─▶ PAGE ─▶ text, Markdown, HTML, JSON
//!            (intent)                │      (fact) │             (speech)
//!                  config, data, device, ops,      ├─▶ results/*.json ─▶ CI, other machines
//!                  model, train │ infer, measure   └─◀ import ◀─ logs of other programs
//!
//!      needs candle, a device, time                     pure: no candle, no device, no clock
//! ```
//!
//! An hourglass: the left cone turns a description into numbers, the right cone turns numbers into words. It has three waists, each
//! a small, dull type that can be written down: a `campaign` is what is to be run, [`record`] what was measured, and
//! [`report::page`] what is said. `trial` is the only place where the left cone's parts meet: it times the steps that `train` and
//! `infer` make, and reads the instruments of `measure`.
//!
//! The modules below stand in the order of the data flow, which is also the order of reading and the import law: a module names
//! only modules above it, and so does a file within its folder, in the order of the `mod` lines (`tests/tidy` holds both). Without
//! the feature `run` only the right cone and the floor that it stands on are built, without candle: the judge that a CI job needs.

pub mod error;
pub mod foreign;
pub mod unit;
pub mod stat;
pub mod stream;
pub mod reading;
pub mod checkpoint;
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
