//! The laws of one and two terms as curves, so that a fit of theirs can be asked what every curve is asked.

use super::fitted::CurveFit;
use super::formula::{Curve, Input, Residual, Slot};
use crate::analysis::fit::fitting::Fitting;
use crate::analysis::fit::points::Variable;
use crate::analysis::fit::surface::IRREDUCIBLE;
use crate::error::Result;

const E: Slot = Slot {
    name: "E",
    log: false,
    low: 0.0,
    high: f64::INFINITY,
};

static POWER: Curve = Curve {
    slots: &[
        E,
        Slot {
            name: "A",
            log: true,
            low: 1e-12,
            high: 1e100,
        },
        Slot {
            name: "a",
            log: false,
            low: 1e-4,
            high: 10.0,
        },
    ],
    needs: &[Variable::Flops],
    loss: |at, run| at[0] + at[1] * run.flops.powf(-at[2]),
    residual: Residual::Log,
    delta: f64::INFINITY,
    starts: |_, _| Vec::new(),
    figures: &[],
    additive: None,
    refuse: |_, _| None,
};

static CHINCHILLA: Curve = Curve {
    slots: &[
        E,
        Slot {
            name: "A",
            log: true,
            low: 1e-12,
            high: 1e100,
        },
        Slot {
            name: "alpha",
            log: false,
            low: 1e-4,
            high: 10.0,
        },
        Slot {
            name: "B",
            log: true,
            low: 1e-12,
            high: 1e100,
        },
        Slot {
            name: "beta",
            log: false,
            low: 1e-4,
            high: 10.0,
        },
    ],
    needs: &[Variable::Params, Variable::Tokens],
    loss: |at, run| at[0] + at[1] * run.params.powf(-at[2]) + at[3] * run.tokens.powf(-at[4]),
    residual: Residual::Log,
    delta: 1e-3,
    starts: |_, _| Vec::new(),
    figures: &[],
    additive: Some(|at| [at[1].ln(), at[2], at[3].ln(), at[4], at[0].max(1e-11).ln()]),
    refuse: |_, _| None,
};

/// A fit of a law of one or two terms, at the end that its own search found.
pub fn of(fitting: &Fitting) -> Result<CurveFit> {
    let theta = fitting.theta();
    let curve = if fitting.law.terms.len() == 1 {
        &POWER
    } else {
        &CHINCHILLA
    };
    let terms = (0..fitting.law.terms.len()).flat_map(|k| [theta[2 * k].exp(), theta[2 * k + 1]]);
    let at: Vec<f64> = [theta[IRREDUCIBLE].exp()]
        .into_iter()
        .chain(terms)
        .collect();
    let hold: Vec<(usize, f64)> = fitting
        .held
        .iter()
        .filter(|index| **index == IRREDUCIBLE)
        .map(|_| (0, at[0]))
        .collect();
    CurveFit::given(curve, fitting.points.clone(), &hold, &at)
}

/// A run that costs C, for a law that asks for nothing else.
pub fn spending(flops: f64) -> Input {
    Input {
        params: f64::NAN,
        tokens: f64::NAN,
        unique_tokens: f64::NAN,
        flops,
    }
}
