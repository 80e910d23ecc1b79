//! A table of points as people publish them, through the one reader of tables ([`crate::import::delimited`]). A number is refused
//! rather than guessed.

use std::collections::BTreeMap;
use std::path::Path;

use super::points::{Point, Points, UNNAMED};
use crate::error::{Error, Result, listed};
use crate::import::delimited::{Table, delimiter};
use crate::import::figures::Marks;
use crate::import::quantity::{self, Quantity};
use crate::import::{columns, figures};
use crate::record::LossUnit;

/// What columns may be called for, in the order of the help.
pub const NAMES: [&str; 12] = [
    "params",
    "tokens",
    "flops",
    "loss",
    "group",
    "repeat",
    "unique_tokens",
    "epochs",
    "lr",
    "batch",
    "run",
    "tokens_per_param",
];
/// Those of them that hold figures, which may come in thousands or billions.
pub const FIGURES: [&str; 7] = [
    "params",
    "tokens",
    "flops",
    "loss",
    "unique_tokens",
    "lr",
    "batch",
];
/// Fewer parameters or tokens than this were hardly meant.
const SMALLEST: f64 = 2000.0;
/// Lines that a sentence names one by one.
const NAMED_LINES: usize = 5;

/// A column may hold the FLOPs where it is 6 N D within this factor, in this share of the rows.
const ABOUT: f64 = 2.0;
const NEARLY_ALL: f64 = 0.9;

/// What a table's figures are counted in.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Units {
    /// What the figures of a column are multiplied by: `params` by 1e9 where they are in billions.
    pub factors: Vec<(String, f64)>,
    /// What losses are counted in, where their column does not say it.
    pub loss: Option<LossUnit>,
}

/// Reads points; `file` is for messages, `map` gives the column of a name where it is another.
///
/// # Errors
///
/// What [`Table::parse`] refuses, a column that is not there, a figure that is none.
pub fn points(text: &str, file: &str, map: &[(String, String)], units: &Units) -> Result<Points> {
    let table = Table::parse(file, text, delimiter(Path::new(file), text))?;
    let columns = places(&table, map)?;
    let told = columns[3].and_then(|column| LossUnit::of_column(&table.columns[column]));
    let factor = |name: &str| {
        units
            .factors
            .iter()
            .filter(|(from, _)| from == name)
            .map(|(_, factor)| factor)
            .product()
    };
    if let Some(column) = columns[3].filter(|_| units.loss.is_none()) {
        columns::refuse_decimal(&table, column)?;
    }
    let unit = units.loss.or(told).unwrap_or_default();
    // What somebody says of a column's unit holds, whatever its name says.
    let named = std::array::from_fn(|place| {
        let said = units.factors.iter().any(|(from, _)| from == NAMES[place]);
        let column = columns[place].filter(|_| !said)?;
        columns::name_unit(&table.columns[column], quantity(place))
    });
    let bound = Bound {
        table: &table,
        columns,
        named,
        factors: NAMES.map(factor),
        unit,
        mapped: NAMES.map(|name| map.iter().any(|(from, _)| from == name)),
    };
    let mut points = Vec::with_capacity(table.rows());
    let mut rows = Vec::with_capacity(table.rows());
    let mut skipped = Vec::new();
    let mut runs = Runs::default();
    for row in 0..table.rows() {
        match bound.point(row, &mut runs)? {
            Some(point) => {
                points.push(point);
                rows.push(row);
            }
            None => skipped.push(table.line(row)),
        }
    }
    let mut notes = bound.notes(&skipped, &points);
    notes.extend(bound.compute_elsewhere(&points, &rows));
    if bound.columns[8].is_some() && bound.columns[9].is_none() {
        notes.extend(sweep::unread(&table, &bound.columns, &points, &rows));
    }
    notes.extend(small(&points));
    let named = |place: usize| {
        let column = bound.columns[place]?;
        Some((
            NAMES[place],
            bound.named[place]?,
            table.columns[column].as_str(),
        ))
    };
    magnitudes::refuse(&table.file, [named(0), named(1)], &points)?;
    Ok(Points { points, notes })
}

/// Numbers of runs by their names.
#[derive(Default)]
struct Runs(BTreeMap<String, u64>);

impl Runs {
    fn number(&mut self, name: String) -> u64 {
        let next = self.0.len() as u64;
        *self.0.entry(name).or_insert(next)
    }
}

