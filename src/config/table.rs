//! A TOML file's tables as plain data, read field by field; every refusal names file, line and key.

use serde_json::Value;

use super::knobs::whole;
use super::tree::{Origin, Tree};
use crate::error::{Error, Result};

/// The tables that hold spec keys; a variant's or a suite's other fields are about itself.
pub const SPEC_TABLES: [&str; 7] = [
    "model", "train", "data", "compute", "measure", "infer", "shape",
];

/// A table of a TOML file.
#[derive(Debug, Clone)]
pub struct Table {
    /// Dotted path within the file, for messages; empty at the top.
    pub(super) path: String,
    pub(super) origin: Origin,
    pub(super) fields: Vec<Field>,
}

/// One field of a table.
#[derive(Debug, Clone)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) origin: Origin,
    pub(super) node: Node,
}

/// What a field holds.
#[derive(Debug, Clone)]
pub(super) enum Node {
    /// Number, string, boolean or array of such.
    Leaf(Value),
    Table(Table),
    Rows(Vec<Table>),
}

impl Table {
    /// A refusal that names file, line and key.
    pub fn refuse(&self, name: &str, why: &str) -> Error {
        let key = self.key(name);
        match self.field(name) {
            Some(Field {
                origin,
                node: Node::Leaf(value),
                ..
            }) => Error::input(format!("{origin}: {key} = {value}: {why}")),
            Some(field) => Error::input(format!("{}: {key}: {why}", field.origin)),
            None => Error::input(format!("{}: {key}: {why}", self.origin)),
        }
    }

    /// Where a field was written; the table itself where it is absent.
    pub fn origin(&self, name: &str) -> Origin {
        self.field(name)
            .map_or(&self.origin, |field| &field.origin)
            .clone()
    }

    /// Refuses fields that are not among `known`.
    pub fn check(&self, known: &[&str]) -> Result<()> {
        match self
            .fields
            .iter()
            .find(|field| !known.contains(&field.name.as_str()))
        {
            None => Ok(()),
            Some(field) => {
                let message = format!(
                    "{}: unknown field `{}`",
                    field.origin,
                    self.key(&field.name)
                );
                Err(Error::input(message).suggest(&field.name, known.iter().copied()))
            }
        }
    }

    /// The value, or the refusal that it is missing.
    pub fn need<T>(&self, name: &str, value: Option<T>) -> Result<T> {
        value.ok_or_else(|| {
            Error::input(format!("{}: `{}` is missing", self.origin, self.key(name)))
        })
    }

    /// A string.
    pub fn text(&self, name: &str) -> Result<Option<String>> {
        self.one(name, "a string", |v| v.as_str().map(str::to_owned))
    }

    /// A whole number of at least 1.
    pub fn count(&self, name: &str) -> Result<Option<u64>> {
        self.one(name, "a whole number of at least 1", count)
    }

    /// A number above 0.
    pub fn positive(&self, name: &str) -> Result<Option<f64>> {
        self.one(name, "a number above 0", positive)
    }

    /// A number that `ok` accepts.
    pub fn number(&self, name: &str, want: &str, ok: impl Fn(f64) -> bool) -> Result<Option<f64>> {
        self.one(name, want, |v| v.as_f64().filter(|v| ok(*v)))
    }

    /// True or false.
    pub fn bool(&self, name: &str) -> Result<Option<bool>> {
        self.one(name, "true or false", Value::as_bool)
    }

    /// Strings: a list of at least one, or a single one.
    pub fn texts(&self, name: &str) -> Result<Option<Vec<String>>> {
        self.many(name, "strings", |v| v.as_str().map(str::to_owned))
    }

    /// Whole numbers of at least 1: a list of at least one, or a single one.
    pub fn counts(&self, name: &str) -> Result<Option<Vec<u64>>> {
        self.many(name, "whole numbers of at least 1", count)
    }

    /// Numbers above 0: a list of at least one, or a single one.
    pub fn positives(&self, name: &str) -> Result<Option<Vec<f64>>> {
        self.many(name, "numbers above 0", positive)
    }

