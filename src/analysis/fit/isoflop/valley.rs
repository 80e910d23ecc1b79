//! The lowest point of one budget's losses, read off a local cubic.

use serde::Serialize;

use crate::stat::linear::solve;

/// Fewer sizes are no valley.
const SIZES: usize = 4;
/// A cubic through fewer follows each of them: where no budget's sizes span more than [`SPAN`] a parabola will do.
const CUBIC: usize = 6;
/// Sizes over no more than this factor see no lopsidedness; five that double span it, whatever their last digits.
const SPAN: f64 = 16.0 * (1.0 + 1e-6);
/// Sizes this factor from the lowest point have no weight.
const FAR: f64 = 20.0;
/// Next to the lowest point a size should lie within this factor on either side, or the valley is not seen.
const GAP: f64 = 6.0;
/// A size this much of the loss above both its neighbours is no part of a valley.
const BUMP: f64 = 0.03;
/// Moves of the middle until it stays.
const MOVES: usize = 60;
/// Steps of the look for a cubic's lowest point.
const STEPS: usize = 2400;
/// Steps of a drawn valley.
const DRAWN: u32 = 32;

/// Why a budget has no best size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Fewer than four sizes, or fewer near the lowest point.
    FewSizes,
    /// Its runs spread over more than a doubling of compute.
    ManyBudgets,
    /// The loss is lowest at the smallest size.
    AtSmallest,
    /// The loss is lowest at the largest size.
    AtLargest,
    /// No lowest point stays where it is looked for.
    NoValley,
    /// The sizes next to the lowest point are too far from it.
    Sparse,
    /// A size lies far above both its neighbours, as where a run failed.
    Bump,
}

impl Reason {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::FewSizes => "fewer than four sizes near the lowest point",
            Self::ManyBudgets => "its runs spread over more than a doubling: no one budget",
            Self::AtSmallest => {
                "the loss is lowest at the smallest size tried: the best one is there or below"
            }
            Self::AtLargest => {
                "the loss is lowest at the largest size tried: the best one is there or above"
            }
            Self::NoValley => "the loss has no clear lowest point",
            Self::Sparse => {
                "the sizes next to the lowest point are more than a factor of six from it"
            }
            Self::Bump => {
                "one size's loss is more than 3% above those of both its neighbours: leave out with --where what failed"
            }
        }
    }
}

/// The mean ln L of one size, of so many runs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) at: f64,
    pub(super) loss: f64,
    runs: f64,
}

/// Runs of one size are one point, the mean of them.
pub(super) fn sizes(mut runs: Vec<(f64, f64)>) -> Vec<Size> {
    runs.sort_by(|a, b| a.0.total_cmp(&b.0));
    let alike = runs.chunk_by(|a, b| b.0 - a.0 < 1e-3);
    let mean = |runs: &[(f64, f64)], of: fn(&(f64, f64)) -> f64| {
        runs.iter().map(of).sum::<f64>() / runs.len() as f64
    };
    alike
        .map(|runs| Size {
            at: mean(runs, |r| r.0),
            loss: mean(runs, |r| r.1),
            runs: runs.len() as f64,
        })
        .collect()
}

/// The lowest point of a valley.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lowest {
    pub(super) at: f64,
    pub(super) loss: f64,
    pub(super) influence: f64,
}

/// Whether sizes reach far enough to see that one side is steeper.
pub(super) fn wide(sizes: &[Size]) -> bool {
    let (first, last) = (sizes.first(), sizes.last());
    first
        .zip(last)
        .is_some_and(|(first, last)| last.at - first.at > SPAN.ln())
}

/// The lowest point that a local curve has, or why there is none; `cubic` even of few sizes, as one form reads all budgets.
pub(super) fn valley(sizes: &[Size], cubic: bool) -> Result<Lowest, Reason> {
    if sizes.len() < SIZES {
        return Err(Reason::FewSizes);
    }
    // One such run moved the best size of its budget by a factor of three, and nothing else told.
    let bump = |three: &[Size]| three[1].loss - three[0].loss.max(three[2].loss) > BUMP.ln_1p();
    if sizes.windows(3).any(bump) {
        return Err(Reason::Bump);
    }
    let ends = [sizes[0].at, sizes[sizes.len() - 1].at];
    let seen = sizes
        .iter()
        .min_by(|a, b| a.loss.total_cmp(&b.loss))
        .map_or(ends[0], |size| size.at);
    let mut middle = seen;
    for _ in 0..MOVES {
        let curve = Cubic::around(sizes, middle, cubic).ok_or(Reason::FewSizes)?;
        let lowest = curve.lowest(ends);
        if (lowest - middle).abs() < 1e-4 {
            // A curve may turn far inside where the losses themselves do not: then the best is nowhere seen.
            if seen == ends[0] && lowest > sizes[1].at {
                return Err(Reason::AtSmallest);
            }
            if seen == ends[1] && lowest < sizes[sizes.len() - 2].at {
                return Err(Reason::AtLargest);
            }
            return settled(sizes, &curve, lowest, ends);
        }
        // A step of half the way keeps two places from taking turns.
        middle = 0.5 * (middle + lowest);
    }
    Err(Reason::NoValley)
}

