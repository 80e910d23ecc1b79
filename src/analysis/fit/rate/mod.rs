//! The best learning rate and batch as powers of size and tokens: lr = c N^-p D^q, B = k D^r, from sweeps at several sizes and
//! numbers of tokens.
//!
//! The runs of one N and D are a cell. Near a cell's best run the loss is nearly a parabola in ln lr and ln B, whose lowest point is the
//! cell's best rate and batch ([`valley`]); the law is least squares of their logarithms over the cells, so that what cells scatter
//! by is in the intervals. A cell whose loss is lowest at the first or last rate has no best. One side is usually steeper, and what
//! a coarse grid hides of that moves all cells alike: half a step of the grid is in the interval of a level, though not of an
//! exponent. The paper's own code instead regresses every run within 0.25% of its cell's best: that is told beside.

use serde::Serialize;

use super::form::{Form, Law};
use super::points::{Point, Variable};
use crate::error::{Error, Result};
use crate::stat::interval::LEVEL;
use crate::stat::linear::{least_squares, residual_of};
use crate::stat::{Interval, critical};

pub mod valley;

pub use valley::{Cell, Cost};

/// The law.
pub const LAW: Law = Law {
    name: "rate",
    formula: "lr = c N^-p D^q, B = k D^r",
    about: "The best learning rate and batch of every size and number of tokens, from the valleys of a sweep.",
    source: "Li et al. 2025 (Step Law), arXiv 2503.04715, eq. 1",
    form: Form::Rate,
};

/// Runs this close to their cell's best enter the paper's own estimate.
const NEAR: f64 = 0.0025;
/// ln N of which ln D leaves less than this share of the spread cannot be told from it.
const APART: f64 = 0.02;

/// One figure with its t interval.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Power {
    /// `p`.
    pub name: &'static str,
    /// Estimate.
    pub value: f64,
    /// Over the cells.
    pub interval: Option<Interval>,
}

/// The law at a place that was asked about.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RateAt {
    /// N.
    pub params: f64,
    /// D.
    pub tokens: f64,
    /// Best rate.
    pub rate: f64,
    /// Of a cell's own best rate there: what cells scatter by included.
    pub rate_interval: Option<Interval>,
    /// Best batch, where batches were swept.
    pub batch: Option<f64>,
    /// Of a cell's own best batch.
    pub batch_interval: Option<Interval>,
    /// Whether N or D lies outside the cells.
    pub extrapolated: bool,
}

/// The law fitted to one group.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RateLaw {
    /// Whose runs.
    pub group: String,
    /// Runs.
    pub n: usize,
    /// By size, then tokens.
    pub cells: Vec<Cell>,
    /// c, then p and q as far as the cells tell them.
    pub rate: Vec<Power>,
    /// k and r; empty where batches were not swept or the cells do not tell.
    pub batch: Vec<Power>,
    /// What cannot be told, and why.
    pub not_identified: Vec<String>,
    /// Standard deviation of the cells' best rates around the law, as a factor.
    pub rate_scatter: Option<f64>,
    /// The same of batches.
    pub batch_scatter: Option<f64>,
    /// What the law's rate costs beside each cell's own, in nats: mean and worst over the cells.
    pub law_cost_nats: [f64; 2],
    /// What a mistuned rate costs.
    pub costs: Vec<Cost>,
    /// c, p, q, k, r by the paper's own code: least squares over all runs within 0.25% of their cell's best.
    pub by_near_runs: Option<[f64; 5]>,
    /// Places asked about.
    pub at: Vec<RateAt>,
}

