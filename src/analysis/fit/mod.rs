//! Scaling laws over many runs: what the loss does with compute, parameters and tokens, how far that can be trusted, and what
//! follows from it.
//!
//! [`points`] and [`csv`] are what is fitted; [`law`] is the catalog, with one file a law; [`surface`] is the objective,
//! [`solve`] the searches, [`fitting`] one group's fit with its bootstrap; [`luck`] and [`series`] say what scatter there is,
//! [`interval`], [`identify`] and [`sensitivity`] how far to trust the fit; [`misfit`] whether the law holds at all;
//! [`allocation`] and [`returns`] what it means for the next budget.
//!
//! ```
//! # fn main() -> effbench::error::Result<()> {
//! use effbench::analysis::fit::{Plan, csv, fit, law};
//!
//! let table = "params,tokens,loss\n\
//!     1e6,2e7,4.51\n1e6,8e7,4.22\n4e6,2e7,4.21\n4e6,8e7,3.83\n4e6,3e8,3.61\n1.6e7,8e7,3.57\n1.6e7,3e8,3.29\n6.4e7,3e8,3.11\n";
//! let points = csv::points(table, "runs.csv", &[], &csv::Units::default())?;
//! let plan = Plan { irreducible: None, drop_highest: 0, draws: 50 };
//! let found = fit(law::find("chinchilla")?, &points, &plan)?;
//! println!("{}", found.formula);
//! # assert_eq!(found.groups.len(), 1);
//! # Ok(())
//! # }
//! ```

use serde::Serialize;

use crate::error::{Error, Result};

pub mod points;
mod groups;
pub mod additive;
pub mod surface;
pub mod series;
pub mod solve;
pub mod luck;
pub mod interval;
pub mod counting;
pub mod fitting;
pub mod allocation;
pub mod misfit;
pub mod returns;
pub mod sensitivity;
pub mod study;
pub mod identify;
pub mod curve;
pub mod lifetime;
pub mod form;
pub mod chinchilla;
pub mod csv;
pub mod data_constrained;
pub mod filter;
pub mod isoflop;
pub mod joint;
pub mod over_training;
pub mod power;
pub mod rate;
pub mod law;

pub use allocation::Allocation;
pub use counting::Counting;
pub use curve::{Asked, CurveFit, Demand, PerFlop, Prediction, Shape, Target};
pub use filter::Filter;
pub use fitting::Fitting;
pub use form::{Form, Law};
pub use identify::{Ranking, Unranked, Verdict};
pub use interval::Bounds;
pub use isoflop::IsoFlop;
pub use joint::Joint;
pub use lifetime::Lifetime;
pub use luck::Silence;
pub use misfit::Misfit;
pub use points::{Counted, Point, Points};
pub use rate::RateLaw;
pub use returns::{Match, Returns};
pub use sensitivity::{Forecast, Refit};
pub use series::Series;
pub use study::{Irreducible, Parameter, ProfileOf, Study};

use additive::Additive;
use groups::{complete, grouped, split_highest, thinned};
use study::{one_size, study, value};
use surface::Theta;

/// What each E would claim is said for that many pairs of groups.
const CLAIMED_PAIRS: usize = 6;

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
    /// What scale alone would need to match another group, between laws that describe their runs and could have failed to.
    pub matches: Vec<Match>,
    /// How well the law forecasts runs that it was not fitted to, by group.
    pub held_out: Vec<curve::HeldOut>,
    /// Runs that were asked about.
    pub predictions: Vec<Prediction>,
    /// The cheapest models with inference counted, of laws that describe their runs.
    pub lifetimes: Vec<Lifetime>,
    /// Groups that were asked for one and whose law does not describe their runs: no model is read off it.
    pub unsplit: Vec<String>,
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
        return Err(Error::input("no point to fit")
            .hint("a point is a finished run with a loss, parameters and tokens, or FLOPs"));
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
        unsplit: Vec::new(),
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
        let found = lifetime::lifetime(fit, draws, demand, open)?;
        match lies {
            true => findings.lifetimes.push(found),
            false => findings.unsplit.push(found.group),
        }
    }
    Ok(())
}

fn additive_findings(
    law: &'static Additive,
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
    // What scale alone costs is read off two laws, and of a law that misses its runs, or that nothing tests, nothing is.
    let sound = |group: &str| {
        let mut groups = findings.groups.iter();
        groups.any(|study| study.group == group && study.describes() && study.tests_form)
    };
    let matches = matches
        .into_iter()
        .filter(|found| sound(&found.behind) && sound(&found.ahead))
        .collect();
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
