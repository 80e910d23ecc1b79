//! L = E + A / N^alpha + B / D^beta: loss against parameters and training tokens.

use super::additive::{Additive, Start, Term};
use super::form::{Form, Law};
use super::points::{Point, Variable};

/// The law, with the published protocol: Huber's loss with delta 1e-3, summed, from 4500 starts.
pub const LAW: Law = Law {
    name: "chinchilla",
    formula: "L = E + A/N^alpha + B/D^beta",
    about: "Loss against parameters and tokens, by Huber's loss of ln L, with the compute-optimal split.",
    source: "Hoffmann et al. 2022, arXiv 2203.15556, eq. 10; Besiroglu et al. 2024, arXiv 2404.10102",
    form: Form::Additive(Additive {
        terms: &[
            Term {
                coefficient: "A",
                exponent: "alpha",
                variable: Variable::Params,
            },
            Term {
                coefficient: "B",
                exponent: "beta",
                variable: Variable::Tokens,
            },
        ],
        delta: 1e-3,
        starts,
    }),
};

/// The published grid: alpha, beta in 0, 0.5 .. 2; ln E in -1, -0.5 .. 1; ln A, ln B in 0, 5 .. 25.
fn starts(_: &[Point]) -> Vec<Start> {
    let steps = |n: u32, first: f64, by: f64| (0..n).map(move |k| first + by * f64::from(k));
    let mut starts = Vec::new();
    for alpha in steps(5, 0.0, 0.5) {
        for beta in steps(5, 0.0, 0.5) {
            for irreducible in steps(5, -1.0, 0.5) {
                for a in steps(6, 0.0, 5.0) {
                    starts.extend(steps(6, 0.0, 5.0).map(|b| Start {
                        terms: [(a, alpha), (b, beta)],
                        irreducible,
                    }));
                }
            }
        }
    }
    starts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_grid_has_4500_starts() {
        assert_eq!(starts(&[]).len(), 4500);
    }
}