/// Fits one group's runs; `asked` are places N, D.
pub fn fit(points: &[Point], asked: &[(f64, f64)]) -> Result<RateLaw> {
    let group = points
        .first()
        .map_or(String::new(), |point| point.group.clone());
    complete(points, &group)?;
    let cells = valley::cells(points);
    let told: Vec<&Cell> = cells.iter().filter(|cell| cell.rate.is_some()).collect();
    let mut not_identified = Vec::new();
    let terms = terms(&told, &mut not_identified);
    if told.len() < terms.len() + 2 {
        let why = cells
            .iter()
            .find_map(|cell| cell.reason)
            .map_or(String::new(), |why| format!(" ({why})"));
        let message = format!(
            "{group}: {} of {} cells of size and tokens have a best rate inside those tried{why}; the law takes {}",
            told.len(),
            cells.len(),
            terms.len() + 2
        );
        return Err(Error::input(message)
            .hint("sweep the rate on both sides of the best, at more sizes and tokens"));
    }
    let rates: Vec<f64> = told
        .iter()
        .filter_map(|cell| Some(cell.rate?.ln()))
        .collect();
    let rate = Line::new(&told, &terms, &rates, 0).ok_or_else(|| {
        Error::input(format!(
            "{group}: sizes and tokens of the cells are too much alike"
        ))
    })?;
    let batch = batch_line(&told);
    if batch.is_none() && points.iter().any(|point| point.batch.is_some()) {
        not_identified
            .push("k and r: too few cells have a best batch inside those tried".to_owned());
    }
    let at = asked
        .iter()
        .map(|place| place_at(&told, &rate, batch.as_ref(), *place))
        .collect();
    Ok(RateLaw {
        n: points.len(),
        rate: rate.powers("c"),
        batch: batch.as_ref().map_or(Vec::new(), |line| line.powers("k")),
        not_identified,
        rate_scatter: rate.scatter(),
        batch_scatter: batch.as_ref().and_then(Line::scatter),
        law_cost_nats: valley::law_cost(&told, &rate.left),
        costs: valley::costs(points, &cells),
        by_near_runs: near_runs(points),
        at,
        cells,
        group,
    })
}

/// Refuses runs that lack what the law is of.
fn complete(points: &[Point], group: &str) -> Result<()> {
    for needed in [Variable::Params, Variable::Tokens, Variable::Rate] {
        if points.iter().any(|point| point.get(needed).is_none()) {
            let name = needed.name();
            return Err(Error::input(format!(
                "{group}: this law needs `{name}`, which is not there"
            ))
            .hint(format!("--map {name}=COLUMN; --where leaves rows out")));
        }
    }
    Ok(())
}

/// The best batch by tokens, over the cells that have one; absent below four.
fn batch_line(told: &[&Cell]) -> Option<Line> {
    let swept: Vec<&Cell> = told
        .iter()
        .copied()
        .filter(|cell| cell.batch.is_some())
        .collect();
    let batches: Vec<f64> = swept
        .iter()
        .filter_map(|cell| Some(cell.batch?.ln()))
        .collect();
    let of_tokens: Vec<Term> = vec![Term {
        name: "r",
        sign: 1.0,
        of: |cell| cell.tokens.ln(),
    }];
    (swept.len() > 3)
        .then(|| Line::new(&swept, &of_tokens, &batches, 1))
        .flatten()
}

/// One exponent's variable.
struct Term {
    name: &'static str,
    /// Of the exponent as one writes it.
    sign: f64,
    of: fn(&Cell) -> f64,
}

/// What the cells can tell: p and q, or one of them where the other does not move or moves with it.
fn terms(cells: &[&Cell], not_identified: &mut Vec<String>) -> Vec<Term> {
    let p = Term {
        name: "p",
        sign: -1.0,
        of: |cell| cell.params.ln(),
    };
    let q = Term {
        name: "q",
        sign: 1.0,
        of: |cell| cell.tokens.ln(),
    };
    let column = |term: &Term| {
        cells
            .iter()
            .map(|cell| (term.of)(cell))
            .collect::<Vec<f64>>()
    };
    let ones = vec![1.0; cells.len()];
    let spread = |column: &[f64], others: &[Vec<f64>]| {
        residual_of(column, others)
            .iter()
            .map(|v| v * v)
            .sum::<f64>()
    };
    let (n, d) = (column(&p), column(&q));
    let (of_n, of_d) = (
        spread(&n, std::slice::from_ref(&ones)),
        spread(&d, std::slice::from_ref(&ones)),
    );
    let still = |spread: f64| spread < 1e-4 * cells.len() as f64;
    if still(of_n) {
        not_identified.push("p: all cells are of one size".to_owned());
    }
    if still(of_d) {
        not_identified.push("q: all cells see as many tokens".to_owned());
    }
    match (still(of_n), still(of_d)) {
        (true, true) => Vec::new(),
        (true, false) => vec![q],
        (false, true) => vec![p],
        (false, false) if spread(&n, &[ones, d]) < APART * of_n => {
            not_identified
                .push("p and q: tokens rise with size in every cell, so only both together are told, as q".to_owned());
            vec![q]
        }
        (false, false) => vec![p, q],
    }
}

