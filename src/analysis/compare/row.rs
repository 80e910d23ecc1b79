//! One metric in one cell: the finding, as it is shown and stored.

use schemars::JsonSchema;
use serde::Serialize;

use super::decide::{Limits, Why};
use super::effect::{Effect, Method, exact_of_pairs, exact_of_sides, told};
use super::matching::Setting;
use super::measure::{Group, Measure, Scale};
use super::verdict::Verdict;
use crate::record::Better;
use crate::stat::{Estimate, Interval, Shift};

/// One side's figures.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, JsonSchema)]
pub struct Figures {
    /// Trials that have one.
    pub n: usize,
    /// Their mean; geometric for ratios.
    pub mean: Option<f64>,
    /// 95% interval of that mean.
    pub interval: Option<Interval>,
    /// Trials that never got there: infinitely bad, and not left out.
    pub unreached: usize,
}

/// What a change must pass to matter.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
pub struct Margin {
    /// As asked for: a share, or in the metric's unit.
    pub asked: f64,
    /// Whether somebody asked, or it is the usual one.
    pub given: bool,
    /// Within which a change is none: as asked, wider between kinds of machine.
    pub same: f64,
    /// Beyond which it is one: raised to what the machine's sessions make of it.
    pub used: f64,
    /// What it was raised to, where it was: `sessions`, `history`, `machines`.
    pub raised_by: Option<&'static str>,
}

impl Margin {
    /// Of which nothing is asked, and nothing is known that speaks against it.
    pub fn usual(size: f64) -> Self {
        Self {
            asked: size,
            given: false,
            same: size,
            used: size,
            raised_by: None,
        }
    }
}

/// What a loss difference is worth in the base's compute, by the base's own losses at several budgets.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
pub struct Equivalent {
    /// The base reaches the new side's loss with this many times its compute.
    pub times: f64,
    /// The interval of the difference, read off the same curve.
    pub interval: Option<Interval>,
    /// Where the curve ends before that loss `times` is only a bound: the truth is above it, or below.
    pub bound: Option<Bound>,
}

/// On which side of a bound the truth lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// More than this.
    MoreThan,
    /// Less than this.
    LessThan,
}

/// One metric in one cell.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Row {
    /// The cell, or `whole suite`.
    pub cell: String,
    /// Cells that it is about: 1, but for a whole suite.
    pub cells: usize,
    /// Registry name, or a key of `cost`.
    pub metric: &'static str,
    /// Unit of the values.
    pub unit: &'static str,
    /// Its law.
    pub group: Group,
    /// Direction.
    pub better: Better,
    /// Whether `change` is new / base or new - base.
    pub scale: Scale,
    /// How the trials were run.
    pub setting: Setting,
    /// How they were set against each other.
    pub method: Method,
    /// Whether the exit code depends on it.
    pub gated: bool,
    /// The smallest change that these trials show with a chance of 80%: a share, or in the unit.
    pub detectable: Option<f64>,
    /// The base.
    pub base: Figures,
    /// The new side.
    pub new: Figures,
    /// The change with its 95% interval.
    pub change: Option<Estimate>,
    /// What matters.
    pub margin: Margin,
    /// Chance of such a change where there is none.
    pub p: Option<f64>,
    /// The same with Holm's correction over everything gated.
    pub adjusted_p: Option<f64>,
    /// By the exact test.
    pub exact_p: Option<f64>,
    /// What is said.
    pub verdict: Verdict,
    /// The whole interval lies past the margin.
    pub beyond_margin: bool,
    /// Every value is the same bit by bit.
    pub identical: bool,
    /// Better, but held back, as quality is not shown to be kept.
    pub held_back: bool,
    /// Trials a side that would show a change as large as the margin.
    pub need: Option<usize>,
    /// Why, for people.
    pub reason: Option<String>,
    /// Why it may be so, where somebody accepted it.
    pub accepted: Option<String>,
    /// new / base as ratios to the reference inside each machine, or to the calibration: shown, never gated.
    pub relative: Option<Relative>,
    /// What a loss difference is worth.
    pub equivalent: Option<Equivalent>,
    /// Seeds that finished on the base's side and diverge on the new one.
    pub newly_diverged: Vec<u64>,
    /// What the change was computed from.
    #[serde(skip)]
    pub sample: Sample,
    /// For deciding.
    #[serde(skip)]
    pub effect: Option<Effect>,
    /// For prose.
    #[serde(skip)]
    pub why: Option<Why>,
}

