//! Whether what holds on one kind of data holds on another: the same variants' gains side by side.

use serde::Serialize;

use super::answer::Answer;
use super::gain::{Gain, Sign};
use super::study::Study;
use crate::stat::{chance_of_rank_agreement, spearman};

/// One variant on both.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// The variant, at the scale and budget of the transfer.
    pub variant: String,
    /// On the first kind of data.
    pub first: Gain,
    /// On the second.
    pub second: Gain,
}

/// Two studies of the same cells.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Transfer {
    /// The first kind of data ...
    pub first: String,
    /// ... and the second.
    pub second: String,
    /// At this scale ...
    pub scale: String,
    /// ... and this budget in steps.
    pub budget: Option<u64>,
    /// Variants that both have, in the first's order.
    pub rows: Vec<Row>,
    /// Variants whose gain is told from 1 on both ...
    pub told: usize,
    /// ... and those of them that are on the same side.
    pub same_side: usize,
    /// Spearman's correlation of the gains; bounds stand in where a gain is only bounded.
    pub rank_correlation: Option<f64>,
    /// Share of all rankings that agree as well or better, by chance.
    pub chance: Option<f64>,
}

/// Compares two studies at every scale and budget that both have, those with fewer than three variants left out.
pub fn transfers(first: &Study, second: &Study) -> Vec<Transfer> {
    let mut places: Vec<(&str, Option<u64>)> = Vec::new();
    for answer in &first.answers {
        if !places.contains(&(&answer.scale, answer.budget)) {
            places.push((&answer.scale, answer.budget));
        }
    }
    let transfer = |(scale, budget)| transfer(first, second, scale, budget);
    places
        .into_iter()
        .map(transfer)
        .filter(|transfer| transfer.rows.len() >= 3)
        .collect()
}

/// Files of before compose names with a dash: `gpt2-rope` is `gpt2+rope`.
fn is_same(a: &str, b: &str) -> bool {
    a.replace('+', "-") == b.replace('+', "-")
}

fn transfer(first: &Study, second: &Study, scale: &str, budget: Option<u64>) -> Transfer {
    let here = |answer: &&Answer| answer.scale == scale && answer.budget == budget;
    let rows: Vec<Row> = first
        .answers
        .iter()
        .filter(here)
        .filter_map(|a| {
            let b = second
                .answers
                .iter()
                .filter(here)
                .find(|b| is_same(&b.variant, &a.variant))?;
            Some(Row {
                variant: a.variant.clone(),
                first: a.headline(),
                second: b.headline(),
            })
        })
        .collect();
    let told: Vec<&Row> = rows
        .iter()
        .filter(|row| row.first.sign() != Sign::Unclear && row.second.sign() != Sign::Unclear)
        .collect();
    let values = |of: fn(&Row) -> Gain| -> Option<Vec<f64>> {
        rows.iter().map(|row| of(row).value()).collect()
    };
    let lists = values(|row| row.first).zip(values(|row| row.second));
    Transfer {
        first: first.data.clone(),
        second: second.data.clone(),
        scale: scale.to_owned(),
        budget,
        told: told.len(),
        same_side: told
            .iter()
            .filter(|row| row.first.sign() == row.second.sign())
            .count(),
        rank_correlation: lists.as_ref().and_then(|(a, b)| spearman(a, b)),
        chance: lists
            .as_ref()
            .and_then(|(a, b)| chance_of_rank_agreement(a, b)),
        rows,
    }
}
