//! What is told of one group's curve.

use std::collections::BTreeMap;

use serde::Serialize;
use statrs::distribution::{ContinuousCDF, FisherSnedecor};

use super::asked::Asked;
use super::fitted::CurveFit;
use super::formula::{Curve, Figure, Input, Residual};
use crate::analysis::fit::interval::Bounds;
use crate::analysis::fit::luck::EXACT;
use crate::analysis::fit::misfit::Misfit;
use crate::analysis::fit::points::Point;
use crate::analysis::fit::solve::on_all_cores;
use crate::analysis::fit::study::Parameter;
use crate::error::Result;
use crate::stat::{mean, quantile, sd};

/// An interval wider than this factor does not tell the order of magnitude.
const WIDEST: f64 = 10.0;
/// Values tried of each parameter that is profiled.
const TRIED: usize = 11;

/// A curve fitted to one group.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Shape {
    /// The group.
    pub group: String,
    /// Points fitted.
    pub n: usize,
    /// Repeats, where runs share seeds.
    pub repeats: Option<usize>,
    /// Smallest and largest N.
    pub params: Option<[f64; 2]>,
    /// Smallest and largest D.
    pub tokens: Option<[f64; 2]>,
    /// Smallest and largest number of tokens a parameter.
    pub tokens_per_param: Option<[f64; 2]>,
    /// Smallest and largest number of epochs.
    pub epochs: Option<[f64; 2]>,
    /// E first, then in the law's order.
    pub parameters: Vec<Parameter>,
    /// What else the law says.
    pub figures: Vec<Derived>,
    /// How the intervals were found.
    pub interval_method: &'static str,
    /// Resamples behind standard errors.
    pub draws: usize,
    /// The sum that was made small.
    pub objective: f64,
    /// What it is in.
    pub residual: Residual,
    /// Standard deviation of the residuals, in that unit.
    pub residual_sd: Option<f64>,
    /// Whether the runs lie on the law but for a computer's rounding, so that there is no luck to put into an interval.
    pub exact: bool,
    /// 1 - sum of squared residuals in nats / sum of squared deviations of the loss from its mean.
    pub r_squared: Option<f64>,
    /// Whether the runs lie on the law, where cells were repeated.
    pub misfit: Option<Misfit>,
    /// Fitted minus seen loss in nats, in the points' order.
    pub residuals_nats: Vec<f64>,
    /// The objective over values of each parameter, everything else refitted.
    pub profiles: Vec<Profile>,
}

impl Shape {
    /// Parameters that the data do not bound on both sides.
    pub fn open(&self) -> Vec<&'static str> {
        self.parameters
            .iter()
            .filter(|p| !p.held && !p.identified)
            .map(|p| p.name)
            .collect()
    }
}

/// A figure that follows from the parameters.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Derived {
    /// `eta`.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// Its value.
    pub value: f64,
    /// Values that the data do not refuse; absent where nothing is left to judge by.
    pub interval: Option<Bounds>,
    /// Whether that is closed on both sides, and within a factor of ten.
    pub identified: bool,
}

/// The objective over values of one parameter.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Profile {
    /// `R_D*`.
    pub parameter: &'static str,
    /// Value and objective, ascending.
    pub tried: Vec<[f64; 2]>,
}

/// How well the law forecasts runs that it was not fitted to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HeldOut {
    /// Whose law.
    pub group: String,
    /// Runs.
    pub n: usize,
    /// Mean of forecast minus seen, in nats.
    pub mean_error_nats: f64,
    /// Root of the mean square error, in nats.
    pub rms_error_nats: f64,
    /// Mean of |forecast - seen| / seen.
    pub mean_relative_error: f64,
    /// Largest compute fitted, and largest forecast.
    pub flops: [f64; 2],
    /// Forecast minus seen of the run that is missed by most, in nats.
    pub worst_error_nats: f64,
    /// That run's N and D.
    pub worst: [Option<f64>; 2],
}

