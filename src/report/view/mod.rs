//! Views: findings in, blocks out, one file a subject. A finding is written here once, whatever command or page says it.

mod hue;
mod number;
pub mod price;
pub mod listing;
pub mod sentence;
pub mod target;
pub mod projection;
pub mod joint;
pub mod gain;
mod profiles;
mod fit_asked;
mod fit_curve;
mod fit_rate;
mod fit_sentence;
pub mod fit;
#[cfg(test)]
mod fit_cases;
pub mod scale;
mod answer;
mod gains;
mod loss;
mod along;
mod spectrum;
mod frontier;
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