/// Sizes and tokens that look like thousands, millions or billions.
fn small(points: &[Point]) -> Option<String> {
    let largest = |of: fn(&Point) -> Option<f64>| points.iter().filter_map(of).fold(0.0, f64::max);
    let (params, tokens) = (largest(|p| p.params), largest(|p| p.tokens));
    let found = if (1e-9..SMALLEST).contains(&params) {
        format!("no run has more than {params} parameters")
    } else if (1e-9..SMALLEST).contains(&tokens) {
        format!("no run sees more than {tokens} tokens")
    } else {
        return None;
    };
    Some(format!(
        "{found}: if the table is in billions, `--unit params=1e9 --unit tokens=1e9` says so"
    ))
}

/// The column of each name, where there is one.
fn places(table: &Table, map: &[(String, String)]) -> Result<[Option<usize>; 12]> {
    let mut places = [None; 12];
    for (place, name) in places.iter_mut().zip(NAMES) {
        let mapped = map
            .iter()
            .find(|(from, _)| from == name)
            .map(|(_, column)| column.as_str());
        *place = match mapped {
            Some(column) if !table.columns.iter().any(|known| known == column) => {
                let message = format!("{}: --map {name}={column}: no such column", table.file);
                return Err(
                    Error::input(message).suggest(column, table.columns.iter().map(String::as_str))
                );
            }
            Some(column) => Some(table.column(column)?),
            None => match columns::find(table, name)? {
                Some(found) => Some(found),
                None => guess::column(table, name)?,
            },
        };
    }
    let [params, tokens, flops, loss, ..] = places;
    let tokens = tokens.or(places[11]);
    let (file, there) = (&table.file, listed(&table.columns, "`, `"));
    if loss.is_none() {
        return Err(
            Error::input(format!("{file}: no column `loss` among `{there}`"))
                .hint("--map loss=COLUMN says which one holds the loss"),
        );
    }
    if flops.is_none() && (params.is_none() || tokens.is_none()) {
        let message =
            format!("{file}: no column `flops`, nor both `params` and `tokens`, among `{there}`");
        // Kaplan's L(N) and L(D) are power laws as well.
        let alone = params.or(tokens).map(|place| &table.columns[place]);
        return Err(Error::input(message).hint(match alone {
            Some(column) => format!(
                "--map flops=\"{0}\" fits the loss as a power law in `{0}` alone, which then stands in the place of C",
                column.escape_debug()
            ),
            None => "--map flops=COLUMN, or --map params=COLUMN --map tokens=COLUMN".to_owned(),
        }));
    }
    Ok(places)
}

/// A table whose columns are found.
struct Bound<'a> {
    table: &'a Table,
    columns: [Option<usize>; 12],
    /// What the figures of each column are multiplied by.
    factors: [f64; 12],
    /// What the figures of each column are counted in, as its name says.
    named: [Option<f64>; 12],
    unit: LossUnit,
    /// Whether somebody said which column it is.
    mapped: [bool; 12],
}

/// What the figures of a name are of, by its place among [`NAMES`].
fn quantity(place: usize) -> Quantity {
    match NAMES[place] {
        "params" | "tokens" | "unique_tokens" | "batch" => Quantity::Count,
        "flops" => Quantity::Flops,
        _ => Quantity::Plain,
    }
}

/// A figure; one without a unit of its own is in the unit that its column's name tells.
fn figure(text: &str, marks: Marks, of: Quantity, named: Option<f64>) -> Option<f64> {
    let bare = named.and_then(|unit| Some(unit * figures::number(text, marks)?));
    bare.or_else(|| quantity::read(text, marks, of))
}

