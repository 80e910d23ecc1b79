//! What single changes are worth: each one's hypothesis, what was measured here, and what its authors report, side by side.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::gain_axes::{asked, short};
use crate::analysis::axis::Axis;
use crate::analysis::gain::Sign;
use crate::analysis::study::Study;
use crate::analysis::{Answer, Caveat, Gain};
use crate::config::Change;
use crate::report::page::{Block, Page, Table};
use crate::unit::{Count, Flops, Nats};

/// A change, and what was measured of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Priced {
    /// Its name.
    pub name: String,
    /// The hypothesis.
    pub about: String,
    /// Who proposed it, where.
    pub source: String,
    /// What they report, where that is a figure.
    pub published: Option<String>,
    /// One row per kind of data.
    pub measured: Vec<Measured>,
}

/// What one change over a base was worth on one kind of data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// What the data are.
    pub data: String,
    /// The variant that the change was laid over.
    pub base: String,
    /// Where its suite asked: `w32@800`.
    pub at: String,
    /// Complete repeats there.
    pub n: usize,
    /// All parameters there.
    pub params: Option<u64>,
    /// Model FLOPs of a training there.
    pub train_flops: Option<f64>,
    /// The base's loss at the same model FLOPs minus the change's.
    pub nats: Option<f64>,
    /// Whether the interval of the gain there leaves out 1, and to which side.
    pub sign: Sign,
    /// The gain there in FLOPs of model and optimizer, with its 95% interval: `1.3 (1.0 to 1.6)`; a bound where the base does not
    /// reach so far.
    pub gain: String,
    /// That gain, or its bound, as a number: what changes are ranked by.
    #[serde(default)]
    pub times: Option<f64>,
    /// The same in the model's FLOPs alone.
    pub in_model_flops: String,
    /// The same in seconds; absent where they are not known, or were other programs' as well.
    pub in_seconds: Option<String>,
    /// The gain at every length that ran, by place.
    pub along: Vec<(String, String)>,
}

/// Every change that ships, with what these studies say of it alone over a base.
pub fn priced(changes: &[Change], studies: &[Study]) -> Vec<Priced> {
    let of = |change: &Change| Priced {
        name: change.name.clone(),
        about: change.about.clone(),
        source: change.source.clone(),
        published: change.published.clone(),
        measured: studies
            .iter()
            .filter_map(|s| measured(s, &change.name))
            .collect(),
    };
    changes.iter().map(of).collect()
}

fn measured(study: &Study, change: &str) -> Option<Measured> {
    let asked = asked(study)?;
    // Files of before compose names with a dash.
    let alone = ['+', '-'].map(|with| format!("{}{with}{change}", study.base));
    let own = |a: &&Answer| alone.contains(&a.variant);
    let mut along: Vec<&Answer> = study.answers.iter().filter(own).collect();
    along.sort_by_key(|answer| answer.budget);
    let there = |a: &&&Answer| a.scale == asked.scale && a.budget == asked.budget;
    let here = along.iter().find(there).or(along.last())?;
    let gain = of_all_flops(here);
    let in_seconds = here.on(Axis::WallSeconds);
    let shared = here.caveats.iter().any(Caveat::is_of_seconds);
    let has_seconds = !shared && !matches!(in_seconds, Gain::Unknown { .. });
    Some(Measured {
        data: study.data.clone(),
        base: study.base.clone(),
        at: place(here),
        n: here.n,
        params: here.read_at.map(|at| at.params),
        train_flops: here.read_at.map(|at| at.train_flops),
        nats: here.equal_compute_nats.map(|nats| nats.value),
        sign: gain.sign(),
        gain: short(&gain),
        times: gain.value(),
        in_model_flops: short(&here.headline()),
        in_seconds: has_seconds.then(|| short(&in_seconds)),
        along: along
            .iter()
            .map(|a| (place(a), short(&of_all_flops(a))))
            .collect(),
    })
}

/// An optimizer's arithmetic is spent too; where it is not known, the model's stands alone.
fn of_all_flops(answer: &Answer) -> Gain {
    match answer.on(Axis::TotalFlops) {
        Gain::Unknown { .. } => answer.headline(),
        known => known,
    }
}

fn place(answer: &Answer) -> String {
    match answer.budget {
        Some(budget) => format!("{}@{budget}", answer.scale),
        None => answer.scale.clone(),
    }
}

