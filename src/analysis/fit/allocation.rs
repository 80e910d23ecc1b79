//! How to split compute between parameters and tokens (Hoffmann et al. 2022, eq. 4): under C = 6 N D the law's lowest loss is
//! at N* = G (C/6)^a and D* = (C/6)^b / G with a = beta/(alpha+beta), b = alpha/(alpha+beta) and
//! G = (alpha A / (beta B))^(1/(alpha+beta)).

use serde::Serialize;

use super::fitting::Fitting;
use super::surface::{IRREDUCIBLE, Theta};
use crate::analysis::law::PowerLaw;
use crate::stat::Interval;

/// Budgets shown: the largest seen, and these times more.
const BEYOND: [f64; 3] = [1.0, 10.0, 100.0];

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

/// The exponent a of N* ~ C^a.
pub fn exponent(theta: &Theta) -> f64 {
    theta[3] / (theta[1] + theta[3])
}

/// The best split of `flops` under the law ln A, alpha, ln B, beta, ln E.
pub fn optimum(theta: &Theta, flops: f64) -> Optimum {
    let [a, alpha, b, beta, e] = *theta;
    let ln_g = (alpha.ln() + a - beta.ln() - b) / (alpha + beta);
    let ln_params = ln_g + exponent(theta) * (flops / 6.0).ln();
    let ln_tokens = (flops / 6.0).ln() - ln_params;
    let loss = e.exp() + (a - alpha * ln_params).exp() + (b - beta * ln_tokens).exp();
    Optimum { flops, params: ln_params.exp(), tokens: ln_tokens.exp(), loss }
}

/// L - E = k C^-c along the best splits: ln k and c. For a law of one term these are its own.
pub fn frontier(theta: &Theta, terms: usize) -> (f64, f64) {
    if terms == 1 {
        return (theta[0], theta[1]);
    }
    let c = theta[1] * theta[3] / (theta[1] + theta[3]);
    let one = optimum(theta, 1.0);
    ((one.loss - theta[IRREDUCIBLE].exp()).ln(), c)
}

/// The loss along the best splits, as a law of compute.
pub fn along(theta: &Theta, terms: usize) -> PowerLaw {
    let (ln_k, exponent) = frontier(theta, terms);
    PowerLaw { irreducible: theta[IRREDUCIBLE].exp(), scale: ln_k.exp(), exponent }
}

/// A best split with the interval of its parameters.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Split {
    /// The split.
    #[serde(flatten)]
    pub optimum: Optimum,
    /// Of N*.
    pub params_interval: Option<Interval>,
    /// Whether the budget lies beyond every run.
    pub extrapolated: bool,
}

/// How compute is best split.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Allocation {
    /// a of N* ~ C^a.
    pub params_exponent: f64,
    /// Of a; D* ~ C^(1 - a).
    pub params_exponent_interval: Option<Interval>,
    /// At the largest budget seen, and beyond.
    pub splits: Vec<Split>,
}

/// The allocation of a law in parameters and tokens; `None` for another, or where an exponent is not above zero.
pub fn allocation(fitting: &Fitting) -> Option<Allocation> {
    let theta = fitting.theta();
    if fitting.surface.terms != 2 || theta[1] <= 0.0 || theta[3] <= 0.0 {
        return None;
    }
    let split = |times: f64| {
        let flops = times * fitting.largest_flops();
        let logs = fitting.derived(|theta| optimum(theta, flops).params.ln());
        let params_interval = logs.map(|i| Interval { low: i.low.exp(), high: i.high.exp(), ..i });
        Split { optimum: optimum(&theta, flops), params_interval, extrapolated: times > 1.0 }
    };
    Some(Allocation {
        params_exponent: exponent(&theta),
        params_exponent_interval: fitting.derived(exponent),
        splits: BEYOND.map(split).to_vec(),
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
            let close =
                |found: f64, expected: f64| assert!((found / expected - 1.0).abs() < 3e-4, "{found} {expected}");
            close(found.params, params);
            close(found.tokens, tokens);
            close(found.tokens / found.params, ratio);
            close(found.loss, loss);
            let (ln_k, c) = frontier(&theta, 2);
            close(theta[IRREDUCIBLE].exp() + (ln_k - c * flops.ln()).exp(), found.loss);
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
