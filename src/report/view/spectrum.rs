//! Where the remaining loss sits: excess by what predicting a token needs.

use super::hue::hue;
use std::collections::{BTreeMap, BTreeSet};

use crate::analysis::findings::{Cell, Findings};
use crate::record::{Skill, metric};
use crate::report::page::{Axis, Block, Chart, Figure, Forest, Open, Quantity, Row, Table};
use crate::stat::interval::LEVEL;
use crate::stat::mean_estimate;

/// With more variants than this each kind of token has a plot of its own.
const BESIDE: usize = 5;

pub(super) fn build(findings: &Findings) -> Option<Vec<Block>> {
    let with_skills: Vec<&Cell> = findings
        .cells
        .iter()
        .filter(|cell| cell.finished().any(|trial| !trial.skills.is_empty()))
        .collect();
    let data = with_skills.first()?.data;
    let cells = chosen(findings, &with_skills, data);
    let labels = labels(&cells);
    let plots = if cells.len() > BESIDE {
        let each = labels.iter().map(|label| {
            let rows = cells.iter().filter_map(|cell| row(findings, cell, label));
            let named = rows.map(|(variant, row)| Row {
                name: variant.to_owned(),
                ..row
            });
            figure(
                &format!("Loss above the oracle: {label}"),
                named.collect(),
                &cells,
            )
        });
        Block::Plots(each.collect())
    } else {
        let rows = labels
            .iter()
            .flat_map(|label| cells.iter().filter_map(|cell| row(findings, cell, label)));
        let rows = rows.map(|(_, row)| row).collect();
        Block::Plot(figure(
            "Loss above the oracle, by kind of token",
            rows,
            &cells,
        ))
    };
    let mut blocks = vec![plots];
    // Of a task it is right answers that a reader asks for.
    let right = all(&with_skills, &labels, Quantity::Share, |skill| {
        skill.accuracy
    });
    if right
        .rows
        .iter()
        .any(|row| row[1..].iter().any(|cell| !cell.is_empty()))
    {
        blocks.push(Block::Table(right));
    }
    let excess = |skill: &Skill| Some(skill.excess_nats);
    blocks.push(Block::Details(
        "Every cell, by kind of token".to_owned(),
        all(&with_skills, &labels, Quantity::Nats, excess),
    ));
    Some(blocks)
}

/// What the labels of the generated language mean (`data.kind = "language"`).
const KEY: &str = "Of the generated language: rule depth d, choosing a rule of the grammar d phrases deep; forced, the grammar allows one \
                   token only; feature, a marker that is chosen freely; agreement, that marker repeated later; name, a name that \
                   comes again. ";

fn figure(title: &str, rows: Vec<Row>, cells: &[&Cell]) -> Figure {
    let sure = if rows.iter().any(|row| row.interval.is_some()) {
        "Bars are 95% intervals over repeats."
    } else {
        "There are no intervals, as each cell ran once."
    };
    let about = if cells.len() > BESIDE {
        String::new()
    } else {
        let names: Vec<&str> = cells.iter().map(|cell| cell.name.as_str()).collect();
        format!(" Shown: {}.", names.join(", "))
    };
    let language =
        rows.iter().any(|row| row.name.contains("forced")) || title.contains("rule depth 0");
    let key = if language { KEY } else { "" };
    Figure {
        title: title.to_owned(),
        caption: format!(
            "Each token carries a label that says what predicting it needs. At 0 a variant has learnt all there is to learn \
             about that kind. {key}{sure}{about}"
        ),
        chart: Chart::Forest(Forest {
            x: Axis::linear("loss above the oracle (nats per token)", Quantity::Nats),
            null: Some(0.0),
            rows,
        }),
    }
}

/// One cell of each variant on the same data and at one scale and budget, so that they had the same to learn from; of
/// several settings the one with the lowest loss.
fn chosen<'a, 'b>(findings: &Findings, cells: &[&'b Cell<'a>], data: usize) -> Vec<&'b Cell<'a>> {
    let Some((scale, budget)) = place(findings, cells, data) else {
        return Vec::new();
    };
    let there =
        |cell: &Cell| cell.data == data && cell.any().scale == scale && cell.any().budget == budget;
    let loss = |cell: &Cell| cell.mean(metric::VAL_LOSS_NATS).unwrap_or(f64::INFINITY);
    let best = |variant: &String| {
        let of_variant = cells
            .iter()
            .filter(|cell| there(cell) && cell.any().variant == *variant);
        of_variant
            .min_by(|a, b| loss(a).total_cmp(&loss(b)))
            .copied()
    };
    findings.variants.iter().filter_map(best).collect()
}

