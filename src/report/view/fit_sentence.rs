//! The first line of a fit: its answer in one sentence.

use super::fit_ranked::together;
use super::group::{about, capital};
use super::number::{bounds, chance, figure, interval};
use crate::analysis::fit::isoflop::{Profile, Reason};
use crate::analysis::fit::{Findings, Irreducible, IsoFlop, Study};
use crate::unit::Count;

/// What was found, in one sentence or a few; what speaks against the law, or what the data cannot tell, comes first.
pub fn sentence(findings: &Findings) -> String {
    if let Some(found) = &findings.joint {
        return super::joint::sentence(found);
    }
    let said = match (&findings.groups[..], &findings.profiles[..]) {
        ([], []) => {
            let shapes = findings.shapes.iter().map(super::fit_curve::sentence);
            shapes
                .chain(findings.rates.iter().map(super::fit_rate::sentence))
                .collect::<Vec<_>>()
                .join(" ")
        }
        ([], [one]) => isoflop(one),
        ([], all) => all.iter().map(isoflop).collect::<Vec<_>>().join(" "),
        ([one], _) => alone(one),
        (_, _) => together(findings),
    };
    said + &super::fit_asked::sentences(findings)
}

pub(super) fn isoflop(found: &IsoFlop) -> String {
    let group = &found.group;
    let used = found
        .profiles
        .iter()
        .filter(|profile| profile.best_params.is_some())
        .count();
    match (found.exponent, found.interval) {
        (Some(a), Some(range)) => {
            let best = found.best_params_at_largest.map(|best| {
                let range = best.interval.map_or("no interval".to_owned(), |i| {
                    format!(
                        "{:.0}% {} to {}",
                        100.0 * i.level,
                        Count(i.low),
                        Count(i.high)
                    )
                });
                format!(
                    "; at {:.2e} FLOPs it is {} ({range})",
                    best.flops,
                    Count(best.params)
                )
            });
            let grows = format!(
                "the best model size grows as C^{a:.3} ({}, n = {used} budgets){}.",
                interval(&range),
                best.unwrap_or_default()
            );
            about(group, &grows)
        }
        _ => {
            let untold = format!(
                "how the best model size grows cannot be told: {used} of {} budgets have a lowest point, and it takes three.{}",
                found.profiles.len(),
                no_budgets(found)
            );
            about(group, &untold)
        }
    }
}

/// What to do about runs that are at no common budgets.
fn no_budgets(found: &IsoFlop) -> String {
    let chained = |profile: &&Profile| profile.reason == Some(Reason::ManyBudgets);
    let runs: usize = found
        .profiles
        .iter()
        .filter(chained)
        .map(|profile| profile.n)
        .sum();
    if runs == 0 {
        return String::new();
    }
    format!(
        " {runs} of {} runs lie at no budget in common with gaps between: --law chinchilla, over sizes and tokens, needs none.",
        found.n
    )
}

/// What speaks against a study, a sentence each, without a subject: the reader must see these before any figure.
fn doubts(study: &Study) -> Vec<String> {
    let mut doubts = Vec::new();
    if let Some(found) = study.misfit.filter(|found| found.is_clear()) {
        let [a, b] = found.freedom;
        doubts.push(format!(
            "this law does not describe the runs (lack of fit, F = {:.1} with {a} and {b}, p = {}): it summarises them, and no \
             best split, next doubling or forecast is read off it",
            found.f,
            chance(found.p)
        ));
    }
    if study.series.alike {
        doubts.push(format!(
            "neighbouring rows of one size miss the law alike (Durbin-Watson {:.2}): checkpoints of one run are no runs of their \
             own, or the law's curve is another; {} rows are worth about {:.0}",
            study.series.durbin_watson(),
            study.n,
            (study.n as f64 / study.series.stretch()).max(1.0)
        ));
    }
    if let Some(found) = study
        .counting
        .filter(|found| found.far() && study.allocation.is_some())
    {
        doubts.push(format!(
            "the runs' FLOPs are {} N D, not 6 N D (another unit, or another count of N): best splits are read off the runs' own",
            figure(found.per_parameter_and_token)
        ));
    }
    if let (Some(known), Some(e)) = (study.oracle_left_out, study.parameters.first()) {
        let range = e
            .interval
            .map(|range| format!(" ({})", bounds(&range)))
            .unwrap_or_default();
        doubts.push(format!(
            "its E = {}{range} leaves out the oracle's known loss of {}: beyond the runs the law is wrong",
            figure(e.value),
            figure(known)
        ));
    }
    doubts
}

fn alone(study: &Study) -> String {
    let doubts = doubts(study);
    let said = if study.describes() {
        answer(study)
    } else {
        summary(study)
    };
    let parts: Vec<String> = doubts.into_iter().chain([said]).collect();
    let (first, rest) = parts.split_at(1);
    let rest = rest.iter().map(|part| format!(" {}.", capital(part)));
    format!(
        "{}.{}",
        about(&study.group, &first.concat()),
        rest.collect::<String>()
    )
}

