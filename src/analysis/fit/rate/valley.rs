//! One cell's valley: the runs of one size and number of tokens near their best, as a parabola in ln lr and, where batches vary,
//! in ln B, with a cube of ln lr where there are runs enough, as one side is usually steeper. Only runs within a few hundredths of
//! the best count, and more only where these are too few: further up a valley has another shape.

use serde::Serialize;

use crate::analysis::fit::points::Point;
use crate::stat::linear::least_squares;

/// Runs within this share of the best loss make the parabola; where they are too few, within twice that, and so on.
const WINDOW: f64 = 0.02;
/// How often it is doubled.
const DOUBLINGS: u32 = 3;
/// Fewer runs near the best, without batches and with, see one side of the valley only: a rate more on either side is looked at.
const LOPSIDED: [usize; 2] = [6, 14];
/// So many runs, with those, take a cube.
const CUBE: [usize; 2] = [5, 12];
/// Sizes or tokens within this share are one cell.
const ALIKE: f64 = 1e-3;
/// Factors by which a rate may be wrong.
const FACTORS: [f64; 4] = [0.25, 0.5, 2.0, 4.0];

/// Why there is no best: the losses themselves say so ...
const AT_END: &str =
    "the loss is lowest at the first or last rate tried: the best is there or beyond";
/// ... or the curve through them.
const BEYOND: &str = "the best lies beyond the rates or batches tried";

/// The best of one size and number of tokens.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cell {
    /// N.
    pub params: f64,
    /// D.
    pub tokens: f64,
    /// Runs.
    pub n: usize,
    /// Runs that made the parabola.
    pub near: usize,
    /// Lowest loss seen.
    pub best_loss: f64,
    /// Best rate, where it lies among those tried.
    pub rate: Option<f64>,
    /// Best batch, where batches vary and it lies among those tried.
    pub batch: Option<f64>,
    /// Nats per squared unit of ln lr at the best batch.
    pub curvature: f64,
    /// Why there is no best.
    pub reason: Option<&'static str>,
    /// Steps of the grid around the best, in ln lr and ln B: nothing between two of its places is seen.
    #[serde(skip)]
    pub grid: [f64; 2],
}

/// What a rate that is wrong by a factor costs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Cost {
    /// The rate over the best.
    pub factor: f64,
    /// Mean over cells, in nats, with the batch at its best.
    pub nats: f64,
    /// Cells that tried such a rate.
    pub cells: usize,
}

/// Points by size and tokens, ascending.
pub fn grouped(points: &[Point]) -> Vec<Vec<&Point>> {
    let key = |p: &&Point| (p.params.unwrap_or(0.0), p.tokens.unwrap_or(0.0));
    let mut sorted: Vec<&Point> = points.iter().collect();
    sorted.sort_by(|a, b| {
        key(a)
            .0
            .total_cmp(&key(b).0)
            .then(key(a).1.total_cmp(&key(b).1))
    });
    let near = |a: f64, b: f64| (a - b).abs() <= ALIKE * a.max(b);
    let sizes = sorted
        .chunk_by(|a, b| near(key(a).0, key(b).0))
        .map(<[&Point]>::to_vec);
    sizes
        .flat_map(|mut size| {
            size.sort_by(|a, b| key(a).1.total_cmp(&key(b).1));
            size.chunk_by(|a, b| near(key(a).1, key(b).1))
                .map(<[&Point]>::to_vec)
                .collect::<Vec<_>>()
        })
        .collect()
}

/// Every cell with its best.
pub fn cells(points: &[Point]) -> Vec<Cell> {
    grouped(points).iter().map(|cell| best(cell)).collect()
}

fn best(runs: &[&Point]) -> Cell {
    let best_loss = runs.iter().map(|p| p.loss).fold(f64::INFINITY, f64::min);
    let mut cell = Cell {
        params: runs[0].params.unwrap_or(f64::NAN),
        tokens: runs[0].tokens.unwrap_or(f64::NAN),
        n: runs.len(),
        near: 0,
        best_loss,
        rate: None,
        batch: None,
        curvature: f64::NAN,
        reason: Some("too few rates"),
        grid: [grid(runs, |p| p.rate), grid(runs, |p| p.batch)],
    };
    // Between rates a curve may turn where the losses themselves do not: then the best is nowhere seen, however far one looks.
    if at_end(&envelope(runs)) {
        cell.reason = Some(AT_END);
        return cell;
    }
    let with_batch = runs.iter().all(|p| p.batch.is_some()) && distinct(runs, |p| p.batch) > 2;
    for doubling in 0..=DOUBLINGS {
        let limit = (1.0 + WINDOW * f64::from(2_u32.pow(doubling))) * best_loss;
        let near: Vec<&Point> = runs.iter().copied().filter(|p| p.loss <= limit).collect();
        let enough = if with_batch {
            near.len() >= 10 && distinct(&near, |p| p.batch) > 2
        } else {
            near.len() >= 4
        };
        if !enough || distinct(&near, |p| p.rate) < 3 {
            continue;
        }
        let near = with_neighbours(runs, near, with_batch);
        cell.near = near.len();
        match lowest(&near, with_batch) {
            Ok((rate, batch, curvature)) => {
                (cell.rate, cell.batch, cell.curvature, cell.reason) =
                    (Some(rate), batch, curvature, None);
                return cell;
            }
            Err(reason) => cell.reason = Some(reason),
        }
        // A wider window is another shape, and would only hide that the best lies outside.
        if cell.reason == Some(BEYOND) {
            break;
        }
    }
    cell
}

