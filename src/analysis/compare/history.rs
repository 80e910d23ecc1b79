//! A metric of one cell over time, on one kind of machine: how much it usually moves, and whether it changed for good.
//!
//! The fence is rustc-perf's: Q3 + 3 (Q3 - Q1) of the past absolute changes from one run to the next; a change beyond it is
//! unusual. A step, a trend, or a change that is too young to be either is told by [`change`](crate::stat::change):
//! a report, not a gate. In 1000 simulated histories each of 8, 16 and 40 runs (the tests hold it):
//!
//! | the truth | called a step | called a trend |
//! |---|---|---|
//! | nothing, noise of 1% | at most 1% | at most 1% |
//! | a random walk of 2% a run | at most 6% | at most 5% |
//! | 10% slower from the middle on, noise of 1% | at least 93% | |
//! | 1% slower every run, noise of 0.5% | | at least 90% |
//!
//! A history is of one cell as its settled spec says it, computed in one way: one name for two cells makes two histories.

use std::collections::BTreeMap;

use serde::Serialize;

use super::matching::{Seen, is_one};
use super::measure::{Measure, Scale};
use crate::record::identity::{Known, computed, facts};
use crate::record::{ResultFile, Trial};
use crate::stat::change::{Change, change, outliers};
use crate::stat::{median, quantile};

/// Fewer changes make no fence.
const FEWEST_CHANGES: usize = 4;

/// One run's figure.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Point {
    /// When the run began.
    pub started_at: String,
    /// The commit, where it is known.
    pub commit: Option<String>,
    /// Trials.
    pub n: usize,
    /// Their median.
    pub value: f64,
    /// From the run before: a ratio minus 1, or a difference.
    pub change: Option<f64>,
    /// Whether that is beyond the fence of the changes before it.
    pub unusual: bool,
    /// Whether it stands apart from the runs before and after it.
    pub outlier: bool,
}

/// A metric of one cell over time.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct History {
    /// The cell.
    pub cell: String,
    /// The metric.
    pub metric: &'static str,
    /// Its unit.
    pub unit: &'static str,
    /// The kind of machine.
    pub class_id: String,
    /// What the data are.
    pub data: String,
    /// In what it differs from other histories of that name: `train.batch 8`; empty where there are none.
    pub differs: String,
    /// In the order of time.
    pub points: Vec<Point>,
    /// What a change must exceed to be unusual: a share, or in the unit; none with too few runs.
    pub fence: Option<f64>,
    /// The first point after the step, and the change there: three runs or more have stayed.
    pub step: Option<(usize, f64)>,
    /// The change of the whole history along a trend.
    pub trend: Option<f64>,
    /// The first of the last two points, or the last, that left the level of those before, and by how much.
    pub recent: Option<(usize, f64)>,
}

/// How a trial was computed, and whether its losses are per byte.
fn way(trial: &Trial) -> String {
    let each = match (trial.stated.is_some(), trial.is_per_byte()) {
        (_, true) => ", losses per byte",
        (true, false) => ", losses per token",
        (false, false) => "",
    };
    computed(trial) + each
}

/// One history for each kind of machine that ran the cell, each cell that has the name, and each way in which it was computed. A trial
/// that is in several files counts once.
pub fn histories(files: &[(String, ResultFile)], cell: &str, measure: &Measure) -> Vec<History> {
    let all = files
        .iter()
        .flat_map(|(_, file)| file.trials.iter().map(move |trial| Seen { trial, file }));
    let mut known = Known::default();
    let mut of_cell: Vec<Seen> = all
        .filter(|seen| seen.trial.cell == cell && !seen.trial.in_sweep() && seen.counts())
        .filter(|seen| known.insert(seen.trial, seen.file))
        .collect();
    of_cell.sort_by_key(|seen| (seen.session(), seen.trial.order));
    let mut places: BTreeMap<(String, String), Vec<Vec<Seen>>> = BTreeMap::new();
    for seen in of_cell {
        let groups = places
            .entry((seen.machine().kind(), way(seen.trial)))
            .or_default();
        match groups.iter_mut().find(|group| is_one(group[0], seen)) {
            Some(group) => group.push(seen),
            None => groups.push(vec![seen]),
        }
    }
    let firsts: Vec<Seen> = places.values().flatten().map(|group| group[0]).collect();
    let found = places
        .iter()
        .flat_map(|((class, _), groups)| groups.iter().map(move |group| (class, group)));
    let found = found
        .map(|(class, group)| history(group, cell, class, differs(group[0], &firsts), measure));
    found.filter(|history| !history.points.is_empty()).collect()
}

