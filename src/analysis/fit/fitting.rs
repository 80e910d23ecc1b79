//! One group's points with the law fitted to them and the bootstrap's refits: what every finding about the group asks.

use super::additive::Additive;
use super::counting::Counting;
use super::interval::{Bounds, Inquiry};
use super::luck::Silence;
use super::points::{Point, Variable};
use super::series::Series;
use super::solve::{self, EXPONENTS, Fitted};
use super::surface::{IRREDUCIBLE, NOTHING, Surface, Theta};
use crate::error::{Error, Result};
use crate::stat::{Interval, mean, sd};
use crate::unit::Count;

/// Fewer clusters than this have too few multisets to resample: three repeats have ten.
pub const FEWEST_CLUSTERS: usize = 4;
/// No step of a walk along a figure's profile is longer at first: figures are logarithms, or exponents.
const LEAP: f64 = 0.3;

/// A law fitted to the points of one group.
#[derive(Debug, Clone)]
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
    /// Refits of resamples: ln A, alpha, ln B, beta, ln E; none below [`FEWEST_CLUSTERS`].
    pub draws: Vec<Theta>,
    /// Whether neighbours miss the law alike.
    pub series: Series,
    /// What a parameter and a token cost together, where points have both.
    pub counting: Option<Counting>,
}

impl Fitting {
    /// Fits a law from all its starts, with E held where it is given, and refits `draws` resamples.
    pub fn new(
        law: &'static Additive,
        points: Vec<Point>,
        irreducible: Option<f64>,
        draws: usize,
    ) -> Result<Self> {
        let group = points.first().map_or("", |point| point.group.as_str());
        let surface = surface(law, &points, group)?;
        let held: Vec<usize> = irreducible.map(|_| IRREDUCIBLE).into_iter().collect();
        enough(law, &surface, &held, group)?;
        let mut at = [0.0; 5];
        if let Some(value) = irreducible {
            below_all(value, &points, group)?;
            at[IRREDUCIBLE] = value.ln().max(NOTHING);
        }
        let end = solve::from_all(&surface, &(law.starts)(&points), &held, &at)
            .ok_or_else(|| Error::input(format!("{group}: no search ended at a finite fit")))?;
        falls(law, &surface, &end, group)?;
        let draws = if surface.clusters < FEWEST_CLUSTERS {
            0
        } else {
            draws
        };
        let refits = solve::bootstrap(&surface, &end, &held, draws);
        let draws = refits.iter().map(|theta| surface.outward(theta)).collect();
        let series = Series::of(&points, &surface.residuals(&end.theta));
        let counting = Counting::of(&points);
        Ok(Self {
            law,
            points,
            surface,
            end,
            held,
            draws,
            series,
            counting,
        })
    }

    /// ln A, alpha, ln B, beta, ln E.
    pub fn theta(&self) -> Theta {
        self.surface.outward(&self.end.theta)
    }

    /// How intervals are found, in words.
    pub fn method(&self) -> &'static str {
        match (
            self.surface.repeated(),
            self.surface.balanced(),
            self.surface.delta.is_infinite(),
        ) {
            (true, true, _) => "profile, scaled by the scatter between repeats (t, repeats - 1)",
            (true, false, _) => {
                "profile, scaled by the scatter between and within clusters of unequal cells (t, Satterthwaite)"
            }
            (false, _, true) => "profile likelihood (F, 1 and n - p)",
            (false, _, false) => "profile of Huber's loss, scaled by the runs' scatter (t, n - p)",
        }
    }

    /// To ask about values of parameters and figures; an error where there is nothing to judge by.
    pub fn inquiry(&self) -> std::result::Result<Inquiry<'_>, Silence> {
        Inquiry::new(&self.surface, self.end, &self.held, &self.series)
    }

    /// The interval of a parameter in the law's own coordinates; `None` where it was held or nothing is left to judge by.
    pub fn bounds(&self, index: usize) -> Option<Bounds> {
        if self.held.contains(&index) {
            return None;
        }
        let inquiry = self.inquiry().ok()?;
        let coefficient = index != IRREDUCIBLE && index.is_multiple_of(2);
        if coefficient {
            return Some(inquiry.bounds_of(&|theta| theta[index], 2.0).map(f64::exp));
        }
        Some(inquiry.bounds(index))
    }

    /// The interval of a figure of ln A, alpha, ln B, beta, ln E that follows from the fit, by its own profile: an open end is
    /// one that the data do not bound. Give logarithms of what is positive.
    pub fn bounds_of(&self, figure: impl Fn(&Theta) -> f64) -> Option<Bounds> {
        Some(self.inquiry().ok()?.bounds_of(&figure, LEAP))
    }

    /// The same where both ends are closed: else the figure is not identified.
    pub fn derived(&self, figure: impl Fn(&Theta) -> f64) -> Option<Interval> {
        self.bounds_of(figure)?.interval()
    }

    /// The residuals' standard deviation in ln L, with the parameters' degrees of freedom taken off.
    pub fn residual_sd(&self) -> Option<f64> {
        let residuals = self.surface.residuals(&self.end.theta);
        let left = residuals
            .len()
            .checked_sub(self.surface.free(&self.held).len())
            .filter(|left| *left > 0)?;
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
        self.surface.cells() > self.surface.free(&self.held).len()
    }

    /// The smallest and the largest compute among the points.
    pub fn flops(&self) -> [f64; 2] {
        let flops = self.points.iter().map(|point| point.flops);
        flops.fold([f64::INFINITY, 0.0], |[low, high], flops| {
            [low.min(flops), high.max(flops)]
        })
    }

    /// The largest compute among the points.
    pub fn largest_flops(&self) -> f64 {
        self.flops()[1]
    }

    /// The standard deviation in nats between runs of one cell, which differ in their seed alone; `None` where no cell has two.
    pub fn seed_sd(&self) -> Option<f64> {
        let mut cells: std::collections::BTreeMap<[u64; 3], Vec<f64>> =
            std::collections::BTreeMap::new();
        for point in &self.points {
            cells.entry(point.cell()).or_default().push(point.loss);
        }
        let variances: Vec<f64> = cells
            .values()
            .filter_map(|losses| Some(sd(losses)?.powi(2)))
            .collect();
        Some(mean(&variances)?.sqrt()).filter(|sd| *sd > 0.0)
    }
}

