//! Multiple choice by likelihood: how many questions each cell answers rightly, beside what guessing gives.

use crate::analysis::findings::{Cell, Findings};
use crate::record::Choices;
use crate::report::page::{Block, Table};
use crate::stat::answers::wilson;
use crate::stat::interval::LEVEL;
use crate::unit::Share;

pub(super) fn build(findings: &Findings) -> Option<Vec<Block>> {
    let mut table = Table::new([
        "cell",
        "likeliest right",
        "by the character",
        "chance",
        "questions",
        "ties",
        "cut",
        "n",
    ]);
    table.rows.extend(findings.cells.iter().filter_map(row));
    let note = "The answer chosen is the one whose tokens are likeliest behind the question (lm-evaluation-harness's acc), or likeliest by the \
                character (acc_norm). Intervals are Wilson's 95% over questions; what another seed would change is not in them. Tied answers \
                share their question; what is longer than the context loses its beginning, and is counted.";
    let blocks = vec![
        Block::Table(table.clone().without_empty_columns()),
        Block::Text(note.to_owned()),
    ];
    (!table.rows.is_empty()).then_some(blocks)
}

fn row(cell: &Cell) -> Option<Vec<String>> {
    let asked: Vec<&Choices> = cell.finished().filter_map(|t| t.choices.as_ref()).collect();
    let first = asked.first()?;
    let mean =
        |of: fn(&Choices) -> f64| asked.iter().map(|one| of(one)).sum::<f64>() / asked.len() as f64;
    let share = |of: fn(&Choices) -> f64| {
        let (right, n) = (mean(of), first.questions as f64);
        let ends = wilson(right, n, LEVEL);
        let ends = ends.map(|i| format!(" ({} to {})", Share(i.low), Share(i.high)));
        format!("{}{}", Share(right / n), ends.unwrap_or_default())
    };
    let count = |n: f64| {
        if n > 0.0 {
            format!("{n:.0}")
        } else {
            String::new()
        }
    };
    Some(vec![
        cell.name.clone(),
        share(|one| one.right),
        share(|one| one.right_norm),
        Share(first.chance).to_string(),
        first.questions.to_string(),
        count(mean(|one| one.ties as f64)),
        count(mean(|one| one.cut as f64)),
        asked.len().to_string(),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::example::example;

    #[test]
    fn a_share_stands_beside_its_interval_and_chance() {
        let mut file = example();
        assert!(build(&Findings::of(&file)).is_none());
        let asked = Choices {
            questions: 10,
            right: 7.0,
            right_norm: 5.0,
            chance: 0.25,
            ties: 0,
            cut: 2,
        };
        file.trials
            .iter_mut()
            .for_each(|t| t.choices = Some(asked.clone()));
        let Some(Block::Table(table)) = build(&Findings::of(&file)).map(|mut b| b.remove(0)) else {
            panic!()
        };
        let row = &table.rows[0];
        // statsmodels: proportion_confint(7, 10, method="wilson").
        assert_eq!(row[1], "70.0% (39.7% to 89.2%)");
        assert_eq!((row[3].as_str(), row.len()), ("25.0%", 7));
    }
}
