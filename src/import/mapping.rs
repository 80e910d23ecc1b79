//! What of a log means what: roles, and where each is taken from.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::assignments::{assignment, pairs};
use super::pattern::Pattern;
use super::role::{ROLES, Role};
use super::shape;
use crate::error::{Error, Result};
use crate::import::columns;
use crate::import::delimited::Table;
use crate::import::figures::{self, Marks};
use crate::record::LossUnit;

/// Where a role's value is taken from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    /// A column's cell; as it was typed, since only the file says whether `a+b` is one column or two.
    Column(String),
    /// The file's name without its extension.
    File,
    /// The row's own number.
    Row,
    /// The same everywhere.
    Constant(String),
    /// A part of a name, by the split of this number.
    Part(usize),
}

/// A name that holds several roles: a column's cells, or the file's name.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Split {
    /// `None` for the file's name.
    column: Option<String>,
    pattern: Pattern,
}

/// Where everything is taken from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mapping {
    sources: BTreeMap<Role, Source>,
    splits: Vec<Split>,
    /// What losses are counted in, where their columns do not say it.
    pub unit: Option<LossUnit>,
}

/// What a log is called.
#[derive(Debug, Clone, Copy)]
pub struct Named<'a> {
    /// The file's name without its extension.
    pub stem: &'a str,
    /// As it was given, with its folders.
    pub path: &'a str,
}

impl Mapping {
    /// Reads lists of `ROLE=COLUMN` (or `ROLE=@file`, `ROLE=@row`), `ROLE=VALUE` for the whole log, and `SOURCE=PATTERN` for
    /// names that hold several roles.
    ///
    /// # Errors
    ///
    /// No `=`, an unknown role, one that is given twice, an unknown `@` word, a pattern that is none.
    pub fn parse(columns: &[String], constants: &[String], splits: &[String]) -> Result<Self> {
        let mut mapping = Self::default();
        let columns: Vec<String> = columns.iter().flat_map(|list| pairs(list)).collect();
        for text in &columns {
            let (role, source) = assignment("--map", "COLUMN", text)?;
            let source = match source {
                "@file" => Source::File,
                "@row" if role == Role::Run => Source::Row,
                other if other.starts_with('@') => {
                    let message =
                        format!("--map {text}: `{other}` is no source for {}", role.name());
                    return Err(Error::input(message)
                        .hint("there is: a column's name, @file, and @row for `run`"));
                }
                column => Source::Column(column.to_owned()),
            };
            mapping.add(role, source)?;
        }
        for text in constants {
            let (role, value) = assignment("--let", "VALUE", text)?;
            mapping.add(role, Source::Constant(value.to_owned()))?;
        }
        for text in splits {
            let Some((source, pattern)) = text
                .split_once('=')
                .filter(|(source, _)| !source.trim().is_empty())
            else {
                return Err(Error::input(format!(
                    "--split {}: expected SOURCE=PATTERN",
                    text.escape_debug()
                ))
                .hint(
                    "such as --split '@file={variant}_seed{seed}', or a column's name for @file",
                ));
            };
            let pattern = Pattern::parse(pattern.trim())?;
            let mut roles: Vec<Role> = pattern.roles().collect();
            roles.sort_unstable();
            roles.dedup();
            for role in roles {
                mapping.add(role, Source::Part(mapping.splits.len()))?;
            }
            let column = Some(source.trim())
                .filter(|source| *source != "@file")
                .map(str::to_owned);
            mapping.splits.push(Split { column, pattern });
        }
        Ok(mapping)
    }

    fn add(&mut self, role: Role, source: Source) -> Result<()> {
        match self.sources.insert(role, source) {
            None => Ok(()),
            Some(_) => {
                Err(Error::input(format!("`{}` is given twice", role.name())).hint("give it once"))
            }
        }
    }

