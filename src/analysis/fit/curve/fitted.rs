//! A curve fitted to the points of one group.

use super::formula::{Curve, Held, Input, Residual, Slot};
use crate::analysis::fit::points::Point;
use crate::analysis::fit::solve::on_all_cores;
use crate::error::{Error, Result};
use crate::stat::least::{Least, Problem};
use crate::stat::resample;
use crate::stream::stream;

/// E is at most this share of the lowest loss.
const BELOW: f64 = 0.9999;

/// A law with its points and where the search ended.
pub struct CurveFit {
    /// The law.
    pub curve: &'static Curve,
    /// The points fitted.
    pub points: Vec<Point>,
    /// What each was given.
    pub inputs: Vec<Input>,
    /// Loss, or its logarithm, as the residual asks.
    pub seen: Vec<f64>,
    /// The lowest end found, in searched coordinates.
    pub end: Least,
    /// Parameters that were fitted.
    pub free: Vec<usize>,
    /// Which rows share their luck.
    pub clusters: Vec<usize>,
    /// Refits of resamples, in the law's own parameters.
    pub draws: Vec<Vec<f64>>,
    low: Vec<f64>,
    high: Vec<f64>,
}

/// The lowest and the highest value of every parameter, as it is searched.
fn bounds(curve: &Curve) -> [Vec<f64>; 2] {
    [|slot: &Slot| slot.low, |slot: &Slot| slot.high].map(|end| {
        let bound = |slot: &Slot| if slot.log { end(slot).ln() } else { end(slot) };
        curve.slots.iter().map(bound).collect()
    })
}

impl CurveFit {
    /// Fits a law from all its starts with the parameters `hold` at their values, and refits `draws` resamples.
    pub fn new(
        curve: &'static Curve,
        points: Vec<Point>,
        hold: &[(usize, f64)],
        draws: usize,
    ) -> Result<Self> {
        let mut fit = Self::prepared(curve, points, hold)?;
        let group = fit.group().to_owned();
        let runs: Vec<(Input, f64)> = fit
            .inputs
            .iter()
            .copied()
            .zip(fit.points.iter().map(|p| p.loss))
            .collect();
        let starts: Vec<Vec<f64>> = (curve.starts)(&runs, &Held(hold))
            .iter()
            .map(|start| fit.inward(start, hold))
            .collect();
        fit.end = fit
            .lowest(starts)
            .ok_or_else(|| Error::input(format!("{group}: no search ended at a finite fit")))?;
        fit.refuse_rising()?;
        fit.draws = fit.resamples(draws);
        Ok(fit)
    }

    /// A fit that was found elsewhere, at `at`, of which the same questions can be asked.
    pub fn given(
        curve: &'static Curve,
        points: Vec<Point>,
        hold: &[(usize, f64)],
        at: &[f64],
    ) -> Result<Self> {
        let mut fit = Self::prepared(curve, points, hold)?;
        let at = fit.inward(at, hold);
        let objective = fit.objective(&at);
        fit.end = Least { at, objective };
        Ok(fit)
    }

    fn prepared(curve: &'static Curve, points: Vec<Point>, hold: &[(usize, f64)]) -> Result<Self> {
        let group = points
            .first()
            .map_or("", |point| point.group.as_str())
            .to_owned();
        if let Some(name) = curve
            .needs
            .iter()
            .find(|v| points.iter().any(|p| p.get(**v).is_none()))
            .map(|v| v.name())
        {
            return Err(Error::input(format!(
                "{group}: this law needs `{name}`, which is not there"
            ))
            .hint(format!("--map {name}=COLUMN; --where leaves rows out")));
        }
        let free: Vec<usize> = (0..curve.slots.len())
            .filter(|k| hold.iter().all(|(held, _)| held != k))
            .collect();
        if points.len() < free.len() {
            return Err(Error::input(format!(
                "{group}: {} points for {} free parameters",
                points.len(),
                free.len()
            ))
            .hint("more runs, or --hold NAME=VALUE for a parameter that is known"));
        }
        let inputs: Vec<Input> = points.iter().map(Input::of).collect();
        if let Some((message, hint)) = (curve.refuse)(&inputs, &free) {
            return Err(Error::input(format!("{group}: {message}")).hint(hint));
        }
        let lowest = points.iter().map(|p| p.loss).fold(f64::INFINITY, f64::min);
        if let Some((_, e)) = hold.iter().find(|(k, e)| *k == 0 && *e >= lowest) {
            return Err(Error::input(format!(
                "{group}: E = {e} is not below its lowest loss, {lowest}"
            ))
            .hint("the irreducible loss lies under every loss seen"));
        }
        let [low, mut high] = bounds(curve);
        high[0] = BELOW * lowest;
        let seen = points.iter().map(|p| match curve.residual {
            Residual::Log => p.loss.ln(),
            Residual::Nats => p.loss,
        });
        let seen = seen.collect();
        let clusters = clusters(&points);
        let end = Least {
            at: Vec::new(),
            objective: f64::INFINITY,
        };
        Ok(Self {
            curve,
            points,
            inputs,
            seen,
            end,
            free,
            clusters,
            draws: Vec::new(),
            low,
            high,
        })
    }

