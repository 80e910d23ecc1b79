//! The law's fit, its intervals and its tests against SciPy's, and where a gain is told.

use super::arm::Arm;
use super::band::Fitted;
use super::gain::Asked;
use super::noise::Precision;
use super::profile::{Profile, Rows};
use super::*;
use crate::analysis::fit::points::Point;
use crate::stat::Interval;

const BASE: [f64; 6] = [0.003, -0.004, 0.001, 0.002, -0.003, 0.002];
const VARIANT: [f64; 5] = [-0.002, 0.003, 0.001, -0.004, 0.002];

/// 1.8 + 1.6 (C / 1e16)^-0.12 from 1e15 on and 1.8 + 1.45 (C / 1e16)^-0.14 from 2e15 on, fourfold steps, with noise.
fn noisy() -> Vec<Arm> {
    let arm = |group: &str, first: f64, reducible: f64, exponent: f64, noise: &[f64]| {
        let point = |(k, off): (usize, &f64)| {
            let flops = first * 4f64.powi(k as i32);
            let loss = (1.8 + reducible * (flops / 1e16).powf(-exponent)) * off.exp();
            Point::new(group.to_owned(), flops, loss)
        };
        Arm::of(&noise.iter().enumerate().map(point).collect::<Vec<_>>())
    };
    vec![
        arm("base", 1e15, 1.6, 0.12, &BASE),
        arm("variant", 2e15, 1.45, 0.14, &VARIANT),
    ]
}

fn fitted(arms: &[Arm], held: Option<f64>) -> Fitted {
    let rows = arms.iter().map(|arm| {
        let flops: Vec<f64> = arm.cells.iter().map(|cell| cell.flops.ln()).collect();
        Rows::new(
            &flops,
            arm.cells.iter().map(|cell| cell.log_loss()).collect(),
            &Precision::equal(arm),
        )
    });
    let profile = Profile::new(rows.collect(), held);
    let freedom = profile.freedom() as f64;
    let variance = profile.best.sum_of_squares / freedom;
    Fitted::new(profile, variance, freedom).unwrap()
}

fn close(found: f64, expected: f64, relative: f64) {
    assert!(
        (found / expected - 1.0).abs() < relative,
        "{found} against {expected}"
    );
}

/// SciPy 1.17: the fit by `least_squares` on ln L; intervals by `minimize(method="SLSQP")` of the sum of squares with the
/// figure held, out to where it has risen by t.ppf(.975, 6)^2 times the mean square; F tests by fits of the smaller models.
#[test]
fn fit_profiles_and_tests_agree_with_scipy() {
    let arms = noisy();
    let fitted = fitted(&arms, None);
    let best = &fitted.profile.best;
    close(best.irreducible, 1.8363444815165433, 1e-5);
    close(best.sum_of_squares, 7.485980451891299e-05, 1e-8);
    close(best.curves[0].exponent, 0.12333447510094354, 1e-5);
    close(best.curves[1].exponent, 0.14399164620569216, 1e-5);
    let e = fitted
        .profile
        .bounds(fitted.single().powi(2) * fitted.variance)
        .unwrap();
    // Given E a figure is taken to be near normal: that moves ends by a fiftieth of the interval at most.
    let ends = |found: Interval, [low, high]: [f64; 2]| {
        assert!(
            (found.low - low).abs() < 0.02 * (high - low),
            "{found:?} against {low}"
        );
        assert!(
            (found.high - high).abs() < 0.02 * (high - low),
            "{found:?} against {high}"
        );
    };
    close(e.low.unwrap(), 1.5510122558110466, 1e-4);
    close(e.high.unwrap(), 2.0354048113347107, 1e-4);
    let asked = Asked {
        fitted: &fitted,
        arms: &arms,
        variant: 1,
    };
    let (gain, range) = fitted.interval(fitted.single(), |at| asked.log_gain(at, 1e17f64.ln()));
    close(gain, 1.2080062044565452, 1e-4);
    ends(range, [1.050860971679434, 1.3764747511609339]);
    let (change, range) = fitted.interval(fitted.single(), |at| asked.doubling(at));
    close(change, 0.11609454613466254, 1e-4);
    ends(range, [0.07578970453523537, 0.15870796114959257]);
    let along = asked.along();
    close(along.equal_exponents.f, 54.96024535816231, 0.02);
    close(along.equal_laws.f, 259.056811729658, 0.03);
    // The band holds at all its places: it is wider than the interval at one.
    assert!(
        along.critical > fitted.single() && along.critical < 1.5 * fitted.single(),
        "{}",
        along.critical
    );
}

#[test]
fn the_gain_is_told_where_the_base_ran_and_nowhere_else() {
    let arms = noisy();
    let fitted = fitted(&arms, Some(1.8));
    let along = Asked {
        fitted: &fitted,
        arms: &arms,
        variant: 1,
    }
    .along();
    let [low, high] = along.flops.unwrap();
    // The variant ran from 2e15 to 5.12e17, the base to 1.024e18; it takes more than that for the variant's last loss.
    close(low, 2e15, 1e-9);
    assert!(high < 5.12e17 && high > 2e17, "{high}");
    close(along.curve.last().unwrap().gain * high, 1.024e18, 1e-9);
    let [Limit::Above { flops, more_than }] = along.limits[..] else {
        panic!("{:?}", along.limits)
    };
    close(flops, high, 1e-9);
    close(more_than, 2.0, 1e-9);
    assert_eq!(
        (along.measured.len(), along.agrees()),
        (4, true),
        "{:?}",
        along.measured
    );
}

/// Where the base ran at the variant's loss the gain is read off it: on a straight line in logarithms exactly.
#[test]
fn measured_gains_are_read_between_the_bases_runs() {
    let arm = |group: &str, worth: f64| {
        let point = |k: i32| {
            let flops = 1e15 * 4f64.powi(k);
            Point::new(
                group.to_owned(),
                flops,
                3.0 * (worth * flops / 1e15).powf(-0.1),
            )
        };
        Arm::of(&(0..5).map(point).collect::<Vec<_>>())
    };
    let arms = [arm("base", 1.0), arm("variant", 2.5)];
    let fitted = fitted(&arms, None);
    let measured = Asked {
        fitted: &fitted,
        arms: &arms,
        variant: 1,
    }
    .along()
    .measured;
    assert_eq!(measured.len(), 4);
    measured
        .iter()
        .for_each(|measured| close(measured.gain, 2.5, 1e-9));
}
