//! What a variant wants and takes beside the base at the same size and length: its best learning rate, FLOPs, seconds and memory
//! of its training, and what it still knows of the data before.

use serde::Serialize;
use serde_json::Value;

use super::question::Question;
use super::stratum::Stratum;
use crate::record::swept::{Position, points};
use crate::record::{RateSource, ResultFile, Status, Trial, metric};
use crate::stat::interval::LEVEL;
use crate::stat::surface::{Surface, fit};
use crate::stat::{Estimate, Interval, critical, mean_estimate, ratio_estimate};

/// A cell beside the base's of the same scale and budget; ratios are times the base's.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Beside {
    /// `gpt2:tuned+lora`.
    pub variant: String,
    /// `w32`.
    pub scale: String,
    /// In steps, where cells carry it.
    pub budget: Option<u64>,
    /// Best learning rates, where sweeps speak for both.
    pub rate: Option<Rates>,
    /// Model FLOPs of training.
    pub flops: Option<f64>,
    /// Seconds of a step, over repeats on one machine.
    pub seconds: Option<Estimate>,
    /// Peak memory of a trial, over repeats on one machine.
    pub memory: Option<Estimate>,
    /// Bytes of parameters, gradients and optimizer state.
    pub state: Option<f64>,
    /// Loss on the data of the model that both began with, less the base's, in nats.
    pub before_nats: Option<Estimate>,
}

/// Two best learning rates.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rates {
    /// The variant's.
    pub lr: f64,
    /// The base's.
    pub of_base: f64,
    /// What that says.
    pub ratio: Ratio,
}

/// How many times the base's best rate the variant's is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Ratio {
    /// Both lie between rates that were tried.
    Told {
        /// The ratio.
        value: f64,
        /// By the errors of both surfaces; independent ones, though seeds are shared.
        interval: Option<Interval>,
    },
    /// The variant's lies at the upper end of those tried, or the base's at the lower.
    AtLeast {
        /// By those ends.
        bound: f64,
    },
    /// The other way round.
    AtMost {
        /// By those ends.
        bound: f64,
    },
    /// Both lie at an end, and the ends say nothing of the ratio.
    Open,
}

/// What a surface has for freedom that no cell told anything: the belief that it began with is worth so many cells.
const BELIEVED: f64 = 3.0;

/// A best rate, and how well it is known.
#[derive(Debug, Clone, Copy)]
struct Best {
    ln_lr: f64,
    variance: f64,
    freedom: f64,
    end: End,
}

/// Where among the rates that were tried.
#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    Between,
    Lowest,
    Highest,
    /// At one of both, and the sweep is not in the file.
    Either,
}

/// Every question's cell beside the base's, where the base ran one of the same scale and budget.
pub(super) fn besides(file: &ResultFile, stratum: &Stratum, questions: &[Question]) -> Vec<Beside> {
    let mut sweeps = Sweeps {
        file,
        known: Vec::new(),
    };
    let beside = |question: &Question| beside(stratum, question, &mut sweeps);
    questions.iter().filter_map(beside).collect()
}

fn beside(stratum: &Stratum, question: &Question, sweeps: &mut Sweeps) -> Option<Beside> {
    let here = |trial: &&&Trial| {
        trial.status == Status::Ok
            && trial.scale == question.scale
            && trial.budget == question.budget
    };
    let of = |variant: &str| -> Vec<&Trial> {
        let trials = stratum.trials.iter().filter(here).copied();
        trials.filter(|trial| trial.variant == variant).collect()
    };
    let (own, base) = (of(&question.variant), of(&question.base));
    let (first, of_base) = (*own.first()?, *base.first()?);
    let pairs: Vec<(&Trial, &Trial)> = own
        .iter()
        .filter_map(|trial| {
            let other = base.iter().find(|other| other.repeat == trial.repeat)?;
            Some((*trial, *other))
        })
        .collect();
    let both = |name: &'static str, one_machine: bool| -> Vec<(f64, f64)> {
        let same = pairs
            .iter()
            .filter(|(a, b)| !one_machine || a.machine == b.machine && a.build == b.build);
        same.filter_map(|(a, b)| Some((a.metric(name)?, b.metric(name)?)))
            .collect()
    };
    let ratio = |name| {
        let logs: Vec<f64> = both(name, true).iter().map(|(a, b)| (a / b).ln()).collect();
        ratio_estimate(&logs, LEVEL).filter(|ratio| ratio.value.is_finite())
    };
    let lost = both(metric::VAL_LOSS_BEFORE_NATS, false);
    let lost: Vec<f64> = lost.iter().map(|(a, b)| a - b).collect();
    let costs = first.cost.as_ref().zip(of_base.cost.as_ref());
    let counted = |a: f64, b: f64| (a > 0.0 && b > 0.0).then(|| a / b);
    let best = sweeps.best(first).zip(sweeps.best(of_base));
    Some(Beside {
        variant: question.variant.clone(),
        scale: question.scale.clone(),
        budget: question.budget,
        rate: best.map(|(own, base)| Rates::of(own, base)),
        flops: costs.and_then(|(a, b)| counted(a.train_flops, b.train_flops)),
        seconds: ratio(metric::TRAIN_STEP_S),
        memory: ratio(metric::PEAK_MEMORY_BYTES),
        state: costs.and_then(|(a, b)| counted(a.state_bytes as f64, b.state_bytes as f64)),
        before_nats: mean_estimate(&lost, LEVEL),
    })
}

