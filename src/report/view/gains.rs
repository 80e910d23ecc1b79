//! The section on gains: whether they carry over to other data, and each kind of data's gains in full.

use super::answer::drawn;
use super::gain::{answers, carried, forest, of_study, strip};
use crate::analysis::study::Study;
use crate::analysis::transfer::transfers;
use crate::report::findings::Findings;
use crate::report::page::Block;

pub(super) fn build(findings: &Findings) -> Option<Vec<Block>> {
    let studies: Vec<&Study> = findings
        .studies
        .iter()
        .filter(|study| !study.answers.is_empty())
        .collect();
    let mut blocks = Vec::new();
    for (k, first) in studies.iter().enumerate() {
        let others = studies[k + 1..].iter();
        let pairs = others.flat_map(|second| transfers(first, second));
        blocks.extend(pairs.flat_map(|t| carried(&t)));
    }
    let opened = drawn(findings);
    let hue = |variant: &str| findings.hue(variant);
    for study in &studies {
        if studies.len() > 1 {
            blocks.push(Block::Heading(format!("On {}", study.data)));
        }
        let plot = forest(study, &hue);
        let strip = strip(study, &hue).map(Block::Plot);
        if opened.is_some_and(|opened| std::ptr::eq(opened, *study)) {
            // The first screen has the answers already, and one of the two plots.
            blocks.extend(strip.filter(|_| plot.is_some()));
        } else {
            blocks.extend(answers(study));
            blocks.extend(plot.map(Block::Plot));
            blocks.extend(strip);
        }
        blocks.extend(of_study(study, &hue));
    }
    (!blocks.is_empty()).then_some(blocks)
}
