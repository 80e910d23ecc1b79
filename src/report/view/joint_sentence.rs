//! What a law over all variants says, in sentences.

use super::number::{bounds, chance, figure};
use crate::analysis::fit::Irreducible;
use crate::analysis::fit::joint::{
    Along, Joint, Limit, Member, Odd, Place, Refused, Side, Trend, Why,
};
use crate::stat::Interval;
use crate::unit::{Flops, Times};

/// The answer: first what speaks against the law, then what each variant is worth.
pub fn sentence(joint: &Joint) -> String {
    let mut said: Vec<String> = joint.refused.iter().filter_map(refusal).collect();
    said.extend(joint.gains.iter().filter_map(contradiction));
    said.extend(scattered(joint));
    match &joint.gains[..] {
        [] => said.push(format!(
            "No gain over {} can be shown along compute.",
            joint.base
        )),
        [one] => said.push(worth(one, &joint.base)),
        all => said.push(worths(all, &joint.base)),
    }
    said.extend(of_one_size(joint));
    said.join(" ")
}

/// That nothing here is about models' size.
fn of_one_size(joint: &Joint) -> Option<String> {
    let one = |arm: &Member| arm.params.is_some_and(|[low, high]| low == high);
    let all = !joint.gains.is_empty() && joint.arms.iter().all(one);
    all.then(|| {
        "Each variant ran at one size, so that more compute means longer training.".to_owned()
    })
}

/// That runs do not lie on the law.
fn refusal(refused: &Refused) -> Option<String> {
    let Refused { group, why, .. } = refused;
    if let Some(Odd { flops, loss }) = refused.but_for {
        return Some(format!(
            "One cell of {group}, at {} with a loss of {loss:.4}, is above its cheaper runs, and without it its runs lie on the law: \
             leave it out with --where if that run failed; with it no law of compute describes them.",
            Flops(flops)
        ));
    }
    match why {
        Why::Short { .. } => None,
        Why::Rises => Some(format!(
            "{group} reaches no lower loss with more compute: no law of compute describes its runs."
        )),
        Why::Bends { worst, p } => Some(format!(
            "The law does not describe the runs of {group}: they bend away from it by up to {:.2}% of the loss (lack of fit, \
             {}).",
            100.0 * worst,
            p_is(*p)
        )),
    }
}

/// Groups with too few budgets, together.
fn short(refused: &[Refused]) -> Option<String> {
    let of = |refused: &Refused| match refused.why {
        Why::Short { budgets, of } => {
            let of = of
                .map(|of| format!(" on the lower envelope of {of} cells"))
                .unwrap_or_default();
            Some(format!("{} ({budgets}{of})", refused.group))
        }
        _ => None,
    };
    let found: Vec<String> = refused.iter().filter_map(of).collect();
    (!found.is_empty()).then(|| {
        format!(
            "A law of compute takes three budgets; left out: {}.",
            found.join(", ")
        )
    })
}

/// A measured gain that the law contradicts.
fn contradiction(along: &Along) -> Option<String> {
    let found = along.measured.iter().find(|measured| !measured.agrees)?;
    Some(format!(
        "The law does not describe the runs of {}: at {} it says {}, and the runs say {}{}.",
        along.variant,
        Flops(found.flops),
        Times(found.law),
        Times(found.gain),
        range(&found.interval)
    ))
}

/// That cells scatter more than their seeds do.
fn scattered(joint: &Joint) -> Option<String> {
    let (test, luck) = joint.scatter.lack_of_fit.zip(joint.scatter.of_luck)?;
    (test.p < crate::analysis::fit::misfit::LEVEL).then(|| {
        format!(
            "Cells lie off the law by {:.2}% of the loss where seeds alone make it {:.2}% (lack of fit, {}): every interval \
             holds that.",
            100.0 * joint.scatter.of_cells,
            100.0 * luck,
            p_is(test.p)
        )
    })
}

