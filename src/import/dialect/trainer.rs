//! Hugging Face's Trainer: `{'loss': 2.31, 'grad_norm': 1.2, 'learning_rate': 5e-05, 'epoch': 0.5}` and `{'eval_loss': 2.2, ..}` between
//! the frames of a progress bar, `5%|5         | 500/10000 [01:23<26:00, 6.1it/s]`, which alone say the step.
//!
//! A bar skips frames, and is drawn anew behind what is printed: the frame behind a dict has its step. The training's bar is the
//! first without a name; those of an evaluation have other ends.

use super::line::{Before, Cells, cell_of};
use super::words::{count, is_figure};

/// What the Trainer prints once at the end, means over the whole run.
const SUMMARY: &str = "train_runtime";

/// Reads a part of a line. What a dict says is held until the next frame says its step; nothing is no line of another program's.
pub fn line(text: &str, before: &mut Before) -> Option<Cells> {
    let (bars, dict) = match text.find("{'") {
        Some(at) => (&text[..at], figures(&text[at..])),
        None => (text, None),
    };
    // CodeParrot's has no bar, and says the step before its dict.
    let step = bars.rsplit_once(" Step ").and_then(|(_, rest)| count(rest));
    if let Some((step, ": ")) = step
        && dict.is_some()
    {
        let mut cells = dict?;
        cells.retain(|(name, _)| name != "steps");
        cells.insert(0, ("step".to_owned(), step.to_owned()));
        return Some(cells);
    }
    let mut told = None;
    let own = |frame: &Frame| before.end == 0 || before.end == frame.end;
    if let Some(frame) = frame(bars).filter(own) {
        // A frame of another moment is of a later step, and says nothing of what was printed before it.
        let last = before.step.as_deref().and_then(|step| step.parse().ok());
        let ahead = frame.done.saturating_sub(last.unwrap_or(0));
        let same = ahead <= SKIPPED.max(frame.end / 50);
        let earlier = before.held.take_if(|_| !same);
        told = earlier.map(|held| stepped(held, before));
        (before.end, before.step) = (frame.end, Some(frame.done.to_string()));
        told = told.or_else(|| before.held.take().map(|held| stepped(held, before)));
    }
    match dict {
        Some(cells) => {
            let last = before.held.replace(cells).map(|held| stepped(held, before));
            Some(told.or(last).unwrap_or_default())
        }
        None => told,
    }
}

/// What was held at the end of a file; nothing where the bar that would say its step is cut off, and the last that there is said the
/// step of another.
pub fn rest(before: &mut Before) -> Option<Cells> {
    let held = before.held.take()?;
    let trained = cell_of(&held, "train_loss").is_some();
    let known = trained && before.step.is_some() && before.trained == before.step;
    (!known).then(|| stepped(held, before))
}

fn stepped(mut cells: Cells, before: &mut Before) -> Cells {
    if let Some(step) = before.step.clone() {
        if cell_of(&cells, "train_loss").is_some() {
            before.trained = Some(step.clone());
        }
        cells.insert(0, ("step".to_owned(), step));
    }
    cells
}

/// The figures of a dict that states a loss.
fn figures(text: &str) -> Option<Cells> {
    let dict = text.strip_prefix('{')?;
    let dict = &dict[..dict.find('}')?];
    let mut cells: Cells = Vec::new();
    for pair in dict.split(", '") {
        let (name, value) = pair.split_once("':")?;
        let value = value.trim().trim_matches(['\'', '"']);
        // ms-swift's say the step.
        if name.contains("global_step/")
            && let Some((step, _)) = value.split_once('/')
        {
            cells.push(("step".to_owned(), step.to_owned()));
            continue;
        }
        if is_figure(value) {
            let name = match name.trim_start_matches('\'') {
                "loss" | "loss/train" => "train_loss",
                "loss/eval" => "eval_loss",
                name => name,
            };
            cells.push((name.to_owned(), value.to_owned()));
        }
    }
    let is_loss = |(name, _): &(String, String)| {
        name == "train_loss" || (name.starts_with("eval") && name.ends_with("loss"))
    };
    // Some trainers say the time so far beside each loss.
    let summary = dict.contains(SUMMARY) && !dict.contains("'loss'");
    (!summary && cells.iter().any(is_loss)).then_some(cells)
}

/// Steps between two frames that a bar may skip; a fiftieth of a long training.
const SKIPPED: u64 = 16;

/// A frame of a progress bar.
struct Frame {
    done: u64,
    end: u64,
}

/// The last frame of a bar without a name: `5%|5    | 500/10000 [`.
fn frame(text: &str) -> Option<Frame> {
    let percent = text.trim_start_matches(['\u{1b}', '[', 'A', ' ', '\t']);
    let (share, rest) = percent.split_once("%|")?;
    share.trim().parse::<u32>().ok()?;
    let counts = rest.split(" [").next()?.rsplit([' ', '|']).next()?;
    let (done, all) = counts.split_once('/')?;
    Some(Frame {
        done: done.parse().ok()?,
        end: all.parse().ok()?,
    })
}
