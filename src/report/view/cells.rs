//! Every cell with every figure.

use std::collections::BTreeSet;

use crate::analysis::drafted::guessed;
use crate::analysis::findings::{Cell, Findings};
use crate::record::{Asked, metric};
use crate::report::page::{Block, Quantity, Table};
use crate::unit::Count;

/// What of a metric a column shows.
#[derive(Clone, Copy, PartialEq)]
enum Show {
    /// Its mean over repeats.
    Mean,
    /// With their standard deviation.
    Spread,
    /// The standard error over the text that all repeats are judged by.
    Error,
}

/// A column: its header, the metric, how it is shown, and what of it.
type Column = (&'static str, &'static str, Quantity, Show);

const COLUMNS: [Column; 40] = [
    (
        "excess (nats)",
        metric::EXCESS_LOSS_NATS,
        Quantity::Nats,
        Show::Spread,
    ),
    (
        "val (nats)",
        metric::VAL_LOSS_NATS,
        Quantity::Nats,
        Show::Spread,
    ),
    (
        "before (nats)",
        metric::VAL_LOSS_BEFORE_NATS,
        Quantity::Nats,
        Show::Spread,
    ),
    (
        "mixed in (nats)",
        metric::VAL_LOSS_MIXED_NATS,
        Quantity::Nats,
        Show::Spread,
    ),
    (
        "bits/byte",
        metric::VAL_BITS_PER_BYTE,
        Quantity::Nats,
        Show::Spread,
    ),
    (
        "bits/byte ± text",
        metric::VAL_BITS_PER_BYTE,
        Quantity::Nats,
        Show::Error,
    ),
    ("perplexity", metric::PERPLEXITY, Quantity::Nats, Show::Mean),
    (
        "perplexity ± text",
        metric::PERPLEXITY,
        Quantity::Nats,
        Show::Error,
    ),
    (
        "packed (+nats)",
        metric::PACKED_EXCESS_NATS,
        Quantity::Nats,
        Show::Spread,
    ),
    (
        "packed perplexity",
        metric::PACKED_PERPLEXITY,
        Quantity::Nats,
        Show::Mean,
    ),
    (
        "packed KL (nats)",
        metric::PACKED_KL_NATS,
        Quantity::Nats,
        Show::Mean,
    ),
    (
        "packed top-1",
        metric::PACKED_TOP1_AGREEMENT,
        Quantity::Share,
        Show::Mean,
    ),
    (
        "next token",
        metric::NEXT_TOKEN_ACCURACY,
        Quantity::Share,
        Show::Mean,
    ),
    ("task", metric::TASK_ACCURACY, Quantity::Share, Show::Mean),
    (
        "solved",
        metric::ANSWER_ACCURACY,
        Quantity::Share,
        Show::Mean,
    ),
    (
        "per sample",
        metric::SAMPLE_ACCURACY,
        Quantity::Share,
        Show::Mean,
    ),
    ("by any", metric::COVERAGE, Quantity::Share, Show::Mean),
    (
        "chosen",
        metric::CHOICE_ACCURACY,
        Quantity::Share,
        Show::Mean,
    ),
    (
        "chosen by character",
        metric::CHOICE_ACCURACY_NORM,
        Quantity::Share,
        Show::Mean,
    ),
    ("MaxVio", metric::MAX_VIOLATION, Quantity::Share, Show::Mean),
    ("train", metric::TRAIN_WALL_S, Quantity::Seconds, Show::Mean),
    (
        "tok/s",
        metric::TRAIN_TOKENS_PER_S,
        Quantity::TokensPerSecond,
        Show::Mean,
    ),
    ("MFU", metric::MFU, Quantity::Share, Show::Mean),
    (
        "memory",
        metric::PEAK_MEMORY_BYTES,
        Quantity::Bytes,
        Show::Mean,
    ),
    (
        "prefill tok/s",
        metric::PREFILL_TOKENS_PER_S,
        Quantity::TokensPerSecond,
        Show::Mean,
    ),
    (
        "decode tok/s",
        metric::DECODE_TOKENS_PER_S,
        Quantity::TokensPerSecond,
        Show::Mean,
    ),
    (
        "read/step",
        metric::WEIGHTS_READ_BYTES,
        Quantity::Bytes,
        Show::Mean,
    ),
    (
        "cache read/step",
        metric::CACHE_READ_BYTES,
        Quantity::Bytes,
        Show::Mean,
    ),
    ("MBU", metric::MBU, Quantity::Share, Show::Mean),
    ("first token", metric::TTFT_S, Quantity::Seconds, Show::Mean),
    (
        "iteration",
        metric::ITERATION_S,
        Quantity::Seconds,
        Show::Mean,
    ),
    (
        "train energy",
        metric::TRAIN_ENERGY_J,
        Quantity::Joules,
        Show::Mean,
    ),
    (
        "J/train token",
        metric::ENERGY_J_PER_TRAIN_TOKEN,
        Quantity::Joules,
        Show::Mean,
    ),
    (
        "J/prefill token",
        metric::ENERGY_J_PER_PREFILL_TOKEN,
        Quantity::Joules,
        Show::Mean,
    ),
    (
        "J/decode token",
        metric::ENERGY_J_PER_DECODE_TOKEN,
        Quantity::Joules,
        Show::Mean,
    ),
    (
        "drafted tok/s",
        metric::SPECULATIVE_TOKENS_PER_S,
        Quantity::TokensPerSecond,
        Show::Mean,
    ),
    (
        "draft speed-up",
        metric::SPECULATIVE_SPEEDUP,
        Quantity::Times,
        Show::Mean,
    ),
    (
        "guesses taken",
        metric::DRAFT_ACCEPTANCE,
        Quantity::Share,
        Show::Mean,
    ),
    (
        "tokens/judging pass",
        metric::TOKENS_PER_PASS,
        Quantity::Times,
        Show::Mean,
    ),
    (
        "J/drafted token",
        metric::ENERGY_J_PER_SPECULATIVE_TOKEN,
        Quantity::Joules,
        Show::Mean,
    ),
];

