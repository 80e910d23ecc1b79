//! The answer, one form for every variant: what twice the compute buys the base, what the variant buys for nothing more, how much
//! compute that is worth, which of the two buys more, and where and how surely it was read.

use crate::analysis::answer::Step;
use crate::analysis::gain::{Bound, Sign};
use crate::analysis::{Answer, Axis, Gain};
use crate::stat::{Estimate, Interval};
use crate::unit::{Count, Nats, Times};

/// "Spend twice as much on gpt2: -0.21 nats. Change to modern at the same cost: -0.33 nats; gpt2 would need 2.7 times the compute
/// for that (95% 2.2 to 3.3, n = 3, at 3e12 FLOP, 0.2 M parameters, 20 tokens a parameter, synthetic language). Changing to modern
/// buys more." What cannot be told is said to be so, with its reason.
pub fn sentence(answer: &Answer) -> String {
    let Answer { base, variant, .. } = answer;
    let scale = match answer.doubling {
        Some(doubling) => format!(
            "Spend twice as much on {base}: {} nats.",
            change(-doubling.nats.value)
        ),
        None => format!(
            "What twice the compute buys {base} is not known: it ran nothing a factor of two apart."
        ),
    };
    let equal = match answer.equal_compute_nats {
        Some(nats) => format!(
            "Change to {variant} at the same cost: {} nats",
            change(-nats.value)
        ),
        None => {
            let lacks = apart(answer).unwrap_or("ran nothing as dear");
            format!(
                "Change to {variant}: the difference at the same cost is not known, as {base} {lacks}"
            )
        }
    };
    let gain = answer.headline();
    let place = [
        Some(certainty(&gain)),
        place(answer),
        Some(answer.data.clone()),
    ];
    let place: Vec<String> = place
        .into_iter()
        .flatten()
        .filter(|part| !part.is_empty())
        .collect();
    let told = [Some(verdict(answer)), moved(answer)]
        .into_iter()
        .flatten()
        .filter(|part| !part.is_empty());
    let told = told.collect::<Vec<_>>().join(" ");
    format!(
        "{scale} {equal}; {} ({}). {told}",
        need(&gain, base),
        place.join(", ")
    )
}

/// What a further variant is worth, where a sentence before it has said of another what is compared and where:
/// "gpt2+rope: -0.37 nats; gpt2 would need 2.3 times the compute for that (95% 1.84 to 2.8, n = 5)."
pub(super) fn line(answer: &Answer) -> String {
    let gain = answer.headline();
    let equal = answer
        .equal_compute_nats
        .map(|nats| format!("{} nats; ", change(-nats.value)))
        .unwrap_or_default();
    let line = format!(
        "{}: {equal}{} ({}). {}",
        answer.variant,
        need(&gain, &answer.base),
        certainty(&gain),
        verdict(answer)
    );
    line.trim_end().to_owned()
}

/// How much of its compute the base needs to do as well.
fn need(gain: &Gain, base: &str) -> String {
    match gain {
        Gain::MoreThan(bound) if bound.told && bound.bound <= 1.0 => {
            format!("{base} would need more compute for that than it ran with")
        }
        Gain::LessThan(bound) if bound.told && bound.bound >= 1.0 => {
            format!("{base} needs less compute for that than its cheapest run took")
        }
        Gain::Unknown { why, .. } => {
            format!(
                "how much compute {base} would need for that is not known: {}",
                why.words()
            )
        }
        gain if gain.value().is_some_and(|value| value < 1.0) => {
            format!("{base} needs {} the compute for that", worth(gain))
        }
        gain => format!("{base} would need {} the compute for that", worth(gain)),
    }
}

