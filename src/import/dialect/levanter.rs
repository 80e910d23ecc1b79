//! Levanter, and what else prints its progress a line at a time: `Progress on:train 1.20kit/10.0kit rate:1.2it/s .. elapsed:14:30
//! postfix:loss=4.02`, and `.. - eval loss: 4.111` after it. Steps come with three digits.

use super::line::{Before, Cells, push};
use super::words::is_figure;

/// Reads a line.
pub fn line(text: &str, before: &mut Before) -> Option<Cells> {
    if let Some((_, rest)) = text.split_once("Progress on:train ") {
        let step = steps(rest.split(['/', ' ']).next()?)?;
        let after = |name: &str| {
            let (_, figure) = rest.split_once(name)?;
            figure.split([' ', ',']).next()
        };
        let repeated = before.step.replace(step.clone()).as_deref() == Some(step.as_str());
        let loss = after("postfix:loss=").or_else(|| after(", loss="));
        let loss = loss.filter(|loss| is_figure(loss) && !repeated);
        let mut cells = Vec::new();
        if let Some(loss) = loss {
            push(&mut cells, "step", &step);
            push(&mut cells, "train_loss", loss);
            if let Some(elapsed) = after("elapsed:").filter(|time| is_figure(time)) {
                push(&mut cells, "elapsed", elapsed);
            }
        }
        return Some(cells);
    }
    let (_, loss) = text.split_once(" eval loss: ")?;
    let loss = loss.split_whitespace().next()?;
    let step = before.step.clone().filter(|_| is_figure(loss))?;
    // A second evaluation at one step is of other weights, of which the first is told.
    let repeated = before.judged.replace(step.clone()).as_deref() == Some(step.as_str());
    let mut cells = Vec::new();
    if !repeated {
        push(&mut cells, "step", &step);
        push(&mut cells, "val_loss", loss);
    }
    Some(cells)
}

/// `45.0it`, `1.20kit`, `12.0Mit`.
fn steps(text: &str) -> Option<String> {
    let figure = text.strip_suffix("it")?;
    let units = [("k", 1e3), ("M", 1e6)];
    let known = units
        .iter()
        .find_map(|(unit, size)| Some((figure.strip_suffix(unit)?, *size)));
    let (figure, size) = known.unwrap_or((figure, 1.0));
    let steps = (figure.parse::<f64>().ok()? * size).round();
    (0.0..1e12).contains(&steps).then(|| format!("{steps:.0}"))
}
