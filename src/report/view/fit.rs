//! A fit in text: the answer first, then what it rests on, group by group.

use super::fit_ranked::{claim, matched, winner};
use super::fit_sentence::floor;
pub use super::fit_sentence::sentence;
use super::fit_split::{allocation, isoflop, returns};
use super::number::{NO_LUCK, bounds, chance, figure};
use super::profiles::figure as figure_of;
use super::{joint, projection};
use crate::analysis::fit::{Findings, ProfileOf, Ranking, Refit, Study, Verdict};
use crate::analysis::projection::Projection;
use crate::report::page::{Block, Hue, Page, Table};
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
    let followed = projected.iter().flat_map(|(group, found)| {
        let said = format!("{group}: {}", projection::sentence(found));
        std::iter::once(Block::Text(said)).chain(projection::rest(found, None))
    });
    if let Some(section) = page.sections.first_mut() {
        section.blocks.extend(followed);
    }
    page
}

/// Everything that was found.
pub fn blocks(findings: &Findings) -> Vec<Block> {
    let hue = |group: &str| {
        let place = findings
            .groups
            .iter()
            .position(|study| study.group == group);
        place.map_or(Hue::Neutral, Hue::Variant)
    };
    let mut blocks = vec![Block::Lead(sentence(findings))];
    let drawn = findings.profiles.iter();
    blocks.extend(
        drawn
            .filter_map(|found| figure_of(found, &hue))
            .map(Block::Plot),
    );
    blocks.push(Block::Text(format!(
        "Law: {} ({}: {}).",
        findings.formula, findings.law, findings.source
    )));
    blocks.extend(findings.groups.iter().flat_map(study));
    blocks.extend(findings.profiles.iter().flat_map(isoflop));
    blocks.extend(findings.shapes.iter().flat_map(super::fit_curve::blocks));
    blocks.extend(findings.rates.iter().flat_map(super::fit_rate::blocks));
    blocks.extend(super::fit_asked::blocks(findings));
    for found in &findings.rankings {
        blocks.extend(ranking(found));
    }
    let matches: Vec<String> = findings.matches.iter().map(matched).collect();
    if !matches.is_empty() {
        blocks.push(Block::List {
            head: "Scale against the algorithm:".to_owned(),
            items: matches,
        });
    }
    blocks.push(Block::List {
        head: "Counted:".to_owned(),
        items: findings
            .notes
            .iter()
            .map(|note| format!("{note}."))
            .collect(),
    });
    blocks
}

fn study(study: &Study) -> Vec<Block> {
    let head = format!("{}: {}; {}.", study.group, ranges(study), floor(study));
    let mut blocks = vec![Block::Text(head), Block::Table(parameters(study))];
    let mut items = open_parameters(study);
    items.push(format!("Intervals: {}.", study.interval_method));
    items.extend(residuals(study));
    items.extend(lack_of_fit(study));
    items.extend(study.profiles.iter().map(profile));
    items.push(forecast(study));
    items.extend(counting(study));
    items.extend(returns(study).filter(|_| study.describes()));
    blocks.push(Block::List {
        head: String::new(),
        items,
    });
    blocks.extend(sensitivity(study));
    let split = study.allocation.as_ref().filter(|_| study.describes());
    blocks.extend(split.into_iter().flat_map(|found| allocation(study, found)));
    blocks
}

/// What the data do not say of the parameters.
fn open_parameters(study: &Study) -> Vec<String> {
    let open: Vec<&str> = study
        .parameters
        .iter()
        .filter(|p| !p.held && !p.identified)
        .map(|p| p.name)
        .collect();
    let not = (!open.is_empty()).then(|| format!("The data do not identify {}.", open.join(", ")));
    let untested = (!study.tests_form)
        .then(|| "As many budgets as parameters: nothing tests the law's form.".to_owned());
    not.into_iter().chain(untested).collect()
}

fn residuals(study: &Study) -> Option<String> {
    let sd = study.residual_sd?;
    if study.exact {
        return Some(NO_LUCK.to_owned());
    }
    let worst = study
        .residuals_nats
        .iter()
        .copied()
        .fold(0.0, |a: f64, b| if b.abs() > a.abs() { b } else { a });
    Some(format!(
        "Residuals: sd {:.2}% of the loss, worst {} nats; objective {:.6e}.",
        100.0 * sd,
        figure(worst),
        study.objective
    ))
}

