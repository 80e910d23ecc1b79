//! IsoFLOP profiles (Hoffmann et al. 2022, approach 2): at each budget a parabola of loss in ln N, its lowest point N*, and
//! then N* ~ C^a by least squares of ln N* on ln C. No E is needed, and no law of the loss assumed.

use serde::Serialize;

use super::law::{Form, Law};
use super::points::Point;
use crate::error::{Error, Result};
use crate::stat::interval::LEVEL;
use crate::stat::linear::least_squares;
use crate::stat::{Interval, critical};

/// The law.
pub const LAW: Law = Law {
    name: "isoflop",
    formula: "N* = k C^a",
    about: "The best model size of each budget by a parabola in ln N, and how it grows with compute.",
    source: "Hoffmann et al. 2022, arXiv 2203.15556, section 3.2",
    form: Form::IsoFlop,
};

/// Budgets further apart than this factor are two.
const SAME_BUDGET: f64 = 1.25;
/// Runs whose compute differs by more than this factor are at no one budget.
const WIDEST: f64 = 2.0;
/// A parabola through fewer sizes is no fit.
const SIZES: usize = 4;

/// One budget's profile.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Profile {
    /// Geometric mean of its runs' C.
    pub flops: f64,
    /// Runs.
    pub n: usize,
    /// N*, where the parabola has a lowest point among the sizes tried.
    pub best_params: Option<f64>,
    /// The parabola's loss there.
    pub best_loss: Option<f64>,
    /// Root mean square residual of the parabola, in nats.
    pub rms_nats: Option<f64>,
    /// Why there is no best size.
    pub reason: Option<&'static str>,
}

/// What the profiles of one group say.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct IsoFlop {
    /// Whose runs.
    pub group: String,
    /// Runs.
    pub n: usize,
    /// By budget, ascending.
    pub profiles: Vec<Profile>,
    /// a of N* ~ C^a; absent for fewer than two best sizes.
    pub exponent: Option<f64>,
    /// t interval of the regression, budgets - 2 degrees of freedom; absent for fewer than three.
    pub interval: Option<Interval>,
    /// N* at the largest budget, by the regression.
    pub best_params_at_largest: Option<f64>,
}

/// Profiles of one group's runs.
pub fn profiles(points: &[Point]) -> Result<IsoFlop> {
    let group = points.first().map_or(String::new(), |point| point.group.clone());
    let runs: Option<Vec<(f64, f64, f64)>> =
        points.iter().map(|p| Some((p.flops.ln(), p.params?.ln(), p.loss))).collect();
    let Some(mut runs) = runs else {
        return Err(Error::input(format!("{group}: isoFLOP profiles need `params`, which is not there"))
            .hint("--map params=COLUMN"));
    };
    runs.sort_by(|a, b| a.0.total_cmp(&b.0));
    let budgets = runs.chunk_by(|a, b| b.0 - a.0 < SAME_BUDGET.ln());
    let profiles: Vec<Profile> = budgets.map(profile).collect();
    let best: Vec<(f64, f64)> = profiles.iter().filter_map(|p| Some((p.flops.ln(), p.best_params?.ln()))).collect();
    let line = line(&best);
    let largest = best.last().map_or(0.0, |(flops, _)| *flops);
    Ok(IsoFlop {
        group,
        n: points.len(),
        profiles,
        exponent: line.map(|line| line.slope),
        interval: line.and_then(|line| line.interval),
        best_params_at_largest: line.map(|line| (line.middle.1 + line.slope * (largest - line.middle.0)).exp()),
    })
}

fn profile(runs: &[(f64, f64, f64)]) -> Profile {
    let n = runs.len();
    let flops = (runs.iter().map(|run| run.0).sum::<f64>() / n as f64).exp();
    let absent =
        |reason| Profile { flops, n, best_params: None, best_loss: None, rms_nats: None, reason: Some(reason) };
    let mut sizes: Vec<f64> = runs.iter().map(|run| run.1).collect();
    sizes.sort_by(f64::total_cmp);
    sizes.dedup_by(|a, b| (*a - *b).abs() < 1e-3);
    if sizes.len() < SIZES {
        return absent("fewer than four sizes");
    }
    if runs[n - 1].0 - runs[0].0 > WIDEST.ln() {
        return absent("its runs spread over more than a doubling: no one budget");
    }
    let middle = sizes.iter().sum::<f64>() / sizes.len() as f64;
    let columns: Vec<Vec<f64>> =
        (0..3).map(|power| runs.iter().map(|run| (run.1 - middle).powi(power)).collect()).collect();
    let losses: Vec<f64> = runs.iter().map(|run| run.2).collect();
    let Some(c) = least_squares(&columns, &losses) else { return absent("sizes too close together") };
    if c[2] <= 0.0 {
        return absent("the loss does not curve upward");
    }
    let lowest = middle - c[1] / (2.0 * c[2]);
    if lowest < sizes[0] || lowest > sizes[sizes.len() - 1] {
        return absent("the lowest point lies beyond the sizes tried");
    }
    let at = |x: f64| c[0] + c[1] * (x - middle) + c[2] * (x - middle).powi(2);
    let squares: f64 = runs.iter().map(|run| (at(run.1) - run.2).powi(2)).sum();
    Profile {
        flops,
        n,
        best_params: Some(lowest.exp()),
        best_loss: Some(at(lowest)),
        rms_nats: Some((squares / n as f64).sqrt()),
        reason: None,
    }
}

