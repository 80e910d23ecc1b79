//! Every cell with every figure.

use crate::analysis::findings::{Cell, Findings};
use crate::record::metric;
use crate::report::page::{Block, Quantity, Table};
use crate::unit::Count;

/// A column: its header, the metric, how it is shown, and whether with its spread.
type Column = (&'static str, &'static str, Quantity, bool);

const COLUMNS: [Column; 32] = [
    (
        "excess (nats)",
        metric::EXCESS_LOSS_NATS,
        Quantity::Nats,
        true,
    ),
    ("val (nats)", metric::VAL_LOSS_NATS, Quantity::Nats, true),
    (
        "before (nats)",
        metric::VAL_LOSS_BEFORE_NATS,
        Quantity::Nats,
        true,
    ),
    ("bits/byte", metric::VAL_BITS_PER_BYTE, Quantity::Nats, true),
    ("perplexity", metric::PERPLEXITY, Quantity::Nats, false),
    (
        "packed (+nats)",
        metric::PACKED_EXCESS_NATS,
        Quantity::Nats,
        true,
    ),
    (
        "packed perplexity",
        metric::PACKED_PERPLEXITY,
        Quantity::Nats,
        false,
    ),
    (
        "packed KL (nats)",
        metric::PACKED_KL_NATS,
        Quantity::Nats,
        false,
    ),
    (
        "packed top-1",
        metric::PACKED_TOP1_AGREEMENT,
        Quantity::Share,
        false,
    ),
    (
        "next token",
        metric::NEXT_TOKEN_ACCURACY,
        Quantity::Share,
        false,
    ),
    ("task", metric::TASK_ACCURACY, Quantity::Share, false),
    ("solved", metric::ANSWER_ACCURACY, Quantity::Share, false),
    (
        "per sample",
        metric::SAMPLE_ACCURACY,
        Quantity::Share,
        false,
    ),
    ("by any", metric::COVERAGE, Quantity::Share, false),
    ("chosen", metric::CHOICE_ACCURACY, Quantity::Share, false),
    (
        "chosen by character",
        metric::CHOICE_ACCURACY_NORM,
        Quantity::Share,
        false,
    ),
    ("MaxVio", metric::MAX_VIOLATION, Quantity::Share, false),
    ("train", metric::TRAIN_WALL_S, Quantity::Seconds, false),
    (
        "tok/s",
        metric::TRAIN_TOKENS_PER_S,
        Quantity::TokensPerSecond,
        false,
    ),
    ("MFU", metric::MFU, Quantity::Share, false),
    ("memory", metric::PEAK_MEMORY_BYTES, Quantity::Bytes, false),
    (
        "prefill tok/s",
        metric::PREFILL_TOKENS_PER_S,
        Quantity::TokensPerSecond,
        false,
    ),
    (
        "decode tok/s",
        metric::DECODE_TOKENS_PER_S,
        Quantity::TokensPerSecond,
        false,
    ),
    (
        "read/step",
        metric::WEIGHTS_READ_BYTES,
        Quantity::Bytes,
        false,
    ),
    (
        "cache read/step",
        metric::CACHE_READ_BYTES,
        Quantity::Bytes,
        false,
    ),
    ("MBU", metric::MBU, Quantity::Share, false),
    ("first token", metric::TTFT_S, Quantity::Seconds, false),
    ("iteration", metric::ITERATION_S, Quantity::Seconds, false),
    (
        "train energy",
        metric::TRAIN_ENERGY_J,
        Quantity::Joules,
        false,
    ),
    (
        "J/train token",
        metric::ENERGY_J_PER_TRAIN_TOKEN,
        Quantity::Joules,
        false,
    ),
    (
        "J/prefill token",
        metric::ENERGY_J_PER_PREFILL_TOKEN,
        Quantity::Joules,
        false,
    ),
    (
        "J/decode token",
        metric::ENERGY_J_PER_DECODE_TOKEN,
        Quantity::Joules,
        false,
    ),
];

pub(super) fn build(findings: &Findings) -> Option<Vec<Block>> {
    let mut table = Table::new(["cell", "n", "params"]);
    table
        .columns
        .extend(COLUMNS.map(|(header, ..)| header.to_owned()));
    table.rows.extend(findings.cells.iter().map(row));
    let note = Block::Text(
        "Means over the repeats that finished; ± is one standard deviation of a repeat.".to_owned(),
    );
    (!table.rows.is_empty()).then(|| vec![note, Block::Table(table.without_empty_columns())])
}

fn row(cell: &Cell) -> Vec<String> {
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
    let figure = |(_, name, quantity, spread): Column| {
        let Some(found) = cell.summary.metrics.get(name) else {
            return String::new();
        };
        let sd = found
            .sd
            .filter(|_| spread)
            .map(|sd| format!(" ± {}", quantity.cell(sd)));
        quantity.cell(found.mean) + &sd.unwrap_or_default()
    };
    [cell.name.clone(), n, params]
        .into_iter()
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