/// Ahead or behind by so much where the base ran nothing beyond the variant's own cost: there is a difference, and no figure of
/// how many times.
pub(super) fn side(answer: &Answer, at: &str) -> Option<String> {
    let (base, nats) = (&answer.base, answer.equal_compute_nats?.value);
    let by = Nats(nats.abs());
    match answer.headline() {
        Gain::MoreThan(Bound { bound, told, .. }) if told && bound <= 1.0 => Some(format!(
            "beats {base} by {by} nats for the same compute{at}; how much more compute {base} would need for that is not known, as \
             it ran nothing dearer"
        )),
        Gain::LessThan(Bound { bound, told, .. }) if told && bound >= 1.0 => Some(format!(
            "is behind {base} by {by} nats for the same compute{at}; how much less compute {base} needs for that is not known, as \
             it ran nothing cheaper"
        )),
        _ => None,
    }
}

/// What the base lacks to be compared at the variant's own cost: no repeat would help.
pub(super) fn apart(answer: &Answer) -> Option<&'static str> {
    match answer.headline() {
        _ if answer.equal_compute_nats.is_some() => None,
        Gain::MoreThan(_) => Some("ran nothing as dear"),
        Gain::LessThan(bound) if bound.bound > 1.0 => Some("ran nothing as cheap"),
        _ => None,
    }
}

