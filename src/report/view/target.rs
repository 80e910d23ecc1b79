//! What `effbench gain --target` says: the costs of reaching a loss as ratios in a sentence a variant, then all of them in tables.

use crate::analysis::Axis;
use crate::analysis::target::{Equal, Ratio, Reached, Spent, Variant};
use crate::record::LossUnit;
use crate::report::page::{Block, Page, Table};
use crate::stat::Interval;
use crate::unit::{Count, Flops, Joules, Nats, Seconds, Times};

/// Below this chance a ratio is told from the constant.
const ALPHA: f64 = 0.05;
/// How a target is read off a curve.
const RULE: &str = "A run reaches a loss where its curve, made to fall by isotonic regression, first takes it (log-log between its \
                    evaluations); what lies beyond a run's end is a bound.";

/// What `effbench gain --target` says, a scale after the other.
pub fn page(found: &[Reached]) -> Page {
    let blocks = found.iter().flat_map(blocks).collect();
    Page::answer("What it costs to reach a loss", Vec::new(), blocks)
}

/// One scale: a sentence a variant, the ratios, what was spent, the differences at equal cost, the doubts.
fn blocks(found: &Reached) -> Vec<Block> {
    let sentences = found
        .variants
        .iter()
        .map(|variant| sentence(found, variant));
    let mut blocks: Vec<Block> = sentences.map(Block::Lead).collect();
    blocks.extend(ratios(found));
    blocks.extend(spent(found));
    blocks.extend(equal(found));
    blocks.push(Block::Text(RULE.to_owned()));
    blocks.extend(found.caveats.iter().map(|caveat| Block::Caveat {
        message: caveat.message.clone(),
        remedy: caveat.remedy.clone(),
    }));
    blocks
}

/// "To reach 3.28 nats adam spends 1.31 times muon's steps (95% 1.25 to 1.37, n = 5, paired by seed) and 1.28 times its seconds."
pub fn sentence(found: &Reached, variant: &Variant) -> String {
    let Reached {
        base, scale, data, ..
    } = found;
    let goal = found.unit.told(found.target_nats);
    let work = if found.several_sizes {
        Axis::ModelFlops
    } else {
        Axis::Steps
    };
    let first = [work, Axis::WallSeconds]
        .into_iter()
        .filter(|axis| variant.gains.contains_key(axis));
    let mut axes: Vec<Axis> = first.collect();
    if axes.is_empty() {
        axes.extend(
            [Axis::ModelFlops, Axis::Tokens]
                .into_iter()
                .find(|axis| variant.gains.contains_key(axis)),
        );
    }
    let name = &variant.variant;
    let told = axes.iter().enumerate().map(|(k, axis)| {
        let whose = if k == 0 {
            format!("{name}'s")
        } else {
            "its".to_owned()
        };
        claim(
            &variant.gains[axis],
            base,
            &format!("{whose} {}", axis.words()),
        )
    });
    let told: Vec<String> = told.collect();
    if told.is_empty() {
        return format!(
            "What {name} costs to reach {goal} cannot be told: its logs and {base}'s share no axis ({scale}, {data})."
        );
    }
    let tested = found
        .against
        .map(|constant| tested(variant, &axes, constant))
        .unwrap_or_default();
    format!(
        "To reach {goal} {base} spends {} ({scale}, {data}).{tested}",
        told.join(" and ")
    )
}

fn claim(ratio: &Ratio, base: &str, of: &str) -> String {
    match *ratio {
        Ratio::Known {
            value,
            interval: Some(Interval { low, high, .. }),
            n,
            paired,
        } => {
            let how = if paired {
                "paired by seed"
            } else {
                "not paired"
            };
            format!(
                "{} times {of} (95% {} to {}, n = {n}, {how})",
                Times(value),
                Times(low),
                Times(high)
            )
        }
        Ratio::Known { value, n, .. } => {
            format!("{} times {of} (n = {n}, no interval)", Times(value))
        }
        Ratio::MoreThan { bound, bounded, n } => {
            format!(
                "more than {} times {of} (it did not get there, or the variant was there first, in {bounded} of {n})",
                Times(bound)
            )
        }
        Ratio::LessThan { bound, bounded, n } => {
            format!(
                "less than {} times {of} (the variant did not get there, or {base} was there first, in {bounded} of {n})",
                Times(bound)
            )
        }
        Ratio::Unknown { .. } => format!("an unknown multiple of {of} (runs of both ended before)"),
    }
}

fn tested(variant: &Variant, axes: &[Axis], constant: f64) -> String {
    let of = |axis: &Axis| match variant.p.get(axis) {
        Some(p) if *p < ALPHA => format!("in {} yes (p = {})", axis.words(), probability(*p)),
        Some(p) => format!("in {} not shown (p = {})", axis.words(), probability(*p)),
        None => format!("in {} no test (one run an arm, or a bound)", axis.words()),
    };
    let list: Vec<String> = axes.iter().map(of).collect();
    format!(" More than {} times: {}.", Times(constant), list.join(", "))
}