#[derive(Debug, Clone, Copy)]
struct Line {
    middle: (f64, f64),
    slope: f64,
    interval: Option<Interval>,
}

/// Linear regression with the t interval of its slope.
fn line(points: &[(f64, f64)]) -> Option<Line> {
    let n = points.len() as f64;
    let middle = (points.iter().map(|p| p.0).sum::<f64>() / n, points.iter().map(|p| p.1).sum::<f64>() / n);
    let spread: f64 = points.iter().map(|p| (p.0 - middle.0).powi(2)).sum();
    let slope = points.iter().map(|p| (p.0 - middle.0) * (p.1 - middle.1)).sum::<f64>() / spread;
    if points.len() < 2 || !slope.is_finite() {
        return None;
    }
    let squares: f64 = points.iter().map(|p| (p.1 - middle.1 - slope * (p.0 - middle.0)).powi(2)).sum();
    let half = critical(n - 2.0, LEVEL).map(|t| t * (squares / (n - 2.0) / spread).sqrt());
    let interval = half.map(|half| Interval { low: slope - half, high: slope + half, level: LEVEL });
    Some(Line { middle, slope, interval })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::fit::allocation::optimum;

    fn law_points(budgets: &[f64], noise: impl Fn(usize) -> f64) -> Vec<Point> {
        let theta = [480f64.ln(), 0.34, 480f64.ln(), 0.34, 1.8f64.ln()];
        let mut points = Vec::new();
        for &flops in budgets {
            let best = optimum(&theta, flops).params;
            for k in -3..=3 {
                let params = best * 1.5f64.powi(k);
                let tokens = flops / (6.0 * params);
                let loss = 1.8 + 480.0 * params.powf(-0.34) + 480.0 * tokens.powf(-0.34) + noise(points.len());
                points
                    .push(Point { params: Some(params), ..Point::new("a".to_owned(), flops * 1.01f64.powi(k), loss) });
            }
        }
        points
    }

    #[test]
    fn equal_exponents_split_compute_evenly() {
        let found = profiles(&law_points(&[1e18, 1e19, 1e20, 1e21], |_| 0.0)).unwrap();
        assert_eq!(found.profiles.len(), 4);
        assert!((found.exponent.unwrap() - 0.5).abs() < 1e-3, "{found:?}");
        let noisy = profiles(&law_points(&[1e18, 1e19, 1e20, 1e21], |k| 0.003 * (7.0 * k as f64).sin())).unwrap();
        let interval = noisy.interval.unwrap();
        assert!(interval.low < 0.5 && interval.high > 0.5 && interval.high - interval.low < 0.3, "{interval:?}");
    }

    #[test]
    fn a_budget_without_a_lowest_point_says_why() {
        let mut points = law_points(&[1e18, 1e20], |_| 0.0);
        points.retain(|p| p.flops > 1e19 || p.params.unwrap() > 1.2 * optimum_params(1e18));
        let found = profiles(&points).unwrap();
        assert_eq!((found.profiles[0].best_params, found.exponent), (None, None));
        assert_eq!(found.profiles[0].reason, Some("fewer than four sizes"));
        let rising: Vec<Point> = (0..5)
            .map(|k| Point {
                params: Some(1e8 * 2f64.powi(k)),
                ..Point::new("a".into(), 1e18, 3.0 - 0.1 * f64::from(k))
            })
            .collect();
        assert!(profiles(&rising).unwrap().profiles[0].reason.is_some());
        assert!(profiles(&[Point::new("a".into(), 1e18, 3.0)]).is_err());
    }

    fn optimum_params(flops: f64) -> f64 {
        optimum(&[480f64.ln(), 0.34, 480f64.ln(), 0.34, 1.8f64.ln()], flops).params
    }

    /// SciPy 1.17: `r = linregress([0, 1, 2, 3], [0.1, 0.4, 1.2, 1.4])`, `r.slope + t.ppf([.025, .975], 2) * r.stderr`.
    #[test]
    fn the_line_agrees_with_scipy() {
        let found = line(&[(0.0, 0.1), (1.0, 0.4), (2.0, 1.2), (3.0, 1.4)]).unwrap();
        let interval = found.interval.unwrap();
        for (found, expected) in [(found.slope, LINE[1]), (interval.low, LINE[0]), (interval.high, LINE[2])] {
            assert!((found - expected).abs() < 1e-9, "{found} against {expected}");
        }
    }

    const LINE: [f64; 3] = [0.1284875269762913, 0.47, 0.8115124730237087];
}
