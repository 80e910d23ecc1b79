//! What a model costs over its life: training once, and then Q requests, C(Q) = T + Q c, of two cells against each other.
//!
//! A request is a prompt and an answer, c = prompt + answer, from figures of the record alone: seconds by the measured rates of prompts
//! and of decoding, joules by the measured joules of each, FLOPs counted token by token at their depth, money and carbon of those seconds
//! and joules at somebody's prices. What was neither measured nor counted is not told.
//!
//! Two lines cross where Q = (T_1 - T_2) / (c_2 - c_1), and only where the signs agree; how sure that is says Fieller's set over repeats.

mod verdict;
mod spent;
mod utilisation;
mod comparison;
mod choice;

pub use choice::{Asked, compared};
pub use comparison::{Comparison, Gap, Row};
pub use spent::{Measure, Request, Served};
pub use utilisation::{Speeds, per_flop, speeds};
pub use verdict::{Range, Side, Verdict};

#[cfg(test)]
mod tests;
