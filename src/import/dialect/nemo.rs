//! NeMo: `Training epoch 0, iteration 120/149 | lr: 3e-05 | global_step: 120 | reduced_train_loss: 1.233 | val_loss: 4.106`. The
//! `val_loss` is printed again with every step: it is read where it changes, which is the step behind its validation.

use super::line::{Before, Cells, cell_of};
use super::words::{after, count, pairs};

/// Reads a line.
pub fn line(text: &str, before: &mut Before) -> Option<Cells> {
    let (head, rest) = text.split_once('|')?;
    if !head.contains("epoch") {
        return None;
    }
    let (iteration, _) = count(after(head, "iteration")?.trim_start())?;
    let said = pairs(rest, "|");
    let step = cell_of(&said, "global_step").unwrap_or(iteration);
    let trained = cell_of(&said, "reduced_train_loss").or_else(|| cell_of(&said, "train_loss"));
    let judged = cell_of(&said, "val_loss").filter(|loss| before.judged.as_deref() != Some(loss));
    let mut cells = vec![("step".to_owned(), step.to_owned())];
    for (name, loss) in [("train_loss", trained), ("val_loss", judged)] {
        cells.extend(loss.map(|loss| (name.to_owned(), loss.to_owned())));
    }
    if let Some(loss) = judged {
        before.judged = Some(loss.to_owned());
    }
    (cells.len() > 1).then_some(cells)
}
