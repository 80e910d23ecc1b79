//! Google's CLU, as T5X, Flax's examples and Big Vision log: `.. [500] collection=train accuracy=0.21, loss=6.12`, a step between brackets
//! and figures with their names behind it; a collection of another name than the training's is an evaluation.

use super::line::{Before, Cells, push};
use super::words::{count, is_figure};

/// Names of the loss, without what stands before a slash.
const LOSSES: [&str; 8] = [
    "loss",
    "train_loss",
    "training_loss",
    "ce_loss",
    "cross_ent_loss",
    "cross_entropy_loss",
    "loss_per_nonpadding_target_token",
    "loss_per_all_target_tokens",
];

/// Reads a line.
pub fn line(text: &str, _before: &mut Before) -> Option<Cells> {
    let (step, rest) = text.match_indices('[').find_map(|(at, _)| {
        let (step, rest) = count(&text[at + 1..])?;
        Some((step, rest.strip_prefix(']')?.trim_start_matches([' ', ':'])))
    })?;
    let (collection, rest) = match rest.strip_prefix("collection=") {
        Some(named) => named.split_once(char::is_whitespace)?,
        None => ("train", rest),
    };
    let mut cells = Vec::new();
    push(&mut cells, "step", step);
    for pair in rest.split(", ") {
        let (name, value) = pair.split_once('=')?;
        let (name, value) = (name.trim(), value.trim().trim_end_matches(','));
        if name.is_empty() || name.contains(char::is_whitespace) || !is_figure(value) {
            return None;
        }
        let (begin, last) = name.rsplit_once('/').unwrap_or(("", name));
        let judged = !collection.starts_with("train") || is_evaluation(begin);
        match last.strip_prefix("eval_").or(last.strip_prefix("val_")) {
            Some(rest) if LOSSES.contains(&rest) => push(&mut cells, "val_loss", value),
            None if LOSSES.contains(&last) && judged => push(&mut cells, "val_loss", value),
            None if LOSSES.contains(&last) => push(&mut cells, "train_loss", value),
            _ => {}
        }
    }
    // Two names of one loss are two losses, of which neither is it.
    let name = |k: usize| cells.get(k).map(|(name, _)| name.as_str());
    (cells.len() > 1 && (name(1) != name(2))).then_some(cells)
}

/// Whether a heading is an evaluation's: `eval`, `val`, `c4/eval`.
fn is_evaluation(heading: &str) -> bool {
    let words = ["eval", "val", "valid", "validation", "dev", "infer_eval"];
    heading.split('/').any(|part| words.contains(&part))
}