/// What was found for one group.
pub fn study(fit: &CurveFit) -> Shape {
    let n = fit.points.len();
    let range = |of: &dyn Fn(&Input) -> f64| {
        let values: Vec<f64> = fit.inputs.iter().map(of).collect();
        let all = values.iter().all(|value| value.is_finite());
        all.then(|| {
            [
                values.iter().copied().fold(f64::INFINITY, f64::min),
                values.iter().copied().fold(0.0, f64::max),
            ]
        })
    };
    let slots = fit.curve.slots;
    let bounds = on_all_cores(slots.len(), |k| fit.bounds(k));
    let parameters: Vec<Parameter> = (0..slots.len())
        .map(|k| parameter(fit, k, bounds[k]))
        .collect();
    let residuals_nats: Vec<f64> = fit
        .points
        .iter()
        .zip(&fit.inputs)
        .map(|(p, i)| fit.loss(i) - p.loss)
        .collect();
    Shape {
        group: fit.group().to_owned(),
        n,
        repeats: (fit.cluster_count() < n).then_some(fit.cluster_count()),
        params: range(&|i| i.params),
        tokens: range(&|i| i.tokens),
        tokens_per_param: range(&|i| i.tokens / i.params),
        epochs: range(&|i| i.tokens / i.unique_tokens),
        figures: on_all_cores(fit.curve.figures.len(), |k| {
            derived(fit, &fit.curve.figures[k], &bounds)
        }),
        interval_method: method(fit),
        draws: fit.draws.len(),
        objective: fit.end.objective,
        residual: fit.curve.residual,
        residual_sd: fit.residual_sd(),
        exact: fit.residual_sd().is_some_and(|sd| sd < EXACT),
        r_squared: r_squared(&fit.points, &residuals_nats),
        misfit: misfit(fit),
        profiles: profiles(fit, &parameters),
        parameters,
        residuals_nats,
    }
}

/// Fits a curve to the points of one group.
pub fn fitted(
    curve: &'static Curve,
    points: Vec<Point>,
    asked: &Asked,
    draws: usize,
) -> Result<CurveFit> {
    let hold: Vec<(usize, f64)> = asked
        .hold
        .iter()
        .map(|(name, value)| Ok((curve.place(name)?, *value)))
        .collect::<Result<_>>()?;
    CurveFit::new(curve, points, &hold, draws)
}

fn method(fit: &CurveFit) -> &'static str {
    match (
        fit.cluster_count() < fit.points.len(),
        fit.curve.delta.is_finite(),
    ) {
        (true, _) => {
            "profile of the objective, in units of the variance between repeats (t, repeats - 1)"
        }
        (false, true) => "profile of the objective under Huber's loss (t, n - p)",
        (false, false) => "profile likelihood (F, 1 and n - p)",
    }
}

fn parameter(fit: &CurveFit, index: usize, interval: Option<Bounds>) -> Parameter {
    let drawn: Vec<f64> = fit.draws.iter().map(|draw| draw[index]).collect();
    let free = fit.free.contains(&index);
    let percentiles = quantile(&drawn, 0.025)
        .zip(quantile(&drawn, 0.975))
        .map(|(low, high)| [low, high]);
    Parameter {
        name: fit.curve.slots[index].name,
        value: fit.at()[index],
        held: !free,
        interval,
        identified: identified(interval, fit.curve.slots[index].log),
        bootstrap_se: sd(&drawn).filter(|_| free),
        bootstrap_percentiles: percentiles.filter(|_| free),
    }
}

fn derived(fit: &CurveFit, figure: &Figure, bounds: &[Option<Bounds>]) -> Derived {
    let mapped = |bounds: Bounds, of: &dyn Fn(f64) -> f64| Bounds {
        low: bounds.low.map(of),
        high: bounds.high.map(of),
        level: bounds.level,
    };
    let interval = match figure.rises_with {
        Some(slot) => bounds[slot].map(|bounds| {
            let at = |value: f64| {
                let mut at = fit.at().clone();
                at[slot] = value;
                (figure.of)(&at)
            };
            mapped(bounds, &at)
        }),
        None => {
            let reading = |inner: &[f64]| (figure.of)(&fit.outward(inner)).ln();
            let logs = fit.bounds_of(&reading);
            logs.map(|logs| mapped(logs, &f64::exp))
        }
    };
    Derived {
        name: figure.name,
        about: figure.about,
        value: (figure.of)(&fit.at()),
        interval,
        identified: identified(interval, true),
    }
}

/// Whether an interval is closed and, for what may be of any size, tells at least the order of magnitude.
fn identified(interval: Option<Bounds>, log: bool) -> bool {
    let ends = interval.and_then(|bounds| Some((bounds.low?, bounds.high?)));
    ends.is_some_and(|(low, high)| !log || high < WIDEST * low)
}

