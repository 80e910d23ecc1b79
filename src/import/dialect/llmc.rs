//! llm.c's standard output: `step   250/18865 | loss 6.500000 (-0.2z)| norm 1.0 (+0.1z)| lr 2.0e-04 | 1018.85 ms | .. | 514581 tok/s`,
//! and `val loss 6.427` for the step before it.

use super::line::{Before, Cells};
use super::words::{count, is_figure};

/// Reads a line.
pub fn line(text: &str, before: &mut Before) -> Option<Cells> {
    let text = text.trim();
    let cell = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    if let Some(loss) = text
        .strip_prefix("val loss ")
        .filter(|loss| is_figure(loss))
    {
        let step = before.step.clone().unwrap_or_else(|| "0".to_owned());
        return Some(vec![cell("step", &step), cell("val loss", loss)]);
    }
    let (head, rest) = text.strip_prefix("step")?.split_once('|')?;
    let (step, of) = count(head.trim())?;
    let (steps, behind) = count(of.strip_prefix('/')?)?;
    // `nan` is set to the width of a figure.
    let loss = rest.trim().strip_prefix("loss ")?.trim_start();
    let loss = loss.split([' ', '|']).next()?;
    if !behind.is_empty() || !is_figure(loss) {
        return None;
    }
    before.step = Some(step.to_owned());
    let mut cells = vec![
        cell("step", step),
        cell("steps", steps),
        cell("train loss", loss),
    ];
    let speed = rest
        .split('|')
        .find_map(|part| part.trim().strip_suffix(" tok/s"));
    cells.extend(speed.map(|speed| cell("tok/s", speed)));
    Some(cells)
}
