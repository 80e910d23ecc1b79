//! The first line of a fit: its answer in one sentence.

use super::fit::{bounds, chance, figure, interval};
use crate::analysis::fit::points::UNNAMED;
use crate::analysis::fit::{Findings, Irreducible, IsoFlop, Match, Ranking, Study, Verdict};
use crate::unit::Times;

/// What was found, in one sentence; where the data cannot tell, that.
pub fn sentence(findings: &Findings) -> String {
    if let Some(found) = &findings.joint {
        return super::joint::sentence(found);
    }
    let said = match (&findings.groups[..], &findings.profiles[..]) {
        ([], []) => {
            let shapes = findings.shapes.iter().map(super::fit_curve::sentence);
            shapes.chain(findings.rates.iter().map(super::fit_rate::sentence)).collect::<Vec<_>>().join(" ")
        }
        ([], [one]) => isoflop(one),
        ([], all) => all.iter().map(isoflop).collect::<Vec<_>>().join(" "),
        ([one], _) => alone(one),
        (groups, _) => together(findings, &groups[0]),
    };
    let said = said + &misfits(findings) + &super::fit_asked::sentences(findings);
    let mut letters = said.chars();
    let mut groups = findings.groups.iter().map(|study| &study.group).chain(findings.shapes.iter().map(|s| &s.group));
    let mut groups = groups.by_ref().chain(findings.rates.iter().map(|law| &law.group));
    let named = groups.any(|group| said.starts_with(group.as_str()));
    match letters.next() {
        // A group keeps its own spelling.
        Some(first) if !named => first.to_uppercase().chain(letters).collect(),
        _ => said,
    }
}

/// ` The runs of llama do not lie on this law (lack of fit, p = 0.0004): ...`, or nothing.
fn misfits(findings: &Findings) -> String {
    let clear = |study: &&Study| study.misfit.is_some_and(|found| found.is_clear());
    let found: Vec<&Study> = findings.groups.iter().filter(clear).collect();
    let worst = found.iter().filter_map(|study| Some(study.misfit?.p)).fold(1.0, f64::min);
    let groups: Vec<&str> = found.iter().map(|study| study.group.as_str()).collect();
    if groups.is_empty() {
        return String::new();
    }
    format!(
        " The runs of {} do not lie on this law (lack of fit, p = {}): it summarises them, and predicts nothing.",
        groups.join(" and "),
        chance(worst)
    )
}

fn isoflop(found: &IsoFlop) -> String {
    let group = &found.group;
    let used = found.profiles.iter().filter(|profile| profile.best_params.is_some()).count();
    match (found.exponent, found.interval) {
        (Some(a), Some(range)) => {
            format!("{}the best model size grows as C^{a:.3} ({}, n = {used} budgets).", named(group), interval(&range))
        }
        _ => format!(
            "{}how the best model size grows cannot be told: {used} of {} budgets have a lowest point, and it takes three.",
            named(group),
            found.profiles.len()
        ),
    }
}

/// `gpt2: `, or nothing for the one group of a table without groups.
pub(super) fn named(group: &str) -> String {
    if group == UNNAMED { String::new() } else { format!("{group}: ") }
}

fn alone(study: &Study) -> String {
    let Study { group, n, .. } = study;
    let repeats = study.repeats.map(|repeats| format!(", {repeats} repeats")).unwrap_or_default();
    if let Some(found) = &study.allocation {
        let range = found.params_exponent_interval.map_or("no interval".to_owned(), |i| interval(&i));
        let (a, b) = (found.params_exponent, 1.0 - found.params_exponent);
        let best = found.splits.first().map(|split| split.optimum.tokens / split.optimum.params);
        let ratio = best.map(|ratio| format!(", {} tokens a parameter at the largest budget", figure(ratio)));
        return format!(
            "{}compute is best split as N ~ C^{a:.3} and D ~ C^{b:.3} ({range}{}; n = {n} points{repeats}).",
            named(group),
            ratio.unwrap_or_default()
        );
    }
    let Some(exponent) = study.parameters.last() else { return format!("{group}: nothing was fitted.") };
    let range = exponent.interval.map_or("no interval".to_owned(), |i| bounds(&i));
    let buys = study
        .returns
        .as_ref()
        .map(|returns| format!("; the next doubling of compute buys {} nats", figure(returns.doubling_nats)));
    let fall = if floor_unknown(study) { "as far as the data tell, as" } else { "as" };
    format!(
        "{}the loss falls toward {} {fall} C^-{:.3} ({range}, n = {n} points{repeats}){}.",
        named(group),
        floor(study),
        exponent.value,
        buys.unwrap_or_default()
    )
}

