//! The answer to a question about a run: the gain on every axis, what doubling the base's compute buys, which of the two next steps
//! buys more, and the reasons for doubt.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Caveat;
use super::axis::Axis;
use super::caveat::caveats;
use super::form::Form;
use super::gain::{Blank, Bound, Gain, gain};
use super::local::Local;
use super::pairs::{Pairs, pair};
use super::question::{Question, Unanswered};
use super::scatter::Scatter;
use super::stratum::strata;
use crate::record::ResultFile;
use crate::stat::Estimate;

/// What doubling the base's compute buys.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Doubling {
    /// From so many model FLOPs to twice as many.
    pub from_flops: f64,
    /// Fall of the loss.
    pub nats: Estimate,
}

/// Which of two next steps lowers the loss more at equal cost: twice the compute for the base, or the variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Spending twice as much on the base.
    Scale,
    /// Changing to the variant.
    Variant,
    /// Cannot be told.
    Unclear,
}

/// Where a gain was read: gains differ with compute, and along a ray and between rays.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ReadAt {
    /// All parameters of the variant.
    pub params: u64,
    /// Training tokens over all parameters.
    pub tokens_per_param: f64,
    /// Model FLOPs of the variant's training.
    pub train_flops: f64,
}

/// The answer to a question: of a run's headline, or one like it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answer {
    /// The variant whose compute is the currency.
    pub base: String,
    /// The variant in question.
    pub variant: String,
    /// At this scale ...
    pub scale: String,
    /// ... and this budget, in steps, where cells carry one.
    pub budget: Option<u64>,
    /// Where the gain was read.
    pub read_at: Option<ReadAt>,
    /// The base's sizes: with one, only training length moves; with several, the base may grow as well.
    pub base_scales: Vec<String>,
    /// Whether every run of the base, of whatever size, was as long: then nobody knows what more compute buys it.
    pub one_length: bool,
    /// What the data are.
    pub data: String,
    /// The metric compared.
    pub loss: &'static str,
    /// Complete repeats.
    pub n: usize,
    /// What doubling the base's compute buys.
    pub doubling: Option<Doubling>,
    /// The base's loss at the variant's own FLOPs minus the variant's.
    pub equal_compute_nats: Option<Estimate>,
    /// Whether the base ran at the variant's own FLOPs, to 2%, so that nothing was read off a curve.
    pub equal_compute_measured: bool,
    /// The chance of a difference at least as large at equal compute where there is none; `null` for one repeat.
    pub p: Option<f64>,
    /// Which next step buys more at equal cost.
    pub next_step: Step,
    /// The gain by what is counted.
    pub gains: BTreeMap<Axis, Gain>,
    /// The logarithm of the headline gain with what makes it uncertain, where it is solved.
    #[serde(skip)]
    pub log_gain: Option<Form>,
    /// Reasons for doubt.
    pub caveats: Vec<Caveat>,
}

impl Answer {
    /// The headline: the gain in model FLOPs.
    pub fn headline(&self) -> Gain {
        self.on(Axis::ModelFlops)
    }

    /// The gain by what is counted.
    pub fn on(&self, axis: Axis) -> Gain {
        self.gains.get(&axis).copied().unwrap_or(Gain::Unknown {
            n: self.n,
            why: Blank::CostUnknown,
        })
    }

    /// `modern/w32@400`.
    pub fn cell(&self) -> String {
        let budget = self
            .budget
            .map(|budget| format!("@{budget}"))
            .unwrap_or_default();
        format!("{}/{}{budget}", self.variant, self.scale)
    }
}

/// Answers the question that the suite fixed before anything ran.
pub fn answer(file: &ResultFile) -> Result<Answer, Unanswered> {
    let strata = strata(file, None);
    let (stratum, pairs) = pair(&strata, &Question::of(file)?)?;
    Ok(answer_pairs(file, &pairs, Scatter::of(stratum).as_ref()))
}