/// In what a history differs from each of the others: as few keys as tell it apart, those of training and model first.
fn differs(own: Seen, others: &[Seen]) -> String {
    let all = |seen: &Seen| {
        let computed = way(seen.trial);
        let parts = computed.split(", ").filter_map(|part| part.split_once(' '));
        let mut all = facts(seen.trial);
        all.extend(parts.map(|(key, value)| (key.to_owned(), value.to_owned())));
        all
    };
    let mine = all(&own);
    let mut keys: Vec<&String> = mine.keys().collect();
    keys.sort_by_key(|key| !(key.starts_with("train.") || key.starts_with("model.")));
    let mut told: Vec<&String> = Vec::new();
    for other in others.iter().map(all) {
        let apart = |key: &&&String| other.get(**key).is_some_and(|value| *value != mine[**key]);
        if !told.iter().any(|key| apart(&key)) {
            told.extend(keys.iter().find(apart).copied());
        }
    }
    told.iter()
        .map(|key| format!("{key} {}", mine[*key]))
        .collect::<Vec<_>>()
        .join(", ")
}

fn history(seen: &[Seen], cell: &str, class: &str, differs: String, measure: &Measure) -> History {
    let mut runs: Vec<(&str, &str, Vec<&Seen>)> = Vec::new();
    for one in seen
        .iter()
        .filter(|seen| measure.value(seen.trial).is_some())
    {
        let (when, build) = (one.session().0, one.trial.arm.as_str());
        match runs
            .iter_mut()
            .find(|(time, arm, _)| (*time, *arm) == (when, build))
        {
            Some((.., trials)) => trials.push(one),
            None => runs.push((when, build, vec![one])),
        }
    }
    runs.sort_by_key(|(when, ..)| (*when).to_owned());
    let figures = |trials: &[&Seen]| {
        trials
            .iter()
            .filter_map(|seen| measure.value(seen.trial))
            .collect::<Vec<f64>>()
    };
    let values: Vec<f64> = runs
        .iter()
        .filter_map(|(.., trials)| median(&figures(trials)))
        .collect();
    let scaled: Vec<f64> = values
        .iter()
        .map(|value| on_scale(measure, *value))
        .collect();
    let changes: Vec<f64> = scaled.windows(2).map(|two| two[1] - two[0]).collect();
    let fence_of_all = fence(&changes);
    let apart = fence_of_all
        .map(|fence| outliers(&scaled, fence))
        .unwrap_or_default();
    let point = |(k, (when, _, trials)): (usize, &(&str, &str, Vec<&Seen>))| Point {
        started_at: (*when).to_owned(),
        commit: trials[0].build().commit.clone(),
        n: trials.len(),
        value: values[k],
        change: k
            .checked_sub(1)
            .map(|before| shown(measure, changes[before])),
        unusual: k > 0
            && fence(&changes[..k - 1]).is_some_and(|fence| changes[k - 1].abs() > fence),
        outlier: apart.contains(&k),
    };
    let (mut step, mut trend, mut recent) = (None, None, None);
    // Of a change at the very end the changes before it say what is usual.
    match change(&scaled, fence(&changes[..changes.len().saturating_sub(2)])) {
        Change::None => {}
        Change::Step { at, size } => step = Some((at, size)),
        Change::Trend { slope } => trend = Some(slope * (scaled.len() - 1) as f64),
        Change::Recent { at, size } => recent = Some((at, size)),
    }
    let told = |change: Option<(usize, f64)>| change.map(|(at, size)| (at, shown(measure, size)));
    History {
        cell: cell.to_owned(),
        metric: measure.name,
        unit: measure.unit,
        class_id: class.to_owned(),
        data: seen[0].file.run.data.clone(),
        differs,
        points: runs.iter().enumerate().map(point).collect(),
        fence: fence_of_all.map(|fence| shown(measure, fence)),
        step: told(step),
        trend: trend.map(|size| shown(measure, size)),
        recent: told(recent),
    }
}

