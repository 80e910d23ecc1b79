//! What is told of odd studies, and what is refused.

use super::*;
use crate::analysis::PowerLaw;
use crate::stream::stream;

const SEVEN: [f64; 7] = [1e15, 4e15, 1.6e16, 6.4e16, 2.56e17, 1.024e18, 4.096e18];

/// Runs on a law, with 0.1% of luck a run.
fn runs(group: &str, law: PowerLaw, budgets: &[f64], repeats: u64) -> Vec<Point> {
    let mut luck = stream("joint/runs", group.len() as u64, 0);
    let mut points = Vec::new();
    for flops in budgets {
        for repeat in 0..repeats {
            let loss = law.at(*flops) * (0.001 * luck.normal()).exp();
            points.push(Point {
                repeat: Some(repeat),
                ..Point::new(group.to_owned(), *flops, loss)
            });
        }
    }
    points
}

fn law(reducible: f64, exponent: f64) -> PowerLaw {
    PowerLaw {
        irreducible: 1.8,
        scale: reducible * 1e16f64.powf(exponent),
        exponent,
    }
}

fn free(groups: &[Vec<Point>]) -> Result<Joint> {
    joint(
        groups,
        Asks {
            base: None,
            irreducible: Irreducible::Free,
            held: None,
        },
    )
}

fn base() -> Vec<Point> {
    runs("base", law(1.6, 0.12), &SEVEN, 3)
}

/// The laws of Gundlach et al. 2025, which hold E at 1.9, and Moonlight's, which have none: gains as published
/// (3.80 at 1e15, 9.5 at 1e16, 24 at 1e17; AdamW over Muon 2.09 at 1 PF-day, 1 / 0.52 at 10).
#[test]
fn published_laws_give_their_published_gains() {
    let exact = |group: &str, e: f64, scale: f64, exponent: f64, budgets: &[f64]| -> Vec<Point> {
        let law = PowerLaw {
            irreducible: e,
            scale,
            exponent,
        };
        budgets
            .iter()
            .map(|flops| Point::new(group.to_owned(), *flops, law.at(*flops)))
            .collect()
    };
    let ladder: Vec<f64> = (0..9).map(|k| 1e14 * 10f64.powi(k)).collect();
    let lstm = exact("lstm", 1.9, 36.3, 0.065, &ladder);
    let transformer = exact("transformer", 1.9, 81.7, 0.091, &ladder[1..5]);
    let found = free(&[lstm, transformer]).unwrap();
    assert!((found.e - 1.9).abs() < 1e-3, "{}", found.e);
    let curve = &found.gains[0].curve;
    for (flops, gain) in [(1e15, 3.80), (1e17, 24.0), (1e18, 60.2)] {
        let place = curve.iter().min_by(|a, b| {
            (a.flops / flops)
                .ln()
                .abs()
                .total_cmp(&(b.flops / flops).ln().abs())
        });
        let found = place.unwrap().gain * (place.unwrap().flops / flops).powf(1.0 - 0.091 / 0.065);
        assert!((found / gain - 1.0).abs() < 5e-3, "{found} against {gain}");
    }
    assert!((found.gains[0].per_doubling - 2f64.powf(0.091 / 0.065 - 1.0)).abs() < 1e-3);

    let days: Vec<f64> = (-3..=4).map(|k| 10f64.powi(k)).collect();
    let adamw = exact("adamw", 0.0, 2.608, 0.054, &days);
    let muon = exact("muon", 0.0, 2.506, 0.052, &days[..7]);
    let found = free(&[adamw, muon]).unwrap();
    assert!(
        found.e < 1e-3 && found.gains[0].per_doubling < 1.0,
        "{found:?}"
    );
    let at_one = found.gains[0]
        .curve
        .iter()
        .min_by(|a, b| a.flops.ln().abs().total_cmp(&b.flops.ln().abs()));
    let at_one = at_one.unwrap();
    assert!(
        (at_one.gain * at_one.flops.powf(0.037) / 2.09 - 1.0).abs() < 0.01,
        "{at_one:?}"
    );
}

#[test]
fn gains_and_their_change_are_told() {
    let found = free(&[
        base(),
        runs("steeper", law(1.45, 0.15), &SEVEN[..5], 3),
        runs("worse one", law(1.8, 0.12), &SEVEN, 3),
    ]);
    let found = found.unwrap();
    assert!(
        found.refused.is_empty() && found.off_the_law().is_empty(),
        "{:?}",
        found.refused
    );
    let told: Vec<(Side, Trend)> = found
        .gains
        .iter()
        .map(|along| (along.side, along.trend))
        .collect();
    assert_eq!(
        told,
        [(Side::More, Trend::Grows), (Side::Less, Trend::Unclear)]
    );
}

