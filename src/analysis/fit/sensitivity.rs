//! What a fit owes to a few of its points: refits without them, and a forecast of the largest budgets from the rest.

use std::collections::BTreeSet;

use serde::Serialize;

use super::fitting::Fitting;
use super::interval::Bounds;
use super::points::Point;
use super::solve;
use super::surface::{IRREDUCIBLE, Surface};

/// Numbers of highest losses left out in turn.
const HIGHEST: [usize; 3] = [1, 5, 10];
/// More parts than this are not left out one by one.
const PARTS: usize = 12;
/// The share of distinct budgets, from the largest, that a forecast is tried on.
const HELD_OUT: f64 = 0.2;

/// The fit to other points.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Refit {
    /// `without the 5 highest losses`.
    pub what: String,
    /// Points fitted.
    pub n: usize,
    /// Of the refit.
    pub objective: f64,
    /// Parameters in the law's order.
    pub values: Vec<f64>,
    /// Those that leave the interval of the fit.
    pub moved: Vec<&'static str>,
}

/// Refits to other points; `dropped` are those left out of the fit itself, `bounds` its parameters with their intervals.
pub fn refits(
    fitting: &Fitting,
    dropped: &[Point],
    bounds: &[(&'static str, usize, Option<Bounds>)],
) -> Vec<Refit> {
    let mut sorted = fitting.points.clone();
    sorted.sort_by(|a, b| b.loss.total_cmp(&a.loss));
    let n = sorted.len();
    let mut sets: Vec<(String, Vec<Point>)> = Vec::new();
    if !dropped.is_empty() {
        let all = [dropped, fitting.points.as_slice()].concat();
        sets.push((format!("with all {} points", all.len()), all));
    }
    for k in HIGHEST.into_iter().filter(|k| 5 * k <= n) {
        let further = if dropped.is_empty() { "" } else { " more" };
        let losses = if k == 1 {
            "highest loss"
        } else {
            "highest losses"
        };
        sets.push((
            format!("without the {k}{further} {losses}"),
            sorted[k..].to_vec(),
        ));
    }
    sets.extend(parts(fitting));
    sets.into_iter()
        .filter_map(|(what, points)| refit(fitting, what, &points, bounds))
        .collect()
}

/// Every repeat, and every model size or budget, left out in turn.
fn parts(fitting: &Fitting) -> Vec<(String, Vec<Point>)> {
    let mut sets = Vec::new();
    let mut leave_out = |name: &dyn Fn(&Point) -> Option<String>| {
        let names: BTreeSet<String> = fitting.points.iter().filter_map(name).collect();
        if (2..=PARTS).contains(&names.len()) {
            for part in names {
                let rest: Vec<Point> = fitting
                    .points
                    .iter()
                    .filter(|p| name(p).as_ref() != Some(&part))
                    .cloned()
                    .collect();
                sets.push((format!("without {part}"), rest));
            }
        }
    };
    if fitting.surface.repeated() {
        leave_out(&|point| Some(format!("repeat {}", point.repeat?)));
    }
    leave_out(&|point| Some(format!("{:.3e} parameters", point.params?)));
    if fitting.law.terms.len() == 1 {
        leave_out(&|point| Some(format!("{:.3e} FLOPs", point.flops)));
    }
    sets
}

fn refit(
    fitting: &Fitting,
    what: String,
    points: &[Point],
    bounds: &[(&'static str, usize, Option<Bounds>)],
) -> Option<Refit> {
    let surface = Surface::new(fitting.law, points)?;
    let free = surface.free(&fitting.held).len();
    let too_few = surface.terms == 1 && surface.distinct() < free;
    if points.len() <= free || too_few || surface.distinct() < 2 {
        return None;
    }
    let end = solve::from(&surface, &surface.inward(&fitting.theta()), &fitting.held);
    let theta = surface.outward(&end.theta);
    let natural = |index: usize| {
        if index.is_multiple_of(2) || index == IRREDUCIBLE {
            theta[index].exp()
        } else {
            theta[index]
        }
    };
    let outside = |bounds: &Bounds, value: f64| {
        bounds.low.is_some_and(|low| value < low) || bounds.high.is_some_and(|high| value > high)
    };
    let moved = bounds
        .iter()
        .filter(|(_, index, bounds)| bounds.is_some_and(|b| outside(&b, natural(*index))));
    Some(Refit {
        what,
        n: points.len(),
        objective: end.objective,
        moved: moved.map(|(name, ..)| *name).collect(),
        values: bounds.iter().map(|(_, index, _)| natural(*index)).collect(),
    })
}

/// How well a fit to the smaller budgets forecasts the largest.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Forecast {
    /// Points fitted.
    pub fitted: usize,
    /// Points forecast.
    pub held_out: usize,
    /// Largest compute fitted.
    pub fitted_to_flops: f64,
    /// Largest compute forecast.
    pub held_out_to_flops: f64,
    /// Mean of forecast minus seen, in nats: above zero the law promised too little.
    pub mean_error_nats: f64,
    /// Root of the mean square error, in nats.
    pub rms_error_nats: f64,
    /// The same of the points fitted.
    pub rms_residual_nats: f64,
}

/// Fits all but the largest fifth of the budgets and forecasts those; `None` where too few would be left.
pub fn forecast(fitting: &Fitting) -> Option<Forecast> {
    let mut budgets: Vec<f64> = fitting.points.iter().map(|p| p.flops).collect();
    budgets.sort_by(f64::total_cmp);
    budgets.dedup_by(|a, b| (*a / *b).ln().abs() < 0.01);
    let first = budgets.len()
        - ((HELD_OUT * budgets.len() as f64) as usize)
            .max(1)
            .min(budgets.len());
    let threshold = 0.99 * budgets.get(first)?;
    let (kept, held): (Vec<Point>, Vec<Point>) = fitting
        .points
        .iter()
        .cloned()
        .partition(|p| p.flops < threshold);
    let irreducible = (!fitting.held.is_empty()).then(|| fitting.theta()[IRREDUCIBLE].exp());
    let small = Fitting::new(fitting.law, kept, irreducible, 0).ok()?;
    if small.points.len() <= small.surface.free(&small.held).len() {
        return None;
    }
    let errors = |points: &[Point]| -> Option<Vec<f64>> {
        points
            .iter()
            .map(|point| Some(small.loss_at(point)? - point.loss))
            .collect()
    };
    let rms =
        |errors: &[f64]| (errors.iter().map(|e| e * e).sum::<f64>() / errors.len() as f64).sqrt();
    let (forecast, residuals) = (errors(&held)?, errors(&small.points)?);
    Some(Forecast {
        fitted: small.points.len(),
        held_out: held.len(),
        fitted_to_flops: small.largest_flops(),
        held_out_to_flops: fitting.largest_flops(),
        mean_error_nats: forecast.iter().sum::<f64>() / forecast.len() as f64,
        rms_error_nats: rms(&forecast),
        rms_residual_nats: rms(&residuals),
    })
}