impl Bound<'_> {
    /// The point of a row; `None` where a figure that it needs is marked as missing.
    fn point(&self, row: usize, runs: &mut Runs) -> Result<Option<Point>> {
        let mut figures = [None; 4];
        for (figure, column) in figures.iter_mut().zip(&self.columns[..4]) {
            let Some(column) = *column else { continue };
            *figure = self.number(row, column)?;
            if figure.is_none() {
                return Ok(None);
            }
        }
        figures
            .iter_mut()
            .zip(self.factors)
            .for_each(|(figure, factor)| *figure = figure.map(|value| value * factor));
        let [params, tokens, flops, loss] = figures;
        let ratio = match (tokens, self.columns[11]) {
            (None, Some(column)) => self.number(row, column)?,
            _ => None,
        };
        let tokens = tokens.or_else(|| Some(ratio? * params?));
        let six = |a: Option<f64>, b: Option<f64>| Some(6.0 * a? * b?);
        let (Some(flops), Some(loss)) = (flops.or_else(|| six(params, tokens)), loss) else {
            return Ok(None);
        };
        let loss = self.nats(row, loss)?;
        let tokens = tokens.or_else(|| Some(flops / (6.0 * params?)));
        let params = params.or_else(|| Some(flops / (6.0 * tokens?)));
        let group = self.columns[4]
            .map(|column| self.table.cell(row, column))
            .filter(|group| !group.is_empty());
        let repeat = self.columns[5]
            .map(|column| self.repeat(row, column))
            .transpose()?;
        // These are asked for by some laws only: a row without one is a point all the same.
        let mut more = [None; 4];
        for (figure, place) in more.iter_mut().zip(6..) {
            let found = match self.columns[place].map(|column| self.number(row, column)) {
                // Nobody asked for a column that was taken for its name.
                Some(Err(_)) if !self.mapped[place] => None,
                Some(found) => found?,
                None => None,
            };
            *figure = found.map(|value| value * self.factors[place]);
        }
        let [unique, epochs, rate, batch] = more;
        let unique_tokens = unique.or_else(|| Some(tokens? / epochs?));
        let group = group.unwrap_or(UNNAMED).to_owned();
        // Runs of two groups are two, whatever they are called.
        let run = self.columns[10]
            .map(|column| self.table.cell(row, column))
            .filter(|run| !run.is_empty());
        let run = run.map(|run| runs.number(format!("{group}\n{run}")));
        Ok(Some(Point {
            repeat,
            run,
            params,
            tokens,
            unique_tokens,
            rate,
            batch,
            ..Point::new(group, flops, loss)
        }))
    }

    fn nats(&self, row: usize, loss: f64) -> Result<f64> {
        let nats = self.unit.to_nats(loss);
        if nats > 0.0 {
            return Ok(nats);
        }
        let place = self.columns[3].map_or_else(String::new, |column| self.place(row, column));
        Err(Error::input(format!(
            "{place}: `{loss}` is no {}",
            self.unit.name()
        )))
    }

    fn place(&self, row: usize, column: usize) -> String {
        format!(
            "{}:{}: column `{}`",
            self.table.file,
            self.table.line(row),
            self.table.columns[column].escape_debug()
        )
    }

    fn number(&self, row: usize, column: usize) -> Result<Option<f64>> {
        let text = self.table.cell(row, column);
        if figures::is_missing(text) || text.eq_ignore_ascii_case("nan") {
            return Ok(None);
        }
        let wrong = |what: &str| {
            Error::input(format!(
                "{}: `{}` {what}",
                self.place(row, column),
                text.escape_debug()
            ))
        };
        let place = (0..NAMES.len()).find(|place| self.columns[*place] == Some(column));
        let of = place.map_or(Quantity::Plain, quantity);
        let named = place.and_then(|place| self.named[place]);
        match figure(text, self.table.marks(column), of, named) {
            Some(value) if value > 0.0 && value.is_finite() => Ok(Some(value)),
            Some(_) => Err(wrong("is not a positive finite number")),
            None => Err(wrong("is no number").hint(figures::hint(text))),
        }
    }

    fn repeat(&self, row: usize, column: usize) -> Result<u64> {
        let text = self.table.cell(row, column);
        text.parse().map_err(|_| {
            let place = self.place(row, column);
            Error::input(format!("{place}: `{}` is no whole number from 0", text.escape_debug()))
                .hint("a repeat is a seed or a run's number; leave the column out where runs are not repeated")
        })
    }

    /// Columns that were taken although they are called by no name of the list.
    fn guessed(&self) -> impl Iterator<Item = String> {
        (0..4).filter_map(|place| {
            let column = self.columns[place].filter(|_| !self.mapped[place])?;
            let listed = guess::is_listed(self.table, NAMES[place], column);
            (!listed).then(|| {
                format!(
                    "{} is taken from `{}`: --map {}=COLUMN takes another",
                    NAMES[place],
                    self.table.columns[column].escape_debug(),
                    NAMES[place]
                )
            })
        })
    }

    /// What the names of columns say that their figures are counted in.
    fn scaled(&self) -> impl Iterator<Item = String> {
        (0..NAMES.len()).filter_map(|place| {
            let (unit, column) = (self.named[place]?, self.columns[place]?);
            Some(format!(
                "figures of `{}` are multiplied by {unit:e}, as its name says: `--unit {}=1` takes them as they are",
                self.table.columns[column].escape_debug(),
                NAMES[place]
            ))
        })
    }

    /// A column that nobody asked for and that holds about 6 N D, where the table has no FLOPs by name.
    fn compute_elsewhere(&self, points: &[Point], rows: &[usize]) -> Option<String> {
        if self.columns[2].is_some() {
            return None;
        }
        let near = |column: usize| {
            let marks = self.table.marks(column);
            let named = columns::name_unit(&self.table.columns[column], Quantity::Flops);
            let agrees = |(point, row): (&Point, &usize)| {
                let text = self.table.cell(*row, column);
                let found = figure(text, marks, Quantity::Flops, named);
                found.is_some_and(|c| (1.0 / ABOUT..=ABOUT).contains(&(c / point.flops)))
            };
            let those = points.iter().zip(rows);
            those.filter(|pair| agrees(*pair)).count()
        };
        let least = (NEARLY_ALL * points.len() as f64).ceil().max(1.0) as usize;
        let (column, count) = (0..self.table.columns.len())
            .filter(|column| !self.columns.contains(&Some(*column)))
            .map(|column| (column, near(column)))
            .find(|(_, count)| *count >= least)?;
        let name = self.table.columns[column].escape_debug().to_string();
        let quoted = match name
            .chars()
            .all(|c| c.is_alphanumeric() || "_/.-".contains(c))
        {
            true => name.clone(),
            false => format!("\"{name}\""),
        };
        Some(format!(
            "`{name}` is within a factor of {ABOUT} of 6 N D in {count} of {}: if it holds the FLOPs, `--map flops={quoted}` takes them",
            self::rows(points.len())
        ))
    }

    fn notes(&self, skipped: &[usize], points: &[Point]) -> Vec<String> {
        let [params, tokens, flops, loss, ..] = self.columns;
        let mut notes = self.table.notes();
        if params.is_some() {
            notes.push(
                "N is what the table calls its parameters: whether embeddings count is its own choice".to_owned(),
            );
        }
        let ratio = self.columns[11].filter(|_| tokens.is_none());
        notes.extend(self.guessed());
        if let Some(column) = ratio {
            notes.push(format!(
                "D is N times `{}`",
                self.table.columns[column].escape_debug()
            ));
        }
        match (flops, tokens.or(ratio)) {
            (None, _) => notes.push("C is 6 N D, as the table has no FLOPs".to_owned()),
            (_, None) if params.is_some() => {
                notes.push("D is C / (6 N), as the table has no tokens".to_owned())
            }
            (_, Some(_)) if params.is_none() => {
                notes.push("N is C / (6 D), as the table has no parameters".to_owned())
            }
            _ => {}
        }
        notes.extend(self.scaled());
        let column = loss.map_or("loss", |column| self.table.columns[column].as_str());
        match self.unit {
            LossUnit::Nats if points.iter().any(|point| self.unit.is_doubtful(point.loss)) => {
                let highest = points.iter().map(|point| point.loss).fold(0.0, f64::max);
                notes.push(format!(
                    "`{column}` goes up to {highest} and is taken as nats, which would be worse than guessing: is it a perplexity \
                     (`--unit loss=perplexity`)?"
                ));
            }
            LossUnit::Nats => {}
            LossUnit::BitsPerByte => notes.push(format!(
                "`{column}` is in bits per byte: the law is of nats per byte"
            )),
            unit => notes.push(format!(
                "`{column}` is in {}: the law is of nats",
                unit.name()
            )),
        }
        if !skipped.is_empty() {
            notes.push(format!(
                "{} left out for want of a figure ({})",
                rows(skipped.len()),
                lines(skipped)
            ));
        }
        notes
    }
}

fn rows(count: usize) -> String {
    format!("{count} row{}", if count == 1 { "" } else { "s" })
}

/// `line 3, 7 and 12 more`.
fn lines(found: &[usize]) -> String {
    let named: Vec<String> = found
        .iter()
        .take(NAMED_LINES)
        .map(usize::to_string)
        .collect();
    let rest = if found.len() > NAMED_LINES {
        format!(" and {} more", found.len() - NAMED_LINES)
    } else {
        String::new()
    };
    format!("line {}{rest}", named.join(", "))
}

mod guess;
mod magnitudes;
pub mod sweep;
#[cfg(test)]
mod tests;
