//! Tests of `isoflop`.

use super::*;
use crate::analysis::fit::allocation::optimum;

fn law_points(budgets: &[f64], noise: impl Fn(usize) -> f64) -> Vec<Point> {
    let theta = [480f64.ln(), 0.34, 480f64.ln(), 0.34, 1.8f64.ln()];
    let mut points = Vec::new();
    for &flops in budgets {
        let best = optimum(&theta, flops).params;
        for k in -3..=3 {
            let params = best * 1.5f64.powi(k);
            // Whole steps miss the budget by a little, larger models by more.
            let flops = flops * 1.01f64.powi(k);
            let tokens = flops / (6.0 * params);
            let loss =
                1.8 + 480.0 * params.powf(-0.34) + 480.0 * tokens.powf(-0.34) + noise(points.len());
            points.push(Point {
                params: Some(params),
                ..Point::new("a".to_owned(), flops, loss)
            });
        }
    }
    points
}

#[test]
fn equal_exponents_split_compute_evenly() {
    let found = profiles(&law_points(&[1e18, 1e19, 1e20, 1e21], |_| 0.0)).unwrap();
    assert_eq!(found.profiles.len(), 4);
    assert!((found.exponent.unwrap() - 0.5).abs() < 2e-3, "{found:?}");
    let noisy = profiles(&law_points(&[1e18, 1e19, 1e20, 1e21], |k| {
        0.003 * (7.0 * k as f64).sin()
    }))
    .unwrap();
    let interval = noisy.interval.unwrap();
    assert!(
        interval.low < 0.5 && interval.high > 0.5 && interval.high - interval.low < 0.3,
        "{interval:?}"
    );
}

#[test]
fn a_budget_without_a_lowest_point_says_why() {
    let mut points = law_points(&[1e18, 1e20], |_| 0.0);
    points.retain(|p| p.flops > 1e19 || p.params.unwrap() > 1.2 * optimum_params(1e18));
    let found = profiles(&points).unwrap();
    assert_eq!(
        (found.profiles[0].best_params, found.exponent),
        (None, None)
    );
    assert_eq!(found.profiles[0].reason, Some(Reason::FewSizes));
    let rising: Vec<Point> = (0..5)
        .map(|k| Point {
            params: Some(1e8 * 2f64.powi(k)),
            ..Point::new("a".into(), 1e18, 3.0 - 0.1 * f64::from(k))
        })
        .collect();
    assert_eq!(
        profiles(&rising).unwrap().profiles[0].reason,
        Some(Reason::AtLargest)
    );
    assert!(profiles(&[Point::new("a".into(), 1e18, 3.0)]).is_err());
}

fn optimum_params(flops: f64) -> f64 {
    optimum(&[480f64.ln(), 0.34, 480f64.ln(), 0.34, 1.8f64.ln()], flops).params
}

/// SciPy 1.17: `r = linregress([0, 1, 2, 3], [0.1, 0.4, 1.2, 1.4])`, `r.slope + t.ppf([.025, .975], 2) * r.stderr`.
/// SciPy 1.17: `r = linregress([0, 1, 2, 3], [0.1, 0.4, 1.2, 1.4])`, `r.slope + t.ppf([.025, .975], 2) * r.stderr`.
#[test]
fn the_line_agrees_with_scipy() {
    let rows = [
        (0.0, 0.1, 2.0),
        (1.0, 0.4, 2.0),
        (2.0, 1.2, 2.0),
        (3.0, 1.4, 2.0),
    ];
    let found = regression(&rows).unwrap();
    let interval = found.interval().unwrap();
    for (found, expected) in [
        (found.slope, LINE[1]),
        (interval.low, LINE[0]),
        (interval.high, LINE[2]),
    ] {
        assert!(
            (found - expected).abs() < 1e-9,
            "{found} against {expected}"
        );
    }
}

const LINE: [f64; 3] = [0.1284875269762913, 0.47, 0.8115124730237087];

/// E, A, alpha, B, beta: Hoffmann et al. 2022, Besiroglu et al. 2024, a steep side against a flat one, one that puts compute
/// into parameters as Kaplan et al. 2020 did, and equal sides.
const LAWS: [[f64; 5]; 5] = [
    [1.69, 406.4, 0.34, 410.7, 0.28],
    [1.8172, 482.0, 0.3478, 2085.0, 0.3658],
    [1.7, 900.0, 0.465, 40.0, 0.155],
    [1.5, 120.0, 0.25, 5000.0, 0.42],
    [1.8, 480.0, 0.34, 480.0, 0.34],
];

