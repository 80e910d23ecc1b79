//! Tables as strangers bring them, and what a fit says first about each.

use std::fmt::Write;

use super::fit::{page, sentence};
use crate::analysis::fit::{Findings, Irreducible, Plan, csv, fit, law};
use crate::error::Error;
use crate::report::Style;
use crate::report::render::text::text as shown;
use crate::stream::{Stream, stream};

fn tried(law_name: &str, table: &str, irreducible: Option<Irreducible>) -> Result<Findings, Error> {
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

fn found(law_name: &str, table: &str) -> Findings {
    tried(law_name, table, None).unwrap_or_else(|error| panic!("{error}\n{table}"))
}

/// L = 1.8 + 480 / N^0.35 + 2000 / D^0.36: its best split is N ~ C^0.507.
fn loss(params: f64, tokens: f64) -> f64 {
    1.8 + 480.0 * params.powf(-0.35) + 2000.0 * tokens.powf(-0.36)
}

fn spread(n: i32, first: f64, last: f64) -> Vec<f64> {
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
            .contains("runs at 1 distinct values")
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

/// Power laws of compute, a row a budget; `bend` is a quadratic in ln L.
fn ladder(
    group: &str,
    law: [f64; 3],
    budgets: i32,
    repeats: u64,
    bend: f64,
    luck: &mut Stream,
    noise: f64,
) -> String {
    let [e, a, exponent] = law;
    let mut table = String::new();
    for repeat in 0..repeats {
        for k in 0..budgets {
            let flops = 1e15 * 4f64.powi(k);
            let off = bend * f64::from(2 * k - budgets + 1).powi(2) / 4.0 + noise * luck.normal();
            let _ = writeln!(
                table,
                "{group},{repeat},{flops:e},{}",
                (e + a * flops.powf(-exponent)) * off.exp()
            );
        }
    }
    table
}

const HEAD: &str = "group,repeat,flops,loss\n";

#[test]
fn a_curve_that_bends_down_has_no_intervals_without_width() {
    let mut luck = stream("cases/concave", 0, 0);
    for bend in [0.0, -0.0003, -0.0015] {
        let table = HEAD.to_owned()
            + &ladder("a", [0.0, 60.0, 0.1237], 5, 5, bend, &mut luck, 0.002)
            + &ladder("b", [0.0, 60.0, 0.1197], 5, 5, bend, &mut luck, 0.002);
        let found = found("power", &table);
        assert!(
            sentence(&found).contains("gains more from scale cannot be told"),
            "{}",
            sentence(&found)
        );
        for parameter in found.groups.iter().flat_map(|study| &study.parameters) {
            let range = parameter.interval.unwrap();
            assert!(range.contains(parameter.value), "{parameter:?}");
            let width = range.high.unwrap_or(f64::INFINITY) - range.low.unwrap_or(0.0);
            assert!(
                width > 0.5 * parameter.bootstrap_se.unwrap(),
                "{bend}: {parameter:?}"
            );
        }
    }
}

#[test]
fn many_groups_of_one_law_are_not_ranked_and_the_largest_match_is_called_picked() {
    for seed in 0..2 {
        let mut luck = stream("cases/twenty", seed, 0);
        let rows: String = (0..12)
            .map(|g| {
                ladder(
                    &format!("g{g:02}"),
                    [1.7, 3000.0, 0.2],
                    8,
                    1,
                    0.0,
                    &mut luck,
                    0.003,
                )
            })
            .collect();
        let found = found("power", &(HEAD.to_owned() + &rows));
        let said = sentence(&found);
        assert!(
            said.starts_with("Which of g00, g01")
                && said.contains("gains more from scale cannot be told"),
            "{said}"
        );
        assert!(
            said.contains("the largest of 66 such figures, picked"),
            "{said}"
        );
    }
}

/// A larger exponent with a larger E flattens sooner: who gains more is told by slopes among the runs, and where they cross.
#[test]
fn a_larger_exponent_is_no_larger_gain() {
    let mut luck = stream("cases/crossing", 0, 0);
    let table = HEAD.to_owned()
        + &ladder("early", [2.2, 2e6, 0.4], 9, 1, 0.0, &mut luck, 0.001)
        + &ladder("late", [0.3, 60.0, 0.08], 9, 1, 0.0, &mut luck, 0.001);
    let found = found("power", &table);
    let said = sentence(&found);
    assert!(
        found.rankings[0].exponents[0] > 2.0 * found.rankings[0].exponents[1],
        "{:?}",
        found.rankings[0]
    );
    assert!(
        said.starts_with("A doubling of compute buys early more below ")
            && said.contains("and late more above it"),
        "{said}"
    );
}

#[test]
fn unbalanced_repeats_leave_well_known_figures_bounded() {
    let mut luck = stream("cases/unbalanced", 0, 0);
    let mut table = "repeat,flops,loss\n".to_owned();
    for k in 0..8 {
        for repeat in 0..[5, 5, 5, 5, 2, 2, 1, 1][k as usize] {
            let flops = 1e14 * 4f64.powi(k);
            let _ = writeln!(
                table,
                "{repeat},{flops:e},{}",
                (1.7 + 3000.0 * flops.powf(-0.2)) * (0.003 * luck.normal()).exp()
            );
        }
    }
    let found = found("power", &table);
    for parameter in &found.groups[0].parameters {
        assert!(parameter.identified, "{parameter:?}");
    }
    assert!(
        found.groups[0]
            .returns
            .as_ref()
            .unwrap()
            .doubling_interval
            .is_some()
    );
}

#[test]
fn the_scatter_of_one_run_is_not_what_the_law_misses() {
    let mut luck = stream("cases/seed", 0, 0);
    let single = found(
        "power",
        &(HEAD.to_owned() + &ladder("a", [1.7, 3000.0, 0.2], 8, 1, 0.0, &mut luck, 0.003)),
    );
    let returns = single.groups[0].returns.as_ref().unwrap();
    assert_eq!(
        (returns.seed_sd_nats, returns.lost_in_noise_above_flops),
        (None, None)
    );
    assert!(
        text(&single).contains("one run's sd is unknown, as no run is repeated"),
        "{}",
        text(&single)
    );
    let several = found(
        "power",
        &(HEAD.to_owned() + &ladder("a", [1.7, 3000.0, 0.2], 8, 4, 0.0, &mut luck, 0.003)),
    );
    let sd = several.groups[0]
        .returns
        .as_ref()
        .unwrap()
        .seed_sd_nats
        .unwrap();
    assert!(
        (0.005..0.02).contains(&sd),
        "0.3% of losses from 2 to 5: {sd}"
    );
}

#[test]
fn losses_that_are_in_no_nats_are_turned_into_them_or_doubted() {
    let with = |head: &str, times: f64| {
        let rows: String = (0..6)
            .map(|k| {
                format!(
                    "{:e},{}\n",
                    1e15 * 4f64.powi(k),
                    times * (3.0 - 0.2 * f64::from(k))
                )
            })
            .collect();
        let map = [("loss".to_owned(), head.to_owned())];
        csv::points(
            &format!("flops,{head}\n{rows}"),
            "t.csv",
            &map,
            &csv::Units::default(),
        )
        .unwrap()
        .notes
        .join("; ")
    };
    assert!(
        with("bits per token", 1.44).contains("is in bits: the law is of nats"),
        "{}",
        with("bits per token", 1.44)
    );
    assert!(
        with("loss", 20.0).contains("worse than guessing: is it a perplexity"),
        "{}",
        with("loss", 20.0)
    );
    assert!(!with("loss", 1.0).contains("nats"), "{}", with("loss", 1.0));
}

/// Whatever the table, an interval contains its estimate, has a width, and no figure is printed that is none.
#[test]
fn intervals_hold_their_estimates_over_odd_tables() {
    for seed in 0..30 {
        let mut luck = stream("cases/odd", seed, 0);
        let (budgets, repeats) = (3 + luck.below(6) as i32, 1 + luck.below(4) as u64);
        let law = [
            3.0 * luck.uniform(),
            10f64.powf(4.0 * luck.uniform()),
            0.4 * luck.uniform(),
        ];
        let bend = 0.01 * (luck.uniform() - 0.5);
        let noise = 10f64.powf(-5.0 + 4.0 * luck.uniform());
        let mut rows = ladder("a", law, budgets, repeats, bend, &mut luck, noise);
        // Some runs are lost.
        let lost = luck.below(4);
        rows = rows
            .lines()
            .enumerate()
            .filter(|(k, _)| k % 7 != lost)
            .map(|(_, row)| format!("{row}\n"))
            .collect();
        let Ok(found) = tried("power", &(HEAD.to_owned() + &rows), None) else {
            continue;
        };
        let said = text(&found);
        assert!(!said.contains("NaN") && !said.contains("inf"), "{said}");
        for parameter in &found.groups[0].parameters {
            let Some(range) = parameter.interval else {
                continue;
            };
            assert!(
                range.contains(parameter.value),
                "seed {seed}: {parameter:?}"
            );
            assert!(
                range.low.is_none() || range.low < range.high || range.high.is_none(),
                "seed {seed}: {parameter:?}"
            );
        }
        if let Some(returns) = &found.groups[0].returns {
            let inside = |i: crate::stat::Interval| {
                i.low < returns.doubling_nats && returns.doubling_nats < i.high
            };
            assert!(
                returns.doubling_interval.is_none_or(inside),
                "seed {seed}: {returns:?}"
            );
        }
    }
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
    let found = found("chinchilla", &table);
    let said = sentence(&found);
    assert!(
        said.starts_with("This law does not describe the runs (lack of fit, F = "),
        "{said}"
    );
    assert!(
        !said.contains("best split as") && !text(&found).contains("Best split of compute"),
        "{said}"
    );
}

fn text(findings: &Findings) -> String {
    shown(&page(findings, &[]), Style::default())
}
