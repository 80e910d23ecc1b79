//! XLM: `INFO - 06/01/19 10:00:00 - 0:00:10 -     100 -  83.50 sent/s -  1972.82 words/s - MLM-en:  7.6743 ||  - model LR: 1.0000e-04`,
//! and an epoch's perplexities in `__log__:{..}`. Where it trains on several objectives, `--map` says which loss is meant.

use serde_json::Value;

use super::line::{Before, Cells, push};
use super::words::is_figure;

/// Reads a line.
pub fn line(text: &str, before: &mut Before) -> Option<Cells> {
    if let Some((_, json)) = text.split_once("__log__:") {
        return judged(json, before);
    }
    let parts: Vec<&str> = text.split(" - ").map(str::trim).collect();
    let speed = parts.iter().position(|part| part.ends_with("words/s"))?;
    let before_speed = |back: usize| parts.get(speed.checked_sub(back)?).copied();
    let (elapsed, step) = (before_speed(3)?, before_speed(2)?);
    step.parse::<u64>().ok()?;
    let losses: Vec<(&str, &str)> = parts
        .get(speed + 1)?
        .split("||")
        .filter_map(|loss| loss.split_once(':'))
        .map(|(name, figure)| (name.trim(), figure.trim()))
        .filter(|(_, figure)| is_figure(figure))
        .collect();
    before.step = Some(step.to_owned());
    let mut cells = Vec::new();
    push(&mut cells, "step", step);
    push(&mut cells, "elapsed", elapsed);
    match losses[..] {
        [] => return None,
        [(_, loss)] => push(&mut cells, "train_loss", loss),
        _ => losses
            .iter()
            .for_each(|(name, loss)| push(&mut cells, &format!("{name} loss"), loss)),
    }
    Some(cells)
}

/// The one perplexity of validation, or their mean where XLM gives one.
fn judged(json: &str, before: &Before) -> Option<Cells> {
    let said: Value = serde_json::from_str(json.trim()).ok()?;
    let of_validation = |name: &str| name.starts_with("valid_") && name.ends_with("_ppl");
    let all: Vec<(&String, &Value)> = said
        .as_object()?
        .iter()
        .filter(|(name, _)| of_validation(name))
        .collect();
    let mean = all.iter().find(|(name, _)| name.matches('_').count() == 2);
    let found = match all[..] {
        [one] => Some(one),
        _ => mean.copied(),
    };
    let mut cells = Vec::new();
    push(&mut cells, "step", before.step.as_deref()?);
    push(
        &mut cells,
        "val perplexity",
        &found?.1.as_f64()?.to_string(),
    );
    Some(cells)
}
