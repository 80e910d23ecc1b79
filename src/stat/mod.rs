//! Mathematics on plain numbers: no domain, no I/O.

pub mod curve;
pub mod interval;
pub mod parabola;
pub mod rank;
pub mod sample;

pub use curve::{Falling, Solution};
pub use interval::{Estimate, Interval, mean_estimate, ratio_estimate, ratio_of_means};
pub use parabola::lowest_of_parabola;
pub use rank::{chance_of_rank_agreement, spearman};
pub use sample::{Summary, mean, median, quantile, sd, summary};
