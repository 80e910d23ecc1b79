//! Two sources in different proportions: the loss on each, and which proportion is best.

use crate::analysis::findings::Findings;
use crate::analysis::mixture::{Aim, Best, Mixture, Share, mixtures};
use crate::report::page::{
    Axis, Block, Chart, Figure, Hue, Mark, Point, Quantity, Scatter, Series, Table,
};
use crate::unit::{self, Nats};

/// A section of the report.
pub(super) fn build(findings: &Findings) -> Option<Vec<Block>> {
    let all = mixtures(&findings.cells);
    let mut blocks = Vec::new();
    for mixture in &all {
        let said = mixture.best.iter().map(|best| sentence(mixture, best));
        blocks.push(Block::Lead(said.collect::<Vec<_>>().join(" ")));
        blocks.push(Block::Plot(figure(mixture)));
        blocks.push(Block::Table(table(mixture)));
    }
    (!blocks.is_empty()).then_some(blocks)
}

/// `gpt2, 800 steps: the loss on A is lowest with 41% of B (95% 38% to 44%, n = 3), 0.16 nats lower than with 0% (95% 0.15 to 0.17).`
fn sentence(mixture: &Mixture, best: &Best) -> String {
    let [first, second] = &mixture.sources;
    let steps = mixture.budget.map(|steps| format!(", {steps} steps"));
    let loss = match best.aim {
        Aim::First => format!("the loss on {first}"),
        Aim::Second => format!("the loss on {second}"),
        Aim::Both => "the mean of both losses".to_owned(),
    };
    let of = format!("{}{}: {loss}", mixture.variant, steps.unwrap_or_default());
    let share = |value: f64| unit::Share(value).to_string();
    let least = mixture.rows.first().map_or(0.0, |row| row.share);
    let saved = best.saved.map(|saved| {
        let interval = saved
            .interval
            .map(|i| format!(" (95% {} to {})", Nats(i.low), Nats(i.high)));
        format!(
            ", {} nats lower than with {}{}",
            Nats(saved.value),
            share(least),
            interval.unwrap_or_default()
        )
    });
    let saved = saved.unwrap_or_default();
    match best.share {
        Share::Told(found) => {
            let interval = found.interval.map(|i| {
                let ends = format!("{} to {}", share(i.low), share(i.high));
                format!(" (95% {ends}, n = {})", found.n)
            });
            format!(
                "{of} is lowest with {} of {second}{}; at the nearest share that ran it is{}.",
                share(found.value),
                interval.unwrap_or_default(),
                saved.trim_start_matches(',')
            )
        }
        Share::AtEdge(at) => {
            let edge = if at > least { "highest" } else { "lowest" };
            let beyond = match at > 0.0 && at < 1.0 {
                true => ": the best may lie beyond it",
                false => "",
            };
            format!(
                "{of} is lowest with {} of {second}, the {edge} share that ran{saved}{beyond}.",
                share(at)
            )
        }
        Share::Untold(at) => format!(
            "{of}: which share of {second} is best is not told by these repeats; of those that ran it is lowest with {}{saved}.",
            share(at)
        ),
    }
}

fn figure(mixture: &Mixture) -> Figure {
    let series = |k: usize| {
        let points = mixture.rows.iter().map(|row| {
            let loss = &row.losses[k];
            Point {
                x: row.share,
                y: loss.value,
                interval: loss.interval.map(|i| (i.low, i.high)),
                note: format!("{}, n = {}", row.cell, row.n),
            }
        });
        Series {
            name: format!("on {}", mixture.sources[k]),
            hue: if k == 0 {
                Hue::Variant(0)
            } else {
                Hue::Neutral
            },
            mark: Mark::Joined,
            points: points.collect(),
        }
    };
    Figure {
        title: format!("Loss on each source by its share, {}", mixture.variant),
        caption: format!(
            "Every point trained equally long; to the right more of the windows are of {}. Bars are 95% intervals over repeats.",
            mixture.sources[1]
        ),
        chart: Chart::Scatter(Scatter {
            x: Axis::linear(&format!("share of {}", mixture.sources[1]), Quantity::Share),
            y: Axis::linear("validation loss (nats per token)", Quantity::Nats),
            series: vec![series(0), series(1)],
            rules: Vec::new(),
        }),
    }
}

fn table(mixture: &Mixture) -> Table {
    let [first, second] = &mixture.sources;
    let mut table = Table::new([
        "cell".to_owned(),
        format!("share of {second}"),
        format!("loss on {first} (nats)"),
        format!("loss on {second} (nats)"),
        "n".to_owned(),
    ]);
    for row in &mixture.rows {
        let loss = |k: usize| Quantity::Nats.cell(row.losses[k].value);
        table.row([
            row.cell.clone(),
            unit::Share(row.share).to_string(),
            loss(0),
            loss(1),
            row.n.to_string(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::mixture::tests::mixed;
    use crate::report::render::html::html;
    use crate::report::render::markdown::markdown;
    use crate::report::report;

    #[test]
    fn the_best_share_is_told_for_either_source_and_for_both() {
        let file = mixed(|repeat| 0.4 + 0.01 * repeat as f64);
        let Some(Block::Lead(said)) = build(&Findings::of(&file)).map(|mut all| all.remove(0))
        else {
            panic!()
        };
        assert!(
            said.contains(
                "is lowest with 41.0% of synthetic language (easy, 50.0% changed) (95% 38.5% to 43.5%, n = 3); at the nearest \
                 share that ran it is 0.16 nats lower than with 0.0% (95% "
            ),
            "{said}"
        );
        assert!(
            said.contains("is lowest with 100.0% of synthetic language (easy, 50.0% changed), the highest share that ran, 1.00 nats"),
            "{said}"
        );
        let page = report(&file, None, None);
        let all = [markdown(&page), html(&page)];
        assert!(
            all.iter()
                .all(|medium| medium.contains("Loss on each source"))
        );
        let file = mixed(|repeat| [0.3, 0.5, 0.7][repeat as usize]);
        let Some(Block::Lead(said)) = build(&Findings::of(&file)).map(|mut all| all.remove(0))
        else {
            panic!()
        };
        assert!(
            said.contains("is best is not told by these repeats"),
            "{said}"
        );
    }
}
