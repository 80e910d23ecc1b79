//! Final loss against compute: every seed, the means with their intervals, and the oracle's floor.

use super::hue::hue;
use std::collections::BTreeMap;

use crate::analysis::findings::{Cell, Findings};
use crate::record::metric;
use crate::report::page::{
    Axis, Block, Chart, Figure, Mark, Point, Quantity, Rule, Scatter, Series,
};
use crate::stat::mean;

/// With more single trials than this behind the means, a plot shows only fog.
const SEEDS: usize = 1500;

pub(super) fn build(findings: &Findings) -> Option<Vec<Block>> {
    let figures: Vec<Block> = (0..findings.data.len())
        .filter_map(|data| figure(findings, data))
        .map(Block::Plot)
        .collect();
    (!figures.is_empty()).then_some(figures)
}

fn figure(findings: &Findings, data: usize) -> Option<Figure> {
    let cells: Vec<&Cell> = findings
        .cells
        .iter()
        .filter(|cell| cell.data == data && place(cell).is_some())
        .collect();
    if cells.is_empty() {
        return None;
    }
    let mut lines: BTreeMap<(usize, String), Vec<&Cell>> = BTreeMap::new();
    for cell in &cells {
        let variant = findings
            .variants
            .iter()
            .position(|v| *v == cell.any().variant)
            .unwrap_or_default();
        lines
            .entry((variant, findings.series_name(cell.any())))
            .or_default()
            .push(cell);
    }
    let seeds: usize = cells.iter().map(|cell| cell.summary.finished()).sum();
    let single = lines
        .iter()
        .map(|((_, name), cells)| faint(findings, name, cells))
        .filter(|_| seeds <= SEEDS);
    let means: Vec<(Series, bool)> = lines
        .iter()
        .map(|((_, name), cells)| joined(findings, name, cells))
        .collect();
    let chosen = means.iter().any(|(_, chosen)| *chosen);
    let series = single
        .chain(means.into_iter().map(|(series, _)| series))
        .collect();
    let floor = floor(&cells);
    let near = floor.as_ref().is_none_or(|floor| is_near(floor.at, &cells));
    let x = Axis::log("model FLOPs of training", Quantity::Flops);
    let y = Axis::linear("validation loss (nats per token)", Quantity::Nats);
    Some(Figure {
        title: title(findings, data),
        caption: caption(
            seeds <= SEEDS,
            floor.as_ref().map(|floor| (floor.at, near)),
            chosen,
        ),
        chart: Chart::Scatter(Scatter {
            x,
            y,
            series,
            rules: floor.filter(|_| near).into_iter().collect(),
        }),
    })
}

fn title(findings: &Findings, data: usize) -> String {
    let of = if findings.data.len() > 1 {
        format!(", {}", findings.data[data])
    } else {
        String::new()
    };
    format!("Final loss by training compute{of}")
}

fn caption(seeds: bool, floor: Option<(f64, bool)>, chosen: bool) -> String {
    let mut text = "Lower is better, and so is further left. A variant whose line lies to the left of another’s reaches the \
                    same loss with less compute: that distance is the gain. Signs are means over repeats with their 95% \
                    intervals"
        .to_owned();
    text += if seeds {
        "; pale dots are single trials."
    } else {
        "; the single trials are too many to show."
    };
    match floor {
        Some((_, true)) => {
            text += " No model can get below the dotted line: the source itself is that uncertain.";
        }
        Some((at, false)) => {
            let at = Quantity::Nats.cell(at);
            text += &format!(
                " No model can get below {at}, far under this plot: the source itself is that uncertain."
            );
        }
        None => {}
    }
    if chosen {
        text += " Where several settings ran at one compute the line takes the best of them, which flatters it.";
    }
    text
}

/// Whether the floor is no further below the lowest loss than the losses are apart; else it would press them together.
fn is_near(floor: f64, cells: &[&Cell]) -> bool {
    let losses: Vec<f64> = cells
        .iter()
        .filter_map(|cell| Some(place(cell)?.1))
        .collect();
    let low = losses.iter().copied().fold(f64::INFINITY, f64::min);
    let high = losses.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    low - floor <= high - low
}

