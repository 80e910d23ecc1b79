//! Every variant's gain: at the question's budget as a forest, against compute as a plot, change by change, and on other data.

use super::answer::{closed, open_end};
use crate::analysis::recipe::Recipe;
use crate::analysis::study::Study;
use crate::analysis::transfer::{Transfer, transfers};
use crate::analysis::{Answer, Axis as Counted, Gain};
use crate::report::findings::Findings;
use crate::report::gain::{optional, short, transfer_sentence, trends, verdict};
use crate::report::page::{
    Axis, Block, Chart, Figure, Forest, Mark, Open, Point, Quantity, Row, Scatter, Series, Table,
};
use crate::report::sentence::sentence;

pub(super) fn build(findings: &Findings) -> Option<Vec<Block>> {
    let studies: Vec<&Study> = findings
        .studies
        .iter()
        .filter(|study| study.answers.len() > 1)
        .collect();
    let mut blocks = Vec::new();
    for (k, first) in studies.iter().enumerate() {
        blocks.extend(
            studies[k + 1..]
                .iter()
                .flat_map(|second| transfers(first, second))
                .flat_map(|t| carried(&t)),
        );
    }
    for study in &studies {
        blocks.extend(of_study(findings, study));
    }
    (!blocks.is_empty()).then_some(blocks)
}

fn of_study(findings: &Findings, study: &Study) -> Vec<Block> {
    let asked = study
        .headline
        .and_then(|place| study.answers.get(place))
        .or(study.answers.last());
    let here = |scale: &str, budget: Option<u64>| {
        asked.is_some_and(|a| a.scale == scale && a.budget == budget)
    };
    let rows = study
        .answers
        .iter()
        .filter(|a| here(&a.scale, a.budget))
        .filter_map(|a| row(findings, a))
        .collect();
    let mut blocks = vec![Block::Plot(forest(study, asked, rows))];
    let others = study.answers.iter().filter(|a| here(&a.scale, a.budget));
    blocks.extend(others.map(|answer| Block::Text(sentence(answer))));
    blocks.extend(against_compute(findings, study).map(Block::Plot));
    blocks.extend(trends(study).map(Block::Text));
    blocks.extend(
        study
            .recipes
            .iter()
            .filter(|r| here(&r.scale, r.budget))
            .flat_map(|r| combined(study, r)),
    );
    blocks.push(Block::Details(
        format!("Every gain on every axis: {}", study.data),
        vectors(study),
    ));
    blocks
}

fn forest(study: &Study, asked: Option<&Answer>, rows: Vec<Row>) -> Figure {
    let at = asked
        .and_then(|a| Some(format!(" at {} steps of {}", a.budget?, a.scale)))
        .unwrap_or_default();
    Figure {
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
    }
}

fn row(findings: &Findings, answer: &Answer) -> Option<Row> {
    let (interval, open) = match answer.headline() {
        Gain::Solved(estimate) => (estimate.interval.and_then(closed), open_end(&estimate)),
        Gain::MoreThan(_) => (None, Open::Above),
        Gain::LessThan(_) => (None, Open::Below),
        Gain::Unknown { .. } => return None,
    };
    let (value, hue) = (answer.headline().value()?, findings.hue(&answer.variant));
    Some(Row {
        name: answer.variant.clone(),
        hue,
        value,
        interval,
        open,
        note: format!("n = {}", answer.n),
    })
}

/// Gain against the variant's budget: does it grow or fade with compute?
fn against_compute(findings: &Findings, study: &Study) -> Option<Figure> {
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
                let hue = findings.hue(&answer.variant);
                series.push(Series {
                    name,
                    hue,
                    mark: Mark::Joined,
                    points: vec![point],
                });
            }
        }
    }
    series.retain(|series| series.points.len() > 1);
    (!series.is_empty()).then(|| Figure {
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

fn combined(study: &Study, recipe: &Recipe) -> Vec<Block> {
    let mut table = Table::new(["change", "alone", "last in", "share (Shapley)"]);
    for change in &recipe.changes {
        table.rows.push(vec![
            change.variant.clone(),
            short(&change.alone),
            optional(&change.last),
            optional(&change.shapley),
        ]);
    }
    let text = format!(
        "{} against {}, change by change: {}",
        recipe.variant,
        study.base,
        verdict(recipe)
    );
    vec![
        Block::Text(text),
        Block::Table(table.without_empty_columns()),
    ]
}

fn carried(transfer: &Transfer) -> Vec<Block> {
    let mut table = Table::new(["variant", "", ""]);
    table.columns[1].clone_from(&transfer.first);
    table.columns[2].clone_from(&transfer.second);
    table.rows = transfer
        .rows
        .iter()
        .map(|row| vec![row.variant.clone(), short(&row.first), short(&row.second)])
        .collect();
    vec![
        Block::Text(transfer_sentence(transfer)),
        Block::Table(table),
    ]
}

fn vectors(study: &Study) -> Table {
    let known = |axis: &Counted| {
        study
            .answers
            .iter()
            .any(|answer| answer.on(*axis).value().is_some())
    };
    let axes: Vec<Counted> = Counted::ALL.into_iter().filter(known).collect();
    let mut columns = vec![
        "cell".to_owned(),
        "n".to_owned(),
        "tokens per parameter".to_owned(),
    ];
    columns.extend(axes.iter().map(|axis| axis.words().to_owned()));
    let row = |answer: &Answer| {
        let budget = answer
            .budget
            .map(|budget| format!("@{budget}"))
            .unwrap_or_default();
        let mut row = vec![
            format!("{}/{}{budget}", answer.variant, answer.scale),
            answer.n.to_string(),
        ];
        row.push(
            answer
                .read_at
                .map(|read_at| Quantity::Count.cell(read_at.tokens_per_param))
                .unwrap_or_default(),
        );
        row.extend(axes.iter().map(|axis| short(&answer.on(*axis))));
        row
    };
    Table {
        columns,
        rows: study.answers.iter().map(row).collect(),
    }
}
