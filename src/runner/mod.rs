//! Many trials: in which order, each in a process of its own, kept as they finish, and none twice.
//!
//! `plan` makes jobs of cells, `local` runs what is missing of them, `isolate` runs one, `partial` keeps what finished,
//! `sweep` chooses a learning rate from those that only helped to find one; `shard` and `slurm` spread a run over machines;
//! `fetch` gets the corpora that they may train on.

pub mod build;
pub mod cache;
pub mod child;
pub mod fetch;
pub mod interrupt;
pub mod observer;
pub mod cooling;
mod memory;
mod settings;
pub mod machine;
pub mod pin;
pub mod partial;
pub mod besides;
pub mod plan;
pub mod guess;
pub mod process;
pub mod isolate;
pub mod progress;
pub mod request;
pub mod found;
pub mod local;
mod queue;
pub mod shard;
pub mod slurm;
pub mod sweep;

pub use crate::measure::clock::utc_now;
pub use build::build_info;
pub use interrupt::Interrupt;
pub use observer::Observer;
pub use process::Worker;
pub use progress::Progress;
pub use request::{Mode, Request};
pub use shard::Shard;
