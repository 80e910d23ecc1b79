//! Trials that did not finish, by cell and reason: what is missing is never passed over.

use std::collections::BTreeMap;

use crate::analysis::findings::Findings;
use crate::record::Status;
use crate::report::page::{Block, Table};

pub(super) fn build(findings: &Findings) -> Option<Vec<Block>> {
    let mut seen: BTreeMap<(&str, &str, &str), Vec<String>> = BTreeMap::new();
    for cell in &findings.cells {
        for trial in cell
            .trials
            .iter()
            .filter(|trial| trial.status != Status::Ok)
        {
            let reason = trial
                .reason
                .as_deref()
                .unwrap_or_default()
                .lines()
                .next()
                .unwrap_or_default();
            let key = (cell.name.as_str(), trial.status.words(), reason);
            seen.entry(key).or_default().push(trial.repeat.to_string());
        }
    }
    if seen.is_empty() {
        return None;
    }
    let missing: usize = seen.values().map(Vec::len).sum();
    let trials = findings.file.trials.len();
    let mut table = Table::new(["cell", "how it ended", "repeats", "why"]);
    table.rows = seen
        .into_iter()
        .map(|((cell, status, why), repeats)| {
            vec![
                cell.to_owned(),
                status.to_owned(),
                repeats.join(", "),
                why.to_owned(),
            ]
        })
        .collect();
    let text = format!(
        "{missing} of {trials} trials did not finish. Where an arm often diverges, its mean flatters it."
    );
    Some(vec![Block::Text(text), Block::Table(table)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::example::study;

    #[test]
    fn repeats_with_one_reason_share_a_row() {
        let file = study(3, |variant, steps, _| {
            (variant == "gpt2" || steps == 400).then_some(1.0)
        });
        let Some(blocks) = build(&Findings::of(&file)) else {
            panic!()
        };
        let Block::Table(table) = &blocks[1] else {
            panic!()
        };
        let why = "the loss is not finite at step 37";
        assert_eq!(
            table.rows,
            [["modern/w32@800", "diverged", "0, 1, 2", why]
                .map(str::to_owned)
                .to_vec()]
        );
        assert!(build(&Findings::of(&study(2, |_, _, _| Some(1.0)))).is_none());
    }
}
