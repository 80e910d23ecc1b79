//! How the gains of a recipe's changes combine, and where a variant's gain lies: by the tokens' frequency and by skill.

use super::gain_axes::{asked, optional, short};
use crate::analysis::recipe::Recipe;
use crate::analysis::spectrum::Spectrum;
use crate::analysis::study::Study;
use crate::report::page::{Block, Table};
use crate::stat::{Estimate, Interval};
use crate::unit::{Nats, Share};

/// How the gains of a recipe's changes combine.
pub(super) fn combined(study: &Study, recipe: &Recipe) -> Vec<Block> {
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
pub(super) fn spectra(study: &Study) -> Vec<Block> {
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
    if blocks.is_empty() {
        return blocks;
    }
    vec![Block::More(
        "What is learnt, by what a token takes".to_owned(),
        blocks,
    )]
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
        "of the base’s excess",
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
