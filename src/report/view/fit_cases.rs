//! Tables as strangers bring them, and what a fit says first about each.

use std::fmt::Write;

use super::fit::{page, sentence};
use crate::analysis::fit::{
    Asked, Demand, Findings, Irreducible, PerFlop, Plan, csv, fit, fit_asked, law,
};
use crate::error::Error;
use crate::report::Style;
use crate::report::render::text::text as shown;
use crate::stream::{Stream, stream};

pub(super) fn tried(
    law_name: &str,
    table: &str,
    irreducible: Option<Irreducible>,
) -> Result<Findings, Error> {
    let points = csv::points(table, "t.csv", &[], &csv::Units::default())?;
    fit(
        law::find(law_name)?,
        &points,
        &Plan {
            irreducible,
            drop_highest: 0,
            draws: 40,
        },
    )
}

pub(super) fn found(law_name: &str, table: &str) -> Findings {
    tried(law_name, table, None).unwrap_or_else(|error| panic!("{error}\n{table}"))
}

/// L = 1.8 + 480 / N^0.35 + 2000 / D^0.36: its best split is N ~ C^0.507.
fn loss(params: f64, tokens: f64) -> f64 {
    1.8 + 480.0 * params.powf(-0.35) + 2000.0 * tokens.powf(-0.36)
}

pub(super) fn spread(n: i32, first: f64, last: f64) -> Vec<f64> {
    (0..n)
        .map(|k| first * (last / first).powf(f64::from(k) / f64::from((n - 1).max(1))))
        .collect()
}

/// Runs of every size with every number of tokens.
fn grid(sizes: &[f64], tokens: &[f64], luck: &mut Stream, noise: f64) -> Vec<(f64, f64, f64)> {
    let mut runs = Vec::new();
    for &n in sizes {
        for &d in tokens {
            runs.push((n, d, loss(n, d) * (noise * luck.normal()).exp()));
        }
    }
    runs
}

fn table(runs: &[(f64, f64, f64)]) -> String {
    runs.iter()
        .fold("params,tokens,loss\n".to_owned(), |mut table, (n, d, l)| {
            let _ = writeln!(table, "{n:e},{d:e},{l}");
            table
        })
}

fn plain_grid(seed: u64) -> Vec<(f64, f64, f64)> {
    grid(
        &spread(6, 1e7, 2.43e9),
        &spread(5, 4e8, 1.024e11),
        &mut stream("cases/grid", seed, 0),
        0.004,
    )
}

#[test]
fn a_loss_that_does_not_fall_has_no_law() {
    let rows = |loss: &dyn Fn(i32) -> f64| {
        (0..7).fold("flops,loss\n".to_owned(), |table, k| {
            table + &format!("{:e},{}\n", 1e15 * 3f64.powi(k), loss(k))
        })
    };
    let cases = [
        (
            rows(&|k| 2.0 + 0.1 * f64::from(k)),
            "the loss does not fall with flops",
        ),
        (
            rows(&|k| 2.0 + 0.1 * f64::from(k) + 0.01 * f64::from(k * 5 % 3)),
            "the loss does not fall with flops",
        ),
        (rows(&|_| 3.0), "all losses are the same"),
        (
            "flops,loss\n1e15,3\n".to_owned(),
            "1 points for 3 free parameters",
        ),
    ];
    for (table, message) in cases {
        let error = tried("power", &table, None).unwrap_err();
        assert!(
            error.message.contains(message) && error.hint.is_some(),
            "{error}"
        );
    }
}

#[test]
fn designs_that_cannot_tell_the_split_say_so_first_and_give_no_interval() {
    let mut luck = stream("cases/poor", 0, 0);
    let read_at: Vec<_> = spread(12, 1e7, 1e10)
        .into_iter()
        .map(|n| {
            (
                n,
                20.0 * n,
                loss(n, 20.0 * n) * (0.003 * luck.normal()).exp(),
            )
        })
        .collect();
    let cases = [
        (
            grid(&[1e8, 4e8], &spread(8, 1e9, 1e11), &mut luck, 0.003),
            "by runs of 2 model sizes",
        ),
        (
            grid(&spread(8, 1e7, 1e9), &[2e9, 2e10], &mut luck, 0.003),
            "by runs of 2 numbers of tokens",
        ),
        (read_at, "by runs that all have 20.00 tokens a parameter"),
    ];
    for (runs, why) in cases {
        let found = found("chinchilla", &table(&runs));
        let said = sentence(&found);
        assert!(
            said.starts_with("How compute is best split is not identified") && said.contains(why),
            "{said}"
        );
        assert!(!said.contains("95%"), "{said}");
        let study = &found.groups[0];
        let allocation = study.allocation.as_ref().unwrap();
        assert_eq!(allocation.params_exponent_interval, None);
        let forecast = study
            .forecast
            .as_ref()
            .map_or(0.0, |forecast| forecast.rms_error_nats);
        assert!(
            forecast < 1.0,
            "a forecast misses by nats at most: {forecast}"
        );
    }
    let one = table(&grid(&[1e8], &spread(8, 1e9, 1e11), &mut luck, 0.003));
    assert!(
        tried("chinchilla", &one, None)
            .unwrap_err()
            .message
            .contains(
                "all runs have 100 M parameters, so that what a larger model buys cannot be told"
            )
    );
}

