//! Marian: `Ep. 1 : Up. 500 : Sen. 12,345 : Cost 8.12 * 345,678 @ 1,234 after 691,356 : Time 60.12s : ..`, a cost of a label, and
//! `[valid] Ep. 1 : Up. 1000 : ce-mean-words : 6.90 : new best`. A cost without its labels is one of sentences, and no loss of text.

use super::line::{Before, Cells, push};

/// Reads a line.
pub fn line(text: &str, _before: &mut Before) -> Option<Cells> {
    let (_, rest) = text.split_once(" : Up. ")?;
    let mut parts = rest.split(" : ");
    let mut cells = Vec::new();
    push(&mut cells, "step", parts.next()?.trim());
    if text.contains("[valid]") {
        let column = match parts.next()? {
            "ce-mean-words" => "val_loss",
            "perplexity" => "val perplexity",
            _ => return Some(Vec::new()),
        };
        push(&mut cells, column, parts.next()?.trim());
        return Some(cells);
    }
    let (cost, labels) = parts
        .find_map(|part| part.strip_prefix("Cost "))?
        .split_once(" * ")?;
    push(&mut cells, "train_loss", cost.trim());
    if let Some((_, tokens)) = labels.rsplit_once("after ") {
        push(&mut cells, "tokens", tokens.trim());
    }
    Some(cells)
}
