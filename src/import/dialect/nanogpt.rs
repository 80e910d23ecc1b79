//! nanoGPT: `step 250: train loss 1.9623, val loss 2.0652` and `iter 260: loss 1.9512, time 41.76ms, mfu 12.34%`.

use super::line::{Before, Cells};
use super::words::{after, count, pairs};

/// Reads a line.
pub fn line(text: &str, _before: &mut Before) -> Option<Cells> {
    let rest = after(text, "step ").or_else(|| after(text, "iter "))?;
    let (step, rest) = count(rest)?;
    let cells = pairs(rest.strip_prefix(':')?, ", ");
    let of_loss =
        |(name, _): &(String, String)| ["loss", "train loss", "val loss"].contains(&name.as_str());
    cells.iter().any(of_loss).then(|| {
        let mut all = vec![("step".to_owned(), step.to_owned())];
        all.extend(cells);
        all
    })
}
