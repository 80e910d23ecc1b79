//! What each variant is worth: the winner first, then every variant in a sentence, as a forest, on every axis, against training
//! length, change by change, and on other data.

use super::price;
use super::sentence::{ends, line, scientific, sentence, worth};
use crate::analysis::axis::Axis as Counted;
use crate::analysis::gain::Sign;
use crate::analysis::recipe::Recipe;
use crate::analysis::spectrum::Spectrum;
use crate::analysis::study::{Picked, Study};
use crate::analysis::transfer::Transfer;
use crate::analysis::trend::Trend;
use crate::analysis::{Answer, Gain};
use crate::config::Price;
use crate::report::page::{
    Axis, Block, Chart, Figure, Forest, Hue, Mark, Open, Page, Point, Quantity, Row, Scatter,
    Series, Table,
};
use crate::stat::{Estimate, Interval};
use crate::unit::{Count, Nats, Share, Times};

/// Whose colour is whose.
pub(super) type Hues<'a> = &'a dyn Fn(&str) -> Hue;

/// What `effbench gain` says: each kind of data's answer and all that belongs to it, whether gains carry over, and at whose prices.
pub fn page(studies: &[Study], carried_over: &[Transfer], price: &Price) -> Page {
    let variants = variants(studies);
    let hue = |name: &str| {
        let place = variants.iter().position(|known| known == name);
        place.map_or(Hue::Neutral, Hue::Variant)
    };
    let mut blocks = Vec::new();
    for study in studies {
        if studies.len() > 1 {
            blocks.push(Block::Heading(format!("On {}", study.data)));
        }
        blocks.extend(headline(study).map(Block::Lead));
        blocks.extend(answers(study, &hue));
        blocks.extend(of_study(study, &hue));
        blocks.extend(spectra(study));
        blocks.extend(caveats(study));
    }
    blocks.extend(carried_over.iter().flat_map(carried));
    blocks.extend(price::assumptions(price));
    let title = match studies {
        [study, ..] => format!("What each variant is worth over {}", study.base),
        [] => "What each variant is worth".to_owned(),
    };
    Page::answer(&title, variants, blocks)
}

/// The base first, then the variants in the order in which they ran.
fn variants(studies: &[Study]) -> Vec<String> {
    let mut variants: Vec<String> = Vec::new();
    for study in studies {
        let names = study.answers.iter().map(|answer| &answer.variant);
        for name in std::iter::once(&study.base).chain(names) {
            if !variants.contains(name) {
                variants.push(name.clone());
            }
        }
    }
    variants
}

/// All that a study holds but its answers' sentences and plots, what each variant has learnt, and the caveats.
pub(super) fn of_study(study: &Study, hue: Hues) -> Vec<Block> {
    let strip = strip(study, hue).filter(|_| forest(study, hue).is_some());
    let mut blocks: Vec<Block> = strip.map(Block::Plot).into_iter().collect();
    blocks.extend(vectors(study));
    blocks.extend(silent(study));
    blocks.extend(against_length(study, hue).map(Block::Plot));
    blocks.extend(trends(study));
    let asked = asked(study);
    let here = |recipe: &&Recipe| {
        asked.is_none_or(|a| recipe.scale == a.scale && recipe.budget == a.budget)
    };
    let recipes = study.recipes.iter().filter(here);
    blocks.extend(recipes.flat_map(|recipe| combined(study, recipe)));
    blocks.extend(unanswered(study));
    blocks
}

/// The answer whose scale and budget the rest is shown at: the headline's, else the last.
pub(super) fn asked(study: &Study) -> Option<&Answer> {
    study
        .headline
        .and_then(|place| study.answers.get(place))
        .or(study.answers.last())
}

/// Every answer at the question's place.
fn beside(study: &Study) -> Vec<&Answer> {
    let Some(asked) = asked(study) else {
        return Vec::new();
    };
    let here = |answer: &&Answer| answer.scale == asked.scale && answer.budget == asked.budget;
    study.answers.iter().filter(here).collect()
}

