//! Views: findings in, blocks out, one file a subject. A finding is written here once, whatever command or page says it.

mod hue;
mod group;
mod number;
pub mod price;
pub mod listing;
pub mod imported;
pub mod sentence;
pub mod target;
pub mod projection;
mod joint_sentence;
pub mod joint;
mod gain_axes;
mod gain_recipe;
pub mod gain;
pub mod changes;
mod profiles;
mod fit_asked;
mod fit_curve;
mod fit_rate;
mod fit_ranked;
mod fit_sentence;
mod fit_split;
pub mod fit;
#[cfg(test)]
mod fit_cases;
#[cfg(test)]
mod fit_ladders;
pub mod scale;
mod answer;
mod gains;
mod loss;
mod along;
mod spectrum;
mod frontier;
mod latency;
mod speed;
mod energy;
mod valleys;
mod curves;
mod cells;
mod validity;
mod unfinished;
mod origin;
mod words;
pub mod compare;
pub mod summary;
pub mod report;
