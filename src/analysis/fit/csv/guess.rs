//! Columns of published tables that are called by no name of the list: `Test Loss`, `Perplexity (Pile)`, `Data Scale D (tokens)`, `Size`
//! with `70M` in it. Taken only where one column alone can be meant, and told.

use crate::error::{Error, Result};
use crate::import::columns;
use crate::import::delimited::Table;
use crate::import::figures::Marks;
use crate::import::quantity::{self, Quantity};
use crate::record::loss::plain;

/// Words that make a column one of losses.
const OF_LOSS: [&str; 10] = [
    "xent",
    "crossentropy",
    "bpc",
    "loss",
    "losses",
    "perplexity",
    "ppl",
    "bpb",
    "nll",
    "crossentropyloss",
];
/// Words of columns that say something else of a loss: its spread, its parts, what it was to be.
const BESIDE: [&str; 26] = [
    "std",
    "sd",
    "se",
    "stderr",
    "err",
    "error",
    "var",
    "ci",
    "lower",
    "upper",
    "low",
    "high",
    "min",
    "max",
    "delta",
    "diff",
    "gap",
    "scale",
    "aux",
    "z",
    "router",
    "balancing",
    "target",
    "pred",
    "predicted",
    "fit",
];
/// The symbol of a name, and words of which one stands beside it.
const SYMBOLS: [(&str, &str, &[&str]); 3] = [
    ("params", "N", &["params", "parameters", "size", "model"]),
    ("tokens", "D", &["tokens", "data", "dataset"]),
    ("flops", "C", &["flops", "flop", "compute"]),
];

/// The column of a name that the list of names does not find.
pub fn column(table: &Table, name: &str) -> Result<Option<usize>> {
    match name {
        "loss" => loss(table),
        _ => Ok(by_symbol(table, name).or_else(|| sized(table).filter(|_| name == "params"))),
    }
}

/// The one column of losses; of several none is the loss. A training loss is taken where there is no other.
fn loss(table: &Table) -> Result<Option<usize>> {
    let words = |k: usize| plain(&table.columns[k]);
    let has = |k: usize, any: &[&str]| words(k).split('_').any(|word| any.contains(&word));
    let of_loss = (0..table.columns.len()).filter(|&k| {
        let per_byte = words(k).contains("bits_per_byte") || words(k).contains("cross_entropy");
        (has(k, &OF_LOSS) || per_byte) && !has(k, &BESIDE)
    });
    let (trained, judged): (Vec<usize>, Vec<usize>) =
        of_loss.partition(|&k| has(k, &["train", "training"]));
    let found = if judged.is_empty() { trained } else { judged };
    match found[..] {
        [] => Ok(None),
        [one] => Ok(Some(one)),
        [one, other, ..] => {
            let (one, other) = (
                table.columns[one].escape_debug(),
                table.columns[other].escape_debug(),
            );
            Err(Error::input(format!(
                "{}: the loss could be `{one}` or `{other}`",
                table.file
            ))
            .hint(format!(
                "--map loss=\"{one}\" or --map loss=\"{other}\" says which"
            )))
        }
    }
}

/// A column whose name holds a symbol and says of what: `Compute Budget C`, `N (parameters)`.
fn by_symbol(table: &Table, name: &str) -> Option<usize> {
    let (_, symbol, beside) = SYMBOLS.iter().find(|(known, ..)| *known == name)?;
    let is = |column: &String| {
        let mut words = column.split(|c: char| !c.is_alphanumeric());
        let named = plain(column);
        // `M FLOPs/token` is another thing, and so is a ratio.
        let ratio = column.contains('/');
        !ratio
            && words.any(|word| word == *symbol)
            && named.split('_').any(|word| beside.contains(&word))
    };
    only(table, is)
}

/// A column of sizes that are written with their magnitude: `70M`, `1.4B`.
fn sized(table: &Table) -> Option<usize> {
    let is = |column: &String| {
        let place = table.columns.iter().position(|known| known == column);
        let cells = |place: usize| {
            (0..table.rows()).all(|row| {
                let cell = table.cell(row, place);
                let magnitude = cell.ends_with(['M', 'B', 'm', 'b', 'K', 'k']);
                magnitude && quantity::read(cell, Marks::Point, Quantity::Count).is_some()
            })
        };
        let named = ["size", "model", "scale", "model_name"].contains(&plain(column).as_str());
        named && table.rows() > 0 && place.is_some_and(cells)
    };
    only(table, is)
}

fn only(table: &Table, is: impl Fn(&String) -> bool) -> Option<usize> {
    let mut places = (0..table.columns.len()).filter(|&k| is(&table.columns[k]));
    let place = places.next()?;
    places.next().is_none().then_some(place)
}

/// Whether a column is called by a name of the list.
pub fn is_listed(table: &Table, name: &str, place: usize) -> bool {
    columns::find(table, name).is_ok_and(|found| found == Some(place))
}
