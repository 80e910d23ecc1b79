//! How far a parameter can be trusted: the values that the data do not refuse, found by refitting with the parameter held.
//!
//! A value is held, everything else is refitted, and the fit is asked whether the data pull away from it; the interval is all
//! values that they do not. So an interval may be open: then the data never refuse, however far one goes. What is asked:
//!
//! - runs in repeats (shared seeds): the t statistic of the repeats' efficient scores, R - 1 degrees of freedom. Whatever luck
//!   a repeat's runs share, the mean of the scores is zero at the truth;
//! - single runs, least squares: the profile likelihood ratio, F with 1 and n - p degrees of freedom;
//! - single runs, Huber's loss: the efficient scores of the rows against their own scatter, t with n - p.
//!
//! `tests/coverage.rs` measures the share of simulated studies whose interval contains the truth.

use serde::Serialize;

use super::solve::{self, Fitted};
use super::surface::{IRREDUCIBLE, NOTHING, Surface, Theta};
use crate::stat::critical;
use crate::stat::interval::LEVEL;

/// Exponents beyond this are as good as infinite.
const STEEPEST: f64 = 10.0;
/// An exponent below this is as good as none.
const FLATTEST: f64 = 1e-4;
/// Logarithms of coefficients beyond this are as good as infinite.
const LARGEST_LOG: f64 = 250.0;
/// Steps outward, each half as long again as the one before, from a thousandth of the value.
const STEPS: usize = 40;
/// Halvings of the last step.
const HALVINGS: usize = 14;

/// The values not refused; an end that is absent is open.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Bounds {
    /// Lower end.
    pub low: Option<f64>,
    /// Upper end.
    pub high: Option<f64>,
    /// Coverage, `0.95`.
    pub level: f64,
}

impl Bounds {
    /// Whether both ends are closed: only then is the parameter identified.
    pub fn closed(&self) -> bool {
        self.low.is_some() && self.high.is_some()
    }

    /// Whether every value of one lies below every value of the other.
    pub fn apart(&self, other: &Self) -> bool {
        let below = |a: &Self, b: &Self| matches!((a.high, b.low), (Some(high), Some(low)) if high < low);
        below(self, other) || below(other, self)
    }
}

/// The fit with a parameter held at one value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Held {
    /// Where it was held.
    pub value: f64,
    /// The objective there, everything else refitted.
    pub objective: f64,
    /// The test statistic.
    pub statistic: f64,
    /// Whether the data refuse it.
    pub refused: bool,
    /// The other parameters: ln A, alpha, ln B, beta, ln E.
    #[serde(skip)]
    pub theta: Theta,
}

/// Asks a fit about held values of its parameters.
pub struct Inquiry<'a> {
    /// In coordinates where the parameter asked about is one of theirs.
    surface: &'a Surface,
    fit: Fitted,
    /// Held by the user.
    held: Vec<usize>,
    critical: f64,
    freedom: usize,
}

impl<'a> Inquiry<'a> {
    /// For a fit in the surface's coordinates; `None` where there are too few points or repeats for any interval.
    pub fn new(surface: &'a Surface, fit: Fitted, held: &[usize]) -> Option<Self> {
        let freedom = freedom(surface, held)?;
        Some(Self { surface, fit, held: held.to_vec(), critical: critical(freedom as f64, LEVEL)?, freedom })
    }

    /// Refits with parameter `index` held at `theta`'s value, and asks whether the data refuse it.
    pub fn hold(&self, theta: &Theta, index: usize) -> Held {
        let held: Vec<usize> = self.held.iter().copied().chain([index]).collect();
        let end = solve::from(self.surface, theta, &held);
        let statistic = self.statistic(&end, index);
        let value = end.theta[index];
        let value = if index == IRREDUCIBLE { value.exp() } else { value };
        let refused = statistic > self.critical;
        Held { value, objective: end.objective, statistic, refused, theta: end.theta }
    }

    fn statistic(&self, end: &Fitted, index: usize) -> f64 {
        let surface = self.surface;
        if !surface.repeated() && surface.delta.is_infinite() {
            let excess = (end.objective - self.fit.objective).max(0.0);
            return (excess * self.freedom as f64 / self.fit.objective).sqrt();
        }
        let scores = surface.scores(&end.theta, index, &surface.free(&self.held));
        let n = scores.len() as f64;
        let total: f64 = scores.iter().sum();
        if surface.repeated() {
            let squares: f64 = scores.iter().map(|score| (score - total / n).powi(2)).sum();
            return total.abs() / (squares * n / (n - 1.0)).sqrt();
        }
        let squares: f64 = scores.iter().map(|score| score * score).sum();
        total.abs() / (squares * n / self.freedom as f64).sqrt()
    }

