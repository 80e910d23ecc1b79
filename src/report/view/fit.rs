//! A fit in text: the answer first, then what it rests on, group by group.

use std::fmt::Write;

pub use super::fit_sentence::sentence;
use super::fit_sentence::{claim, floor, matched, winner};
use super::number::{aligned, bounds, chance, figure, interval};
use super::{joint, projection};
use crate::analysis::fit::{
    Allocation, Findings, IsoFlop, Parameter, ProfileOf, Ranking, Refit, Study, Verdict,
};
use crate::analysis::projection::Projection;
use crate::report::page::{Block, Page};
use crate::unit::Count;

/// What `effbench fit` says, with what a leader and a follower along each group's law come to.
pub fn page(findings: &Findings, projected: &[(&str, Projection)]) -> Page {
    let mut page = match &findings.joint {
        Some(found) => joint::page(found, None, &findings.notes),
        None => {
            let groups = findings.groups.iter().map(|study| study.group.clone());
            Page::answer("A law of loss", groups.collect(), blocks(findings))
        }
    };
    for (group, found) in projected {
        let section = page.sections.iter_mut().take(1);
        section.for_each(|section| {
            section.blocks.push(Block::Heading((*group).to_owned()));
            section.blocks.extend(projection::blocks(found, None));
        });
    }
    page
}

/// Everything that was found.
pub fn blocks(findings: &Findings) -> Vec<Block> {
    vec![
        Block::Lead(sentence(findings)),
        Block::Code(details(findings)),
    ]
}

fn details(findings: &Findings) -> String {
    let mut parts = vec![format!(
        "Law: {} ({}: {}).",
        findings.formula, findings.law, findings.source
    )];
    parts.extend(findings.groups.iter().map(study));
    parts.extend(findings.profiles.iter().map(isoflop));
    parts.extend(findings.shapes.iter().map(super::fit_curve::block));
    parts.extend(findings.rates.iter().map(super::fit_rate::block));
    parts.extend(super::fit_asked::blocks(findings));
    if !findings.rankings.is_empty() {
        let lines = findings.rankings.iter().map(ranking);
        parts.push(format!(
            "Who gains more from scale:{}",
            lines.collect::<String>()
        ));
    }
    if !findings.matches.is_empty() {
        let lines = findings
            .matches
            .iter()
            .map(|found| format!("\n  {}", matched(found)));
        parts.push(format!(
            "Scale against the algorithm:{}",
            lines.collect::<String>()
        ));
    }
    let notes = findings.notes.iter().map(|note| format!("\n  {note}."));
    parts.push(format!("Counted:{}", notes.collect::<String>()));
    parts.join("\n\n")
}

fn study(study: &Study) -> String {
    let mut text = format!("{}: {}; {}.", study.group, ranges(study), floor(study));
    text += &parameters(study);
    let _ = write!(text, "\n  Intervals: {}.", study.interval_method);
    if let Some(sd) = study.residual_sd {
        let worst = study
            .residuals_nats
            .iter()
            .copied()
            .fold(0.0, |a: f64, b| if b.abs() > a.abs() { b } else { a });
        let _ = write!(
            text,
            "\n  Residuals: sd {:.2}% of the loss, worst {} nats; objective {:.6e}.",
            100.0 * sd,
            figure(worst),
            study.objective
        );
    }
    if let Some(found) = &study.misfit {
        let verdict = if found.is_clear() {
            "this law does not describe the runs"
        } else {
            "nothing speaks against the law's form"
        };
        let [a, b] = found.freedom;
        let _ = write!(
            text,
            "\n  Lack of fit: {verdict} (F = {:.1} with {a} and {b}, p = {}).",
            found.f,
            chance(found.p)
        );
    }
    text += &study.profiles.iter().map(profile).collect::<String>();
    text += &sensitivity(study);
    text += &forecast(study);
    text += &counting(study);
    if !study.describes() {
        return text;
    }
    text += &study
        .allocation
        .as_ref()
        .map(|found| allocation(study, found))
        .unwrap_or_default();
    text + &returns(study)
}