#[test]
fn too_little_is_refused_with_a_hint() {
    let two = runs("two", law(1.5, 0.12), &SEVEN[..2], 3);
    let rows: [(Vec<Vec<Point>>, &str); 4] = [
        (vec![base()], "base is the only one"),
        (vec![base(), two.clone()], "two spans 2 budgets"),
        (vec![two.clone(), base()], "two spans 2 budgets"),
        (
            vec![two, runs("one", law(1.5, 0.12), &SEVEN[..1], 3)],
            "two spans 2 budgets",
        ),
    ];
    for (groups, says) in rows {
        let error = free(&groups).unwrap_err();
        assert!(
            error.message.contains(says) && error.hint.is_some(),
            "{error}"
        );
    }
    let short = runs("short", law(1.5, 0.12), &SEVEN[..2], 3);
    let found = free(&[base(), runs("long", law(1.5, 0.12), &SEVEN, 3), short]).unwrap();
    assert_eq!(
        found.refused,
        [Refused {
            group: "short".into(),
            why: Why::Short {
                budgets: 2,
                of: None
            },
            but_for: None
        }]
    );
    assert_eq!(found.gains.len(), 1);
}

#[test]
fn runs_off_the_law_are_refused_and_the_others_are_not_spoilt() {
    let good = || runs("good", law(1.5, 0.12), &SEVEN, 3);
    let bend = |mut points: Vec<Point>| {
        let off = |flops: f64| 0.004 * (flops / 6.4e16).log(4.0).powi(2);
        points
            .iter_mut()
            .for_each(|point| point.loss *= off(point.flops).exp());
        points
    };
    let higher = PowerLaw {
        irreducible: 2.6,
        ..law(1.0, 0.2)
    };
    for off in [
        bend(runs("off", law(1.5, 0.12), &SEVEN, 3)),
        runs("off", higher, &SEVEN, 3),
    ] {
        let found = free(&[base(), good(), off]).unwrap();
        assert_eq!(found.off_the_law(), ["off"]);
        assert!(
            matches!(found.refused[0].why, Why::Bends { p, .. } if p < 0.01),
            "{:?}",
            found.refused
        );
        assert_eq!(
            found
                .gains
                .iter()
                .map(|along| along.variant.as_str())
                .collect::<Vec<_>>(),
            ["good"]
        );
        assert!(
            (found.gains[0].curve[0].gain.ln() - 0.54).abs() < 0.1,
            "{:?}",
            found.gains[0].curve[0]
        );
    }
    // A base that is off leaves nothing to compare with.
    let found = free(&[
        bend(base()),
        good(),
        runs("fine", law(1.4, 0.12), &SEVEN, 3),
    ])
    .unwrap();
    assert_eq!((found.off_the_law(), found.gains.len()), (vec!["base"], 0));
}

#[test]
fn a_loss_that_rises_is_no_law() {
    let mut rising = runs("rising", law(1.5, 0.12), &SEVEN, 3);
    rising
        .iter_mut()
        .for_each(|point| point.loss = 6.0 / point.loss);
    let found = free(&[
        base(),
        runs("good", law(1.5, 0.12), &SEVEN, 3),
        rising.clone(),
    ])
    .unwrap();
    assert_eq!(
        found.refused,
        [Refused {
            group: "rising".into(),
            why: Why::Rises,
            but_for: None
        }]
    );
    assert_eq!(
        (
            free(&[base(), rising.clone()]).unwrap().gains.len(),
            found.gains.len()
        ),
        (0, 1)
    );
    assert!(free(&[rising, base()]).unwrap().gains.is_empty());
    let mut flat = runs("flat", law(1.5, 0.12), &SEVEN, 1);
    flat.iter_mut().for_each(|point| point.loss = 3.0);
    assert_eq!(free(&[base(), flat]).unwrap().refused[0].why, Why::Rises);
}

#[test]
fn an_irreducible_loss_above_a_loss_seen_is_refused() {
    let groups = [base(), runs("good", law(1.5, 0.12), &SEVEN, 3)];
    let held = |e| {
        joint(
            &groups,
            Asks {
                base: None,
                irreducible: Irreducible::Fixed(e),
                held: Some(e),
            },
        )
    };
    assert!(
        held(2.9)
            .unwrap_err()
            .message
            .contains("not below the lowest loss"),
        "{:?}",
        held(2.9)
    );
    assert_eq!(held(1.8).unwrap().e_interval, None);
}

