//! Ladders of budgets as strangers bring them, and what a fit says first about each.

use std::fmt::Write;

use super::fit::sentence;
use super::fit_cases::{found, text, tried};
use crate::analysis::fit::csv;
use crate::stream::{Stream, stream};

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
    for seed in 0..15 {
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
