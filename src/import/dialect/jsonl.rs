//! JSON behind what a logger puts before it: `DLLL {"step": [0, 100], "data": {"step_loss": 8.9}}`, `INFO {"step": 5, "loss": 3.2}`.

use super::line::{Before, Cells};
use crate::import::json;
use crate::record::loss::plain;

/// Reads a line.
pub fn line(text: &str, _before: &mut Before) -> Option<Cells> {
    let mut object = json::object(&text[text.find("{\"")?..])?;
    // DLLogger's steps are an epoch's and the iteration, the last.
    let step = object
        .get("step")
        .and_then(|step| step.as_array()?.last().cloned());
    if let Some(step) = step {
        object.insert("step".to_owned(), step);
    }
    let mut cells = json::cells(&object);
    for (name, _) in &mut cells {
        let bare = name.strip_prefix("data.").unwrap_or(name);
        *name = match bare {
            "elapsedtime" => "elapsed".to_owned(),
            "step_loss" => "train_loss".to_owned(),
            bare => bare.to_owned(),
        };
    }
    let is_loss = |(name, _): &(String, String)| {
        let name = plain(name);
        name == "loss" || name.ends_with("_loss")
    };
    let is_step = |(name, _): &(String, String)| plain(name).ends_with("step");
    (cells.iter().any(is_loss) && cells.iter().any(is_step)).then_some(cells)
}
