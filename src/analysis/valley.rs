//! The loss against the learning rate, width by width: whether a rate carries over from one width to another.

use std::collections::BTreeMap;

use crate::record::{ResultFile, Status, Trial, metric};
use crate::stat;

/// A sweep of one variant at one width and budget.
#[derive(Debug, Clone, PartialEq)]
pub struct Valley {
    /// `gpt2`.
    pub variant: String,
    /// The model's width.
    pub width: u64,
    /// Optimizer steps.
    pub steps: u64,
    /// Mean validation loss in nats by learning rate, rates ascending; `None` where a trial diverged or failed.
    pub losses: Vec<(f64, Option<f64>)>,
    /// Trials at each rate, at most.
    pub seeds: usize,
}

/// Where a valley is deepest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Deepest {
    /// The learning rate there: of a parabola in ln lr through the best rate and its neighbours, else the best rate itself.
    pub lr: f64,
    /// Mean loss at the best rate of the grid, in nats.
    pub loss: f64,
    /// The best rate has no finished neighbour on one side: a better one may lie beyond.
    pub edge: bool,
}

impl Valley {
    /// Its lowest point; `None` where no rate finished.
    pub fn deepest(&self) -> Option<Deepest> {
        let known = |i: usize| {
            self.losses
                .get(i)
                .and_then(|(lr, loss)| Some((lr.ln(), (*loss)?)))
        };
        let (best, (at, loss)) = (0..self.losses.len())
            .filter_map(|i| Some((i, known(i)?)))
            .min_by(|(_, (_, a)), (_, (_, b))| a.total_cmp(b))?;
        let below = best.checked_sub(1).and_then(known);
        let lowest = below
            .zip(known(best + 1))
            .and_then(|(a, c)| stat::lowest_of_parabola([a, (at, loss), c]));
        Some(Deepest {
            lr: lowest.unwrap_or(at).exp(),
            loss,
            edge: lowest.is_none(),
        })
    }

    /// Ratio of neighbouring rates of its grid, the largest.
    pub fn grid_step(&self) -> f64 {
        self.losses
            .windows(2)
            .map(|pair| pair[1].0 / pair[0].0)
            .fold(1.0, f64::max)
    }
}

/// Sweeps of one variant at one budget over widths, ascending; at least two of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Carried {
    /// A valley a width.
    pub valleys: Vec<Valley>,
}

impl Carried {
    /// By how much the best rate of the widest differs from that of the narrowest, as a ratio; `None` where a valley is open to a
    /// side.
    pub fn moved(&self) -> Option<f64> {
        let ends = [self.valleys.first()?, self.valleys.last()?]
            .map(|valley| valley.deepest().filter(|at| !at.edge));
        Some(ends[1]?.lr / ends[0]?.lr)
    }

    /// The largest ratio between best rates of any two widths is within a step of the grid.
    pub fn holds(&self) -> Option<bool> {
        let best = self
            .valleys
            .iter()
            .map(|valley| valley.deepest().filter(|at| !at.edge).map(|at| at.lr));
        let best = best.collect::<Option<Vec<f64>>>()?;
        let (low, high) = best
            .iter()
            .fold((f64::INFINITY, 0.0f64), |(low, high), lr| {
                (low.min(*lr), high.max(*lr))
            });
        let step = self
            .valleys
            .iter()
            .map(Valley::grid_step)
            .fold(1.0, f64::max);
        Some(high / low <= step * (1.0 + 1e-9))
    }
}

/// Every variant and budget that a file sweeps at several widths, in the order in which they first ran. Trials of another
/// batch, context or data than the first of its variant and budget are left out.
pub fn carried(file: &ResultFile) -> Vec<Carried> {
    type Setting<'a> = (&'a str, u64, String);
    let mut order: Vec<Setting> = Vec::new();
    let mut swept: BTreeMap<Setting, BTreeMap<u64, BTreeMap<u64, Vec<&Trial>>>> = BTreeMap::new();
    let mut trials: Vec<&Trial> = file
        .trials
        .iter()
        .filter(|trial| trial.in_sweep())
        .collect();
    trials.sort_by_key(|trial| trial.order);
    for trial in trials {
        let number = |key: &str| trial.spec.pointer(key).and_then(serde_json::Value::as_f64);
        let (Some(width), Some(lr)) = (number("/model/width"), number("/train/optimizer/lr"))
        else {
            continue;
        };
        let Some(steps) =
            number("/train/steps").or_else(|| trial.curve.step.last().map(|step| *step as f64))
        else {
            continue;
        };
        let setting = (trial.variant.as_str(), steps as u64, surroundings(trial));
        if !order.contains(&setting) {
            order.push(setting.clone());
        }
        // The bits of positive numbers are in their order.
        swept
            .entry(setting)
            .or_default()
            .entry(width as u64)
            .or_default()
            .entry(lr.to_bits())
            .or_default()
            .push(trial);
    }
    let of_setting = |setting: &Setting| {
        let widths = swept.get(setting)?;
        let valleys: Vec<Valley> = widths
            .iter()
            .map(|(width, rates)| Valley {
                variant: setting.0.to_owned(),
                width: *width,
                steps: setting.1,
                losses: rates
                    .iter()
                    .map(|(lr, trials)| (f64::from_bits(*lr), mean_loss(trials)))
                    .collect(),
                seeds: rates.values().map(Vec::len).max().unwrap_or(0),
            })
            .filter(|valley| valley.losses.len() >= 3)
            .collect();
        (valleys.len() >= 2).then_some(Carried { valleys })
    };
    order.iter().filter_map(of_setting).collect()
}

