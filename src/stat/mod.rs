//! Mathematics on plain numbers: no domain, no I/O.

pub mod curve;
pub mod huber;
pub mod interval;
pub mod linear;
pub mod optimise;
pub mod parabola;
pub mod rank;
pub mod resample;
pub mod sample;

pub use curve::{Falling, Solution};
pub use interval::{Estimate, Interval, critical, mean_estimate, ratio_estimate, ratio_of_means};
pub use optimise::{Minimum, minimise};
pub use parabola::lowest_of_parabola;
pub use rank::{chance_of_rank_agreement, spearman};
pub use sample::{Summary, mean, median, quantile, sd, summary};
