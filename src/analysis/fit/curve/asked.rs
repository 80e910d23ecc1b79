//! What is asked of a fit beside the law itself.

use serde::Serialize;

use super::predict::Target;
use crate::analysis::fit::points::Point;

/// What a FLOP costs, in whatever unit: only their ratios count. Training, prompts and answers get different shares of a machine's peak,
/// and may run on machines of different rents.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PerFlop {
    /// Of training.
    pub training: f64,
    /// Of tokens that are read.
    pub prompt: f64,
    /// Of tokens that are written.
    pub answer: f64,
}

impl PerFlop {
    /// All FLOPs cost the same: what is least then are FLOPs.
    pub const EQUAL: Self = Self {
        training: 1.0,
        prompt: 1.0,
        answer: 1.0,
    };
}

/// What is served over a model's life.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Demand {
    /// Tokens read.
    pub prompt: f64,
    /// Tokens written, of all samples of all answers.
    pub answer: f64,
    /// What FLOPs cost.
    pub per_flop: PerFlop,
    /// The loss to be reached; absent for that of the compute-optimal model at the largest compute fitted.
    pub loss_nats: Option<f64>,
}

impl Demand {
    /// D_inf: both.
    pub fn tokens(&self) -> f64 {
        self.prompt + self.answer
    }

    /// Tokens whose forward pass would cost as much at training's price of a FLOP.
    pub fn weighed(&self) -> f64 {
        let PerFlop {
            training,
            prompt,
            answer,
        } = self.per_flop;
        (prompt * self.prompt + answer * self.answer) / training
    }
}

/// What is asked of a fit beside the law itself.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Asked {
    /// Parameters held at a value.
    pub hold: Vec<(String, f64)>,
    /// Runs that the fit does not see, to be forecast.
    pub held_out: Vec<Point>,
    /// Runs to be predicted.
    pub predict: Vec<Target>,
    /// Inference to be counted.
    pub demand: Option<Demand>,
}
