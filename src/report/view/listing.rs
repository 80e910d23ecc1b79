//! Tables for looking around: what there is, what a variant is, what a run would do, what this machine can measure.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::config::Key;
use crate::config::knob::Facts;
use crate::config::plan::Plan;
use crate::record::{Cost, RateSource};
use crate::report::page::{Block, Page, Table};
use crate::unit::{Bytes, Count, Flops, Seconds};

/// A list of named things with one sentence each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// In the plural: `variants`.
    pub what: String,
    /// Name and sentence.
    pub rows: Vec<(String, String)>,
}

/// Lists under their headings.
pub fn listing(lists: &[&Listed]) -> Page {
    let blocks = lists.iter().flat_map(|list| {
        let mut table = Table::new(["", ""]);
        for (name, about) in &list.rows {
            table.row([name, about]);
        }
        [Block::Heading(list.what.clone()), Block::Table(table)]
    });
    Page::answer("What there is", Vec::new(), blocks.collect())
}

/// Keys, each with what it may hold, its default and what it means: a table for every table of a spec. What is no answer to
/// somebody at a terminal but a `document` says first what it is.
pub fn keys(keys: &[&Key], document: bool) -> Page {
    let mut blocks: Vec<Block> = document
        .then(|| Block::Text(ABOUT_KEYS.to_owned()))
        .into_iter()
        .collect();
    for group in keys.chunk_by(|a, b| a.table == b.table) {
        blocks.push(Block::Heading(group[0].table.to_owned()));
        blocks.push(Block::Table(key_table(group)));
    }
    let mut page = Page::answer("Keys of a spec", Vec::new(), blocks);
    if document {
        page.source = "Printed by: effbench list keys".to_owned();
    }
    page
}

/// What stands before the keys where they are a document.
const ABOUT_KEYS: &str = "What can be set: in a variant's, change's or suite's file, or with --set KEY=VALUE. A table with a kind \
                          has the keys of that kind alone; `effbench show VARIANT` shows the values that a variant settles to.";

/// Keys in one table, for programs that read one.
pub fn key_table(keys: &[&Key]) -> Table {
    let with_kinds = keys.iter().any(|key| !key.kinds.is_empty());
    let mut heads = vec!["key", "holds", "default", "meaning"];
    if with_kinds {
        heads.insert(1, "of kind");
    }
    let mut table = Table::new(heads);
    for key in keys {
        let facts = &key.facts;
        let holds = facts.holds.strip_prefix("a ").unwrap_or(&facts.holds);
        let holds = holds.replace('`', "");
        let unit = facts.unit.map(|unit| format!(", {unit}"));
        let mut row = vec![
            key.key.clone(),
            format!("{holds}{}", unit.unwrap_or_default()),
            default_of(facts),
            facts.about.clone(),
        ];
        if with_kinds {
            row.insert(1, key.kinds.join(", "));
        }
        table.row(row);
    }
    table
}

fn default_of(facts: &Facts) -> String {
    match (&facts.default, facts.default_rule) {
        (Some(Value::String(word)), _) => word.clone(),
        (Some(Value::Number(number)), _) => {
            let (exact, value) = (number.to_string(), number.as_f64().unwrap_or(f64::NAN));
            let short = format!("{value:.3}");
            if exact.len() > 12 { short } else { exact }
        }
        (Some(value), _) => value.to_string(),
        (None, Some(rule)) => rule.to_owned(),
        (None, None) if facts.required => "must be given".to_owned(),
        (None, None) => "none".to_owned(),
    }
}

/// One thing that could be measured here, or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// What.
    pub what: String,
    /// Whether it can.
    pub ok: bool,
    /// What was found.
    pub found: String,
    /// Why not.
    pub why: Option<String>,
    /// What would change it.
    pub remedy: Option<String>,
}

impl Checked {
    /// It can.
    pub fn yes(what: &str, found: &str) -> Self {
        Self {
            what: what.to_owned(),
            ok: true,
            found: found.to_owned(),
            why: None,
            remedy: None,
        }
    }

