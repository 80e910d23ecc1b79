//! The law of the best rate and batch, in text.

use std::fmt::Write;

use super::group::about;
use super::number::{figure, interval};
use crate::analysis::fit::RateLaw;
use crate::analysis::fit::rate::{Cell, Power, RateAt};
use crate::report::page::{Block, Table};
use crate::unit::Count;

/// What was found for one group, in a sentence or two.
pub fn sentence(law: &RateLaw) -> String {
    let told = law.cells.iter().filter(|cell| cell.rate.is_some()).count();
    let power = |powers: &[Power], name: &str| powers.iter().find(|p| p.name == name).cloned();
    let factor = |variable: &str, sign: f64, power: Option<Power>| {
        power.map_or(String::new(), |p| {
            format!(" {variable}^{:.3}", sign * p.value)
        })
    };
    let best = format!(
        "the best learning rate is {}{}{}",
        law.rate.first().map_or(String::new(), |c| figure(c.value)),
        factor("N", -1.0, power(&law.rate, "p")),
        factor("D", 1.0, power(&law.rate, "q"))
    );
    let mut text = about(&law.group, &best);
    let _ = write!(text, " ({})", ranges(&law.rate));
    if let [k, r] = &law.batch[..] {
        let _ = write!(
            text,
            " and the best batch {} D^{:.3} ({})",
            figure(k.value),
            r.value,
            ranges(&law.batch)
        );
    }
    let _ = write!(
        text,
        "; n = {told} of {} cells of size and tokens, {} runs.",
        law.cells.len(),
        law.n
    );
    for what in &law.not_identified {
        let _ = write!(text, " Not identified: {what}.");
    }
    let cost = |factor: f64| {
        law.costs
            .iter()
            .find(|cost| cost.factor == factor)
            .map(|cost| figure(cost.nats))
    };
    if let (Some(high), Some(low)) = (cost(2.0), cost(0.5)) {
        let _ = write!(
            text,
            " A rate twice too high costs {high} nats, half the best {low}."
        );
    }
    let [mean, worst] = law.law_cost_nats;
    let _ = write!(
        text,
        " The law's rate costs {} nats beside each cell's own (worst {}).",
        figure(mean),
        figure(worst)
    );
    for at in &law.at {
        let _ = write!(text, " {}", place(at));
    }
    text
}

/// `p 95% 0.60 to 0.79, q 95% 0.15 to 0.27`, exponents only.
fn ranges(powers: &[Power]) -> String {
    let one = |p: &Power| {
        let range = p
            .interval
            .as_ref()
            .map_or("no interval".to_owned(), interval);
        format!("{} {range}", p.name)
    };
    powers
        .iter()
        .skip(1)
        .map(one)
        .collect::<Vec<_>>()
        .join(", ")
}

/// `At 5 G parameters and 1 T tokens: rate 4.2e-4 (95% ...), batch ...; extrapolated.`
fn place(at: &RateAt) -> String {
    let with = |value: f64, range: &Option<crate::stat::Interval>| {
        format!(
            "{} ({})",
            figure(value),
            range.as_ref().map_or("no interval".to_owned(), interval)
        )
    };
    let batch = at.batch.map_or(String::new(), |batch| {
        format!(", batch {}", with(batch, &at.batch_interval))
    });
    let beyond = if at.extrapolated {
        "; extrapolated"
    } else {
        ""
    };
    format!(
        "At {} parameters and {} tokens: rate {}{batch}{beyond}.",
        Count(at.params),
        Count(at.tokens),
        with(at.rate, &at.rate_interval)
    )
}

/// Everything that was found for one group.
pub fn blocks(law: &RateLaw) -> Vec<Block> {
    let head = format!(
        "{}: {} runs in {} cells.",
        law.group,
        law.n,
        law.cells.len()
    );
    let mut table = Table::new(["parameter", "value", "interval"]);
    for p in law.rate.iter().chain(&law.batch) {
        let range = p.interval.as_ref().map_or("none".to_owned(), interval);
        table.row([p.name.to_owned(), format!("{:.5}", p.value), range]);
    }
    vec![
        Block::Text(head),
        Block::Table(table),
        Block::List {
            head: String::new(),
            items: remarks(law),
        },
        Block::Table(cells(&law.cells)),
    ]
}

fn remarks(law: &RateLaw) -> Vec<String> {
    let mut items = vec![
        "Intervals: Student's t over the cells' own best rates, so that what cells scatter by is in them.".to_owned(),
    ];
    if let Some([c, p, q, k, r]) = law.by_near_runs {
        items.push(format!(
            "By the paper's own code (least squares over all runs within 0.25% of their cell's best): lr = {} N^-{p:.3} D^{q:.3}, \
             B = {} D^{r:.3}.",
            figure(c),
            figure(k)
        ));
    }
    for (what, scatter) in [("rates", law.rate_scatter), ("batches", law.batch_scatter)] {
        let factor = scatter.map(figure);
        items.extend(factor.map(|factor| {
            format!("Cells' best {what} scatter around the law by a factor of {factor}.")
        }));
    }
    for cost in &law.costs {
        items.push(format!(
            "A rate {} times the best costs {} nats ({} cells).",
            figure(cost.factor),
            figure(cost.nats),
            cost.cells
        ));
    }
    items
}

fn cells(cells: &[Cell]) -> Table {
    let mut table = Table::new([
        "N",
        "D",
        "runs",
        "near",
        "best loss",
        "best lr",
        "best batch",
        "",
    ]);
    let row = |cell: &Cell| {
        let or_none = |value: Option<f64>| value.map_or("-".to_owned(), figure);
        vec![
            Count(cell.params).to_string(),
            Count(cell.tokens).to_string(),
            cell.n.to_string(),
            cell.near.to_string(),
            format!("{:.4}", cell.best_loss),
            or_none(cell.rate),
            or_none(cell.batch),
            cell.reason.unwrap_or_default().to_owned(),
        ]
    };
    table.rows.extend(cells.iter().map(row));
    table
}
