//! nanoGPT: `step 250: train loss 1.9623, val loss 2.0652` and `iter 260: loss 1.9512, time 41.76ms, mfu 12.34%`; llama2.c:
//! `260 | loss 5.7543 | lr 4.9e-05 | 8060.78ms | mfu 0.21%`; mlx-lm: `Iter 10: Train loss 4.040, .., Trained Tokens 1656`.

use super::line::{Before, Cells};
use super::words::{after, count, pairs};

/// Reads a line.
pub fn line(text: &str, _before: &mut Before) -> Option<Cells> {
    // TensorFlow's estimators end with `Saving dict for global step 200: loss = 3.61`.
    if text.contains("Saving dict for global step") {
        return None;
    }
    let (step, cells) = match text.split_once(" | loss ") {
        // What stands before the bar is the step alone.
        Some((step, _)) if count(step.trim())?.1.is_empty() => (step.trim(), pairs(text, "|")),
        _ => {
            let (iter, step) = (after(text, "iter "), after(text, "step "));
            // LitGPT's lines say both.
            let both = iter.is_some_and(|rest| after(rest, "step ").is_some());
            let rest = step.or(iter).filter(|_| !both)?;
            let (step, rest) = count(rest)?;
            (step, pairs(rest.strip_prefix(':')?, ", "))
        }
    };
    let of_loss = |(name, _): &(String, String)| {
        ["loss", "train loss", "val loss"].contains(&name.to_ascii_lowercase().as_str())
    };
    cells.iter().any(of_loss).then(|| {
        let mut all = vec![("step".to_owned(), step.to_owned())];
        all.extend(cells);
        all
    })
}
