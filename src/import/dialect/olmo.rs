//! OLMo and OLMo-core: `.. [step=10/1000,epoch=0]` and below it, a line each, `train/CrossEntropyLoss=2.31`,
//! `throughput/total_tokens=4,194,304`, `eval/c4/CrossEntropyLoss=2.4`. A step ends where the next begins.

use super::line::{Before, Cells, begun, push};
use super::words::{count, is_figure};

/// Reads a line.
pub fn line(text: &str, before: &mut Before) -> Option<Cells> {
    if let Some((_, rest)) = text.split_once("[step=") {
        let (step, of) = count(rest)?;
        let mut cells = vec![("step".to_owned(), step.to_owned())];
        if let Some((steps, _)) = of.strip_prefix('/').and_then(count) {
            cells.push(("steps".to_owned(), steps.to_owned()));
        }
        return Some(begun(before, cells));
    }
    let (name, value) = text.trim().rsplit_once('=')?;
    if !name.contains('/') || !is_figure(value) {
        return None;
    }
    let held = before.held.as_mut()?;
    let set = name.strip_prefix("eval/").and_then(|rest| {
        let ends = ["/CrossEntropyLoss", "/CE loss"];
        ends.iter().find_map(|end| rest.strip_suffix(end))
    });
    match (name, set) {
        ("train/CrossEntropyLoss" | "train/CE loss", _) => push(held, "train_loss", value),
        ("throughput/total_tokens" | "throughput/total tokens", _) => push(held, "tokens", value),
        (_, Some(set)) => push(held, &format!("eval {set} loss"), value),
        // Of the same step, and no figure of those that are asked for.
        _ => {}
    }
    Some(Vec::new())
}
