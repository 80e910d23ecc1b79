//! One group's points with the law fitted to them and the bootstrap's refits: what every finding about the group asks.

use super::interval::{Bounds, Inquiry, freedom};
use super::law::Additive;
use super::points::Point;
use super::solve::{self, Fitted};
use super::surface::{IRREDUCIBLE, NOTHING, Surface, Theta};
use crate::error::{Error, Result};
use crate::stat::interval::LEVEL;
use crate::stat::{Interval, critical, mean, sd};

/// A law fitted to the points of one group.
pub struct Fitting {
    /// The law.
    pub law: &'static Additive,
    /// The points fitted.
    pub points: Vec<Point>,
    /// The same, as the objective sees them.
    pub surface: Surface,
    /// The lowest end found.
    pub end: Fitted,
    /// Parameters that were held: E, or none.
    pub held: Vec<usize>,
    /// Refits of resamples: ln A, alpha, ln B, beta, ln E.
    pub draws: Vec<Theta>,
}

impl Fitting {
    /// Fits a law from all its starts, with E held where it is given, and refits `draws` resamples.
    pub fn new(law: &'static Additive, points: Vec<Point>, irreducible: Option<f64>, draws: usize) -> Result<Self> {
        let group = points.first().map_or("", |point| point.group.as_str());
        let surface = surface(law, &points, group)?;
        let held: Vec<usize> = irreducible.map(|_| IRREDUCIBLE).into_iter().collect();
        enough(&surface, &held, group)?;
        let mut at = [0.0; 5];
        if let Some(value) = irreducible {
            below_all(value, &points, group)?;
            at[IRREDUCIBLE] = value.ln().max(NOTHING);
        }
        let end = solve::from_all(&surface, &(law.starts)(&points), &held, &at)
            .ok_or_else(|| Error::input(format!("{group}: no search ended at a finite fit")))?;
        let refits = solve::bootstrap(&surface, &end, &held, draws);
        let draws = refits.iter().map(|theta| surface.outward(theta)).collect();
        Ok(Self { law, points, surface, end, held, draws })
    }

    /// ln A, alpha, ln B, beta, ln E.
    pub fn theta(&self) -> Theta {
        self.surface.outward(&self.end.theta)
    }