    /// Finds the columns in a table. A role that nobody mentioned is taken from a column that is called like it, if there is one.
    ///
    /// # Errors
    ///
    /// A column that the table does not have, two that could be a role, a file's name that does not look like its pattern.
    pub fn bind<'a>(&'a self, table: &Table, named: Named<'a>) -> Result<Bound<'a>> {
        let mut places = BTreeMap::new();
        for (name, role, _) in ROLES {
            let place = match self.sources.get(&role) {
                Some(Source::Column(column)) => Place::Cells(cells(table, column, role)?),
                Some(Source::File) => Place::Text(named.stem.to_owned()),
                Some(Source::Row) => Place::Row,
                Some(Source::Constant(value)) => Place::Text(value.clone()),
                Some(Source::Part(split)) => self.part(*split, role, table, named)?,
                None => match self.unmentioned(table, name, role)? {
                    Some(Unmentioned::Column(place)) => Place::Cells(vec![place]),
                    Some(Unmentioned::Made(made)) => Place::Made(made),
                    Some(Unmentioned::Whole(made)) => Place::Whole(made(table)),
                    Some(Unmentioned::File) => Place::Text(named.stem.to_owned()),
                    None => continue,
                },
            };
            places.insert(role, place);
        }
        let shape = shape::of(table);
        // Where a log states no other loss, the training's is all that can be judged, and that is told.
        let unasked = !self.sources.contains_key(&Role::TrainLoss) && shape.is_none();
        let of_training = unasked && !places.contains_key(&Role::Loss);
        if of_training && let Some(place) = places.remove(&Role::TrainLoss) {
            places.insert(Role::Loss, place);
        }
        let asked: BTreeSet<Role> = self.sources.keys().copied().collect();
        let measured = shape.is_some() || asked.iter().any(|role| role.is_measure());
        let by_row = match places.get(&Role::Run) {
            Some(Place::Row) => true,
            Some(_) if asked.contains(&Role::Run) => false,
            _ => match shape {
                Some(shape) => shape.by_row,
                // A log of power is one run, unless somebody says that its rows are.
                None => {
                    measured && !places.contains_key(&Role::Loss) && !asked.contains(&Role::Watts)
                }
            },
        };
        if by_row {
            places.insert(Role::Run, Place::Row);
        }
        let energy = match places.get(&Role::Joules) {
            Some(Place::Cells(columns)) => columns::energy_unit(&table.columns[columns[0]]),
            _ => None,
        };
        let places_loss = places.contains_key(&Role::Loss);
        Ok(Bound {
            places,
            units: self.units(table)?,
            asked,
            measured,
            of_training: of_training && places_loss,
            by_row,
            joules: energy.or(shape.map(|shape| shape.energy_j)).unwrap_or(1.0),
        })
    }

    /// Where a role that nobody mentioned is taken from: what a known tool's table has it in, else a column that is called like it.
    /// One that something else was mentioned for is not taken twice.
    fn unmentioned(&self, table: &Table, name: &str, role: Role) -> Result<Option<Unmentioned>> {
        let shape = shape::of(table);
        if role == Role::Run && shape.is_some_and(|shape| shape.by_row) {
            return Ok(None);
        }
        let found = match shape.and_then(|shape| shape.source(role)) {
            Some(shape::From::Made(made)) => return Ok(Some(Unmentioned::Made(made))),
            Some(shape::From::Whole(made)) => return Ok(Some(Unmentioned::Whole(made))),
            Some(shape::From::Column(column)) => table.columns.iter().position(|c| c == column),
            None => columns::find(table, name)?,
        };
        let taken = |place: usize| {
            let column = &table.columns[place];
            let mut sources = self.sources.values();
            sources.any(|source| matches!(source, Source::Column(named) if named == column))
        };
        let found = found.filter(|place| !taken(*place));
        // What a tool measured without a name is called like its file; standard input has none.
        let named = shape.is_some() && role == Role::Variant && table.file != "-";
        Ok(found
            .map(Unmentioned::Column)
            .or(named.then_some(Unmentioned::File)))
    }

