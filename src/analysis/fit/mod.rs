//! Scaling laws over many runs: what the loss does with compute, parameters and tokens, how far that can be trusted, and what
//! follows from it.
//!
//! [`points`] and [`csv`] are what is fitted; [`law`] is the catalog, with one file a law; [`surface`] is the objective,
//! [`solve`] the searches, [`fitting`] one group's fit with its bootstrap; [`luck`] and [`series`] say what scatter there is,
//! [`interval`], [`identify`] and [`sensitivity`] how far to trust the fit; [`misfit`] whether the law holds at all;
//! [`allocation`] and [`returns`] what it means for the next budget.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;

use super::law::PowerLaw;
use crate::error::{Error, Result};
use crate::stat::{Interval, quantile, sd};

pub mod allocation;
pub mod chinchilla;
pub mod csv;
pub mod curve;
pub mod data_constrained;
pub mod filter;
pub mod fitting;
pub mod identify;
pub mod interval;
pub mod isoflop;
pub mod joint;
pub mod law;
pub mod lifetime;
pub mod luck;
pub mod misfit;
pub mod over_training;
pub mod points;
pub mod power;
pub mod rate;
pub mod returns;
pub mod sensitivity;
pub mod series;
pub mod solve;
pub mod surface;

pub use allocation::{Allocation, Counting};
pub use curve::{Asked, CurveFit, Prediction, Shape, Target};
pub use filter::Filter;
pub use fitting::Fitting;
pub use identify::{Ranking, Unranked, Verdict};
pub use interval::Bounds;
pub use isoflop::IsoFlop;
pub use joint::Joint;
pub use law::{Form, Law};
pub use lifetime::{Demand, Lifetime};
pub use luck::Silence;
pub use misfit::Misfit;
pub use points::{Counted, Point, Points};
pub use rate::RateLaw;
pub use returns::{Match, Returns};
pub use sensitivity::{Forecast, Refit};
pub use series::Series;

use surface::{IRREDUCIBLE, Theta};

/// More runs than this of one group are fitted by as many of them, evenly from all: the figures stay, and the time.
const MOST: usize = 3000;
/// What each E would claim is said for that many pairs of groups.
const CLAIMED_PAIRS: usize = 6;

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

/// How to fit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plan {
    /// Absent: known where every point has an oracle, else free.
    pub irreducible: Option<Irreducible>,
    /// Points with the highest losses left out of each group.
    pub drop_highest: usize,
    /// Bootstrap resamples.
    pub draws: usize,
}

/// Everything that was found.
#[derive(Debug, Clone, Serialize)]
pub struct Findings {
    /// `chinchilla`.
    pub law: &'static str,
    /// As one writes it.
    pub formula: &'static str,
    /// Paper and equation.
    pub source: &'static str,
    /// What counts as a parameter, a token, a FLOP; what was left out.
    pub notes: Vec<String>,
    /// Fits of an additive law, by group.
    pub groups: Vec<Study>,
    /// Profiles of the law `isoflop`, by group.
    pub profiles: Vec<IsoFlop>,
    /// What the law `joint` says of all groups together.
    pub joint: Option<Joint>,
    /// Fits of a law given by its formula, by group.
    pub shapes: Vec<Shape>,
    /// Laws of the best learning rate, by group.
    pub rates: Vec<RateLaw>,
    /// Whether exponents can be ranked across groups.
    pub rankings: Vec<Ranking>,
    /// What scale alone would need to match another group.
    pub matches: Vec<Match>,
    /// How well the law forecasts runs that it was not fitted to, by group.
    pub held_out: Vec<curve::HeldOut>,
    /// Runs that were asked about.
    pub predictions: Vec<Prediction>,
    /// The cheapest models with inference counted.
    pub lifetimes: Vec<Lifetime>,
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
    pub held: Vec<interval::Held>,
}

/// Fits a law to every group.
pub fn fit(law: &'static Law, points: &Points, plan: &Plan) -> Result<Findings> {
    fit_asked(law, points, plan, &Asked::default())
}