/// The same rows under two names: worth 1 exactly, and nothing is told of it.
#[test]
fn a_variant_that_is_its_base_is_worth_one() {
    let mut twin = base();
    twin.iter_mut()
        .for_each(|point| point.group = "twin".into());
    let found = free(&[base(), twin]).unwrap();
    let along = &found.gains[0];
    assert!(
        along
            .curve
            .iter()
            .all(|place| (place.gain - 1.0).abs() < 1e-6 && place.interval.low < 1.0)
    );
    assert_eq!(
        (along.side, along.trend, along.per_doubling.round()),
        (Side::Unclear, Trend::Unclear, 1.0)
    );
    assert!(
        along
            .measured
            .iter()
            .all(|measured| (measured.gain - 1.0).abs() < 1e-9)
    );
}

#[test]
fn losses_that_the_base_never_had_have_no_gain() {
    let ahead = runs("ahead", law(0.6, 0.12), &SEVEN[2..6], 3);
    let behind = runs("behind", law(4.5, 0.12), &SEVEN[..4], 3);
    let found = free(&[base(), ahead, behind]).unwrap();
    let [ahead, behind] = &found.gains[..] else {
        panic!("{found:?}")
    };
    assert!(ahead.flops.is_none() && ahead.curve.is_empty() && ahead.side == Side::Unclear);
    let [Limit::Above { more_than, .. }] = ahead.limits[..] else {
        panic!("{:?}", ahead.limits)
    };
    assert!((more_than - 4.0).abs() < 1e-9, "{more_than}");
    let [Limit::Below { less_than, .. }] = behind.limits[..] else {
        panic!("{:?}", behind.limits)
    };
    assert!((less_than - 1.0).abs() < 1e-9, "{less_than}");
}

/// A cell counts once, whoever ran it how often: fifty copies of a row move nothing, and repeats that some cells lack little.
#[test]
fn unbalanced_repeats_do_not_matter() {
    let groups = || vec![base(), runs("good", law(1.45, 0.13), &SEVEN[..5], 3)];
    let plain = free(&groups()).unwrap();
    let mut copied = groups();
    let again: Vec<Point> = copied[0][..3]
        .iter()
        .flat_map(|point| std::iter::repeat_n(point.clone(), 50))
        .collect();
    copied[0].extend(again);
    for (a, b) in free(&copied).unwrap().gains[0]
        .curve
        .iter()
        .zip(&plain.gains[0].curve)
    {
        assert!(
            (a.gain / b.gain - 1.0).abs() < 1e-6
                && (a.interval.low / b.interval.low - 1.0).abs() < 1e-6
        );
    }
    let mut lacking = groups();
    lacking[0].retain(|point| point.repeat == Some(0) || point.flops < 1e17);
    lacking[1].retain(|point| point.repeat != Some(2) || point.flops > 1e16);
    let lacking = free(&lacking).unwrap();
    for (a, b) in lacking.gains[0].curve.iter().zip(&plain.gains[0].curve) {
        assert!(
            a.interval.low < b.gain && b.gain < a.interval.high,
            "{a:?} {b:?}"
        );
        let [wide, usual] = [a, b].map(|place| (place.interval.high / place.interval.low).ln());
        assert!(wide < 3.0 * usual && usual < 3.0 * wide, "{wide} {usual}");
    }
}

/// Points of one run lie off the law alike: they count as fewer, and it is said.
#[test]
fn neighbours_that_are_alike_count_as_fewer() {
    let run = |group: &str, law: PowerLaw, seed: u64| -> Vec<Point> {
        let mut luck = stream("joint/alike", seed, 0);
        let mut off = 0.0;
        let mut point = |k: i32| {
            off = 0.9 * off + 0.0005 * luck.normal();
            let flops = 1e15 * 1.15f64.powi(k);
            Point::new(group.to_owned(), flops, law.at(flops) * f64::exp(off))
        };
        (0..60).map(&mut point).collect()
    };
    let found = free(&[
        run("base", law(1.6, 0.12), 1),
        run("good", law(1.45, 0.12), 2),
    ])
    .unwrap();
    assert!(
        found.scatter.autocorrelation.is_some_and(|r| r > 0.5),
        "{:?}",
        found.scatter
    );
    assert!(found.scatter.freedom < 60.0, "{:?}", found.scatter);
}

/// What one run that diverged does to its arm is said of that run; an arm that rises throughout has none to name.
#[test]
fn one_bad_run_is_named() {
    let mut points = runs("new", law(1.5, 0.12), &SEVEN, 1);
    points[5].loss = 9.9;
    let found = free(&[base(), points.clone()]).unwrap();
    let odd = found.refused[0].but_for.unwrap();
    assert!(
        (odd.loss - 9.9).abs() < 1e-9 && odd.flops == points[5].flops,
        "{odd:?}"
    );
    points.remove(5);
    let without = free(&[base(), points]).unwrap();
    assert!(without.refused.is_empty() && without.gains.len() == 1);
}