fn r_squared(points: &[Point], residuals: &[f64]) -> Option<f64> {
    let losses: Vec<f64> = points.iter().map(|p| p.loss).collect();
    let middle = mean(&losses)?;
    let spread: f64 = losses.iter().map(|loss| (loss - middle).powi(2)).sum();
    (spread > 0.0).then(|| 1.0 - residuals.iter().map(|r| r * r).sum::<f64>() / spread)
}

/// The classical test of lack of fit: what cells' means miss the law by, against what runs of one cell differ by.
fn misfit(fit: &CurveFit) -> Option<Misfit> {
    let mut cells: BTreeMap<[u64; 3], Vec<f64>> = BTreeMap::new();
    for (point, miss) in fit.points.iter().zip(fit.misses()) {
        let bits = |value: Option<f64>| value.unwrap_or(0.0).to_bits();
        let place = [
            bits(point.params),
            bits(point.tokens),
            bits(point.unique_tokens),
        ];
        cells.entry(place).or_default().push(miss);
    }
    let freedom = [
        cells.len().checked_sub(fit.free.len())?,
        fit.points.len() - cells.len(),
    ];
    if freedom[0] == 0 || freedom[1] < 2 {
        return None;
    }
    let (mut lack, mut pure) = (0.0, 0.0);
    for residuals in cells.values() {
        let middle = mean(residuals)?;
        lack += residuals.len() as f64 * middle * middle;
        pure += residuals.iter().map(|r| (r - middle).powi(2)).sum::<f64>();
    }
    let f = (lack / freedom[0] as f64) / (pure / freedom[1] as f64);
    let law = FisherSnedecor::new(freedom[0] as f64, freedom[1] as f64).ok()?;
    f.is_finite().then(|| Misfit {
        f,
        freedom,
        p: law.sf(f),
    })
}

/// Profiles over a little more than each interval; an open end goes to a tenth and tenfold of the value.
fn profiles(fit: &CurveFit, parameters: &[Parameter]) -> Vec<Profile> {
    let of = |(k, p): (usize, &Parameter)| {
        let bounds = p.interval?;
        let range = fit.range(k);
        let natural = |x: f64| if fit.curve.slots[k].log { x.exp() } else { x };
        let low = bounds.low.unwrap_or(0.1 * p.value).max(natural(range.0));
        let high = bounds.high.unwrap_or(10.0 * p.value).min(natural(range.1));
        let between = |share: f64| {
            if fit.curve.slots[k].log {
                low * (high / low).powf(share)
            } else {
                low + (high - low) * share
            }
        };
        let mut values: Vec<f64> = (0..TRIED)
            .map(|i| between(i as f64 / (TRIED - 1) as f64))
            .collect();
        values.retain(|value| value.is_finite());
        values.dedup();
        let tried = fit
            .profile(k, &values)
            .into_iter()
            .map(|(value, objective)| [value, objective])
            .collect();
        Some(Profile {
            parameter: p.name,
            tried,
        })
    };
    parameters.iter().enumerate().filter_map(of).collect()
}

/// How well a fit forecasts points of its group; `None` where there are none.
pub fn held_out(fit: &CurveFit, points: &[Point]) -> Option<HeldOut> {
    let ready =
        |p: &&Point| fit.curve.needs.iter().all(|v| p.get(*v).is_some()) && p.group == fit.group();
    let points: Vec<&Point> = points.iter().filter(ready).collect();
    let errors: Vec<f64> = points
        .iter()
        .map(|p| fit.loss(&Input::of(p)) - p.loss)
        .collect();
    let n = errors.len() as f64;
    let (worst, _) = errors
        .iter()
        .enumerate()
        .max_by(|a, b| a.1.abs().total_cmp(&b.1.abs()))?;
    let largest =
        |points: &mut dyn Iterator<Item = &Point>| points.map(|p| p.flops).fold(0.0, f64::max);
    Some(HeldOut {
        group: fit.group().to_owned(),
        n: errors.len(),
        mean_error_nats: mean(&errors)?,
        rms_error_nats: (errors.iter().map(|e| e * e).sum::<f64>() / n).sqrt(),
        mean_relative_error: errors
            .iter()
            .zip(&points)
            .map(|(e, p)| e.abs() / p.loss)
            .sum::<f64>()
            / n,
        flops: [
            largest(&mut fit.points.iter()),
            largest(&mut points.iter().copied()),
        ],
        worst_error_nats: errors[worst],
        worst: [points[worst].params, points[worst].tokens],
    })
}