/// The finding in a few words, the winner first, with the size and the compute it was found at; no figure that the sentences
/// below it do not give the interval of.
pub(super) fn headline(study: &Study) -> Option<String> {
    let asked = asked(study)?;
    let (best, of) = match study.picked() {
        Some(Picked { best, of, .. }) => (best, of),
        None => (asked, 1),
    };
    let told = best.headline().sign() == Sign::More;
    let (first, of) = if told { (best, of) } else { (asked, 1) };
    let said = verdict(first, of);
    if first.variant == asked.variant {
        return Some(said);
    }
    // The question's own variant comes second, and so shortly.
    let asked_for = match asked.headline() {
        Gain::Unknown { .. } => "not known".to_owned(),
        gain => worth(&gain),
    };
    let said = said.trim_end_matches('.');
    Some(format!(
        "{said}; {}, which was asked about: {asked_for}.",
        asked.variant
    ))
}

/// One variant's worth; the most of several where it was picked.
fn verdict(answer: &Answer, of: usize) -> String {
    let Answer { base, variant, .. } = answer;
    let gain = answer.headline();
    let times = match gain {
        Gain::Solved(estimate) => Times(estimate.value).to_string(),
        Gain::MoreThan(bound) => format!("more than {}", Times(bound.bound)),
        Gain::LessThan(bound) => format!("less than {}", Times(bound.bound)),
        Gain::Unknown { .. } => {
            return format!("What {variant} is worth against {base} cannot be told.");
        }
    };
    let at = answer.read_at.map(|read_at| {
        format!(
            " at {} parameters and {} FLOP",
            Count(read_at.params as f64),
            scientific(read_at.train_flops)
        )
    });
    let at = at.unwrap_or_default();
    let most = if of > 1 {
        format!(", the most of {of} variants")
    } else {
        String::new()
    };
    match gain.sign() {
        Sign::More => format!("{variant} is worth {times} times {base}’s compute{at}{most}."),
        Sign::Less => format!("{variant} is worth only {times} times {base}’s compute{at}."),
        Sign::Unclear => format!(
            "Whether {variant} beats {base} cannot be told from {}.",
            repeats(answer.n)
        ),
    }
}

/// `4 repeats`.
fn repeats(n: usize) -> String {
    if n == 1 {
        "one repeat".to_owned()
    } else {
        format!("{n} repeats")
    }
}

/// The answer at the question's place in full, its plots, and the other variants' answers.
pub(super) fn answers(study: &Study, hue: Hues) -> Vec<Block> {
    let Some(asked) = asked(study) else {
        let none = format!("No gain over {} can be told on {}.", study.base, study.data);
        return vec![Block::Lead(none)];
    };
    let mut blocks = vec![Block::Text(sentence(asked))];
    let plot = forest(study, hue).or_else(|| strip(study, hue));
    blocks.extend(plot.map(Block::Plot));
    blocks.extend(picked(study).map(Block::Text));
    let items = others(study);
    if !items.is_empty() {
        blocks.push(Block::List {
            head: OTHERS.to_owned(),
            items,
        });
    }
    blocks
}

/// Before the other variants' lines.
const OTHERS: &str = "The other changes at the same cost:";

/// A line for each variant at the question's place but the one in question, the best first.
fn others(study: &Study) -> Vec<String> {
    let Some(asked) = asked(study) else {
        return Vec::new();
    };
    let mut others = beside(study);
    others.retain(|answer| answer.variant != asked.variant);
    best_first(&mut others);
    others.into_iter().map(line).collect()
}

/// By what they buy at equal compute, as the winner is picked.
fn best_first(answers: &mut [&Answer]) {
    let rank = |answer: &Answer| {
        answer
            .equal_compute_nats
            .map_or(f64::NEG_INFINITY, |nats| nats.value)
    };
    answers.sort_by(|a, b| rank(b).total_cmp(&rank(a)));
}

/// What follows the answer where several variants ran at the question's place, in lines: the one that buys most, and the others.
pub fn rest(study: &Study) -> Option<String> {
    let lines = others(study);
    let head = (!lines.is_empty()).then(|| OTHERS.to_owned());
    let lines = lines.into_iter().map(|line| format!("  {line}"));
    let parts: Vec<String> = picked(study).into_iter().chain(head).chain(lines).collect();
    (!parts.is_empty()).then(|| parts.join("\n"))
}