/// What else a rate depends on.
fn surroundings(trial: &Trial) -> String {
    let part = |key: &str| {
        trial
            .spec
            .pointer(key)
            .map(ToString::to_string)
            .unwrap_or_default()
    };
    [
        "/data",
        "/train/batch",
        "/model/context",
        "/train/optimizer/rates",
    ]
    .map(part)
    .join(" ")
}

/// The mean validation loss, where every trial finished.
fn mean_loss(trials: &[&Trial]) -> Option<f64> {
    let loss = |trial: &&Trial| {
        trial
            .metric(metric::VAL_LOSS_NATS)
            .filter(|_| trial.status == Status::Ok)
    };
    stat::mean(&trials.iter().map(loss).collect::<Option<Vec<f64>>>()?)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::record::example::example;
    use crate::record::{Metric, RateSource};
    use serde_json::json;

    /// Sweeps with valleys that are lowest at `best(width)`.
    pub(crate) fn swept(variant: &str, widths: &[u64], best: impl Fn(u64) -> f64) -> Vec<Trial> {
        let model = example().trials.remove(0);
        let mut trials = Vec::new();
        for &width in widths {
            for lr in [0.004, 0.008, 0.016, 0.032, 0.064] {
                for repeat in 0..2 {
                    let mut trial = Trial {
                        variant: variant.into(),
                        repeat,
                        status: Status::Ok,
                        ..model.clone()
                    };
                    trial.lr_source = RateSource::Grid;
                    trial.spec = json!({"model": {"width": width}, "train": {"steps": 400, "optimizer": {"lr": lr}}});
                    let loss = 2.0 + 0.1 * (lr / best(width)).ln().powi(2) + 0.001 * repeat as f64;
                    let metric = Metric::value(metric::VAL_LOSS_NATS, loss);
                    trial.metrics.insert(metric::VAL_LOSS_NATS.into(), metric);
                    trials.push(trial);
                }
            }
        }
        trials
    }

    #[test]
    fn a_rate_that_stays_holds_and_one_that_moves_does_not() {
        let check = |best: fn(u64) -> f64, moved: Option<f64>, holds: Option<bool>| {
            let mut file = example();
            file.trials = swept("gpt2", &[32, 64, 128], best);
            let all = carried(&file);
            assert_eq!(all.len(), 1);
            let widths: Vec<u64> = all[0].valleys.iter().map(|valley| valley.width).collect();
            assert_eq!(
                (widths, all[0].valleys[0].seeds, all[0].holds()),
                (vec![32, 64, 128], 2, holds)
            );
            match (all[0].moved(), moved) {
                (Some(found), Some(want)) => assert!((found / want - 1.0).abs() < 1e-9, "{found}"),
                (found, want) => assert_eq!(found, want),
            }
        };
        check(|_| 0.02, Some(1.0), Some(true));
        check(
            |width| 0.02 * (32.0 / width as f64).powf(0.4),
            Some(0.25f64.powf(0.4)),
            Some(true),
        );
        check(|width| 0.03 * 32.0 / width as f64, Some(0.25), Some(false));
        // Beyond the grid nothing is told.
        check(|width| 0.01 * 32.0 / width as f64, None, None);
    }

    #[test]
    fn one_width_and_a_rate_that_diverged_are_no_valley() {
        let mut file = example();
        file.trials = swept("gpt2", &[32], |_| 0.02);
        assert!(carried(&file).is_empty());
        file.trials = swept("gpt2", &[32, 64], |_| 0.02);
        file.trials[5].status = Status::Diverged;
        let valley = &carried(&file)[0].valleys[0];
        assert_eq!(valley.losses[2], (0.016, None));
        assert!(valley.deepest().unwrap().edge);
    }
}