fn probability(p: f64) -> String {
    if p < 0.0001 {
        "below 0.0001".to_owned()
    } else {
        format!("{p:.2}").replace("0.00", &format!("{p:.4}"))
    }
}

/// The axes that some variant has, without money where it is seconds again.
fn axes(found: &Reached) -> Vec<Axis> {
    let known = |axis: &Axis| {
        found
            .variants
            .iter()
            .any(|variant| variant.gains.contains_key(axis))
    };
    let value = |variant: &Variant, axis| variant.gains.get(&axis).and_then(Ratio::value);
    let again = found.variants.iter().all(|variant| {
        let pair = value(variant, Axis::Money).zip(value(variant, Axis::WallSeconds));
        pair.is_none_or(|(a, b)| (a / b - 1.0).abs() < 1e-9)
    });
    let order = [
        Axis::Steps,
        Axis::WallSeconds,
        Axis::Tokens,
        Axis::ModelFlops,
        Axis::TotalFlops,
        Axis::Joules,
        Axis::Money,
    ];
    order
        .into_iter()
        .filter(known)
        .filter(|axis| !(again && *axis == Axis::Money))
        .collect()
}

fn heads<'a>(first: &'a str, axes: &[Axis]) -> Vec<&'a str> {
    [first]
        .into_iter()
        .chain(axes.iter().map(|axis| axis.heading()))
        .collect()
}

fn ratios(found: &Reached) -> [Block; 2] {
    let axes = axes(found);
    let mut table = Table::new(heads("variant", &axes));
    for variant in &found.variants {
        let cells = axes
            .iter()
            .map(|axis| variant.gains.get(axis).map(short).unwrap_or_default());
        table.row([variant.variant.clone()].into_iter().chain(cells));
    }
    let goal = found.unit.told(found.target_nats);
    let head = format!(
        "Times that {} spends to reach {goal} (95% intervals):",
        found.base
    );
    [Block::Text(head), Block::Table(table)]
}

fn short(ratio: &Ratio) -> String {
    match *ratio {
        Ratio::Known {
            value,
            interval: Some(Interval { low, high, .. }),
            ..
        } => {
            format!("{} ({} to {})", Times(value), Times(low), Times(high))
        }
        Ratio::Known { value, .. } => Times(value).to_string(),
        Ratio::MoreThan { bound, .. } => format!("> {}", Times(bound)),
        Ratio::LessThan { bound, .. } => format!("< {}", Times(bound)),
        Ratio::Unknown { .. } => "unknown".to_owned(),
    }
}

fn spent(found: &Reached) -> [Block; 2] {
    let axes = axes(found);
    let mut table = Table::new(heads("arm", &axes));
    let base = (&found.base, &found.of_base);
    for (name, spent) in [base]
        .into_iter()
        .chain(found.variants.iter().map(|v| (&v.variant, &v.spent)))
    {
        let cells = axes.iter().map(|axis| {
            spent
                .get(axis)
                .map(|spent| amount(*axis, spent))
                .unwrap_or_default()
        });
        table.row([name.clone()].into_iter().chain(cells));
    }
    let head = "Spent to get there (geometric mean; > of what did not):".to_owned();
    [Block::Text(head), Block::Table(table)]
}

fn amount(axis: Axis, spent: &Spent) -> String {
    let short = spent.reached < spent.n;
    let reached = if spent.n > 1 && short {
        format!(" ({} of {})", spent.reached, spent.n)
    } else {
        String::new()
    };
    format!(
        "{}{}{reached}",
        if short { "> " } else { "" },
        figure(axis, spent.value)
    )
}

/// A cost with its unit; steps whole.
fn figure(axis: Axis, value: f64) -> String {
    match axis {
        Axis::Steps => format!("{value:.0}"),
        Axis::WallSeconds => Seconds(value).to_string(),
        Axis::ModelFlops | Axis::TotalFlops => Flops(value).to_string(),
        Axis::Joules => Joules(value).to_string(),
        _ => Count(value).to_string(),
    }
}

