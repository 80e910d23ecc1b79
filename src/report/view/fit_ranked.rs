//! Several groups beside one another: which misses its runs, which gains more, and what a match costs.

use super::group::capital;
use super::number::{chance, figure, interval};
use crate::analysis::fit::{Findings, Match, Ranking, Study, Verdict};
use crate::unit::Times;

/// Pairs of groups named in the sentence; the rest are counted.
const NAMED_PAIRS: usize = 3;

pub(super) fn together(findings: &Findings) -> String {
    let misfits = misfits(findings);
    let misfits = misfits.iter().map(|part| capital(part));
    let dearest = dearest(findings).map(|part| capital(&part));
    let parts: Vec<String> = misfits
        .chain([ranked(findings)])
        .chain(dearest)
        .map(|part| part + ".")
        .collect();
    parts.join(" ")
}

/// `this law does not describe the runs of llama (lack of fit, p = 0.0004): ...`, where it does not; the same for rows that are
/// no runs of their own, and for a floor that is known to be another.
fn misfits(findings: &Findings) -> Vec<String> {
    let groups = |of: &dyn Fn(&Study) -> bool| -> Vec<&str> {
        findings
            .groups
            .iter()
            .filter(|study| of(study))
            .map(|study| study.group.as_str())
            .collect()
    };
    let mut parts = Vec::new();
    let clear = groups(&|study| !study.describes());
    if !clear.is_empty() {
        let p = findings
            .groups
            .iter()
            .filter_map(|study| study.misfit)
            .map(|found| found.p)
            .fold(1.0, f64::min);
        parts.push(format!(
            "this law does not describe the runs of {} (lack of fit, p = {}): it summarises them, and nothing is read off it",
            clear.join(" and "),
            chance(p)
        ));
    }
    let alike = groups(&|study| study.series.alike);
    if !alike.is_empty() {
        parts.push(format!(
            "neighbouring rows of one size of {} miss the law alike: checkpoints of one run are no runs of their own, or the law's \
             curve is another",
            alike.join(" and ")
        ));
    }
    let beyond = groups(&|study| study.oracle_left_out.is_some());
    if !beyond.is_empty() {
        parts.push(format!(
            "the E fitted to {} leaves out the oracle's known loss",
            beyond.join(" and ")
        ));
    }
    parts
}

fn ranked(findings: &Findings) -> String {
    let all = &findings.rankings;
    let says = |ranking: &&Ranking| {
        ranking.verdict != Verdict::CannotTell || ranking.crossing_flops.is_some()
    };
    let mut told: Vec<&Ranking> = all.iter().filter(says).collect();
    told.sort_by(|a, b| a.p_holm.unwrap_or(1.0).total_cmp(&b.p_holm.unwrap_or(1.0)));
    match (&told[..], &all[..]) {
        ([], [one]) => {
            format!(
                "Which of {} and {} gains more from scale cannot be told{}",
                one.groups[0],
                one.groups[1],
                why(one)
            )
        }
        ([], _) => {
            let groups: Vec<&str> = findings
                .groups
                .iter()
                .map(|study| study.group.as_str())
                .collect();
            format!(
                "Which of {} gains more from scale cannot be told",
                groups.join(", ")
            )
        }
        (told, all) => {
            let claims: Vec<String> = told
                .iter()
                .take(NAMED_PAIRS)
                .enumerate()
                .map(|(place, ranking)| match ranking.crossing_flops {
                    // Any other claim begins with a group's name.
                    Some(_) if place == 0 => capital(&claim(ranking)),
                    _ => claim(ranking),
                })
                .collect();
            let more = told.len().saturating_sub(NAMED_PAIRS);
            let more = if more > 0 {
                format!("; {more} more pairs are told below")
            } else {
                String::new()
            };
            let rest = all.len() - told.len();
            let rest = if rest > 0 {
                format!("; {rest} of {} comparisons cannot be told", all.len())
            } else {
                String::new()
            };
            let holm = if all.len() > 1 {
                format!(", after Holm's correction over {} pairs", all.len())
            } else {
                String::new()
            };
            format!("{}{more}{rest}{holm}", claims.join("; "))
        }
    }
}

