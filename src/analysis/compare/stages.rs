//! Two stages: screen everything with a few repeats, run what looks worse again, and judge that by the fresh repeats alone.
//!
//! The second data know nothing of why they were asked for, so that the chance of a false alarm stays at the level, and Holm's
//! correction is over the one or two flagged instead of everything: more power for fewer trials (the rates are in
//! `simulate.rs`). This is no peeking: what flagged a row has no say in its verdict.

use std::collections::BTreeSet;

use super::decide::{Decision, Limits, decide};
use super::effect::{ALPHA, Effect};
use super::{Comparison, Row, Verdict};
use crate::stat::holm;

/// Repeats of the first stage.
pub const SCREEN_REPEATS: u64 = 5;

/// Whether a change is worth a second look: worse, by half the margin, with an uncorrected p at the level.
pub fn is_flagged(effect: &Effect, worse: f64, margin: f64) -> bool {
    let harm = worse * effect.value;
    !effect.identical && harm > 0.5 * margin && effect.p().is_some_and(|p| p <= ALPHA)
}

/// The gated, measured rows to run again; of the whole suite only where no cell of the metric stands out, as a cell that does
/// moves the suite's mean too.
pub fn flagged(first: &Comparison) -> Vec<&Row> {
    let worth = |row: &&Row| {
        let effect = row
            .effect
            .as_ref()
            .filter(|_| row.gated && row.accepted.is_none());
        effect.is_some_and(|effect| is_flagged(effect, row.worse(), row.on_scale(row.margin.used)))
    };
    let mut rows: Vec<&Row> = first.rows.iter().filter(worth).collect();
    let alone = |row: &&Row| rows.iter().all(|cell| cell.metric != row.metric);
    let suite: Vec<&Row> = first.suite.iter().filter(worth).filter(alone).collect();
    rows.extend(suite);
    rows
}

/// The cells to run again, by name: for the whole suite all of them.
pub fn cells_again(first: &Comparison) -> BTreeSet<&str> {
    let rows = flagged(first);
    let all = rows.iter().any(|row| row.is_whole());
    let cells = first
        .rows
        .iter()
        .filter(|row| all || rows.iter().any(|flagged| flagged.cell == row.cell));
    cells.map(|row| row.cell.as_str()).collect()
}

/// Verdicts of the flagged, from fresh data alone, with Holm's correction over them: effect, direction and margins of each.
pub fn confirm(fresh: &[(Effect, f64, Limits)]) -> Vec<Decision> {
    let p: Vec<f64> = fresh
        .iter()
        .map(|(effect, ..)| effect.p().unwrap_or(1.0))
        .collect();
    let judge = |((effect, worse, limits), p): (&(Effect, f64, Limits), f64)| {
        decide(effect, *worse, *limits, Some(p), false)
    };
    fresh.iter().zip(holm(&p)).map(judge).collect()
}

/// The first comparison with its flagged rows judged by the second, which compares fresh, interleaved repeats of their cells. A
/// flagged row that the second has not, or not from one session, cannot be told.
pub fn two_stages(first: &Comparison, second: &Comparison) -> Comparison {
    let mut found = first.clone();
    let names: Vec<String> = flagged(first).into_iter().map(Row::name).collect();
    let of_second = || second.rows.iter().chain(&second.suite);
    let together = |row: &&Row| row.setting == super::Setting::Interleaved && row.effect.is_some();
    let fresh: Vec<&Row> = of_second()
        .filter(|row| names.contains(&row.name()))
        .filter(together)
        .collect();
    let measured: Vec<(Effect, f64, Limits)> = fresh
        .iter()
        .filter_map(|row| Some((row.effect?, row.worse(), row.limits())))
        .collect();
    let decisions = confirm(&measured);
    for row in found.rows.iter_mut().chain(&mut found.suite) {
        let place = fresh.iter().position(|other| other.name() == row.name());
        match place {
            _ if !row.newly_diverged.is_empty() => {}
            Some(place) => *row = confirmed(fresh[place], row, decisions[place]),
            None if names.contains(&row.name()) => {
                (row.verdict, row.reason) = (
                    Verdict::Inconclusive,
                    Some("flagged, and not run again".to_owned()),
                );
            }
            None if row.is_whole() && row.verdict == Verdict::Regressed => {
                (row.verdict, row.reason) = (
                    Verdict::Inconclusive,
                    Some("left to the cells that were run again".to_owned()),
                );
            }
            None => {}
        }
    }
    found.failed.extend(second.failed.iter().cloned());
    found.settle();
    found
}

fn confirmed(fresh: &Row, first: &Row, decision: Decision) -> Row {
    let mut row = fresh.clone();
    (row.gated, row.accepted) = (first.gated, first.accepted.clone());
    (row.verdict, row.why) = (decision.verdict, Some(decision.why));
    row.beyond_margin = decision.why == super::decide::Why::BeyondMargin;
    row.reason = Some("flagged, and judged by fresh repeats alone".to_owned());
    row
}

#[cfg(test)]
mod tests {
    use super::super::{Code, Options, Side, compare};
    use super::*;
    use crate::record::example::example;
    use crate::record::{ResultFile, metric};

    /// The example whose steps of one cell take so many times as long, with a little noise.
    fn slowed(times: f64, run: &str) -> ResultFile {
        let mut file = example();
        for (k, trial) in file.trials.iter_mut().enumerate() {
            let cell = trial.cell == "gpt2/w32@400";
            let speed = trial.metrics.get_mut(metric::TRAIN_TOKENS_PER_S).unwrap();
            let noise = 1.0 + 0.002 * ((k * 7 + run.len()) % 5) as f64;
            speed.value = speed
                .value
                .map(|v| v * noise / if cell { times } else { 1.0 });
        }
        file
    }

    fn compared(new: ResultFile) -> Comparison {
        let files = [
            vec![("a".to_owned(), slowed(1.0, "base"))],
            vec![("b".to_owned(), new)],
        ];
        let [base, new] = files.each_ref().map(|files| Side::new("side", files, None));
        compare(&base, &new, &Options::default())
    }

    #[test]
    fn the_flagged_are_judged_by_fresh_repeats_alone() {
        let first = compared(slowed(1.1, "one"));
        assert_eq!(
            (first.exit_code, flagged(&first).len()),
            (Code::Regression, 1)
        );
        let again = two_stages(&first, &compared(slowed(1.1, "another")));
        assert_eq!(
            (again.exit_code, again.verdict),
            (Code::Regression, Verdict::Regressed)
        );
        let gone = two_stages(&first, &compared(slowed(1.0, "another")));
        assert_eq!(gone.exit_code, Code::Fine);
        let mut other = compared(slowed(1.1, "another"));
        other.rows.clear();
        assert_eq!(two_stages(&first, &other).verdict, Verdict::Inconclusive);
    }
}
