//! What a value of E claims of two groups: whether their data allow it, and which exponent would be larger.

use serde::Serialize;

use crate::analysis::fit::fitting::Fitting;
use crate::analysis::fit::interval::{Bounds, Inquiry};
use crate::analysis::fit::solve::{self, Fitted};
use crate::analysis::fit::surface::{IRREDUCIBLE, NOTHING, Theta};

/// Values of E tried, as shares of the lowest loss of both groups.
const SHARES: usize = 20;

/// Which one gains more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The first group.
    First,
    /// The second.
    Second,
    /// The data do not say.
    CannotTell,
}

/// What one value of E claims.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Claim {
    /// E.
    pub irreducible: f64,
    /// Whether neither group's data refuse it.
    pub allowed: bool,
    /// The groups' exponents with E held there.
    pub exponents: [f64; 2],
    /// Their intervals.
    pub bounds: [Option<Bounds>; 2],
    /// Which exponent would be called larger.
    pub verdict: Verdict,
}

/// Values of E between nothing and the lowest loss, and those around which a well identified E lies.
pub(super) fn tried(pair: [&Fitting; 2], free: &[Fitted; 2], lowest: f64) -> Vec<f64> {
    let mut values: Vec<f64> = (0..SHARES)
        .map(|k| lowest * k as f64 / SHARES as f64)
        .collect();
    for (fitting, end) in pair.iter().zip(free) {
        let bounds = Inquiry::new(&fitting.surface, *end, &[], &fitting.series)
            .map(|inquiry| inquiry.bounds(IRREDUCIBLE));
        let (low, high) = bounds.map_or((None, None), |bounds| (bounds.low, bounds.high));
        let inner = |end: Option<f64>| end.map(|end| 0.99 * end + 0.01 * lowest_of(fitting));
        values.extend(
            [
                Some(end.theta[IRREDUCIBLE].exp()),
                inner(low),
                high.map(|high| 0.999 * high),
            ]
            .into_iter()
            .flatten(),
        );
    }
    let together: f64 = free
        .iter()
        .map(|end| end.theta[IRREDUCIBLE].exp())
        .sum::<f64>()
        / 2.0;
    values.push(together);
    values.retain(|value| *value < lowest);
    values.sort_by(f64::total_cmp);
    values.dedup_by(|a, b| (*a - *b).abs() < 1e-6 * lowest);
    values
}

/// The lowest loss seen.
pub(super) fn lowest_of(fitting: &Fitting) -> f64 {
    fitting.surface.range().0
}

/// The fit of the same points with E free.
pub(super) fn freed(fitting: &Fitting) -> Fitted {
    let starts: Vec<Theta> = [0.2, 0.5, 0.8, 0.95]
        .iter()
        .map(|share| {
            let mut theta = fitting.end.theta;
            theta[IRREDUCIBLE] = (share * lowest_of(fitting)).ln();
            solve::from(&fitting.surface, &theta, &[IRREDUCIBLE]).theta
        })
        .chain([fitting.end.theta])
        .collect();
    let ends = starts
        .iter()
        .map(|start| solve::from(&fitting.surface, start, &[]));
    ends.min_by(|a, b| a.objective.total_cmp(&b.objective))
        .unwrap_or(fitting.end)
}

/// What that value of E claims.
pub(super) fn claim(
    pair: [&Fitting; 2],
    free: &[Fitted; 2],
    index: usize,
    irreducible: f64,
) -> Claim {
    let mut allowed = true;
    let mut exponents = [0.0; 2];
    let mut bounds = [None; 2];
    for k in 0..2 {
        let Fitting {
            surface, series, ..
        } = pair[k];
        let mut theta = free[k].theta;
        theta[IRREDUCIBLE] = irreducible.ln().max(NOTHING);
        let end = solve::from(surface, &theta, &[IRREDUCIBLE]);
        let refused = Inquiry::new(surface, free[k], &[], series)
            .is_ok_and(|i| i.hold(&end.theta, IRREDUCIBLE).refused);
        allowed &= !refused;
        exponents[k] = end.theta[index];
        bounds[k] = Inquiry::new(surface, end, &[IRREDUCIBLE], series)
            .ok()
            .map(|inquiry| inquiry.bounds(index));
    }
    Claim {
        irreducible,
        allowed,
        exponents,
        bounds,
        verdict: verdict(exponents, bounds),
    }
}

/// Which of two exponents is larger, where their intervals leave none in common.
fn verdict(exponents: [f64; 2], bounds: [Option<Bounds>; 2]) -> Verdict {
    let [Some(first), Some(second)] = bounds else {
        return Verdict::CannotTell;
    };
    let below = |a: &Bounds, b: &Bounds| a.high.zip(b.low).is_some_and(|(high, low)| high < low);
    match below(&first, &second) || below(&second, &first) {
        true if exponents[0] > exponents[1] => Verdict::First,
        true => Verdict::Second,
        false => Verdict::CannotTell,
    }
}
