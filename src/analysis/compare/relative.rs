//! Between machines of different kinds seconds and joules say nothing about the program; what says something is a ratio
//! inside each machine: of the cell to a reference variant there, or to the machine's calibration of the same bottleneck.
//! Both are shown and never gated.

use std::collections::BTreeMap;

use super::effect::{Method, unpaired};
use super::matching::{Seen, Setting, Side};
use super::measure::{Measure, Scale, catalog};
use super::row::{Relative, Row};
use crate::record::metric;
use crate::stat::mean;

/// A side's trials by cell.
type Cells<'a> = BTreeMap<&'a str, Vec<Seen<'a>>>;

/// Fills the rows that only compare within machines.
pub(super) fn fill(rows: &mut [Row], base: &Side, new: &Side, reference: Option<&str>) {
    let wanted =
        |row: &Row| row.method == Method::WithinMachines && row.setting == Setting::OtherMachine;
    if !rows.iter().any(wanted) {
        return;
    }
    let (catalog, sides) = (catalog(), [base, new].map(cells));
    for row in rows.iter_mut().filter(|row| wanted(row)) {
        let Some(measure) = catalog.iter().find(|measure| measure.name == row.metric) else {
            continue;
        };
        let Some(trials) = both(&sides, &row.cell) else {
            continue;
        };
        let reference = reference.or_else(|| trials[0].first()?.file.run.base.as_deref());
        let own = trials[0].first().map(|seen| seen.trial.variant.as_str());
        let reference = reference.filter(|name| Some(*name) != own);
        row.relative = Some(Relative {
            reference: reference.map(str::to_owned),
            against_reference: reference.and_then(|name| {
                let logs =
                    [0, 1].map(|side| over_reference(&trials[side], &sides[side], measure, name));
                unpaired(Scale::Difference, &logs[0], &logs[1])?
                    .estimate()
                    .map(exponential)
            }),
            normalised: normalised(&trials, measure),
        });
    }
}

fn exponential(mut estimate: crate::stat::Estimate) -> crate::stat::Estimate {
    estimate.value = estimate.value.exp();
    if let Some(interval) = &mut estimate.interval {
        (interval.low, interval.high) = (interval.low.exp(), interval.high.exp());
    }
    estimate
}

fn cells<'a>(side: &Side<'a>) -> Cells<'a> {
    let mut cells = Cells::new();
    for seen in side.trials.iter().filter(|seen| seen.counts()) {
        cells.entry(&seen.trial.cell).or_default().push(*seen);
    }
    cells
}

/// The trials of a cell on both sides; of a variant against another the name holds both.
fn both<'a>(sides: &[Cells<'a>; 2], cell: &str) -> Option<[Vec<Seen<'a>>; 2]> {
    let (new, base) = cell.split_once(" against ").unwrap_or((cell, cell));
    Some([sides[0].get(base)?.clone(), sides[1].get(new)?.clone()])
}

/// Logarithms of a cell's figure over the reference's at the same scale, budget and repeat.
fn over_reference(trials: &[Seen], cells: &Cells, measure: &Measure, reference: &str) -> Vec<f64> {
    let log = |seen: &Seen| {
        measure
            .value(seen.trial)
            .filter(|value| *value > 0.0)
            .map(f64::ln)
    };
    let ratio = |seen: &Seen| {
        let rest = seen.trial.cell.strip_prefix(seen.trial.variant.as_str())?;
        let others = cells.get(format!("{reference}{rest}").as_str())?;
        let same = |other: &&Seen| {
            other.trial.repeat == seen.trial.repeat && other.session() == seen.session()
        };
        Some(log(seen)? - log(others.iter().find(same)?)?)
    };
    trials.iter().filter_map(ratio).collect()
}

/// The mean figure over the calibration that bounds it: decoding by the memory's stream, everything else by products of
/// matrices; a duration times the calibration.
fn normalised(trials: &[Vec<Seen>; 2], measure: &Measure) -> Option<f64> {
    let of = |side: &[Seen]| {
        let logs =
            |values: Vec<f64>| mean(&values.iter().map(|value| value.ln()).collect::<Vec<_>>());
        let figure = logs(
            side.iter()
                .filter_map(|seen| measure.value(seen.trial))
                .filter(|v| *v > 0.0)
                .collect(),
        )?;
        let file = side.first()?.file;
        let stream = matches!(measure.name, metric::DECODE_TOKENS_PER_S | metric::TTFT_S);
        let probes = file.calibrations.iter().filter_map(|row| {
            if stream {
                row.stream_bytes_per_s
            } else {
                row.gemm_f32_flops_per_s
            }
        });
        let calibration = logs(probes.collect())?;
        Some(
            figure
                + if measure.unit == "s" {
                    calibration
                } else {
                    -calibration
                },
        )
    };
    let comparable = matches!(measure.unit, "s" | "tokens/s");
    if comparable {
        Some((of(&trials[1])? - of(&trials[0])?).exp())
    } else {
        None
    }
}
