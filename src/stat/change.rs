//! What a short series of figures did: stay, step to another level, drift along a trend, or leave its level only just now.
//!
//! All of it by medians, so that one wild figure moves nothing. A *step* is the split, three figures a side at least, that leaves the least sum of
//! absolute deviations from the two sides' medians. It counts where the medians lie six standard errors apart, where it leaves
//! clearly less than a line does, where the level changes at once and not bit by bit, and where what is left looks like noise:
//! in a random walk, that stays somewhere else by itself, neighbours are too alike for that (the ratio of von Neumann 1941, with
//! absolute values). A *trend* is Theil and Sen's slope (Sen 1968) where Mann's test (1945) finds one at 1% and the
//! steps from figure to figure do not average to nothing either, as those of a random walk do. The rates at which white noise and
//! a random walk are called something else are simulated in `analysis/compare/history.rs`.

use super::sample::{mean, median, sd};

/// Figures on each side of a step, and fewer at the end are only recent.
pub const FEWEST_A_SIDE: usize = 3;

/// Standard errors between the medians of a step.
const STEP_ERRORS: f64 = 6.0;

/// Of what a line leaves, a step leaves less than this share.
const BETTER_THAN_A_LINE: f64 = 0.8;

/// Mean absolute difference of neighbours over mean absolute deviation: 1.41 in white noise.
const NOISE_LIKE: f64 = 1.15;

/// Share of a step that the three figures before and the three after it show.
const AT_ONCE: f64 = 0.5;

/// Fewer figures make no trend.
const FEWEST_OF_A_TREND: usize = 8;

/// Normal quantile of 1%, two-sided.
const TREND_ERRORS: f64 = 2.576;

/// Student's t of the mean step from figure to figure, below 5% for eight figures and more.
const DRIFT_ERRORS: f64 = 2.5;

/// Figures that the latest ones are held against.
const BEFORE: usize = 5;

/// A standard deviation over the mean absolute deviation, in normal noise; and a median's standard error over a mean's.
const NORMAL: f64 = 1.253_314_137_315_5;

/// What a series did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Change {
    /// Nothing that can be told.
    None,
    /// Another level from this figure on, by so much.
    Step {
        /// The first figure of the new level.
        at: usize,
        /// New median minus old.
        size: f64,
    },
    /// So much from figure to figure.
    Trend {
        /// Theil and Sen's.
        slope: f64,
    },
    /// The last one or two left the level; whether they stay away nobody knows.
    Recent {
        /// The first of them.
        at: usize,
        /// Their median minus that of the figures before.
        size: f64,
    },
}

/// What a series did; `fence` is what neighbours usually differ by at most, where that is known.
pub fn change(values: &[f64], fence: Option<f64>) -> Change {
    let line = slope(values).unwrap_or(0.0);
    if let Some((at, size)) = step(values, line) {
        return Change::Step { at, size };
    }
    if is_trend(values) {
        return Change::Trend { slope: line };
    }
    match fence.and_then(|fence| recent(values, fence)) {
        Some((at, size)) => Change::Recent { at, size },
        None => Change::None,
    }
}

/// Theil and Sen's slope: the median over all pairs.
pub fn slope(values: &[f64]) -> Option<f64> {
    let pairs = (0..values.len()).flat_map(|i| (i + 1..values.len()).map(move |j| (i, j)));
    median(
        &pairs
            .map(|(i, j)| (values[j] - values[i]) / (j - i) as f64)
            .collect::<Vec<_>>(),
    )
}

/// Figures that leave their level and come back at once: further than `fence` from the medians of the figures before and after.
pub fn outliers(values: &[f64], fence: f64) -> Vec<usize> {
    let side = |from: usize, to: usize| median(&values[from..to]).filter(|_| to - from >= 2);
    let out = |at: &usize| {
        let before = side(at.saturating_sub(FEWEST_A_SIDE), *at);
        let after = side(at + 1, (at + 1 + FEWEST_A_SIDE).min(values.len()));
        let (Some(before), Some(after)) = (before, after) else {
            return false;
        };
        let (from, to) = (values[*at] - before, values[*at] - after);
        from.abs() > fence && to.abs() > fence && from * to > 0.0
    };
    (0..values.len()).filter(out).collect()
}

/// Sum of absolute deviations from the median.
fn left(values: &[f64]) -> f64 {
    median(values).map_or(0.0, |middle| {
        values.iter().map(|value| (value - middle).abs()).sum()
    })
}

