//! Who costs less over a model's life, in words: the break-even with its interval, or that one dominates, or that nobody can tell; and what
//! stands beside it of quality.

use super::number::decimals;
use crate::analysis::lifecycle::{Comparison, Measure, Row, Side, Verdict};
use crate::config::Price;
use crate::record::metric;
use crate::report::page::Quantity;
use crate::unit::{Count, GramsCo2e, Money, Share};

/// Requests whose cost is told: of one alone it has too many zeros.
pub(super) const MANY: f64 = 1e6;

/// A figure in a measure's unit.
pub(super) fn shown(measure: Measure, value: f64, price: &Price) -> String {
    match measure {
        Measure::Money => Money {
            amount: value,
            currency: &price.currency,
        }
        .to_string(),
        Measure::Carbon => GramsCo2e(value).to_string(),
        Measure::Seconds => Quantity::Seconds.cell(value),
        Measure::Flops => Quantity::Flops.cell(value),
        Measure::Joules => Quantity::Joules.cell(value),
    }
}

/// What is said of two cells first.
pub fn sentence(found: &Comparison, price: &Price) -> String {
    let [a, b] = &found.cells;
    let Some(row) = found.first_told() else {
        let reason = found.rows.iter().find_map(|row| row.verdict.as_ref().err());
        return format!(
            "What {a} and {b} cost over their lives is not told: {}.",
            reason.map_or("nothing was measured", String::as_str)
        );
    };
    let Ok(told) = &row.verdict else {
        return String::new();
    };
    format!(
        "Trained once and asked again and again, {} (counted in {}; {}){}.{}",
        verdict(told, &found.cells),
        row.measure.words(),
        repeats(found, told),
        costs(found, row, price),
        doubt(found, row)
    )
}

/// Where seconds are not to be trusted, nor what they are priced by.
fn doubt(found: &Comparison, row: &Row) -> String {
    match found.taken_by_others {
        Some(share) if !row.measure.is_counted() => format!(
            " Other programs had {} of the processors in the median trial: do not trust it; FLOPs below are counted, and hold.",
            Share(share)
        ),
        _ => String::new(),
    }
}

fn repeats(found: &Comparison, told: &Verdict) -> String {
    match told {
        Verdict::Unsure { .. } => "one repeat and no interval".to_owned(),
        _ => format!("95%, n = {}", found.repeats),
    }
}

/// `: training gpt2 costs 0.0021 USD and modern 0.0014 USD, a million requests 0.12 USD and 0.20 USD`.
fn costs(found: &Comparison, row: &Row, price: &Price) -> String {
    let [first, second] = &found.cells;
    let both = |of: &[Result<crate::stat::Estimate, String>; 2], times: f64| {
        let said = of.each_ref().map(|told| {
            told.as_ref()
                .map(|cost| shown(row.measure, times * cost.value, price))
        });
        let [Ok(a), Ok(b)] = said else { return None };
        // Two figures that are written alike are still two.
        let value = |k: usize| of[k].as_ref().map_or(0.0, |cost| times * cost.value);
        let apart = value(1) - value(0);
        let how = if apart < 0.0 { "less" } else { "more" };
        let more = (a == b && apart != 0.0)
            .then(|| format!(" ({} {how})", shown(row.measure, apart.abs(), price)));
        Some([a, b + &more.unwrap_or_default()])
    };
    let Some([of_first, of_second]) = both(&row.request, MANY) else {
        return String::new();
    };
    if found.shared_training {
        return format!(
            ": training is the same, a million requests cost {of_first} with {first} and {of_second} with {second}"
        );
    }
    let Some([a, b]) = both(&row.training, 1.0) else {
        return String::new();
    };
    format!(
        ": training {first} costs {a} and {second} {b}, a million requests {of_first} and {of_second}"
    )
}

/// `gpt2 costs less up to 12 k requests (10 k to 14 k), and modern beyond`.
pub fn verdict(told: &Verdict, cells: &[String; 2]) -> String {
    let name = |side: Side| &cells[side.place()];
    match *told {
        Verdict::BreakEven {
            at,
            low,
            high,
            then,
        } => {
            let (first, then) = (name(then.other()), name(then));
            let ends = match (low > 0.0, high) {
                (true, Some(high)) if high - low < 1e-9 * at => "counted, not measured".to_owned(),
                (true, Some(high)) => format!("{} to {}", count(low), count(high)),
                (true, None) => format!("at least {}; no upper end is known", count(low)),
                (false, Some(high)) => format!("at most {}", count(high)),
                (false, None) => "not bounded".to_owned(),
            };
            format!(
                "{first} costs less up to {} requests ({ends}), and {then} beyond",
                count(at)
            )
        }
        Verdict::Dominates { cheaper } => format!(
            "{} costs less than {} at any number of requests",
            name(cheaper),
            name(cheaper.other())
        ),
        Verdict::CannotTell { known, .. } => {
            let known = known.map(|range| {
                let cheaper = name(range.cheaper);
                match (range.low > 0.0, range.high) {
                    (true, Some(high)) => format!(
                        ", but between {} and {} requests {cheaper} does",
                        count(range.low),
                        count(high)
                    ),
                    (true, None) => {
                        format!(", but beyond {} requests {cheaper} does", count(range.low))
                    }
                    (false, Some(high)) => {
                        format!(", but up to {} requests {cheaper} does", count(high))
                    }
                    (false, None) => String::new(),
                }
            });
            format!(
                "whether {} or {} costs less cannot be told{}",
                cells[0],
                cells[1],
                known.unwrap_or_default()
            )
        }
        Verdict::Unsure { at, then } => match at {
            Some(at) => format!(
                "{} seems to cost less up to {} requests, and {} beyond",
                name(then.other()),
                count(at),
                name(then)
            ),
            None => format!(
                "{} seems to cost less at any number of requests",
                name(then)
            ),
        },
        Verdict::Same => format!("{} and {} cost the same", cells[0], cells[1]),
    }
}