/// A line in logarithms over cells.
struct Line {
    names: Vec<(&'static str, f64, fn(&Cell) -> f64)>,
    columns: Vec<Vec<f64>>,
    y: Vec<f64>,
    slopes: Vec<f64>,
    /// Seen less fitted of each cell.
    left: Vec<f64>,
    /// Half a step of the cells' grids: what their valleys lean to one side by, if they do, they lean by together, and no number
    /// of cells takes it from the level.
    common: f64,
}

impl Line {
    /// `of` says which of the grids: that of rates or of batches.
    fn new(cells: &[&Cell], terms: &[Term], y: &[f64], of: usize) -> Option<Self> {
        let ones = vec![1.0; cells.len()];
        let columns: Vec<Vec<f64>> = [ones]
            .into_iter()
            .chain(
                terms
                    .iter()
                    .map(|term| cells.iter().map(|cell| (term.of)(cell)).collect()),
            )
            .collect();
        let slopes = centred(&columns, y)?;
        let fitted = |k: usize| {
            columns
                .iter()
                .zip(&slopes)
                .map(|(column, slope)| slope * column[k])
                .sum::<f64>()
        };
        let left = y.iter().enumerate().map(|(k, y)| y - fitted(k)).collect();
        let names = terms
            .iter()
            .map(|term| (term.name, term.sign, term.of))
            .collect();
        Some(Self {
            names,
            columns,
            y: y.to_vec(),
            slopes,
            left,
            common: 0.5 * cells.iter().map(|cell| cell.grid[of]).sum::<f64>() / cells.len() as f64,
        })
    }

    fn freedom(&self) -> f64 {
        self.y.len() as f64 - self.columns.len() as f64
    }

    fn sd(&self) -> f64 {
        (self.left.iter().map(|r| r * r).sum::<f64>() / self.freedom()).sqrt()
    }

    fn scatter(&self) -> Option<f64> {
        Some(self.sd().exp()).filter(|factor| factor.is_finite())
    }

    /// Standard error of column k's slope: sd over what the other columns leave of it.
    fn se(&self, columns: &[Vec<f64>], k: usize) -> f64 {
        let others: Vec<Vec<f64>> = (0..columns.len())
            .filter(|j| *j != k)
            .map(|j| columns[j].clone())
            .collect();
        self.sd()
            / residual_of(&columns[k], &others)
                .iter()
                .map(|v| v * v)
                .sum::<f64>()
                .sqrt()
    }

    fn powers(&self, coefficient: &'static str) -> Vec<Power> {
        let t = critical(self.freedom(), LEVEL);
        let around = |value: f64, k: usize| {
            let luck = t? * self.se(&self.columns, k);
            let half = if k == 0 {
                luck.hypot(self.common)
            } else {
                luck
            };
            half.is_finite().then_some(Interval {
                low: value - half,
                high: value + half,
                level: LEVEL,
            })
        };
        let log = around(self.slopes[0], 0);
        let first = Power {
            name: coefficient,
            value: self.slopes[0].exp(),
            interval: log.map(|i| Interval {
                low: i.low.exp(),
                high: i.high.exp(),
                ..i
            }),
        };
        let others = self.names.iter().enumerate().map(|(k, (name, sign, _))| {
            let value = sign * self.slopes[k + 1];
            Power {
                name,
                value,
                interval: around(value, k + 1),
            }
        });
        [first].into_iter().chain(others).collect()
    }

