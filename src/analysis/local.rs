//! The base read where a variant stands: what it reaches at a cost, and what it needs to reach a loss.
//!
//! The base's cells are joined to paths: those of one size, and those of different sizes with as many tokens to a parameter.
//! Along a path the means over repeats make a monotone curve of log loss against log cost (`stat/curve.rs`). At each cost the
//! base is as good as its best path, which is its frontier over sizes and budgets: it may grow as well as train longer. A path
//! stays where it ends, for nobody has to spend what is there. The best of several is better by luck than it is; what the
//! runner-up could have gained by luck (the expected improvement, Clark 1961) is taken off.
//!
//! Everything told of the gap between base and variant is one test, of base minus variant at one cost. Where the base ran at
//! the variant's own cost the gap is what the trials differ by. A gain is where the gap is nothing, its interval all costs at
//! which the gap cannot be told from nothing (Fieller 1954), so that a gain told from 1 is a difference told at equal cost.
//! Beyond the base's runs there is no gap to test: then the interval is open, or the answer is a one-sided bound.

use std::collections::BTreeMap;

use statrs::distribution::{Continuous, ContinuousCDF, Normal};

use super::axis::Axis;
use super::form::{Form, shift};
use super::pairs::{BaseCell, Pair, Pairs};
use super::scatter::Scatter;
use crate::stat::Shift;

mod path;

use path::{Path, Read, SAME_COST, rows};

/// Places tried on the way from a solution to the end of the base's runs.
const PLACES: usize = 24;
/// Halvings between two of them.
const HALVINGS: usize = 30;

/// The best of several readings, and what it owes to luck, in nats.
struct Best<'r> {
    read: &'r Read,
    luck: f64,
}

/// The base as one variant sees it, on one axis.
pub(super) struct Local<'a> {
    pairs: &'a [Pair],
    cells: &'a [BaseCell],
    variant: String,
    paths: Vec<Path>,
    /// By cell, then by pair: how far ln cost and loss, as a share of it, lie from their means.
    apart: Vec<Vec<(f64, f64)>>,
    /// By cell: mean loss.
    losses: Vec<f64>,
    /// Covariances of the means of all of these and the variant's, in the order of [`Local::parts`].
    covariance: Vec<Vec<f64>>,
    /// The variant's ln cost and loss so.
    own_apart: Vec<(f64, f64)>,
    /// The variant's mean ln cost ...
    own: f64,
    /// ... and its mean loss.
    loss: f64,
    scatter: Option<&'a Scatter>,
}

/// Where a gap is nothing.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Crossing {
    /// At this log ratio of costs, with the ends of the interval; an end beyond the base's runs is infinite.
    At(Form, Option<(f64, f64)>),
    /// The base's runs end before: the largest log ratio at which the base is told to be behind, at this one-sided level.
    Beyond {
        one_sided: Option<f64>,
        two_sided: Option<f64>,
        end: f64,
    },
    /// The base's runs begin after.
    Below {
        one_sided: Option<f64>,
        two_sided: Option<f64>,
        end: f64,
    },
}

impl<'a> Local<'a> {
    /// `None` where the axis is not known in every repeat, or the base has nothing to be read there.
    pub fn of(pairs: &'a Pairs, axis: Axis, scatter: Option<&'a Scatter>) -> Option<Self> {
        let all = &pairs.pairs;
        let around = |of: &dyn Fn(&Pair) -> Option<(f64, f64)>| {
            let known: Vec<(f64, f64)> = all.iter().map(of).collect::<Option<_>>()?;
            let middle = |part: fn(&(f64, f64)) -> f64| {
                known.iter().map(part).sum::<f64>() / known.len() as f64
            };
            let (cost, loss) = (middle(|known| known.0), middle(|known| known.1));
            let apart = known
                .iter()
                .map(|known| (known.0 - cost, (known.1 - loss) / loss))
                .collect::<Vec<_>>();
            Some((cost, loss, apart))
        };
        let (own, loss, own_apart) =
            around(&|pair| Some((pair.variant.spent.on(axis)?.ln(), pair.variant.loss)))?;
        let of_cell =
            |k: usize| around(&|pair| Some((pair.base[k].spent.on(axis)?.ln(), pair.base[k].loss)));
        let known: Vec<_> = (0..pairs.cells.len()).map(of_cell).collect::<Option<_>>()?;
        let rows = rows(&pairs.cells, &pairs.question.scale, axis);
        let paths: Vec<Path> = rows
            .into_iter()
            .map(|cells| Path::of(cells, &|k| (known[k].0, known[k].1)))
            .collect();
        let losses = known.iter().map(|known| known.1).collect();
        let apart: Vec<Vec<(f64, f64)>> = known.into_iter().map(|(.., apart)| apart).collect();
        let covariance = covariance(&apart, &own_apart);
        let (pairs, cells, variant) = (&pairs.pairs[..], &pairs.cells[..], pairs.question.cell());
        let found = Self {
            pairs,
            cells,
            variant,
            paths,
            apart,
            losses,
            covariance,
            own_apart,
            own,
            loss,
            scatter,
        };
        (!found.paths.is_empty()).then_some(found)
    }

