//! What a t test can see: the shift that it tells from zero with a given chance, and how many repeats that takes.
//!
//! With noncentrality d (the true shift in standard errors) the t statistic is (Z + d) / S, where S^2 is chi-squared over its
//! degrees of freedom, so that the chance to pass c is the mean of Phi(d - c S), an integral over the density of S.

use std::collections::BTreeMap;

use statrs::distribution::{ContinuousCDF, Normal};
use statrs::function::gamma::ln_gamma;

use super::interval::critical;

/// The chance at which an effect counts as one that would be seen.
pub const POWER: f64 = 0.8;

/// The standard normal quantile of [`POWER`].
pub const NORMAL_POWER: f64 = 0.841_621_233_572_914_3;

/// Intervals of Simpson's rule.
const STEPS: usize = 200;

/// Halvings of the bracket: to a millionth of it.
const HALVINGS: usize = 24;

/// From so many degrees of freedom on the t distribution is normal enough.
const MANY: f64 = 200.0;

/// Repeats beyond which nobody asks.
const MOST_REPEATS: usize = 10_000;

/// The chance that a two-sided t test of level `alpha` finds a shift of `d` standard errors on its own side.
pub fn power(d: f64, freedom: f64, alpha: f64) -> f64 {
    let (Some(c), Ok(normal)) = (critical(freedom, 1.0 - alpha), Normal::new(0.0, 1.0)) else {
        return 0.0;
    };
    let half = 0.5 * freedom;
    let log_scale = 2.0_f64.ln() + half * half.ln() - ln_gamma(half);
    let density = |s: f64| (log_scale + (freedom - 1.0) * s.ln() - half * s * s).exp();
    // Beyond this the density is below 1e-15.
    let (low, high) = (
        (1.0 - 7.0 / freedom.sqrt()).max(1e-9),
        1.0 + 7.0 / freedom.sqrt(),
    );
    let width = (high - low) / STEPS as f64;
    let weight = |k: usize| {
        if k == 0 || k == STEPS {
            1.0
        } else {
            2.0 + 2.0 * (k % 2) as f64
        }
    };
    let term = |k: usize| {
        let s = low + width * k as f64;
        weight(k) * density(s) * normal.cdf(d - c * s)
    };
    (0..=STEPS).map(term).sum::<f64>() * width / 3.0
}

/// The shift in standard errors that is seen with a chance of [`POWER`]; `None` without a degree of freedom.
pub fn detectable(freedom: f64, alpha: f64) -> Option<f64> {
    let critical = critical(freedom, 1.0 - alpha)?;
    if freedom > MANY {
        return Some(critical + NORMAL_POWER);
    }
    let (mut low, mut high) = (0.5 * critical, 4.0 * critical);
    for _ in 0..HALVINGS {
        let middle = 0.5 * (low + high);
        if power(middle, freedom, alpha) < POWER {
            low = middle
        } else {
            high = middle
        }
    }
    Some(0.5 * (low + high))
}

/// [`detectable`] with a memory: it depends on two numbers alone, and thousands of cells ask for the same ones.
#[derive(Debug, Clone, Default)]
pub struct Sight {
    known: BTreeMap<(u64, u64), Option<f64>>,
}

impl Sight {
    /// As [`detectable`], for whole degrees of freedom: of a broken number the next below, and never none.
    pub fn detectable(&mut self, freedom: f64, alpha: f64) -> Option<f64> {
        let freedom = freedom.floor().max(1.0);
        *self
            .known
            .entry((freedom.to_bits(), alpha.to_bits()))
            .or_insert_with(|| detectable(freedom, alpha))
    }

    /// The fewest repeats, at least three, at which a shift of `effect` is seen, where one repeat's difference has this
    /// standard deviation; `None` where no number that anybody would run is enough.
    pub fn repeats_for(&mut self, effect: f64, sd: f64, alpha: f64) -> Option<usize> {
        let mut enough = |n: usize| {
            let seen = self.detectable(n as f64 - 1.0, alpha);
            seen.is_some_and(|d| d * sd / (n as f64).sqrt() <= effect)
        };
        let (mut low, mut high) = (3, MOST_REPEATS);
        if effect <= 0.0 || !enough(high) {
            return None;
        }
        while low < high {
            let middle = usize::midpoint(low, high);
            if enough(middle) {
                high = middle
            } else {
                low = middle + 1
            }
        }
        Some(low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SciPy 1.17: the d at which `1 - scipy.stats.nct.cdf(scipy.stats.t.ppf(1 - alpha / 2, n - 1), n - 1, d * sqrt(n))` is
    /// 0.8, by `scipy.optimize.brentq`.
    #[test]
    fn what_is_seen_agrees_with_scipy() {
        let rows = [
            (3.0, 0.05, 3.2640435498199203),
            (5.0, 0.05, 1.6819972822152527),
            (5.0, 0.0025, 3.7758962570666172),
            (8.0, 0.05, 1.156035494354789),
            (16.0, 0.0025, 1.1422069801471104),
            (30.0, 0.05, 0.5292362447758026),
        ];
        for (n, alpha, expected) in rows {
            let found: f64 = detectable(n - 1.0, alpha).unwrap() / f64::sqrt(n);
            assert!(
                (found / expected - 1.0).abs() < 1e-4,
                "n = {n}, {alpha}: {found} against {expected}"
            );
        }
    }

    #[test]
    fn repeats_are_those_that_see_the_effect() {
        let rows = [
            (0.02, 0.01, 5),
            (0.02, 0.02, 10),
            (0.02, 0.0, 3),
            (0.02, 0.04, 34),
        ];
        for (effect, sd, expected) in rows {
            assert_eq!(
                Sight::default().repeats_for(effect, sd, 0.05),
                Some(expected),
                "{effect} at {sd}"
            );
        }
        let mut sight = Sight::default();
        assert_eq!(
            (
                sight.repeats_for(0.0, 0.1, 0.05),
                sight.repeats_for(1e-9, 1.0, 0.05)
            ),
            (None, None)
        );
    }
}