/// Whether the lowest loss is at the first or the last rate.
fn at_end(by_rate: &[(f64, f64)]) -> bool {
    let [first, inside @ .., last] = by_rate else {
        return false;
    };
    let inside = inside
        .iter()
        .map(|rate| rate.1)
        .fold(f64::INFINITY, f64::min);
    by_rate.len() > 2 && first.1.min(last.1) < inside
}

/// Where runs near the best are few, on a coarse grid, those within a share of the loss reach further down the flat side than up the
/// steep one, and a parabola through them leans to it: with the best of the next rate on either side there is a cube to see that.
fn with_neighbours<'p>(
    runs: &[&'p Point],
    mut near: Vec<&'p Point>,
    with_batch: bool,
) -> Vec<&'p Point> {
    let place = |p: &Point| p.rate.unwrap_or(1.0).ln();
    if near.len() >= LOPSIDED[usize::from(with_batch)] && distinct(&near, |p| p.rate) > 4 {
        return near;
    }
    let ends = near.iter().map(|p| place(p));
    let (low, high) = ends.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| {
        (low.min(x), high.max(x))
    });
    let of = |side: &dyn Fn(f64) -> f64| {
        let beyond = || runs.iter().filter(|p| side(place(p)) > 0.02);
        let next = beyond()
            .map(|p| side(place(p)))
            .fold(f64::INFINITY, f64::min);
        let there = || beyond().filter(|p| side(place(p)) < next + 0.02);
        let best = there().map(|p| p.loss).fold(f64::INFINITY, f64::min);
        let good = there().filter(|p| !with_batch || p.loss <= (1.0 + WINDOW) * best);
        good.copied().collect::<Vec<&Point>>()
    };
    let more = [of(&|x| low - x), of(&|x| x - high)];
    near.extend(more.into_iter().flatten());
    near
}

/// The mean step from the lowest loss to the next places on either side, in logarithms; nothing where there is one place.
fn grid(runs: &[&Point], of: fn(&Point) -> Option<f64>) -> f64 {
    let places: Vec<(f64, f64)> = runs
        .iter()
        .filter_map(|p| Some((of(p)?.ln(), p.loss)))
        .collect();
    let Some(best) = places.iter().min_by(|a, b| a.1.total_cmp(&b.1)) else {
        return 0.0;
    };
    let next = |sign: f64| {
        let apart = places.iter().map(|place| sign * (place.0 - best.0));
        apart
            .filter(|apart| *apart > 0.02)
            .fold(f64::INFINITY, f64::min)
    };
    let steps: Vec<f64> = [next(1.0), next(-1.0)]
        .into_iter()
        .filter(|step| step.is_finite())
        .collect();
    steps.iter().sum::<f64>() / steps.len().max(1) as f64
}

fn distinct(runs: &[&Point], of: fn(&Point) -> Option<f64>) -> usize {
    let mut values: Vec<f64> = runs.iter().filter_map(|p| Some(of(p)?.ln())).collect();
    values.sort_by(f64::total_cmp);
    values.dedup_by(|a, b| (*a - *b).abs() < 0.02);
    values.len()
}