/// One variant's answer.
fn worth(along: &Along, base: &str) -> String {
    let Along { variant, .. } = along;
    let (Some(first), Some(last)) = (along.curve.first(), along.curve.last()) else {
        return nowhere(along, base);
    };
    let at = |place: &Place, often: &str| {
        format!(
            "{} times {often}at {}{}",
            Times(place.gain),
            Flops(place.flops),
            range(&place.interval)
        )
    };
    let ends = format!(
        "{base} would need {} and {}",
        at(first, "its compute "),
        at(last, "")
    );
    let whole = match along.side {
        Side::More => format!("{variant} is worth more than its compute: {ends}"),
        Side::Less => format!("{variant} is worth less than its compute: {ends}"),
        Side::Partly => format!("{variant} differs from {base} over a part of the range: {ends}"),
        Side::Unclear => format!("Whether {variant} is worth its compute cannot be told: {ends}"),
    };
    format!("{whole}; {}.", trend(along))
}

/// How a gain changes with each doubling of compute.
fn trend(along: &Along) -> String {
    let change = |times: f64| format!("{:+.0}%", 100.0 * (times - 1.0));
    let Interval { low, high, .. } = along.per_doubling_interval;
    let (p, by) = (p_is(along.equal_exponents_holm), change(along.per_doubling));
    let range = format!("95% {} to {}", change(low), change(high));
    match along.trend {
        Trend::Grows => {
            format!(
                "its gain grows, {by} with each doubling of compute ({range}; equal exponents {p})"
            )
        }
        Trend::Fades => {
            format!(
                "its gain fades, {by} with each doubling of compute ({range}; equal exponents {p})"
            )
        }
        Trend::Unclear => {
            format!(
                "whether the gain changes with compute cannot be told ({by} a doubling, {range}, {p})"
            )
        }
    }
}

/// Why no gain of a variant is told, though it lies on the law.
fn nowhere(along: &Along, base: &str) -> String {
    let variant = &along.variant;
    match along.limits.first() {
        Some(Limit::Above { more_than, .. }) => format!(
            "No run of {base} reaches the losses of {variant}: its gain is more than {} at its largest run, and how much \
             more takes larger runs of {base}.",
            Times(*more_than)
        ),
        Some(Limit::Below { less_than, .. }) => format!(
            "Every run of {base} is ahead of {variant}: its gain is less than {} at its smallest run, and how much less takes \
             smaller runs of {base}.",
            Times(*less_than)
        ),
        None => format!("{variant} and {base} share no loss: no gain can be computed."),
    }
}

/// Several variants' answers at once, with the gains at both ends of their ranges.
fn worths(all: &[Along], base: &str) -> String {
    let shown = |along: &Along| match (along.curve.first(), along.curve.last()) {
        (Some(first), Some(last)) => {
            format!(
                "{} ({} to {})",
                along.variant,
                Times(first.gain),
                Times(last.gain)
            )
        }
        _ => along.variant.clone(),
    };
    let name = |along: &Along| along.variant.clone();
    let part = |which: &dyn Fn(&Along) -> bool, says: &dyn Fn(&Along) -> String, what: &str| {
        let names: Vec<String> = all.iter().filter(|along| which(along)).map(says).collect();
        (!names.is_empty()).then(|| format!("{what}: {}", names.join(", ")))
    };
    let parts = [
        part(
            &|along| along.side == Side::More,
            &shown,
            "worth more than their compute at all of it",
        ),
        part(
            &|along| along.side == Side::Less,
            &shown,
            "worth less at all of it",
        ),
        part(
            &|along| along.side == Side::Partly,
            &shown,
            "different over a part of it",
        ),
        part(
            &|along| along.side == Side::Unclear,
            &shown,
            "not distinguishable from 1",
        ),
        part(
            &|along| along.trend == Trend::Grows,
            &name,
            "the gain grows with compute",
        ),
        part(
            &|along| along.trend == Trend::Fades,
            &name,
            "the gain fades with compute",
        ),
        all.iter()
            .all(|along| along.trend == Trend::Unclear)
            .then(|| "whether any gain changes with compute cannot be told".to_owned()),
    ];
    format!(
        "{} variants over {base}, each from the least to the most compute at which it is known (Holm over all): {}.",
        all.len(),
        parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
    )
}