    /// The log ratio at an end of the base's runs; none where the base ran at the variant's own cost there, to [`SAME_COST`], so
    /// that no rounding of a logarithm decides what is told at equal cost.
    fn end(&self, x: f64) -> f64 {
        let ratio = x - self.own;
        if ratio.abs() <= SAME_COST.ln_1p() {
            0.0
        } else {
            ratio
        }
    }

    /// ln cost at which the base begins and ends.
    fn range(&self) -> (f64, f64) {
        let ranges = || self.paths.iter().map(Path::range);
        (
            ranges().map(|r| r.0).fold(f64::INFINITY, f64::min),
            ranges().map(|r| r.1).fold(f64::NEG_INFINITY, f64::max),
        )
    }

    /// Whether more compute makes the base worse, as where it learns its few data by heart: then no cost stands for a loss.
    pub fn rises(&self) -> bool {
        let steps = |path: &Path| path.cells.windows(2).any(|two| self.rise(two[0], two[1]));
        self.paths.iter().any(steps)
    }

    /// Whether a cell is behind the one before in every repeat, by more than a flat curve could be.
    fn rise(&self, from: usize, to: usize) -> bool {
        // One repeat may be unlucky by much, and several all alike by little.
        let flat = if self.pairs.len() == 1 { 0.25 } else { 0.01 };
        let more: Vec<f64> = self
            .pairs
            .iter()
            .map(|pair| pair.base[to].loss - pair.base[from].loss)
            .collect();
        let mean = more.iter().sum::<f64>() / more.len() as f64;
        mean > flat * self.losses[from] && more.iter().all(|more| *more > 0.0)
    }

    /// How far each pair's base lies from a reading, in nats.
    fn spread(&self, read: &Read) -> Vec<f64> {
        let of = |k: usize| {
            let part = |(cell, share): &(usize, f64)| {
                let (cost, loss) = self.apart[*cell][k];
                share * (read.loss * loss - read.slope * cost)
            };
            read.shares.iter().map(part).sum::<f64>() + read.slope * self.own_apart[k].0
        };
        (0..self.pairs.len()).map(of).collect()
    }

    /// What a nat more of each cell does to a reading.
    fn loads(&self, read: &Read) -> impl Iterator<Item = (usize, f64)> {
        read.shares
            .iter()
            .map(|(cell, share)| (*cell, share * read.loss / self.losses[*cell]))
    }

    /// The base's loss as a sum of what its trials reached.
    fn form(&self, best: &Best) -> Form {
        let read = best.read;
        let loads = self
            .loads(read)
            .map(|(cell, load)| (self.cells[cell].name.clone(), load));
        let by_seed = self
            .pairs
            .iter()
            .map(|pair| pair.seed)
            .zip(self.spread(read))
            .collect();
        Form {
            value: read.loss + best.luck,
            by_seed,
            loads: loads.collect(),
            reading_se: read.reading_se,
        }
    }

    fn variant(&self) -> Form {
        let by_seed = self
            .pairs
            .iter()
            .zip(&self.own_apart)
            .map(|(pair, apart)| (pair.seed, apart.1 * self.loss))
            .collect();
        Form {
            value: self.loss,
            by_seed,
            loads: BTreeMap::from([(self.variant.clone(), 1.0)]),
            reading_se: 0.0,
        }
    }

