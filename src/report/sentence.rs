//! The answer in one sentence: what scale buys, what the algorithm buys, what that is worth, and how sure that is.

use crate::analysis::gain::Sign;
use crate::analysis::{Answer, Axis, Gain};
use crate::stat::{Estimate, Interval};
use crate::unit::{Nats, Times};

/// "Doubling gpt2's compute buys 0.21 nats; modern buys 0.42 at equal compute, like 3.1 times more (95% 2.7 to 3.6, n = 4, w32,
/// synthetic language)." Below 1, across 1, beyond the budgets and without an interval it says so.
pub fn sentence(answer: &Answer) -> String {
    let Answer { base, variant, .. } = answer;
    let doubling = answer.doubling.map(|d| format!("Doubling {base}'s compute {} nats; ", bought(d.nats.value)));
    let unit = if doubling.is_some() { "" } else { " nats" };
    let equal = answer.equal_compute_nats.map(|e| format!("{}{unit} at equal compute", bought(e.value)));
    let gain = answer.headline();
    let worth = worth(&gain);
    let claim = match (gain.sign(), equal) {
        (Sign::More, Some(equal)) => format!("{variant} {equal}, like {worth} more"),
        (Sign::More, None) => format!("{variant} is worth {worth} its compute"),
        (Sign::Less, Some(equal)) => format!("{variant} {equal}: {base} does as well with {worth} the compute"),
        (Sign::Less, None) => format!("{variant} is worth only {worth} its compute"),
        (Sign::Unclear, _) if matches!(gain, Gain::Unknown { .. }) => {
            format!(
                "what {variant} is worth cannot be told: its repeats end on both sides of {base}'s budgets, or no curve falls"
            )
        }
        (Sign::Unclear, Some(equal)) => {
            format!("whether {variant} gains or loses cannot be told: it {equal}, like {worth} the compute")
        }
        (Sign::Unclear, None) => {
            format!("whether {variant} gains or loses cannot be told: it is worth {worth} its compute")
        }
    };
    format!("{}{claim} ({}, {}, {}).", doubling.unwrap_or_default(), certainty(&gain, base), answer.scale, answer.data)
}

/// The rest of the answer, a line each: how sure the nats are, and the gain when something else is counted.
pub fn details(answer: &Answer) -> String {
    let sure = |name: &str, nats: Option<Estimate>| {
        let Estimate { value, interval: Some(Interval { low, high, level }), .. } = nats? else { return None };
        Some(format!("{name} {} ({} {} to {})", Nats(value), percent(level), Nats(low), Nats(high)))
    };
    let doubling = sure("doubling", answer.doubling.map(|d| d.nats));
    let nats: Vec<String> = doubling.into_iter().chain(sure(&answer.variant, answer.equal_compute_nats)).collect();
    let on = |axis: Axis, name: &str| match answer.on(axis) {
        gain @ Gain::Solved(_) => format!("{name}: {} ({})", worth(&gain), certainty(&gain, &answer.base)),
        gain => format!("{name}: {}", worth(&gain)),
    };
    let total = on(Axis::TotalFlops, "Counting the optimizer's FLOPs too");
    let axes = format!("{total}. {}.", on(Axis::WallSeconds, "In seconds"));
    if nats.is_empty() { axes } else { format!("In nats: {}.\n{axes}", nats.join(", ")) }
}

/// `95%`.
fn percent(level: f64) -> String {
    format!("{:.0}%", 100.0 * level)
}

/// `buys 0.42` or `loses 0.05`.
fn bought(nats: f64) -> String {
    format!("{} {}", if nats < 0.0 { "loses" } else { "buys" }, Nats(nats.abs()))
}

/// `3.1 times`, `more than 2.0 times`.
pub(super) fn worth(gain: &Gain) -> String {
    match gain {
        Gain::Solved(estimate) => format!("{} times", Times(estimate.value)),
        Gain::MoreThan { bound, .. } => format!("more than {} times", Times(*bound)),
        Gain::LessThan { bound, .. } => format!("less than {} times", Times(*bound)),
        Gain::Unknown { .. } => "not known".to_owned(),
    }
}