/// Refuses a law of a loss that does not fall: an exponent that ends where a term is as good as constant.
fn falls(law: &Additive, surface: &Surface, end: &Fitted, group: &str) -> Result<()> {
    let (lowest, highest) = surface.range();
    if highest / lowest - 1.0 < 1e-9 {
        return Err(Error::input(format!(
            "{group}: all losses are the same, {lowest}: there is nothing to fit"
        ))
        .hint("runs at budgets far enough apart for the loss to differ"));
    }
    let flat = |k: &usize| end.theta[2 * k + 1] <= 1.01 * EXPONENTS[0];
    if let Some(term) = (0..surface.terms).find(flat).map(|k| &law.terms[k]) {
        let name = term.variable.name();
        return Err(Error::input(format!(
            "{group}: the loss does not fall with {name}, so this law does not hold for it"
        ))
        .hint("check that the loss column is a loss (lower is better) and that larger budgets are the longer runs"));
    }
    Ok(())
}

fn surface(law: &Additive, points: &[Point], group: &str) -> Result<Surface> {
    Surface::new(law, points).ok_or_else(|| {
        let missing = law
            .terms
            .iter()
            .find(|term| points.iter().any(|p| p.get(term.variable).is_none()));
        let name = missing.map_or("a variable", |term| term.variable.name());
        Error::input(format!(
            "{group}: this law needs `{name}`, which is not there"
        ))
        .hint(format!(
            "--map {name}=COLUMN, or --law power, which needs FLOPs only"
        ))
    })
}

fn enough(law: &Additive, surface: &Surface, held: &[usize], group: &str) -> Result<()> {
    let (n, needed) = (surface.rows.len(), surface.free(held).len());
    if n < needed {
        return Err(
            Error::input(format!("{group}: {n} points for {needed} free parameters"))
                .hint("more budgets, or --irreducible VALUE to fix E"),
        );
    }
    let (place, found) = surface.fewest();
    if surface.terms > 1 && found < 2 {
        let value = (surface.centre[place]).exp();
        let (message, hint) = alike(law.terms[place].variable, value);
        return Err(Error::input(format!("{group}: {message}")).hint(hint));
    }
    if surface.terms == 1 && found < needed {
        let name = law.terms[place].variable.name();
        let message = format!(
            "{group}: runs at {found} distinct values of {name}, where those within 1% are one, cannot tell {needed} parameters"
        );
        return Err(Error::input(message)
            .hint("runs at more budgets or sizes, or --group to name the other groups"));
    }
    Ok(())
}

/// All runs have this much of one of the law's variables, so that nothing is known of what more of it buys; and what to do.
fn alike(variable: Variable, value: f64) -> (String, &'static str) {
    let value = Count(value);
    match variable {
        Variable::Tokens => (
            format!("all runs see {value} tokens, so that what more tokens buy cannot be told"),
            "add runs of other lengths; --law power, over FLOPs alone, tells what growing in size at this length buys",
        ),
        Variable::Params => (
            format!(
                "all runs have {value} parameters, so that what a larger model buys cannot be told"
            ),
            "add runs of other sizes; --law power, over FLOPs alone, tells what training this size longer buys",
        ),
        other => (
            format!(
                "all runs have one {} ({value}), so that what more of it buys cannot be told",
                other.name()
            ),
            "add runs that differ in it",
        ),
    }
}

fn below_all(irreducible: f64, points: &[Point], group: &str) -> Result<()> {
    let lowest = points.iter().map(|p| p.loss).fold(f64::INFINITY, f64::min);
    if irreducible < lowest {
        return Ok(());
    }
    Err(Error::input(format!(
        "{group}: E = {irreducible} is not below its lowest loss, {lowest}"
    ))
    .hint("the irreducible loss lies under every loss seen: --irreducible free lets the data say"))
}
