//! What `effbench gain` says: the answer in a sentence, the vector of gains by variant, how changes combine, what they teach.

use comfy_table::Table;

use super::listing::headed;
use super::sentence::{ends, line, scientific, sentence, worth};
use super::table::Style;
use crate::analysis::axis::Axis;
use crate::analysis::recipe::Recipe;
use crate::analysis::spectrum::Spectrum;
use crate::analysis::study::{Picked, Study};
use crate::analysis::transfer::Transfer;
use crate::analysis::trend::Trend;
use crate::analysis::{Answer, Gain};
use crate::stat::{Estimate, Interval};
use crate::unit::{Count, Nats, Share, Times};

/// One study: first the answers' sentences at the question's place, then everything else.
pub fn gain(study: &Study, style: Style) -> String {
    let mut parts = vec![answers(study), vectors(study, style)];
    parts.extend(silent(study));
    parts.extend(trends(study));
    let asked = asked(study);
    let here = |recipe: &&Recipe| {
        asked.is_none_or(|a| recipe.scale == a.scale && recipe.budget == a.budget)
    };
    parts.extend(
        study
            .recipes
            .iter()
            .filter(here)
            .map(|recipe| self::recipe(recipe, &study.base, style)),
    );
    parts.extend(spectra(study, style));
    parts.extend(unanswered(study));
    parts.extend(caveats(study));
    parts.join("\n\n")
}

/// The answer whose scale and budget the rest is shown at: the headline's, else the last.
fn asked(study: &Study) -> Option<&Answer> {
    study
        .headline
        .and_then(|place| study.answers.get(place))
        .or(study.answers.last())
}

/// The answer at the question's place in full, then the other variants'.
fn answers(study: &Study) -> String {
    let Some(asked) = asked(study) else {
        return format!("No gain over {} can be told on {}.", study.base, study.data);
    };
    [sentence(asked)]
        .into_iter()
        .chain(others(study))
        .collect::<Vec<_>>()
        .join("\n")
}

/// What follows the answer where several variants ran at the question's place: the one that buys most, and a line for each but
/// the one in question.
pub(super) fn others(study: &Study) -> Option<String> {
    let asked = asked(study)?;
    let here = |answer: &&Answer| answer.scale == asked.scale && answer.budget == asked.budget;
    let others = study
        .answers
        .iter()
        .filter(here)
        .filter(|answer| answer.variant != asked.variant);
    let lines: Vec<String> = others.map(|answer| format!("  {}", line(answer))).collect();
    let head = (!lines.is_empty()).then(|| "The other changes at the same cost:".to_owned());
    let parts: Vec<String> = picked(study).into_iter().chain(head).chain(lines).collect();
    (!parts.is_empty()).then(|| parts.join("\n"))
}

/// The variant with the largest gain of several at the question's place. It was picked for that, so that chances are Holm's over all of them,
/// and whether it is ahead of the one that was asked about is another question.
pub(super) fn picked(study: &Study) -> Option<String> {
    let Picked { best, of, p } = study.picked()?;
    let sure = match p {
        Some(p) if p < 0.05 => "told from no gain after Holm's correction over all",
        Some(_) => "not told from no gain after Holm's correction over all",
        None => "one repeat cannot tell it from no gain",
    };
    let nats = best
        .equal_compute_nats
        .map(|nats| format!(" ({} nats at equal cost)", Nats(-nats.value)))
        .unwrap_or_default();
    Some(format!(
        "Of {of} variants at {} the one that gains most is {}: {} the compute of {}{nats}. It was picked as the largest of {of}, \
         which flatters it; {sure}.",
        place(best),
        best.variant,
        worth(&best.headline()),
        study.base,
    ))
}

/// `w32@400`.
fn place(answer: &Answer) -> String {
    let budget = answer
        .budget
        .map(|budget| format!("@{budget}"))
        .unwrap_or_default();
    format!("{}{budget}", answer.scale)
}