pub(super) fn build(findings: &Findings) -> Option<Vec<Block>> {
    let mut table = Table::new(["cell", "n", "params"]);
    let settings = varying(findings);
    table
        .columns
        .extend(settings.iter().map(|(header, _)| (*header).to_owned()));
    table
        .columns
        .extend(COLUMNS.map(|(header, ..)| header.to_owned()));
    let rows = findings.cells.iter().map(|cell| row(cell, &settings));
    table.rows.extend(rows);
    let once = |cell: &Cell| cell.summary.finished() < 2;
    let note = match findings.cells.iter().all(once) {
        true => "One repeat of each cell, without any spread.",
        false => "Means over the repeats that finished; ± is one standard deviation of a repeat.",
    };
    let note = Block::Text(note.to_owned());
    let rows = !table.rows.is_empty();
    let mut blocks = vec![note, Block::Table(table.without_empty_columns())];
    blocks.extend(of_text(findings));
    blocks.extend(withheld(findings));
    rows.then_some(blocks)
}

/// What the errors over a text are over.
fn of_text(findings: &Findings) -> Option<Block> {
    let of = |cell: &Cell| {
        let found = cell.summary.metrics.get(metric::VAL_BITS_PER_BYTE)?;
        found.se.and(found.se_parts)
    };
    let parts: BTreeSet<u64> = findings.cells.iter().filter_map(of).collect();
    let (least, most) = (parts.first()?, parts.last()?);
    let range = match least == most {
        true => format!("n = {least}"),
        false => format!("n = {least} to {most}"),
    };
    Some(Block::Text(format!(
        "± text is the standard error over the validation text, which all repeats share: over blocks of neighbouring windows ({range})."
    )))
}

