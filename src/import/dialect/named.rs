//! Lines that name a step and a loss, in whatever form: `Step 1 | loss:2.08 lr:2e-05`, `completed step: 9, seconds: 1.3, loss: 2.1`,
//! `step: 10   train loss: 3.11   test loss: 3.05`, `Epoch: [1]  [20/1504]  loss: 0.92 (0.95)`. Where no program's own form fits.
//!
//! Only a step, losses, tokens and a time that says that it counts from the beginning are read: what else such a line names may be
//! of a step or of the run.

use super::line::{Before, Cells, cell_of};
use super::words::is_figure;
use crate::record::loss::plain;

/// What a step may be called.
const STEPS: [&str; 14] = [
    "step",
    "steps",
    "global_step",
    "train_step",
    "training_step",
    "completed_step",
    "iter",
    "iteration",
    "training_iteration",
    "update",
    "num_updates",
    "updates",
    "it",
    "batch",
];
/// What a training loss may be called; a loss of another name is a part of one, or a mean.
const TRAINED: [&str; 12] = [
    "loss",
    "train_loss",
    "training_loss",
    "loss_train",
    "lm_loss",
    "closs",
    "step_loss",
    "ce_loss",
    "loss_ce",
    "train_ce",
    "cross_entropy",
    "xent",
];
/// What a validation loss may be called, in the order of preference.
const JUDGED: [&str; 13] = [
    "val_loss",
    "valid_loss",
    "validation_loss",
    "loss_val",
    "eval_loss",
    "dev_loss",
    "val_ce",
    "val_bpb",
    "validation_bpb",
    "val_perplexity",
    "validation_perplexity",
    "test_loss",
    "loss_test",
];
/// What some name of a loss holds.
const LOSSES: [&str; 6] = ["loss", "_ce", "bpb", "perplexity", "entropy", "xent"];
/// Words before a loss that say that it is no training's.
const EVALUATIONS: [&str; 7] = [
    "eval",
    "evaluation",
    "validation",
    "validate",
    "valid",
    "val",
    "dev",
];
/// Training tokens up to here.
const TOKENS: [&str; 6] = [
    "tokens_seen",
    "trained_tokens",
    "total_tokens",
    "consumed_tokens",
    "num_consumed_tokens",
    "train_tokens",
];
/// Seconds since the beginning.
const ELAPSED: [&str; 5] = [
    "elapsed",
    "elapsed_time",
    "time_elapsed",
    "total_time",
    "train_time",
];

/// Words before a loss that say that it is of another moment.
const ELSEWHEN: [&str; 6] = ["best", "lowest", "minimum", "previous", "last", "final"];

/// Reads a line.
pub fn line(text: &str, before: &mut Before) -> Option<Cells> {
    // A quoted name is a dict's or JSON's, and has readers of its own. Most lines of a long log name no loss at all.
    let small = text.to_ascii_lowercase();
    let quoted = text.contains("':") || text.contains("\":");
    if quoted || !LOSSES.iter().any(|word| small.contains(word)) {
        return None;
    }
    let said = Scan::of(text);
    let find = |names: &[&str]| names.iter().find_map(|name| cell_of(&said.pairs, name));
    let judged = JUDGED
        .iter()
        .find(|name| cell_of(&said.pairs, name).is_some());
    let mut cells: Cells = Vec::new();
    let (step, steps) = match find(&STEPS) {
        Some(step) => {
            let (step, steps) = match step.split_once('/') {
                Some((step, of)) => (step, Some(of.to_owned())),
                None => (step, None),
            };
            (continued(step, steps.as_deref(), &said, before)?, steps)
        }
        None => (unnamed(&said, judged.copied(), text, before)?, None),
    };
    if let Some(name) = judged {
        before.judged.get_or_insert_with(|| (*name).to_owned());
    }
    cells.push(("step".to_owned(), step));
    cells.extend(steps.map(|steps| ("steps".to_owned(), steps)));
    if let Some(name) = judged {
        let column = match *name {
            "val_bpb" | "validation_bpb" => "val bpb",
            "val_perplexity" | "validation_perplexity" => "val perplexity",
            _ => "val_loss",
        };
        cells.push((column.to_owned(), cell_of(&said.pairs, name)?.to_owned()));
    }
    let others = [
        ("train_loss", &TRAINED[..]),
        ("tokens", &TOKENS),
        ("elapsed", &ELAPSED),
    ];
    for (column, names) in others {
        cells.extend(find(names).map(|figure| (column.to_owned(), figure.to_owned())));
    }
    // TensorFlow's estimators print what an evaluation gave with its plain loss.
    let saved = text.contains("Saving dict for global step");
    if saved && judged.is_some() {
        cells.retain(|(name, _)| name != "train_loss");
    }
    if judged.is_none() && (saved || is_evaluation(text)) {
        cells
            .iter_mut()
            .filter(|(name, _)| name == "train_loss")
            .for_each(|cell| cell.0 = "val_loss".to_owned());
    }
    let is_loss = |(name, _): &(String, String)| name == "train_loss" || name.starts_with("val");
    cells.iter().any(is_loss).then_some(cells)
}

/// The step of a line that names none: batches of an epoch, `[20/1504]`; of a validation that of the line before it.
fn unnamed(said: &Scan, judged: Option<&str>, text: &str, before: &mut Before) -> Option<String> {
    let batches = || {
        let epoch: u64 = cell_of(&said.pairs, "epoch")?.parse().ok()?;
        let (done, all) = said.part.as_ref()?;
        Some(epoch.checked_mul(*all)?.checked_add(*done)?.to_string())
    };
    let same = judged.is_some_and(|name| before.judged.as_deref().is_none_or(|last| last == name));
    let earlier = || {
        let elsewhen = words_before_loss(text).any(|word| ELSEWHEN.contains(&word.as_str()));
        before.step.clone().filter(|_| same && !elsewhen)
    };
    let step = batches().or_else(earlier);
    before.step = step.clone().or_else(|| before.step.take());
    step
}