    fn part<'a>(
        &'a self,
        split: usize,
        role: Role,
        table: &Table,
        named: Named,
    ) -> Result<Place<'a>> {
        let Split { column, pattern } = &self.splits[split];
        let Some(column) = column else {
            let names = pattern.names(named.path);
            return match names.iter().find_map(|name| pattern.take(role, name)) {
                Some(text) => Ok(Place::Text(text)),
                None => Err(Error::input(format!("{}: its name does not look like `{}`", table.file, pattern.text))
                    .hint("{variant} takes a name, {seed} digits, * anything; the extension may be left out")),
            };
        };
        Ok(Place::Part(table.column(column)?, pattern))
    }

    /// What the judged and the training loss are counted in.
    fn units(&self, table: &Table) -> Result<[LossUnit; 2]> {
        let told = |role: Role, name: &str| -> Result<Option<LossUnit>> {
            let column = match self.sources.get(&role) {
                Some(Source::Column(column)) => Some(column.as_str()),
                Some(_) => None,
                None => match self.unmentioned(table, name, role)? {
                    Some(Unmentioned::Column(place)) => Some(table.columns[place].as_str()),
                    _ => None,
                },
            };
            if let Some(place) = column.and_then(|name| table.column(name).ok()) {
                columns::refuse_decimal(table, place)?;
            }
            Ok(column.and_then(LossUnit::of_column))
        };
        let (loss, train) = (
            told(Role::Loss, "loss")?,
            told(Role::TrainLoss, "train_loss")?,
        );
        Ok([
            self.unit.or(loss).unwrap_or_default(),
            train.or(self.unit).unwrap_or_default(),
        ])
    }

    /// The columns that are taken because they are called so, where their name is not the role's: `loss = eval_loss`.
    pub fn by_name(&self, table: &Table) -> Vec<String> {
        let unasked = ROLES
            .iter()
            .filter(|(_, role, _)| !self.sources.contains_key(role));
        let found = unasked.filter_map(|(name, role, _)| {
            let place = match self.unmentioned(table, name, *role).ok().flatten()? {
                Unmentioned::Column(place) => place,
                Unmentioned::File => return Some(format!("{name} = @file (the file's name)")),
                _ => return None,
            };
            let column = &table.columns[place];
            (column != name).then(|| format!("{name} = {}", column.escape_debug()))
        });
        found.collect()
    }

    /// Whether somebody said where a role is taken from.
    pub fn says(&self, role: Role) -> bool {
        self.sources.contains_key(&role)
    }

    /// The column that somebody said a role is taken from.
    pub fn column(&self, role: Role) -> Option<&str> {
        let source = self.sources.get(&role);
        source.and_then(|source| match source {
            Source::Column(column) => Some(column.as_str()),
            _ => None,
        })
    }

    /// For the record: what was asked for, with the columns that were taken because of their names.
    pub fn document(&self, table: &Table) -> Value {
        let (mut columns, mut constants) = (Map::new(), Map::new());
        for (name, role, _) in ROLES {
            let (kind, text) = match self.sources.get(&role) {
                Some(Source::Column(column)) => (&mut columns, column.clone()),
                Some(Source::File) => (&mut columns, "@file".to_owned()),
                Some(Source::Row) => (&mut columns, "@row".to_owned()),
                Some(Source::Constant(value)) => (&mut constants, value.clone()),
                Some(Source::Part(split)) => {
                    let Split { column, pattern } = &self.splits[*split];
                    (
                        &mut columns,
                        format!("{}: {}", column.as_deref().unwrap_or("@file"), pattern.text),
                    )
                }
                None => match (self.unmentioned(table, name, role), shape::of(table)) {
                    (Ok(Some(Unmentioned::Column(place))), _) => {
                        (&mut columns, table.columns[place].clone())
                    }
                    (Ok(Some(Unmentioned::File)), _) => (&mut columns, "@file".to_owned()),
                    (Ok(Some(Unmentioned::Made(_) | Unmentioned::Whole(_))), Some(shape)) => {
                        (&mut columns, format!("@{}", shape.name))
                    }
                    _ => continue,
                },
            };
            kind.insert(name.to_owned(), text.into());
        }
        Value::Object(Map::from_iter([
            ("columns".to_owned(), Value::Object(columns)),
            ("constants".to_owned(), Value::Object(constants)),
        ]))
    }
}

/// The place of a column, or of several that make a name.
fn cells(table: &Table, column: &str, role: Role) -> Result<Vec<usize>> {
    let whole = table.columns.iter().any(|known| known == column);
    if whole || !role.is_name() || !column.contains('+') {
        return Ok(vec![table.column(column)?]);
    }
    column
        .split('+')
        .map(|part| table.column(part.trim()))
        .collect()
}