    /// The value at a cell, with the interval of a cell's own best there.
    fn at(&self, cell: &Cell) -> (f64, Option<Interval>) {
        let place: Vec<f64> = [1.0]
            .into_iter()
            .chain(self.names.iter().map(|(.., of)| of(cell)))
            .collect();
        let value: f64 = place
            .iter()
            .zip(&self.slopes)
            .map(|(x, slope)| x * slope)
            .sum();
        // With columns measured from the place the first slope is the value there.
        let shifted: Vec<Vec<f64>> = self
            .columns
            .iter()
            .zip(&place)
            .enumerate()
            .map(|(k, (column, x))| {
                column
                    .iter()
                    .map(|v| if k == 0 { *v } else { v - x })
                    .collect()
            })
            .collect();
        let luck = |t: f64| t * self.se(&shifted, 0).hypot(self.sd());
        let half = critical(self.freedom(), LEVEL).map(|t| luck(t).hypot(self.common));
        let interval = half.filter(|half| half.is_finite()).map(|half| Interval {
            low: (value - half).exp(),
            high: (value + half).exp(),
            level: LEVEL,
        });
        (value.exp(), interval)
    }
}

/// Least squares with the columns after the first, which is of ones, measured from their means.
fn centred(columns: &[Vec<f64>], y: &[f64]) -> Option<Vec<f64>> {
    let n = y.len() as f64;
    let means: Vec<f64> = columns
        .iter()
        .map(|column| column.iter().sum::<f64>() / n)
        .collect();
    let moved: Vec<Vec<f64>> = columns
        .iter()
        .enumerate()
        .map(|(k, column)| {
            column
                .iter()
                .map(|v| if k == 0 { 1.0 } else { v - means[k] })
                .collect()
        })
        .collect();
    let mut slopes = least_squares(&moved, y)?;
    slopes[0] -= slopes[1..]
        .iter()
        .zip(&means[1..])
        .map(|(slope, mean)| slope * mean)
        .sum::<f64>();
    Some(slopes)
}

fn place_at(
    cells: &[&Cell],
    rate: &Line,
    batch: Option<&Line>,
    (params, tokens): (f64, f64),
) -> RateAt {
    let cell = Cell {
        params,
        tokens,
        ..cells[0].clone()
    };
    let (value, rate_interval) = rate.at(&cell);
    let of_batch = batch.map(|line| line.at(&cell));
    let outside = |of: fn(&Cell) -> f64, value: f64| {
        let values = cells.iter().map(|cell| of(cell));
        let (low, high) = values.fold((f64::INFINITY, 0.0_f64), |(low, high), v| {
            (low.min(v), high.max(v))
        });
        value < 0.99 * low || value > 1.01 * high
    };
    RateAt {
        params,
        tokens,
        rate: value,
        rate_interval,
        batch: of_batch.map(|(value, _)| value),
        batch_interval: of_batch.and_then(|(_, interval)| interval),
        extrapolated: outside(|cell| cell.params, params) || outside(|cell| cell.tokens, tokens),
    }
}

/// c, p, q, k, r by least squares over every run within 0.25% of its cell's best.
fn near_runs(points: &[Point]) -> Option<[f64; 5]> {
    let groups = valley::grouped(points);
    let near: Vec<&Point> = groups
        .iter()
        .flat_map(|cell| {
            let best = cell.iter().map(|p| p.loss).fold(f64::INFINITY, f64::min);
            cell.iter()
                .copied()
                .filter(move |p| p.loss < (1.0 + NEAR) * best)
        })
        .collect();
    let of = |get: &dyn Fn(&Point) -> Option<f64>| {
        near.iter()
            .map(|p| Some(get(p)?.ln()))
            .collect::<Option<Vec<f64>>>()
    };
    let (n, d, lr) = (of(&|p| p.params)?, of(&|p| p.tokens)?, of(&|p| p.rate)?);
    let batch = of(&|p| p.batch)?;
    let ones = vec![1.0; near.len()];
    let rate = centred(&[ones.clone(), n, d.clone()], &lr)?;
    let size = centred(&[ones, d], &batch)?;
    Some([rate[0].exp(), -rate[1], rate[2], size[0].exp(), size[1]])
}

#[cfg(test)]
mod tests;
