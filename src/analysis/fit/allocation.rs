//! How to split compute between parameters and tokens (Hoffmann et al. 2022, eq. 4): under C = 6 N D the law's lowest loss is
//! at N* = G (C/6)^a and D* = (C/6)^b / G with a = beta/(alpha+beta), b = alpha/(alpha+beta) and
//! G = (alpha A / (beta B))^(1/(alpha+beta)). Where the runs' own C is k N D with another k, C/k stands for C/6.

use serde::Serialize;

use super::counting::SIX;
use super::fitting::Fitting;
use super::interval::Bounds;
use super::points::Variable;
use super::surface::{IRREDUCIBLE, Theta};
use crate::analysis::law::PowerLaw;
use crate::stat::Interval;

/// Budgets shown: the largest seen, and these times more.
const BEYOND: [f64; 3] = [1.0, 10.0, 100.0];

/// The exponent a of N* ~ C^a.
pub fn exponent(theta: &Theta) -> f64 {
    theta[3] / (theta[1] + theta[3])
}

/// The best split of `flops` under the law ln A, alpha, ln B, beta, ln E and C = 6 N D.
pub fn optimum(theta: &Theta, flops: f64) -> Optimum {
    split(theta, flops, SIX)
}

/// The same under C = `per` N D.
pub fn split(theta: &Theta, flops: f64, per: f64) -> Optimum {
    let [a, alpha, b, beta, e] = *theta;
    let ln_params = ln_best_params(theta, flops, per);
    let ln_tokens = (flops / per).ln() - ln_params;
    let loss = e.exp() + (a - alpha * ln_params).exp() + (b - beta * ln_tokens).exp();
    Optimum {
        flops,
        params: ln_params.exp(),
        tokens: ln_tokens.exp(),
        loss,
    }
}

fn ln_best_params(theta: &Theta, flops: f64, per: f64) -> f64 {
    let [a, alpha, b, beta, _] = *theta;
    let ln_g = (alpha.ln() + a - beta.ln() - b) / (alpha + beta);
    ln_g + exponent(theta) * (flops / per).ln()
}

/// L - E = k C^-c along the best splits under C = `per` N D: ln k and c. For a law of one term these are its own.
pub fn frontier(theta: &Theta, terms: usize, per: f64) -> (f64, f64) {
    if terms == 1 {
        return (theta[0], theta[1]);
    }
    let [a, alpha, _, beta, _] = *theta;
    let c = alpha * beta / (alpha + beta);
    // At the best split alpha A N^-alpha = beta B D^-beta.
    let ln_k = a - alpha * ln_best_params(theta, 1.0, per) + (alpha / beta).ln_1p();
    (ln_k, c)
}

/// The loss along the best splits under C = 6 N D, as a law of compute.
pub fn along(theta: &Theta, terms: usize) -> PowerLaw {
    along_of(theta, terms, SIX)
}

/// The same under C = `per` N D.
pub fn along_of(theta: &Theta, terms: usize, per: f64) -> PowerLaw {
    let (ln_k, exponent) = frontier(theta, terms, per);
    PowerLaw {
        irreducible: theta[IRREDUCIBLE].exp(),
        scale: ln_k.exp(),
        exponent,
    }
}

impl Fitting {
    /// What a parameter and a token cost together: as the runs have it, or six.
    pub fn per(&self) -> f64 {
        self.counting
            .map_or(SIX, |counting| counting.per_parameter_and_token)
    }

    /// The law along the best splits of these parameters.
    pub fn frontier_of(&self, theta: &Theta) -> PowerLaw {
        along_of(theta, self.surface.terms, self.per())
    }
}

/// The best split of one budget.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Optimum {
    /// C.
    pub flops: f64,
    /// N*.
    pub params: f64,
    /// D*.
    pub tokens: f64,
    /// The law's loss there.
    pub loss: f64,
}

/// A best split with the interval of its parameters.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Split {
    /// The split.
    #[serde(flatten)]
    pub optimum: Optimum,
    /// Of N*; absent where the data do not bound it on both sides.
    pub params_interval: Option<Interval>,
    /// Whether the budget lies beyond every run.
    pub extrapolated: bool,
}

