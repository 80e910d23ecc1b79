//! The sentence: settle, build, observe, record.
pub mod job;
pub use job::{Event, Job};
