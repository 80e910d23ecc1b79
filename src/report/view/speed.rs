//! Throughput, and how much of the machine's own measured peak it is.

use super::hue::hue;
use super::latency;
use std::collections::BTreeMap;

use crate::analysis::caveat::drift;
use crate::analysis::findings::{Cell, Findings};
use crate::record::{At, metric};
use crate::report::page::{Axis, Bar, Block, Chart, Figure, Quantity, Table};
use crate::stat::interval::LEVEL;
use crate::stat::mean_estimate;
use crate::unit::FlopsPerSecond;

/// Bars of one plot that can still be read.
const BARS: usize = 30;

/// A rate with a plot of its own.
struct Rate {
    metric: &'static str,
    title: &'static str,
    axis: &'static str,
    quantity: Quantity,
}

const RATES: [Rate; 3] = [
    Rate {
        metric: metric::TRAIN_TOKENS_PER_S,
        title: "Training throughput",
        axis: "training tokens per second",
        quantity: Quantity::TokensPerSecond,
    },
    Rate {
        metric: metric::DECODE_TOKENS_PER_S,
        title: "Generation throughput",
        axis: "generated tokens per second",
        quantity: Quantity::TokensPerSecond,
    },
    Rate {
        metric: metric::MFU,
        title: "Model FLOPs utilisation",
        axis: "share of the measured peak",
        quantity: Quantity::Share,
    },
];

pub(super) fn build(findings: &Findings) -> Option<Vec<Block>> {
    let mut blocks: Vec<Block> = Vec::new();
    for (shared, cells) in findings.comparable() {
        let figures: Vec<Figure> = RATES
            .iter()
            .filter_map(|rate| figure(findings, &cells, rate, &shared))
            .collect();
        blocks.extend((!figures.is_empty()).then_some(Block::Plots(figures)));
    }
    if blocks.is_empty() {
        return None;
    }
    blocks.extend(peaks(findings));
    blocks.extend(latency::blocks(findings));
    blocks.extend(drift(findings.file).map(|c| Block::Caveat {
        message: c.message,
        remedy: c.remedy,
    }));
    Some(blocks)
}

/// A bar for each variant and scale, over all of its budgets: a step takes as long whatever the number of steps.
fn figure(findings: &Findings, cells: &[&Cell], rate: &Rate, shared: &str) -> Option<Figure> {
    let mut values: BTreeMap<(usize, String), (&Cell, Vec<f64>)> = BTreeMap::new();
    for cell in cells {
        let variant = findings
            .variants
            .iter()
            .position(|v| *v == cell.any().variant)
            .unwrap_or_default();
        let place = values
            .entry((variant, findings.series_name(cell.any())))
            .or_insert((*cell, Vec::new()));
        place.1.extend(
            cell.finished()
                .filter_map(|trial| trial.metric(rate.metric)),
        );
    }
    let bar = |((_, name), (cell, values)): ((usize, String), (&Cell, Vec<f64>))| {
        let estimate = mean_estimate(&values, LEVEL)?;
        Some(Bar {
            name,
            hue: hue(findings, &cell.any().variant),
            value: estimate.value,
            interval: estimate
                .interval
                .map(|interval| (interval.low, interval.high)),
            estimated: false,
            note: format!("n = {}", estimate.n),
        })
    };
    let mut bars: Vec<Bar> = values.into_iter().filter_map(bar).collect();
    let all = bars.len();
    bars.truncate(BARS);
    let cut = if all > BARS {
        format!(" The first {BARS} of {all}; “All figures” has the rest.")
    } else {
        String::new()
    };
    let of = if shared.is_empty() {
        String::new()
    } else {
        format!(", {shared}")
    };
    (!bars.is_empty()).then(|| Figure {
        title: format!("{}{of}", rate.title),
        caption: format!("Longer is better. {}{cut}", spread(&bars)),
        chart: Chart::Bars {
            x: Axis::linear(rate.axis, rate.quantity),
            bars,
        },
    })
}

/// What the bars are means of, and what their ends are, where they have any.
pub(super) fn spread(bars: &[Bar]) -> &'static str {
    match bars.iter().any(|bar| bar.interval.is_some()) {
        true => "Means over all trials of a variant with their 95% intervals.",
        false => "One trial each, without intervals.",
    }
}

/// What utilisation is a share of.
fn peaks(findings: &Findings) -> Option<Block> {
    let mut table = Table::new([
        "machine",
        "device",
        "when",
        "matrix product",
        "in bf16",
        "memory copy",
        "why not",
    ]);
    table
        .rows
        .extend(findings.file.calibrations.iter().map(|found| {
            let machine = findings.file.machines.get(found.machine as usize);
            vec![
                machine
                    .map(|machine| machine.class_id.clone())
                    .unwrap_or_default(),
                found.device.clone(),
                if found.at == At::Before {
                    "before"
                } else {
                    "after"
                }
                .to_owned(),
                found
                    .gemm_f32_flops_per_s
                    .map(|peak| FlopsPerSecond(peak).to_string())
                    .unwrap_or_default(),
                found
                    .gemm_bf16_flops_per_s
                    .map(|peak| FlopsPerSecond(peak).to_string())
                    .unwrap_or_default(),
                found
                    .stream_bytes_per_s
                    .map(|peak| format!("{}/s", crate::unit::Bytes(peak)))
                    .unwrap_or_default(),
                found.reason.clone().unwrap_or_default(),
            ]
        }));
    let what = "The machine’s peaks as measured around the run, which utilisation is a share of"
        .to_owned();
    (!table.rows.is_empty()).then(|| Block::Details(what, table.without_empty_columns()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::example::example;

    #[test]
    fn budgets_of_a_variant_share_a_bar() {
        let file = example();
        let findings = Findings::of(&file);
        let cells: Vec<&Cell> = findings.cells.iter().collect();
        let Chart::Bars { bars, .. } = figure(&findings, &cells, &RATES[0], "").unwrap().chart
        else {
            panic!()
        };
        let shape: Vec<(&str, &str)> = bars
            .iter()
            .map(|bar| (bar.name.as_str(), bar.note.as_str()))
            .collect();
        assert_eq!(shape, [("gpt2", "n = 12"), ("modern", "n = 8")]);
    }
}
