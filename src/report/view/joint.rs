//! The joint law in words and as a plot: gain against compute, one line a variant, with its band and the gains that were
//! measured.

use super::number::{bounds, chance, figure};
use crate::analysis::along::OverCompute;
use crate::analysis::fit::Irreducible;
use crate::analysis::fit::joint::{
    Along, Joint, LAW, Limit, Member, Place, Refused, Side, Trend, Used, Why,
};
use crate::report::page::{
    Axis, Block, Chart, Figure, Hue, Mark, Page, Point, Quantity, Rule, Scatter, Series, Table,
};
use crate::stat::Interval;
use crate::unit::{Count, Flops, Times};

/// Everything that was found, as a page of its own; `data` is what it was found on, `notes` say what was counted.
pub fn page(joint: &Joint, data: Option<&str>, notes: &[String]) -> Page {
    let variants: Vec<String> = joint.arms.iter().map(|arm| arm.group.clone()).collect();
    let hue = |group: &str| {
        variants
            .iter()
            .position(|known| known == group)
            .map_or(Hue::Neutral, Hue::Variant)
    };
    let mut blocks = blocks(joint, data, &hue);
    if !notes.is_empty() {
        blocks.push(Block::Text(format!("Counted: {}.", notes.join("; "))));
    }
    let title = format!(
        "What each variant is worth over {}, as a function of compute",
        joint.base
    );
    Page::answer(&title, variants, blocks)
}

/// What `effbench gain --along compute` says: each kind of data's law, or why there is none.
pub fn over(found: &[OverCompute]) -> Page {
    let mut variants: Vec<String> = Vec::new();
    for arm in found
        .iter()
        .filter_map(|over| over.joint.as_ref())
        .flat_map(|joint| &joint.arms)
    {
        if !variants.contains(&arm.group) {
            variants.push(arm.group.clone());
        }
    }
    let hue = |group: &str| {
        variants
            .iter()
            .position(|known| known == group)
            .map_or(Hue::Neutral, Hue::Variant)
    };
    let mut said = Vec::new();
    for OverCompute {
        data,
        base,
        joint,
        reason,
        notes,
    } in found
    {
        match joint {
            Some(joint) => {
                said.extend(blocks(joint, Some(data), &hue));
                let counted =
                    (!notes.is_empty()).then(|| format!("Counted: {}.", notes.join("; ")));
                said.extend(counted.map(Block::Text));
            }
            None => {
                let reason = reason.as_deref().unwrap_or("nothing was found");
                said.push(Block::Text(format!(
                    "On {data} no gain over {base} is told along compute: {reason}."
                )));
            }
        }
    }
    Page::answer(
        "What each variant is worth, as a function of compute",
        variants,
        said,
    )
}

/// The same, for a page.
pub fn blocks(joint: &Joint, data: Option<&str>, hue: &dyn Fn(&str) -> Hue) -> Vec<Block> {
    let on = data.map(|data| format!("On {data}: ")).unwrap_or_default();
    let mut blocks = vec![Block::Lead(on + &sentence(joint))];
    if joint.gains.iter().any(|along| !along.curve.is_empty()) {
        blocks.push(Block::Plot(plot(joint, hue)));
    }
    if !joint.gains.is_empty() {
        blocks.push(Block::Table(gains(joint)));
    }
    blocks.extend(beyond(joint).map(Block::Text));
    blocks.push(Block::Text(trust(joint)));
    blocks.push(Block::Details(
        "The law's parameters and the runs behind them".to_owned(),
        laws(joint),
    ));
    blocks
}

