//! What serving a model that exists was seen to cost, in a few words: its tokens a second and its first token, and how both move with
//! what varies: depth, sequences at once, weights.

use crate::analysis::findings::{Cell, Findings};
use crate::record::metric;
use crate::report::page::{Block, Quantity};
use crate::unit::{Seconds, Times};

/// Models that the first words can tell of.
const TOLD: usize = 3;

/// A cell that was served.
#[derive(Clone, Copy)]
struct Served<'a> {
    cell: &'a Cell<'a>,
    depth: f64,
    batch: f64,
    weights: &'a str,
    /// Tokens a second, of all sequences.
    rate: f64,
}

/// The first words of a file in which nothing was trained and models were served.
pub(super) fn lead(findings: &Findings) -> Option<Block> {
    let cells = &findings.cells;
    if cells.iter().any(|cell| cell.train_flops().is_some()) {
        return None;
    }
    let served: Vec<Served> = cells.iter().filter_map(of_cell).collect();
    let of = |variant: &String| {
        let own = served
            .iter()
            .filter(|one| one.cell.any().variant == *variant);
        told(variant, &own.copied().collect::<Vec<_>>())
    };
    let mut said: Vec<String> = findings.variants.iter().filter_map(of).collect();
    let more = said.len().saturating_sub(TOLD);
    said.truncate(TOLD);
    if more > 0 {
        said.push(format!("{more} more stand in the table."));
    }
    (!said.is_empty()).then(|| Block::Lead(said.join(" ")))
}

fn of_cell<'a>(cell: &'a Cell<'a>) -> Option<Served<'a>> {
    let asked = cell.any().asked();
    Some(Served {
        cell,
        depth: asked.served_depth(),
        batch: asked.served_batch(),
        weights: asked.served_weights().unwrap_or("f32"),
        rate: cell.mean(metric::DECODE_TOKENS_PER_S)?,
    })
}

/// The shallowest cell with the fewest sequences, and beside it what lies furthest along each of what varies, all else alike.
fn told(variant: &str, cells: &[Served]) -> Option<String> {
    let by_place = |a: &&Served, b: &&Served| {
        let depth = a.depth.total_cmp(&b.depth);
        depth.then(a.batch.total_cmp(&b.batch))
    };
    let first = cells.iter().min_by(by_place)?;
    let alike = |one: &&Served| one.weights == first.weights;
    let deep = cells
        .iter()
        .filter(|one| alike(one) && one.batch == first.batch && one.depth > first.depth)
        .max_by(by_place);
    let wide = cells
        .iter()
        .filter(|one| alike(one) && one.depth == first.depth && one.batch > first.batch)
        .max_by(by_place);
    let rate = |one: &Served| Quantity::TokensPerSecond.cell(one.rate);
    let beside = |one: &Served| format!("{} ({} times)", rate(one), Times(one.rate / first.rate));
    let mut said = format!("{variant} decodes {} tokens/s", rate(first));
    if first.depth > 0.0 {
        said += &format!(" behind {} tokens", first.depth);
    }
    if first.batch > 1.0 {
        said += &format!(", {} sequences at once", first.batch);
    }
    said += &first_token(first);
    if let Some(deep) = deep {
        let (to, wait) = (deep.depth, first_token(deep));
        said += &format!("; behind {to} tokens {}{wait}", beside(deep));
    }
    if let Some(wide) = wide {
        let all = beside(wide);
        said += &format!("; {} sequences at once {all} in all", wide.batch);
    }
    for other in cells {
        if !alike(&other) && (other.depth, other.batch) == (first.depth, first.batch) {
            said += &format!("; in {} {}", other.weights, beside(other));
        }
    }
    Some(format!("{said} ({}).", first.cell.count()))
}

fn first_token(one: &Served) -> String {
    let wait = one.cell.mean(metric::TTFT_S);
    wait.map_or_else(String::new, |wait_s| {
        format!(", the first after {}", Seconds(wait_s))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::example::example;
    use crate::record::{Metric, ResultFile};
    use serde_json::json;

    /// Cells by depth, sequences at once and weights, with their rates.
    fn file(cells: &[(u64, u64, &str, f64)]) -> ResultFile {
        let mut file = example();
        (file.run.base, file.run.headline) = (None, None);
        file.trials.truncate(1);
        let trial = file.trials.remove(0);
        for (k, (depth, batch, weights, rate)) in cells.iter().enumerate() {
            let mut trial = trial.clone();
            (trial.id, trial.cell) = (format!("{k}"), format!("model/{k}"));
            trial.variant = "model".to_owned();
            trial.spec["infer"] = json!({"depth": depth, "batch": batch, "weights": weights});
            trial.spec_sha256 = crate::record::spec_sha256(&trial.spec);
            trial.cost.as_mut().unwrap().train_flops = 0.0;
            for (name, value) in [
                (metric::DECODE_TOKENS_PER_S, *rate),
                (metric::TTFT_S, 0.2),
                (metric::VAL_LOSS_NATS, 3.0),
            ] {
                trial
                    .metrics
                    .insert(name.to_owned(), Metric::value(name, value));
            }
            file.trials.push(trial);
        }
        file
    }

    #[test]
    fn the_first_words_are_of_what_varies() {
        let rows = [
            (
                vec![(0, 1, "file", 40.0)],
                "model decodes 40 tokens/s, the first after 200 ms (n = 1).",
            ),
            (
                vec![
                    (0, 1, "file", 40.0),
                    (8192, 1, "file", 10.0),
                    (2048, 1, "file", 20.0),
                    (0, 8, "file", 160.0),
                ],
                "model decodes 40 tokens/s, the first after 200 ms; behind 8192 tokens 10 (0.25 times), the first after 200 ms; 8 sequences at \
                 once 160 (4.0 times) in all (n = 1).",
            ),
            (
                vec![
                    (0, 1, "q8_0", 40.0),
                    (0, 1, "f32", 20.0),
                    (0, 8, "f32", 60.0),
                ],
                "model decodes 40 tokens/s, the first after 200 ms; in f32 20 (0.50 times) (n = 1).",
            ),
        ];
        for (cells, expected) in rows {
            let file = file(&cells);
            let Some(Block::Lead(said)) = lead(&Findings::of(&file)) else {
                panic!("{cells:?}")
            };
            assert_eq!(said, expected);
        }
        assert!(lead(&Findings::of(&example())).is_none());
    }

    /// What is equal is not ranked.
    #[test]
    fn one_loss_of_all_cells_is_nobodys_lowest() {
        let file = file(&[(0, 1, "file", 40.0), (8192, 1, "file", 10.0)]);
        let blocks = super::super::answer::build(&Findings::of(&file)).unwrap();
        let text = format!("{blocks:?}");
        assert!(text.contains("The same in all 2 cells: "), "{text}");
        assert!(
            !text.contains("Lowest") && !text.contains("No question"),
            "{text}"
        );
    }
}
