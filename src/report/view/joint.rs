//! The joint law in words and as a plot: gain against compute, one line a variant, with its band and the gains that were
//! measured.

pub use super::joint_sentence::sentence;
use super::joint_sentence::{beyond, cell, trust};
use super::number::{bounds, chance, figure};
use crate::analysis::along::OverCompute;
use crate::analysis::fit::joint::{Joint, LAW, Member, Place, Used};
use crate::report::page::{
    Axis, Block, Chart, Figure, Hue, Mark, Page, Point, Quantity, Rule, Scatter, Series, Table,
};
use crate::stat::Interval;
use crate::unit::{Count, Flops};

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
                    "On {data} no gain over {base} can be shown along compute: {reason}."
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
