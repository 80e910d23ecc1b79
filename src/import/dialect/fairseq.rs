//! fairseq: `.. | epoch 001: 85 / 282 loss=3.147, nll_loss=1.236, ppl=8.86, .., num_updates=100, ..` and
//! `.. | valid on 'valid' subset | loss 4.008 | ppl 16.09 | num_updates 300 | ..`, or the same as JSON.
//!
//! Its losses are in bits, which `ppl` beside them shows; where the criterion smooths labels, `nll_loss` is the model's.

use super::line::{Before, Cells, cell_of};
use super::words::{is_figure, pair};

/// Reads a line.
pub fn line(text: &str, before: &mut Before) -> Option<Cells> {
    let said = match text.find('{') {
        Some(at) => of_json(&text[at..])?,
        None => of_words(text),
    };
    let figure = |name: &str| cell_of(&said, name);
    let judged = text.contains("| valid on '") || figure("valid_loss").is_some();
    let of = |name: &str| {
        let beginnings = ["valid_", "train_", ""];
        let known = beginnings.map(|begin| format!("{begin}{name}"));
        known.iter().find_map(|name| figure(name))
    };
    let step = of("num_updates")?;
    let loss = of("nll_loss").or_else(|| of("loss"))?;
    let unit = match in_nats(&said) {
        true => "",
        false => "_bits",
    };
    // The mean over an epoch is no point of the curve; where nothing else is printed, it is all there is.
    let inner = text.contains("epoch") && text.contains("/ ") || text.contains("train_inner");
    if !judged && !inner && before.step.is_some() {
        return Some(Vec::new());
    }
    if inner {
        before.step = Some(step.to_owned());
    }
    let name = if judged { "val_loss" } else { "train_loss" };
    let mut cells = vec![
        ("step".to_owned(), step.to_owned()),
        (format!("{name}{unit}"), loss.to_owned()),
    ];
    // A run that went on counts from its restart; 0 is no clock.
    let wall = figure("wall").filter(|wall| wall.parse::<f64>().is_ok_and(|wall| wall > 0.0));
    cells.extend(wall.map(|wall| ("elapsed".to_owned(), wall.to_owned())));
    Some(cells)
}

/// `name value` and `name=value` between bars and commas; what stands before a name is none of it.
fn of_words(text: &str) -> Cells {
    let parts = text.split(['|', ',']);
    let named = parts.filter_map(pair).filter_map(|(name, value)| {
        let name = name.split_whitespace().next_back()?;
        Some((name.to_owned(), value))
    });
    named.collect()
}

/// `--log-format json`, whose figures are text.
fn of_json(text: &str) -> Option<Cells> {
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text).ok()?;
    let figures = object.into_iter().filter_map(|(name, value)| {
        let text = match value {
            serde_json::Value::String(text) => text,
            serde_json::Value::Number(figure) => figure.to_string(),
            _ => return None,
        };
        is_figure(&text).then_some((name, text))
    });
    Some(figures.collect())
}

/// Whether the perplexity beside a loss says that it is in nats: some forks print them so.
fn in_nats(said: &Cells) -> bool {
    let figure = |ends: &str| {
        let found = said.iter().find(|(name, _)| {
            name == ends || name == &format!("valid_{ends}") || name == &format!("train_{ends}")
        });
        found.and_then(|(_, value)| value.parse::<f64>().ok())
    };
    let Some(ppl) = figure("ppl").filter(|ppl| *ppl > 1.5) else {
        return false;
    };
    let near = |loss: f64, base: f64| (base.powf(loss) / ppl - 1.0).abs() < 0.02;
    let losses = [figure("nll_loss"), figure("loss")];
    let any = |base: f64| losses.iter().flatten().any(|loss| near(*loss, base));
    any(std::f64::consts::E) && !any(2.0)
}