/// Five budgets, sizes over a factor of 300 around each best one, or around one middle for all; `luck` is ln L's.
fn wide(
    law: [f64; 5],
    sizes: i32,
    fixed: bool,
    shift: f64,
    mut luck: impl FnMut() -> f64,
) -> Vec<Point> {
    let [e, a, alpha, b, beta] = law;
    let theta = [a.ln(), alpha, b.ln(), beta, e.ln()];
    let mut points = Vec::new();
    for budget in 0..5 {
        let flops = 1e18 * 1e3f64.powf(f64::from(budget) / 4.0);
        let middle = optimum(&theta, if fixed { 10f64.powf(19.5) } else { flops }).params;
        for k in 0..sizes {
            let params =
                middle * 300f64.powf(f64::from(k) / f64::from(sizes - 1) - 0.5) * shift.exp();
            let tokens = flops / (6.0 * params);
            let loss = (e + a * params.powf(-alpha) + b * tokens.powf(-beta)) * luck().exp();
            points.push(Point {
                params: Some(params),
                ..Point::new("a".to_owned(), flops, loss)
            });
        }
    }
    points
}

#[test]
fn wide_lopsided_valleys_keep_their_exponent() {
    for law in LAWS {
        let truth = law[4] / (law[2] + law[4]);
        for (sizes, fixed) in [(7, false), (9, false), (9, true), (13, true)] {
            for shift in [-0.7, 0.0, 0.4] {
                let found = profiles(&wide(law, sizes, fixed, shift, || 0.0)).unwrap();
                let exponent = found.exponent.unwrap();
                assert!(
                    (exponent - truth).abs() < 0.005,
                    "{law:?} {sizes} {fixed} {shift}: {exponent} {truth}"
                );
                let theta = [law[1].ln(), law[2], law[3].ln(), law[4], law[0].ln()];
                for profile in found
                    .profiles
                    .iter()
                    .filter(|profile| profile.best_params.is_some())
                {
                    let off =
                        (profile.best_params.unwrap() / optimum(&theta, profile.flops).params).ln();
                    assert!(off.abs() < 0.03, "{law:?} {sizes} {fixed} {shift}: {off}");
                }
            }
        }
    }
}

/// Shares of studies, with noise of `noise` in ln L, whose intervals hold the exponent and N* at the largest budget.
fn coverage(studies: u64, noise: f64) -> Vec<[f64; 2]> {
    let of = |law: [f64; 5]| {
        let inside = crate::analysis::fit::solve::on_all_cores(studies as usize, |k| {
            let mut random = crate::stream::stream(
                "isoflop-test",
                k as u64,
                (1e6 * noise + 1e3 * law[1]) as u64,
            );
            let shift = random.uniform() - 0.5;
            let found = profiles(&wide(law, 9, false, shift, || noise * random.normal())).unwrap();
            let theta = [law[1].ln(), law[2], law[3].ln(), law[4], law[0].ln()];
            let best = found.best_params_at_largest.unwrap();
            let holds = |interval: Option<Interval>, truth: f64| {
                interval.is_none_or(|interval| interval.low <= truth && truth <= interval.high)
            };
            let truth = optimum(&theta, best.flops).params;
            [
                holds(found.interval, law[4] / (law[2] + law[4])),
                holds(best.interval, truth),
            ]
        });
        [0, 1].map(|k| inside.iter().filter(|study| study[k]).count() as f64 / studies as f64)
    };
    LAWS.map(of).to_vec()
}

#[test]
fn intervals_of_the_exponent_and_the_best_size_cover() {
    for shares in coverage(60, 0.003) {
        assert!(shares.iter().all(|share| *share >= 0.85), "{shares:?}");
    }
}

#[test]
#[ignore = "500 studies a row: cargo test --release --no-default-features --lib isoflop -- --ignored"]
fn intervals_cover_92_to_98_percent_of_500_studies() {
    for noise in [0.001, 0.003] {
        for (law, shares) in LAWS.iter().zip(coverage(500, noise)) {
            assert!(
                shares.iter().all(|share| (0.92..=0.98).contains(share)),
                "{law:?} {noise}: {shares:?}"
            );
        }
    }
}