/// The step in the whole run, where steps begin anew with each epoch and the line says how many one has, or where each of them was told.
fn continued(step: &str, all: Option<&str>, said: &Scan, before: &mut Before) -> Option<String> {
    let here: u64 = step.replace(',', "").parse().ok()?;
    let told: Option<u64> =
        cell_of(&said.pairs, "epoch").and_then(|epoch| epoch.split('/').next()?.parse().ok());
    let epochs = &mut before.epochs;
    if let Some((epoch, (last, each))) = told.zip(epochs.last)
        && epoch > epochs.epoch
        && here <= last
    {
        let all: Option<u64> = all.and_then(|all| all.parse().ok());
        let every = (each == Some(1)).then(|| last.saturating_add(u64::from(epochs.first == 0)));
        epochs.offset = epochs.offset.saturating_add(all.or(every).unwrap_or(0));
        epochs.last = None;
    }
    let each = epochs.last.map(|(last, _)| here.saturating_sub(last));
    let each = each.or(epochs.last.and_then(|(_, each)| each));
    if epochs.last.is_none() {
        epochs.first = here;
    }
    epochs.epoch = told.unwrap_or(epochs.epoch);
    epochs.last = Some((here, each));
    let step = here.saturating_add(epochs.offset).to_string();
    before.step = Some(step.clone());
    Some(step)
}

/// The words of a line before its loss, in small letters.
fn words_before_loss(text: &str) -> impl Iterator<Item = String> {
    let words = text.split_whitespace().map(str::to_ascii_lowercase);
    let before = words.take_while(|word| !word.contains("loss"));
    before.map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()).to_owned())
}

/// Whether a line says before its loss that it is of an evaluation: `eval metrics after step: 1, loss=10.1`, `[valid] step 200 | loss 4`.
fn is_evaluation(text: &str) -> bool {
    words_before_loss(text).any(|word| EVALUATIONS.contains(&word.as_str()))
}

/// The pairs of a line.
#[derive(Default)]
struct Scan {
    pairs: Cells,
    /// The words that stand before a figure.
    name: Vec<String>,
    /// Whether the name ended with a mark, so that its figure comes next.
    marked: bool,
    /// `[20/1504]`: a part of a whole that nothing names.
    part: Option<(u64, u64)>,
}

impl Scan {
    fn of(text: &str) -> Self {
        let mut scan = Self::default();
        for word in text
            .split([' ', '\t', '|', ';'])
            .filter(|word| !word.is_empty())
        {
            // `step=36,loss=5.46`: several pairs in one word.
            let separator = if word.matches('=').count() > 1 {
                ','
            } else {
                '\0'
            };
            for part in word.split(separator) {
                scan.word(part);
            }
        }
        scan
    }

    fn word(&mut self, word: &str) {
        let ends = word.ends_with(',');
        let word = word.trim_matches(['(', ')', '[', ']', ',']);
        match word.split_once([':', '=']) {
            Some((name, "")) => {
                self.name
                    .extend((!name.is_empty()).then(|| name.to_owned()));
                self.marked = true;
            }
            Some((name, value)) if is_figure(value) && !name.starts_with(char::is_numeric) => {
                self.name.push(name.to_owned());
                self.figure(value);
            }
            _ if is_figure(word) => self.figure(word),
            // A word where a figure should be: the name was none.
            _ => {
                if std::mem::take(&mut self.marked) {
                    self.name.clear();
                }
                // `INFO:tensorflow:loss`.
                self.name.extend(word.rsplit(':').next().map(str::to_owned));
            }
        }
        if ends && !self.marked {
            self.name.clear();
        }
    }

    fn figure(&mut self, figure: &str) {
        let whole = |text: &str| text.parse::<u64>().ok();
        let part = figure.split_once('/');
        if let Some((done, all)) = part.and_then(|(a, b)| whole(a).zip(whole(b)))
            && self.name.is_empty()
        {
            self.part.get_or_insert((done, all));
        }
        let name = std::mem::take(&mut self.name);
        self.marked = false;
        // The name may have words before it that are none of it: a time, a level.
        for words in [2, 1] {
            let begin = name.len().saturating_sub(words);
            let plain = plain(&name[begin..].join("_"));
            let known = [&STEPS[..], &TRAINED, &JUDGED, &TOKENS, &ELAPSED, &["epoch"]];
            let is_known = known.iter().any(|names| names.contains(&plain.as_str()));
            let alone = words == 2 || name.len() < 2 || is_apart(&name[name.len() - 2]);
            if is_known && alone && cell_of(&self.pairs, &plain).is_none() {
                self.pairs
                    .push((plain, figure.trim_end_matches([':', '.']).to_owned()));
                return;
            }
        }
    }
}

/// Whether a word says nothing of the name behind it: `INFO`, `-`, `[train]`; `max step` and `best loss` are other things.
fn is_apart(word: &str) -> bool {
    let small = word.to_ascii_lowercase();
    !word.chars().any(char::is_alphabetic)
        || word.chars().all(|c| c.is_uppercase())
        || small.contains(['.', '/'])
        || ["train", "training", "completed", "at", "after", "current"]
            .iter()
            .chain(&EVALUATIONS)
            .any(|known| *known == small)
}