/// The gains on every axis that some trial knows.
fn vectors(study: &Study, style: Style) -> String {
    let known = |axis: &Axis| {
        study
            .answers
            .iter()
            .any(|answer| !matches!(answer.on(*axis), Gain::Unknown { .. }))
    };
    // Where every arm has the same batch, steps say what tokens say.
    let alike =
        |a: Option<f64>, b: Option<f64>| a.zip(b).is_some_and(|(a, b)| (a / b - 1.0).abs() < 1e-9);
    let again = study
        .answers
        .iter()
        .all(|a| alike(a.on(Axis::Steps).value(), a.on(Axis::Tokens).value()));
    // Where all trials ran at one price a second, money says what seconds say.
    let priced = study
        .answers
        .iter()
        .all(|a| alike(a.on(Axis::Money).value(), a.on(Axis::WallSeconds).value()));
    let repeated =
        |axis: &Axis| (again && *axis == Axis::Steps) || (priced && *axis == Axis::Money);
    let axes: Vec<Axis> = Axis::ALL
        .into_iter()
        .filter(known)
        .filter(|axis| !repeated(axis))
        .collect();
    let mut names = vec!["cell", "n", "tok/param"];
    names.extend(axes.iter().map(|axis| axis.heading()));
    names.push("nats");
    let mut table = headed(style, &names);
    for answer in &study.answers {
        let mut row = vec![answer.cell(), answer.n.to_string()];
        row.push(
            answer
                .read_at
                .map(|read_at| Count(read_at.tokens_per_param).to_string())
                .unwrap_or_default(),
        );
        row.extend(axes.iter().map(|axis| short(&answer.on(*axis))));
        row.push(
            answer
                .equal_compute_nats
                .map(|nats| Nats(nats.value).to_string())
                .unwrap_or_default(),
        );
        table.add_row(row);
    }
    let alike = if priced {
        "; money as seconds, at one price a second"
    } else {
        ""
    };
    let head = format!(
        "Times that {} must spend to match, by what is counted (95% intervals, bounds one-sided{alike}; nats: gained at equal model \
         FLOPs; {}):",
        study.base, study.data
    );
    format!("{head}\n\n{}", trimmed(&table))
}

fn trimmed(table: &Table) -> String {
    table.trim_fmt()
}

/// `1.82 (1.67 to 1.98)`, `> 4.0`.
pub(super) fn short(gain: &Gain) -> String {
    match gain {
        Gain::Solved(estimate) => ranged(estimate),
        Gain::MoreThan(bound) => format!("> {}", Times(bound.bound)),
        Gain::LessThan(bound) => format!("< {}", Times(bound.bound)),
        Gain::Unknown { .. } => String::new(),
    }
}

fn ranged(estimate: &Estimate) -> String {
    match &estimate.interval {
        Some(interval) => format!("{} ({})", Times(estimate.value), ends(interval)),
        None => Times(estimate.value).to_string(),
    }
}

/// The same, where it may not be known.
pub(super) fn optional(estimate: &Option<Estimate>) -> String {
    estimate
        .as_ref()
        .map_or_else(|| "not known".to_owned(), ranged)
}

/// How each gain moves with compute.
pub(super) fn trends(study: &Study) -> Option<String> {
    let line = |trend: &Trend| {
        let scale = trend
            .scale
            .as_ref()
            .map(|scale| format!("/{scale}"))
            .unwrap_or_default();
        let bounded = match trend.bounded {
            0 => String::new(),
            bounded => format!("; {bounded} more only bounded, left out"),
        };
        format!(
            "\n  - {}{scale}: times {} ({} levels, {} to {} FLOP{bounded})",
            trend.variant,
            ranged(&trend.per_doubling),
            trend.levels,
            scientific(trend.from_flops),
            scientific(trend.to_flops),
        )
    };
    let lines: String = study.trends.iter().map(line).collect();
    (!lines.is_empty()).then(|| {
        format!(
            "When compute doubles a gain over {} is multiplied by:{lines}",
            study.base
        )
    })
}