/// Answers the question that `pairs` were made for; `scatter` is of their world.
pub fn answer_pairs(file: &ResultFile, pairs: &Pairs, scatter: Option<&Scatter>) -> Answer {
    let mut gains = BTreeMap::from(Axis::ALL.map(|axis| (axis, gain(pairs, axis, scatter))));
    let log_gain = gains
        .get_mut(&Axis::ModelFlops)
        .and_then(|(_, form)| form.take());
    let gains: BTreeMap<Axis, Gain> = gains
        .into_iter()
        .map(|(axis, (gain, _))| (axis, gain))
        .collect();
    let local = Local::of(pairs, Axis::ModelFlops, scatter);
    let equal = local.as_ref().and_then(Local::at_equal_cost);
    let doubling = local.as_ref().and_then(Local::doubling);
    let question = pairs.question.clone();
    let mut base_scales: Vec<String> = pairs.cells.iter().map(|cell| cell.scale.clone()).collect();
    base_scales.dedup();
    let one_length = one_length(pairs, &base_scales);
    Answer {
        read_at: read_at(pairs),
        base_scales,
        one_length,
        data: pairs.data.clone(),
        loss: pairs.loss,
        n: pairs.pairs.len(),
        doubling: doubling.map(|(form, from_flops)| Doubling {
            from_flops,
            nats: form.estimate(scatter),
        }),
        equal_compute_nats: equal.as_ref().map(|(form, _)| form.estimate(scatter)),
        equal_compute_measured: equal.as_ref().is_some_and(|(_, measured)| *measured),
        p: equal
            .as_ref()
            .and_then(|(form, _)| Some(form.shift(scatter)?.p())),
        next_step: match one_length {
            true => Step::Unclear,
            false => next_step(&gains[&Axis::ModelFlops]),
        },
        caveats: caveats(file, pairs, &gains, scatter),
        log_gain,
        gains,
        base: question.base,
        variant: question.variant,
        scale: question.scale,
        budget: question.budget,
    }
}

/// Sizes that were all trained for as many steps.
fn one_length(pairs: &Pairs, scales: &[String]) -> bool {
    let first = pairs.cells.first().and_then(|cell| cell.budget);
    scales.len() > 1 && first.is_some() && pairs.cells.iter().all(|cell| cell.budget == first)
}

fn read_at(pairs: &Pairs) -> Option<ReadAt> {
    let of_variant = pairs
        .trials
        .iter()
        .filter(|trial| trial.variant == pairs.question.variant);
    let mut known = of_variant
        .filter_map(|trial| Some((trial.params()?, trial.train_tokens()?, trial.train_flops()?)));
    let (params, tokens, train_flops) =
        known.find(|(params, tokens, _)| *params > 0 && *tokens > 0)?;
    Some(ReadAt {
        params,
        tokens_per_param: tokens as f64 / params as f64,
        train_flops,
    })
}

