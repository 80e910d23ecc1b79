//! A second noise floor between sessions: how far a cell's time and energy moved from one session to the next before, on the same
//! kind of machine and the same data.
//!
//! Calibrations see what slows a product of matrices; earlier sessions have seen everything that ever moved the cell itself. The floor
//! is the fence of [`history`](super::history): Q3 + 3 (Q3 - Q1) of the absolute changes of sessions' medians on logarithms, which one
//! real change among them does not move, and never more than the largest of them. It only ever widens a margin. Sittings of the side that is judged have no say.

use std::collections::{BTreeMap, BTreeSet};

use super::history::fence;
use super::matching::{Seen, Side};
use super::measure::{Measure, catalog};
use crate::record::ResultFile;
use crate::record::identity::{Known, cell_id, computed};
use crate::stat::median;

/// Cell by name, kind of machine, cell by spec with how it is computed, metric.
type Place = (String, String, String, &'static str);

/// What a trial's cell is, and what it is computed on and in: all that a cell's name leaves open.
fn setting(seen: &Seen) -> String {
    format!("{} {}", cell_id(seen.trial), computed(seen.trial))
}

/// The trials of a place, by when a session began and on which box: in the order of time.
type Sittings<'a> = BTreeMap<(&'a str, &'a str), Vec<Seen<'a>>>;

/// Fences by place, as logarithms; places with too few sessions have none.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Past(BTreeMap<Place, f64>);

impl Past {
    /// From earlier result files, in any order; `judged` may be among them.
    pub fn of(files: &[(String, ResultFile)], judged: &Side) -> Self {
        let own: BTreeSet<(&str, &str)> = judged.trials.iter().map(Seen::session).collect();
        let all = files
            .iter()
            .flat_map(|(_, file)| file.trials.iter().map(move |trial| Seen { trial, file }));
        let mut known = Known::default();
        let past = all.filter(|seen| {
            seen.counts() && !seen.trial.in_sweep() && !own.contains(&seen.session())
        });
        let past = past
            .filter(|seen| known.insert(seen.trial, seen.file))
            .collect::<Vec<_>>();
        let mut sessions: BTreeMap<(&str, String, String), Sittings> = BTreeMap::new();
        for seen in past {
            let place = (
                seen.trial.cell.as_str(),
                seen.machine().kind(),
                setting(&seen),
            );
            sessions
                .entry(place)
                .or_default()
                .entry(seen.session())
                .or_default()
                .push(seen);
        }
        let drifting: Vec<Measure> = catalog()
            .into_iter()
            .filter(|measure| measure.group.drifts())
            .collect();
        let mut fences = BTreeMap::new();
        for ((cell, class, stratum), of) in &sessions {
            for measure in &drifting {
                let logs: Vec<f64> = of
                    .values()
                    .filter_map(|trials| middle(trials, measure))
                    .collect();
                let changes: Vec<f64> = logs.windows(2).map(|two| two[1] - two[0]).collect();
                let largest = changes
                    .iter()
                    .fold(0.0, |most: f64, change| most.max(change.abs()));
                if let Some(size) = fence(&changes).map(|size| size.min(largest)) {
                    fences.insert(
                        (
                            (*cell).to_owned(),
                            class.clone(),
                            stratum.clone(),
                            measure.name,
                        ),
                        size,
                    );
                }
            }
        }
        Self(fences)
    }

    /// How far apart two sessions of a trial's cell, machine and data may lie in a metric, as a logarithm.
    pub fn fence(&self, seen: &Seen, metric: &'static str) -> Option<f64> {
        if self.is_empty() {
            return None;
        }
        self.0
            .get(&(
                seen.trial.cell.clone(),
                seen.machine().kind(),
                setting(seen),
                metric,
            ))
            .copied()
    }

    /// Whether nothing was run often enough to say anything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A session's median, as a logarithm.
fn middle(trials: &[Seen], measure: &Measure) -> Option<f64> {
    let logs: Vec<f64> = trials
        .iter()
        .filter_map(|seen| measure.value(seen.trial))
        .filter(|v| *v > 0.0)
        .map(f64::ln)
        .collect();
    median(&logs)
}

#[cfg(test)]
mod tests {
    use super::super::{Code, Margin, Options, Row, compare};
    use super::*;
    use crate::record::example::example;
    use crate::record::metric::{TRAIN_TOKENS_PER_S, VAL_LOSS_NATS};

    /// A session in October whose training runs at so many times the usual speed.
    fn day(day: usize, speed: f64) -> ResultFile {
        let mut file = example();
        file.run.started_at = format!("2026-10-{day:02}T10:00:00Z");
        for (k, trial) in file.trials.iter_mut().enumerate() {
            let metric = trial.metrics.get_mut(TRAIN_TOKENS_PER_S).unwrap();
            metric.value = metric
                .value
                .map(|value| value * speed * (1.0 + 0.001 * (k % 3) as f64));
        }
        file
    }

    fn nightly(speeds: &[f64]) -> Vec<(String, ResultFile)> {
        speeds
            .iter()
            .enumerate()
            .rev()
            .map(|(k, speed)| (k.to_string(), day(k + 1, *speed)))
            .collect()
    }

    /// The first cell's speed and the exit code where the new side, a day after the base, is this much slower.
    fn judged(past: &[(String, ResultFile)], slower: f64) -> (Row, Code) {
        let (base, new) = (
            vec![("base".to_owned(), day(20, 1.0))],
            vec![("new".to_owned(), day(21, 1.0 / slower))],
        );
        let [base, new] = [&base, &new].map(|files| Side::new("side", files, None));
        let found = compare(
            &base,
            &new,
            &Options {
                past: Past::of(past, &new),
                ..Options::default()
            },
        );
        (
            found
                .rows
                .into_iter()
                .find(|row| row.metric == TRAIN_TOKENS_PER_S)
                .unwrap(),
            found.exit_code,
        )
    }

    /// Sittings that jump by 15% are no reason to alarm at 25%; steady ones change nothing, nor do too few.
    #[test]
    fn the_margin_between_sessions_is_at_least_what_the_past_shows() {
        let jumpy = nightly(&[1.0, 1.15, 0.99, 1.16, 1.01, 1.14, 1.0]);
        type Case<'a> = (&'a [(String, ResultFile)], bool, Code);
        let rows: [Case; 4] = [
            (&[], false, Code::Regression),
            (&jumpy, true, Code::Fine),
            (
                &nightly(&[1.0, 1.01, 0.99, 1.0, 1.01, 1.0]),
                false,
                Code::Regression,
            ),
            (&jumpy[..4], false, Code::Regression),
        ];
        for (past, raised, code) in rows {
            let (row, exit) = judged(past, 1.16);
            let Margin {
                used, raised_by, ..
            } = row.margin;
            assert_eq!(
                (raised_by, exit),
                (Some(if raised { "history" } else { "sessions" }), code)
            );
            assert_eq!(raised, used > 0.15, "{used}");
        }
        assert_eq!(
            judged(&jumpy, 1.5).1,
            Code::Regression,
            "beyond anything seen"
        );
        // Where a third of the changes are jumps, quartiles alone would allow several times the largest of them.
        let now_and_then = nightly(&[
            1.0, 1.0, 1.4, 1.0, 1.01, 1.0, 1.4, 1.41, 1.4, 1.0, 1.0, 1.01, 1.0,
        ]);
        assert_eq!(
            judged(&now_and_then, 1.5).1,
            Code::Regression,
            "beyond anything seen, now and then"
        );
    }

    /// Sittings on another device are no past of this one.
    #[test]
    fn what_was_computed_elsewhere_has_no_say() {
        let mut past = nightly(&[1.0, 0.5, 1.0, 0.5, 1.0, 0.5, 1.0, 0.5, 1.0]);
        for (_, file) in past
            .iter_mut()
            .filter(|(name, _)| name.parse::<usize>().unwrap() % 2 == 1)
        {
            file.trials
                .iter_mut()
                .for_each(|trial| trial.spec["compute"]["device"] = "cuda:0".into());
        }
        assert_eq!(judged(&past, 1.5).1, Code::Regression);
    }

    #[test]
    fn who_is_judged_has_no_say_and_quality_does_not_drift() {
        let mut past = nightly(&[1.0, 1.15, 0.99, 1.16, 1.01]);
        let new = vec![past.remove(0)];
        let side = Side::new("new", &new, None);
        assert!(
            Past::of(&past, &side).is_empty(),
            "four sessions are too few"
        );
        past.extend(new.clone());
        assert!(
            Past::of(&past, &side).is_empty(),
            "and the fifth is the one that is judged"
        );
        let nobody = Side {
            name: String::new(),
            trials: Vec::new(),
            variant: None,
        };
        let known = Past::of(&past, &nobody);
        let seen = &side.trials[0];
        assert!(
            known.fence(seen, TRAIN_TOKENS_PER_S).is_some()
                && known.fence(seen, VAL_LOSS_NATS).is_none()
        );
    }
}