/// The differences at a cost that every run covers; of a perplexity in nats, as a difference of perplexities says little.
fn equal(found: &Reached) -> Vec<Block> {
    let axes: Vec<Axis> = axes(found)
        .into_iter()
        .filter(|axis| found.variants.iter().any(|v| v.equal.contains_key(axis)))
        .collect();
    let (unit, words) = match found.unit {
        LossUnit::Perplexity => (LossUnit::Nats, "nats"),
        LossUnit::BitsPerByte => (found.unit, "bits per byte"),
        unit => (unit, unit.name()),
    };
    let told = |axis: Axis, equal: &Equal| {
        let nats = |value: f64| Nats(unit.of_nats(value)).to_string();
        let range = equal
            .interval
            .map(|[low, high]| format!(" ({} to {})", nats(low), nats(high)))
            .unwrap_or_default();
        format!("{}{range} at {}", nats(equal.nats), figure(axis, equal.at))
    };
    let mut table = Table::new(heads("variant", &axes));
    for variant in &found.variants {
        let cells = axes.iter().map(|axis| {
            variant
                .equal
                .get(axis)
                .map(|equal| told(*axis, equal))
                .unwrap_or_default()
        });
        table.row([variant.variant.clone()].into_iter().chain(cells));
    }
    let head = format!(
        "Loss below {}'s at equal cost, in {words} (95% intervals):",
        found.base
    );
    if axes.is_empty() {
        return Vec::new();
    }
    vec![Block::Text(head), Block::Table(table)]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::report::Style;
    use crate::report::render::text::text;
    use crate::stat::interval::LEVEL;

    fn found(
        unit: LossUnit,
        gains: &[(Axis, Ratio)],
        against: Option<f64>,
        p: &[(Axis, f64)],
    ) -> Reached {
        let spent = |value| Spent {
            value,
            range: [value; 2],
            n: 3,
            reached: 3,
        };
        let axes = |value| {
            gains
                .iter()
                .map(|(axis, _)| (*axis, spent(value)))
                .collect::<BTreeMap<Axis, Spent>>()
        };
        Reached {
            data: "imported logs".to_owned(),
            scale: "all".to_owned(),
            base: "adam".to_owned(),
            unit,
            target_nats: 3.28,
            target: unit.of_nats(3.28),
            against,
            several_sizes: false,
            of_base: axes(5100.0),
            variants: vec![Variant {
                variant: "muon".to_owned(),
                spent: axes(3900.0),
                gains: gains.iter().copied().collect(),
                equal: BTreeMap::from([(
                    Axis::Steps,
                    Equal {
                        at: 5100.0,
                        nats: 0.065,
                        interval: Some([0.06, 0.07]),
                    },
                )]),
                p: p.iter().copied().collect(),
            }],
            caveats: Vec::new(),
        }
    }

    fn answers() -> [(Reached, &'static str); 5] {
        let interval = Some(Interval {
            low: 1.25,
            high: 1.37,
            level: LEVEL,
        });
        let ratio = |interval, n, paired| Ratio::Known {
            value: 1.31,
            interval,
            n,
            paired,
        };
        let (known, alone) = (ratio(interval, 5, true), ratio(None, 1, false));
        [
            (
                found(
                    LossUnit::Nats,
                    &[(Axis::Steps, known), (Axis::WallSeconds, known)],
                    None,
                    &[],
                ),
                "To reach 3.28 nats adam spends 1.31 times muon's steps (95% 1.25 to 1.37, n = 5, paired by seed) and 1.31 times its \
                 seconds (95% 1.25 to 1.37, n = 5, paired by seed) (all, imported logs).",
            ),
            (
                found(
                    LossUnit::Perplexity,
                    &[(Axis::Steps, alone)],
                    Some(1.2),
                    &[],
                ),
                "To reach perplexity 26.5758 adam spends 1.31 times muon's steps (n = 1, no interval) (all, imported logs). More than \
                 1.20 times: in steps no test (one run an arm, or a bound).",
            ),
            (
                found(
                    LossUnit::Bits,
                    &[(Axis::Tokens, known)],
                    Some(1.2),
                    &[(Axis::Tokens, 0.0042)],
                ),
                "To reach 4.732 bits adam spends 1.31 times muon's tokens (95% 1.25 to 1.37, n = 5, paired by seed) (all, imported \
                 logs). More than 1.20 times: in tokens yes (p = 0.0042).",
            ),
            (
                found(
                    LossUnit::Nats,
                    &[(
                        Axis::Steps,
                        Ratio::MoreThan {
                            bound: 1.4,
                            bounded: 2,
                            n: 3,
                        },
                    )],
                    None,
                    &[],
                ),
                "To reach 3.28 nats adam spends more than 1.40 times muon's steps (it did not get there, or the variant was there \
                 first, in 2 of 3) (all, imported logs).",
            ),
            (
                found(LossUnit::Nats, &[], None, &[]),
                "What muon costs to reach 3.28 nats cannot be told: its logs and adam's share no axis (all, imported logs).",
            ),
        ]
    }

    #[test]
    fn each_answer_is_a_sentence() {
        for (found, expected) in answers() {
            assert_eq!(sentence(&found, &found.variants[0]), expected);
        }
    }

    #[test]
    fn the_page_tells_ratios_costs_and_differences() {
        let interval = Some(Interval {
            low: 1.25,
            high: 1.37,
            level: LEVEL,
        });
        let known = Ratio::Known {
            value: 1.31,
            interval,
            n: 5,
            paired: true,
        };
        let found = found(
            LossUnit::Bits,
            &[
                (Axis::Steps, known),
                (Axis::WallSeconds, known),
                (Axis::Money, known),
            ],
            None,
            &[],
        );
        let said = text(&page(&[found]), Style::default());
        for part in [
            "1.31 (1.25 to 1.37)",
            "adam",
            "5100",
            "1 h 25 min",
            "in bits (95% intervals)",
            "0.094 (0.087 to 0.10) at 5100",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert!(
            !said.contains("money"),
            "where a second costs the same everywhere, money says what seconds say: {said}"
        );
    }
}