fn floor_unknown(study: &Study) -> bool {
    study.parameters.first().is_some_and(|e| !e.held && !e.identified)
}

/// `E = 1.177 (known from the oracle)`.
pub(super) fn floor(study: &Study) -> String {
    let Some(e) = study.parameters.first() else { return String::new() };
    let value = figure(e.value);
    match (study.irreducible, &e.interval) {
        (Irreducible::Oracle, _) => format!("E = {value} (known from the oracle)"),
        (Irreducible::Fixed(_), _) => format!("E = {value} (assumed)"),
        (Irreducible::Free, Some(range)) => format!("E = {value} ({})", bounds(range)),
        (Irreducible::Free, None) => format!("E = {value} (no interval)"),
    }
}

fn together(findings: &Findings, first: &Study) -> String {
    let told: Vec<&Ranking> =
        findings.rankings.iter().filter(|r| verdict(r, first.irreducible) != Verdict::CannotTell).collect();
    let (all, names) = (&findings.rankings, |study: &Study| study.group.clone());
    let ranked = match (&told[..], &all[..]) {
        ([], [one]) => format!(
            "Which of {} and {} gains more from scale cannot be told{}",
            one.groups[0],
            one.groups[1],
            why(one, first.irreducible)
        ),
        ([], _) => {
            let groups: Vec<String> = findings.groups.iter().map(names).collect();
            format!("Which of {} gains more from scale cannot be told", groups.join(", "))
        }
        (told, all) => {
            let claims: Vec<String> = told.iter().map(|ranking| claim(ranking, first.irreducible)).collect();
            let rest = all.len() - told.len();
            let rest =
                if rest > 0 { format!("; {rest} of {} comparisons cannot be told", all.len()) } else { String::new() };
            format!("{}{rest}", claims.join("; "))
        }
    };
    let dearest = findings.matches.iter().max_by(|a, b| dear(a).total_cmp(&dear(b)));
    match dearest {
        Some(found) => format!("{ranked}; {}.", matched(found)),
        None => format!("{ranked}."),
    }
}

fn dear(found: &Match) -> f64 {
    found.times.unwrap_or(f64::INFINITY)
}

/// What may be said: with E known from the oracle, what that says; with an assumed E only what a free E says too.
pub(super) fn verdict(ranking: &Ranking, irreducible: Irreducible) -> Verdict {
    match irreducible {
        Irreducible::Oracle => ranking.with_e_held.unwrap_or(Verdict::CannotTell),
        Irreducible::Free | Irreducible::Fixed(_) => ranking.with_e_free,
    }
}

fn why(ranking: &Ranking, irreducible: Irreducible) -> String {
    match (irreducible, ranking.with_e_held) {
        (Irreducible::Oracle, _) => ": their exponents' intervals overlap with E known".to_owned(),
        (Irreducible::Fixed(_), Some(held)) if held != Verdict::CannotTell => {
            format!(" with E free, although E as assumed would claim {}", winner(ranking, held))
        }
        _ => " with E free".to_owned(),
    }
}

/// Who a verdict names.
pub(super) fn winner(ranking: &Ranking, verdict: Verdict) -> &str {
    match verdict {
        Verdict::First => &ranking.groups[0],
        Verdict::Second => &ranking.groups[1],
        Verdict::CannotTell => "neither",
    }
}

fn claim(ranking: &Ranking, irreducible: Irreducible) -> String {
    let verdict = verdict(ranking, irreducible);
    let loser = if verdict == Verdict::First { &ranking.groups[1] } else { &ranking.groups[0] };
    let whatever = match irreducible {
        Irreducible::Oracle => "with E known from the oracle",
        _ => "with E free",
    };
    format!(
        "{} gains more from scale than {loser} (larger {}, {whatever})",
        winner(ranking, verdict),
        ranking.parameter
    )
}

/// `scale alone would need 3.1 times gpt2's compute for modern's loss of 2.90 (95% ...)`.
pub(super) fn matched(found: &Match) -> String {
    let Match { behind, ahead, .. } = found;
    let at = format!("{ahead}'s {} nats at {:.2e} FLOPs", figure(found.loss), found.flops);
    let Some(times) = found.times else {
        return format!("no amount of compute brings {behind} to {at}: its E is above that");
    };
    let range = found.interval.map_or("no interval".to_owned(), |i| interval(&i));
    let beyond = if found.extrapolated { ", extrapolated" } else { "" };
    format!("to reach {at}, scale alone costs {behind} {} times that ({range}{beyond})", Times(times))
}