fn on_scale(measure: &Measure, value: f64) -> f64 {
    if measure.scale == Scale::Ratio {
        value.max(f64::MIN_POSITIVE).ln()
    } else {
        value
    }
}

fn shown(measure: &Measure, value: f64) -> f64 {
    if measure.scale == Scale::Ratio {
        value.exp_m1()
    } else {
        value
    }
}

/// Q3 + 3 IQR of absolute changes.
pub fn fence(changes: &[f64]) -> Option<f64> {
    let sizes: Vec<f64> = changes.iter().map(|change| change.abs()).collect();
    let (low, high) = (quantile(&sizes, 0.25)?, quantile(&sizes, 0.75)?);
    (sizes.len() >= FEWEST_CHANGES).then_some(high + 3.0 * (high - low))
}

#[cfg(test)]
mod tests {
    use super::super::catalog;
    use super::*;
    use crate::record::example::example;
    use crate::record::metric;
    use crate::stream::{Stream, stream};

    /// Runs a day apart whose speed is as given.
    fn days(speeds: &[f64]) -> Vec<(String, ResultFile)> {
        let day = |(k, speed): (usize, &f64)| {
            let mut file = example();
            file.run.started_at = format!("2026-10-{:02}T10:00:00Z", k + 1);
            for trial in &mut file.trials {
                trial
                    .metrics
                    .get_mut(metric::TRAIN_TOKENS_PER_S)
                    .unwrap()
                    .value = Some(*speed);
            }
            (format!("{k}.json"), file)
        };
        // Files come in any order.
        speeds.iter().enumerate().map(day).rev().collect()
    }

    fn found(speeds: &[f64]) -> History {
        let measure = catalog()
            .into_iter()
            .find(|m| m.name == metric::TRAIN_TOKENS_PER_S)
            .unwrap();
        histories(&days(speeds), "gpt2/w32@400", &measure).remove(0)
    }

    #[test]
    fn a_step_is_found_where_it_is() {
        let history = found(&[100.0, 101.0, 100.5, 99.8, 100.2, 120.0, 121.0, 119.5, 120.4]);
        let (at, size) = history.step.unwrap();
        assert_eq!(at, 5);
        assert!(
            (size - 0.2).abs() < 0.01 && history.fence.unwrap() < 0.05,
            "{history:?}"
        );
        assert!(
            history.points[5].unusual && history.points.iter().filter(|p| p.unusual).count() == 1
        );
        assert_eq!((history.points[0].n, history.points[0].change), (4, None));
    }

    #[test]
    fn noise_is_no_step() {
        let history = found(&[100.0, 101.0, 99.0, 100.4, 99.6, 100.9, 99.4]);
        assert_eq!(
            (history.step, history.points.iter().any(|p| p.unusual)),
            (None, false)
        );
        assert_eq!(found(&[100.0, 90.0]).fence, None);
    }

    #[test]
    fn one_bad_night_is_no_change_for_good() {
        let mut speeds = [100.0; 16];
        speeds[8] = 50.0;
        let history = found(&speeds);
        assert_eq!(
            (history.step, history.trend, history.recent),
            (None, None, None)
        );
        let outliers: Vec<usize> = (0..16).filter(|k| history.points[*k].outlier).collect();
        assert_eq!(outliers, [8]);
    }

