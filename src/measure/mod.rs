//! The only timed code, and the only that reads instruments.

pub mod energy;
pub mod virtualization;
