//! Programs that count batches within epochs and say how many an epoch has: PyTorch's word_language_model, AWD-LSTM and muP's example
//! (`| epoch   1 |   200/ 2983 batches | lr 20.00 | ms/batch 7.12 | loss  7.63 | ppl  2056.30`, `| end of epoch   1 | .. | valid loss
//! 5.66 |`) and minGPT of 2020 (`epoch 1 iter 4325: train loss 1.20. lr 6e-04: 100%|###| 4326/4326 [..`, `test loss: 1.30`). A step is
//! the epochs before it and the batches of its own.

use super::line::{Before, Cells, push};
use super::words::{after, count, is_figure};

/// Reads a line or a frame.
pub fn line(text: &str, before: &mut Before) -> Option<Cells> {
    let bars = text
        .trim()
        .strip_prefix('|')
        .and_then(|text| table(text, before));
    bars.or_else(|| mingpt(text, before))
}

/// The step at the end of an epoch, from 1, of so many batches.
fn step_of(epoch: u64, done: u64, all: u64) -> Option<u64> {
    epoch.checked_sub(1)?.checked_mul(all)?.checked_add(done)
}

fn row(step: u64, name: &str, loss: &str) -> Option<Cells> {
    let mut cells = Vec::new();
    push(&mut cells, "step", &step.to_string());
    push(&mut cells, name, loss);
    is_figure(loss).then_some(cells)
}

fn table(text: &str, before: &mut Before) -> Option<Cells> {
    let parts: Vec<&str> = text.split('|').map(str::trim).collect();
    let behind = |name: &str| {
        let found = parts.iter().find_map(|part| part.strip_prefix(name));
        found.map(str::trim)
    };
    if let Some(epoch) = behind("end of epoch") {
        let epoch: u64 = epoch.parse().ok()?;
        let batches = before.length? as u64;
        return row(
            step_of(epoch, batches, batches)?,
            "val_loss",
            behind("valid loss")?,
        );
    }
    let epoch: u64 = behind("epoch")?.parse().ok()?;
    let batches = parts.iter().find_map(|part| part.strip_suffix("batches"))?;
    let (done, all) = batches.split_once('/')?;
    let (done, all): (u64, u64) = (done.trim().parse().ok()?, all.trim().parse().ok()?);
    before.length = Some(all as f64);
    row(step_of(epoch, done, all)?, "train_loss", behind("loss")?)
}

fn mingpt(text: &str, before: &mut Before) -> Option<Cells> {
    if let Some(loss) = after(text, "test loss:") {
        let step = before.step.clone()?.parse().ok()?;
        return row(step, "val_loss", loss.trim());
    }
    let (epoch, rest) = count(text.trim_start().strip_prefix("epoch ")?)?;
    let (iter, rest) = count(rest.strip_prefix(" iter ")?)?;
    let (loss, rest) = rest.strip_prefix(": train loss ")?.split_once(". lr ")?;
    let counts = rest.rsplit_once(" [")?.0.rsplit(['|', ' ']).next()?;
    let all: u64 = counts.split_once('/')?.1.parse().ok()?;
    let step = step_of(
        epoch.parse().ok()?,
        iter.parse::<u64>().ok()?.checked_add(1)?,
        all,
    )?;
    // A bar is drawn again where nothing went on.
    if before.step.replace(step.to_string()) == Some(step.to_string()) {
        return Some(Vec::new());
    }
    row(step, "train_loss", loss)
}