/// The question's scale and budget, else those that most variants share, and the larger of two.
fn place(findings: &Findings, cells: &[&Cell], data: usize) -> Option<(String, Option<u64>)> {
    let mut variants: BTreeMap<(Option<u64>, &str), BTreeSet<&str>> = BTreeMap::new();
    for trial in cells
        .iter()
        .filter(|cell| cell.data == data)
        .map(|cell| cell.any())
    {
        variants
            .entry((trial.budget, &trial.scale))
            .or_default()
            .insert(&trial.variant);
    }
    let asked = findings
        .file
        .run
        .headline
        .as_ref()
        .map(|headline| (Some(headline.budget), headline.scale.as_str()));
    let asked = asked.filter(|place| variants.contains_key(place));
    let shared = || {
        variants
            .iter()
            .max_by_key(|(_, variants)| variants.len())
            .map(|(place, _)| *place)
    };
    asked
        .or_else(shared)
        .map(|(budget, scale)| (scale.to_owned(), budget))
}

/// All labels in the order of the record.
fn labels(cells: &[&Cell]) -> Vec<String> {
    let mut labels: Vec<String> = Vec::new();
    for skill in cells
        .iter()
        .flat_map(|cell| cell.finished())
        .flat_map(|trial| &trial.skills)
    {
        if !labels.contains(&skill.label) {
            labels.push(skill.label.clone());
        }
    }
    labels
}

fn of<'a>(cell: &'a Cell, label: &'a str) -> impl Iterator<Item = &'a Skill> {
    cell.finished()
        .flat_map(|trial| &trial.skills)
        .filter(move |skill| skill.label == label)
}

/// A variant and what it has left to learn of a kind of token.
fn row<'a>(findings: &Findings, cell: &'a Cell, label: &str) -> Option<(&'a str, Row)> {
    let excess: Vec<f64> = of(cell, label).map(|skill| skill.excess_nats).collect();
    let estimate = mean_estimate(&excess, LEVEL)?;
    let variant = &cell.any().variant;
    let row = Row {
        name: format!("{label}, {variant}"),
        hue: hue(findings, variant),
        value: estimate.value,
        interval: estimate
            .interval
            .map(|interval| (interval.low, interval.high)),
        open: Open::No,
        note: format!(
            "{}, {} of tokens",
            cell.count(),
            Quantity::Share.cell(share(cell, label))
        ),
    };
    Some((variant, row))
}

/// The label's share of the validation tokens.
fn share(cell: &Cell, label: &str) -> f64 {
    let mut tokens: BTreeMap<bool, u64> = BTreeMap::new();
    for skill in cell.finished().flat_map(|trial| &trial.skills) {
        *tokens.entry(skill.label == label).or_default() += skill.tokens;
    }
    let (own, other) = (
        tokens.get(&true).copied().unwrap_or(0),
        tokens.get(&false).copied().unwrap_or(0),
    );
    own as f64 / (own + other).max(1) as f64
}

/// Means over repeats of a figure of every cell and label; empty where a cell has none.
fn all(
    cells: &[&Cell],
    labels: &[String],
    quantity: Quantity,
    of_skill: impl Fn(&Skill) -> Option<f64>,
) -> Table {
    let unit = match quantity {
        Quantity::Share => "right",
        _ => "nats",
    };
    let headings = labels.iter().map(|label| format!("{label} ({unit})"));
    let mut table = Table::new(std::iter::once("cell".to_owned()).chain(headings));
    for cell in cells {
        let figure = |label: &String| {
            let known: Vec<f64> = of(cell, label).filter_map(&of_skill).collect();
            let mean = crate::stat::mean(&known);
            mean.map(|mean| quantity.cell(mean)).unwrap_or_default()
        };
        let name = std::iter::once(cell.name.clone());
        table.row(name.chain(labels.iter().map(figure)));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::example::example;

    #[test]
    fn variants_stand_beside_each_other_at_the_questions_budget() {
        let file = example();
        let blocks = build(&Findings::of(&file)).unwrap();
        let Block::Plot(Figure {
            chart: Chart::Forest(forest),
            ..
        }) = &blocks[0]
        else {
            panic!()
        };
        let names: Vec<&str> = forest.rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "rule, gpt2",
                "rule, modern",
                "recall, gpt2",
                "recall, modern"
            ]
        );
        assert_eq!(forest.rows[0].note, "n = 4, 61.0% of tokens");
        let mut silent = example();
        silent.run.headline = None;
        let blocks = build(&Findings::of(&silent)).unwrap();
        let Block::Plot(Figure { caption, .. }) = &blocks[0] else {
            panic!()
        };
        assert!(
            caption.ends_with("Shown: gpt2/w32@800, modern/w32@800."),
            "{caption}"
        );
        assert_eq!(blocks.len(), 2, "no task, no right answers");
        let mut task = example();
        let skills = task.trials.iter_mut().flat_map(|trial| &mut trial.skills);
        skills.for_each(|skill| skill.accuracy = Some(0.875));
        let blocks = build(&Findings::of(&task)).unwrap();
        let Block::Table(right) = &blocks[1] else {
            panic!()
        };
        assert!(right.columns[1].ends_with("(right)") && right.rows[0][1] == "87.5%");
        let mut bare = example();
        bare.trials
            .iter_mut()
            .for_each(|trial| trial.skills.clear());
        assert!(build(&Findings::of(&bare)).is_none());
    }
}