fn lack_of_fit(study: &Study) -> Option<String> {
    let found = study.misfit.as_ref()?;
    let verdict = if found.is_clear() {
        "this law does not describe the runs"
    } else {
        "nothing speaks against the law's form"
    };
    let [a, b] = found.freedom;
    Some(format!(
        "Lack of fit: {verdict} (F = {:.1} with {a} and {b}, p = {}).",
        found.f,
        chance(found.p)
    ))
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

fn parameters(study: &Study) -> Table {
    let mut table = Table::new(["parameter", "value", "interval", "bootstrap SE"]);
    for p in &study.parameters {
        let range = match (&p.interval, p.held) {
            (_, true) => "held".to_owned(),
            (Some(found), _) => bounds(found),
            (None, _) => format!(
                "none: {}",
                study.silence.map_or("not asked", |silence| silence.words())
            ),
        };
        let error = p.bootstrap_se.map(figure).unwrap_or_default();
        table.row([p.name.to_owned(), figure(p.value), range, error]);
    }
    table
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
        "Profile of {} (rise of the objective; * not refused): {}",
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

fn sensitivity(study: &Study) -> Vec<Block> {
    if study.refits.is_empty() {
        return Vec::new();
    }
    let names = study.parameters.iter().map(|p| p.name);
    let mut table = Table::new(["points", "n"].into_iter().chain(names).chain([""]));
    for refit in &study.refits {
        let values = refit.values.iter().map(|value| figure(*value));
        let moved = if refit.moved.is_empty() {
            String::new()
        } else {
            format!("moves {}", refit.moved.join(", "))
        };
        let first = [refit.what.clone(), refit.n.to_string()];
        table.row(first.into_iter().chain(values).chain([moved]));
    }
    let told = study
        .refits
        .iter()
        .find(|refit| !refit.moved.is_empty())
        .map(|refit| moved(study, refit));
    let none = "no refit leaves an interval".to_owned();
    vec![
        Block::Text(format!("Sensitivity: {}.", told.unwrap_or(none))),
        Block::Table(table),
    ]
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
        return "Forecast: too few budgets to leave the largest out.".to_owned();
    };
    format!(
        "Forecast: fitted to {} points up to {:.2e} FLOPs, the {} up to {:.2e} are missed by {} nats rms (mean {:+.4}; \
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
fn counting(study: &Study) -> Option<String> {
    let found = study.counting.filter(|found| found.differs())?;
    let [low, high] = found.range;
    Some(format!(
        "C is {} N D in these runs ({} to {}), not 6 N D: best splits are read off that.",
        figure(found.per_parameter_and_token),
        figure(low),
        figure(high)
    ))
}

/// Who of two gains more from scale.
fn ranking(found: &Ranking) -> Vec<Block> {
    let [one, other] = &found.groups;
    let told = found.verdict != Verdict::CannotTell || found.crossing_flops.is_some();
    let mut text = format!("Who gains more from scale? {one} against {other}: ");
    match (told, found.unranked) {
        (true, _) => text += &claim(found),
        (false, Some(reason)) => text += &format!("cannot be ranked: {}", reason.words()),
        (false, None) => text += "cannot be ranked",
    }
    let mut items = Vec::new();
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
            items.push(format!("nats per doubling {name}: {}", cells.join(", ")));
        }
    }
    if let Some(p) = found.p_holm {
        items.push(format!(
            "all of them one way: p = {} after Holm's correction",
            chance(p)
        ));
    }
    if let Some(flops) = found.same_loss_at_flops {
        items.push(format!("both laws have the same loss at {flops:.2e} FLOPs"));
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
        items.push(format!(
            "{} with E free: {}, {}",
            found.parameter,
            own(0),
            own(1)
        ));
    }
    let mut blocks = vec![Block::List { head: text, items }];
    if !found.claims.is_empty() {
        let head = format!("Of {}, one E for both would claim:", found.parameter);
        blocks.extend([Block::Text(head), Block::Table(claims(found))]);
    }
    blocks
}

/// Neighbouring values of E with one claim, on a line.
fn claims(found: &Ranking) -> Table {
    let runs = found
        .claims
        .chunk_by(|a, b| (a.verdict, a.allowed) == (b.verdict, b.allowed));
    let rows = runs.filter_map(|run| {
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
    });
    let mut table = Table::new(["irreducible loss", "claim", "", "", ""]);
    table.rows.extend(rows);
    table
}

fn span(from: f64, to: f64) -> String {
    if from == to {
        figure(from)
    } else {
        format!("{} to {}", figure(from), figure(to))
    }
}