    /// The interval of a parameter: of E itself, of an exponent, or of a coefficient's logarithm.
    pub fn bounds(&self, index: usize) -> Bounds {
        Bounds { low: self.end(index, -1.0), high: self.end(index, 1.0), level: LEVEL }
    }

    /// Walks outward until the data refuse, then halves the last step; `None` where they never do.
    fn end(&self, index: usize, side: f64) -> Option<f64> {
        let start = self.natural(&self.fit.theta, index);
        let unit = if index == IRREDUCIBLE { self.lowest_loss() } else { start.abs().max(0.1) };
        let (mut inside, mut theta) = (start, self.fit.theta);
        let mut step = 1e-3 * unit;
        for _ in 0..STEPS {
            let (outside, last) = self.within(index, inside + side * step);
            let held = self.hold(&self.at(&theta, index, outside), index);
            if held.refused {
                return Some(self.halved(index, inside, outside, theta));
            }
            if last {
                return None;
            }
            (inside, theta, step) = (outside, held.theta, 1.5 * step);
        }
        None
    }

    fn halved(&self, index: usize, mut inside: f64, mut outside: f64, mut theta: Theta) -> f64 {
        for _ in 0..HALVINGS {
            let middle = 0.5 * (inside + outside);
            let held = self.hold(&self.at(&theta, index, middle), index);
            if held.refused {
                outside = middle;
            } else {
                (inside, theta) = (middle, held.theta);
            }
        }
        0.5 * (inside + outside)
    }

    fn lowest_loss(&self) -> f64 {
        self.surface.rows.iter().map(|row| row.y).fold(f64::INFINITY, f64::min).exp()
    }

    /// The value clipped to what makes sense, and whether that is as far as one can go.
    fn within(&self, index: usize, value: f64) -> (f64, bool) {
        let (low, high) = match index {
            IRREDUCIBLE => (0.0, 0.9999 * self.lowest_loss()),
            1 | 3 => (FLATTEST, STEEPEST),
            _ => (-LARGEST_LOG, LARGEST_LOG),
        };
        (value.clamp(low, high), value <= low || value >= high)
    }

    fn natural(&self, theta: &Theta, index: usize) -> f64 {
        if index == IRREDUCIBLE { theta[index].exp() } else { theta[index] }
    }

    fn at(&self, theta: &Theta, index: usize, value: f64) -> Theta {
        let mut theta = *theta;
        theta[index] = if index == IRREDUCIBLE { value.ln().max(NOTHING) } else { value };
        theta
    }

    /// Refits along a row of values from the fit outward, so that each search starts beside its end.
    pub fn profile(&self, index: usize, values: &[f64]) -> Vec<Held> {
        let start = self.natural(&self.fit.theta, index);
        let mut held = Vec::new();
        let (below, above): (Vec<f64>, Vec<f64>) = values.iter().partition(|value| **value < start);
        for side in [below.into_iter().rev().collect::<Vec<f64>>(), above] {
            let mut theta = self.fit.theta;
            for value in side {
                let found = self.hold(&self.at(&theta, index, value), index);
                theta = found.theta;
                held.push(found);
            }
        }
        held.sort_by(|a, b| a.value.total_cmp(&b.value));
        held
    }
}