/// The lowest point of the curve through runs, and how fast the loss rises with ln lr from there.
fn lowest(runs: &[&Point], with_batch: bool) -> Result<(f64, Option<f64>, f64), &'static str> {
    let log = |of: fn(&Point) -> Option<f64>| {
        runs.iter()
            .map(|p| of(p).unwrap_or(1.0).ln())
            .collect::<Vec<f64>>()
    };
    let middle = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (lr, batch) = (log(|p| p.rate), log(|p| p.batch));
    let (x0, y0) = (middle(&lr), middle(&batch));
    let column = |f: &dyn Fn(f64, f64) -> f64| {
        lr.iter()
            .zip(&batch)
            .map(|(x, y)| f(x - x0, y - y0))
            .collect::<Vec<f64>>()
    };
    let mut columns = vec![
        column(&|_, _| 1.0),
        column(&|x, _| x),
        column(&|x, _| x * x),
    ];
    if runs.len() >= CUBE[usize::from(with_batch)] && distinct(runs, |p| p.rate) > 4 {
        columns.push(column(&|x, _| x * x * x));
    }
    let cubes = columns.len() - 3;
    if with_batch {
        columns.extend([
            column(&|_, y| y),
            column(&|x, y| x * y),
            column(&|_, y| y * y),
        ]);
    }
    let losses: Vec<f64> = runs.iter().map(|p| p.loss).collect();
    let c = least_squares(&columns, &losses).ok_or("rates and batches too much alike")?;
    let inside = |value: f64, tried: &[f64]| {
        let ends = tried
            .iter()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| {
                (low.min(*v), high.max(*v))
            });
        value >= ends.0 && value <= ends.1
    };
    let cube = if cubes == 1 { c[3] } else { 0.0 };
    let [by, both, of_batch] = if with_batch {
        [c[3 + cubes], c[4 + cubes], c[5 + cubes]]
    } else {
        [0.0, 0.0, 1.0]
    };
    // With the batch at its best for each rate the loss is a cubic in x, and its slope a + b x + 3 cube x^2.
    let (a, b) = (
        c[1] - by * both / (2.0 * of_batch),
        2.0 * c[2] - both * both / (2.0 * of_batch),
    );
    let discriminant = b * b - 12.0 * cube * a;
    if of_batch <= 0.0 || b <= 0.0 || discriminant <= 0.0 {
        return Err("the loss does not curve upward");
    }
    let x = -2.0 * a / (b + discriminant.sqrt());
    let y = -(by + both * x) / (2.0 * of_batch);
    match inside(x + x0, &lr) && (!with_batch || inside(y + y0, &batch)) {
        true => Ok((
            (x + x0).exp(),
            with_batch.then(|| (y + y0).exp()),
            (c[2] + 3.0 * cube * x).max(0.0),
        )),
        false => Err(BEYOND),
    }
}

/// Mean and worst over cells of what rates that are off by `left` in ln lr cost.
pub fn law_cost(cells: &[&Cell], left: &[f64]) -> [f64; 2] {
    let costs: Vec<f64> = cells
        .iter()
        .zip(left)
        .map(|(cell, off)| cell.curvature * off * off)
        .collect();
    [
        costs.iter().sum::<f64>() / costs.len().max(1) as f64,
        costs.iter().copied().fold(0.0, f64::max),
    ]
}

/// What mistuned rates cost: every cell's lowest loss at each rate, between rates on straight lines in ln lr, against its best.
pub fn costs(points: &[Point], cells: &[Cell]) -> Vec<Cost> {
    let curves: Vec<(f64, Vec<(f64, f64)>)> = grouped(points)
        .iter()
        .zip(cells)
        .filter_map(|(runs, cell)| Some((cell.rate?.ln(), envelope(runs))))
        .collect();
    let one = |factor: f64| {
        let found: Vec<f64> = curves
            .iter()
            .filter_map(|(best, curve)| {
                Some(between(curve, best + factor.ln())? - between(curve, *best)?)
            })
            .collect();
        let cells = found.len();
        (cells > 0).then(|| Cost {
            factor,
            nats: found.iter().sum::<f64>() / cells as f64,
            cells,
        })
    };
    FACTORS.into_iter().filter_map(one).collect()
}

/// The lowest loss at each rate, by ln lr.
fn envelope(runs: &[&Point]) -> Vec<(f64, f64)> {
    let mut sorted: Vec<(f64, f64)> = runs
        .iter()
        .filter_map(|p| Some((p.rate?.ln(), p.loss)))
        .collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let rates = sorted.chunk_by(|a, b| b.0 - a.0 < 0.02);
    rates
        .map(|rate| {
            (
                rate[0].0,
                rate.iter().map(|r| r.1).fold(f64::INFINITY, f64::min),
            )
        })
        .collect()
}

fn between(curve: &[(f64, f64)], x: f64) -> Option<f64> {
    let pair = curve
        .windows(2)
        .find(|pair| pair[0].0 <= x && x <= pair[1].0)?;
    let share = (x - pair[0].0) / (pair[1].0 - pair[0].0);
    Some(pair[0].1 + share * (pair[1].1 - pair[0].1))
}
