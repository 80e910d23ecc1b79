//! Figures of laws in words: numbers with four digits, chances, intervals and their open ends.

use crate::analysis::fit::Bounds;
use crate::analysis::fit::points::UNNAMED;
use crate::stat::Interval;

/// A number with four digits, in powers of ten where it is far from one.
pub(super) fn figure(value: f64) -> String {
    if value == 0.0 || value.abs() < 1e-9 {
        return "0".to_owned();
    }
    let digits = 3 - value.abs().log10().floor() as i32;
    match digits {
        0..=6 => format!("{value:.*}", digits as usize),
        -2..=-1 => format!("{value:.0}"),
        _ => format!("{value:.2e}"),
    }
}

/// Decimals of figures that stand beside each other: three, and more where the largest of them would not show two digits.
pub(super) fn decimals(values: &[f64]) -> usize {
    let largest = values.iter().map(|value| value.abs()).fold(0.0, f64::max);
    match largest > 0.0 && largest.is_finite() {
        true => 3.max((-largest.log10()).ceil().clamp(0.0, 12.0) as usize + 1),
        false => 3,
    }
}

/// `0.34`, `0.0034`, `below 0.0001`.
pub(super) fn chance(p: f64) -> String {
    match p {
        p if p < 1e-4 => "below 0.0001".to_owned(),
        p if p < 0.01 => format!("{p:.4}"),
        p => format!("{p:.2}"),
    }
}

const EXACT: &str = "exact to rounding";
/// What has to be said of runs without luck.
pub(super) const NO_LUCK: &str = "Residuals: none but a computer's rounding. The runs lie on the law to the last digits, as points made by a \
                                  formula do: they hold no luck, and what runs with luck would leave open is not seen.";
/// An interval no wider than this share of its ends is that of runs that lie on their law: a computer's rounding.
const ROUNDING: f64 = 1e-6;

fn is_rounding(low: f64, high: f64) -> bool {
    high - low <= ROUNDING * low.abs().max(high.abs())
}

/// `95% 0.32 to 0.37`, `exact to rounding`.
pub(super) fn interval(found: &Interval) -> String {
    if is_rounding(found.low, found.high) {
        return EXACT.to_owned();
    }
    format!(
        "{:.0}% {} to {}",
        100.0 * found.level,
        figure(found.low),
        figure(found.high)
    )
}

/// `95% 0.32 to 0.37`, `at most 1.9`, `at least 0.1`, `not bounded by the data`.
pub(super) fn bounds(found: &Bounds) -> String {
    let level = format!("{:.0}%", 100.0 * found.level);
    match (found.low, found.high) {
        (Some(low), Some(high)) if is_rounding(low, high) => EXACT.to_owned(),
        (Some(low), Some(high)) => format!("{level} {} to {}", figure(low), figure(high)),
        (None, Some(high)) => format!("{level} at most {}", figure(high)),
        (Some(low), None) => format!("{level} at least {}", figure(low)),
        (None, None) => "not bounded by the data".to_owned(),
    }
}

/// `gpt2: `, or nothing for the one group of a table without groups.
pub(super) fn named(group: &str) -> String {
    if group == UNNAMED {
        String::new()
    } else {
        format!("{group}: ")
    }
}