/// Which way, and which step buys more.
fn verdict(answer: &Answer) -> String {
    let Answer { variant, .. } = answer;
    let gain = answer.headline();
    let step = match answer.next_step {
        Step::Variant => format!("Changing to {variant} buys more than twice the compute."),
        Step::Scale => format!("Twice the compute buys more than changing to {variant}."),
        Step::Unclear if gain.sign() == Sign::More => {
            "Which of the two buys more cannot be told.".to_owned()
        }
        Step::Unclear => String::new(),
    };
    let sign = match gain.sign() {
        Sign::Unclear if apart(answer).is_some() => {
            format!("Whether {variant} gains or loses cannot be told at these costs.")
        }
        Sign::Unclear if answer.n == 1 => {
            format!("One repeat cannot tell whether {variant} gains or loses.")
        }
        Sign::Unclear => format!("Whether {variant} gains or loses cannot be told."),
        Sign::Less => format!("{variant} is worth less than it costs."),
        Sign::More => String::new(),
    };
    [sign, step]
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// What of the base could grow.
fn moved(answer: &Answer) -> Option<String> {
    let base = &answer.base;
    match &answer.base_scales[..] {
        [] => None,
        [_] => Some(format!(
            "Only {base}'s training length moved, not its size."
        )),
        [first, .., last] if answer.one_length => Some(format!(
            "Only {base}'s size moved ({first} to {last}), not its training length: what twice the compute buys it is more, if \
             anything, and whether that is more than {variant} buys is left open.",
            variant = answer.variant
        )),
        [first, .., last] => Some(format!(
            "{base} could grow in size as well ({first} to {last})."
        )),
    }
}

/// `at 3e12 FLOP, 0.2 M parameters, 20 tokens a parameter`.
fn place(answer: &Answer) -> Option<String> {
    let read_at = answer.read_at?;
    let (flops, params, tokens) = (
        read_at.train_flops,
        Count(read_at.params as f64),
        Count(read_at.tokens_per_param),
    );
    Some(format!(
        "at {} FLOP, {params} parameters, {tokens} tokens a parameter",
        scientific(flops)
    ))
}

/// Two digits: `3e12`, `4.5e10`.
pub(super) fn scientific(value: f64) -> String {
    format!("{value:.1e}").replace(".0e", "e")
}

/// The rest of the answer, a line each: how sure the nats are, and the gain when something else is counted.
pub fn details(answer: &Answer) -> String {
    let sure = |name: &str, nats: Option<Estimate>| {
        let Estimate {
            value,
            interval: Some(Interval { low, high, level }),
            ..
        } = nats?
        else {
            return None;
        };
        Some(format!(
            "{name} {} ({} {} to {})",
            change(-value),
            percent(level),
            change(-high),
            change(-low)
        ))
    };
    let doubling = sure("twice the compute", answer.doubling.map(|d| d.nats));
    let nats: Vec<String> = doubling
        .into_iter()
        .chain(sure(&answer.variant, answer.equal_compute_nats))
        .collect();
    let on = |axis: Axis, name: &str| match answer.on(axis) {
        gain @ Gain::Unknown { .. } => format!("{name}: {}", worth(&gain)),
        gain => format!("{name}: {} as much ({})", worth(&gain), certainty(&gain)),
    };
    let total = on(Axis::TotalFlops, "Counting the optimizer's FLOPs too");
    let axes = format!("{total}. {}.", on(Axis::WallSeconds, "In seconds"));
    if nats.is_empty() {
        axes
    } else {
        format!("In nats: {}.\n{axes}", nats.join(", "))
    }
}

/// `95%`.
fn percent(level: f64) -> String {
    format!("{:.0}%", 100.0 * level)
}

/// `-0.21`, `+0.042`.
fn change(nats: f64) -> String {
    format!("{}{}", if nats > 0.0 { "+" } else { "" }, Nats(nats))
}

/// `3.1 times`, `more than 2.0 times`.
pub(super) fn worth(gain: &Gain) -> String {
    match gain {
        Gain::Solved(estimate) => format!("{} times", Times(estimate.value)),
        Gain::MoreThan(bound) => format!("more than {} times", Times(bound.bound)),
        Gain::LessThan(bound) => format!("less than {} times", Times(bound.bound)),
        Gain::Unknown { .. } => "not known".to_owned(),
    }
}

/// `2.7 to 3.6`, `2.7 or more`: an end beyond the base's runs is open.
pub(super) fn ends(interval: &Interval) -> String {
    match (interval.low > 0.0, interval.high.is_finite()) {
        (true, true) => format!("{} to {}", Times(interval.low), Times(interval.high)),
        (true, false) => format!("{} or more", Times(interval.low)),
        (false, true) => format!("{} or less", Times(interval.high)),
        (false, false) => "not bounded".to_owned(),
    }
}

/// `95% 2.7 to 3.6, n = 4`, or why there is no interval.
pub(super) fn certainty(gain: &Gain) -> String {
    match gain {
        Gain::Solved(Estimate {
            interval: Some(interval),
            n,
            ..
        }) => {
            format!("{} {}, n = {n}", percent(interval.level), ends(interval))
        }
        Gain::MoreThan(Bound {
            level: Some(level),
            n,
            ..
        })
        | Gain::LessThan(Bound {
            level: Some(level),
            n,
            ..
        }) => {
            format!("one-sided {}, n = {n}", percent(*level))
        }
        Gain::MoreThan(Bound { n, .. }) | Gain::LessThan(Bound { n, .. }) => {
            format!("as measured, no interval, n = {n}")
        }
        Gain::Solved(Estimate { n, .. }) | Gain::Unknown { n, .. } => {
            format!("no interval, n = {n}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::answer;
    use crate::analysis::answer::Doubling;
    use crate::analysis::gain::Blank;
    use crate::record::example::study;

    fn estimate(value: f64, interval: Option<(f64, f64)>, n: usize) -> Estimate {
        Estimate {
            value,
            interval: interval.map(|(low, high)| Interval {
                low,
                high,
                level: 0.95,
            }),
            n,
        }
    }

    fn solved(value: f64, interval: Option<(f64, f64)>, n: usize) -> Gain {
        Gain::Solved(estimate(value, interval, n))
    }

    fn bound(bound: f64, level: Option<f64>, n: usize, told: bool) -> Bound {
        Bound {
            bound,
            level,
            n,
            told,
        }
    }

    /// The gain, the difference at equal cost, the better step, and what is said.
    type Said = (Gain, Option<f64>, Step, &'static str);

    fn every_finding() -> [Said; 8] {
        [
            (
                solved(3.12, Some((2.71, 3.58)), 4),
                Some(0.424),
                Step::Variant,
                "Change to modern at the same cost: -0.42 nats; gpt2 would need 3.1 times the compute for that (95% 2.7 to 3.6, \
                 n = 4, PLACE). Changing to modern buys more than twice the compute.",
            ),
            (
                solved(2.0, Some((1.7, f64::INFINITY)), 4),
                Some(0.3),
                Step::Unclear,
                "Change to modern at the same cost: -0.30 nats; gpt2 would need 2.0 times the compute for that (95% 1.70 or more, \
                 n = 4, PLACE). Which of the two buys more cannot be told.",
            ),
            (
                solved(0.781, Some((0.7, 0.872)), 4),
                Some(-0.052),
                Step::Scale,
                "Change to modern at the same cost: +0.052 nats; gpt2 needs 0.78 times the compute for that (95% 0.70 to 0.87, \
                 n = 4, PLACE). modern is worth less than it costs. Twice the compute buys more than changing to modern.",
            ),
            (
                solved(2.4, None, 1),
                Some(0.3),
                Step::Unclear,
                "Change to modern at the same cost: -0.30 nats; gpt2 would need 2.4 times the compute for that (no interval, \
                 n = 1, PLACE). Whether modern gains or loses cannot be told.",
            ),
            (
                Gain::MoreThan(bound(1.93, Some(0.95), 4, true)),
                Some(0.61),
                Step::Unclear,
                "Change to modern at the same cost: -0.61 nats; gpt2 would need more than 1.93 times the compute for that \
                 (one-sided 95%, n = 4, PLACE). Which of the two buys more cannot be told.",
            ),
            (
                Gain::MoreThan(bound(1.0, Some(0.95), 4, true)),
                Some(0.1),
                Step::Unclear,
                "Change to modern at the same cost: -0.10 nats; gpt2 would need more compute for that than it ran with \
                 (one-sided 95%, n = 4, PLACE). Which of the two buys more cannot be told.",
            ),
            (
                Gain::LessThan(bound(0.481, None, 1, false)),
                None,
                Step::Unclear,
                "Change to modern: the difference at the same cost is not known, as gpt2 ran nothing as dear; gpt2 needs less than \
                 0.48 times the compute for that (as measured, no interval, n = 1, PLACE). Whether modern gains or loses cannot be \
                 told.",
            ),
            (
                Gain::Unknown {
                    n: 4,
                    why: Blank::OutOfReach,
                },
                Some(0.1),
                Step::Unclear,
                "Change to modern at the same cost: -0.10 nats; how much compute gpt2 would need for that is not known: the variant \
                 lies beyond the base's runs, and repeats scatter too far for a bound (no interval, n = 4, PLACE). Whether modern \
                 gains or loses cannot be told.",
            ),
        ]
    }

    /// Each kind of finding has its own plain words.
    #[test]
    fn every_finding_is_said_in_one_form() {
        let place = "at 6.4e10 FLOP, 31 k parameters, 26 tokens a parameter, synthetic language";
        let mut found = answer(&study(4, |_, steps, _| {
            Some(3.0 - 0.3 * (steps as f64).ln())
        }))
        .unwrap();
        for (gain, equal, step, expected) in every_finding() {
            found.doubling = Some(Doubling {
                from_flops: 6.4e10,
                nats: estimate(0.213, None, 4),
            });
            found.gains.insert(Axis::ModelFlops, gain);
            found.equal_compute_nats = equal.map(|nats| estimate(nats, None, 4));
            found.next_step = step;
            let expected = format!(
                "Spend twice as much on gpt2: -0.21 nats. {} Only gpt2's training length moved, not its size.",
                expected.replace("PLACE", place)
            );
            assert_eq!(sentence(&found), expected);
        }
        found.doubling = None;
        found.base_scales = ["w32", "w48", "w64"].map(str::to_owned).to_vec();
        let said = sentence(&found);
        assert!(
            said.starts_with("What twice the compute buys gpt2 is not known"),
            "{said}"
        );
        assert!(
            said.ends_with("gpt2 could grow in size as well (w32 to w64)."),
            "{said}"
        );
        found.one_length = true;
        let said = sentence(&found);
        assert!(
            said.contains("Only gpt2's size moved (w32 to w64)"),
            "{said}"
        );
    }
}
