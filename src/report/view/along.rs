//! Gain as a function of compute: the joint law over variants, a kind of data at a time.

use super::hue::hue;
use super::joint;
use crate::analysis::findings::Findings;
use crate::report::page::Block;

pub(super) fn build(findings: &Findings) -> Option<Vec<Block>> {
    let several = findings.along.len() > 1;
    let blocks: Vec<Block> = findings
        .along
        .iter()
        .filter_map(|over| Some((over.joint.as_ref()?, &over.data)))
        .flat_map(|(found, data)| {
            joint::blocks(found, several.then_some(data.as_str()), &|variant| {
                hue(findings, variant)
            })
        })
        .collect();
    (!blocks.is_empty()).then_some(blocks)
}
