//! What is asked of a fit beside the law itself.

use super::predict::Target;
use crate::analysis::fit::points::Point;

/// What is served over a model's life.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Demand {
    /// D_inf.
    pub tokens: f64,
    /// The loss to be reached; absent for that of the compute-optimal model at the largest compute fitted.
    pub loss_nats: Option<f64>,
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
