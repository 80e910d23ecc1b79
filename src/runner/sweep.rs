//! Which learning rates a sweep's trials speak for.
//!
//! All trials of an arm's sweep, at every place that it was swept at, make one smooth surface of rates over steps and width
//! ([`crate::stat::surface`]): an error of a single cell is no cell's rate any more. Each judged trial then uses a surface drawn
//! from that one's own uncertainty, the same for all cells of an arm in a repeat, so that what the choice of rates adds to the
//! luck of seeds shows in the spread of the repeats. Every arm gets the same number of trials.

use std::collections::BTreeSet;

use crate::config::rate::four_digits;
use crate::error::{Error, Kind, Result};
use crate::record::swept::{Position, points};
use crate::record::{RateSource, Trial};
use crate::stat::surface::{Surface, Unfit, fit};

/// A learning rate, where it comes from, and how it is drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// The surface's own; four significant digits.
    pub lr: f64,
    /// For the record.
    pub source: RateSource,
    /// What each of three standard normal numbers adds to ln lr in a repeat.
    pub loadings: [f64; 3],
}

/// One arm's sweep, and what follows from it.
#[derive(Debug, Clone, PartialEq)]
pub struct Swept {
    surface: Surface,
    /// What its trials were of, whatever they are called.
    key: String,
    from: Option<String>,
    /// Model FLOPs of its trials.
    pub flops: f64,
}

impl Swept {
    /// Fits the surface of the arm `name`; `from` is the file that the trials lie in, where this run did not make them.
    pub fn of(name: &str, trials: &[&Trial], from: Option<String>) -> Result<Self> {
        let surface = fit(&points(trials)).map_err(|unfit| {
            let why = match unfit {
                Unfit::NothingFinished => "no learning rate of its sweep finished",
                Unfit::TooFewRates => "no cell of its sweep has three rates that finished",
            };
            let message = format!("{name}: {why}, so none can be chosen");
            let reason = trials.iter().find_map(|trial| trial.reason.clone());
            let hint = reason.map(|reason| format!("the first reason: {reason}"));
            Error {
                kind: Kind::Trials,
                message,
                hint,
            }
        })?;
        let flops = trials
            .iter()
            .filter_map(|trial| Some(trial.cost.as_ref()?.train_flops))
            .sum();
        Ok(Self {
            surface,
            key: key(trials),
            from,
            flops,
        })
    }

    /// The fitted surface.
    pub fn surface(&self) -> &Surface {
        &self.surface
    }

    /// What repeats draw their rates by: the specs that were swept. The same under another name has the same rates.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The rate at a place.
    pub fn choose(&self, Position { ln_steps, ln_width }: Position) -> Choice {
        let place = self.surface.at(ln_steps, ln_width);
        let source = RateSource::Surface {
            from: self.from.clone(),
            ln_lr: place.ln_lr,
            se: place.se,
            draw: 0.0,
            cost_nats: place.cost_nats,
            edge: place.edge,
            beyond: !place.inside,
        };
        let loadings = self.surface.loadings(ln_steps, ln_width);
        Choice {
            lr: four_digits(place.ln_lr.exp()),
            source,
            loadings,
        }
    }
}

/// The specs of a sweep, each once.
fn key(trials: &[&Trial]) -> String {
    let specs: BTreeSet<&str> = trials.iter().map(|t| t.spec_sha256.as_str()).collect();
    specs.into_iter().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::example::example;
    use crate::record::{Status, metric};
    use serde_json::json;

    /// A sweep of one arm over steps and rates, best at 0.02 for 400 steps and at half of that for four times as many.
    fn sweep(loss: impl Fn(f64) -> Option<f64>) -> Vec<Trial> {
        let model = example().trials[0].clone();
        let mut trials = Vec::new();
        for (steps, seed, lr) in [400u64, 1600].into_iter().flat_map(|steps| {
            [1001, 1002].into_iter().flat_map(move |seed| {
                [0.005, 0.01, 0.02, 0.04, 0.08].map(|lr: f64| (steps, seed, lr))
            })
        }) {
            let mut trial = model.clone();
            trial.seed = seed;
            trial.spec["train"]["optimizer"]["lr"] = json!(lr);
            trial.cost.as_mut().unwrap().train_tokens = steps * 1024;
            let best = 0.02 * (steps as f64 / 400.0).powf(-0.5);
            match loss((lr / best).ln()) {
                Some(loss) => {
                    let metric =
                        metric::Metric::value(metric::VAL_LOSS_NATS, loss + 0.01 * seed as f64);
                    trial.metrics.insert(metric::VAL_LOSS_NATS.into(), metric);
                }
                None => {
                    trial.status = Status::Diverged;
                    trial.reason = Some("the loss is not finite".to_owned());
                }
            }
            trials.push(trial);
        }
        trials
    }

    fn at(steps: f64) -> Position {
        Position {
            ln_steps: steps.ln(),
            ln_width: 32f64.ln(),
        }
    }

    #[test]
    fn the_bottom_of_the_valley_is_chosen_at_every_number_of_steps() {
        let trials = sweep(|off| Some(2.0 + if off < 0.0 { 0.05 } else { 0.15 } * off * off));
        let swept = Swept::of(
            "gpt2",
            &trials.iter().collect::<Vec<_>>(),
            Some("r.json".to_owned()),
        )
        .unwrap();
        for (steps, want) in [(400.0, 0.02f64), (800.0, 0.01414), (1600.0, 0.01)] {
            let choice = swept.choose(at(steps));
            assert!((choice.lr / want).ln().abs() < 0.01, "{steps}: {choice:?}");
            assert!(choice.source.is_settled() && choice.loadings.iter().any(|l| *l != 0.0));
            assert_eq!(choice.source.to_string(), "surface: r.json");
        }
        assert!(
            !swept.choose(at(6400.0)).source.is_tuned(),
            "beyond what was swept"
        );
        let cost = trials[0].cost.as_ref().unwrap().train_flops;
        assert!((swept.flops / (20.0 * cost) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_sweep_is_known_by_its_specs_and_not_by_its_name() {
        let mut trials = sweep(|off| Some(2.0 + 0.1 * off * off));
        for (k, trial) in trials.iter_mut().enumerate() {
            trial.spec_sha256 = format!("{:02}", k / 2);
        }
        let key = |trials: &[Trial]| {
            let all: Vec<&Trial> = trials.iter().collect();
            Swept::of("gpt2", &all, None).unwrap().key().to_owned()
        };
        let mut renamed = trials.clone();
        renamed.reverse();
        for trial in &mut renamed {
            trial.variant = "mine".to_owned();
            trial.cell = format!("mine/{}", trial.cell);
        }
        assert_eq!(key(&trials), key(&renamed));
        renamed[0].spec_sha256 = "another".to_owned();
        assert_ne!(key(&trials), key(&renamed));
    }

    #[test]
    fn a_sweep_whose_rates_all_fall_says_that_it_ends_at_an_edge() {
        let trials = sweep(|off| Some(2.0 - 0.1 * off));
        let swept = Swept::of("gpt2", &trials.iter().collect::<Vec<_>>(), None).unwrap();
        assert!(swept.choose(at(800.0)).source.is_at_edge());
    }

    #[test]
    fn a_sweep_without_a_finished_rate_is_an_error() {
        let trials = sweep(|_| None);
        let error = Swept::of("gpt2", &trials.iter().collect::<Vec<_>>(), None).unwrap_err();
        assert_eq!(error.kind, Kind::Trials);
        assert!(error.to_string().contains("gpt2") && error.to_string().contains("not finite"));
    }
}
