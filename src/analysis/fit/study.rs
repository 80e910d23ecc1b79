//! A law of one or two terms fitted to one group, and everything that is told of it.

use std::sync::Arc;

use serde::Serialize;

use super::additive::Additive;
use super::allocation::{Allocation, allocation};
use super::counting::Counting;
use super::fitting::Fitting;
use super::interval::{Bounds, Held};
use super::luck::{EXACT, Silence};
use super::misfit::{Misfit, misfit};
use super::points::Point;
use super::returns::{Returns, returns};
use super::sensitivity::{Forecast, Refit, forecast, refits};
use super::series::Series;
use super::solve;
use super::surface::{IRREDUCIBLE, NOTHING, Theta};
use crate::analysis::law::PowerLaw;
use crate::stat::{Interval, mean, quantile, sd};

/// Where E comes from.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Irreducible {
    /// Fitted.
    Free,
    /// Known: the oracle's loss, which the data's source gives.
    Oracle,
    /// Assumed by the user.
    Fixed(f64),
}

/// A law fitted to one group.
#[derive(Debug, Clone, Serialize)]
pub struct Study {
    /// The group.
    pub group: String,
    /// Points fitted.
    pub n: usize,
    /// Repeats, where runs share seeds.
    pub repeats: Option<usize>,
    /// Smallest and largest C.
    pub flops: [f64; 2],
    /// Smallest and largest N, where known.
    pub params: Option<[f64; 2]>,
    /// Smallest and largest D, where known.
    pub tokens: Option<[f64; 2]>,
    /// Where E comes from.
    pub irreducible: Irreducible,
    /// E first, then coefficients and exponents in the law's order.
    pub parameters: Vec<Parameter>,
    /// Whether there are more budgets than parameters, so that the law could be seen to fail.
    pub tests_form: bool,
    /// How the intervals were found.
    pub interval_method: &'static str,
    /// Why there are none.
    pub silence: Option<Silence>,
    /// Bootstrap resamples behind standard errors.
    pub draws: usize,
    /// The sum that was minimised.
    pub objective: f64,
    /// Standard deviation of the residuals in ln L.
    pub residual_sd: Option<f64>,
    /// Whether the runs lie on the law but for a computer's rounding, so that there is no luck to put into an interval.
    pub exact: bool,
    /// Whether the runs lie on the law at all, where cells were repeated.
    pub misfit: Option<Misfit>,
    /// Whether neighbours miss the law alike.
    pub series: Series,
    /// What a parameter and a token cost together, where every run has both.
    pub counting: Option<Counting>,
    /// The oracle's loss, where the runs are of several sizes and the interval of a fitted E leaves it out.
    pub oracle_left_out: Option<f64>,
    /// Fitted minus seen loss in nats, in the points' order.
    pub residuals_nats: Vec<f64>,
    /// Profiles of E and of each exponent.
    pub profiles: Vec<ProfileOf>,
    /// What the fit owes to a few points.
    pub refits: Vec<Refit>,
    /// How well the smaller budgets forecast the largest.
    pub forecast: Option<Forecast>,
    /// How compute is best split.
    pub allocation: Option<Allocation>,
    /// What the next doubling buys.
    pub returns: Option<Returns>,
    /// The loss along the best splits of compute; for a law of compute alone the law itself.
    pub along: PowerLaw,
    /// The fit, for figures that are not here.
    #[serde(skip)]
    pub fitting: Arc<Fitting>,
}

impl Study {
    /// The interval of a positive figure that follows from the law along the best splits, by its own profile; `None` where the
    /// data do not bound it on both sides, or where the law does not describe the runs.
    pub fn interval_of(&self, figure: impl Fn(&PowerLaw) -> f64) -> Option<Interval> {
        let logs = self
            .fitting
            .derived(|theta| figure(&self.fitting.frontier_of(theta)).ln())
            .filter(|_| self.describes())?;
        Some(Interval {
            low: logs.low.exp(),
            high: logs.high.exp(),
            ..logs
        })
    }