    /// An exponent at its lowest value means that the loss does not fall.
    fn refuse_rising(&self) -> Result<()> {
        let flat = |k: &&usize| {
            **k > 0 && !self.curve.slots[**k].log && self.end.at[**k] <= 1.01 * self.low[**k]
        };
        let Some(k) = self.free.iter().find(flat) else {
            return Ok(());
        };
        let name = self.curve.slots[*k].name;
        Err(Error::input(format!("{}: the loss does not fall as this law says ({name} is 0)", self.group()))
            .hint("a law of what size and tokens buy takes runs that they help; --where leaves others out"))
    }

    /// Whose points these are.
    pub fn group(&self) -> &str {
        self.points.first().map_or("", |point| point.group.as_str())
    }

    /// Number of clusters; as many as rows where every row has its own luck.
    pub fn cluster_count(&self) -> usize {
        self.clusters.iter().max().map_or(0, |last| last + 1)
    }

    /// The parameters, as one writes them.
    pub fn at(&self) -> Vec<f64> {
        self.outward(&self.end.at)
    }

    /// From searched coordinates to the law's own.
    pub fn outward(&self, inner: &[f64]) -> Vec<f64> {
        inner
            .iter()
            .zip(self.curve.slots)
            .map(|(x, slot)| if slot.log { x.exp() } else { *x })
            .collect()
    }

    fn inward(&self, start: &[f64], hold: &[(usize, f64)]) -> Vec<f64> {
        let mut start = start.to_vec();
        hold.iter().for_each(|(k, value)| start[*k] = *value);
        start
            .iter()
            .zip(self.curve.slots)
            .map(|(x, slot)| if slot.log { x.ln() } else { *x })
            .collect()
    }

    /// Bounds of a searched coordinate.
    pub fn range(&self, index: usize) -> (f64, f64) {
        (self.low[index], self.high[index])
    }

    /// Fitted less seen of every row.
    pub fn residuals(&self, inner: &[f64], out: &mut [f64]) {
        let at = self.outward(inner);
        for ((out, input), seen) in out.iter_mut().zip(&self.inputs).zip(&self.seen) {
            let loss = (self.curve.loss)(&at, input);
            *out = if self.curve.residual == Residual::Log {
                loss.ln()
            } else {
                loss
            } - seen;
        }
    }

    /// Asks about the objective with other weights, or with more rows of squares than the points.
    pub fn with_problem<T>(
        &self,
        weights: &[f64],
        more: &(dyn Fn(&[f64], &mut [f64]) + Sync),
        ask: impl FnOnce(&Problem) -> T,
    ) -> T {
        let n = self.points.len();
        let residuals = |inner: &[f64], out: &mut [f64]| {
            let (own, other) = out.split_at_mut(n);
            self.residuals(inner, own);
            more(inner, other);
        };
        let (low, high) = (self.low.as_slice(), self.high.as_slice());
        ask(&Problem {
            residuals: &residuals,
            weights,
            delta: self.curve.delta,
            robust: n,
            low,
            high,
        })
    }

    pub(super) fn objective(&self, inner: &[f64]) -> f64 {
        self.with_problem(&self.once(), &|_, _| {}, |problem| problem.objective(inner))
    }

    /// A search that moves only `free`, over at most so many steps.
    pub(super) fn search(&self, start: &[f64], free: &[usize], steps: usize) -> Least {
        self.with_problem(&self.once(), &|_, _| {}, |problem| {
            problem.search_for(start, free, steps)
        })
    }

    pub(super) fn search_to_end(&self, start: &[f64]) -> Least {
        self.refit(start, &self.once())
    }

    /// Every point once.
    fn once(&self) -> Vec<f64> {
        vec![1.0; self.points.len()]
    }

    fn refit(&self, start: &[f64], weights: &[f64]) -> Least {
        self.with_problem(weights, &|_, _| {}, |problem| {
            problem.search(start, &self.free)
        })
    }

    fn resamples(&self, draws: usize) -> Vec<Vec<f64>> {
        on_all_cores(draws, |k| {
            let mut stream = stream("fit/curve-bootstrap", 0, k as u64);
            let weights = resample::counts(&self.clusters, |n| stream.below(n));
            self.outward(&self.refit(&self.end.at, &weights).at)
        })
    }

    /// The law's loss of a run, in nats.
    pub fn loss(&self, input: &Input) -> f64 {
        (self.curve.loss)(&self.at(), input)
    }
}

/// Runs of one repeat share their luck, where all have a repeat and there are several.
fn clusters(points: &[Point]) -> Vec<usize> {
    let repeats: std::collections::BTreeSet<Option<u64>> =
        points.iter().map(|p| p.repeat).collect();
    if repeats.len() < 2 || repeats.contains(&None) {
        return (0..points.len()).collect();
    }
    let repeats: Vec<Option<u64>> = repeats.into_iter().collect();
    points
        .iter()
        .map(|p| repeats.binary_search(&p.repeat).unwrap_or(0))
        .collect()
}
