//! L = E + A C^-a: loss against compute.

use super::additive::{Additive, Start, Term};
use super::form::{Form, Law};
use super::points::{Point, Variable};

/// The law.
pub const LAW: Law = Law {
    name: "power",
    formula: "L = E + A C^-a",
    about: "Loss against training FLOPs, by least squares on ln L.",
    source: "Henighan et al. 2020, arXiv 2010.14701, eq. 1.1",
    form: Form::Additive(Additive {
        terms: &[Term {
            coefficient: "A",
            exponent: "a",
            variable: Variable::Flops,
        }],
        delta: f64::INFINITY,
        starts,
    }),
};

/// Exponents and shares of the lowest loss, with the coefficient that meets the middle point.
fn starts(points: &[Point]) -> Vec<Start> {
    let lowest = points.iter().map(|p| p.loss).fold(f64::INFINITY, f64::min);
    let mut sorted: Vec<(f64, f64)> = points.iter().map(|p| (p.flops.ln(), p.loss)).collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let Some(&(middle, loss)) = sorted.get(sorted.len() / 2) else {
        return Vec::new();
    };
    let mut starts = Vec::new();
    for share in [1e-3, 0.3, 0.6, 0.8, 0.9, 0.97] {
        for exponent in [0.03, 0.08, 0.15, 0.3, 0.6, 1.0] {
            let irreducible: f64 = share * lowest;
            let excess = (loss - irreducible).max(1e-3 * lowest);
            let coefficient = excess.ln() + exponent * middle;
            starts.push(Start {
                terms: [(coefficient, exponent), (0.0, 0.0)],
                irreducible: irreducible.ln(),
            });
        }
    }
    starts
}