impl Rates {
    fn of(own: Best, base: Best) -> Self {
        let value = (own.ln_lr - base.ln_lr).exp();
        let ratio = match (own.end, base.end) {
            (End::Between, End::Between) => Ratio::Told {
                value,
                interval: interval(own, base),
            },
            (End::Highest, End::Between | End::Lowest) | (End::Between, End::Lowest) => {
                Ratio::AtLeast { bound: value }
            }
            (End::Lowest, End::Between | End::Highest) | (End::Between, End::Highest) => {
                Ratio::AtMost { bound: value }
            }
            _ => Ratio::Open,
        };
        Self {
            lr: own.ln_lr.exp(),
            of_base: base.ln_lr.exp(),
            ratio,
        }
    }
}

/// Of the difference of two logarithms (Welch and Satterthwaite), turned back.
fn interval(own: Best, base: Best) -> Option<Interval> {
    let variance = own.variance + base.variance;
    let parts = own.variance.powi(2) / own.freedom + base.variance.powi(2) / base.freedom;
    let half = critical(variance * variance / parts, LEVEL)? * variance.sqrt();
    let middle = own.ln_lr - base.ln_lr;
    half.is_finite().then(|| Interval {
        low: (middle - half).exp(),
        high: (middle + half).exp(),
        level: LEVEL,
    })
}

/// The sweeps of a file, each fitted once.
struct Sweeps<'a> {
    file: &'a ResultFile,
    known: Vec<(Key, Option<Swept>)>,
}

/// What trials of one sweep share: the variant, its data and window, and the scale where each has a sweep of its own.
type Key = (String, [Value; 2], Option<String>);

#[derive(Clone)]
struct Swept {
    surface: Surface,
    ends: [f64; 2],
}

impl Sweeps<'_> {
    /// The best rate at a judged trial's place, as its record has it.
    fn best(&mut self, trial: &Trial) -> Option<Best> {
        let RateSource::Surface {
            ln_lr, se, edge, ..
        } = &trial.lr_source
        else {
            return None;
        };
        let swept = self.of(trial, *ln_lr);
        let end = match (edge, &swept) {
            (false, _) => End::Between,
            (true, None) => End::Either,
            (true, Some(swept)) if ln_lr - swept.ends[0] < swept.ends[1] - ln_lr => End::Lowest,
            (true, Some(_)) => End::Highest,
        };
        Some(Best {
            ln_lr: *ln_lr,
            variance: se * se,
            freedom: swept.map_or(BELIEVED, |swept| swept.surface.freedom),
            end,
        })
    }

    /// The sweep that gives this rate at the trial's place: over all scales, or of its own alone.
    fn of(&mut self, trial: &Trial, ln_lr: f64) -> Option<Swept> {
        let at = Position::of_trial(trial)?;
        for scale in [None, Some(&trial.scale)] {
            let key: Key = (trial.variant.clone(), world(trial), scale.cloned());
            let swept = match self.known.iter().find(|(known, _)| *known == key) {
                Some((_, swept)) => swept.clone(),
                None => {
                    let swept = fitted(self.file, &key);
                    self.known.push((key, swept.clone()));
                    swept
                }
            };
            let gives = |swept: &Swept| swept.surface.at(at.ln_steps, at.ln_width).ln_lr;
            if let Some(swept) = swept.filter(|swept| (gives(swept) - ln_lr).abs() < 1e-3) {
                return Some(swept);
            }
        }
        None
    }
}

/// What was read, through which window; a sweep looks at another part of what is held out.
fn world(trial: &Trial) -> [Value; 2] {
    let part = |key| trial.spec.pointer(key).cloned().unwrap_or_default();
    let mut data = part("/data");
    if let Some(data) = data.as_object_mut() {
        data.remove("held_out");
    }
    [data, part("/model/context")]
}

