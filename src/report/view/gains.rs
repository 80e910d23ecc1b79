//! The section on gains: whether they carry over to other data, and each kind of data's gains in full.

use super::answer::drawn;
use super::gain::{answers, carried, of_study};
use crate::analysis::findings::Findings;
use crate::analysis::study::Study;
use crate::analysis::transfer::transfers;
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
    let hue = |variant: &str| super::hue::hue(findings, variant);
    for study in &studies {
        if studies.len() > 1 {
            blocks.push(Block::Heading(format!("On {}", study.data)));
        }
        // The first screen has the answers of one study already.
        if !opened.is_some_and(|opened| std::ptr::eq(opened, *study)) {
            blocks.extend(answers(study, &hue));
        }
        blocks.extend(of_study(study, &hue));
    }
    (!blocks.is_empty()).then_some(blocks)
}