fn step(values: &[f64], line: f64) -> Option<(usize, f64)> {
    let count = values.len();
    let splits = FEWEST_A_SIDE..(count + 1).saturating_sub(FEWEST_A_SIDE);
    let cost = |at: usize| left(&values[..at]) + left(&values[at..]);
    let at = splits
        .map(|at| (cost(at), at))
        .min_by(|a, b| a.0.total_cmp(&b.0))?
        .1;
    let (before, after) = values.split_at(at);
    let size = median(after)? - median(before)?;
    let remains = cost(at);
    let along: Vec<f64> = values
        .iter()
        .enumerate()
        .map(|(k, value)| value - line * k as f64)
        .collect();
    let noise = NORMAL * remains / (count - 2) as f64;
    let error = NORMAL * noise * (1.0 / before.len() as f64 + 1.0 / after.len() as f64).sqrt();
    let local = median(&after[..FEWEST_A_SIDE])? - median(&before[at - FEWEST_A_SIDE..])?;
    let sure = size.abs() > STEP_ERRORS * error && size != 0.0;
    let at_once = local * size > 0.0 && local.abs() >= AT_ONCE * size.abs();
    let noise_like = remains <= 0.0 || wander(before, after) * count as f64 >= NOISE_LIKE * remains;
    (sure && at_once && noise_like && remains < BETTER_THAN_A_LINE * left(&along))
        .then_some((at, size))
}

/// Mean absolute difference of neighbours within the two sides.
fn wander(before: &[f64], after: &[f64]) -> f64 {
    let steps = |part: &[f64]| {
        part.windows(2)
            .map(|two| (two[1] - two[0]).abs())
            .collect::<Vec<_>>()
    };
    mean(&[steps(before), steps(after)].concat()).unwrap_or(0.0)
}

fn is_trend(values: &[f64]) -> bool {
    let count = values.len();
    if count < FEWEST_OF_A_TREND {
        return false;
    }
    let pairs = (0..count).flat_map(|i| (i + 1..count).map(move |j| (i, j)));
    let sign = |(i, j): (usize, usize)| {
        if values[j] == values[i] {
            0.0
        } else {
            (values[j] - values[i]).signum()
        }
    };
    let score: f64 = pairs.map(sign).sum();
    let variance = (count * (count - 1) * (2 * count + 5)) as f64 / 18.0;
    let steps: Vec<f64> = values.windows(2).map(|two| two[1] - two[0]).collect();
    let (Some(drift), Some(spread)) = (mean(&steps), sd(&steps)) else {
        return false;
    };
    let of_drift = drift.abs() > DRIFT_ERRORS * spread / (steps.len() as f64).sqrt();
    (score.abs() - 1.0) / variance.sqrt() > TREND_ERRORS && of_drift
}

/// The last two figures, or the last one, all further than the fence from the median of those before, on one side.
fn recent(values: &[f64], fence: f64) -> Option<(usize, f64)> {
    let away = |count: &usize| {
        let at = values.len().checked_sub(*count)?;
        let usual =
            median(&values[at.saturating_sub(BEFORE)..at]).filter(|_| at >= FEWEST_A_SIDE)?;
        let far = |sign: f64| {
            values[at..]
                .iter()
                .all(|value| sign * (value - usual) > fence)
        };
        (far(1.0) || far(-1.0)).then_some((at, median(&values[at..])? - usual))
    };
    [2, 1].iter().find_map(away)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SciPy 1.17: `scipy.stats.theilslopes([1, 3, 2, 5, 4, 9.0])`.
    #[test]
    fn the_slope_agrees_with_scipy() {
        assert!((slope(&[1.0, 3.0, 2.0, 5.0, 4.0, 9.0]).unwrap() - 4.0 / 3.0).abs() < 1e-12);
        assert_eq!(slope(&[1.0]), None);
    }

    #[test]
    fn what_a_series_did_is_told_apart() {
        let level = [0.0; 16];
        let with = |at: &[(usize, f64)]| {
            let mut values = level;
            at.iter().for_each(|(place, value)| values[*place] = *value);
            values.to_vec()
        };
        let stepped: Vec<f64> = (0..16).map(|k| if k < 9 { 0.0 } else { -0.1 }).collect();
        let falling: Vec<f64> = (0..16).map(|k| -0.01 * f64::from(k)).collect();
        let rows = [
            (with(&[]), Change::None),
            (with(&[(8, -0.7)]), Change::None),
            (with(&[(3, 0.4), (11, -0.7)]), Change::None),
            (with(&[(15, -0.1)]), Change::Recent { at: 15, size: -0.1 }),
            (
                with(&[(14, -0.1), (15, -0.1)]),
                Change::Recent { at: 14, size: -0.1 },
            ),
            (stepped, Change::Step { at: 9, size: -0.1 }),
            (
                with(&[(13, -0.1), (14, -0.1), (15, -0.1)]),
                Change::Step { at: 13, size: -0.1 },
            ),
            (
                vec![0.0, 0.0, 0.0, 0.2, 0.2, 0.2],
                Change::Step { at: 3, size: 0.2 },
            ),
        ];
        for (values, expected) in rows {
            assert_eq!(change(&values, Some(0.01)), expected, "{values:?}");
        }
        let Change::Trend { slope } = change(&falling, Some(0.01)) else {
            panic!("a trend")
        };
        assert!((slope + 0.01).abs() < 1e-12);
        assert_eq!(outliers(&with(&[(8, -0.7)]), 0.01), [8]);
        assert_eq!(
            outliers(&with(&[(15, -0.7)]), 0.01),
            [0_usize; 0],
            "nobody knows yet"
        );
    }
}
