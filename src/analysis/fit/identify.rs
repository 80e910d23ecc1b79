//! Whether the data say which group's loss falls faster. An exponent and E trade against each other: a lower floor asks for a
//! flatter curve. So with E free two exponents are ranked only if their intervals, each over every E that the group's own data
//! allow, do not overlap. Beside it stands what one common E would claim, for every value of it: groups may well have floors
//! of their own (a context too short, a width held while tokens grow), so a common E is an assumption too.

use serde::Serialize;

use super::fitting::Fitting;
use super::interval::{Bounds, Inquiry};
use super::solve::{self, Fitted};
use super::surface::{IRREDUCIBLE, NOTHING, Theta};

/// Values of E tried, as shares of the lowest loss of both groups.
const SHARES: usize = 20;

/// Which exponent is larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The first group's loss falls faster.
    First,
    /// The second's does.
    Second,
    /// Their intervals overlap.
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
    /// What one would have said.
    pub verdict: Verdict,
}

/// Whether two groups' exponents can be ranked.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ranking {
    /// `a`, `alpha`, `beta`.
    pub parameter: &'static str,
    /// The groups.
    pub groups: [String; 2],
    /// The exponents with each group's E free.
    pub exponents: [f64; 2],
    /// Their intervals.
    pub bounds: [Option<Bounds>; 2],
    /// With each group's E free.
    pub with_e_free: Verdict,
    /// What every E that both groups' data allow agrees on, were E common to both.
    pub with_e_common: Verdict,
    /// With E as it was held in the fits; absent where it was free.
    pub with_e_held: Option<Verdict>,
    /// What each E would have claimed.
    pub claims: Vec<Claim>,
}

/// Ranks the exponent in place `index` of two groups; `held_at` is the E of the fits, where they hold one.
pub fn rank(pair: [&Fitting; 2], index: usize, held_at: Option<f64>) -> Ranking {
    let lowest = lowest_of(pair[0]).min(lowest_of(pair[1]));
    let free = pair.map(freed);
    let claims: Vec<Claim> = tried(pair, &free, lowest).iter().map(|&e| claim(pair, &free, index, e)).collect();
    let exponents = [0, 1].map(|k| free[k].theta[index]);
    let bounds = [0, 1].map(|k| Inquiry::new(&pair[k].surface, free[k], &[]).map(|inquiry| inquiry.bounds(index)));
    Ranking {
        parameter: pair[0].law.terms[index / 2].exponent,
        groups: pair.map(|fitting| fitting.points.first().map_or(String::new(), |point| point.group.clone())),
        exponents,
        bounds,
        with_e_free: verdict(exponents, bounds),
        with_e_common: common(&claims),
        with_e_held: held_at.map(|e| claim(pair, &free, index, e).verdict),
        claims,
    }
}

/// Values of E between nothing and the lowest loss, and those around which a well identified E lies.
fn tried(pair: [&Fitting; 2], free: &[Fitted; 2], lowest: f64) -> Vec<f64> {
    let mut values: Vec<f64> = (0..SHARES).map(|k| lowest * k as f64 / SHARES as f64).collect();
    for (fitting, end) in pair.iter().zip(free) {
        let bounds = Inquiry::new(&fitting.surface, *end, &[]).map(|inquiry| inquiry.bounds(IRREDUCIBLE));
        let (low, high) = bounds.map_or((None, None), |bounds| (bounds.low, bounds.high));
        let inner = |end: Option<f64>| end.map(|end| 0.99 * end + 0.01 * lowest_of(fitting));
        values.extend(
            [Some(end.theta[IRREDUCIBLE].exp()), inner(low), high.map(|high| 0.999 * high)].into_iter().flatten(),
        );
    }
    let together: f64 = free.iter().map(|end| end.theta[IRREDUCIBLE].exp()).sum::<f64>() / 2.0;
    values.push(together);
    values.retain(|value| *value < lowest);
    values.sort_by(f64::total_cmp);
    values.dedup_by(|a, b| (*a - *b).abs() < 1e-6 * lowest);
    values
}

fn lowest_of(fitting: &Fitting) -> f64 {
    fitting.points.iter().map(|p| p.loss).fold(f64::INFINITY, f64::min)
}

/// The fit of the same points with E free.
fn freed(fitting: &Fitting) -> Fitted {
    let starts: Vec<Theta> = [0.2, 0.5, 0.8, 0.95]
        .iter()
        .map(|share| {
            let mut theta = fitting.end.theta;
            theta[IRREDUCIBLE] = (share * lowest_of(fitting)).ln();
            solve::from(&fitting.surface, &theta, &[IRREDUCIBLE]).theta
        })
        .chain([fitting.end.theta])
        .collect();
    let ends = starts.iter().map(|start| solve::from(&fitting.surface, start, &[]));
    ends.min_by(|a, b| a.objective.total_cmp(&b.objective)).unwrap_or(fitting.end)
}

fn claim(pair: [&Fitting; 2], free: &[Fitted; 2], index: usize, irreducible: f64) -> Claim {
    let mut allowed = true;
    let mut exponents = [0.0; 2];
    let mut bounds = [None; 2];
    for k in 0..2 {
        let surface = &pair[k].surface;
        let mut theta = free[k].theta;
        theta[IRREDUCIBLE] = irreducible.ln().max(NOTHING);
        let end = solve::from(surface, &theta, &[IRREDUCIBLE]);
        let refused = Inquiry::new(surface, free[k], &[]).is_some_and(|i| i.hold(&end.theta, IRREDUCIBLE).refused);
        allowed &= !refused;
        exponents[k] = end.theta[index];
        bounds[k] = Inquiry::new(surface, end, &[IRREDUCIBLE]).map(|inquiry| inquiry.bounds(index));
    }
    Claim { irreducible, allowed, exponents, bounds, verdict: verdict(exponents, bounds) }
}

fn verdict(exponents: [f64; 2], bounds: [Option<Bounds>; 2]) -> Verdict {
    let [Some(first), Some(second)] = bounds else { return Verdict::CannotTell };
    match first.apart(&second) {
        true if exponents[0] > exponents[1] => Verdict::First,
        true => Verdict::Second,
        false => Verdict::CannotTell,
    }
}

/// The verdict that every allowed E agrees on.
fn common(claims: &[Claim]) -> Verdict {
    let mut allowed = claims.iter().filter(|claim| claim.allowed).map(|claim| claim.verdict);
    let Some(first) = allowed.next() else { return Verdict::CannotTell };
    if allowed.all(|verdict| verdict == first) { first } else { Verdict::CannotTell }
}
