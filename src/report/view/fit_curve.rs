//! A law given by its formula, in text: its answer in a sentence, then what that rests on.

use std::fmt::Write;

use super::group::{about, capital};
use super::number::{NO_LUCK, bounds, chance, figure};
use crate::analysis::fit::curve::Residual;
use crate::analysis::fit::{Bounds, Parameter, Shape};
use crate::report::page::{Block, Table};
use crate::unit::Count;

/// What was found for one group, in one sentence; what the data do not say, that.
pub fn sentence(shape: &Shape) -> String {
    let floor = shape
        .parameters
        .first()
        .map_or(String::new(), |e| format!("E = {}", with_range(e)));
    let repeats = shape
        .repeats
        .map(|repeats| format!(", {repeats} repeats"))
        .unwrap_or_default();
    let figures = shape.figures.iter().map(|found| {
        format!(
            "; {} {} ({})",
            found.about,
            figure(found.value),
            range(found.interval.as_ref(), found.identified, shape)
        )
    });
    let open = shape.open();
    let misfit = shape.misfit.filter(|found| found.is_clear());
    let lead = match (&misfit, open.contains(&"E")) {
        (Some(_), _) => "the nearest such law falls toward",
        (None, true) => "as far as the data tell, the loss falls toward",
        (None, false) => "the loss falls toward",
    };
    let falls = format!(
        "{lead} {floor}{}; n = {} points{repeats}.",
        figures.collect::<String>(),
        shape.n
    );
    let mut text = match misfit {
        None => about(&shape.group, &falls),
        // Whoever reads one sentence must read this one.
        Some(found) => {
            let [a, b] = found.freedom;
            let doubt = format!(
                "this law does not describe the runs (lack of fit, F = {:.1} with {a} and {b}, p = {}): it summarises them, and \
                 predicts nothing.",
                found.f,
                chance(found.p)
            );
            format!("{} {}", about(&shape.group, &doubt), capital(&falls))
        }
    };
    if shape.residual_sd.is_none() {
        text += " There are as many parameters as points: nothing tests the law, and nothing bounds its parameters.";
    } else if !open.is_empty() {
        let _ = write!(text, " The data do not identify {}.", list(&open));
    }
    text
}

/// `a, b and alpha`.
fn list(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

fn with_range(parameter: &Parameter) -> String {
    match (parameter.held, &parameter.interval) {
        (true, _) => format!("{} (held)", figure(parameter.value)),
        (false, Some(found)) => format!("{} ({})", figure(parameter.value), bounds(found)),
        (false, None) => format!("{} (no interval)", figure(parameter.value)),
    }
}

/// An interval; `not identified` where an end is open.
fn range(found: Option<&Bounds>, identified: bool, shape: &Shape) -> String {
    match found {
        Some(found) if identified => bounds(found),
        Some(found) if found.low.is_some() || found.high.is_some() => {
            format!("not identified: {}", bounds(found))
        }
        Some(_) => "not identified".to_owned(),
        None if shape.residual_sd.is_none() => "no interval".to_owned(),
        None => "held".to_owned(),
    }
}

/// Everything that was found for one group.
pub fn blocks(shape: &Shape) -> Vec<Block> {
    let repeats = shape
        .repeats
        .map(|repeats| format!(" in {repeats} repeats"))
        .unwrap_or_default();
    let count = |name: &str, range: Option<[f64; 2]>| match range {
        None => String::new(),
        Some([low, high]) if (low / high - 1.0).abs() < 1e-9 => format!(", {name} {}", Count(low)),
        Some([low, high]) => format!(", {name} {} to {}", Count(low), Count(high)),
    };
    let ratio = shape.tokens_per_param.map_or(String::new(), |[low, high]| {
        format!(", {} to {} tokens a parameter", figure(low), figure(high))
    });
    let epochs = shape.epochs.map_or(String::new(), |[low, high]| {
        format!(", {} to {} epochs", figure(low), figure(high))
    });
    let head = format!(
        "{}: {} points{repeats}{}{}{ratio}{epochs}.",
        shape.group,
        shape.n,
        count("N", shape.params),
        count("D", shape.tokens)
    );
    let mut items = vec![format!("Intervals: {}.", shape.interval_method)];
    items.extend(fit_quality(shape));
    for profile in &shape.profiles {
        let lowest = profile
            .tried
            .iter()
            .map(|tried| tried[1])
            .fold(shape.objective, f64::min);
        let rise = |tried: &[f64; 2]| {
            format!(
                "{} +{:.2}%",
                figure(tried[0]),
                100.0 * (tried[1] / lowest - 1.0)
            )
        };
        let cells: Vec<String> = profile.tried.iter().map(rise).collect();
        items.push(format!(
            "Profile of {} (rise of the objective): {}",
            profile.parameter,
            cells.join(", ")
        ));
    }
    vec![
        Block::Text(head),
        Block::Table(parameters(shape)),
        Block::List {
            head: String::new(),
            items,
        },
    ]
}

fn parameters(shape: &Shape) -> Table {
    let mut table = Table::new(["parameter", "value", "interval", "bootstrap SE"]);
    let row = |p: &Parameter| {
        let range = match (&p.interval, p.held) {
            (_, true) => "held".to_owned(),
            (Some(found), _) => bounds(found),
            (None, _) => "none: too few points".to_owned(),
        };
        vec![
            p.name.to_owned(),
            digits(p.value),
            range,
            p.bootstrap_se.map(figure).unwrap_or_default(),
        ]
    };
    let figures = shape.figures.iter().map(|found| {
        let range = range(found.interval.as_ref(), found.identified, shape);
        vec![
            found.name.to_owned(),
            digits(found.value),
            range,
            String::new(),
        ]
    });
    table.rows.extend(shape.parameters.iter().map(row));
    table.rows.extend(figures);
    table
}

/// Six digits: parameters are compared with published ones.
fn digits(value: f64) -> String {
    match value.abs() {
        size if (1e-3..1e6).contains(&size) => {
            let decimals = (5 - size.log10().floor() as i32).max(0) as usize;
            format!("{value:.decimals$}")
        }
        _ => format!("{value:.5e}"),
    }
}

fn fit_quality(shape: &Shape) -> Vec<String> {
    let unit = if shape.residual == Residual::Log {
        "of ln L"
    } else {
        "nats"
    };
    let sd = shape.residual_sd.map_or("no residual sd".to_owned(), |sd| {
        format!("sd {} {unit}", figure(sd))
    });
    let squared = shape
        .r_squared
        .map_or(String::new(), |r| format!("; R^2 {r:.5}"));
    let worst = shape
        .residuals_nats
        .iter()
        .copied()
        .fold(0.0, |a: f64, b| if b.abs() > a.abs() { b } else { a });
    let mut items = vec![match shape.exact {
        true => NO_LUCK.to_owned(),
        false => format!(
            "Residuals: {sd}, worst {} nats; objective {:.8e}{squared}.",
            figure(worst),
            shape.objective
        ),
    }];
    if let Some(found) = &shape.misfit {
        let [a, b] = found.freedom;
        let verdict = if found.is_clear() {
            "this law does not describe the runs"
        } else {
            "nothing speaks against the law's form"
        };
        let p = chance(found.p);
        items.push(format!(
            "Lack of fit: {verdict} (F = {:.1} with {a} and {b}, p = {p}).",
            found.f
        ));
    }
    items
}
