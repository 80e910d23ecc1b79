//! What of a log means what: roles, and where each is taken from.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::record::delimited::Table;

/// What a figure or a name in a log can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Which run a row belongs to.
    Run,
    /// The algorithm.
    Variant,
    /// The size.
    Scale,
    /// The random seed: pairs the runs of different variants.
    Seed,
    /// Planned steps, where a log may end early.
    Budget,
    /// Optimizer steps done.
    Step,
    /// Training tokens seen.
    Tokens,
    /// Tokens of one step, where the log counts steps only.
    TokensPerStep,
    /// Training FLOPs spent.
    Flops,
    /// Seconds of training.
    Seconds,
    /// Parameters.
    Params,
    /// Training loss.
    TrainLoss,
    /// The loss that is judged.
    Loss,
}

/// Every role by its name on the command line, with one sentence.
pub const ROLES: [(&str, Role, &str); 13] = [
    ("run", Role::Run, "which run a row belongs to; `@row` where each row is a run of its own"),
    ("variant", Role::Variant, "the algorithm: what is compared"),
    ("scale", Role::Scale, "the size: only runs of one size are compared"),
    ("seed", Role::Seed, "the random seed, by which runs of different variants are paired"),
    ("budget", Role::Budget, "planned steps; without it those that were done"),
    ("step", Role::Step, "optimizer steps done"),
    ("tokens", Role::Tokens, "training tokens seen"),
    ("tokens_per_step", Role::TokensPerStep, "tokens of one step, where a log counts steps only"),
    ("flops", Role::Flops, "training FLOPs spent; without them 6 N D from params and tokens"),
    ("seconds", Role::Seconds, "seconds of training (`12.5`, `12.5s`, `387ms`)"),
    ("params", Role::Params, "parameters of the model"),
    ("train_loss", Role::TrainLoss, "training loss in nats per token, for the curve"),
    ("loss", Role::Loss, "the loss that is judged, in nats per token; its last value is the run's result"),
];

impl Role {
    /// As on the command line.
    pub fn name(self) -> &'static str {
        ROLES.iter().find(|(_, role, _)| *role == self).map_or("", |(name, ..)| name)
    }

    fn of(name: &str) -> Result<Self> {
        let found = ROLES.iter().find(|(known, ..)| *known == name);
        found.map(|(_, role, _)| *role).ok_or_else(|| {
            Error::input(format!("unknown role `{}`", name.escape_debug())).suggest(name, ROLES.map(|(name, ..)| name))
        })
    }

    /// Names may be put together from several columns.
    fn is_name(self) -> bool {
        matches!(self, Self::Run | Self::Variant | Self::Scale)
    }
}

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
}

/// Where everything is taken from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mapping(BTreeMap<Role, Source>);

impl Mapping {
    /// Reads lists of `ROLE=COLUMN` (or `ROLE=@file`, `ROLE=@row`), and `ROLE=VALUE` for the whole log.
    ///
    /// # Errors
    ///
    /// No `=`, an unknown role, one that is given twice, an unknown `@` word.
    pub fn parse(columns: &[String], constants: &[String]) -> Result<Self> {
        let mut mapping = Self::default();
        let columns: Vec<String> = columns.iter().flat_map(|list| pairs(list)).collect();
        for text in &columns {
            let (role, source) = assignment("--map", "COLUMN", text)?;
            let source = match source {
                "@file" => Source::File,
                "@row" if role == Role::Run => Source::Row,
                other if other.starts_with('@') => {
                    let message = format!("--map {text}: `{other}` is no source for {}", role.name());
                    return Err(Error::input(message).hint("there is: a column's name, @file, and @row for `run`"));
                }
                column => Source::Column(column.to_owned()),
            };
            mapping.add(role, source)?;
        }
        for text in constants {
            let (role, value) = assignment("--let", "VALUE", text)?;
            mapping.add(role, Source::Constant(value.to_owned()))?;
        }
        Ok(mapping)
    }

    fn add(&mut self, role: Role, source: Source) -> Result<()> {
        match self.0.insert(role, source) {
            None => Ok(()),
            Some(_) => Err(Error::input(format!("`{}` is given twice", role.name())).hint("give it once")),
        }
    }

    /// Finds the columns in a table. A role that nobody mentioned is taken from the column of its own name, if there is one.
    ///
    /// # Errors
    ///
    /// A column that the table does not have.
    pub fn bind<'a>(&'a self, table: &Table, stem: &'a str) -> Result<Bound<'a>> {
        let mut places = BTreeMap::new();
        for (name, role, _) in ROLES {
            let place = match self.0.get(&role) {
                Some(Source::Column(column)) => Place::Cells(cells(table, column, role)?),
                Some(Source::File) => Place::Text(stem),
                Some(Source::Row) => Place::Row,
                Some(Source::Constant(value)) => Place::Text(value),
                None if table.columns.iter().any(|column| column == name) => Place::Cells(vec![table.column(name)?]),
                None => continue,
            };
            places.insert(role, place);
        }
        Ok(Bound(places))
    }

    /// For the record: what was asked for, with the columns that were taken because of their names.
    pub fn document(&self, table: &Table) -> Value {
        let (mut columns, mut constants) = (Map::new(), Map::new());
        for (name, role, _) in ROLES {
            let (kind, text) = match self.0.get(&role) {
                Some(Source::Column(column)) => (&mut columns, column.as_str()),
                Some(Source::File) => (&mut columns, "@file"),
                Some(Source::Row) => (&mut columns, "@row"),
                Some(Source::Constant(value)) => (&mut constants, value.as_str()),
                None if table.columns.iter().any(|column| column == name) => (&mut columns, name),
                None => continue,
            };
            kind.insert(name.to_owned(), text.into());
        }
        Value::Object(Map::from_iter([
            ("columns".to_owned(), Value::Object(columns)),
            ("constants".to_owned(), Value::Object(constants)),
        ]))
    }
}

