//! MMEngine and MMCV (XTuner): `Iter(train) [1010/2046]  lr: 1e-04  eta: 0:56:54  time: 2.9  loss: 0.7775`, and within epochs
//! `Epoch [10][580/1730]  lr: .., loss: 2.66`, where a step is the epochs before it and the batches of its own.

use super::line::{Before, Cells, push};
use super::words::is_figure;

/// Before the counts of a line of training.
const MARKS: [&str; 4] = ["Iter(train)", "Epoch(train)", "Iter", "Epoch"];

/// Reads a line.
pub fn line(text: &str, _before: &mut Before) -> Option<Cells> {
    let mark = MARKS.iter().find_map(|mark| {
        let (_, rest) = text.split_once(mark)?;
        Some(rest.trim_start()).filter(|rest| rest.starts_with('['))
    })?;
    let (first, rest) = mark.strip_prefix('[')?.split_once(']')?;
    let whole = |text: &str| text.trim().parse::<u64>().ok();
    let part = |text: &str| {
        let (done, all) = text.split_once('/')?;
        Some((whole(done)?, whole(all)?))
    };
    let (step, steps, rest) = match rest.strip_prefix('[') {
        Some(inner) => {
            let (batches, rest) = inner.split_once(']')?;
            let (done, all) = part(batches)?;
            let before = whole(first)?.checked_sub(1)?.checked_mul(all)?;
            (before.checked_add(done)?, None, rest)
        }
        None => {
            let (done, all) = part(first)?;
            (done, Some(all), rest)
        }
    };
    let mut words = rest.split_whitespace();
    words.find(|word| *word == "loss:")?;
    let loss = words.next()?.trim_end_matches(',');
    let mut cells = Vec::new();
    push(&mut cells, "step", &step.to_string());
    if let Some(steps) = steps {
        push(&mut cells, "steps", &steps.to_string());
    }
    push(&mut cells, "train_loss", loss);
    is_figure(loss).then_some(cells)
}