fn settled(sizes: &[Size], cubic: &Cubic, at: f64, ends: [f64; 2]) -> Result<Lowest, Reason> {
    let near = 1e-3 * (ends[1] - ends[0]);
    if at - ends[0] < near {
        return Err(Reason::AtSmallest);
    }
    if ends[1] - at < near {
        return Err(Reason::AtLargest);
    }
    let x = at - cubic.middle;
    let [_, _, c, d] = cubic.coefficients;
    let curvature = 2.0 * c + 6.0 * d * x;
    if curvature <= 0.0 {
        return Err(Reason::NoValley);
    }
    let gap = |on: &dyn Fn(f64) -> bool| {
        sizes
            .iter()
            .filter(|size| on(size.at))
            .map(|size| (size.at - at).abs())
            .fold(f64::INFINITY, f64::min)
    };
    if gap(&|size| size <= at).max(gap(&|size| size >= at)) > GAP.ln() {
        return Err(Reason::Sparse);
    }
    // The lowest point moves by the noise of the slope there over the curvature.
    let of_slope = [0.0, 1.0, 2.0 * x, 3.0 * x * x];
    let moved = (0..sizes.len()).map(|row| {
        let pull: f64 = (0..4).map(|k| of_slope[k] * cubic.influence[k][row]).sum();
        pull * pull / sizes[row].runs
    });
    Ok(Lowest {
        at,
        loss: cubic.value(x),
        influence: moved.sum::<f64>() / (curvature * curvature),
    })
}

/// A cubic around a middle, with the influence of each size on its coefficients.
struct Cubic {
    middle: f64,
    coefficients: [f64; 4],
    pub(super) influence: [Vec<f64>; 4],
}

impl Cubic {
    fn around(sizes: &[Size], middle: f64, cubic: bool) -> Option<Self> {
        let weight = |size: &Size| {
            let near = 1.0 - ((size.at - middle).abs() / FAR.ln()).powi(3);
            size.runs * near.max(0.0).powi(3)
        };
        let weights: Vec<f64> = sizes.iter().map(weight).collect();
        let weighed: Vec<&Size> = sizes
            .iter()
            .zip(&weights)
            .filter(|(_, w)| **w > 1e-6)
            .map(|(size, _)| size)
            .collect();
        if weighed.len() < SIZES {
            return None;
        }
        let terms = if cubic || weighed.len() >= CUBIC {
            4
        } else {
            3
        };
        let columns: Vec<[f64; 4]> = sizes
            .iter()
            .map(|size| [0, 1, 2, 3].map(|k| (size.at - middle).powi(k)))
            .collect();
        let normal = |a: usize, b: usize| {
            columns
                .iter()
                .zip(&weights)
                .map(|(x, w)| w * x[a] * x[b])
                .sum::<f64>()
        };
        let matrix: Vec<Vec<f64>> = (0..terms)
            .map(|a| (0..terms).map(|b| normal(a, b)).collect())
            .collect();
        let mut influence: [Vec<f64>; 4] = Default::default();
        for (x, weight) in columns.iter().zip(&weights) {
            let solved = solve(
                matrix.clone(),
                x[..terms].iter().map(|x| weight * x).collect(),
            )?;
            influence
                .iter_mut()
                .zip(solved.into_iter().chain([0.0]))
                .for_each(|(row, value)| row.push(value));
        }
        let coefficient = |row: &Vec<f64>| {
            row.iter()
                .zip(sizes)
                .map(|(by, size)| by * size.loss)
                .sum::<f64>()
        };
        let coefficients = [0, 1, 2, 3].map(|k| coefficient(&influence[k]));
        Some(Self {
            middle,
            coefficients,
            influence,
        })
    }

    fn value(&self, x: f64) -> f64 {
        let [a, b, c, d] = self.coefficients;
        a + x * (b + x * (c + x * d))
    }

    /// The lowest point among the sizes tried and no further than a factor of five from the middle.
    fn lowest(&self, ends: [f64; 2]) -> f64 {
        let (low, high) = (
            (self.middle - 1.6).max(ends[0]),
            (self.middle + 1.6).min(ends[1]),
        );
        let at = |step: usize| low + (high - low) * step as f64 / STEPS as f64;
        let best = (0..=STEPS).min_by(|&a, &b| {
            self.value(at(a) - self.middle)
                .total_cmp(&self.value(at(b) - self.middle))
        });
        let best = best.unwrap_or(0);
        let (near, step) = (at(best), (high - low) / STEPS as f64);
        // The steps are too coarse by a hair: one of Newton's.
        let x = near - self.middle;
        let [_, b, c, d] = self.coefficients;
        let (slope, curvature) = (b + x * (2.0 * c + 3.0 * d * x), 2.0 * c + 6.0 * d * x);
        let inside = best > 0 && best < STEPS && curvature > 0.0;
        if inside {
            (near - slope / curvature).clamp(near - step, near + step)
        } else {
            near
        }
    }
}

/// The curve that a lowest point was read off, among the sizes that it was fitted to.
pub(super) fn drawn(sizes: &[Size], at: f64, cubic: bool) -> Vec<[f64; 2]> {
    let Some(cubic) = Cubic::around(sizes, at, cubic) else {
        return Vec::new();
    };
    let (low, high) = (
        (at - 1.6).max(sizes[0].at),
        (at + 1.6).min(sizes[sizes.len() - 1].at),
    );
    let place = |k: u32| low + (high - low) * f64::from(k) / f64::from(DRAWN);
    (0..=DRAWN)
        .map(place)
        .map(|at| [at.exp(), cubic.value(at - cubic.middle).exp()])
        .collect()
}