/// The pairs of a list; what has no `=` belongs to the pair before it, as a column's name may hold commas.
fn pairs(list: &str) -> Vec<String> {
    let mut pairs: Vec<String> = Vec::new();
    for part in list.split(',') {
        match pairs.last_mut() {
            Some(last) if !part.contains('=') => last.extend([",", part]),
            _ => pairs.push(part.to_owned()),
        }
    }
    pairs
}

fn assignment<'a>(flag: &str, what: &str, text: &'a str) -> Result<(Role, &'a str)> {
    match text.split_once('=').map(|(role, source)| (role.trim(), source.trim())) {
        Some((role, source)) if !role.is_empty() && !source.is_empty() => Ok((Role::of(role)?, source)),
        _ => Err(Error::input(format!("{flag} {}: expected ROLE={what}", text.escape_debug()))
            .hint(format!("such as {flag} loss={}", if what == "COLUMN" { "validation_loss" } else { "3.2" }))),
    }
}

/// The place of a column, or of several that make a name: `optimizer+norm`.
fn cells(table: &Table, column: &str, role: Role) -> Result<Vec<usize>> {
    let whole = table.columns.iter().any(|known| known == column);
    if whole || !role.is_name() || !column.contains('+') {
        return Ok(vec![table.column(column)?]);
    }
    column.split('+').map(|part| table.column(part.trim())).collect()
}

/// A mapping whose columns are found.
pub struct Bound<'a>(BTreeMap<Role, Place<'a>>);

enum Place<'a> {
    Cells(Vec<usize>),
    Text(&'a str),
    Row,
}

impl Bound<'_> {
    /// Whether the log says anything of a role.
    pub fn has(&self, role: Role) -> bool {
        self.0.contains_key(&role)
    }

    /// What a row says of a role; `None` where the cell is empty or nothing is mapped.
    pub fn text(&self, role: Role, table: &Table, row: usize) -> Option<String> {
        let cells = &table.rows[row].cells;
        let text = match self.0.get(&role)? {
            Place::Text(text) => (*text).to_owned(),
            Place::Row => (row + 1).to_string(),
            Place::Cells(places) => places.iter().map(|&place| cells[place].trim()).collect::<Vec<_>>().join("-"),
        };
        let empty = ["null", "none", "na", "n/a", "-"].contains(&text.to_ascii_lowercase().as_str());
        (!text.is_empty() && (role.is_name() || !empty)).then_some(text)
    }

    /// The column of a role, for messages.
    pub fn column<'t>(&self, role: Role, table: &'t Table) -> &'t str {
        match self.0.get(&role) {
            Some(Place::Cells(places)) => table.columns[places[0]].as_str(),
            _ => role.name(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(columns: &[&str], constants: &[&str]) -> Result<Mapping> {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        Mapping::parse(&owned(columns), &owned(constants))
    }

    #[test]
    fn each_source_gives_its_text() {
        let table =
            Table::parse("x.csv", "opt,norm,a+b,seed,\"loss, val\"\nadam,rms,7,3,2.5\nmuon,,8,NA,\n", ',').unwrap();
        let mapping = parse(&["variant=opt+norm,loss=loss, val,scale=a+b", "run=@row"], &["params=124e6"]).unwrap();
        let bound = mapping.bind(&table, "stem").unwrap();
        let rows = [
            (Role::Variant, 0, Some("adam-rms")),
            (Role::Scale, 0, Some("7")),
            (Role::Run, 1, Some("2")),
            (Role::Params, 1, Some("124e6")),
            (Role::Seed, 0, Some("3")),
            (Role::Seed, 1, None),
            (Role::Loss, 0, Some("2.5")),
            (Role::Loss, 1, None),
            (Role::Tokens, 0, None),
        ];
        for (role, row, expected) in rows {
            assert_eq!(bound.text(role, &table, row).as_deref(), expected, "{role:?} {row}");
        }
        assert_eq!(
            mapping.document(&table).to_string(),
            r#"{"columns":{"run":"@row","variant":"opt+norm","scale":"a+b","seed":"seed","loss":"loss, val"},"constants":{"params":"124e6"}}"#
        );
        assert_eq!(
            parse(&["variant=@file"], &[]).unwrap().bind(&table, "stem").unwrap().text(Role::Variant, &table, 0),
            Some("stem".to_owned())
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let rows: [(&[&str], &[&str], &str, &str); 7] = [
            (&["loss"], &[], "--map loss: expected ROLE=COLUMN", "loss=validation_loss"),
            (&["=x"], &[], "--map =x: expected", ""),
            (&["varriant=x"], &[], "unknown role `varriant`", "did you mean `variant`?"),
            (&["zzz=x"], &[], "unknown role `zzz`", "there is: run, variant"),
            (&["loss=a", "loss=b"], &[], "`loss` is given twice", ""),
            (&["seed=a"], &["seed=1"], "`seed` is given twice", ""),
            (&["loss=@row"], &[], "--map loss=@row: `@row` is no source for loss", "@file"),
        ];
        for (columns, constants, says, hint) in rows {
            let error = parse(columns, constants).unwrap_err();
            assert!(error.message.starts_with(says), "{error}");
            assert!(error.hint.unwrap_or_default().contains(hint), "{says}");
        }
        let table = Table::parse("x.csv", "opt,loss\n", ',').unwrap();
        let error = parse(&["variant=opt+nrm"], &[]).unwrap().bind(&table, "x").err().unwrap();
        assert_eq!(error.message, "x.csv: no column `nrm`");
    }
}
