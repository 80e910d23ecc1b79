//! Megatron-LM: `[time] iteration 100/ 500000 | consumed samples: 25600 | elapsed time per iteration (ms): 512.3 | lm loss: 7.1E+00 |`
//! and `validation loss at iteration 1000 | lm loss value: 2.1E+00 | lm loss PPL: 8.2E+00 |`; GPT-NeoX:
//! `samples/sec: 26.5 | iteration 10/ 143000 | .. | lm_loss: 1.1E+01 |` and `validation results at iteration 10 | lm_loss value: ..`. What
//! a test set gives is passed over.

use super::line::{Before, Cells};
use super::words::{after, count, pairs};

/// Reads a line.
pub fn line(text: &str, _before: &mut Before) -> Option<Cells> {
    let (mut head, mut rest) = text.split_once('|')?;
    if head.contains("samples/sec") {
        (head, rest) = rest.split_once('|')?;
    }
    let (step, of) = count(after(head, "iteration")?.trim_start())?;
    if head.contains("test") {
        return None;
    }
    let judged = head.contains("valid");
    let mut cells = vec![("step".to_owned(), step.to_owned())];
    let planned = of.trim_start().strip_prefix('/');
    if let Some((steps, _)) = planned.and_then(|of| count(of.trim_start())) {
        cells.push(("steps".to_owned(), steps.to_owned()));
    }
    for (name, value) in pairs(rest, "|") {
        cells.push(match (name.as_str(), judged) {
            ("lm loss" | "lm_loss" | "loss", false) => ("loss".to_owned(), value),
            ("lm loss value" | "lm_loss value" | "loss value" | "lm loss", true) => {
                ("val loss".to_owned(), value)
            }
            // The same loss in another unit.
            ("lm loss PPL" | "lm_loss_ppl value" | "loss PPL", true) => continue,
            ("consumed tokens", _) => ("tokens".to_owned(), value),
            _ => (name, value),
        });
    }
    let of_loss = |(name, _): &(String, String)| name == "loss" || name == "val loss";
    cells.iter().any(of_loss).then_some(cells)
}