/// `16 points in 4 repeats, C 4.5e10 to 3.6e11, N 31.6 k, D 205 k to 1.64 M`.
fn ranges(study: &Study) -> String {
    let repeats = study
        .repeats
        .map(|repeats| format!(" in {repeats} repeats"))
        .unwrap_or_default();
    let range = |name: &str, range: Option<[f64; 2]>| match range {
        None => String::new(),
        Some([low, high]) if low == high => format!(", {name} {}", Count(low)),
        Some([low, high]) => format!(", {name} {} to {}", Count(low), Count(high)),
    };
    let [low, high] = study.flops;
    let (params, tokens) = (range("N", study.params), range("D", study.tokens));
    format!(
        "{} points{repeats}, C {low:.2e} to {high:.2e} FLOPs{params}{tokens}",
        study.n
    )
}

fn parameters(study: &Study) -> String {
    let head = ["parameter", "value", "interval", "bootstrap SE"]
        .map(str::to_owned)
        .to_vec();
    let row = |p: &Parameter| {
        let range = match (&p.interval, p.held) {
            (_, true) => "held".to_owned(),
            (Some(found), _) => bounds(found),
            (None, _) => format!(
                "none: {}",
                study.silence.map_or("not asked", |silence| silence.words())
            ),
        };
        vec![
            p.name.to_owned(),
            figure(p.value),
            range,
            p.bootstrap_se.map(figure).unwrap_or_default(),
        ]
    };
    let open: Vec<&str> = study
        .parameters
        .iter()
        .filter(|p| !p.held && !p.identified)
        .map(|p| p.name)
        .collect();
    let rows: Vec<Vec<String>> = [head]
        .into_iter()
        .chain(study.parameters.iter().map(row))
        .collect();
    let untested = if study.tests_form {
        ""
    } else {
        "\n  As many budgets as parameters: nothing tests the law's form."
    };
    let not = if open.is_empty() {
        String::new()
    } else {
        format!("\n  The data do not identify {}.", open.join(", "))
    };
    aligned(&rows) + &not + untested
}

/// `Profile of E: 0 +12%, 1.2 +3%* ...`: how much the objective rises, and which values are not refused.
fn profile(found: &ProfileOf) -> String {
    let lowest = found
        .held
        .iter()
        .map(|held| held.objective)
        .fold(f64::INFINITY, f64::min);
    let cells = found.held.iter().map(|held| {
        let mark = if held.refused { "" } else { "*" };
        format!(
            "{} +{}{mark}",
            figure(held.value),
            rise(held.objective, lowest)
        )
    });
    let cells: Vec<String> = cells.collect();
    format!(
        "\n  Profile of {} (rise of the objective; * not refused): {}",
        found.parameter,
        cells.join(", ")
    )
}

/// `12.5%` of the least objective; where that is nothing, the objective itself.
fn rise(objective: f64, lowest: f64) -> String {
    let share = 100.0 * (objective / lowest - 1.0);
    if share.is_finite() {
        format!("{share:.1}%")
    } else {
        format!("{:.1e}", objective - lowest)
    }
}

fn sensitivity(study: &Study) -> String {
    if study.refits.is_empty() {
        return String::new();
    }
    let names = study.parameters.iter().map(|p| p.name.to_owned());
    let head: Vec<String> = ["points".to_owned(), "n".to_owned()]
        .into_iter()
        .chain(names)
        .collect();
    let row = |refit: &Refit| {
        let values = refit.values.iter().map(|value| figure(*value));
        let moved = if refit.moved.is_empty() {
            String::new()
        } else {
            format!("moves {}", refit.moved.join(", "))
        };
        [refit.what.clone(), refit.n.to_string()]
            .into_iter()
            .chain(values)
            .chain([moved])
            .collect::<Vec<String>>()
    };
    let rows: Vec<Vec<String>> = [head]
        .into_iter()
        .chain(study.refits.iter().map(row))
        .collect();
    let told = study
        .refits
        .iter()
        .find(|refit| !refit.moved.is_empty())
        .map(|refit| moved(study, refit));
    let none = "no refit leaves an interval".to_owned();
    format!(
        "\n  Sensitivity: {}.{}",
        told.unwrap_or(none),
        aligned(&rows).replace("\n  ", "\n    ")
    )
}

/// `with all 245 points beta is 0.4530, outside 95% 0.33 to 0.42: the answer hangs on them`.
fn moved(study: &Study, refit: &Refit) -> String {
    let of = study
        .parameters
        .iter()
        .zip(&refit.values)
        .filter(|(p, _)| refit.moved.contains(&p.name));
    let parts = of.filter_map(|(p, value)| {
        Some(format!(
            "{} is {}, outside {}",
            p.name,
            figure(*value),
            bounds(&p.interval?)
        ))
    });
    format!(
        "{} {}: the answer hangs on them",
        refit.what,
        parts.collect::<Vec<_>>().join(" and ")
    )
}