/// How compute is best split.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Allocation {
    /// a of N* ~ C^a.
    pub params_exponent: f64,
    /// Of a, by its own profile; D* ~ C^(1 - a). An open end is not bounded by the data.
    pub params_exponent_bounds: Option<Bounds>,
    /// The same where both ends are closed.
    pub params_exponent_interval: Option<Interval>,
    /// At the largest budget seen, and beyond.
    pub splits: Vec<Split>,
}

/// The allocation of a law in parameters and tokens; `None` for another, or where an exponent is not above zero.
pub fn allocation(fitting: &Fitting) -> Option<Allocation> {
    let theta = fitting.theta();
    let of: Vec<Variable> = fitting.law.terms.iter().map(|term| term.variable).collect();
    if of != [Variable::Params, Variable::Tokens] || theta[1] <= 0.0 || theta[3] <= 0.0 {
        return None;
    }
    let per = fitting.per();
    let bounds = fitting.bounds_of(exponent);
    let one = |times: f64| {
        let flops = times * fitting.largest_flops();
        let logs = fitting.derived(|theta| ln_best_params(theta, flops, per));
        let params_interval = logs.map(|i| Interval {
            low: i.low.exp(),
            high: i.high.exp(),
            ..i
        });
        Split {
            optimum: split(&theta, flops, per),
            params_interval,
            extrapolated: times > 1.0,
        }
    };
    Some(Allocation {
        params_exponent: exponent(&theta),
        params_exponent_bounds: bounds,
        params_exponent_interval: bounds.and_then(|bounds| bounds.interval()),
        splits: BEYOND.map(one).to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn theta(e: f64, a: f64, b: f64, alpha: f64, beta: f64) -> Theta {
        [a.ln(), alpha, b.ln(), beta, e.ln()]
    }

    /// Two published fits: Hoffmann et al. 2022 (rounded) and Besiroglu et al. 2024; figures by the formulas of this file in
    /// NumPy, the first row of each near what the papers print.
    #[test]
    fn published_laws_give_their_splits() {
        let hoffmann = theta(1.69, 406.4, 410.7, 0.34, 0.28);
        let besiroglu = theta(1.81686, 482.01, 2085.43, 0.34781, 0.36585);
        let rows = [
            (hoffmann, 1e19, 2.280e8, 7.311e9, 32.07, 2.9857),
            (hoffmann, 1e21, 1.824e9, 9.136e10, 50.08, 2.3289),
            (hoffmann, 5.76e23, 3.219e10, 2.982e12, 92.65, 1.9307),
            (besiroglu, 1e19, 2.625e8, 6.350e9, 24.19, 2.9260),
            (besiroglu, 1e21, 2.782e9, 5.991e10, 21.53, 2.3048),
            (besiroglu, 5.76e23, 7.235e10, 1.327e12, 18.34, 1.9740),
        ];
        for (theta, flops, params, tokens, ratio, loss) in rows {
            let found = optimum(&theta, flops);
            let close = |found: f64, expected: f64| {
                assert!((found / expected - 1.0).abs() < 3e-4, "{found} {expected}")
            };
            close(found.params, params);
            close(found.tokens, tokens);
            close(found.tokens / found.params, ratio);
            close(found.loss, loss);
            let (ln_k, c) = frontier(&theta, 2, 6.0);
            close(
                theta[IRREDUCIBLE].exp() + (ln_k - c * flops.ln()).exp(),
                found.loss,
            );
        }
    }

    #[test]
    fn no_other_split_of_the_same_compute_is_better() {
        let law = theta(1.8, 480.0, 2000.0, 0.35, 0.36);
        let best = optimum(&law, 1e21);
        for factor in [0.5, 0.9, 1.1, 2.0] {
            let (n, d) = (best.params * factor, best.tokens / factor);
            assert!(1.8 + 480.0 * n.powf(-0.35) + 2000.0 * d.powf(-0.36) > best.loss);
        }
    }
}
