//! Mathematics on plain numbers: no domain, no I/O.

pub mod crossing;
pub mod curve;
pub mod exact;
pub mod holm;
pub mod huber;
pub mod linear;
pub mod least;
pub mod moderate;
pub mod optimise;
pub mod parabola;
pub mod rank;
pub mod resample;
pub mod sample;
pub mod change;
pub mod interval;
pub mod crossed;
pub mod binomial;
pub mod fieller;
pub mod answers;
pub mod bootstrap;
pub mod power;
pub mod student;
pub mod surface;

pub use crossed::{Crossed, Pair};
pub use crossing::{Crossing, Descent};
pub use curve::{Falling, Solution};
pub use fieller::Fieller;
pub use holm::holm;
pub use interval::{Estimate, Interval, critical, mean_estimate, ratio_estimate, ratio_of_means};
pub use optimise::{Minimum, minimise, minimise_within};
pub use parabola::lowest_of_parabola;
pub use rank::{chance_of_rank_agreement, spearman};
pub use sample::{Summary, mean, median, quantile, sd, summary};
pub use student::Shift;
pub use surface::Surface;
