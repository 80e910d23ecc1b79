//! Pareto fronts: the best loss that seconds, memory or joules bought.

use super::hue::{hue, loss_label};
use crate::analysis::findings::{Cell, Findings};
use crate::analysis::frontier::front;
use crate::record::metric;
use crate::report::page::{
    Axis, Block, Chart, Figure, Hue, Mark, Point, Quantity, Scatter, Series,
};
use crate::stat::mean;

/// What is spent: its words, its quantity and its mean over a cell's repeats.
struct Spending {
    words: &'static str,
    quantity: Quantity,
    of: fn(&Cell) -> Option<f64>,
}

const SPENDINGS: [Spending; 3] = [
    Spending {
        words: "seconds of training",
        quantity: Quantity::Seconds,
        of: |cell| cell.mean(metric::TRAIN_WALL_S),
    },
    Spending {
        words: "peak memory",
        quantity: Quantity::Bytes,
        of: |cell| cell.mean(metric::PEAK_MEMORY_BYTES),
    },
    Spending {
        words: "measured joules",
        quantity: Quantity::Joules,
        of: joules,
    },
];

fn joules(cell: &Cell) -> Option<f64> {
    mean(
        &cell
            .finished()
            .filter_map(|trial| trial.energy.measured_j)
            .collect::<Vec<_>>(),
    )
}

pub(super) fn build(findings: &Findings) -> Option<Vec<Block>> {
    let mut blocks = Vec::new();
    for (shared, cells) in findings.comparable() {
        let figures: Vec<Figure> = SPENDINGS
            .iter()
            .filter_map(|s| figure(findings, &cells, s, &shared))
            .collect();
        blocks.extend((!figures.is_empty()).then_some(Block::Plots(figures)));
    }
    (!blocks.is_empty()).then_some(blocks)
}

fn figure(
    findings: &Findings,
    cells: &[&Cell],
    spending: &Spending,
    shared: &str,
) -> Option<Figure> {
    let spent = |cell: &Cell| (spending.of)(cell).filter(|cost| *cost > 0.0);
    let place = |cell: &Cell| Some((spent(cell)?, cell.mean(findings.loss())?));
    let placed: Vec<(&Cell, (f64, f64))> = cells
        .iter()
        .filter_map(|cell| Some((*cell, place(cell)?)))
        .collect();
    let costs: Vec<(f64, f64)> = placed.iter().map(|(_, place)| *place).collect();
    // Where all losses are one, as of a model that is served in several ways, there is nothing to buy.
    let alike = costs.iter().all(|(_, loss)| *loss == costs[0].1);
    if costs.len() < 2 || alike {
        return None;
    }
    let best = front(&costs);
    let names: Vec<&str> = best.iter().map(|k| placed[*k].0.name.as_str()).collect();
    let of = if shared.is_empty() {
        String::new()
    } else {
        format!(", {shared}")
    };
    Some(Figure {
        title: format!("Loss by {}{of}", spending.words),
        caption: format!(
            "Below and to the left is better; on the broken line nothing beats a cell on both counts: {}. Means over \
             repeats: cells that differ by less than their spread can change places.",
            listed(&names)
        ),
        chart: Chart::Scatter(Scatter {
            x: Axis::log(spending.words, spending.quantity),
            y: Axis::linear(loss_label(findings), Quantity::Nats),
            series: series(findings, &placed, &best),
            rules: Vec::new(),
        }),
    })
}

fn series(findings: &Findings, placed: &[(&Cell, (f64, f64))], best: &[usize]) -> Vec<Series> {
    let point = |k: usize| {
        let (cell, (x, y)) = placed[k];
        let front = if best.contains(&k) {
            ", on the front"
        } else {
            ""
        };
        Point {
            x,
            y,
            interval: None,
            note: format!("{}, {}{front}", cell.name, cell.count()),
        }
    };
    let line = Series {
        name: "front".to_owned(),
        hue: Hue::Neutral,
        mark: Mark::Dashed,
        points: best.iter().map(|k| point(*k)).collect(),
    };
    let of_variant = |variant: &String| {
        let own = (0..placed.len()).filter(|k| placed[*k].0.any().variant == *variant);
        let points: Vec<Point> = own.map(point).collect();
        (!points.is_empty()).then(|| Series {
            name: variant.clone(),
            hue: hue(findings, variant),
            mark: Mark::Dots,
            points,
        })
    };
    std::iter::once(line)
        .chain(findings.variants.iter().filter_map(of_variant))
        .collect()
}

/// A few names, and how many more.
fn listed(names: &[&str]) -> String {
    match names.len() {
        0..=5 => names.join(", "),
        n => format!("{} and {} more", names[..5].join(", "), n - 5),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::example::example;

    #[test]
    fn joules_are_left_out_where_none_were_measured() {
        let mut file = example();
        let count = |file: &crate::record::ResultFile| {
            let Some(Block::Plots(figures)) = build(&Findings::of(file)).unwrap().pop() else {
                panic!()
            };
            figures.len()
        };
        assert_eq!(count(&file), 2);
        file.trials
            .iter_mut()
            .for_each(|trial| trial.energy.measured_j = Some(40.0));
        assert_eq!(count(&file), 3);
    }
}