/// Degrees of freedom of every interval of a fit: repeats less one, or runs less parameters.
pub fn freedom(surface: &Surface, held: &[usize]) -> Option<usize> {
    let parameters = surface.free(held).len();
    let runs = surface.rows.len().checked_sub(parameters).filter(|left| *left > 0)?;
    Some(if surface.repeated() { surface.clusters - 1 } else { runs })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::fit::law::{Additive, Form};
    use crate::analysis::fit::points::Point;
    use crate::analysis::fit::{chinchilla, power};

    fn law(law: &'static crate::analysis::fit::Law) -> &'static Additive {
        let Form::Additive(law) = &law.form else { panic!("additive") };
        law
    }

    fn fitted(points: &[Point], held: &[usize], at: Theta) -> (Surface, Fitted) {
        let surface = Surface::new(law(&power::LAW), points).unwrap();
        let starts = (law(&power::LAW).starts)(points);
        let fit = solve::from_all(&surface, &starts, held, &at).unwrap();
        (surface, fit)
    }

    fn ladder(noise: &[f64]) -> Vec<Point> {
        let flops = |k: usize| 1e15 * 4f64.powi(k as i32);
        let loss = |c: f64| 1.7 + 3000.0 * c.powf(-0.2);
        noise.iter().enumerate().map(|(k, e)| Point::new("a".into(), flops(k), loss(flops(k)) * e.exp())).collect()
    }

    const NOISE: [f64; 8] = [0.003, -0.004, 0.001, 0.002, -0.003, 0.004, -0.002, -0.001];

    /// With E held the law is a line in ln(L - E) for small noise; with E = 0 it is one exactly, and the profile interval is
    /// that of linear regression. SciPy 1.17: `r = linregress(x, y)`, `-r.slope + t.ppf([.025, .975], 6) * r.stderr` with
    /// `x = log(1e15 * 4 ** arange(8))` and `y = log(1.7 + 3000 * exp(-0.2 * x)) + noise`.
    #[test]
    fn without_an_irreducible_loss_it_is_linear_regression() {
        let at = [0.0, 0.0, 0.0, 0.0, NOTHING];
        let (surface, fit) = fitted(&ladder(&NOISE), &[IRREDUCIBLE], at);
        let found = Inquiry::new(&surface, fit, &[IRREDUCIBLE]).unwrap().bounds(1);
        assert!((fit.theta[1] - SLOPE[1]).abs() < 1e-6, "{}", fit.theta[1]);
        assert!((found.low.unwrap() - SLOPE[0]).abs() < 1e-5, "{found:?}");
        assert!((found.high.unwrap() - SLOPE[2]).abs() < 1e-5, "{found:?}");
    }

    const SLOPE: [f64; 3] = [0.06844468, 0.08131500954, 0.09418533];

    #[test]
    fn a_curve_that_shows_no_floor_leaves_e_open_below() {
        let (surface, fit) = fitted(&ladder(&NOISE)[..4], &[], [0.0; 5]);
        let inquiry = Inquiry::new(&surface, fit, &[]).unwrap();
        let found = inquiry.bounds(IRREDUCIBLE);
        assert!(found.low.is_none() && found.high.is_some() && !found.closed(), "{found:?}");
        let (surface, fit) = fitted(&ladder(&NOISE.map(|e| 0.01 * e)), &[], [0.0; 5]);
        let found = Inquiry::new(&surface, fit, &[]).unwrap().bounds(IRREDUCIBLE);
        assert!(found.closed() && found.low.unwrap() < 1.7 && found.high.unwrap() > 1.7, "{found:?}");
    }

    #[test]
    fn too_few_points_have_no_interval() {
        let (surface, fit) = fitted(&ladder(&NOISE)[..3], &[], [0.0; 5]);
        assert!(Inquiry::new(&surface, fit, &[]).is_none());
        assert_eq!(freedom(&surface, &[IRREDUCIBLE]), Some(1));
    }

    #[test]
    fn intervals_are_apart_only_with_closed_ends_between() {
        let bounds = |low, high| Bounds { low, high, level: 0.95 };
        let rows = [
            (bounds(Some(1.0), Some(2.0)), bounds(Some(3.0), None), true),
            (bounds(None, Some(2.0)), bounds(Some(3.0), None), true),
            (bounds(Some(1.0), None), bounds(Some(3.0), None), false),
            (bounds(Some(1.0), Some(4.0)), bounds(Some(3.0), Some(5.0)), false),
        ];
        for (a, b, expected) in rows {
            assert_eq!((a.apart(&b), b.apart(&a)), (expected, expected), "{a:?} {b:?}");
        }
    }

    #[test]
    fn a_profile_is_lowest_at_the_fit() {
        let points = super::super::surface::tests::points(|k| 0.01 * (5.0 * k as f64).sin());
        let law = law(&chinchilla::LAW);
        let surface = Surface::new(law, &points).unwrap();
        let fit = solve::from_all(&surface, &(law.starts)(&points), &[], &[0.0; 5]).unwrap();
        let inquiry = Inquiry::new(&surface, fit, &[]).unwrap();
        let at = fit.theta[1];
        let profile = inquiry.profile(1, &[at - 0.05, at - 0.02, at, at + 0.02, at + 0.05]);
        let objectives: Vec<f64> = profile.iter().map(|held| held.objective).collect();
        assert!(objectives.windows(2).take(2).all(|pair| pair[0] > pair[1]), "{objectives:?}");
        assert!(objectives.windows(2).skip(2).all(|pair| pair[0] < pair[1]), "{objectives:?}");
        assert!(!profile[2].refused && profile[2].statistic < 0.05, "{:?}", profile[2]);
    }
}
