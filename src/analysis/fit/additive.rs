//! Laws of one or two terms: L = E + A / x^a + B / y^b.

use super::points::{Point, Variable};

/// L = E + sum of coefficient / variable^exponent, with one or two terms, fitted to ln L.
#[derive(Debug)]
pub struct Additive {
    /// The terms.
    pub terms: &'static [Term],
    /// Where Huber's loss of a residual in ln L turns from squares to absolute values; infinite for least squares.
    pub delta: f64,
    /// Where searches start.
    pub starts: fn(&[Point]) -> Vec<Start>,
}

/// One term.
#[derive(Debug)]
pub struct Term {
    /// `A`.
    pub coefficient: &'static str,
    /// `alpha`.
    pub exponent: &'static str,
    /// What is raised to minus the exponent.
    pub variable: Variable,
}

/// Where a search starts: logarithm of coefficient and exponent of each term, and the logarithm of E.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Start {
    /// (ln A, alpha) of each term; the second is not used by a law of one.
    pub terms: [(f64, f64); 2],
    /// ln E.
    pub irreducible: f64,
}