/// The same for a table: `first from 12 k (10 k to 14 k)`.
pub fn requests(told: &Verdict) -> String {
    let name = |side: Side| match side {
        Side::A => "first",
        Side::B => "second",
    };
    match *told {
        Verdict::BreakEven {
            at,
            low,
            high,
            then,
        } => {
            let (from, high) = (count(at), high.map_or("no end".to_owned(), count));
            let low = count(low);
            match low == high {
                true => format!("{} from {from}", name(then)),
                false => format!("{} from {from} ({low} to {high})", name(then)),
            }
        }
        Verdict::Dominates { cheaper } => format!("{} always", name(cheaper)),
        Verdict::CannotTell { known: None, .. } => "cannot tell".to_owned(),
        Verdict::CannotTell {
            known: Some(range), ..
        } => {
            let high = range.high.map_or("no end".to_owned(), count);
            format!("{} for {} to {high}", name(range.cheaper), count(range.low))
        }
        Verdict::Unsure { at: Some(at), then } => format!("{} from {}?", name(then), count(at)),
        Verdict::Unsure { at: None, then } => format!("{} always?", name(then)),
        Verdict::Same => "the same".to_owned(),
    }
}

/// What stands beside it: at what quality.
pub fn quality(found: &Comparison) -> String {
    let [a, b] = &found.cells;
    let Some(gap) = &found.loss else {
        return format!(
            "No loss is known of both {a} and {b}: at what quality they serve, this does not say."
        );
    };
    let unit = match gap.metric {
        metric::VAL_BITS_PER_BYTE => "bits per byte",
        metric::EXCESS_LOSS_NATS => "nats above the oracle",
        _ => "nats",
    };
    let [of_a, of_b] = gap.of;
    let losses = match gap.worse {
        Some(Side::B) => format!("{of_b:.3} and {of_a:.3} {unit}"),
        _ => format!("{of_a:.3} and {of_b:.3} {unit}"),
    };
    let apart = gap.difference.value.abs();
    let shown = gap.difference.interval;
    let shown = shown.map_or_else(|| vec![apart], |i| vec![apart, i.low, i.high]);
    let digits = decimals(&shown);
    match (gap.worse, gap.difference.interval) {
        (None, Some(interval)) if interval.low == interval.high => {
            format!("Their losses are the same to the bit: {of_a:.3} {unit}.")
        }
        (Some(side), Some(interval)) => {
            let (worse, better) = match side {
                Side::A => (a, b),
                Side::B => (b, a),
            };
            let (low, high) = match side {
                Side::A => (interval.low, interval.high),
                Side::B => (-interval.high, -interval.low),
            };
            format!(
                "They are not of equal quality: {worse} is worse than {better} by {apart:.digits$} ({low:.digits$} to {high:.digits$}) of \
                 loss, {losses}. What it saves, it saves at that quality."
            )
        }
        (None, Some(interval)) => format!(
            "Their losses cannot be told apart: {losses}, {apart:.digits$} apart ({:.digits$} to {:.digits$}).",
            interval.low, interval.high
        ),
        (_, None) => format!(
            "Their losses are {losses}; with one repeat nobody can say whether they differ."
        ),
    }
}

fn count(requests: f64) -> String {
    Count(requests).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::lifecycle::Range;

    /// A difference that is told from nothing does not read as nothing.
    #[test]
    fn a_small_gap_shows_its_digits() {
        let told = |value: f64, low: f64, high: f64| {
            let digits = decimals(&[value, low, high]);
            format!("{value:.digits$} ({low:.digits$} to {high:.digits$})")
        };
        let small = told(0.00004, 0.00002, 0.00006);
        assert_eq!(small, "0.000040 (0.000020 to 0.000060)");
        assert_eq!(told(0.091, 0.018, 0.164), "0.091 (0.018 to 0.164)");
    }

    #[test]
    fn every_verdict_is_a_sentence() {
        let cells = ["small".to_owned(), "large".to_owned()];
        let at = Some(12_000.0);
        let known = |low, high| {
            let cheaper = Side::A;
            Some(Range { low, high, cheaper })
        };
        let even = |low, high| Verdict::BreakEven {
            at: 12_000.0,
            low,
            high,
            then: Side::A,
        };
        let rows = [
            (
                even(10_000.0, Some(14_000.0)),
                "large costs less up to 12 k requests (10 k to 14 k), and small beyond",
            ),
            (
                even(0.0, Some(14_000.0)),
                "large costs less up to 12 k requests (at most 14 k), and small beyond",
            ),
            (
                even(10_000.0, None),
                "large costs less up to 12 k requests (at least 10 k; no upper end is known), and small beyond",
            ),
            (
                Verdict::Dominates { cheaper: Side::B },
                "large costs less than small at any number of requests",
            ),
            (
                Verdict::CannotTell { at, known: None },
                "whether small or large costs less cannot be told",
            ),
            (
                Verdict::CannotTell {
                    at,
                    known: known(500.0, None),
                },
                "whether small or large costs less cannot be told, but beyond 500 requests small does",
            ),
            (
                Verdict::CannotTell {
                    at,
                    known: known(0.0, Some(500.0)),
                },
                "whether small or large costs less cannot be told, but up to 500 requests small does",
            ),
            (
                Verdict::Unsure { at, then: Side::B },
                "small seems to cost less up to 12 k requests, and large beyond",
            ),
            (Verdict::Same, "small and large cost the same"),
        ];
        for (told, said) in rows {
            assert_eq!(verdict(&told, &cells), said);
            assert!(!requests(&told).is_empty());
        }
    }
}
