//! Mathematics on plain numbers: no domain, no I/O.

pub mod curve;
pub mod huber;
pub mod interval;
pub mod linear;
pub mod optimise;
pub mod resample;
pub mod sample;

pub use curve::{Falling, Solution};
pub use interval::{Estimate, Interval, critical, mean_estimate, ratio_estimate};
pub use optimise::{Minimum, minimise};
pub use sample::{Summary, mean, median, quantile, sd, summary};