/// Axes that no trial knows.
fn silent(study: &Study) -> Option<String> {
    let unknown = |axis: &Axis| {
        study
            .answers
            .iter()
            .all(|answer| matches!(answer.on(*axis), Gain::Unknown { .. }))
    };
    let names: Vec<&str> = Axis::ALL
        .into_iter()
        .filter(unknown)
        .map(Axis::words)
        .collect();
    (!names.is_empty() && !study.answers.is_empty()).then(|| {
        format!(
            "Not known: gains in {} (nothing was read, or the arms ran on different machines).",
            names.join(", ")
        )
    })
}

/// How the gains of a recipe's changes combine.
pub fn recipe(recipe: &Recipe, base: &str, style: Style) -> String {
    let mut table = headed(style, &["change", "alone", "last in", "share (Shapley)"]);
    for change in &recipe.changes {
        table.add_row([
            change.variant.clone(),
            short(&change.alone),
            optional(&change.last),
            optional(&change.shapley),
        ]);
    }
    let budget = recipe
        .budget
        .map(|budget| format!("@{budget}"))
        .unwrap_or_default();
    format!(
        "{}/{}{budget} over {base}, change by change: {}\n\n{}",
        recipe.variant,
        recipe.scale,
        verdict(recipe),
        trimmed(&table)
    )
}

/// How a recipe's gains combine, in a sentence.
pub(super) fn verdict(recipe: &Recipe) -> String {
    let verdict = match recipe.interaction.map(|estimate| estimate.interval) {
        None => "a gain beyond the base's runs multiplies with nothing",
        Some(Some(i)) if i.high < 1.0 => "the changes overlap: their gains do not multiply",
        Some(Some(i)) if i.low > 1.0 => {
            "the changes help each other: together they gain more than the product"
        }
        Some(Some(_)) => "whether their gains multiply cannot be told",
        Some(None) => "one repeat cannot tell whether their gains multiply",
    };
    let rest = match &recipe.rest[..] {
        [] => String::new(),
        rest => format!(
            " It also changes what no variant changes alone: {}.",
            rest.join(", ")
        ),
    };
    let n = recipe
        .interaction
        .map(|estimate| format!(" (n = {})", estimate.n))
        .unwrap_or_default();
    format!(
        "together {}, the product of the single gains {}, joint over product {}{n}: {verdict}.{rest}",
        short(&recipe.joint),
        optional(&recipe.product),
        optional(&recipe.interaction),
    )
}

/// The spectrum of the headline in full, and at its budget the shares of every variant beside each other.
fn spectra(study: &Study, style: Style) -> Vec<String> {
    let Some(asked) = asked(study) else {
        return Vec::new();
    };
    let here: Vec<&Spectrum> = study
        .spectra
        .iter()
        .filter(|s| s.scale == asked.scale && s.budget == asked.budget)
        .collect();
    let mine = here
        .iter()
        .find(|s| s.variant == asked.variant)
        .map(|s| spectrum(s, &study.base, style));
    let all = (here.len() > 1).then(|| shares(&here, &study.base, style));
    mine.into_iter().chain(all).collect()
}

/// What each variant's gain at equal budget is made of, where it is told from 0.
fn shares(spectra: &[&Spectrum], base: &str, style: Style) -> String {
    let labels: Vec<&str> = spectra[0]
        .parts
        .iter()
        .map(|part| part.label.as_str())
        .collect();
    let mut names = vec!["variant", "gain, nats"];
    names.extend(&labels);
    let mut table = headed(style, &names);
    for spectrum in spectra {
        let share = |label: &&str| {
            let part = spectrum.parts.iter().find(|part| part.label == **label)?;
            Some(Share(part.share?.value).to_string())
        };
        let mut row = vec![spectrum.variant.clone(), nats(&spectrum.whole_nats)];
        row.extend(
            labels
                .iter()
                .map(|label| share(label).unwrap_or_else(|| "cannot tell".to_owned())),
        );
        table.add_row(row);
    }
    format!(
        "Shares of each variant's gain over {base} at the same budget, by what a token takes:\n\n{}",
        trimmed(&table)
    )
}

