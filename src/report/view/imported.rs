//! What an import would take from which log, and what it would make of it.

use crate::import::preview::Preview;
use crate::record::Trial;
use crate::record::metric::{REGISTRY, VAL_LOSS_NATS};
use crate::report::page::{Block, Page, Table};

/// Trials that are shown one by one.
const SHOWN: usize = 12;
/// A longer value is cut: it is shown to be recognised.
const WIDEST: usize = 40;

/// A page of what each log is read as, and of the first trials that come of it.
pub fn page(previews: &[Preview], trials: &[Trial], sentence: &str, notes: &[String]) -> Page {
    let mut blocks = vec![Block::Text(format!(
        "{sentence}. Nothing was written: --out FILE in place of --dry-run writes it."
    ))];
    // Logs of one kind are read alike: one of them stands for all.
    let mut seen: Vec<(&Preview, usize)> = Vec::new();
    for preview in previews {
        let alike = |known: &Preview| {
            let sources = |p: &Preview| {
                p.roles
                    .iter()
                    .map(|t| (t.role, t.source.clone()))
                    .collect::<Vec<_>>()
            };
            known.dialect == preview.dialect && sources(known) == sources(preview)
        };
        match seen.iter_mut().find(|(known, _)| alike(known)) {
            Some((_, count)) => *count += 1,
            None => seen.push((preview, 1)),
        }
    }
    for (preview, count) in seen {
        blocks.push(Block::Heading(match count {
            1 => preview.file.clone(),
            count => format!("{} and {} like it", preview.file, count - 1),
        }));
        blocks.push(Block::Text(told(preview)));
        let mut table = Table::new(["role", "taken from", "first value"]);
        for taken in &preview.roles {
            let first = taken.first.as_deref().unwrap_or("none");
            table.row([taken.role.to_owned(), taken.source.clone(), cut(first)]);
        }
        blocks.push(Block::Table(table));
    }
    blocks.push(Block::Heading("What comes of it".to_owned()));
    blocks.push(Block::Table(made(trials)));
    if trials.len() > SHOWN {
        blocks.push(Block::Text(format!(
            "... and {} more.",
            trials.len() - SHOWN
        )));
    }
    if !notes.is_empty() {
        blocks.push(Block::List {
            head: "Notes".to_owned(),
            items: notes.to_vec(),
        });
    }
    Page::answer("What an import would read", Vec::new(), blocks)
}

/// `Read as nanogpt: 210 rows of figures, 35 lines without any; not used: lr, mfu.`
fn told(preview: &Preview) -> String {
    let Preview {
        dialect,
        rows,
        passed,
        unused,
        ..
    } = preview;
    let s = |count: usize| if count == 1 { "" } else { "s" };
    let mut text = format!("Read as {dialect}: {rows} row{} of figures", s(*rows));
    if *passed > 0 {
        text.push_str(&format!(", {passed} line{} without any", s(*passed)));
    }
    if !unused.is_empty() {
        text.push_str(&format!("; not used: {}", unused.join(", ")));
    }
    text + "."
}

/// The first trials: how far they went, and each figure that they end with.
fn made(trials: &[Trial]) -> Table {
    let shown = &trials[..trials.len().min(SHOWN)];
    let there = |name: &str| shown.iter().any(|trial| trial.metric(name).is_some());
    let metrics: Vec<&str> = REGISTRY
        .iter()
        .map(|row| row.name)
        .filter(|name| there(name))
        .collect();
    let mut table = Table::new(
        ["cell", "repeat", "points"]
            .into_iter()
            .chain(metrics.iter().copied())
            .chain(["ended as"]),
    );
    for trial in shown {
        let points = trial.curve.val_loss_nats.iter().flatten().count();
        let points = match trial.metric(VAL_LOSS_NATS) {
            Some(_) => points.to_string(),
            None => String::new(),
        };
        let figures = metrics.iter().map(|name| {
            trial
                .metric(name)
                .map(|value| {
                    format!("{value:.6}")
                        .trim_end_matches('0')
                        .trim_end_matches('.')
                        .to_owned()
                })
                .unwrap_or_default()
        });
        table.row(
            [trial.cell.clone(), trial.repeat.to_string(), points]
                .into_iter()
                .chain(figures)
                .chain([trial.status.words().to_owned()]),
        );
    }
    table
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(WIDEST) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.to_owned(),
    }
}
