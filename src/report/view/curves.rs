//! How the training loss falls: one curve a variant, the mean over repeats with the range of the repeats as a band.

use super::hue::hue;
use std::collections::{BTreeMap, BTreeSet};

use crate::analysis::findings::{Cell, Findings};
use crate::record::{Trial, metric};
use crate::report::page::{Axis, Block, Chart, Figure, Mark, Point, Quantity, Scatter, Series};

/// Points of one curve; more cannot be told apart on a screen.
const POINTS: usize = 80;

pub(super) fn build(findings: &Findings) -> Option<Vec<Block>> {
    let figures = (0..findings.data.len()).filter_map(|data| figure(findings, data));
    let blocks: Vec<Block> = figures.map(Block::Plot).collect();
    (!blocks.is_empty()).then_some(blocks)
}

fn figure(findings: &Findings, data: usize) -> Option<Figure> {
    let (cells, budget) = alike(findings, data);
    let series: Vec<Series> = cells
        .into_iter()
        .filter_map(|cell| curve(findings, cell))
        .collect();
    if series.is_empty() {
        return None;
    }
    let (which, ends) = match budget {
        Some(budget) => (
            format!("runs of {budget} steps"),
            "All are given the same steps, so that their schedules end together.",
        ),
        None => (
            "largest budget of each variant".to_owned(),
            "Runs of other lengths end their learning-rate schedule elsewhere, so compare ends, not middles.",
        ),
    };
    let of = if findings.data.len() > 1 {
        format!(", {}", findings.data[data])
    } else {
        String::new()
    };
    Some(Figure {
        title: format!("Training loss by step, {which}{of}"),
        caption: format!(
            "Lower is better. Each line is the mean over repeats, its band from the lowest to the highest repeat. {ends}"
        ),
        chart: Chart::Scatter(Scatter {
            x: Axis::log("training steps", Quantity::Count),
            y: Axis::linear("training loss (nats per token)", Quantity::Nats),
            series,
            rules: Vec::new(),
        }),
    })
}

/// One cell of each variant and scale, and the budget they share: the largest that all variants ran at. Where there is none, each
/// variant's largest. Of several settings the one that ended lowest.
fn alike<'a, 'b>(findings: &'b Findings<'a>, data: usize) -> (Vec<&'b Cell<'a>>, Option<u64>) {
    let here = || {
        findings
            .cells
            .iter()
            .filter(|cell| cell.data == data && cell.summary.finished() > 0)
    };
    let mut ran: BTreeMap<u64, BTreeSet<&str>> = BTreeMap::new();
    for cell in here() {
        ran.entry(steps(cell))
            .or_default()
            .insert(&cell.any().variant);
    }
    let all: BTreeSet<&str> = here().map(|cell| cell.any().variant.as_str()).collect();
    let budget = ran
        .iter()
        .rfind(|(_, variants)| **variants == all)
        .map(|(steps, _)| *steps);
    let mut best: BTreeMap<(usize, &str), &Cell> = BTreeMap::new();
    for cell in here().filter(|cell| budget.is_none_or(|budget| steps(cell) == budget)) {
        let rank = |cell: &Cell| {
            (
                steps(cell),
                -cell.mean(metric::VAL_LOSS_NATS).unwrap_or(f64::INFINITY),
            )
        };
        let variant = findings
            .variants
            .iter()
            .position(|v| *v == cell.any().variant)
            .unwrap_or_default();
        let place = best
            .entry((variant, cell.any().scale.as_str()))
            .or_insert(cell);
        if rank(cell) > rank(place) {
            *place = cell;
        }
    }
    (best.into_values().collect(), budget)
}

fn steps(cell: &Cell) -> u64 {
    cell.finished()
        .filter_map(|trial| trial.curve.step.last().copied())
        .max()
        .unwrap_or(0)
}

fn curve(findings: &Findings, cell: &Cell) -> Option<Series> {
    let trials: Vec<&Trial> = cell.finished().collect();
    let mut losses: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
    for trial in &trials {
        for (step, loss) in trial.curve.step.iter().zip(&trial.curve.train_loss_nats) {
            losses.entry(*step).or_default().extend(loss);
        }
    }
    // A step that some repeat lacks would bend the mean.
    losses.retain(|step, losses| *step > 0 && losses.len() == trials.len());
    let point = |(step, losses): (&u64, &Vec<f64>)| {
        let (low, high) = losses
            .iter()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| {
                (l.min(*v), h.max(*v))
            });
        let mean = losses.iter().sum::<f64>() / losses.len() as f64;
        Point {
            x: *step as f64,
            y: mean,
            interval: Some((low, high)),
            note: cell.name.clone(),
        }
    };
    let points: Vec<Point> = losses.iter().map(point).collect();
    let name = format!("{}, {}", cell.name, cell.count());
    let hue = hue(findings, &cell.any().variant);
    (!points.is_empty()).then(|| Series {
        name,
        hue,
        mark: Mark::Line,
        points: thinned(points, POINTS),
    })
}

/// At most about `most` points, evenly along a logarithmic axis; the first and the last stay.
fn thinned(points: Vec<Point>, most: usize) -> Vec<Point> {
    let (Some(first), Some(last)) = (points.first().map(|p| p.x), points.last().map(|p| p.x))
    else {
        return points;
    };
    if points.len() <= most || last <= first {
        return points;
    }
    let bin = |x: f64| ((x / first).ln() / (last / first).ln() * (most - 1) as f64) as usize;
    let mut kept: Vec<Point> = Vec::with_capacity(most + 1);
    for point in points {
        if kept
            .last()
            .is_none_or(|before| bin(before.x) < bin(point.x))
        {
            kept.push(point);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::example::example;

    #[test]
    fn variants_are_shown_at_the_longest_run_that_all_have() {
        let file = example();
        let Chart::Scatter(scatter) = figure(&Findings::of(&file), 0).unwrap().chart else {
            panic!()
        };
        let shape: Vec<(&str, usize)> = scatter
            .series
            .iter()
            .map(|s| (s.name.as_str(), s.points.len()))
            .collect();
        assert_eq!(
            shape,
            [("gpt2/w32@800, n = 4", 2), ("modern/w32@800, n = 4", 2)]
        );
        let point = &scatter.series[0].points[0];
        assert!(point.interval.unwrap().0 < point.y && point.y < point.interval.unwrap().1);
    }

    #[test]
    fn a_long_curve_is_thinned_and_keeps_its_ends() {
        let point = |x: u32| Point {
            x: f64::from(x),
            y: 0.0,
            interval: None,
            note: String::new(),
        };
        let kept = thinned((1..=10_000).map(point).collect(), 80);
        assert!(kept.len() <= 80 && kept.len() > 40, "{}", kept.len());
        assert_eq!((kept[0].x, kept[kept.len() - 1].x), (1.0, 10_000.0));
        assert_eq!(thinned((1..=3).map(point).collect(), 80).len(), 3);
    }
}
