//! What thinking longer buys: accuracy against the FLOPs of a problem, for every size, training and way to answer; and the exchange rate
//! between training compute and test-time compute.

mod solver;
pub mod exchange;
mod difficulty;
mod task;

pub use difficulty::{Difficulty, Part};
pub use exchange::Exchange;
pub use solver::{Method, Solver, Way};
pub use task::{Coverage, Task, tasks};

#[cfg(test)]
mod tests;