/// The answer: first what speaks against the law, then what each variant is worth.
pub fn sentence(joint: &Joint) -> String {
    let mut said: Vec<String> = joint.refused.iter().filter_map(refusal).collect();
    said.extend(joint.gains.iter().filter_map(contradiction));
    said.extend(scattered(joint));
    match &joint.gains[..] {
        [] => said.push(format!(
            "No gain over {} is told along compute.",
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
    let Refused { group, why } = refused;
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
            "A law of compute takes three budgets; not told: {}.",
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
        None => format!("{variant} and {base} share no loss: no gain is told."),
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
            "not told from 1",
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
        "{} variants over {base}, each from the least to the most compute at which it is told (Holm over all): {}.",
        all.len(),
        parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
    )
}

/// Where variants ran and their gain is not told, and the groups that have none.
fn beyond(joint: &Joint) -> Option<String> {
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
                "Not told where {base} would need more than it ran, with a bound at the largest run"
            ),
        ),
        part(
            below,
            format!(
                "Not told where {base}'s smallest run is ahead, with a bound at the smallest run"
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
fn p_is(p: f64) -> String {
    if p < 1e-4 {
        "p < 0.0001".to_owned()
    } else {
        format!("p = {}", chance(p))
    }
}

/// ` (95% 2.0 to 2.7)`.
fn range(interval: &Interval) -> String {
    let Interval { low, high, level } = *interval;
    if !high.is_finite() {
        return " (no interval)".to_owned();
    }
    format!(" ({:.0}% {} to {})", 100.0 * level, Times(low), Times(high))
}

/// `2.3 (2.0 to 2.7)`, for a table.
fn cell(value: f64, interval: &Interval) -> String {
    let Interval { low, high, .. } = *interval;
    if !high.is_finite() {
        return format!("{} (no interval)", Times(value));
    }
    format!("{} ({} to {})", Times(value), Times(low), Times(high))
}

/// What the answer rests on: E, the scatter, and what is left to judge by.
fn trust(joint: &Joint) -> String {
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

/// Every variant at both ends of its range.
fn gains(joint: &Joint) -> Table {
    let mut table = Table::new([
        "variant",
        "from",
        "gain (95%)",
        "to",
        "gain (95%)",
        "times a doubling, by the law",
        "p, equal a",
    ]);
    for along in &joint.gains {
        let ends = [along.curve.first(), along.curve.last()];
        let place = |place: Option<&Place>| {
            place.map_or([String::new(), "not told".to_owned()], |place| {
                [
                    Flops(place.flops).to_string(),
                    cell(place.gain, &place.interval),
                ]
            })
        };
        let [[from, first], [to, last]] = ends.map(place);
        let doubling = cell(along.per_doubling, &along.per_doubling_interval);
        table.rows.push(vec![
            along.variant.clone(),
            from,
            first,
            to,
            last,
            doubling,
            chance(along.equal_exponents_holm),
        ]);
    }
    table
}

/// The law's parameters and the runs behind them.
fn laws(joint: &Joint) -> Table {
    let mut table = Table::new(["group", "runs used", "C", "N", "A", "a", "p, bend"]);
    table.rows = joint.arms.iter().map(member).collect();
    table.without_empty_columns()
}

fn member(arm: &Member) -> Vec<String> {
    let runs = if arm.runs == arm.cells {
        String::new()
    } else {
        format!(" of {} runs", arm.runs)
    };
    let used = match arm.used {
        Used::All => format!("all {} cells{runs}", arm.cells),
        Used::Together { of } => format!("all {of} cells, neighbours as one of {}", arm.cells),
        Used::Ladder { sizes } => {
            format!("all {} cells{runs}, a ladder of {sizes} sizes", arm.cells)
        }
        Used::Envelope { of, sizes } => {
            format!(
                "lower envelope: {} of {of} cells{runs}, {sizes} sizes",
                arm.cells
            )
        }
    };
    let range = |[low, high]: [f64; 2]| {
        if low == high {
            Count(low).to_string()
        } else {
            format!("{} to {}", Count(low), Count(high))
        }
    };
    vec![
        arm.group.clone(),
        used,
        format!("{} to {}", Flops(arm.flops[0]), Flops(arm.flops[1])),
        arm.params.map(range).unwrap_or_default(),
        figure(arm.scale),
        format!(
            "{} ({})",
            figure(arm.exponent),
            bounds(&arm.exponent_interval)
        ),
        chance(arm.bend.p_holm),
    ]
}

fn plot(joint: &Joint, hue: &dyn Fn(&str) -> Hue) -> Figure {
    let ends = |interval: &Interval| {
        interval
            .high
            .is_finite()
            .then_some((interval.low, interval.high))
    };
    let mut series = Vec::new();
    for along in joint.gains.iter().filter(|along| !along.curve.is_empty()) {
        let hue = hue(&along.variant);
        let on_the_law = |place: &Place| Point {
            x: place.flops,
            y: place.gain,
            interval: ends(&place.interval),
            note: String::new(),
        };
        let points = along.curve.iter().map(on_the_law).collect();
        series.push(Series {
            name: format!("{}, law", along.variant),
            hue,
            mark: Mark::Line,
            points,
        });
        let read = along.measured.iter().map(|measured| Point {
            x: measured.flops,
            y: measured.gain,
            interval: ends(&measured.interval),
            note: "measured".to_owned(),
        });
        series.push(Series {
            name: along.variant.clone(),
            hue,
            mark: Mark::Dots,
            points: read.collect(),
        });
    }
    Figure {
        title: format!("Gain over {} against compute", joint.base),
        caption: format!(
            "How many times a variant's compute {} needs for the same loss. Lines are the law {} for all, with 95% bands that \
             hold at all compute at once; signs are gains as measured, without the law. A level line is a gain that more \
             compute leaves as it is.",
            joint.base, LAW.formula
        ),
        chart: Chart::Scatter(Scatter {
            x: Axis::log("compute of the variant", Quantity::Flops),
            y: Axis::log(
                &format!("gain: times {} must spend", joint.base),
                Quantity::Times,
            ),
            series,
            rules: vec![Rule {
                at: 1.0,
                label: "no gain".to_owned(),
            }],
        }),
    }
}
