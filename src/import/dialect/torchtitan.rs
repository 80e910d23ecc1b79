//! torchtitan: `[rank0]:[titan] 2025-01-31 12:00:00,123 - root - INFO - step: 10  loss:  7.1234  memory: 47.60GiB(50.1%)  tps: 3,000`,
//! and `validate step: 10  loss:  7.0`.

use super::line::{Before, Cells};
use super::words::is_figure;

/// Reads a line.
pub fn line(text: &str, _before: &mut Before) -> Option<Cells> {
    let at = text.find("step:")?;
    let judged = text[..at].trim_end().ends_with("validate");
    let mut words = text[at..].split_whitespace();
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
            // Of one device, not of the training.
            "tps" => "tps of a device",
            key => key,
        };
        if is_figure(value) && !cells.iter().any(|(known, _)| known == key) {
            cells.push((key.to_owned(), value.to_owned()));
        }
    }
    let has = |name: &str| cells.iter().any(|(known, _)| known == name);
    (has("step") && (has("loss") || has("val loss"))).then_some(cells)
}
