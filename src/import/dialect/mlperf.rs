//! MLPerf training: `:::MLLOG {"time_ms": .., "key": "train_loss", "value": 11.8, "metadata": {"samples_count": 32}}`. Benchmarks of
//! language models log their validation loss as `eval_accuracy`; the seconds count from `run_start`.

use serde_json::Value;

use super::line::{Before, Cells};

/// Before the JSON of each line.
const MARK: &str = ":::MLLOG ";
/// What the names of the benchmarks hold whose `eval_accuracy` is a loss.
const OF_LOSS: [&str; 5] = ["gpt", "llama", "moe", "mixtral", "deepseek"];

/// Reads a line.
pub fn line(text: &str, before: &mut Before) -> Option<Cells> {
    let (_, json) = text.split_once(MARK)?;
    let said: Value = serde_json::from_str(json.trim()).ok()?;
    let (key, value) = (said["key"].as_str()?, &said["value"]);
    let about = &said["metadata"];
    match key {
        "submission_benchmark" => {
            let name = value.as_str().unwrap_or_default().to_ascii_lowercase();
            before.of_loss = OF_LOSS.iter().any(|part| name.contains(part));
        }
        "global_batch_size" => before.batch = value.as_f64(),
        "max_sequence_length" => before.length = value.as_f64(),
        "run_start" => before.began_ms = said["time_ms"].as_f64(),
        "train_loss" => return row(before, "train_loss", value, about, &said),
        "eval_loss" => return row(before, "val_loss", value, about, &said),
        "eval_accuracy" if before.of_loss => return row(before, "val_loss", value, about, &said),
        _ => {}
    }
    // Not a loss, and a line of this form.
    Some(Vec::new())
}

/// A loss with what says where it stands.
fn row(before: &Before, name: &str, value: &Value, about: &Value, said: &Value) -> Option<Cells> {
    let mut cells = vec![(name.to_owned(), value.as_f64()?.to_string())];
    let mut add = |name: &str, figure: Option<f64>| {
        cells.extend(figure.map(|figure| (name.to_owned(), figure.to_string())));
    };
    let count = |name: &str| about[name].as_f64();
    // Some benchmarks count samples where others count epochs.
    let samples = count("samples_count").or_else(|| count("epoch_num").filter(|n| *n > 1000.0));
    let step = samples.and_then(|samples| Some((samples / before.batch?).round()));
    add("step", count("step").filter(|_| step.is_none()).or(step));
    add("samples", samples);
    add(
        "tokens",
        samples.and_then(|samples| Some(samples * before.length?)),
    );
    let now = said["time_ms"].as_f64();
    add(
        "elapsed_s",
        now.and_then(|now| Some((now - before.began_ms?) / 1000.0)),
    );
    Some(cells)
}