#[test]
fn an_optimum_beyond_the_sizes_is_told_from_one_within() {
    let law = LAWS[2];
    let all = wide(law, 13, true, 0.0, || 0.0);
    let of = |keep: &dyn Fn(f64, f64) -> bool| {
        let theta = [law[1].ln(), law[2], law[3].ln(), law[4], law[0].ln()];
        let kept = |p: &&Point| keep(p.params.unwrap(), optimum(&theta, p.flops).params);
        let points: Vec<Point> = all.iter().filter(kept).cloned().collect();
        profiles(&points)
            .unwrap()
            .profiles
            .iter()
            .map(|profile| profile.reason)
            .collect::<Vec<_>>()
    };
    let above = of(&|size, best| size > 1.3 * best);
    assert!(
        above
            .iter()
            .flatten()
            .all(|reason| *reason == Reason::AtSmallest)
            && above[0].is_some(),
        "{above:?}"
    );
    let below = of(&|size, best| size < 0.75 * best);
    assert!(
        below
            .iter()
            .flatten()
            .all(|reason| *reason == Reason::AtLargest)
            && below[4].is_some(),
        "{below:?}"
    );
    let within = of(&|size, best| size > 0.6 * best);
    assert_eq!(within, [None; 5], "one size below the best is enough");
}

/// Five sizes that double span a factor of 16 to the last digit, which decided between parabola and cubic budget by budget.
#[test]
fn all_budgets_are_read_by_one_form() {
    let law = |params: f64, tokens: f64| 1.69 + 4e3 * params.powf(-0.5) + 60.0 * tokens.powf(-0.2);
    let points = |factor: f64| {
        let mut points = Vec::new();
        for budget in 0..9 {
            let flops = 1e18 * 10f64.powf(0.5 * f64::from(budget));
            // Last digits of the span differ from budget to budget.
            let smallest = 1.25e8 * (flops / 1e18).powf(2.0 / 7.0) / 4.0;
            for k in 0..5 {
                let params = 1.2 * smallest * factor.powi(k);
                let tokens = flops / (6.0 * params);
                points.push(Point {
                    params: Some(params),
                    ..Point::new("a".into(), flops, law(params, tokens))
                });
            }
        }
        points
    };
    let told = |factor| {
        let found = profiles(&points(factor)).unwrap();
        let of = |p: &Profile| p.best_params.map(|n| (n / p.flops.powf(2.0 / 7.0)).ln());
        found.profiles.iter().filter_map(of).collect::<Vec<f64>>()
    };
    let (just, below) = (told(2.0), told(2.0 - 1e-9));
    assert!(just.len() == 9 && below.len() == 9, "{just:?}");
    let spread = |of: &[f64]| {
        let ends = of.iter().fold((f64::MAX, f64::MIN), |(low, high), v| {
            (low.min(*v), high.max(*v))
        });
        ends.1 - ends.0
    };
    assert!(spread(&just) < 0.04, "{just:?}");
    assert!(
        just.iter().zip(&below).all(|(a, b)| (a - b).abs() < 1e-3),
        "{just:?} {below:?}"
    );
}

/// One shape at three budgets, lowest at its smallest size: none has a best size, whatever turn a curve takes between them.
#[test]
fn a_loss_lowest_at_the_smallest_size_has_no_best() {
    let mut points = Vec::new();
    for budget in 0..3 {
        for (k, loss) in [3.0, 3.002, 3.006, 3.05, 3.3].into_iter().enumerate() {
            points.push(Point {
                params: Some(1e7 * 2f64.powi(budget + k as i32)),
                ..Point::new(
                    "a".into(),
                    1e18 * 10f64.powi(budget),
                    loss - 0.3 * f64::from(budget),
                )
            });
        }
    }
    let found = profiles(&points).unwrap();
    let smallest = |p: &Profile| p.reason == Some(Reason::AtSmallest);
    assert!(found.profiles.iter().all(smallest), "{:?}", found.profiles);
}

/// A run that failed takes its budget's best size with it, by name; it moved it to a third.
#[test]
fn a_run_that_failed_is_no_part_of_a_valley() {
    let mut points = law_points(&[1e18, 1e19, 1e20, 1e21], |_| 0.0);
    points[8].loss *= 3.0;
    let found = profiles(&points).unwrap();
    let reasons: Vec<Option<Reason>> = found.profiles.iter().map(|p| p.reason).collect();
    assert_eq!(reasons, [None, Some(Reason::Bump), None, None]);
    assert!((found.exponent.unwrap() - 0.5).abs() < 2e-3, "{found:?}");
}