/// Where variants ran and their gain is not told, and the groups that have none.
pub(super) fn beyond(joint: &Joint) -> Option<String> {
    let base = &joint.base;
    let told = || joint.gains.iter().filter(|along| !along.curve.is_empty());
    let (mut above, mut below) = (Vec::new(), Vec::new());
    for along in told() {
        for limit in &along.limits {
            let variant = &along.variant;
            match limit {
                Limit::Above { flops, more_than } => {
                    above.push(format!(
                        "{variant} from {} on (more than {})",
                        Flops(*flops),
                        Times(*more_than)
                    ));
                }
                Limit::Below { flops, less_than } => {
                    below.push(format!(
                        "{variant} up to {} (less than {})",
                        Flops(*flops),
                        Times(*less_than)
                    ));
                }
            }
        }
    }
    let part = |found: Vec<String>, what: String| {
        (!found.is_empty()).then(|| format!("{what}: {}.", found.join(", ")))
    };
    let nowhere = joint
        .gains
        .iter()
        .filter(|along| along.curve.is_empty())
        .map(|along| nowhere(along, base));
    let said: Vec<String> = [
        part(
            above,
            format!(
                "Not known where {base} would need more than it ran, with a bound at the largest run"
            ),
        ),
        part(
            below,
            format!(
                "Not known where {base}'s smallest run is ahead, with a bound at the smallest run"
            ),
        ),
        short(&joint.refused),
    ]
    .into_iter()
    .flatten()
    .chain(nowhere.filter(|_| joint.gains.len() > 1))
    .collect();
    (!said.is_empty()).then(|| said.join(" "))
}

/// `p = 0.03`, `p < 0.0001`.
pub(super) fn p_is(p: f64) -> String {
    if p < 1e-4 {
        "p < 0.0001".to_owned()
    } else {
        format!("p = {}", chance(p))
    }
}

/// ` (95% 2.0 to 2.7)`.
pub(super) fn range(interval: &Interval) -> String {
    let Interval { low, high, level } = *interval;
    if !high.is_finite() {
        return " (no interval)".to_owned();
    }
    format!(" ({:.0}% {} to {})", 100.0 * level, Times(low), Times(high))
}

/// `2.3 (2.0 to 2.7)`, for a table.
pub(super) fn cell(value: f64, interval: &Interval) -> String {
    let Interval { low, high, .. } = *interval;
    if !high.is_finite() {
        return format!("{} (no interval)", Times(value));
    }
    format!("{} ({} to {})", Times(value), Times(low), Times(high))
}

/// What the answer rests on: E, the scatter, and what is left to judge by.
pub(super) fn trust(joint: &Joint) -> String {
    let e = figure(joint.e);
    let floor = match (joint.irreducible, &joint.e_interval) {
        (Irreducible::Oracle, _) => format!("E = {e}, known from the oracle."),
        (Irreducible::Fixed(_), _) => format!("E = {e}, assumed."),
        (Irreducible::Free, Some(range)) => format!("E = {e}, one for all ({}).", bounds(range)),
        (Irreducible::Free, None) => format!("E = {e}, one for all."),
    };
    let over: Vec<String> = joint
        .gains
        .iter()
        .filter_map(|along| {
            let [low, high] = along.over_irreducible?;
            Some(format!(
                "{} {} to {}",
                along.variant,
                Times(low),
                Times(high)
            ))
        })
        .collect();
    let whatever = match (joint.e_interval.is_some(), joint.identifies_e()) {
        _ if over.is_empty() => String::new(),
        (false, _) => String::new(),
        (true, true) => format!(
            " Over all of that, gains in the middle of their ranges are: {}.",
            over.join("; ")
        ),
        (true, false) => format!(
            " The runs do not identify E; what they say of the gains within their range all the same, whatever E is: in the \
             middle {}.",
            over.join("; ")
        ),
    };
    let scatter = &joint.scatter;
    let alike = scatter.autocorrelation.map(|r| {
        format!(
            " Neighbouring points lie off the law alike (correlation {r:.2}: points of one run, or another form); intervals \
             are wider for it."
        )
    });
    format!(
        "{floor}{whatever} Cells lie off the law by {:.2}% of the loss ({:.0} degrees of freedom). Bands hold at all compute at \
         once, and include what all repeats of a cell share.{}",
        100.0 * scatter.of_cells,
        scatter.freedom,
        alike.unwrap_or_default()
    )
}
