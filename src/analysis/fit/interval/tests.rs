//! Tests of `interval`.

use super::*;
use crate::analysis::fit::Form;
use crate::analysis::fit::additive::Additive;
use crate::analysis::fit::points::Point;
use crate::analysis::fit::{chinchilla, power};

fn law(law: &'static crate::analysis::fit::Law) -> &'static Additive {
    let Form::Additive(law) = &law.form else {
        panic!("additive")
    };
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
    noise
        .iter()
        .enumerate()
        .map(|(k, e)| Point::new("a".into(), flops(k), loss(flops(k)) * e.exp()))
        .collect()
}

const NOISE: [f64; 8] = [0.003, -0.004, 0.001, 0.002, -0.003, 0.004, -0.002, -0.001];

/// With E held the law is a line in ln(L - E) for small noise; with E = 0 it is one exactly, and the profile interval is
/// that of linear regression. SciPy 1.17: `r = linregress(x, y)`, `-r.slope + t.ppf([.025, .975], 6) * r.stderr` with
/// `x = log(1e15 * 4 ** arange(8))` and `y = log(1.7 + 3000 * exp(-0.2 * x)) + noise`.
#[test]
fn without_an_irreducible_loss_it_is_linear_regression() {
    let at = [0.0, 0.0, 0.0, 0.0, NOTHING];
    let (surface, fit) = fitted(&ladder(&NOISE), &[IRREDUCIBLE], at);
    let found = Inquiry::new(&surface, fit, &[IRREDUCIBLE], &Series::NONE)
        .unwrap()
        .bounds(1);
    assert!((fit.theta[1] - SLOPE[1]).abs() < 1e-6, "{}", fit.theta[1]);
    assert!((found.low.unwrap() - SLOPE[0]).abs() < 1e-5, "{found:?}");
    assert!((found.high.unwrap() - SLOPE[2]).abs() < 1e-5, "{found:?}");
}

const SLOPE: [f64; 3] = [0.06844468, 0.08131500954, 0.09418533];

#[test]
fn a_curve_that_shows_no_floor_leaves_e_open_below() {
    let (surface, fit) = fitted(&ladder(&NOISE)[..4], &[], [0.0; 5]);
    let inquiry = Inquiry::new(&surface, fit, &[], &Series::NONE).unwrap();
    let found = inquiry.bounds(IRREDUCIBLE);
    assert!(
        found.low.is_none() && found.high.is_some() && !found.closed(),
        "{found:?}"
    );
    let (surface, fit) = fitted(&ladder(&NOISE.map(|e| 0.01 * e)), &[], [0.0; 5]);
    let found = Inquiry::new(&surface, fit, &[], &Series::NONE)
        .unwrap()
        .bounds(IRREDUCIBLE);
    assert!(
        found.closed() && found.low.unwrap() < 1.7 && found.high.unwrap() > 1.7,
        "{found:?}"
    );
}

#[test]
fn too_few_points_have_no_interval() {
    let (surface, fit) = fitted(&ladder(&NOISE)[..3], &[], [0.0; 5]);
    assert_eq!(
        Inquiry::new(&surface, fit, &[], &Series::NONE).err(),
        Some(Silence::TooFewRuns)
    );
}

#[test]
fn an_interval_contains_its_estimate_or_is_none() {
    let rows = [
        (2.0, Some(1.0), Some(3.0), (Some(1.0), Some(3.0))),
        (2.0, Some(2.5), Some(3.0), (None, Some(3.0))),
        (2.0, Some(1.0), Some(1.5), (Some(1.0), None)),
        (2.0, Some(2.0), Some(2.0), (None, None)),
        (f64::NAN, Some(1.0), Some(3.0), (None, None)),
        (2.0, None, Some(2.0), (None, Some(2.0))),
    ];
    for (value, low, high, expected) in rows {
        let found = Bounds::around(value, low, high);
        assert_eq!(
            (found.low, found.high),
            expected,
            "{value} {low:?} {high:?}"
        );
        assert!(!value.is_finite() || found.contains(value));
    }
}

#[test]
fn a_profile_is_lowest_at_the_fit() {
    let points = super::super::surface::tests::points(|k| 0.01 * (5.0 * k as f64).sin());
    let law = law(&chinchilla::LAW);
    let surface = Surface::new(law, &points).unwrap();
    let fit = solve::from_all(&surface, &(law.starts)(&points), &[], &[0.0; 5]).unwrap();
    let inquiry = Inquiry::new(&surface, fit, &[], &Series::NONE).unwrap();
    let at = fit.theta[1];
    let profile = inquiry.profile(1, &[at - 0.05, at - 0.02, at, at + 0.02, at + 0.05]);
    let objectives: Vec<f64> = profile.iter().map(|held| held.objective).collect();
    assert!(
        objectives.windows(2).take(2).all(|pair| pair[0] > pair[1]),
        "{objectives:?}"
    );
    assert!(
        objectives.windows(2).skip(2).all(|pair| pair[0] < pair[1]),
        "{objectives:?}"
    );
    assert!(
        !profile[2].refused && profile[2].statistic < 0.05,
        "{:?}",
        profile[2]
    );
}
