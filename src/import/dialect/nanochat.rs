//! nanochat: `step 00100/21400 (0.47%) | loss: 5.123456 | dt: 512.31ms | tok/sec: 1,023,410 | total time: 0.85m` and
//! `Step 00250 | Validation bpb: 1.1234`.

use super::line::{Before, Cells};
use super::words::{after, count, pairs};

/// Reads a line.
pub fn line(text: &str, _before: &mut Before) -> Option<Cells> {
    let (head, rest) = text.split_once('|')?;
    let (step, of) = count(after(head, "step ")?.trim_start())?;
    // llm.c's line is alike, but for the colons.
    if !rest.contains(':') {
        return None;
    }
    let mut cells = vec![("step".to_owned(), step.to_owned())];
    if let Some((steps, _)) = of
        .trim_start()
        .strip_prefix('/')
        .and_then(|of| count(of.trim_start()))
    {
        cells.push(("steps".to_owned(), steps.to_owned()));
    }
    for (name, value) in pairs(rest, "|") {
        cells.push(match name.to_ascii_lowercase().as_str() {
            "training loss" => ("loss".to_owned(), value),
            "validation bpb" => ("val bpb".to_owned(), value),
            "validation loss" => ("val loss".to_owned(), value),
            "total time" => ("train time".to_owned(), value),
            _ => (name, value),
        });
    }
    let of_loss =
        |(name, _): &(String, String)| ["loss", "val bpb", "val loss"].contains(&name.as_str());
    cells.iter().any(of_loss).then_some(cells)
}
