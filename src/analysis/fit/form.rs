//! What a law is: its name, its formula, its source, and the kind of curve.

use super::additive::Additive;
use super::curve::Curve;

/// A scaling law that can be fitted.
#[derive(Debug)]
pub struct Law {
    /// `chinchilla`.
    pub name: &'static str,
    /// As one writes it.
    pub formula: &'static str,
    /// One sentence.
    pub about: &'static str,
    /// Paper and equation.
    pub source: &'static str,
    /// What kind of curve it is.
    pub form: Form,
}

/// The kinds of laws.
#[derive(Debug)]
pub enum Form {
    /// L = E + A / x^a + B / y^b ...
    Additive(Additive),
    /// A parabola per budget.
    IsoFlop,
    /// One law of compute over all groups, with one E.
    Joint,
    /// Any formula.
    Curve(Curve),
    /// The best learning rate and batch over cells.
    Rate,
}