    /// It cannot, why, and what would change it.
    pub fn no(what: &str, found: &str, why: &str, remedy: &str) -> Self {
        let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        Self {
            what: what.to_owned(),
            ok: false,
            found: found.to_owned(),
            why: some(why),
            remedy: some(remedy),
        }
    }
}

/// What this machine can measure, as a table.
pub fn checkup(rows: &[Checked]) -> Page {
    let mut table = Table::new(["what", "", "found", "why not", "remedy"]);
    for row in rows {
        let text = |option: &Option<String>| option.clone().unwrap_or_default();
        let mark = if row.ok { "yes" } else { "no" };
        table.row([
            row.what.clone(),
            mark.to_owned(),
            row.found.clone(),
            text(&row.why),
            text(&row.remedy),
        ]);
    }
    let able = rows.iter().filter(|row| row.ok).count();
    let lead = format!(
        "{able} of {} things that effbench looks at can be measured or used here.",
        rows.len()
    );
    let blocks = vec![Block::Text(lead), Block::Table(table)];
    Page::answer("What this machine can measure", Vec::new(), blocks)
}

/// A settled variant to be shown.
#[derive(Debug, Clone, Copy)]
pub struct Structure<'a> {
    /// `gpt2 at w64`.
    pub title: &'a str,
    /// Its hypothesis.
    pub about: &'a str,
    /// Where it comes from.
    pub source: &'a str,
    /// Counted from its structure.
    pub cost: &'a Cost,
    /// A guess at the peak of a process that trains it, or that serves it where that is what it is shown for.
    pub memory_guess_bytes: u64,
    /// Whether it is shown for serving: a model that exists.
    pub serves: bool,
    /// Bytes of the weights that it then serves with, by part, where they are known without loading it.
    pub bytes: Option<&'a BTreeMap<String, u64>>,
    /// Where the learning rate comes from.
    pub lr_source: &'a RateSource,
    /// Every default written out.
    pub spec: &'a Value,
    /// What its keys mean.
    pub keys: &'a [Key],
}

/// Parameters by part, FLOPs, memory, and the settled spec.
pub fn structure(shown: &Structure) -> Page {
    let cost = shown.cost;
    let mut parts = Table::new(["part", "parameters", "share", "bytes"]);
    let bytes = |bytes: Option<u64>| bytes.map(|bytes| Bytes(bytes as f64).to_string());
    for (part, count) in &cost.params_by_part {
        let share = format!("{:.1}%", 100.0 * *count as f64 / cost.params_total as f64);
        let bytes = bytes(shown.bytes.and_then(|parts| parts.get(part).copied()));
        parts.row([
            part.clone(),
            count.to_string(),
            share,
            bytes.unwrap_or_default(),
        ]);
    }
    let all = bytes(shown.bytes.map(|parts| parts.values().sum()));
    parts.row([
        "total".to_owned(),
        cost.params_total.to_string(),
        "100%".to_owned(),
        all.unwrap_or_default(),
    ]);
    let parts = parts.without_empty_columns();
    let blocks = vec![
        Block::Heading(shown.title.to_owned()),
        Block::Text(shown.about.to_owned()),
        Block::Text(format!("source: {}", shown.source)),
        Block::Table(parts),
        Block::Table(figures(shown)),
        Block::Table(settled(shown)),
    ];
    Page::answer(shown.title, Vec::new(), blocks)
}