    /// The best of several readings, and what it owes to luck: the most that another could have been below it.
    fn best<'r>(&self, reads: &'r [Read]) -> Option<Best<'r>> {
        let read = reads.iter().min_by(|a, b| a.loss.total_cmp(&b.loss))?;
        let others = reads.iter().filter(|other| !std::ptr::eq(*other, read));
        let normal = Normal::standard();
        let luck = others.filter_map(|other| {
            let less = self.parts(read).into_iter().map(|(part, of)| (part, -of));
            let parts: Vec<(usize, f64)> = self.parts(other).into_iter().chain(less).collect();
            let mut loads: BTreeMap<usize, f64> = self.loads(other).collect();
            self.loads(read)
                .for_each(|(k, load)| *loads.entry(k).or_default() -= load);
            let squares = loads.values().map(|load| load * load).sum();
            let ahead = shift(
                other.loss - read.loss,
                self.luck(&parts)?,
                squares,
                0.0,
                self.scatter,
            );
            let t = ahead.value / ahead.se;
            t.is_finite()
                .then(|| ahead.se * normal.pdf(t) - ahead.value * normal.cdf(-t))
        });
        Some(Best {
            read,
            luck: luck.fold(0.0, f64::max),
        })
    }

    fn reads(&self, x: f64) -> Vec<Read> {
        self.paths.iter().filter_map(|path| path.read(x)).collect()
    }

    /// Base minus variant at ln cost `x`; `None` before the base's first cell.
    fn value(&self, x: f64) -> Option<f64> {
        let reads = self.reads(x);
        let best = self.best(&reads)?;
        Some(best.read.loss + best.luck - self.loss)
    }

    /// The base at this log ratio to the variant's own cost as measured, and only else read off its curve.
    fn base_as_measured(&self, ratio: f64) -> Option<(Form, bool)> {
        let x = self.own + ratio;
        let (_, to) = self.range();
        let measured = |path: &Path| path.measured(x);
        let reads: Vec<Read> = self
            .paths
            .iter()
            .filter_map(|path| measured(path).or_else(|| path.read(x)))
            .collect();
        let best = self.best(&reads)?;
        let measured =
            best.read.shares.len() == 1 && self.paths.iter().any(|path| path.measured(x).is_some());
        (measured || x <= to).then(|| (self.form(&best), measured))
    }

    /// The base's loss minus the variant's at the variant's own cost, and whether the base ran there.
    pub fn at_equal_cost(&self) -> Option<(Form, bool)> {
        let (base, measured) = self.base_as_measured(0.0)?;
        Some((base.minus(&self.variant(), 1.0), measured))
    }

    /// What doubling its cost buys the base, from the variant's own cost where it ran as far, else up to its largest; with the
    /// cost that is doubled.
    pub fn doubling(&self) -> Option<(Form, f64)> {
        let twice = 2.0_f64.ln();
        let fall = |ratio: f64| {
            let (from, to) = (
                self.base_as_measured(ratio)?.0,
                self.base_as_measured(ratio + twice)?.0,
            );
            Some((from.minus(&to, 1.0), (self.own + ratio).exp()))
        };
        fall(0.0).or_else(|| fall(self.range().1 - twice - self.own))
    }

    /// What a reading is made of: coefficients of each cell's cost and loss, then of the variant's cost.
    fn parts(&self, read: &Read) -> Vec<(usize, f64)> {
        let of = |(cell, share): &(usize, f64)| {
            [
                (2 * cell, -share * read.slope),
                (2 * cell + 1, share * read.loss),
            ]
        };
        read.shares
            .iter()
            .flat_map(of)
            .chain([(2 * self.cells.len(), read.slope)])
            .collect()
    }

    /// Variance of the mean of such a sum, and of how many seeds; `None` for one.
    fn luck(&self, parts: &[(usize, f64)]) -> Option<(f64, usize)> {
        let of = |(i, a): &(usize, f64)| {
            parts
                .iter()
                .map(|(j, b)| a * b * self.covariance[*i][*j])
                .sum::<f64>()
        };
        let variance = parts.iter().map(of).sum::<f64>().max(0.0);
        (self.pairs.len() > 1).then_some((variance, self.pairs.len()))
    }

    /// The gap at `x` as a figure that can be tested.
    fn gap(&self, x: f64) -> Option<Shift> {
        let reads = self.reads(x);
        let best = self.best(&reads)?;
        let read = best.read;
        let mut parts = self.parts(read);
        parts.push((2 * self.cells.len() + 1, -self.loss));
        let squares = self.loads(read).map(|(_, load)| load * load).sum::<f64>() + 1.0;
        let value = read.loss + best.luck - self.loss;
        Some(shift(
            value,
            self.luck(&parts)?,
            squares,
            read.reading_se,
            self.scatter,
        ))
    }

    /// Whether the base at `x` is told to be behind the variant (`sign` 1), or ahead (-1), at this two-sided level.
    fn told(&self, x: f64, sign: f64, level: f64) -> bool {
        self.gap(x)
            .is_some_and(|gap| sign * gap.value > 0.0 && gap.p() < 1.0 - level)
    }

    /// The first place on the way from `start` to `end`, both included, at which the gap is told.
    fn edge(&self, start: f64, end: f64, sign: f64, level: f64) -> Option<f64> {
        let place = |k: usize| start + (end - start) * k as f64 / PLACES as f64;
        let first = (0..=PLACES).find(|&k| self.told(place(k), sign, level))?;
        let Some(before) = first.checked_sub(1) else {
            return Some(start);
        };
        let (mut open, mut told) = (place(before), place(first));
        for _ in 0..HALVINGS {
            let middle = 0.5 * (open + told);
            if self.told(middle, sign, level) {
                told = middle
            } else {
                open = middle
            }
        }
        Some(told)
    }

    /// Where the base reaches the variant's loss, as a log ratio of costs.
    pub fn crossing(&self, level: f64) -> Option<Crossing> {
        let (from, to) = self.range();
        let one = 2.0 * level - 1.0;
        let ratio = |x: f64| x - self.own;
        let edge = |start, end, sign, level| {
            let x = self.edge(start, end, sign, level)?;
            Some(if x == start { self.end(x) } else { ratio(x) })
        };
        let slack = 1e-12 * self.loss;
        if self.value(to)? > slack {
            let (one_sided, two_sided) = (edge(to, from, 1.0, one), edge(to, from, 1.0, level));
            return Some(Crossing::Beyond {
                one_sided,
                two_sided,
                end: self.end(to),
            });
        }
        if self.value(from)? < -slack {
            let (one_sided, two_sided) = (edge(from, to, -1.0, one), edge(from, to, -1.0, level));
            return Some(Crossing::Below {
                one_sided,
                two_sided,
                end: self.end(from),
            });
        }
        let x = self.solved(from, to, slack)?;
        let interval = (self.pairs.len() > 1).then(|| {
            let edge = |end, sign| self.edge(x, end, sign, level).map(ratio);
            let low = edge(from, 1.0).unwrap_or(f64::NEG_INFINITY);
            (low, edge(to, -1.0).unwrap_or(f64::INFINITY))
        });
        Some(Crossing::At(self.log_gain(x)?, interval))
    }

    /// The ln cost at which the gap is nothing.
    fn solved(&self, from: f64, to: f64, slack: f64) -> Option<f64> {
        // An end is on the curve, whatever the last digits say.
        if self.value(to)?.abs() <= slack {
            return Some(to);
        }
        if let [
            Path {
                curve: Some(curve), ..
            },
        ] = &self.paths[..]
        {
            return Some(curve.solve(self.loss).x());
        }
        let (mut behind, mut ahead) = (from, to);
        for _ in 0..2 * HALVINGS {
            let middle = 0.5 * (behind + ahead);
            if self.value(middle)? > 0.0 {
                behind = middle
            } else {
                ahead = middle
            }
        }
        Some(0.5 * (behind + ahead))
    }

    /// The log gain at a solution to first order: the gap over the curve's slope there.
    fn log_gain(&self, x: f64) -> Option<Form> {
        let reads = self.reads(x);
        let best = self.best(&reads)?;
        let slope = Some(best.read.slope)
            .filter(|slope| *slope < 0.0)
            .unwrap_or(f64::NEG_INFINITY);
        let gap = self
            .form(&best)
            .minus(&self.variant(), 1.0)
            .times(-1.0 / slope);
        Some(Form {
            value: x - self.own,
            ..gap
        })
    }
}

/// Covariances of the means of each cell's ln cost and relative loss, then of the variant's; nothing for one pair.
fn covariance(apart: &[Vec<(f64, f64)>], own: &[(f64, f64)]) -> Vec<Vec<f64>> {
    let of = |cell: &[(f64, f64)]| {
        [
            cell.iter().map(|of| of.0).collect(),
            cell.iter().map(|of| of.1).collect(),
        ]
    };
    let columns: Vec<Vec<f64>> = apart
        .iter()
        .map(Vec::as_slice)
        .chain([own])
        .flat_map(of)
        .collect();
    let scale = (own.len() * own.len().saturating_sub(1)).max(1) as f64;
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>() / scale;
    columns
        .iter()
        .map(|a| columns.iter().map(|b| product(a, b)).collect())
        .collect()
}

#[cfg(test)]
mod tests;