/// All changes; those that were measured first, the best of them first. A `document` also says where figures come from.
pub fn page(priced: &[Priced], document: bool) -> Page {
    let mut kinds: Vec<(&str, &str)> = Vec::new();
    for found in priced.iter().flat_map(|change| &change.measured) {
        let kind = (found.data.as_str(), found.base.as_str());
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    let mut blocks = Vec::new();
    if document {
        blocks.push(Block::Text(ABOUT.to_owned()));
    }
    for (data, base) in kinds {
        blocks.extend(on(priced, data, base, document));
    }
    let none: Vec<&Priced> = priced.iter().filter(|c| c.measured.is_empty()).collect();
    if !none.is_empty() {
        if none.len() < priced.len() {
            blocks.push(Block::Heading("Not measured".to_owned()));
        }
        let mut table = Table::new(["change", "hypothesis", "source"]);
        for change in none {
            table.row([&change.name, &change.about, &change.source].map(String::as_str));
        }
        blocks.push(Block::Table(match document {
            true => table,
            false => without_last_column(table),
        }));
    }
    let mut page = Page::answer("What single changes are worth", Vec::new(), blocks);
    if document {
        page.source = "Printed by: effbench list changes".to_owned();
    }
    page
}

/// What stands before the tables where they are a document.
const ABOUT: &str = "Each change alone over one base, with a learning rate of its own, found by as many trials as the base's. A \
                     gain is how many times the base must spend to reach the change's loss, in FLOPs of model and optimizer, \
                     with its 95% interval over repeats: above 1 the change is worth more than its compute. Where the interval holds 1, whether it gains \
                     or loses is not told. Seconds are left out where other programs had the machine too. Figures hold for the size and the data that they were read at, and no further.";

/// What was measured on one kind of data over one base.
fn on(priced: &[Priced], data: &str, base: &str, document: bool) -> Vec<Block> {
    let mut rows: Vec<(&Priced, &Measured)> = Vec::new();
    for change in priced {
        let here = |m: &&Measured| m.data == data && m.base == base;
        rows.extend(change.measured.iter().find(here).map(|m| (change, m)));
    }
    rows.sort_by(|(_, a), (_, b)| {
        let times = |m: &Measured| m.times.unwrap_or(f64::NEG_INFINITY);
        let nats = |m: &Measured| m.nats.unwrap_or(f64::NEG_INFINITY);
        let by_times = times(b).total_cmp(&times(a));
        by_times.then(nats(b).total_cmp(&nats(a)))
    });
    let at: BTreeSet<&str> = rows.iter().map(|(_, m)| m.at.as_str()).collect();
    let n: BTreeSet<usize> = rows.iter().map(|(_, m)| m.n).collect();
    let heading = format!("On {data}, over {base}");
    let text = format!(
        "{}; n = {}.",
        where_read(&rows, &at),
        n.iter()
            .map(usize::to_string)
            .collect::<Vec<_>>()
            .join(" or ")
    );
    let table = match document {
        true => in_full(&rows),
        false => in_short(&rows),
    };
    vec![
        Block::Heading(heading),
        Block::Text(text),
        Block::Table(table),
    ]
}

/// `Read at w32@800: 31 to 34 k parameters, 4.1e10 to 5e10 FLOP`.
fn where_read(rows: &[(&Priced, &Measured)], at: &BTreeSet<&str>) -> String {
    let span = |values: Vec<f64>, show: &dyn Fn(f64) -> String| {
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(0.0, f64::max);
        (high > 0.0).then(|| match show(low) == show(high) {
            true => show(low),
            false => format!("{} to {}", show(low), show(high)),
        })
    };
    let params = rows.iter().filter_map(|(_, m)| m.params.map(|n| n as f64));
    let flops = rows.iter().filter_map(|(_, m)| m.train_flops);
    let parts = [
        span(params.collect(), &|n| Count(n).to_string()).map(|n| format!("{n} parameters")),
        span(flops.collect(), &|f| Flops(f).to_string()),
    ];
    let places = at.iter().copied().collect::<Vec<_>>().join(", ");
    let known: Vec<String> = parts.into_iter().flatten().collect();
    match known.is_empty() {
        true => format!("Read at {places}"),
        false => format!("Read at {places}: {}", known.join(", ")),
    }
}

fn told(sign: Sign) -> &'static str {
    match sign {
        Sign::More => "gains",
        Sign::Less => "loses",
        Sign::Unclear => "inconclusive",
    }
}

/// For a terminal: what it is worth, in compute and in seconds, beside what was thought.
fn in_short(rows: &[(&Priced, &Measured)]) -> Table {
    let mut table = Table::new(["change", "gain", "in seconds", "verdict", "hypothesis"]);
    for (change, found) in rows {
        table.row([
            change.name.as_str(),
            &found.gain,
            found.in_seconds.as_deref().unwrap_or_default(),
            told(found.sign),
            &change.about,
        ]);
    }
    table.without_empty_columns()
}

/// For a document: the gain at every length as well, what its authors report, and where.
fn in_full(rows: &[(&Priced, &Measured)]) -> Table {
    let mut places: Vec<&str> = Vec::new();
    for (place, _) in rows.iter().flat_map(|(_, found)| &found.along) {
        if !places.contains(&place.as_str()) {
            places.push(place);
        }
    }
    let headings = places.iter().map(|place| format!("gain at {place}"));
    let mut columns = vec!["change".to_owned()];
    columns.extend(headings);
    columns.extend(
        [
            "in the model's FLOPs alone",
            "in seconds",
            "nats",
            "verdict",
            "hypothesis",
            "published",
            "source",
        ]
        .map(str::to_owned),
    );
    let mut table = Table::new(columns);
    for (change, found) in rows {
        let mut row = vec![change.name.clone()];
        row.extend(places.iter().map(|place| {
            let there = found.along.iter().find(|(at, _)| at == place);
            there.map(|(_, gain)| gain.clone()).unwrap_or_default()
        }));
        row.extend([
            found.in_model_flops.clone(),
            found.in_seconds.clone().unwrap_or_default(),
            found
                .nats
                .map(|nats| Nats(nats).to_string())
                .unwrap_or_default(),
            told(found.sign).to_owned(),
            change.about.clone(),
            change.published.clone().unwrap_or_default(),
            change.source.clone(),
        ]);
        table.row(row);
    }
    table.without_empty_columns()
}

fn without_last_column(table: Table) -> Table {
    let cut = |row: Vec<String>| row[..row.len() - 1].to_vec();
    Table {
        columns: cut(table.columns),
        rows: table.rows.into_iter().map(cut).collect(),
    }
}
