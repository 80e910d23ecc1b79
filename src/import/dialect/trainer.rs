//! Hugging Face's Trainer: `{'loss': 2.31, 'grad_norm': 1.2, 'learning_rate': 5e-05, 'epoch': 0.5}` and `{'eval_loss': 2.2, ..}` between
//! the frames of a progress bar, `5%|5         | 500/10000 [01:23<26:00, 6.1it/s]`, which alone say the step. The bar of an evaluation
//! has a smaller end than the training's.

use super::line::{Before, Cells};
use super::words::is_figure;

/// What the Trainer prints once at the end, means over the whole run.
const SUMMARY: &str = "train_runtime";

/// Reads a line.
pub fn line(text: &str, before: &mut Before) -> Option<Cells> {
    let (bars, dict) = match text.find("{'") {
        Some(at) => (&text[..at], Some(&text[at..])),
        None => (text, None),
    };
    for (done, all) in frames(bars) {
        if all >= before.end {
            before.end = all;
            before.step = Some(done.to_string());
        }
    }
    let dict = dict?.strip_prefix('{')?;
    let dict = &dict[..dict.find('}')?];
    let mut cells: Cells = Vec::new();
    for pair in dict.split(", '") {
        let (name, value) = pair.split_once("':")?;
        let value = value.trim().trim_matches(['\'', '"']);
        if is_figure(value) {
            cells.push((name.trim_start_matches('\'').to_owned(), value.to_owned()));
        }
    }
    let has = |name: &str| cells.iter().any(|(known, _)| known == name);
    if has(SUMMARY) || !(has("loss") || has("eval_loss")) {
        return None;
    }
    if let Some(step) = &before.step {
        cells.insert(0, ("step".to_owned(), step.clone()));
    }
    Some(cells)
}

/// The frames of progress bars in a text, each with what is done and how much there is: `| 500/10000 [`.
fn frames(text: &str) -> impl Iterator<Item = (u64, u64)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            let (before, behind) = rest.split_once(" [")?;
            rest = behind;
            let word = before.rsplit([' ', '|']).next().unwrap_or_default();
            let parts = word.split_once('/');
            let counts =
                parts.and_then(|(done, all)| Some((done.parse().ok()?, all.parse().ok()?)));
            if counts.is_some() {
                return counts;
            }
        }
    })
}