/// The variant with the largest gain of several at the question's place. It was picked for that, so that chances are Holm's over all of them,
/// and whether it is ahead of the one that was asked about is another question.
fn picked(study: &Study) -> Option<String> {
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

/// What each variant at the question's place is worth, the best first; nothing where there is one only.
fn forest(study: &Study, hue: Hues) -> Option<Figure> {
    let asked = asked(study)?;
    let mut shown = beside(study);
    best_first(&mut shown);
    let rows: Vec<Row> = shown.into_iter().filter_map(|a| row(a, hue)).collect();
    let at = asked
        .budget
        .map(|budget| format!(" at {budget} steps of {}", asked.scale))
        .unwrap_or_default();
    (rows.len() > 1).then(|| Figure {
        title: format!("What each variant is worth on {}", study.data),
        caption: format!(
            "Times that {} must spend in model FLOPs to reach the loss of each variant{at}. Right of the broken line at 1 the \
             variant is worth more than its compute. Bars are 95% intervals over repeats; an arrow is a bound.",
            study.base
        ),
        chart: Chart::Forest(Forest {
            x: Axis::log(
                &format!("gain: times {}’s model FLOPs", study.base),
                Quantity::Times,
            ),
            null: Some(1.0),
            rows,
        }),
    })
}

fn row(answer: &Answer, hue: Hues) -> Option<Row> {
    gain_row(
        &answer.variant,
        hue(&answer.variant),
        &answer.headline(),
        answer.n,
    )
}

/// What the answer's variant is worth by whatever is counted.
pub(super) fn strip(study: &Study, hue: Hues) -> Option<Figure> {
    let answer = asked(study)?;
    let Answer {
        base, variant, n, ..
    } = answer;
    let row = |axis: Counted| gain_row(axis.words(), hue(variant), &answer.on(axis), *n);
    let rows: Vec<Row> = axes(study).into_iter().filter_map(row).collect();
    (!rows.is_empty()).then(|| Figure {
        title: format!("What {variant} is worth, by what you count"),
        caption: format!(
            "A gain of 2 means that {base} must spend twice as much to reach the loss that {variant} reaches{}. Right of the \
             broken line at 1 {variant} wins. Bars are 95% intervals over {}.",
            at(answer),
            repeats(*n)
        ),
        chart: Chart::Forest(Forest {
            x: Axis::log(&format!("gain: times {base}’s spending"), Quantity::Times),
            null: Some(1.0),
            rows,
        }),
    })
}

/// ` at 400 steps`, where cells carry a budget.
pub(super) fn at(answer: &Answer) -> String {
    answer
        .budget
        .map(|steps| format!(" at {steps} steps"))
        .unwrap_or_default()
}

/// A gain as a row of a forest; nothing where it is not known.
fn gain_row(name: &str, hue: Hue, gain: &Gain, n: usize) -> Option<Row> {
    let (value, interval, open) = match gain {
        Gain::Solved(e) => (e.value, e.interval.map(|i| (i.low, i.high)), Open::No),
        Gain::MoreThan(bound) => (bound.bound, None, Open::Above),
        Gain::LessThan(bound) => (bound.bound, None, Open::Below),
        Gain::Unknown { .. } => return None,
    };
    Some(Row {
        name: name.to_owned(),
        hue,
        value,
        interval,
        open,
        note: format!("n = {n}"),
    })
}

/// The ends of an interval, where both lie within the base's runs.
fn closed(interval: Interval) -> Option<(f64, f64)> {
    (interval.low > 0.0 && interval.high.is_finite()).then_some((interval.low, interval.high))
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
fn axes(study: &Study) -> Vec<Counted> {
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
fn vectors(study: &Study) -> Vec<Block> {
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
fn trends(study: &Study) -> Option<Block> {
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
fn silent(study: &Study) -> Option<Block> {
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

/// Gain against the variant's budget: does it grow or fade with compute?
fn against_length(study: &Study, hue: Hues) -> Option<Figure> {
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

/// How the gains of a recipe's changes combine.
fn combined(study: &Study, recipe: &Recipe) -> Vec<Block> {
    let mut table = Table::new(["change", "alone", "last in", "share (Shapley)"]);
    for change in &recipe.changes {
        table.row([
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
    let text = format!(
        "{}/{}{budget} over {}, change by change: {}",
        recipe.variant,
        recipe.scale,
        study.base,
        combination(recipe)
    );
    vec![Block::Text(text), Block::Table(table)]
}

/// How a recipe's gains combine, in a sentence.
fn combination(recipe: &Recipe) -> String {
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

/// What the headline's variant has learnt in full, and at its budget the shares of every variant beside each other.
fn spectra(study: &Study) -> Vec<Block> {
    let Some(asked) = asked(study) else {
        return Vec::new();
    };
    let here: Vec<&Spectrum> = study
        .spectra
        .iter()
        .filter(|s| s.scale == asked.scale && s.budget == asked.budget)
        .collect();
    let mine = here.iter().find(|s| s.variant == asked.variant);
    let mut blocks: Vec<Block> = mine
        .map(|s| learnt(s, &study.base))
        .into_iter()
        .flatten()
        .collect();
    if here.len() > 1 {
        blocks.extend(shares(&here, &study.base));
    }
    blocks
}

/// What each variant's gain at equal budget is made of, where it is told from 0.
fn shares(spectra: &[&Spectrum], base: &str) -> Vec<Block> {
    let labels: Vec<&str> = spectra[0]
        .parts
        .iter()
        .map(|part| part.label.as_str())
        .collect();
    let mut names = vec!["variant", "ahead by, nats"];
    names.extend(&labels);
    let mut table = Table::new(names);
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
        table.row(row);
    }
    let head = format!(
        "Shares of what each variant is ahead of {base} at the same size and steps, by what a token takes:"
    );
    vec![Block::Text(head), Block::Table(table)]
}

/// What a variant's gain is made of.
fn learnt(spectrum: &Spectrum, base: &str) -> Vec<Block> {
    let mut table = Table::new([
        "what it takes",
        "tokens",
        "base excess",
        "variant",
        "ahead by, nats",
        "share of gain",
    ]);
    for part in &spectrum.parts {
        let share = part
            .share
            .and_then(|share| Some((share.value, share.interval?)));
        table.row([
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
    let head = format!(
        "What {}/{}{budget} has learnt and {base} has not, at the same size and steps: {} nats in all (n = {}), by what a token takes:",
        spectrum.variant,
        spectrum.scale,
        nats(&spectrum.whole_nats),
        spectrum.whole_nats.n,
    );
    vec![Block::Text(head), Block::Table(table)]
}

fn nats(estimate: &Estimate) -> String {
    match estimate.interval {
        Some(Interval { low, high, .. }) => {
            format!("{} ({} to {})", Nats(estimate.value), Nats(low), Nats(high))
        }
        None => Nats(estimate.value).to_string(),
    }
}

fn unanswered(study: &Study) -> Option<Block> {
    let items: Vec<String> = study
        .unanswered
        .iter()
        .map(|refused| format!("{}: {}", refused.cell, refused.reason))
        .collect();
    (!items.is_empty()).then(|| Block::List {
        head: "No gain:".to_owned(),
        items,
    })
}

/// Every caveat once, with the cells it is about.
fn caveats(study: &Study) -> Vec<Block> {
    let mut found: Vec<((&str, &str), Vec<String>)> = Vec::new();
    for answer in &study.answers {
        for caveat in &answer.caveats {
            let said = (caveat.message.as_str(), caveat.remedy.as_str());
            match found.iter_mut().find(|(known, _)| *known == said) {
                Some((_, cells)) => cells.push(answer.cell()),
                None => found.push((said, vec![answer.cell()])),
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
    let block = |((message, remedy), cells): ((&str, &str), Vec<String>)| Block::Caveat {
        message: about(&cells) + message,
        remedy: remedy.to_owned(),
    };
    found.into_iter().map(block).collect()
}

/// The same variants on two kinds of data.
pub(super) fn carried(transfer: &Transfer) -> Vec<Block> {
    let mut table = Table::new(["variant", &transfer.first, &transfer.second]);
    for row in &transfer.rows {
        table.row([row.variant.clone(), short(&row.first), short(&row.second)]);
    }
    vec![
        Block::Text(transfer_sentence(transfer)),
        Block::Table(table),
    ]
}

/// Whether gains carry over from one kind of data to the other, in a sentence.
fn transfer_sentence(transfer: &Transfer) -> String {
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
