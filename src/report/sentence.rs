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
            format!("what {variant} is worth cannot be told, its repeats end beyond {base}'s budgets on both sides")
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

/// What the headline says when something else is counted: the optimizer's FLOPs too, or seconds.
pub fn other_axes(answer: &Answer) -> String {
    let on = |axis: Axis, name: &str| match answer.on(axis) {
        gain @ Gain::Solved(_) => format!("{name}: {} ({})", worth(&gain), certainty(&gain, &answer.base)),
        gain => format!("{name}: {}", worth(&gain)),
    };
    let total = on(Axis::TotalFlops, "Counting the optimizer's FLOPs too");
    format!("{total}. {}.", on(Axis::WallSeconds, "In seconds"))
}

/// `buys 0.42` or `loses 0.05`.
fn bought(nats: f64) -> String {
    format!("{} {}", if nats < 0.0 { "loses" } else { "buys" }, Nats(nats.abs()))
}

/// `3.1 times`, `more than 2.0 times`.
fn worth(gain: &Gain) -> String {
    match gain {
        Gain::Solved(estimate) => format!("{} times", Times(estimate.value)),
        Gain::MoreThan { bound, .. } => format!("more than {} times", Times(*bound)),
        Gain::LessThan { bound, .. } => format!("less than {} times", Times(*bound)),
        Gain::Unknown { .. } => "not known".to_owned(),
    }
}

/// `95% 2.7 to 3.6, n = 4`, or why there is no interval.
fn certainty(gain: &Gain, base: &str) -> String {
    match gain {
        Gain::Solved(Estimate { interval: Some(Interval { low, high, level }), n, .. }) => {
            format!("{:.0}% {} to {}, n = {n}", 100.0 * level, Times(*low), Times(*high))
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

    /// Each kind of finding has its own plain words.
    #[test]
    fn the_answer_is_said_plainly() {
        let solved = |value, interval, n| Gain::Solved(estimate(value, interval, n));
        let rows: [(Gain, Option<f64>, &str); 9] = [
            (
                solved(3.12, Some((2.71, 3.58)), 4),
                Some(0.424),
                "modern buys 0.42 at equal compute, like 3.1 times more (95% 2.7 to 3.6, n = 4, w32, synthetic language).",
            ),
            (
                solved(0.781, Some((0.7, 0.872)), 4),
                Some(-0.052),
                "modern loses 0.052 at equal compute: gpt2 does as well with 0.78 times the compute \
                 (95% 0.70 to 0.87, n = 4, w32, synthetic language).",
            ),
            (
                solved(1.03, Some((0.951, 1.122)), 4),
                Some(0.011),
                "whether modern gains or loses cannot be told: it buys 0.011 at equal compute, like 1.03 times the compute \
                 (95% 0.95 to 1.12, n = 4, w32, synthetic language).",
            ),
            (
                solved(2.4, None, 1),
                Some(0.3),
                "modern buys 0.30 at equal compute, like 2.4 times more (no interval, n = 1, w32, synthetic language).",
            ),
            (
                solved(2.4, Some((2.0, 2.9)), 3),
                None,
                "modern is worth 2.4 times its compute (95% 2.0 to 2.9, n = 3, w32, synthetic language).",
            ),
            (
                Gain::MoreThan { bound: 1.93, beyond: 3, n: 4 },
                Some(0.61),
                "modern buys 0.61 at equal compute, like more than 1.93 times more \
                 (no interval: beyond gpt2's budgets in 3 of 4 repeats, w32, synthetic language).",
            ),
            (
                Gain::LessThan { bound: 0.481, below: 4, n: 4 },
                Some(-0.4),
                "modern loses 0.40 at equal compute: gpt2 does as well with less than 0.48 times the compute \
                 (no interval: beyond gpt2's budgets in 4 of 4 repeats, w32, synthetic language).",
            ),
            (
                Gain::MoreThan { bound: 0.9, beyond: 4, n: 4 },
                None,
                "whether modern gains or loses cannot be told: it is worth more than 0.90 times its compute \
                 (no interval: beyond gpt2's budgets in 4 of 4 repeats, w32, synthetic language).",
            ),
            (
                Gain::Unknown { n: 4 },
                Some(0.1),
                "what modern is worth cannot be told, its repeats end beyond gpt2's budgets on both sides \
                 (no interval, n = 4, w32, synthetic language).",
            ),
        ];
        let mut found = answer(&study(4, |_, steps, _| Some(2.0 - 0.3 * (steps as f64).ln()))).unwrap();
        for (gain, equal, expected) in rows {
            found.gains.insert(Axis::ModelFlops, gain);
            found.equal_compute_nats = equal.map(|nats| estimate(nats, None, 4));
            assert_eq!(sentence(&found), format!("Doubling gpt2's compute buys 0.21 nats; {expected}"));
        }
        found.doubling = None;
        found.gains.insert(Axis::ModelFlops, solved(2.4, Some((2.0, 2.9)), 3));
        found.equal_compute_nats = Some(estimate(0.3, None, 3));
        assert!(sentence(&found).starts_with("modern buys 0.30 nats at equal compute, like 2.4 times more"));
    }
}