/// What a variant's gain is made of.
pub fn spectrum(spectrum: &Spectrum, base: &str, style: Style) -> String {
    let mut table = headed(
        style,
        &[
            "what it takes",
            "tokens",
            "base excess",
            "variant",
            "gain, nats",
            "share of gain",
        ],
    );
    for part in &spectrum.parts {
        let share = part
            .share
            .and_then(|share| Some((share.value, share.interval?)));
        table.add_row([
            part.label.clone(),
            Share(part.token_share).to_string(),
            Nats(part.base_nats).to_string(),
            Nats(part.variant_nats).to_string(),
            nats(&part.gain_nats),
            share
                .map(|(share, i)| {
                    format!("{} ({} to {})", Share(share), Share(i.low), Share(i.high))
                })
                .unwrap_or_default(),
        ]);
    }
    let budget = spectrum
        .budget
        .map(|budget| format!("@{budget}"))
        .unwrap_or_default();
    format!(
        "What {}/{}{budget} has learnt and {base} has not, at the same budget: {} nats in all (n = {}), by what a token takes:\n\n{}",
        spectrum.variant,
        spectrum.scale,
        nats(&spectrum.whole_nats),
        spectrum.whole_nats.n,
        trimmed(&table)
    )
}

fn nats(estimate: &Estimate) -> String {
    match estimate.interval {
        Some(Interval { low, high, .. }) => {
            format!("{} ({} to {})", Nats(estimate.value), Nats(low), Nats(high))
        }
        None => Nats(estimate.value).to_string(),
    }
}

fn unanswered(study: &Study) -> Option<String> {
    let lines: String = study
        .unanswered
        .iter()
        .map(|refused| format!("\n  - {}: {}", refused.cell, refused.reason))
        .collect();
    (!lines.is_empty()).then(|| format!("No gain:{lines}"))
}

/// Every caveat once, with the cells it is about.
fn caveats(study: &Study) -> Option<String> {
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    for answer in &study.answers {
        for caveat in &answer.caveats {
            let line = format!("{}. Remedy: {}.", caveat.message, caveat.remedy);
            match found.iter_mut().find(|(known, _)| *known == line) {
                Some((_, cells)) => cells.push(answer.cell()),
                None => found.push((line, vec![answer.cell()])),
            }
        }
    }
    let all = study.answers.len();
    let about = |cells: &[String]| {
        if cells.len() == all {
            String::new()
        } else {
            format!("{}: ", cells.join(", "))
        }
    };
    let lines: String = found
        .iter()
        .map(|(line, cells)| format!("\n  - {}{line}", about(cells)))
        .collect();
    (!lines.is_empty()).then(|| format!("Caveats:{lines}"))
}

/// The same variants on two kinds of data.
pub fn transfer(transfer: &Transfer, style: Style) -> String {
    let mut table = headed(style, &["variant", &transfer.first, &transfer.second]);
    for row in &transfer.rows {
        table.add_row([row.variant.clone(), short(&row.first), short(&row.second)]);
    }
    format!("{}\n\n{}", transfer_sentence(transfer), trimmed(&table))
}

/// Whether gains carry over from one kind of data to the other, in a sentence.
pub(super) fn transfer_sentence(transfer: &Transfer) -> String {
    let budget = transfer
        .budget
        .map(|budget| format!("@{budget}"))
        .unwrap_or_default();
    let ranks = match (transfer.rank_correlation, transfer.chance) {
        (Some(r), Some(p)) => format!(
            "rank correlation {r:.2} (chance alone does as well in {})",
            Share(p)
        ),
        (Some(r), None) => format!("rank correlation {r:.2}"),
        _ => "no rank correlation, as a gain is not known".to_owned(),
    };
    let sides = match transfer.told {
        0 => "no variant's gain is told from 1 on both".to_owned(),
        told => format!(
            "{} of {told} gains that are told from 1 on both are on the same side",
            transfer.same_side
        ),
    };
    format!(
        "Does it carry over? {} against {} at {}{budget}, {} variants: {sides}, {ranks}.",
        transfer.first,
        transfer.second,
        transfer.scale,
        transfer.rows.len(),
    )
}
