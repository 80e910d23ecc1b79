//! How long somebody waits who is served: percentiles of the first token and of those after it, as inference benchmarks ask for them.

use crate::analysis::findings::{Cell, Findings};
use crate::record::{Status, Trial, metric};
use crate::report::page::{Block, Table};
use crate::stat::quantile;
use crate::unit::Seconds;

/// As MLPerf Inference reports them.
const PERCENTILES: [f64; 3] = [0.5, 0.9, 0.99];
/// Fewer samples say nothing of the slowest of a hundred.
const ENOUGH: usize = 100;

/// A row a cell, where anything was served.
pub(super) fn blocks(findings: &Findings) -> Vec<Block> {
    let mut table = Table::new([
        "cell",
        "prompts",
        "first token p50",
        "p90",
        "p99",
        "tokens",
        "next token p50",
        "p90",
        "p99",
    ]);
    findings.cells.iter().for_each(|cell| row(&mut table, cell));
    if table.rows.is_empty() {
        return Vec::new();
    }
    let what = format!(
        "Percentiles over all samples of all repeats, a sequence's or a batch's wait; `-` where fewer than {ENOUGH} samples say nothing of the \
         slowest in a hundred. One request at a time: the next begins when the last has ended."
    );
    vec![Block::Table(table), Block::Text(what)]
}

fn row(table: &mut Table, cell: &Cell) {
    let ok = cell
        .trials
        .iter()
        .filter(|trial| trial.status == Status::Ok);
    let (mut first_s, mut next_s) = (Vec::new(), Vec::new());
    for trial in ok {
        first_s.extend(samples(trial, metric::TTFT_S));
        // A batch's tokens come together: one of each sequence.
        let batch = trial.asked().served_batch();
        let rates = samples(trial, metric::DECODE_TOKENS_PER_S);
        next_s.extend(rates.iter().map(|rate| batch / rate));
    }
    if first_s.is_empty() && next_s.is_empty() {
        return;
    }
    let mut cells = vec![cell.name.clone()];
    for sample in [first_s, next_s] {
        cells.push(sample.len().to_string());
        cells.extend(PERCENTILES.map(|p| shown(&sample, p)));
    }
    table.row(cells);
}

fn samples(trial: &Trial, name: &str) -> Vec<f64> {
    let metric = trial.metrics.get(name);
    metric.map_or_else(Vec::new, |metric| metric.samples.clone())
}

fn shown(sample_s: &[f64], p: f64) -> String {
    let known = p < 0.95 || sample_s.len() >= ENOUGH;
    let found = quantile(sample_s, p).filter(|_| known);
    found.map_or_else(|| "-".to_owned(), |seconds| Seconds(seconds).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Metric;
    use crate::record::example::example;
    use serde_json::json;

    #[test]
    fn waits_are_percentiles_of_all_samples() {
        let mut file = example();
        for trial in &mut file.trials {
            trial.spec["infer"] = json!({"batch": 4});
            let first_s: Vec<f64> = (1..=60).map(|k| 1e-3 * f64::from(k)).collect();
            let rates = vec![1000.0; 20];
            for (name, samples) in [
                (metric::TTFT_S, first_s),
                (metric::DECODE_TOKENS_PER_S, rates),
            ] {
                let metric = Metric::samples(name, samples[0], samples);
                trial.metrics.insert(name.to_owned(), metric);
            }
        }
        let name = file.trials[0].cell.clone();
        file.trials.retain(|trial| trial.cell == name);
        file.trials.truncate(2);
        let found = blocks(&Findings::of(&file));
        let Block::Table(table) = &found[0] else {
            panic!()
        };
        // 120 first tokens from 1 to 60 ms; 40 steps of 4 tokens at 1,000 a second.
        let expected = [
            "120", "30 ms", "54 ms", "60 ms", "40", "4.0 ms", "4.0 ms", "-",
        ];
        assert_eq!(table.rows[0][1..], expected);
    }
}