/// Why a share of a peak is missing where both its rate and a peak are there.
fn withheld(findings: &Findings) -> impl Iterator<Item = Block> {
    let shares = [
        ("MFU", metric::MFU, metric::TRAIN_TOKENS_PER_S),
        ("MBU", metric::MBU, metric::DECODE_TOKENS_PER_S),
    ];
    let calibrated = !findings.file.calibrations.is_empty();
    let trials = || findings.cells.iter().flat_map(Cell::finished);
    shares.into_iter().filter_map(move |(name, share, rate)| {
        let without: Vec<&str> = trials()
            .filter(|trial| calibrated && trial.metric(rate).is_some())
            .filter_map(|trial| trial.metrics.get(share)?.reason.as_deref())
            .collect();
        let why = without.first()?;
        let all = trials()
            .filter(|trial| trial.metric(rate).is_some())
            .count();
        Some(Block::Text(format!(
            "No {name} of {} of {all} trials: {why}.",
            without.len()
        )))
    })
}

/// A setting of serving, by its header.
type Setting = (&'static str, fn(Asked) -> Option<String>);

const SETTINGS: [Setting; 5] = [
    ("depth", |asked| Some(asked.served_depth().to_string())),
    ("at once", |asked| Some(asked.served_batch().to_string())),
    ("prompt", |asked| Some(asked.served_prompt()?.to_string())),
    ("generated", |asked| Some(asked.generated()?.to_string())),
    ("weights", |asked| {
        Some(asked.served_weights().unwrap_or("f32").to_owned())
    }),
];

/// Settings of serving that are not the same in all cells: a cell's name need not say them.
fn varying(findings: &Findings) -> Vec<Setting> {
    let differ = |(_, of): &Setting| {
        let mut values = findings.cells.iter().map(|cell| of(cell.any().asked()));
        let first = values.next();
        values.any(|value| Some(value) != first)
    };
    SETTINGS.into_iter().filter(differ).collect()
}

fn row(cell: &Cell, settings: &[Setting]) -> Vec<String> {
    let (finished, trials) = (cell.summary.finished(), cell.summary.trials());
    let n = if finished == trials {
        trials.to_string()
    } else {
        format!("{finished} of {trials}")
    };
    let params = cell
        .summary
        .params_total
        .map(|n| Count(n as f64).to_string())
        .unwrap_or_default();
    let drafted = guessed(cell);
    let figure = |(_, name, quantity, show): Column| {
        // As the section about guesses has them: of all repeats together.
        if let Some(found) = drafted.as_ref().and_then(|one| one.figure(name)) {
            return quantity.cell(found);
        }
        let Some(found) = cell.summary.metrics.get(name) else {
            return String::new();
        };
        if show == Show::Error {
            return found.se.map(|se| quantity.cell(se)).unwrap_or_default();
        }
        let sd = found
            .sd
            .filter(|_| show == Show::Spread)
            .map(|sd| format!(" ± {}", quantity.cell(sd)));
        quantity.cell(found.mean) + &sd.unwrap_or_default()
    };
    let asked = cell.any().asked();
    let settings = settings.iter().map(|(_, of)| of(asked).unwrap_or_default());
    [cell.name.clone(), n, params]
        .into_iter()
        .chain(settings)
        .chain(COLUMNS.map(figure))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::example::example;

    #[test]
    fn every_metric_that_a_trial_can_have_a_reader_can_find() {
        let left_out = [
            metric::TRAIN_STEP_S,
            metric::TRAIN_LOSS_NATS,
            metric::ORACLE_LOSS_NATS,
            metric::STEP_OPS,
            metric::STEP_TENSOR_BYTES,
        ];
        for row in metric::REGISTRY
            .iter()
            .filter(|row| !left_out.contains(&row.name))
        {
            assert!(
                COLUMNS.iter().any(|(_, name, ..)| *name == row.name),
                "{} has no column",
                row.name
            );
        }
    }

    #[test]
    fn a_row_has_spread_and_count() {
        let file = example();
        let Block::Table(table) = build(&Findings::of(&file)).unwrap().remove(1) else {
            panic!()
        };
        assert_eq!(
            table.rows[0][..4],
            ["gpt2/w32@400", "4", "30 k", "1.400 ± 0.007"]
        );
        assert!(!table.columns.iter().any(|column| column == "J/train token"));
    }
}
