//! Challengers as lines of a Markdown table, which is where they are compared.

use super::gain_axes::short;
use super::sentence::{ends, scientific};
use crate::analysis::challenge::Entry;
use crate::report::page::{Block, Page, Table};
use crate::report::render::{Markdown, Medium as _};
use crate::stat::holm;
use crate::unit::{Count, Nats};

/// The table of these challengers, the one that gains most first; a line alone is a table of one.
pub fn table(entries: &[Entry]) -> String {
    let mut table = Table::new([
        "variant",
        "gain in compute (95%)",
        "nats less at equal compute (95%)",
        "p",
        "n",
        "FLOP",
        "parameters",
        "loss (nats)",
        "gain, times a doubling",
        "at twice the steps: foretold (95%), came",
    ]);
    let mut ranked: Vec<&Entry> = entries.iter().collect();
    let nats = |entry: &Entry| {
        entry
            .answer
            .equal_compute_nats
            .map_or(f64::MIN, |nats| nats.value)
    };
    ranked.sort_by(|a, b| nats(b).total_cmp(&nats(a)));
    // Whoever looks for the best of many finds luck: the chances are of all lines together.
    let chances: Option<Vec<f64>> = ranked.iter().map(|entry| entry.answer.p).collect();
    let chances = chances.map(|chances| holm(&chances));
    for (place, entry) in ranked.into_iter().enumerate() {
        let p = chances.as_ref().map(|chances| chances[place]);
        table.row(row(entry, p));
    }
    let page = Page::answer("", Vec::new(), vec![Block::Table(table)]);
    let shown = Markdown.show(&page).unwrap_or_default();
    let lines = shown.lines().filter(|line| line.starts_with('|'));
    lines.collect::<Vec<_>>().join("\n")
}

fn row(entry: &Entry, p: Option<f64>) -> [String; 10] {
    let answer = &entry.answer;
    let nats = answer.equal_compute_nats.map(|nats| {
        let ends = nats
            .interval
            .map(|interval| format!(" ({} to {})", Nats(interval.low), Nats(interval.high)));
        format!("{}{}", Nats(nats.value), ends.unwrap_or_default())
    });
    let trend = entry.trend.as_ref().map(|trend| {
        let found = trend.per_doubling;
        let ends = found
            .interval
            .map(|interval| format!(" ({})", ends(&interval)));
        format!(
            "{}{}",
            crate::unit::Times(found.value),
            ends.unwrap_or_default()
        )
    });
    let forecast = entry.forecast.as_ref().map(|forecast| {
        let interval = &forecast.intervals[1];
        format!(
            "{} ({} to {}), {}",
            Nats(forecast.predicted_nats),
            Nats(interval.low),
            Nats(interval.high),
            Nats(forecast.outcome_nats)
        )
    });
    let at = answer.read_at;
    [
        entry.variant.clone(),
        short(&answer.headline()),
        nats.unwrap_or_default(),
        p.map_or_else(String::new, |p| match p {
            p if p < 0.001 => "below 0.001".to_owned(),
            p => format!("{p:.3}"),
        }),
        answer.n.to_string(),
        at.map_or_else(String::new, |at| scientific(at.train_flops)),
        at.map_or_else(String::new, |at| Count(at.params as f64).to_string()),
        Nats(entry.loss_nats).to_string(),
        trend.unwrap_or_default(),
        forecast.unwrap_or_default(),
    ]
}