/// The same with parameters held and runs forecast.
pub fn fit_asked(
    law: &'static Law,
    points: &Points,
    plan: &Plan,
    asked: &Asked,
) -> Result<Findings> {
    let mut notes = points.notes.clone();
    let groups: Vec<Vec<Point>> = grouped(&points.points, &mut notes)
        .into_iter()
        .map(|group| thinned(group, &mut notes))
        .collect();
    if groups.is_empty() {
        return Err(Error::input("no point to fit").hint("a point is a finished run with a loss"));
    }
    let mut findings = Findings {
        law: law.name,
        formula: law.formula,
        source: law.source,
        notes,
        groups: Vec::new(),
        profiles: Vec::new(),
        joint: None,
        shapes: Vec::new(),
        rates: Vec::new(),
        rankings: Vec::new(),
        matches: Vec::new(),
        held_out: Vec::new(),
        predictions: Vec::new(),
        lifetimes: Vec::new(),
    };
    match &law.form {
        Form::IsoFlop => {
            findings.profiles = groups
                .iter()
                .map(|g| isoflop::profiles(g))
                .collect::<Result<_>>()?
        }
        Form::Joint => findings.joint = Some(jointly(groups, plan, &mut findings.notes)?),
        Form::Additive(additive) => {
            additive_findings(additive, groups, plan, asked, &mut findings)?
        }
        Form::Curve(curve) => {
            let groups = complete(groups, curve.needs, &mut findings.notes);
            shapes(curve, groups, plan, asked, &mut findings)?;
        }
        Form::Rate => {
            let needs = [
                points::Variable::Params,
                points::Variable::Tokens,
                points::Variable::Rate,
            ];
            let places: Vec<(f64, f64)> = asked.predict.iter().filter_map(Target::place).collect();
            for group in complete(groups, &needs, &mut findings.notes) {
                findings.rates.push(rate::fit(&group, &places)?);
            }
        }
    }
    Ok(findings)
}

/// The joint law, over the first group as its base.
fn jointly(groups: Vec<Vec<Point>>, plan: &Plan, notes: &mut Vec<String>) -> Result<Joint> {
    let irreducible = source(plan.irreducible, &groups, notes)?;
    let held = value(irreducible, &groups.concat());
    let kept: Vec<Vec<Point>> = groups
        .into_iter()
        .map(|group| split_highest(group, plan.drop_highest).0)
        .collect();
    joint::joint(
        &kept,
        joint::Asks {
            base: None,
            irreducible,
            held,
        },
    )
}

/// Groups without the points that lack what others of the group have, and a law needs.
fn complete(
    groups: Vec<Vec<Point>>,
    needs: &[points::Variable],
    notes: &mut Vec<String>,
) -> Vec<Vec<Point>> {
    let mut kept = groups;
    for needed in needs {
        for group in &mut kept {
            let lacking = group
                .iter()
                .filter(|point| point.get(*needed).is_none())
                .count();
            if (1..group.len()).contains(&lacking) {
                group.retain(|point| point.get(*needed).is_some());
                notes.push(format!(
                    "{lacking} rows lack `{}` and are left out",
                    needed.name()
                ));
            }
        }
    }
    kept
}

/// A curve for every group; those that cannot be fitted do not keep the others from it.
fn shapes(
    curve: &'static curve::Curve,
    groups: Vec<Vec<Point>>,
    plan: &Plan,
    asked: &Asked,
    findings: &mut Findings,
) -> Result<()> {
    let source = source(plan.irreducible, &groups, &mut findings.notes)?;
    let mut refused = Vec::new();
    for group in groups {
        let (kept, _) = split_highest(group, plan.drop_highest);
        let mut asked = asked.clone();
        asked
            .hold
            .extend(value(source, &kept).map(|e| ("E".to_owned(), e)));
        match curve::study::fitted(curve, kept, &asked, plan.draws) {
            Ok(fit) => {
                let shape = curve::study::study(&fit);
                let lies = !shape.misfit.is_some_and(|found| found.is_clear());
                let draws: Vec<Theta> = curve
                    .additive
                    .map_or(Vec::new(), |of| fit.draws.iter().map(|d| of(d)).collect());
                ask(findings, &fit, &draws, &asked, lies, shape.open())?;
                findings.shapes.push(shape);
            }
            Err(error) => refused.push(error),
        }
    }
    if findings.shapes.is_empty() && !refused.is_empty() {
        return Err(refused.swap_remove(0));
    }
    findings.notes.extend(
        refused
            .iter()
            .map(|error| format!("not fitted: {}", error.message)),
    );
    if plan.drop_highest > 0 {
        findings.notes.push(format!(
            "the {} highest losses of each group are left out",
            plan.drop_highest
        ));
    }
    Ok(())
}

