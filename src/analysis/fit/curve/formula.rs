//! A law given by its formula, its parameters and where to start.

use serde::Serialize;

use crate::analysis::fit::points::{Point, Variable};
use crate::analysis::fit::surface::Theta;
use crate::error::{Error, Result};

/// One parameter of a curve.
#[derive(Debug)]
pub struct Slot {
    /// `alpha`.
    pub name: &'static str,
    /// Whether it is searched as its logarithm: it is above zero and may be of any size.
    pub log: bool,
    /// Lowest value that makes sense.
    pub low: f64,
    /// Highest value that makes sense; that of E is the lowest loss.
    pub high: f64,
}

/// What the residuals are in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Residual {
    /// Fitted less seen loss.
    Nats,
    /// Fitted less seen logarithm of the loss.
    Log,
}

/// What a run was given.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Input {
    /// N; no number where the law has no use for it.
    pub params: f64,
    /// D.
    pub tokens: f64,
    /// U.
    pub unique_tokens: f64,
    /// C.
    pub flops: f64,
}

impl Input {
    /// Of a point.
    pub fn of(point: &Point) -> Self {
        let or_none = |value: Option<f64>| value.unwrap_or(f64::NAN);
        Self {
            params: or_none(point.params),
            tokens: or_none(point.tokens),
            unique_tokens: or_none(point.unique_tokens),
            flops: point.flops,
        }
    }

    /// A run of N parameters on D tokens, none of them twice, at C = 6 N D.
    pub fn fresh(params: f64, tokens: f64) -> Self {
        Self {
            params,
            tokens,
            unique_tokens: tokens,
            flops: 6.0 * params * tokens,
        }
    }
}

/// Parameters at values that are not searched, by their places.
#[derive(Debug, Clone, Copy)]
pub struct Held<'a>(pub &'a [(usize, f64)]);

impl Held<'_> {
    /// The value of a parameter that is held.
    pub fn value(&self, place: usize) -> Option<f64> {
        let held = self.0.iter().find(|(held, _)| *held == place);
        held.map(|(_, value)| *value)
    }

    /// That value alone, or what is tried of a parameter that is free.
    pub fn or(&self, place: usize, tried: &[f64]) -> Vec<f64> {
        self.value(place)
            .map_or_else(|| tried.to_vec(), |value| vec![value])
    }
}

/// What is left of a loss, split between two terms: what is held of either is kept, the rest is the other's, `share` the first's where
/// both are free.
pub fn split(left: f64, share: f64, held: [Option<f64>; 2]) -> [f64; 2] {
    let rest = |taken: f64| (left - taken).max(LEAST * left);
    match held {
        [None, None] => [share * left, (1.0 - share) * left],
        [Some(a), None] => [a, rest(a)],
        [None, Some(b)] => [rest(b), b],
        [Some(a), Some(b)] => [a, b],
    }
}

/// A term that begins from nothing would have no slopes.
const LEAST: f64 = 0.02;

/// A figure that follows from a law's parameters.
#[derive(Debug)]
pub struct Figure {
    /// `eta`.
    pub name: &'static str,
    /// What it is, so that its value can follow.
    pub about: &'static str,
    /// The figure.
    pub of: fn(&[f64]) -> f64,
    /// The one parameter that it rises with and that nothing else of it depends on, where there is one: then its interval is that one's.
    pub rises_with: Option<usize>,
}

/// A law given by its formula.
#[derive(Debug)]
pub struct Curve {
    /// Its parameters, E first.
    pub slots: &'static [Slot],
    /// What a run must have.
    pub needs: &'static [Variable],
    /// The loss of a run.
    pub loss: fn(&[f64], &Input) -> f64,
    /// What is made small.
    pub residual: Residual,
    /// Of Huber's loss, in the residual's unit; infinite for least squares.
    pub delta: f64,
    /// Where searches start, given the runs with their losses and the parameters that are held.
    pub starts: fn(&[(Input, f64)], &Held) -> Vec<Vec<f64>>,
    /// What else it says.
    pub figures: &'static [Figure],
    /// The law in parameters and tokens that it is where no token comes twice: ln A, alpha, ln B, beta, ln E.
    pub additive: Option<fn(&[f64]) -> Theta>,
    /// Why runs cannot tell the parameters in these places, where they cannot.
    pub refuse: fn(&[Input], &[usize]) -> Option<(String, &'static str)>,
}

impl Curve {
    /// The place of a parameter.
    pub fn place(&self, name: &str) -> Result<usize> {
        let names = self.slots.iter().map(|slot| slot.name);
        let found = self.slots.iter().position(|slot| slot.name == name);
        found.ok_or_else(|| {
            Error::input(format!("--hold {name}: this law has no such parameter"))
                .suggest(name, names)
        })
    }
}

/// Why runs of one size, of one number of tokens, or along one ray cannot tell a law in both; what is held need not be told.
pub fn refuse_flat(runs: &[Input], free: &[usize]) -> Option<(String, &'static str)> {
    if !(0..4).all(|place| free.contains(&place)) && !(1..5).all(|place| free.contains(&place)) {
        return None;
    }
    let distinct = |of: fn(&Input) -> f64| {
        let mut values: Vec<f64> = runs.iter().map(|run| of(run).ln()).collect();
        values.sort_by(f64::total_cmp);
        values.dedup_by(|a, b| (*a - *b).abs() < 1e-3);
        values.len()
    };
    if distinct(|run| run.params) < 2 {
        return Some((
            "all runs are of one size, so what size buys cannot be told".to_owned(),
            "--law power",
        ));
    }
    if distinct(|run| run.tokens) < 2 {
        let message = "all runs see as many tokens, so what tokens buy cannot be told";
        return Some((message.to_owned(), "runs at other numbers of tokens"));
    }
    if distinct(|run| run.tokens / run.params) < 2 {
        let ratio = runs[0].tokens / runs[0].params;
        let message = format!(
            "all runs see {ratio:.3} tokens a parameter: what size and tokens buy cannot be told apart"
        );
        return Some((message, "runs at another ratio, or --law power"));
    }
    None
}