fn fitted(file: &ResultFile, (variant, read, scale): &Key) -> Option<Swept> {
    let mine = |trial: &&Trial| {
        trial.in_sweep()
            && trial.variant == *variant
            && scale.as_ref().is_none_or(|scale| *scale == trial.scale)
            && world(trial) == *read
    };
    let points = points(&file.trials.iter().filter(mine).collect::<Vec<_>>());
    let rates = points.iter().map(|point| point.ln_lr);
    let ends = [rates.clone().reduce(f64::min)?, rates.reduce(f64::max)?];
    Some(Swept {
        surface: fit(&points).ok()?,
        ends,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::analysis::valley::tests::swept;
    use crate::record::example::example;

    fn best(lr: f64, se: f64, end: End) -> Best {
        Best {
            ln_lr: lr.ln(),
            variance: se * se,
            freedom: 5.0,
            end,
        }
    }

    /// R: `t <- qt(.975, 10); exp(log(4) + c(-1, 1) * t * sqrt(.02))`.
    #[test]
    fn two_rates_between_others_have_a_ratio_with_its_interval() {
        let found = Rates::of(best(0.04, 0.1, End::Between), best(0.01, 0.1, End::Between));
        let Ratio::Told {
            value,
            interval: Some(interval),
        } = found.ratio
        else {
            panic!("{found:?}")
        };
        assert!((value - 4.0).abs() < 1e-12);
        assert!((interval.low - 2.918845).abs() < 1e-5, "{interval:?}");
        assert!((interval.high - 5.481621).abs() < 1e-5, "{interval:?}");
    }

    #[test]
    fn a_rate_at_an_end_bounds_the_ratio_or_says_nothing() {
        let of = |own, base| Rates::of(best(0.04, 0.1, own), best(0.01, 0.1, base)).ratio;
        let at_least =
            |ratio| matches!(ratio, Ratio::AtLeast { bound } if (bound - 4.0).abs() < 1e-9);
        let at_most =
            |ratio| matches!(ratio, Ratio::AtMost { bound } if (bound - 4.0).abs() < 1e-9);
        for (own, base) in [
            (End::Highest, End::Between),
            (End::Between, End::Lowest),
            (End::Highest, End::Lowest),
        ] {
            assert!(at_least(of(own, base)) && at_most(of(base, own)));
        }
        for (own, base) in [
            (End::Highest, End::Highest),
            (End::Lowest, End::Lowest),
            (End::Either, End::Between),
            (End::Between, End::Either),
        ] {
            assert_eq!(of(own, base), Ratio::Open);
        }
    }

    /// Sweeps of a variant, and a judged trial whose rate is theirs; lowest at `best`.
    fn judged(variant: &str, best: f64) -> (ResultFile, Trial) {
        let mut file = example();
        file.trials = swept(variant, &[32], |_| best);
        for trial in &mut file.trials {
            trial.spec["train"]["batch"] = json!(16);
            trial.spec["model"]["context"] = json!(64);
            trial.spec["data"] = json!({"kind": "language", "held_out": "validation"});
            trial.cost.as_mut().unwrap().train_tokens = 400 * 1024;
        }
        let mut trial = file.trials[0].clone();
        let place = fit(&points(&file.trials.iter().collect::<Vec<_>>())).unwrap();
        let place = place.at(400f64.ln(), 32f64.ln());
        trial.spec["data"]["held_out"] = json!("test");
        trial.lr_source = RateSource::Surface {
            from: None,
            ln_lr: place.ln_lr,
            se: place.se,
            draw: 0.0,
            cost_nats: place.cost_nats,
            edge: place.edge,
            beyond: false,
        };
        (file, trial)
    }

    #[test]
    fn a_rate_is_as_sure_as_the_sweep_in_the_file_that_it_is_from() {
        let check = |best: f64, end: End| {
            let (mut file, trial) = judged("gpt2", best);
            let known = Vec::new();
            let found = Sweeps { file: &file, known }.best(&trial).unwrap();
            assert!(
                found.end == end && found.freedom >= BELIEVED,
                "{best}: {found:?}"
            );
            // Where the sweep is another file's, little is known of it.
            file.trials.clear();
            let known = Vec::new();
            let found = Sweeps { file: &file, known }.best(&trial).unwrap();
            let elsewhere = if end == End::Between {
                end
            } else {
                End::Either
            };
            assert_eq!((found.end, found.freedom), (elsewhere, BELIEVED));
        };
        check(0.018, End::Between);
        check(0.5, End::Highest);
        check(0.0005, End::Lowest);
    }
}
