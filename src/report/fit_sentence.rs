//! The first line of a fit: its answer in one sentence.

use super::fit::{bounds, figure, interval};
use crate::analysis::fit::{Findings, Irreducible, IsoFlop, Match, Ranking, Study, Verdict};
use crate::unit::Times;

/// What was found, in one sentence; where the data cannot tell, that.
pub fn sentence(findings: &Findings) -> String {
    match (&findings.groups[..], &findings.profiles[..]) {
        ([], [one]) => isoflop(one),
        ([], all) => all.iter().map(isoflop).collect::<Vec<_>>().join(" "),
        ([one], _) => alone(one),
        (groups, _) => together(findings, &groups[0]),
    }
}

fn isoflop(found: &IsoFlop) -> String {
    let group = &found.group;
    let used = found.profiles.iter().filter(|profile| profile.best_params.is_some()).count();
    match (found.exponent, found.interval) {
        (Some(a), range) => {
            let range = range.map_or("no interval".to_owned(), |i| interval(&i));
            format!("{group}: the best model size grows as C^{a:.3} ({range}, n = {used} budgets).")
        }
        _ => format!("{group}: how the best model size grows cannot be told, {used} budgets have a lowest point."),
    }
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
            "{group}: compute is best split as N ~ C^{a:.3} and D ~ C^{b:.3} ({range}{}; n = {n} points{repeats}).",
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
        "{group}'s loss falls toward {} {fall} C^-{:.3} ({range}, n = {n} points{repeats}){}.",
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
    match findings.matches.first() {
        Some(found) => format!("{ranked}; {}.", matched(found)),
        None => format!("{ranked}."),
    }
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
        _ => "whatever E the data allow",
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
    let range =
        found.interval.map_or("no interval".to_owned(), |i| format!("95% {} to {}", Times(i.low), Times(i.high)));
    let beyond = if found.extrapolated { ", extrapolated" } else { "" };
    format!("to reach {at}, scale alone costs {behind} {} times that ({range}{beyond})", Times(times))
}