/// What a trial of it computes and holds.
fn figures(shown: &Structure) -> Table {
    let (cost, mut figures) = (shown.cost, Table::new(["", ""]));
    if shown.serves {
        for (name, figure) in of_serving(shown) {
            figures.row([name, figure]);
        }
        return figures;
    }
    let full_square = cost
        .train_flops_full_square
        .map_or_else(|| "not counted".to_owned(), |v| Flops(v).to_string());
    if cost.params_active != cost.params_total {
        let active = Count(cost.params_active as f64);
        figures.row([
            "parameters used for one token".to_owned(),
            active.to_string(),
        ]);
    }
    for (name, figure) in [
        (
            "training FLOPs per token",
            format!("{} (as executed)", Flops(cost.train_flops_per_token)),
        ),
        (
            "training FLOPs per sequence",
            Flops(cost.train_flops_per_sequence as f64).to_string(),
        ),
        (
            "6 N per token, of N used for it, for orientation",
            Flops(cost.six_n_flops_per_token).to_string(),
        ),
        (
            "whole run",
            format!(
                "{} over {} tokens",
                Flops(cost.train_flops),
                Count(cost.train_tokens as f64)
            ),
        ),
        (
            "  by PaLM's convention (attention's full square)",
            full_square,
        ),
        (
            "  and the optimizer's",
            Flops(cost.optimizer_flops).to_string(),
        ),
        (
            "parameters, gradients, optimizer state",
            Bytes(cost.state_bytes as f64).to_string(),
        ),
        (
            "training process, a guess",
            Bytes(shown.memory_guess_bytes as f64).to_string(),
        ),
        (
            "KV cache per token",
            Bytes(cost.kv_bytes_per_token as f64).to_string(),
        ),
        (
            "cache of a whole window",
            cost.cache_bytes_per_window
                .map_or_else(|| "not counted".to_owned(), |v| Bytes(v as f64).to_string()),
        ),
        ("learning rate from", shown.lr_source.to_string()),
    ] {
        figures.row([name.to_owned(), figure]);
    }
    figures
}

/// What serving it computes and holds.
fn of_serving(shown: &Structure) -> Vec<(String, String)> {
    let (cost, mut rows) = (shown.cost, Vec::new());
    let mut row = |name: String, figure: String| rows.push((name, figure));
    if cost.params_active != cost.params_total {
        let active = Count(cost.params_active as f64).to_string();
        row("parameters used for one token".to_owned(), active);
    }
    if let Some(flops) = &cost.token_flops {
        let last = flops.seen.last().copied().unwrap_or_default();
        for seen in [0, last] {
            let token = flops.one_by_one(seen, 1).unwrap_or(f64::NAN);
            row(
                format!("FLOPs of a token behind {seen} others"),
                Flops(token).to_string(),
            );
        }
        let prompt = flops.prompt(0, last).unwrap_or(f64::NAN);
        row(
            format!("FLOPs of a prompt of {last} tokens"),
            Flops(prompt).to_string(),
        );
    }
    let bytes = |bytes: u64| Bytes(bytes as f64).to_string();
    row("cache per token".to_owned(), bytes(cost.kv_bytes_per_token));
    if let Some(window) = cost.cache_bytes_per_window {
        row("cache of a whole window".to_owned(), bytes(window));
    }
    let guess = bytes(shown.memory_guess_bytes);
    row("serving process, a guess".to_owned(), guess);
    rows
}

/// A settled spec's keys with their values and what they mean.
fn settled(shown: &Structure) -> Table {
    let (spec, keys) = (shown.spec, shown.keys);
    let mut table = Table::new(["key", "value", "meaning"]);
    // What is not trained has no use for how.
    let told = flat(spec).into_iter();
    let told = told.filter(|(key, _)| !(shown.serves && key.starts_with("train.")));
    for (key, value) in told {
        let at = |key: &str| spec.pointer(&format!("/{}", key.replace('.', "/")));
        let chosen = |known: &&Key| {
            let kind = at(&format!("{}.kind", known.table)).and_then(Value::as_str);
            known.key == key
                && (known.kinds.is_empty() || kind.is_some_and(|kind| known.kinds.contains(&kind)))
        };
        let about = keys.iter().find(chosen).map(|known| &known.facts.about);
        table.row([key.clone(), value, about.cloned().unwrap_or_default()]);
    }
    table
}