/// What a cell spent and reached.
fn place(cell: &Cell) -> Option<(f64, f64)> {
    Some((cell.train_flops()?, cell.mean(metric::VAL_LOSS_NATS)?))
}

fn faint(findings: &Findings, name: &str, cells: &[&Cell]) -> Series {
    let seeds = cells
        .iter()
        .flat_map(|cell| cell.finished().map(move |trial| (cell, trial)));
    let points = seeds.filter_map(|(cell, trial)| {
        let (x, y) = (cell.train_flops()?, trial.metric(metric::VAL_LOSS_NATS)?);
        Some(Point {
            x,
            y,
            interval: None,
            note: format!("{}, repeat {}", cell.name, trial.repeat),
        })
    });
    let hue = hue(findings, &cells[0].any().variant);
    Series {
        name: format!("{name}, one trial"),
        hue,
        mark: Mark::Faint,
        points: points.collect(),
    }
}

/// The means by compute, and whether the best of several settings had to be chosen anywhere.
fn joined(findings: &Findings, name: &str, cells: &[&Cell]) -> (Series, bool) {
    let mut points: Vec<Point> = cells.iter().filter_map(|cell| mean_point(cell)).collect();
    points.sort_by(|a, b| a.x.total_cmp(&b.x).then(a.y.total_cmp(&b.y)));
    let all = points.len();
    points.dedup_by(|later, first| later.x == first.x);
    let chosen = points.len() < all;
    let hue = hue(findings, &cells[0].any().variant);
    (
        Series {
            name: format!("{name}, mean"),
            hue,
            mark: Mark::Joined,
            points,
        },
        chosen,
    )
}

fn mean_point(cell: &Cell) -> Option<Point> {
    let estimate = cell.estimate(metric::VAL_LOSS_NATS)?;
    Some(Point {
        x: cell.train_flops()?,
        y: estimate.value,
        interval: estimate
            .interval
            .map(|interval| (interval.low, interval.high)),
        note: format!("{}, {}", cell.name, cell.count()),
    })
}

/// The oracle's mean loss, where every cell has one.
fn floor(cells: &[&Cell]) -> Option<Rule> {
    let oracle: Option<Vec<f64>> = cells
        .iter()
        .map(|cell| cell.mean(metric::ORACLE_LOSS_NATS))
        .collect();
    let at = mean(&oracle?)?;
    Some(Rule {
        at,
        label: format!("the oracle: {}", Quantity::Nats.cell(at)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::example::example;

    fn scatter(file: &crate::record::ResultFile) -> Scatter {
        let Chart::Scatter(scatter) = figure(&Findings::of(file), 0).unwrap().chart else {
            panic!()
        };
        scatter
    }

    #[test]
    fn every_seed_and_every_mean_is_shown_above_the_floor() {
        let scatter = scatter(&example());
        let shape: Vec<(&str, usize)> = scatter
            .series
            .iter()
            .map(|s| (s.name.as_str(), s.points.len()))
            .collect();
        let expected = [
            ("gpt2, one trial", 12),
            ("modern, one trial", 8),
            ("gpt2, mean", 3),
            ("modern, mean", 2),
        ];
        assert_eq!(shape, expected);
        assert!(
            scatter.rules.is_empty(),
            "the floor would press the lines together"
        );
        let file = example();
        let findings = Findings::of(&file);
        let cells: Vec<&Cell> = findings.cells.iter().collect();
        let floor = floor(&cells).unwrap();
        assert!((floor.at - 1.875).abs() < 1e-12);
        assert!(
            scatter
                .series
                .iter()
                .flat_map(|s| &s.points)
                .all(|point| point.y > floor.at)
        );
    }

    #[test]
    fn without_an_oracle_there_is_no_floor() {
        let mut file = example();
        file.trials
            .iter_mut()
            .for_each(|trial| drop(trial.metrics.remove(metric::ORACLE_LOSS_NATS)));
        assert!(scatter(&file).rules.is_empty());
    }
}