/// `95% 2.7 to 3.6, n = 4`, or why there is no interval.
pub(super) fn certainty(gain: &Gain, base: &str) -> String {
    match gain {
        Gain::Solved(Estimate { interval: Some(Interval { low, high, level }), n, .. }) => {
            format!("{} {} to {}, n = {n}", percent(*level), Times(*low), Times(*high))
        }
        Gain::Solved(Estimate { n, .. }) | Gain::Unknown { n } => format!("no interval, n = {n}"),
        Gain::MoreThan { beyond: count, n, .. } | Gain::LessThan { below: count, n, .. } => {
            format!("no interval: beyond {base}'s budgets in {count} of {n} repeats")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::answer;
    use crate::record::example::study;

    fn estimate(value: f64, interval: Option<(f64, f64)>, n: usize) -> Estimate {
        Estimate { value, interval: interval.map(|(low, high)| Interval { low, high, level: 0.95 }), n }
    }

    fn solved(value: f64, interval: Option<(f64, f64)>, n: usize) -> Gain {
        Gain::Solved(estimate(value, interval, n))
    }

    /// Each kind of finding has its own plain words.
    fn check(rows: &[(Gain, Option<f64>, &str)]) {
        let mut found = answer(&study(4, |_, steps, _| Some(2.0 - 0.3 * (steps as f64).ln()))).unwrap();
        for (gain, equal, expected) in rows {
            found.gains.insert(Axis::ModelFlops, *gain);
            found.equal_compute_nats = equal.map(|nats| estimate(nats, None, 4));
            let expected = format!("Doubling gpt2's compute buys 0.21 nats; {expected}, w32, synthetic language).");
            assert_eq!(sentence(&found), expected);
        }
    }

    #[test]
    fn a_solved_gain_is_said_plainly() {
        check(&[
            (
                solved(3.12, Some((2.71, 3.58)), 4),
                Some(0.424),
                "modern buys 0.42 at equal compute, like 3.1 times more (95% 2.7 to 3.6, n = 4",
            ),
            (
                solved(0.781, Some((0.7, 0.872)), 4),
                Some(-0.052),
                "modern loses 0.052 at equal compute: gpt2 does as well with 0.78 times the compute \
                 (95% 0.70 to 0.87, n = 4",
            ),
            (
                solved(1.03, Some((0.951, 1.122)), 4),
                Some(0.011),
                "whether modern gains or loses cannot be told: it buys 0.011 at equal compute, \
                 like 1.03 times the compute (95% 0.95 to 1.12, n = 4",
            ),
            (
                solved(2.4, None, 1),
                Some(0.3),
                "whether modern gains or loses cannot be told: it buys 0.30 at equal compute, \
                 like 2.4 times the compute (no interval, n = 1",
            ),
            (solved(2.4, Some((2.0, 2.9)), 3), None, "modern is worth 2.4 times its compute (95% 2.0 to 2.9, n = 3"),
            (
                solved(0.5, Some((0.4, 0.6)), 3),
                None,
                "modern is worth only 0.50 times its compute (95% 0.40 to 0.60, n = 3",
            ),
        ]);
    }

    #[test]
    fn beyond_the_budgets_there_is_a_bound_or_no_telling() {
        check(&[
            (
                Gain::MoreThan { bound: 1.93, beyond: 3, n: 4, unanimous: true },
                Some(0.61),
                "modern buys 0.61 at equal compute, like more than 1.93 times more \
                 (no interval: beyond gpt2's budgets in 3 of 4 repeats",
            ),
            (
                Gain::LessThan { bound: 0.481, below: 4, n: 4, unanimous: true },
                Some(-0.4),
                "modern loses 0.40 at equal compute: gpt2 does as well with less than 0.48 times the compute \
                 (no interval: beyond gpt2's budgets in 4 of 4 repeats",
            ),
            (
                Gain::MoreThan { bound: 0.9, beyond: 4, n: 4, unanimous: false },
                None,
                "whether modern gains or loses cannot be told: it is worth more than 0.90 times its compute \
                 (no interval: beyond gpt2's budgets in 4 of 4 repeats",
            ),
            (
                Gain::Unknown { n: 4 },
                Some(0.1),
                "what modern is worth cannot be told: its repeats end on both sides of gpt2's budgets, or no curve falls \
                 (no interval, n = 4",
            ),
        ]);
    }

    #[test]
    fn without_a_doubling_the_unit_is_named_with_the_variant() {
        let mut found = answer(&study(4, |_, steps, _| Some(2.0 - 0.3 * (steps as f64).ln()))).unwrap();
        found.doubling = None;
        found.gains.insert(Axis::ModelFlops, solved(2.4, Some((2.0, 2.9)), 3));
        found.equal_compute_nats = Some(estimate(0.3, Some((0.25, 0.35)), 3));
        assert!(sentence(&found).starts_with("modern buys 0.30 nats at equal compute, like 2.4 times more"));
        assert!(details(&found).starts_with("In nats: modern 0.30 (95% 0.25 to 0.35).\nCounting the optimizer's"));
    }
}