/// Dotted keys and values of a nested object.
fn flat(value: &Value) -> Vec<(String, String)> {
    fn walk(prefix: &str, value: &Value, lines: &mut Vec<(String, String)>) {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    let key = if prefix.is_empty() {
                        key.clone()
                    } else {
                        format!("{prefix}.{key}")
                    };
                    walk(&key, value, lines);
                }
            }
            Value::Null => {}
            _ => lines.push((prefix.to_owned(), value.to_string())),
        }
    }
    let mut lines = Vec::new();
    walk("", value, &mut lines);
    lines
}

/// A longer run is worth a word before it starts.
const LONG_S: f64 = 3.0 * 86_400.0;

/// `1 trial`, `2 trials`.
fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// How many trials, for how long.
fn would_run(plan: &Plan) -> String {
    let mut how = vec![
        counted(plan.cells.len() as u64, "cell"),
        format!("{} each", counted(plan.repeats, "repeat")),
    ];
    how.extend((plan.builds > 1).then(|| format!("by {} builds", plan.builds)));
    how.extend(match (&plan.shard, plan.tuning_trials) {
        (None, 0) => None,
        (None, n) => Some(format!("after {n} that choose learning rates")),
        (Some(part), 0) => Some(format!("of which this is part {part}")),
        (Some(_), _) => Some("all of them to choose learning rates".to_owned()),
    });
    how.extend((plan.done_trials > 0).then(|| format!("{} are done", plan.done_trials)));
    let training = (plan.total_flops > 0.0).then(|| format!("{}, ", Flops(plan.total_flops)));
    format!(
        "Suite {} would run {} ({}) on {} with {}: {}about {} and {} at a time (guesses).",
        plan.suite,
        counted(plan.trials, "trial"),
        how.join(", "),
        plan.device,
        counted(plan.threads, "thread"),
        training.unwrap_or_default(),
        Seconds(plan.seconds_guess),
        Bytes(plan.memory_bytes_guess as f64),
    )
}

/// A plan as a table, with one sentence before it.
pub fn plan(plan: &Plan) -> Page {
    let mut table = Table::new([
        "cell",
        "params",
        "tokens",
        "train FLOPs",
        "optimizer",
        "about",
        "memory",
        "learning rate",
    ]);
    for cell in &plan.cells {
        // What only serves has nothing to train with.
        let trained = |text: String| {
            if cell.train_tokens > 0 {
                text
            } else {
                String::new()
            }
        };
        table.row([
            cell.cell.clone(),
            Count(cell.params as f64).to_string(),
            trained(Count(cell.train_tokens as f64).to_string()),
            trained(Flops(cell.train_flops).to_string()),
            trained(Flops(cell.optimizer_flops).to_string()),
            Seconds(cell.seconds_guess).to_string(),
            Bytes(cell.memory_bytes_guess as f64).to_string(),
            trained(cell.lr_source.as_ref().map_or_else(
                || "to be chosen by a sweep here".to_owned(),
                ToString::to_string,
            )),
        ]);
    }
    let table = table.without_empty_columns();
    let mut blocks = vec![Block::Text(would_run(plan))];
    blocks.extend((plan.beyond_trials > 0).then(|| {
        let beyond = counted(plan.beyond_trials, "trial");
        Block::Text(format!(
            "Besides, the file holds {beyond} that this does not ask for."
        ))
    }));
    let judged = plan.trials.saturating_sub(plan.tuning_trials);
    if plan.tuning_trials > judged && plan.shard.is_none() {
        blocks.push(Block::Text(
            "Most of these trials are the sweep of learning rates; for a quick look, `--set train.optimizer.lr=0.01` goes without."
                .to_owned(),
        ));
    }
    if plan.seconds_guess > LONG_S {
        blocks.push(Block::Caveat {
            message: format!("this would take {} here", Seconds(plan.seconds_guess)),
            remedy: "fewer repeats (--repeats), shorter or smaller cells (--scales, --set), or a faster device".to_owned(),
        });
    }
    blocks.push(Block::Table(table));
    Page::answer(
        &format!("What suite {} would run", plan.suite),
        Vec::new(),
        blocks,
    )
}