/// A gain above 2 is a change that buys more than twice the compute does, and below 2 one that buys less.
fn next_step(gain: &Gain) -> Step {
    match gain {
        Gain::Solved(Estimate {
            interval: Some(interval),
            ..
        }) if interval.low > 2.0 => Step::Variant,
        Gain::Solved(Estimate {
            interval: Some(interval),
            ..
        }) if interval.high < 2.0 => Step::Scale,
        Gain::MoreThan(Bound {
            bound,
            level: Some(_),
            ..
        }) if *bound >= 2.0 => Step::Variant,
        Gain::LessThan(Bound {
            bound,
            level: Some(_),
            ..
        }) if *bound <= 2.0 => Step::Scale,
        _ => Step::Unclear,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::gain::Sign;
    use crate::record::example::{example, study};

    /// Model FLOPs of a step of `gpt2` over one of `modern` in the example.
    const STEP: f64 = 7.7 / 8.0;

    /// A power law, where `modern` at 800 is worth `worth(repeat)` times its steps of `gpt2`.
    fn straight(repeats: u64, worth: impl Fn(u64) -> f64) -> ResultFile {
        study(repeats, |variant, steps, repeat| {
            let worth = if variant == "modern" {
                worth(repeat)
            } else {
                1.0
            };
            Some(2.0 * (worth * steps as f64 / 400.0).powf(-0.3) * (1.0 + 0.05 * repeat as f64))
        })
    }

    fn close(found: f64, expected: f64) {
        assert!(
            (found - expected).abs() < 1e-9,
            "{found} against {expected}"
        );
    }

    /// Where the truth is known the gain is exact on every axis, above 1 and below.
    #[test]
    fn a_known_gain_is_found() {
        for worth in [1.7, 1.0, 0.6] {
            let answer = answer(&straight(3, |_| worth)).unwrap();
            let solved = |axis| match answer.on(axis) {
                Gain::Solved(estimate) => estimate,
                other => panic!("{axis:?}: {other:?}"),
            };
            close(solved(Axis::ModelFlops).value, worth * STEP);
            close(
                solved(Axis::TotalFlops).value,
                worth * (7.7e7 + 3.0e5) / (8.0e7 + 9.0e6),
            );
            close(solved(Axis::WallSeconds).value, worth * 0.0031 / 0.0052);
            close(solved(Axis::Tokens).value, worth);
            close(solved(Axis::Steps).value, worth);
            // Repeats of 1, 1.05 and 1.1 times the law.
            let law = |steps: f64| 1.05 * 2.0 * (steps / 400.0).powf(-0.3);
            close(
                answer.equal_compute_nats.unwrap().value,
                law(800.0 / STEP) - law(worth * 800.0),
            );
            assert!(
                !answer.equal_compute_measured,
                "the base's FLOPs are 4% off"
            );
            // Twice the variant's own cost is beyond the base's runs, so that it is its last doubling.
            let doubling = answer.doubling.unwrap();
            close(doubling.from_flops / (7.7e7 * 800.0), 1.0);
            close(doubling.nats.value, law(800.0) - law(1600.0));
            assert_eq!(
                answer.on(Axis::Joules),
                Gain::Unknown {
                    n: 3,
                    why: Blank::CostUnknown
                },
                "no meter read anything"
            );
        }
    }

    /// The ends are where the gap is just told. With an exact base, and nothing shared, they are in closed form:
    /// `h = scipy.stats.t.ppf(0.975, 3) * scipy.stats.sem(v)` of SciPy 1.17 at the variant's losses v, and the law turned round
    /// at v.mean() + h and v.mean() - h.
    #[test]
    fn the_interval_ends_where_the_gap_is_just_told() {
        let losses = [1.40, 1.43, 1.38, 1.42];
        let law = |steps: f64| 2.0 * (steps / 400.0).powf(-0.3);
        let file = study(4, |variant, steps, repeat| {
            Some(if variant == "modern" {
                losses[repeat as usize]
            } else {
                law(steps as f64)
            })
        });
        let strata = strata(&file, None);
        let (_, pairs) = pair(&strata, &Question::of(&file).unwrap()).unwrap();
        let (Gain::Solved(estimate), Some(form)) = gain(&pairs, Axis::Steps, None) else {
            panic!()
        };
        let turned = |loss: f64| 400.0 * (loss / 2.0).powf(-1.0 / 0.3) / 800.0;
        let half = 0.035_283_078_589_306_995;
        let interval = estimate.interval.unwrap();
        close(estimate.value, turned(1.4075));
        close(interval.low, turned(1.4075 + half));
        close(interval.high, turned(1.4075 - half));
        assert_eq!(
            (estimate.n, gain(&pairs, Axis::Steps, None).0.sign()),
            (4, Sign::More)
        );
        // To first order the logarithm has the same spread.
        let first = form.ratio(None).interval.unwrap();
        assert!(
            (first.low / interval.low - 1.0).abs() < 0.01
                && (first.high / interval.high - 1.0).abs() < 0.01
        );
    }

    /// Beyond the budgets there are bounds, and no extrapolation: at most 1600 steps of 7.7 against 800 of 8.0, at least 400.
    #[test]
    fn beyond_the_budgets_there_is_a_bound() {
        let exact = |bound| Bound {
            bound,
            level: Some(0.95),
            n: 4,
            told: true,
        };
        let close_to = |found: Bound, expected: Bound| {
            close(found.bound, expected.bound);
            assert_eq!(
                Bound {
                    bound: expected.bound,
                    ..found
                },
                expected
            );
        };
        let found = answer(&straight(4, |_| 5.0)).unwrap();
        let Gain::MoreThan(bound) = found.headline() else {
            panic!()
        };
        close_to(bound, exact(2.0 * STEP));
        let Gain::LessThan(bound) = answer(&straight(4, |_| 0.1)).unwrap().headline() else {
            panic!()
        };
        close_to(
            bound,
            Bound {
                ..exact(0.5 * STEP)
            },
        );
        // Scattered repeats around a mean beyond the end allow less than the end.
        let found = answer(&straight(4, |r| if r == 0 { 3.0 } else { 1.9 }))
            .unwrap()
            .headline();
        let Gain::MoreThan(bound) = found else {
            panic!("{found:?}")
        };
        assert!(
            bound.bound < 1.9 * STEP && bound.level == Some(0.95),
            "{bound:?}"
        );
        // One repeat is as measured, and says nothing of others.
        let Gain::MoreThan(bound) = answer(&straight(1, |_| 5.0)).unwrap().headline() else {
            panic!()
        };
        close(bound.bound, 2.0 * STEP);
        assert_eq!((bound.level, bound.told), (None, false));
    }

    #[test]
    fn a_gain_stands_on_one_side_of_one_or_cannot_tell() {
        let apart = |r: u64| if r.is_multiple_of(2) { 1.3 } else { 0.8 };
        let rows = [
            (answer(&straight(4, |_| 1.7)), Sign::More, None),
            (answer(&straight(4, |_| 0.6)), Sign::Less, Some(Step::Scale)),
            (answer(&straight(4, apart)), Sign::Unclear, None),
            (
                answer(&straight(1, |_| 0.6)),
                Sign::Unclear,
                Some(Step::Unclear),
            ),
            (
                answer(&straight(4, |r| if r == 0 { 0.1 } else { 1.1 })),
                Sign::Unclear,
                None,
            ),
            (answer(&straight(4, |_| 0.1)), Sign::Less, Some(Step::Scale)),
        ];
        for (answer, sign, step) in rows {
            let answer = answer.unwrap();
            let step = step.unwrap_or(answer.next_step);
            assert_eq!(
                (answer.headline().sign(), answer.next_step),
                (sign, step),
                "{:?}",
                answer.headline()
            );
        }
    }

    /// Noise can make a larger budget worse: neighbours that rise are one height, and beyond that there is a bound.
    #[test]
    fn a_rise_of_the_bases_losses_bounds_the_gain() {
        let rising = |loss: f64| {
            study(1, move |variant, steps, _| {
                Some(match (variant, steps) {
                    ("gpt2", 400) => 2.0,
                    ("gpt2", 800) => 1.0,
                    ("gpt2", _) => 1.2,
                    _ => loss,
                })
            })
        };
        let Gain::Solved(estimate) = answer(&rising(1.55)).unwrap().headline() else {
            panic!()
        };
        assert!(
            estimate.value > 0.5 * STEP && estimate.value < STEP && estimate.interval.is_none()
        );
        let Gain::MoreThan(bound) = answer(&rising(0.9)).unwrap().headline() else {
            panic!()
        };
        close(bound.bound, 2.0 * STEP);
    }

    /// With one budget of the base there is the difference at equal cost, and on whose side of it the gain lies.
    #[test]
    fn one_budget_of_the_base_prices_a_difference_and_a_side() {
        let mut file = study(4, |variant, _, k| {
            Some(if variant == "modern" { 0.9 } else { 1.0 } + 1e-3 * (k % 2) as f64)
        });
        file.trials.retain(|trial| trial.budget == Some(800));
        for trial in file
            .trials
            .iter_mut()
            .filter(|trial| trial.variant == "modern")
        {
            trial.cost.as_mut().unwrap().train_flops = 7.7e7 * 800.0;
        }
        let answer = answer(&file).unwrap();
        close(answer.equal_compute_nats.unwrap().value, 0.1);
        assert!(answer.equal_compute_measured && answer.doubling.is_none());
        let Gain::MoreThan(bound) = answer.headline() else {
            panic!("{:?}", answer.headline())
        };
        close(bound.bound, 1.0);
        assert!(answer.p.unwrap() < 0.05 && answer.headline().sign() == Sign::More);
    }

    #[test]
    fn seconds_that_are_not_known_leave_the_other_axes_alone() {
        let mut file = example();
        file.trials[0]
            .metrics
            .remove(crate::record::metric::TRAIN_WALL_S);
        let answer = answer(&file).unwrap();
        assert!(matches!(
            answer.headline(),
            Gain::MoreThan { .. } | Gain::Solved(_)
        ));
        assert_eq!(
            answer.on(Axis::WallSeconds),
            Gain::Unknown {
                n: 4,
                why: Blank::CostUnknown
            }
        );
    }
}
