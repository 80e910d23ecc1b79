//! Composer and LLM Foundry: `[batch=366/48000]:` and below it, a line each, `Train loss/train/total: 10.375`,
//! `Train time/token: 382730240`, `Eval metrics/eval/LanguageCrossEntropy: 9.5`. A batch ends where the next begins.

use super::line::{Before, Cells, begun, cell_of, push};
use super::words::{count, is_figure};

/// Reads a line.
pub fn line(text: &str, before: &mut Before) -> Option<Cells> {
    if let Some((_, rest)) = text.split_once("[batch=") {
        let (step, of) = count(rest)?;
        let mut cells = vec![("step".to_owned(), step.to_owned())];
        if let Some((steps, _)) = of.strip_prefix('/').and_then(count) {
            cells.push(("steps".to_owned(), steps.to_owned()));
        }
        return Some(begun(before, cells));
    }
    let (name, value) = text.rsplit_once(": ")?;
    // A launcher may say in front whose line it is: `0: Train ..`.
    let name = name.rsplit(':').next()?.trim();
    let (of, metric) = name.split_once(' ')?;
    let held = before.held.as_mut().filter(|_| is_figure(value))?;
    let value = value.trim();
    match (of, metric) {
        // The total may hold more than the cross-entropy, and stands for it where it is all there is.
        ("Train", "metrics/train/LanguageCrossEntropy" | "LanguageCrossEntropy") => {
            held.retain(|(known, _)| known != "train_loss");
            push(held, "train_loss", value);
        }
        ("Train", "loss/train/total") if cell_of(held, "train_loss").is_none() => {
            push(held, "train_loss", value);
        }
        // Batches and tokens before this one.
        ("Train", "time/batch") => push(held, "batches before", value),
        ("Train", "time/token") => tokens(held, value),
        ("Eval", _) => judged(held, metric, value),
        ("Train", _) => {}
        _ => return None,
    }
    Some(Vec::new())
}

/// Tokens of a batch, of all that were before this one.
fn tokens(held: &mut Cells, value: &str) {
    let batches = cell_of(held, "batches before").and_then(|batches| batches.parse::<f64>().ok());
    if let (Some(batches), Ok(tokens)) = (batches.filter(|b| *b > 0.0), value.parse::<f64>()) {
        push(held, "tokens_per_step", &(tokens / batches).to_string());
    }
}

/// `metrics/eval/LanguageCrossEntropy`, `metrics/c4/LanguageCrossEntropyLoss`, before them `LanguageCrossEntropy`.
fn judged(held: &mut Cells, metric: &str, value: &str) {
    let of_set = metric
        .trim_end_matches("Loss")
        .strip_suffix("LanguageCrossEntropy");
    match of_set.map(|set| set.trim_start_matches("metrics/").trim_end_matches('/')) {
        Some("" | "eval") => push(held, "val_loss", value),
        Some(set) => push(held, &format!("eval {set} loss"), value),
        None => {}
    }
}
