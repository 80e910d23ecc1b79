//! What each variant is worth: the winner first, then every variant in a sentence, as a forest, on every axis, against training
//! length, change by change, and on other data.

use super::beside;
use super::forecast;
use super::gain_axes::{against_length, asked, axes, short, silent, trends, vectors};
use super::gain_recipe::{combined, spectra};
use super::hue::Hues;
use super::price;
use super::sentence::{apart, line, scientific, sentence, side, worth};
use crate::analysis::axis::Axis as Counted;
use crate::analysis::gain::Sign;
use crate::analysis::recipe::Recipe;
use crate::analysis::study::{Picked, Study};
use crate::analysis::transfer::Transfer;
use crate::analysis::{Answer, Gain};
use crate::config::Price;
use crate::report::page::{
    Axis, Block, Chart, Figure, Forest, Hue, Open, Page, Quantity, Row, Table,
};
use crate::unit::{Count, Nats, Share, Times};

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
    blocks.extend(beside::of_study(study));
    blocks.extend(against_length(study, hue).map(Block::Plot));
    blocks.extend(trends(study));
    blocks.extend(forecast::of_study(study));
    let asked = asked(study);
    let here = |recipe: &&Recipe| {
        asked.is_none_or(|a| recipe.scale == a.scale && recipe.budget == a.budget)
    };
    let recipes = study.recipes.iter().filter(here);
    let recipes: Vec<Block> = recipes.flat_map(|recipe| combined(study, recipe)).collect();
    if !recipes.is_empty() {
        blocks.push(Block::More(
            "How the gains of a recipe’s changes combine".to_owned(),
            recipes,
        ));
    }
    blocks.extend(unanswered(study));
    blocks
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
    if let Some(side) = side(answer, &at) {
        let aside = if of > 1 { "," } else { "" };
        return format!("{variant}{most}{aside} {side}.");
    }
    match gain.sign() {
        Sign::More => format!("{variant} is worth {times} times {base}’s compute{at}{most}."),
        Sign::Less => format!("{variant} is worth only {times} times {base}’s compute{at}."),
        Sign::Unclear if apart(answer).is_some() => format!(
            "Whether {variant} beats {base} at equal compute cannot be told: {base} {}.",
            apart(answer).unwrap_or_default()
        ),
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
        Some(p) if p < 0.05 => "significant after Holm's correction over all",
        Some(_) => "not significant after Holm's correction over all",
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
        0 => "no variant's gain differs from 1 on both".to_owned(),
        told => format!(
            "{} of {told} gains that differ from 1 on both are on the same side",
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