fn forecast(study: &Study) -> String {
    let Some(found) = &study.forecast else {
        return "\n  Forecast: too few budgets to leave the largest out.".to_owned();
    };
    format!(
        "\n  Forecast: fitted to {} points up to {:.2e} FLOPs, the {} up to {:.2e} are missed by {} nats rms (mean {:+.4}; \
         residuals {}).",
        found.fitted,
        found.fitted_to_flops,
        found.held_out,
        found.held_out_to_flops,
        figure(found.rms_error_nats),
        found.mean_error_nats,
        figure(found.rms_residual_nats)
    )
}

/// `C is 6.43 N D in these runs (5.9 to 7.1)`, where it is not 6 N D.
fn counting(study: &Study) -> String {
    let Some(found) = study.counting.filter(|found| found.differs()) else {
        return String::new();
    };
    let [low, high] = found.range;
    format!(
        "\n  C is {} N D in these runs ({} to {}), not 6 N D: best splits are read off that.",
        figure(found.per_parameter_and_token),
        figure(low),
        figure(high)
    )
}

fn allocation(study: &Study, found: &Allocation) -> String {
    let head = ["C", "N*", "95%", "D*", "D*/N*", "L"]
        .map(str::to_owned)
        .to_vec();
    let row = |split: &crate::analysis::fit::allocation::Split| {
        let best = split.optimum;
        let range = split
            .params_interval
            .map_or("not identified".to_owned(), |i| {
                format!("{:.2e} to {:.2e}", i.low, i.high)
            });
        let beyond = if split.extrapolated {
            "extrapolated"
        } else {
            ""
        };
        let cells = [
            format!("{:.2e}", best.flops),
            format!("{:.3e}", best.params),
            range,
            format!("{:.3e}", best.tokens),
        ];
        let rest = [
            figure(best.tokens / best.params),
            format!("{:.4}", best.loss),
            beyond.to_owned(),
        ];
        cells.into_iter().chain(rest).collect()
    };
    let rows: Vec<Vec<String>> = [head]
        .into_iter()
        .chain(found.splits.iter().map(row))
        .collect();
    let range = match (
        &found.params_exponent_bounds,
        found.params_exponent_interval,
    ) {
        (_, Some(range)) => interval(&range),
        (Some(range), None) => format!("not identified: {}", bounds(range)),
        (None, None) => "not identified".to_owned(),
    };
    let per = study
        .counting
        .map_or(6.0, |found| found.per_parameter_and_token);
    let exponent = format!(
        "\n  Best split of compute under C = {} N D: N* ~ C^{:.4} ({range})",
        round(per),
        found.params_exponent
    );
    exponent + &aligned(&rows).replace("\n  ", "\n    ")
}

/// `6`, `6.43`.
fn round(value: f64) -> String {
    if (value - value.round()).abs() < 0.005 {
        format!("{value:.0}")
    } else {
        figure(value)
    }
}

fn returns(study: &Study) -> String {
    let Some(found) = &study.returns else {
        return String::new();
    };
    let range = found
        .doubling_interval
        .map_or("not identified".to_owned(), |i| interval(&i));
    let mut text = format!(
        "\n  Returns: from {:.2e} FLOPs, doubling buys {} nats ({range})",
        found.flops,
        figure(found.doubling_nats)
    );
    match found.seed_sd_nats {
        Some(sd) => {
            text += &format!(
                "; one run's sd is {} nats (between runs of one cell)",
                figure(sd)
            )
        }
        None => text += "; one run's sd is unknown, as no run is repeated",
    }
    if let Some(lost) = found.lost_in_noise_above_flops {
        let beyond = if found.extrapolated {
            ", extrapolated"
        } else {
            ""
        };
        let _ = write!(
            text,
            ", which a doubling no longer beats above {lost:.1e} FLOPs{beyond}"
        );
    }
    text + "."
}

