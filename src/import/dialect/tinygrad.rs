//! tinygrad's examples: `   10   456.12 ms run, .., 8.09 loss, 0.000100 LR, 12.31 GB used, 61234.12 GFLOPS`, and `eval .. 1.23 val_loss
//! STEP=  98 (in 123 ms)`.

use super::line::{Before, Cells, push};
use super::words::count;

/// Reads a line.
pub fn line(text: &str, _before: &mut Before) -> Option<Cells> {
    let figure = |name: &str| {
        let at = text.find(name)?;
        let figure = text[..at].trim_end().rsplit([' ', ',']).next()?;
        figure.parse::<f64>().ok().map(|_| figure)
    };
    let mut cells = Vec::new();
    if let Some((_, rest)) = text.split_once(" val_loss STEP=") {
        push(&mut cells, "step", count(rest.trim_start())?.0);
        push(&mut cells, "val_loss", figure(" val_loss")?);
        return Some(cells);
    }
    let (step, rest) = count(text.trim_start())?;
    let ran = [" ms run,", " s run,"].iter().any(|ran| rest.contains(ran));
    if !ran || !rest.contains("GFLOPS") {
        return None;
    }
    push(&mut cells, "step", step);
    push(&mut cells, "train_loss", figure(" loss,")?);
    Some(cells)
}