    /// Numbers: a list of at least one, or a single one.
    pub fn numbers(&self, name: &str) -> Result<Option<Vec<f64>>> {
        self.many(name, "numbers", Value::as_f64)
    }

    /// A table below this one.
    pub fn table(&self, name: &str) -> Result<Option<&Table>> {
        match self.field(name).map(|field| &field.node) {
            None => Ok(None),
            Some(Node::Table(table)) => Ok(Some(table)),
            Some(_) => Err(self.refuse(name, &format!("expected a table, `[{}]`", self.key(name)))),
        }
    }

    /// The table below this one where the field holds one; a value, or nothing, is no mistake here.
    pub fn inner(&self, name: &str) -> Option<&Table> {
        match self.field(name).map(|field| &field.node) {
            Some(Node::Table(table)) => Some(table),
            _ => None,
        }
    }

    /// The tables below this one, by name; any other field is refused.
    pub fn tables(&self) -> Result<Vec<(&str, &Table)>> {
        let table = |field: &'_ Field| self.table(&field.name).map(|table| table.is_some());
        self.fields
            .iter()
            .try_for_each(|field| table(field).map(drop))?;
        Ok(self
            .fields
            .iter()
            .filter_map(|f| {
                if let Node::Table(t) = &f.node {
                    Some((&*f.name, t))
                } else {
                    None
                }
            })
            .collect())
    }

    /// The rows of an array of tables; none where it is absent.
    pub fn rows(&self, name: &str) -> Result<&[Table]> {
        match self.field(name).map(|field| &field.node) {
            None => Ok(&[]),
            Some(Node::Rows(rows)) => Ok(rows),
            Some(_) => Err(self.refuse(name, &format!("expected rows, `[[{}]]`", self.key(name)))),
        }
    }

    /// All that stands below as spec keys.
    pub fn tree(&self) -> Result<Tree> {
        let mut tree = Tree::default();
        self.fields
            .iter()
            .try_for_each(|field| self.lay(field, "", &mut tree))?;
        Ok(tree)
    }

    /// What stands in the tables of [`SPEC_TABLES`] as spec keys.
    pub fn spec_tree(&self) -> Result<Tree> {
        let mut tree = Tree::default();
        for name in SPEC_TABLES {
            if self.table(name)?.is_some()
                && let Some(field) = self.field(name)
            {
                self.lay(field, "", &mut tree)?;
            }
        }
        Ok(tree)
    }

    fn lay(&self, field: &Field, prefix: &str, tree: &mut Tree) -> Result<()> {
        let key = join(prefix, &field.name);
        match &field.node {
            Node::Leaf(value) => tree.insert(&key, value.clone(), field.origin.clone()),
            Node::Table(table) => table
                .fields
                .iter()
                .try_for_each(|inner| table.lay(inner, &key, tree))?,
            Node::Rows(_) => {
                return Err(self.refuse(&field.name, "a spec key holds a value, not rows"));
            }
        }
        Ok(())
    }

    fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    fn key(&self, name: &str) -> String {
        join(&self.path, name)
    }

    fn one<T>(
        &self,
        name: &str,
        want: &str,
        parse: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<T>> {
        match self.field(name).map(|field| &field.node) {
            None => Ok(None),
            Some(Node::Leaf(value)) if let Some(value) = parse(value) => Ok(Some(value)),
            Some(_) => Err(self.refuse(name, &format!("expected {want}"))),
        }
    }

    fn many<T>(
        &self,
        name: &str,
        want: &str,
        parse: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<Vec<T>>> {
        let all = |value: &Value| match value {
            Value::Array(values) if values.is_empty() => None,
            Value::Array(values) => values.iter().map(&parse).collect(),
            single => parse(single).map(|value| vec![value]),
        };
        self.one(name, &format!("a list of {want}"), all)
    }
}

/// A dotted key.
pub(super) fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() {
        name.to_owned()
    } else {
        format!("{prefix}.{name}")
    }
}

fn count(value: &Value) -> Option<u64> {
    whole(value).filter(|v| *v >= 1)
}

fn positive(value: &Value) -> Option<f64> {
    value.as_f64().filter(|v| *v > 0.0)
}