/// What a law that does not describe its runs still says of them.
fn summary(study: &Study) -> String {
    let exponents = study
        .parameters
        .iter()
        .skip(2)
        .step_by(2)
        .map(|p| format!("{} = {}", p.name, figure(p.value)));
    format!(
        "the nearest such law has {} and {} (n = {} points{})",
        floor(study),
        exponents.collect::<Vec<_>>().join(", "),
        study.n,
        repeats(study)
    )
}

fn repeats(study: &Study) -> String {
    study
        .repeats
        .map(|repeats| format!(", {repeats} repeats"))
        .unwrap_or_default()
}

fn answer(study: &Study) -> String {
    if study.allocation.is_some() {
        split(study)
    } else {
        fall(study)
    }
}

fn split(study: &Study) -> String {
    let Some(found) = &study.allocation else {
        return String::new();
    };
    let (a, b) = (found.params_exponent, 1.0 - found.params_exponent);
    let n = format!("n = {} points{}", study.n, repeats(study));
    let Some(range) = found.params_exponent_interval else {
        return format!(
            "how compute is best split is not identified{}: N ~ C^{a:.3} is one of many that fit the runs as well ({n})",
            why_not_split(study)
        );
    };
    let first = found.splits.first();
    let ratio = first.map(|split| {
        let seen = format!(
            "{} tokens a parameter at the largest budget",
            figure(split.optimum.tokens / split.optimum.params)
        );
        if split.params_interval.is_some() {
            format!(", {seen}")
        } else {
            format!(", {seen} (not identified)")
        }
    });
    format!(
        "compute is best split as N ~ C^{a:.3} and D ~ C^{b:.3} ({}{}; {n})",
        interval(&range),
        ratio.unwrap_or_default()
    )
}

/// Which part of the design leaves the split open.
fn why_not_split(study: &Study) -> String {
    let distinct = |get: &dyn Fn(&crate::analysis::fit::Point) -> Option<f64>| {
        let points = &study.fitting.points;
        points
            .iter()
            .filter_map(get)
            .map(f64::to_bits)
            .collect::<std::collections::BTreeSet<u64>>()
            .len()
    };
    let (sizes, tokens) = (distinct(&|p| p.params), distinct(&|p| p.tokens));
    match study.counting {
        Some(counting) if counting.one_ray() => {
            let [low, high] = counting.tokens_per_parameter;
            format!(
                " by runs that all have {} tokens a parameter",
                figure((low * high).sqrt())
            )
        }
        _ if sizes < 3 => format!(" by runs of {sizes} model sizes (it takes three at least)"),
        _ if tokens < 3 => {
            format!(" by runs of {tokens} numbers of tokens (it takes three at least)")
        }
        _ => String::new(),
    }
}

fn fall(study: &Study) -> String {
    let Some(exponent) = study.parameters.last() else {
        return "nothing was fitted".to_owned();
    };
    let range = match (exponent.interval, study.silence) {
        (Some(range), _) if range.closed() => bounds(&range),
        (Some(range), _) => format!("not identified: {}", bounds(&range)),
        (None, Some(silence)) => format!("no interval: {}", silence.words()),
        (None, None) => "no interval".to_owned(),
    };
    let buys = study.returns.as_ref().map(|returns| {
        let range = returns
            .doubling_interval
            .map_or("not identified".to_owned(), |i| interval(&i));
        format!(
            "; the next doubling of compute buys {} nats ({range})",
            figure(returns.doubling_nats)
        )
    });
    let untested = if study.tests_form {
        ""
    } else {
        "; as many budgets as parameters, so nothing tests the law"
    };
    let fall = if floor_unknown(study) {
        "as far as the data tell, as"
    } else {
        "as"
    };
    let variable = study
        .fitting
        .law
        .terms
        .last()
        .map_or("C", |term| symbol(term.variable));
    format!(
        "the loss falls toward {} {fall} {variable}^-{:.3} ({range}, n = {} points{}){}{untested}",
        floor(study),
        exponent.value,
        study.n,
        repeats(study),
        buys.unwrap_or_default()
    )
}

fn symbol(variable: crate::analysis::fit::points::Variable) -> &'static str {
    use crate::analysis::fit::points::Variable;
    match variable {
        Variable::Params => "N",
        Variable::Tokens => "D",
        Variable::Flops => "C",
        Variable::UniqueTokens => "U",
        Variable::Rate => "rate",
        Variable::Batch => "batch",
    }
}

fn floor_unknown(study: &Study) -> bool {
    study
        .parameters
        .first()
        .is_some_and(|e| !e.held && !e.identified)
}

/// `E = 1.177 (known from the oracle)`.
pub(super) fn floor(study: &Study) -> String {
    let Some(e) = study.parameters.first() else {
        return String::new();
    };
    let value = figure(e.value);
    match (study.irreducible, &e.interval) {
        (Irreducible::Oracle, _) => format!("E = {value} (known from the oracle)"),
        (Irreducible::Fixed(_), _) => format!("E = {value} (assumed)"),
        (Irreducible::Free, Some(range)) => format!("E = {value} ({})", bounds(range)),
        (Irreducible::Free, None) => format!("E = {value} (no interval)"),
    }
}