    #[test]
    fn the_last_night_alone_is_the_last_night_and_a_little_every_night_a_trend() {
        let mut speeds = [100.0; 16];
        speeds[15] = 90.0;
        let history = found(&speeds);
        let (at, size) = history.recent.unwrap();
        assert!(
            at == 15 && (size + 0.1).abs() < 1e-9 && history.step.is_none(),
            "{history:?}"
        );
        let falling: Vec<f64> = (0..16).map(|night| 100.0 * 0.99_f64.powi(night)).collect();
        let history = found(&falling);
        assert!(
            (history.trend.unwrap() - (0.99_f64.powi(15) - 1.0)).abs() < 1e-9
                && history.step.is_none()
        );
    }

    /// One name for two cells, as the suites `quick` and `gain` have it: 512 and 1024 tokens a step.
    #[test]
    fn one_name_for_two_cells_is_two_histories() {
        let mut files = days(&[100.0, 101.0, 99.0, 60.0, 61.0, 60.5]);
        for (_, file) in files
            .iter_mut()
            .filter(|(name, _)| ["3.json", "4.json", "5.json"].contains(&&**name))
        {
            for trial in &mut file.trials {
                trial.spec["train"]["batch"] = 32.into();
                trial.spec_sha256 = crate::record::spec_sha256(&trial.spec);
            }
        }
        let measure = catalog()
            .into_iter()
            .find(|m| m.name == metric::TRAIN_TOKENS_PER_S)
            .unwrap();
        let found = histories(&files, "gpt2/w32@400", &measure);
        let said: Vec<(&str, usize)> = found
            .iter()
            .map(|h| (h.differs.as_str(), h.points.len()))
            .collect();
        assert_eq!(said, [("train.batch 16", 3), ("train.batch 32", 3)]);
        assert!(found.iter().all(|history| history.step.is_none()));
    }

    /// The shares of 1000 series that are called a step, and a trend.
    fn told(name: &str, make: impl Fn(&mut Stream) -> Vec<f64>) -> [f64; 2] {
        let found: Vec<Change> = (0..1000)
            .map(|index| change(&make(&mut stream(name, 0, index)), Some(0.05)))
            .collect();
        let share = |is: fn(&Change) -> bool| {
            found.iter().filter(|change| is(change)).count() as f64 / 1000.0
        };
        [
            share(|c| matches!(c, Change::Step { .. })),
            share(|c| matches!(c, Change::Trend { .. })),
        ]
    }

    #[test]
    fn noise_and_a_random_walk_rarely_alarm_and_changes_are_found() {
        for count in [8, 16, 40] {
            let noise = move |draw: &mut Stream| {
                (0..count)
                    .map(|_| 0.01 * draw.normal())
                    .collect::<Vec<f64>>()
            };
            let walk = move |draw: &mut Stream| {
                let mut level = 0.0;
                let step = |_| {
                    level += 0.02 * draw.normal();
                    level
                };
                (0..count).map(step).collect::<Vec<f64>>()
            };
            let stepped = move |draw: &mut Stream| {
                noise(draw)
                    .iter()
                    .enumerate()
                    .map(|(k, x)| if 2 * k < count { *x } else { x - 0.1 })
                    .collect()
            };
            let falling = move |draw: &mut Stream| {
                noise(draw)
                    .iter()
                    .enumerate()
                    .map(|(k, x)| 0.5 * x - 0.01 * k as f64)
                    .collect()
            };
            let [white, walked, steps, trends] = [
                told("change/noise", noise),
                told("change/walk", walk),
                told("change/step", stepped),
                told("change/trend", falling),
            ];
            let rare = |found: [f64; 2], most: f64| found.iter().all(|share| *share <= most);
            assert!(rare(white, 0.01), "{count}: white noise {white:?}");
            assert!(rare(walked, 0.06), "{count}: random walk {walked:?}");
            assert!(
                steps[0] >= 0.92 && trends[1] >= 0.89,
                "{count}: {steps:?} {trends:?}"
            );
        }
    }
}