/// The figures behind a change, on the scale that is computed on.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Sample {
    /// Differences by repeat and seed, where trials are paired.
    pub pairs: Vec<((u64, u64), f64)>,
    /// Each side's trials, where they are not.
    pub sides: [Vec<f64>; 2],
}

impl Sample {
    /// By the exact test of its kind.
    fn exact_p(&self) -> Option<f64> {
        if self.pairs.is_empty() {
            return exact_of_sides(&self.sides[0], &self.sides[1]);
        }
        exact_of_pairs(&self.pairs.iter().map(|pair| pair.1).collect::<Vec<_>>())
    }
}

/// A ratio between machines that leaves the machines out, as far as that goes.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Relative {
    /// To this variant inside each machine ...
    pub reference: Option<String>,
    /// ... new over base.
    pub against_reference: Option<Estimate>,
    /// new over base, each over its machine's calibration of the same bottleneck: normalised.
    pub normalised: Option<f64>,
}

impl Row {
    /// A row of which nothing is known yet.
    pub fn blank(cell: &str, measure: &Measure, setting: Setting) -> Self {
        Self {
            cell: cell.to_owned(),
            cells: 1,
            metric: measure.name,
            unit: measure.unit,
            group: measure.group,
            better: measure.better,
            scale: measure.scale,
            setting,
            method: Method::WelchT,
            gated: false,
            detectable: None,
            base: Figures::default(),
            new: Figures::default(),
            change: None,
            margin: Margin::usual(measure.margin),
            p: None,
            adjusted_p: None,
            exact_p: None,
            verdict: Verdict::Inconclusive,
            beyond_margin: false,
            identical: false,
            held_back: false,
            need: None,
            reason: None,
            accepted: None,
            relative: None,
            equivalent: None,
            newly_diverged: Vec::new(),
            sample: Sample::default(),
            effect: None,
            why: None,
        }
    }

    /// The row with its change, and all that follows from that alone.
    pub fn set_effect(&mut self, effect: Effect) {
        self.method = effect.method;
        self.change = effect.estimate();
        self.identical = effect.identical;
        self.p = effect.p();
        self.exact_p = effect.exact_p;
        self.effect = Some(effect);
    }

    /// The row with another idea of its noise: the standard deviation of one pair, the standard error, degrees of freedom.
    pub fn with_noise(&mut self, sd: f64, se: f64, freedom: f64) {
        let Some(mut effect) = self.effect else {
            return;
        };
        let Some(shift) = effect.shift else { return };
        effect.shift = Some(Shift {
            se,
            freedom,
            ..shift
        });
        effect.sd = Some(sd);
        effect.exact_p = told(effect.shift).and_then(|_| self.sample.exact_p());
        self.set_effect(effect);
    }

    /// Whether it is of all cells together.
    pub fn is_whole(&self) -> bool {
        self.cells > 1
    }

    /// The same row, closed to comparison.
    #[must_use]
    pub fn not_comparable(mut self, reason: impl Into<String>) -> Self {
        self.verdict = Verdict::NotComparable;
        self.reason = Some(reason.into());
        self
    }

    /// 1 where more is worse, -1 where less is.
    pub fn worse(&self) -> f64 {
        if self.better == Better::Lower {
            1.0
        } else {
            -1.0
        }
    }

    /// `gpt2/w32@400:train_tokens_per_s`.
    pub fn name(&self) -> String {
        format!("{}:{}", self.cell, self.metric)
    }

    /// The margins on the scale that is computed on.
    pub fn limits(&self) -> Limits {
        Limits {
            change: self.on_scale(self.margin.used),
            same: self.on_scale(self.margin.same),
        }
    }

    /// A share, or a figure in the unit, on the scale that is computed on.
    pub fn on_scale(&self, size: f64) -> f64 {
        if self.scale == Scale::Ratio {
            size.ln_1p()
        } else {
            size
        }
    }

    /// A value on the scale that is computed on, as a share or in the unit.
    pub fn shown(&self, on_scale: f64) -> f64 {
        if self.scale == Scale::Ratio {
            on_scale.exp_m1()
        } else {
            on_scale
        }
    }
}