#[test]
fn a_design_that_tells_the_split_has_an_interval_that_holds_it() {
    let found = found("chinchilla", &table(&plain_grid(1)));
    let range = found.groups[0]
        .allocation
        .as_ref()
        .unwrap()
        .params_exponent_interval
        .unwrap();
    assert!(
        range.low < 0.36 / 0.71 && 0.36 / 0.71 < range.high && range.high - range.low < 0.1,
        "{range:?}"
    );
    let split = found.groups[0].allocation.as_ref().unwrap().splits[0];
    let params = split.params_interval.unwrap();
    assert!(
        params.low < split.optimum.params && split.optimum.params < params.high,
        "{split:?}"
    );
}

#[test]
fn copies_of_a_row_bring_no_luck_of_their_own() {
    let runs = plain_grid(2);
    let copied: Vec<_> = runs.iter().flat_map(|run| [*run; 50]).collect();
    let (once, often) = (
        found("chinchilla", &table(&runs)),
        found("chinchilla", &table(&copied)),
    );
    for (one, other) in once.groups[0]
        .parameters
        .iter()
        .zip(&often.groups[0].parameters)
    {
        assert_eq!(
            (one.value, one.interval),
            (other.value, other.interval),
            "{}",
            one.name
        );
    }
    let note = "1470 of 1500 rows are copies of another to the last digit and count once";
    assert!(
        often.notes.iter().any(|n| n.starts_with(note)),
        "{:?}",
        often.notes
    );
}

#[test]
fn checkpoints_of_a_run_are_no_runs_of_their_own() {
    let mut luck = stream("cases/checkpoints", 0, 0);
    let (mut plain, mut named) = (
        "params,tokens,loss\n".to_owned(),
        "run,params,tokens,loss\n".to_owned(),
    );
    for (run, n) in [1e7, 1e8, 1e9].into_iter().enumerate() {
        let mut off = 0.0;
        for step in 1..=60 {
            let d = 7e8 * f64::from(step);
            off = 0.97 * off + 0.001 * luck.normal();
            let row = format!("{n:e},{d:e},{}\n", loss(n, d) * f64::exp(off));
            plain += &row;
            named += &format!("run {run},{row}");
        }
    }
    for table in [plain, named] {
        let found = found("chinchilla", &table);
        let said = sentence(&found);
        assert!(
            said.starts_with("Neighbouring rows of one size miss the law alike (Durbin-Watson 0."),
            "{said}"
        );
        let series = found.groups[0].series;
        assert!(180.0 / series.stretch() < 30.0, "{series:?}");
    }
}

#[test]
fn flops_in_another_unit_are_told_and_best_splits_are_read_off_them() {
    let runs = plain_grid(3);
    let with = |per: f64| {
        let head = "params,tokens,flops,loss\n".to_owned();
        runs.iter().fold(head, |table, (n, d, l)| {
            table + &format!("{n:e},{d:e},{:e},{l}\n", per * n * d)
        })
    };
    let (usual, odd) = (
        found("chinchilla", &with(6.0)),
        found("chinchilla", &with(6000.0)),
    );
    let said = sentence(&odd);
    assert!(
        said.starts_with("The runs' FLOPs are 6000 N D, not 6 N D"),
        "{said}"
    );
    assert!(!sentence(&usual).contains("N D,"), "{}", sentence(&usual));
    let best = |found: &Findings| found.groups[0].allocation.as_ref().unwrap().splits[0].optimum;
    let (usual, odd) = (best(&usual), best(&odd));
    assert!(
        (odd.params / usual.params - 1.0).abs() < 1e-6
            && (odd.flops / usual.flops - 1000.0).abs() < 1e-6,
        "{odd:?}"
    );
}

#[test]
fn a_law_that_misses_its_runs_says_so_first_and_gives_no_split() {
    let mut luck = stream("cases/misfit", 0, 0);
    let mut table = "repeat,params,tokens,loss\n".to_owned();
    for repeat in 0..3 {
        for n in spread(5, 1e7, 1e9) {
            for d in spread(5, 4e8, 1e11) {
                // A ridge that no sum of two powers has.
                let ridge = 0.03 * (d / n / 20.0).ln().powi(2);
                let _ = writeln!(
                    table,
                    "{repeat},{n:e},{d:e},{}",
                    (loss(n, d) + ridge) * (0.002 * luck.normal()).exp()
                );
            }
        }
    }
    let points = csv::points(&table, "t.csv", &[], &csv::Units::default()).unwrap();
    let asked = Asked {
        predict: vec!["1e19".parse().unwrap()],
        demand: Some(Demand {
            prompt: 7e10,
            answer: 2e11,
            per_flop: PerFlop::EQUAL,
            loss_nats: None,
        }),
        ..Asked::default()
    };
    let plan = Plan {
        irreducible: None,
        drop_highest: 0,
        draws: 0,
    };
    // What is asked beside the law is read off it as little.
    for name in ["chinchilla", "over-training"] {
        let law = law::find(name).unwrap();
        for found in [&Asked::default(), &asked].map(|asked| fit_asked(law, &points, &plan, asked))
        {
            let found = found.unwrap();
            let said = sentence(&found);
            assert!(
                said.starts_with("This law does not describe the runs (lack of fit, F = "),
                "{name}: {said}"
            );
            let all = text(&found);
            for split in [
                "est split",
                "cost least",
                "parameters on",
                "compute-optimal",
            ] {
                let promised = "no best split, next doubling";
                let all = all.replace(promised, "");
                assert!(!all.contains(split), "{name}: {split}: {all}");
            }
        }
    }
}

pub(super) fn text(findings: &Findings) -> String {
    shown(&page(findings, &[]), Style::default())
}
