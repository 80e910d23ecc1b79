//! `step:125/5100 val_loss:5.4789 train_time:19493ms` (modded-nanogpt), `s:250 tel:3.4` (llm.c): a line made of words, one of which
//! is the step. What stands in front of it, such as a time and a level, is no part of it.

use super::line::{Before, Cells};

/// What the step is called.
const STEPS: [&str; 4] = ["step", "s", "iter", "iteration"];

/// Reads a line; `step:125/5100` gives `step` and `steps`.
pub fn line(text: &str, _before: &mut Before) -> Option<Cells> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let first = words.iter().position(|word| {
        word.split_once([':', '='])
            .is_some_and(|(key, _)| STEPS.contains(&key))
    });
    // The step may stand behind other words of its kind, and behind nothing else than what a logger puts in front.
    let begin = words[..first?]
        .iter()
        .rposition(|word| cells_of(word).is_none())
        .map_or(0, |at| at + 1);
    let mut cells = Vec::new();
    for word in &words[begin..] {
        cells.extend(cells_of(word)?);
    }
    (cells.len() > 1).then_some(cells)
}

fn cells_of(word: &str) -> Option<Cells> {
    let (key, value) = word.trim_end_matches(',').split_once([':', '='])?;
    let sound = |c: char| c.is_alphanumeric() || "_-./".contains(c);
    let named = key.starts_with(|c: char| c.is_alphabetic() || c == '_') && key.chars().all(sound);
    if !named || value.is_empty() || value.starts_with('/') {
        return None;
    }
    Some(match value.split_once('/') {
        Some((done, all)) => vec![
            (key.to_owned(), done.to_owned()),
            (format!("{key}s"), all.to_owned()),
        ],
        None => vec![(key.to_owned(), value.to_owned())],
    })
}