    /// Whether nothing says clearly that the runs do not lie on the law.
    pub fn describes(&self) -> bool {
        !self.misfit.as_ref().is_some_and(Misfit::is_clear)
    }

    /// Whether all runs are of one model size.
    pub fn one_size(&self) -> bool {
        one_size(&self.fitting.points)
    }
}

/// One parameter of a fit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Parameter {
    /// `alpha`.
    pub name: &'static str,
    /// Estimate.
    pub value: f64,
    /// Whether it was held, not fitted.
    pub held: bool,
    /// Values that the data do not refuse; absent where held or where nothing is left to judge by.
    pub interval: Option<Bounds>,
    /// Whether the interval is closed on both sides.
    pub identified: bool,
    /// The bootstrap's standard deviation.
    pub bootstrap_se: Option<f64>,
    /// The bootstrap's 2.5% and 97.5% points.
    pub bootstrap_percentiles: Option<[f64; 2]>,
}

/// The objective over values of one parameter, everything else refitted.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProfileOf {
    /// `E`, `alpha`.
    pub parameter: &'static str,
    /// By value, ascending.
    pub held: Vec<Held>,
}

/// Everything that is told of one group's fit.
pub(super) fn study(fitting: Fitting, dropped: &[Point], source: Irreducible) -> Study {
    let fitting = &fitting;
    let names = names(fitting.law);
    let bounds = solve::on_all_cores(names.len(), |k| fitting.bounds(names[k].1));
    let parameters: Vec<Parameter> = names
        .iter()
        .zip(&bounds)
        .map(|((name, index), bounds)| parameter(fitting, name, *index, *bounds))
        .collect();
    let named: Vec<(&'static str, usize, Option<Bounds>)> = names
        .iter()
        .zip(&bounds)
        .map(|((name, index), bounds)| (*name, *index, *bounds))
        .collect();
    let range = |get: &dyn Fn(&Point) -> Option<f64>| {
        let values: Vec<f64> = fitting.points.iter().map(get).collect::<Option<_>>()?;
        Some([
            values.iter().copied().fold(f64::INFINITY, f64::min),
            values.iter().copied().fold(0.0, f64::max),
        ])
    };
    let residuals = fitting
        .points
        .iter()
        .filter_map(|point| Some(fitting.loss_at(point)? - point.loss));
    Study {
        group: fitting
            .points
            .first()
            .map_or(String::new(), |point| point.group.clone()),
        n: fitting.points.len(),
        repeats: fitting
            .surface
            .repeated()
            .then_some(fitting.surface.clusters),
        flops: fitting.flops(),
        params: range(&|p| p.params),
        tokens: range(&|p| p.tokens),
        irreducible: source,
        parameters,
        tests_form: fitting.tests_form(),
        interval_method: fitting.method(),
        silence: fitting.inquiry().err(),
        draws: fitting.draws.len(),
        objective: fitting.end.objective,
        residual_sd: fitting.residual_sd(),
        exact: fitting.tests_form() && fitting.residual_sd().is_some_and(|sd| sd < EXACT),
        misfit: misfit(fitting),
        series: fitting.series,
        counting: fitting.counting,
        oracle_left_out: oracle_left_out(fitting, bounds[0]),
        residuals_nats: residuals.collect(),
        profiles: profiles(fitting, &named),
        refits: refits(fitting, dropped, &named),
        forecast: forecast(fitting),
        allocation: allocation(fitting),
        returns: returns(fitting),
        along: fitting.frontier_of(&fitting.theta()),
        fitting: Arc::new(fitting.clone()),
    }
}

/// The oracle's loss, where a fitted E is bounded away from it although several sizes ran.
fn oracle_left_out(fitting: &Fitting, bounds: Option<Bounds>) -> Option<f64> {
    let known = value(Irreducible::Oracle, &fitting.points)?;
    let all =
        fitting.points.iter().all(|point| point.oracle.is_some()) && !one_size(&fitting.points);
    (all && !bounds?.contains(known)).then_some(known)
}

/// Names and places of a law's parameters: E first.
fn names(law: &Additive) -> Vec<(&'static str, usize)> {
    let terms = law.terms.iter().enumerate();
    let of_terms =
        terms.flat_map(|(k, term)| [(term.coefficient, 2 * k), (term.exponent, 2 * k + 1)]);
    [("E", IRREDUCIBLE)].into_iter().chain(of_terms).collect()
}

/// A parameter as one writes it: E and coefficients are held as logarithms.
fn natural(theta: &Theta, index: usize) -> f64 {
    match index {
        IRREDUCIBLE if theta[index] <= NOTHING => 0.0,
        _ if index.is_multiple_of(2) => theta[index].exp(),
        _ => theta[index],
    }
}

fn parameter(
    fitting: &Fitting,
    name: &'static str,
    index: usize,
    interval: Option<Bounds>,
) -> Parameter {
    let held = fitting.held.contains(&index);
    let drawn: Vec<f64> = if held {
        Vec::new()
    } else {
        fitting.draws.iter().map(|t| natural(t, index)).collect()
    };
    let percentiles = quantile(&drawn, 0.025)
        .zip(quantile(&drawn, 0.975))
        .map(|(low, high)| [low, high]);
    Parameter {
        name,
        value: natural(&fitting.theta(), index),
        held,
        interval,
        identified: interval.is_some_and(|bounds| bounds.closed()),
        bootstrap_se: sd(&drawn),
        bootstrap_percentiles: percentiles,
    }
}

/// Profiles of E and the exponents over a little more than their intervals.
fn profiles(fitting: &Fitting, named: &[(&'static str, usize, Option<Bounds>)]) -> Vec<ProfileOf> {
    let lowest = fitting
        .points
        .iter()
        .map(|p| p.loss)
        .fold(f64::INFINITY, f64::min);
    let Ok(inquiry) = fitting.inquiry() else {
        return Vec::new();
    };
    let of = |(name, index, bounds): &(&'static str, usize, Option<Bounds>)| {
        let bounds = bounds
            .as_ref()
            .filter(|_| *index == IRREDUCIBLE || index % 2 == 1)?;
        let at = natural(&fitting.theta(), *index);
        let low = bounds.low.unwrap_or(0.0);
        let high = bounds.high.unwrap_or(if *index == IRREDUCIBLE {
            lowest
        } else {
            2.0 * at.abs()
        });
        let limits = if *index == IRREDUCIBLE {
            (0.0, 0.999 * lowest)
        } else {
            (1e-4, 10.0)
        };
        let steps =
            (-1..=9).map(|k| (low + (high - low) * f64::from(k) / 8.0).clamp(limits.0, limits.1));
        let mut values: Vec<f64> = steps.chain([at]).collect();
        values.sort_by(f64::total_cmp);
        values.dedup();
        Some(ProfileOf {
            parameter: name,
            held: inquiry.profile(*index, &values),
        })
    };
    named.iter().filter_map(of).collect()
}

/// Whether all runs have the same number of parameters, as far as that is known.
pub(super) fn one_size(points: &[Point]) -> bool {
    points
        .windows(2)
        .all(|pair| pair[0].params.is_some() && pair[0].params == pair[1].params)
}

/// E where it is not fitted: the oracle's mean over the points, or the user's.
pub(super) fn value(source: Irreducible, points: &[Point]) -> Option<f64> {
    match source {
        Irreducible::Free => None,
        Irreducible::Fixed(value) => Some(value),
        Irreducible::Oracle => mean(&points.iter().filter_map(|p| p.oracle).collect::<Vec<f64>>()),
    }
}