/// Answers what was asked of a fit beside the law; `lies` says whether the runs lie on it, `open` what the data leave open.
fn ask(
    findings: &mut Findings,
    fit: &CurveFit,
    draws: &[Theta],
    asked: &Asked,
    lies: bool,
    open: Vec<&'static str>,
) -> Result<()> {
    findings
        .held_out
        .extend(curve::study::held_out(fit, &asked.held_out));
    for target in &asked.predict {
        findings
            .predictions
            .push(curve::predict::predict(fit, *target, lies)?);
    }
    if let Some(demand) = asked.demand {
        findings
            .lifetimes
            .push(lifetime::lifetime(fit, draws, demand, open)?);
    }
    Ok(())
}

/// The points of each group, in the order of their first. A row that stands twice to the digit counts once: a copy brings no luck
/// of its own.
fn grouped(points: &[Point], notes: &mut Vec<String>) -> Vec<Vec<Point>> {
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    let mut groups: Vec<Vec<Point>> = Vec::new();
    let mut seen = BTreeSet::new();
    let mut copies = 0;
    for point in points {
        let next = places.len();
        let place = *places.entry(&point.group).or_insert(next);
        if place == groups.len() {
            groups.push(Vec::new());
        }
        let settings = [point.unique_tokens, point.rate, point.batch]
            .map(|value| value.unwrap_or(0.0).to_bits());
        if seen.insert((
            place,
            point.repeat,
            point.run,
            point.cell(),
            settings,
            point.loss.to_bits(),
        )) {
            groups[place].push(point.clone());
        } else {
            copies += 1;
        }
    }
    if copies > 0 {
        notes.push(format!(
            "{copies} of {} rows are copies of another to the last digit and count once (runs of their own have a `repeat`)",
            points.len()
        ));
    }
    groups
}

/// As many points as are fitted in reasonable time, evenly from all in the order of their cells.
fn thinned(mut group: Vec<Point>, notes: &mut Vec<String>) -> Vec<Point> {
    let n = group.len();
    if n <= MOST {
        return group;
    }
    let key = |p: &Point| (p.params.unwrap_or(0.0), p.tokens.unwrap_or(p.flops));
    group.sort_by(|a, b| {
        let ((n, d), (m, e)) = (key(a), key(b));
        n.total_cmp(&m).then(d.total_cmp(&e))
    });
    notes.push(format!(
        "{}: {MOST} of its {n} rows are fitted, evenly from all sizes and budgets",
        group[0].group
    ));
    // A stride and a half keeps step with no regular table.
    let golden = 0.618_033_988_75;
    let at =
        |k: usize| ((k as f64 + (k as f64 * golden).fract()) * n as f64 / MOST as f64) as usize;
    (0..MOST).map(|k| group[at(k).min(n - 1)].clone()).collect()
}

fn additive_findings(
    law: &'static law::Additive,
    groups: Vec<Vec<Point>>,
    plan: &Plan,
    asked: &Asked,
    findings: &mut Findings,
) -> Result<()> {
    let source = source(plan.irreducible, &groups, &mut findings.notes)?;
    let mut refused = Vec::new();
    for group in groups {
        let (kept, dropped) = split_highest(group, plan.drop_highest);
        let irreducible = value(source, &kept);
        match Fitting::new(law, kept, irreducible, plan.draws) {
            Ok(fitting) => {
                let study = study(fitting, &dropped, source);
                if *asked != Asked::default() {
                    let open = study
                        .parameters
                        .iter()
                        .filter(|p| !p.held && !p.identified)
                        .map(|p| p.name)
                        .collect();
                    let fitting = &study.fitting;
                    ask(
                        findings,
                        &curve::classic::of(fitting)?,
                        &fitting.draws,
                        asked,
                        study.describes(),
                        open,
                    )?;
                }
                findings.groups.push(study);
            }
            Err(error) => refused.push(error),
        }
    }
    // Groups that cannot be fitted do not keep the others from it.
    if findings.groups.is_empty() && !refused.is_empty() {
        return Err(refused.swap_remove(0));
    }
    findings.notes.extend(
        refused
            .iter()
            .map(|error| format!("not fitted: {}", error.message)),
    );
    if plan.drop_highest > 0 {
        findings.notes.push(format!(
            "the {} highest losses of each group are left out",
            plan.drop_highest
        ));
    }
    compare(findings, source);
    Ok(())
}