fn isoflop(found: &IsoFlop) -> String {
    let head = ["C", "n", "N*", "L at N*", "sizes from N*", "nearest"]
        .map(str::to_owned)
        .to_vec();
    let row = |profile: &crate::analysis::fit::isoflop::Profile| {
        let or_none = |value: Option<String>| value.unwrap_or("-".to_owned());
        vec![
            format!("{:.2e}", profile.flops),
            profile.n.to_string(),
            or_none(profile.best_params.map(|n| format!("{n:.3e}"))),
            or_none(profile.best_loss.map(|loss| format!("{loss:.4}"))),
            or_none(
                profile
                    .reach
                    .map(|[low, high]| format!("/{low:.1} to x{high:.1}")),
            ),
            or_none(
                profile
                    .nearest
                    .map(|[low, high]| format!("/{low:.2}, x{high:.2}")),
            ),
            profile
                .reason
                .map(|reason| reason.words().to_owned())
                .unwrap_or_default(),
        ]
    };
    let rows: Vec<Vec<String>> = [head]
        .into_iter()
        .chain(found.profiles.iter().map(row))
        .collect();
    format!(
        "{}: {} points, {} budgets.{}",
        found.group,
        found.n,
        found.profiles.len(),
        aligned(&rows)
    )
}

fn ranking(found: &Ranking) -> String {
    let [one, other] = &found.groups;
    let told = found.verdict != Verdict::CannotTell || found.crossing_flops.is_some();
    let mut text = format!("\n  {one} against {other}: ");
    match (told, found.unranked) {
        (true, _) => text += &claim(found),
        (false, Some(reason)) => text += &format!("cannot be ranked: {}", reason.words()),
        (false, None) => text += "cannot be ranked",
    }
    for (name, compared) in [
        ("at equal compute", &found.at_equal_compute),
        ("at equal loss", &found.at_equal_loss),
    ] {
        let cells = compared.iter().map(|slopes| {
            let [a, b] = slopes.nats_per_doubling.map(figure);
            let at = if name == "at equal loss" {
                format!("{} nats", figure(slopes.at))
            } else {
                format!("{:.1e} FLOPs", slopes.at)
            };
            format!("{a} against {b} at {at} (p = {})", chance(slopes.p))
        });
        let cells: Vec<String> = cells.collect();
        if !cells.is_empty() {
            let _ = write!(text, "\n    nats per doubling {name}: {}", cells.join(", "));
        }
    }
    if let Some(p) = found.p_holm {
        let _ = write!(
            text,
            "\n    all of them one way: p = {} after Holm's correction",
            chance(p)
        );
    }
    if let Some(flops) = found.same_loss_at_flops {
        let _ = write!(
            text,
            "\n    both laws have the same loss at {flops:.2e} FLOPs"
        );
    }
    let own = |k: usize| {
        let range = found.bounds[k].map_or("no interval".to_owned(), |range| bounds(&range));
        format!(
            "{} {} ({range})",
            found.groups[k],
            figure(found.exponents[k])
        )
    };
    if found.bounds.iter().any(Option::is_some) {
        let _ = write!(
            text,
            "\n    {} with E free: {}, {}",
            found.parameter,
            own(0),
            own(1)
        );
    }
    if found.claims.is_empty() {
        return text;
    }
    let _ = write!(
        text,
        "\n    Of {}, one E for both would claim:",
        found.parameter
    );
    text + &claims(found)
}

/// Neighbouring values of E with one claim, on a line.
fn claims(found: &Ranking) -> String {
    let runs = found
        .claims
        .chunk_by(|a, b| (a.verdict, a.allowed) == (b.verdict, b.allowed));
    let rows: Vec<Vec<String>> = runs
        .filter_map(|run| {
            let (first, last) = (run.first()?, run.last()?);
            let says = match first.verdict {
                Verdict::CannotTell => "no difference told".to_owned(),
                verdict => format!("larger for {}", winner(found, verdict)),
            };
            let exponents = |k: usize| {
                format!(
                    "{} {}",
                    found.groups[k],
                    span(first.exponents[k], last.exponents[k])
                )
            };
            let allowed = if first.allowed {
                ""
            } else {
                "refused by the data"
            }
            .to_owned();
            Some(vec![
                format!("E = {}", span(first.irreducible, last.irreducible)),
                says,
                exponents(0),
                exponents(1),
                allowed,
            ])
        })
        .collect();
    aligned(&rows).replace("\n  ", "\n      ")
}

fn span(from: f64, to: f64) -> String {
    if from == to {
        figure(from)
    } else {
        format!("{} to {}", figure(from), figure(to))
    }
}