/// Where a role that nobody mentioned is found.
enum Unmentioned {
    Column(usize),
    Made(Made),
    Whole(fn(&Table) -> Vec<String>),
    /// The file's name.
    File,
}

/// A figure or a name that a known tool's row gives.
type Made = fn(&Table, usize) -> Option<String>;

/// A mapping whose columns are found.
pub struct Bound<'a> {
    places: BTreeMap<Role, Place<'a>>,
    /// Of the judged loss and of the training loss.
    units: [LossUnit; 2],
    /// What somebody asked for, so that a figure that is none is refused.
    asked: BTreeSet<Role>,
    measured: bool,
    of_training: bool,
    by_row: bool,
    joules: f64,
}

enum Place<'a> {
    Cells(Vec<usize>),
    Text(String),
    Part(usize, &'a Pattern),
    Made(Made),
    Whole(Vec<String>),
    Row,
}

impl Bound<'_> {
    /// Whether the log says anything of a role.
    pub fn has(&self, role: Role) -> bool {
        self.places.contains_key(&role)
    }

    /// Whether each row is a run of its own: so it was asked for, or it is a table of speeds or energies without a loss.
    pub fn is_by_row(&self) -> bool {
        self.by_row
    }

    /// Whether the loss that is judged is the training's, as there is no other.
    pub fn judges_training(&self) -> bool {
        self.of_training
    }

    /// Whether the log is of a known tool or was said to hold speeds, energies or accuracies, so that it may lack a loss.
    pub fn is_measured(&self) -> bool {
        self.measured
    }

    /// Whether somebody said where a role is taken from.
    pub fn is_asked(&self, role: Role) -> bool {
        self.asked.contains(&role)
    }

    /// What a figure without a unit of its own is counted in, in joules.
    pub fn joules(&self) -> f64 {
        self.joules
    }

    /// What a loss is counted in.
    pub fn unit(&self, role: Role) -> LossUnit {
        self.units[usize::from(role == Role::TrainLoss)]
    }

    /// What a row says of a role; `None` where the cell is empty or nothing is mapped.
    pub fn text<'t>(&'t self, role: Role, table: &'t Table, row: usize) -> Option<Cow<'t, str>> {
        let text = match self.places.get(&role)? {
            Place::Text(text) => Cow::Borrowed(text.as_str()),
            Place::Row => Cow::Owned((row + 1).to_string()),
            Place::Made(made) => Cow::Owned(made(table, row).unwrap_or_default()),
            Place::Whole(texts) => Cow::Borrowed(texts[row].as_str()),
            Place::Cells(places) if places.len() == 1 => Cow::Borrowed(table.cell(row, places[0])),
            Place::Cells(places) => Cow::Owned(
                places
                    .iter()
                    .map(|&place| table.cell(row, place))
                    .collect::<Vec<_>>()
                    .join("-"),
            ),
            Place::Part(column, pattern) => Cow::Owned(
                pattern
                    .take(role, table.cell(row, *column))
                    .unwrap_or_default(),
            ),
        };
        let empty =
            text.is_empty() || (!role.is_name() && (figures::is_missing(&text) || text == "-"));
        (!empty).then_some(text)
    }

    /// The cell that a role's pattern does not fit, with the pattern.
    pub fn unlike<'t>(
        &'t self,
        role: Role,
        table: &'t Table,
        row: usize,
    ) -> Option<(&'t str, &'t str)> {
        let Place::Part(column, pattern) = self.places.get(&role)? else {
            return None;
        };
        let cell = table.cell(row, *column);
        pattern
            .take(role, cell)
            .is_none()
            .then_some((cell, pattern.text.as_str()))
    }

    /// How the column of a role writes its numbers.
    pub fn marks(&self, role: Role, table: &Table) -> Marks {
        match self.places.get(&role) {
            Some(Place::Cells(places)) => table.marks(places[0]),
            _ => Marks::Plain,
        }
    }

    /// The column of a role, for messages.
    pub fn column<'t>(&self, role: Role, table: &'t Table) -> &'t str {
        match self.places.get(&role) {
            Some(Place::Cells(places)) => table.columns[places[0]].as_str(),
            Some(Place::Part(column, _)) => table.columns[*column].as_str(),
            _ => role.name(),
        }
    }
}

#[cfg(test)]
mod tests;