    /// Which points share a repeat's luck, in words.
    pub fn method(&self) -> &'static str {
        match (self.surface.repeated(), self.surface.delta.is_infinite()) {
            (true, _) => "values not refused by the repeats' scores (t, repeats - 1)",
            (false, true) => "profile likelihood (F, 1 and n - p)",
            (false, false) => "values not refused by the runs' scores (t, n - p)",
        }
    }

    /// The interval of a parameter in the law's own coordinates; `None` where it was held or nothing is left to judge by.
    pub fn bounds(&self, index: usize) -> Option<Bounds> {
        if self.held.contains(&index) {
            return None;
        }
        let coefficient = index != IRREDUCIBLE && index.is_multiple_of(2);
        if !coefficient {
            return Some(Inquiry::new(&self.surface, self.end, &self.held)?.bounds(index));
        }
        let surface = self.surface.uncentred();
        let end = Fitted { theta: self.theta(), ..self.end };
        let logs = Inquiry::new(&surface, end, &self.held)?.bounds(index);
        Some(Bounds { low: logs.low.map(f64::exp), high: logs.high.map(f64::exp), level: logs.level })
    }

    /// The interval of a figure that follows from the fit, by the bootstrap's standard deviation: value -+ t sd, with t and sd
    /// for as many repeats (or runs) as there are. Right for a figure near linear in its parameters: give logarithms.
    pub fn derived(&self, figure: impl Fn(&Theta) -> f64) -> Option<Interval> {
        let drawn: Vec<f64> = self.draws.iter().map(&figure).collect();
        self.around(figure(&self.theta()), &drawn)
    }

    /// The same for a figure whose draws are given.
    pub fn around(&self, value: f64, drawn: &[f64]) -> Option<Interval> {
        let half = self.reach()? * sd(drawn).filter(|sd| sd.is_finite())?;
        value.is_finite().then_some(Interval { low: value - half, high: value + half, level: LEVEL })
    }

    /// Half an interval in standard deviations of the draws.
    pub fn reach(&self) -> Option<f64> {
        let clusters = self.surface.clusters as f64;
        // The bootstrap's variance lacks the factor n / (n - 1) that a sample's has.
        let widen = (clusters / (clusters - 1.0)).sqrt();
        Some(critical(freedom(&self.surface, &self.held)? as f64, LEVEL)? * widen)
    }

    /// The residuals' standard deviation in ln L, with the parameters' degrees of freedom taken off.
    pub fn residual_sd(&self) -> Option<f64> {
        let residuals = self.surface.residuals(&self.end.theta);
        let left = residuals.len().checked_sub(self.surface.free(&self.held).len()).filter(|left| *left > 0)?;
        Some((residuals.iter().map(|r| r * r).sum::<f64>() / left as f64).sqrt())
    }

    /// The law's loss at a point of it.
    pub fn loss_at(&self, point: &Point) -> Option<f64> {
        let theta = self.theta();
        let mut loss = theta[IRREDUCIBLE].exp();
        for (k, term) in self.law.terms.iter().enumerate() {
            loss += (theta[2 * k] - theta[2 * k + 1] * point.get(term.variable)?.ln()).exp();
        }
        Some(loss)
    }

    /// Whether there are more budgets than parameters, so that the law could be seen to fail.
    pub fn tests_form(&self) -> bool {
        self.surface.terms > 1 || self.surface.distinct() > self.surface.free(&self.held).len()
    }

    /// The largest compute among the points.
    pub fn largest_flops(&self) -> f64 {
        self.points.iter().map(|point| point.flops).fold(0.0, f64::max)
    }

    /// The standard deviation in nats between runs that differ in their seed alone, where there are such; else the residuals'.
    pub fn seed_sd(&self) -> Option<(f64, &'static str)> {
        let mut variances = Vec::new();
        let mut seen: Vec<(f64, Option<f64>)> = Vec::new();
        for point in &self.points {
            let cell = (point.flops, point.params);
            if self.surface.repeated() && !seen.contains(&cell) {
                seen.push(cell);
                let alike = self.points.iter().filter(|p| (p.flops, p.params) == cell);
                variances.extend(sd(&alike.map(|p| p.loss).collect::<Vec<f64>>()).map(|sd| sd * sd));
            }
        }
        if let Some(variance) = mean(&variances) {
            return Some((variance.sqrt(), "between runs of one cell"));
        }
        let lowest = self.points.iter().map(|p| p.loss).fold(f64::INFINITY, f64::min);
        self.residual_sd().map(|sd| (sd * lowest, "of the residuals, as no run is repeated"))
    }
}

fn surface(law: &Additive, points: &[Point], group: &str) -> Result<Surface> {
    Surface::new(law, points).ok_or_else(|| {
        let missing = law.terms.iter().find(|term| points.iter().any(|p| p.get(term.variable).is_none()));
        let name = missing.map_or("a variable", |term| term.variable.name());
        Error::input(format!("{group}: this law needs `{name}`, which is not there"))
            .hint(format!("--map {name}=COLUMN, or --law power, which needs FLOPs only"))
    })
}

fn enough(surface: &Surface, held: &[usize], group: &str) -> Result<()> {
    let (n, needed) = (surface.rows.len(), surface.free(held).len());
    if n < needed {
        return Err(Error::input(format!("{group}: {n} points for {needed} free parameters"))
            .hint("more budgets, or --irreducible VALUE to fix E"));
    }
    let (found, needed) = (surface.distinct(), if surface.terms == 1 { needed } else { 2 });
    if found < needed {
        let message = format!("{group}: runs at {found} distinct values cannot tell {needed} parameters");
        return Err(Error::input(message).hint("runs at more budgets or sizes, or --group to name the other groups"));
    }
    Ok(())
}

fn below_all(irreducible: f64, points: &[Point], group: &str) -> Result<()> {
    let lowest = points.iter().map(|p| p.loss).fold(f64::INFINITY, f64::min);
    if irreducible < lowest {
        return Ok(());
    }
    Err(Error::input(format!("{group}: E = {irreducible} is not below its lowest loss, {lowest}"))
        .hint("the irreducible loss lies under every loss seen: --irreducible free lets the data say"))
}
