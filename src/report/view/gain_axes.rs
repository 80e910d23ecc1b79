//! A variant's worth on every axis of cost, and against training length.

use super::hue::Hues;
use super::sentence::{ends, scientific};
use crate::analysis::axis::Axis as Counted;
use crate::analysis::study::Study;
use crate::analysis::trend::Trend;
use crate::analysis::{Answer, Gain};
use crate::report::page::{
    Axis, Block, Chart, Figure, Mark, Point, Quantity, Scatter, Series, Table,
};
use crate::stat::{Estimate, Interval};
use crate::unit::{Count, Nats, Times};

/// The answer whose scale and budget the rest is shown at.
pub(super) fn asked(study: &Study) -> Option<&Answer> {
    study.asked().or(study.answers.last())
}

/// Whether two figures are the same but for rounding.
fn alike(a: Option<f64>, b: Option<f64>) -> bool {
    a.zip(b).is_some_and(|(a, b)| (a / b - 1.0).abs() < 1e-9)
}

/// Whether all trials ran at one price a second, so that money says what seconds say.
fn priced_alike(study: &Study) -> bool {
    study.answers.iter().all(|a| {
        alike(
            a.on(Counted::Money).value(),
            a.on(Counted::WallSeconds).value(),
        )
    })
}

/// The axes that some trial knows, without those that repeat another.
pub(super) fn axes(study: &Study) -> Vec<Counted> {
    let known = |axis: &Counted| {
        study
            .answers
            .iter()
            .any(|answer| !matches!(answer.on(*axis), Gain::Unknown { .. }))
    };
    // Where every arm has the same batch, steps say what tokens say.
    let again = study
        .answers
        .iter()
        .all(|a| alike(a.on(Counted::Steps).value(), a.on(Counted::Tokens).value()));
    let priced = priced_alike(study);
    let repeated =
        |axis: &Counted| (again && *axis == Counted::Steps) || (priced && *axis == Counted::Money);
    Counted::ALL
        .into_iter()
        .filter(known)
        .filter(|axis| !repeated(axis))
        .collect()
}

/// The gains on every axis that some trial knows.
pub(super) fn vectors(study: &Study) -> Vec<Block> {
    if study.answers.is_empty() {
        return Vec::new();
    }
    let axes = axes(study);
    let mut names = vec!["cell", "n", "tok/param"];
    names.extend(axes.iter().map(|axis| axis.heading()));
    names.push("nats");
    let mut table = Table::new(names);
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
        table.row(row);
    }
    let alike = if priced_alike(study) {
        "; money as seconds, at one price a second"
    } else {
        ""
    };
    let head = format!(
        "Times that {} must spend to match, by what is counted (95% intervals, bounds one-sided{alike}; nats: gained at equal model \
         FLOPs; {}):",
        study.base, study.data
    );
    vec![Block::Text(head), Block::Table(table)]
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
pub(super) fn trends(study: &Study) -> Option<Block> {
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
            "{}{scale}: times {} ({} levels, {} to {} FLOP{bounded})",
            trend.variant,
            ranged(&trend.per_doubling),
            trend.levels,
            scientific(trend.from_flops),
            scientific(trend.to_flops),
        )
    };
    let items: Vec<String> = study.trends.iter().map(line).collect();
    (!items.is_empty()).then(|| Block::List {
        head: format!(
            "As measured, between the levels that ran, a gain over {} is multiplied with each doubling of compute by (a law over \
             all levels, `--along compute`, says what it makes of it):",
            study.base
        ),
        items,
    })
}

/// Axes that no trial knows.
pub(super) fn silent(study: &Study) -> Option<Block> {
    let unknown = |axis: &Counted| {
        study
            .answers
            .iter()
            .all(|answer| matches!(answer.on(*axis), Gain::Unknown { .. }))
    };
    let names: Vec<&str> = Counted::ALL
        .into_iter()
        .filter(unknown)
        .map(Counted::words)
        .collect();
    (!names.is_empty() && !study.answers.is_empty()).then(|| {
        Block::Text(format!(
            "Not known: gains in {} (nothing was read, or the arms ran on different machines).",
            names.join(", ")
        ))
    })
}

/// The ends of an interval, where both lie within the base's runs.
fn closed(interval: Interval) -> Option<(f64, f64)> {
    (interval.low > 0.0 && interval.high.is_finite()).then_some((interval.low, interval.high))
}

/// Gain against the variant's budget: does it grow or fade with compute?
pub(super) fn against_length(study: &Study, hue: Hues) -> Option<Figure> {
    let mut series: Vec<Series> = Vec::new();
    for answer in &study.answers {
        let Some(value) = answer.headline().value() else {
            continue;
        };
        let (interval, bound) = match answer.headline() {
            Gain::Solved(estimate) => (estimate.interval.and_then(closed), ""),
            Gain::MoreThan(_) => (None, "at least, "),
            _ => (None, "at most, "),
        };
        let Some(read_at) = answer.read_at else {
            continue;
        };
        let name = format!("{} {}", answer.variant, answer.scale);
        let point = Point {
            x: read_at.tokens_per_param,
            y: value,
            interval,
            note: format!(
                "{bound}{} steps, n = {}",
                answer.budget.unwrap_or_default(),
                answer.n
            ),
        };
        match series.iter_mut().find(|series| series.name == name) {
            Some(known) => known.points.push(point),
            None => {
                let hue = hue(&answer.variant);
                series.push(Series {
                    name,
                    hue,
                    mark: Mark::Joined,
                    points: vec![point],
                });
            }
        }
    }
    // A variant with one budget is a point beside the others' lines; where all have one there is nothing to see.
    let several = series.iter().any(|series| series.points.len() > 1);
    several.then(|| Figure {
        title: format!("Gain against training length on {}", study.data),
        caption: format!(
            "Does a gain over {} grow or fade as training goes on? Each line is one variant at its budgets. Bars are 95% \
             intervals; a point without one beyond the base's runs is a bound.",
            study.base
        ),
        chart: Chart::Scatter(Scatter {
            x: Axis::log("training tokens per parameter", Quantity::Count),
            y: Axis::log("gain in model FLOPs", Quantity::Times),
            series,
            rules: Vec::new(),
        }),
    })
}
