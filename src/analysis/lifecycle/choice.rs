//! Which cells are held against which.

use super::comparison::{Comparison, Given, compare};
use super::spent::{Request, Served};
use crate::analysis::cell::{Cell, cells, judged};
use crate::config::Price;
use crate::error::{Error, Kind, Result, listed, near};
use crate::record::{ResultFile, metric};

/// Which cells, and what is asked of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Asked {
    /// The first; absent for every cell that is not the other.
    pub a: Option<String>,
    /// The other; absent for the base's cell whose loss is nearest.
    pub b: Option<String>,
    /// Tokens of a prompt; absent for as many as were measured.
    pub prompt: Option<u64>,
    /// Tokens of an answer; absent for as many as were measured.
    pub answer: Option<u64>,
}

/// Every pair of cells that is asked for and can be compared, in the order of the file.
///
/// # Errors
///
/// A cell that is not there or not the only one of its name, two that ran on different machines or data, and a file in which nothing is
/// to be compared.
pub fn compared(
    file: &ResultFile,
    price: Option<&Price>,
    asked: &Asked,
) -> Result<Vec<Comparison>> {
    let (all, _) = cells(file, judged(file));
    let all: Vec<Cell> = all
        .into_iter()
        .filter(|cell| cell.finished().next().is_some())
        .collect();
    let find = |flag: &str, name: &Option<String>| match name {
        Some(name) => named(&all, flag, name).map(Some),
        None => Ok(None),
    };
    let pairs = match (find("--a", &asked.a)?, find("--b", &asked.b)?) {
        (Some(a), Some(b)) => {
            refuse(file, a, b)?;
            vec![(a, b)]
        }
        (None, Some(b)) => against(&all, |cell| alike(cell, b).then_some(b)),
        (Some(a), None) => {
            let base = nearest(file, &all, a);
            let none = || {
                let error = Error::input(format!("there is no cell of a base beside {}", a.name));
                error.hint("--b CELL names the other")
            };
            vec![(a, base.ok_or_else(none)?)]
        }
        (None, None) => against(&all, |cell| nearest(file, &all, cell)),
    };
    let found: Vec<Comparison> = pairs
        .into_iter()
        .filter_map(|(a, b)| {
            let given = Given {
                machine: file.machines.get(usize::try_from(a.any().machine).ok()?)?,
                price,
                request: request(asked, b)?,
            };
            Some(compare(a, b, given))
        })
        .collect();
    match found.is_empty() {
        true => Err(Error::input(
            "no two cells in these files were served and can be compared",
        )
        .hint("--a CELL --b CELL names two; `effbench report` lists cells, and suites without a sweep serve")),
        false => Ok(found),
    }
}

/// Each cell that was served, with its partner.
fn against<'c, 'a>(
    all: &'c [Cell<'a>],
    partner: impl Fn(&Cell<'a>) -> Option<&'c Cell<'a>>,
) -> Vec<(&'c Cell<'a>, &'c Cell<'a>)> {
    all.iter()
        .filter(|cell| is_served(cell))
        .filter_map(|cell| Some((cell, partner(cell)?)))
        .filter(|(a, b)| !std::ptr::eq(*a, *b))
        .collect()
}

fn is_served(cell: &Cell) -> bool {
    cell.mean(metric::DECODE_TOKENS_PER_S).is_some()
        && cell.mean(metric::PREFILL_TOKENS_PER_S).is_some()
}

/// Whether seconds and losses of both can be compared at all: one machine and one data source.
fn alike(a: &Cell, b: &Cell) -> bool {
    (a.any().machine, a.data) == (b.any().machine, b.data)
}

/// The base's cell whose loss is nearest to that of a cell of another variant.
fn nearest<'c, 'a>(
    file: &ResultFile,
    all: &'c [Cell<'a>],
    cell: &Cell<'a>,
) -> Option<&'c Cell<'a>> {
    let base = file.run.base.as_deref()?;
    let loss = |cell: &Cell| cell.mean(metric::VAL_LOSS_NATS);
    let own = loss(cell);
    let away = |other: &&Cell| match (own, loss(other)) {
        (Some(own), Some(other)) => (other - own).abs(),
        _ => f64::INFINITY,
    };
    all.iter()
        .filter(|other| other.any().variant == base && cell.any().variant != base)
        .filter(|other| alike(cell, other) && is_served(other))
        .min_by(|a, b| away(a).total_cmp(&away(b)))
}

/// The one cell of a name.
fn named<'c, 'a>(all: &'c [Cell<'a>], flag: &str, name: &str) -> Result<&'c Cell<'a>> {
    let whole = all.iter().find(|cell| cell.name == name);
    let mut short = all.iter().filter(|cell| cell.summary.cell == name);
    match (whole, short.next(), short.next()) {
        (Some(cell), ..) | (None, Some(cell), None) => Ok(cell),
        (None, None, _) => {
            let known = all.iter().map(|cell| cell.name.as_str());
            let error = Error::input(format!("{flag} {name}: no finished cell of that name"));
            Err(match near(name, known) {
                Some(meant) => error.hint(format!("did you mean `{meant}`?")),
                None => error.hint("`effbench report` lists them"),
            })
        }
        (None, Some(_), Some(_)) => {
            let several = all.iter().filter(|cell| cell.summary.cell == name);
            let names: Vec<String> = several.map(|cell| cell.name.clone()).collect();
            Err(
                Error::input(format!("{flag} {name}: several cells have this name"))
                    .hint(format!("one of: {}", listed(&names, "; "))),
            )
        }
    }
}

/// Two that must not be compared.
fn refuse(file: &ResultFile, a: &Cell, b: &Cell) -> Result<()> {
    let class = |cell: &Cell| {
        let machine = file.machines.get(cell.any().machine as usize);
        machine.map_or("an unknown machine", |machine| machine.class_id.as_str())
    };
    let why = match () {
        () if a.name == b.name => "a cell breaks even with itself at once".to_owned(),
        () if a.data != b.data => {
            "they learnt from different data, and losses on different data are not compared"
                .to_owned()
        }
        () if a.any().machine != b.any().machine => format!(
            "they ran on different machines ({} and {}), whose seconds are not compared",
            class(a),
            class(b)
        ),
        () => return Ok(()),
    };
    Err(Error {
        kind: Kind::NotComparable,
        ..Error::input(format!("{} and {}: {why}", a.name, b.name))
            .hint("run both in one suite on one machine")
    })
}

/// What is asked of both: as much as was measured of the second, where nothing else is said.
fn request(asked: &Asked, b: &Cell) -> Option<Request> {
    let served = Served::of(b.any());
    Some(Request {
        prompt: asked.prompt.or(served.map(|served| served.prompt))?,
        answer: asked.answer.or(served.map(|served| served.generate))?,
    })
}
