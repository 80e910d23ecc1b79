//! torchtitan: `[rank0]:[titan] 2025-01-31 12:00:00,123 - root - INFO - step: 10  loss:  7.1234  memory: 47.60GiB(50.1%)  tps: 3,000`,
//! and `validate step: 10  loss:  7.0`. flame's say the time below each step: `lr: 2.9e-07 gnorm:  4.21 [ 0:00:21<5 days, 4:12:33]`.

use super::line::{Before, Cells, begun, push};
use super::words::is_figure;

/// Reads a line; a step is a row where the next begins.
pub fn line(text: &str, before: &mut Before) -> Option<Cells> {
    if let Some(elapsed) = elapsed(text)
        && !text.contains("step:")
    {
        push(before.held.as_mut()?, "elapsed", elapsed);
        return Some(Vec::new());
    }
    step(text).map(|cells| begun(before, cells))
}

/// What stands before the time that is left, between brackets.
fn elapsed(text: &str) -> Option<&str> {
    let (head, rest) = text.trim_end().rsplit_once('[')?;
    let (elapsed, _) = rest.strip_suffix(']')?.split_once('<')?;
    let elapsed = elapsed.trim();
    (head.contains("gnorm:") && is_figure(elapsed)).then_some(elapsed)
}

fn step(text: &str) -> Option<Cells> {
    let at = text.find("step:")?;
    let judged = text[..at].trim_end().ends_with("validate");
    let elapsed = elapsed(text);
    let end = elapsed.and_then(|_| text.rfind('[')).unwrap_or(text.len());
    let mut words = text.get(at..end)?.split_whitespace();
    let mut cells = Vec::new();
    while let Some(word) = words.next() {
        // The key and its figure may stand together or apart.
        let (key, value) = match word.split_once(':')? {
            (key, "") => (key, words.next()?),
            both => both,
        };
        // Between its figures torchtitan sets blanks only; MaxText's line is alike, but for the commas.
        if value.ends_with(',') {
            return None;
        }
        let key = match key {
            "loss" if judged => "val loss",
            "global_avg_loss" => "loss",
            "token" => "tokens",
            // Of one device, not of the training.
            "tps" => "tps of a device",
            key => key,
        };
        if is_figure(value) && !cells.iter().any(|(known, _)| known == key) {
            cells.push((key.to_owned(), value.to_owned()));
        }
    }
    if let Some(elapsed) = elapsed {
        push(&mut cells, "elapsed", elapsed);
    }
    let has = |name: &str| cells.iter().any(|(known, _)| known == name);
    (has("step") && (has("loss") || has("val loss"))).then_some(cells)
}