fn why(ranking: &Ranking) -> String {
    let held = match ranking.with_e_held {
        Some(held) if held != Verdict::CannotTell => {
            format!(
                ", although E as it is held would claim a larger {} for {}",
                ranking.parameter,
                winner(ranking, held)
            )
        }
        _ => String::new(),
    };
    let reason = ranking
        .unranked
        .map(|reason| format!(": {}", reason.words()))
        .unwrap_or_default();
    held + &reason
}

/// Who a verdict names.
pub(super) fn winner(ranking: &Ranking, verdict: Verdict) -> &str {
    match verdict {
        Verdict::First => &ranking.groups[0],
        Verdict::Second => &ranking.groups[1],
        Verdict::CannotTell => "neither",
    }
}

/// `modern gains more from scale than gpt2 (a doubling buys 0.12 to 0.05 nats against 0.10 to 0.04 from 1e15 to 1e18 FLOPs)`.
pub(super) fn claim(ranking: &Ranking) -> String {
    let (first, last) = match (
        ranking.at_equal_compute.first(),
        ranking.at_equal_compute.last(),
    ) {
        (Some(first), Some(last)) => (first, last),
        _ => return String::new(),
    };
    let span = |k: usize| {
        format!(
            "{} to {}",
            figure(first.nats_per_doubling[k]),
            figure(last.nats_per_doubling[k])
        )
    };
    if let Some(flops) = ranking.crossing_flops {
        let below = usize::from(first.nats_per_doubling[1] > first.nats_per_doubling[0]);
        return format!(
            "a doubling of compute buys {} more below {flops:.1e} FLOPs ({} against {} nats at {:.1e}) and {} more above it ({} \
             against {} at {:.1e})",
            ranking.groups[below],
            figure(first.nats_per_doubling[below]),
            figure(first.nats_per_doubling[1 - below]),
            first.at,
            ranking.groups[1 - below],
            figure(last.nats_per_doubling[1 - below]),
            figure(last.nats_per_doubling[below]),
            last.at
        );
    }
    let better = usize::from(ranking.verdict == Verdict::Second);
    format!(
        "{} gains more from scale than {} (a doubling buys {} nats against {}, from {:.1e} to {:.1e} FLOPs)",
        ranking.groups[better],
        ranking.groups[1 - better],
        span(better),
        span(1 - better),
        first.at,
        last.at
    )
}

/// The match that takes most; that it was picked is said. What lies beyond the runs and is not bounded by them is no answer.
fn dearest(findings: &Findings) -> Option<String> {
    let all = &findings.matches;
    let dear = |found: &Match| found.times.unwrap_or(f64::INFINITY);
    let told = all
        .iter()
        .filter(|found| !found.extrapolated || found.interval.is_some());
    let largest = told.max_by(|a, b| dear(a).total_cmp(&dear(b)))?;
    let picked = if all.len() > 1 {
        format!("; the largest of {} such figures, picked", all.len())
    } else {
        String::new()
    };
    Some(matched(largest) + &picked)
}

/// `to reach modern's 2.90 nats at 1e18 FLOPs, scale alone costs gpt2 3.1 times that (95% ...)`.
pub(super) fn matched(found: &Match) -> String {
    let Match { behind, ahead, .. } = found;
    let at = format!(
        "{ahead}'s {} nats at {:.2e} FLOPs",
        figure(found.loss),
        found.flops
    );
    let Some(times) = found.times else {
        return format!("no amount of compute brings {behind} to {at}: its E is above that");
    };
    let range = found
        .interval
        .map_or("not identified".to_owned(), |i| interval(&i));
    let beyond = if found.extrapolated {
        ", extrapolated"
    } else {
        ""
    };
    format!(
        "to reach {at}, scale alone costs {behind} {} times that ({range}{beyond})",
        Times(times)
    )
}
