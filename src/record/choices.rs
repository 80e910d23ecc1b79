//! Which of several answers a model found likeliest, over the questions of a file.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Answers chosen by likelihood.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Choices {
    /// Questions asked.
    pub questions: u64,
    /// Questions whose likeliest answer is right; of t answers that are equally likely each counts 1 / t.
    pub right: f64,
    /// The same of answers by log-likelihood over characters.
    pub right_norm: f64,
    /// Mean over the questions of one over the number of answers.
    pub chance: f64,
    /// Questions with equally likely answers in the first place.
    pub ties: u64,
    /// Questions that were longer than the context and lost their beginning.
    pub cut: u64,
}