/// Every group against every other.
fn compare(findings: &mut Findings, source: Irreducible) {
    let fittings: Vec<&Fitting> = findings
        .groups
        .iter()
        .map(|study| study.fitting.as_ref())
        .collect();
    let pairs: Vec<[&Fitting; 2]> = (0..fittings.len())
        .flat_map(|k| (k + 1..fittings.len()).map(move |other| (k, other)))
        .map(|(k, other)| [fittings[k], fittings[other]])
        .collect();
    let claims = pairs.len() <= CLAIMED_PAIRS;
    let known = source == Irreducible::Oracle;
    let compared = solve::on_all_cores(pairs.len(), |k| {
        let terms = identify::Terms {
            held_at: value(source, &pairs[k][0].points),
            known,
            claims,
        };
        (
            identify::rank(pairs[k], terms),
            returns::matching(pairs[k][0], pairs[k][1]),
        )
    });
    let (mut rankings, matches): (Vec<Ranking>, Vec<Match>) = compared.into_iter().unzip();
    identify::settle(&mut rankings);
    if !claims {
        findings.notes.push(format!(
            "what each E would claim is not said of {} pairs of groups",
            rankings.len()
        ));
    }
    (findings.rankings, findings.matches) = (rankings, matches);
}

fn source(
    asked: Option<Irreducible>,
    groups: &[Vec<Point>],
    notes: &mut Vec<String>,
) -> Result<Irreducible> {
    let known = groups.iter().flatten().all(|point| point.oracle.is_some());
    match asked {
        None if known && groups.iter().any(|group| one_size(group)) => {
            notes.push(
                "E is fitted: runs of one model size come no nearer to the oracle's loss than that size can \
                 (`--irreducible oracle` holds E there all the same)"
                    .to_owned(),
            );
            Ok(Irreducible::Free)
        }
        None if known => Ok(Irreducible::Oracle),
        None => Ok(Irreducible::Free),
        Some(Irreducible::Oracle) if !known => {
            Err(Error::input("--irreducible oracle: not every run has an oracle's loss")
                .hint("only generated data have one: --irreducible free fits E, --irreducible VALUE assumes it"))
        }
        Some(asked) => Ok(asked),
    }
}

/// Whether all runs have the same number of parameters, as far as that is known.
fn one_size(points: &[Point]) -> bool {
    points
        .windows(2)
        .all(|pair| pair[0].params.is_some() && pair[0].params == pair[1].params)
}

/// E where it is not fitted: the oracle's mean over the points, or the user's.
fn value(source: Irreducible, points: &[Point]) -> Option<f64> {
    match source {
        Irreducible::Free => None,
        Irreducible::Fixed(value) => Some(value),
        Irreducible::Oracle => {
            crate::stat::mean(&points.iter().filter_map(|p| p.oracle).collect::<Vec<f64>>())
        }
    }
}

/// The points without those of the `n` highest losses, in their order, and those.
fn split_highest(points: Vec<Point>, n: usize) -> (Vec<Point>, Vec<Point>) {
    let mut order: Vec<usize> = (0..points.len()).collect();
    order.sort_by(|&a, &b| points[b].loss.total_cmp(&points[a].loss));
    let highest: BTreeSet<usize> = order.into_iter().take(n).collect();
    let (dropped, kept): (Vec<_>, Vec<_>) = points
        .into_iter()
        .enumerate()
        .partition(|(index, _)| highest.contains(index));
    let bare = |points: Vec<(usize, Point)>| points.into_iter().map(|(_, point)| point).collect();
    (bare(kept), bare(dropped))
}

fn study(fitting: Fitting, dropped: &[Point], source: Irreducible) -> Study {
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
        misfit: misfit::misfit(fitting),
        series: fitting.series,
        counting: fitting.counting,
        oracle_left_out: oracle_left_out(fitting, bounds[0]),
        residuals_nats: residuals.collect(),
        profiles: profiles(fitting, &named),
        refits: sensitivity::refits(fitting, dropped, &named),
        forecast: sensitivity::forecast(fitting),
        allocation: allocation::allocation(fitting),
        returns: returns::returns(fitting),
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
fn names(law: &law::Additive) -> Vec<(&'static str, usize)> {
    let terms = law.terms.iter().enumerate();
    let of_terms =
        terms.flat_map(|(k, term)| [(term.coefficient, 2 * k), (term.exponent, 2 * k + 1)]);
    [("E", IRREDUCIBLE)].into_iter().chain(of_terms).collect()
}

/// A parameter as one writes it: E and coefficients are held as logarithms.
fn natural(theta: &Theta, index: usize) -> f64 {
    match index {
        IRREDUCIBLE if theta[index] <= surface::NOTHING => 0.0,
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
