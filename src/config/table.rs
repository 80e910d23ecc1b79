//! A TOML file's tables as plain data, read field by field; every refusal names file, line and key.

use serde_json::Value;

use super::knob::{Declarations, Declared, Holds, Knob};
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
    pub(super) fn refuse(&self, name: &str, why: &str) -> Error {
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

    /// Whether a field is given.
    pub(super) fn has(&self, name: &str) -> bool {
        self.field(name).is_some()
    }

    /// The refusal of a table without a field that it needs.
    pub(super) fn missing(&self, field: &dyn Declared) -> Error {
        let key = self.key(field.name());
        Error::input(format!("{}: `{key}` is missing", self.origin))
    }

    /// Where it stands.
    pub fn place(&self) -> &Origin {
        &self.origin
    }

    /// Where a field was written; the table itself where it is absent.
    fn origin(&self, name: &str) -> Origin {
        self.field(name)
            .map_or(&self.origin, |field| &field.origin)
            .clone()
    }

    /// Refuses fields that are not declared, and reads those that are.
    pub fn fields(&self, declared: Declarations) -> Result<Fields<'_>> {
        self.reader(declared, &[])
    }

    /// The same of a file that also holds spec keys, in the tables of [`SPEC_TABLES`].
    pub fn fields_beside_spec(&self, declared: Declarations) -> Result<Fields<'_>> {
        self.reader(declared, &SPEC_TABLES)
    }

    fn reader(&self, declared: Declarations, tables: &[&str]) -> Result<Fields<'_>> {
        let names = declared.iter().map(|field| field.name());
        let known: Vec<&str> = names.chain(tables.iter().copied()).collect();
        match self
            .fields
            .iter()
            .find(|f| !known.contains(&f.name.as_str()))
        {
            None => Ok(Fields {
                table: self,
                declared,
            }),
            Some(field) => {
                let key = self.key(&field.name);
                let message = format!("{}: unknown field `{key}`", field.origin);
                Err(Error::input(message).suggest(&field.name, known))
            }
        }
    }

    /// A table below this one.
    fn table(&self, name: &str) -> Result<Option<&Table>> {
        match self.field(name).map(|field| &field.node) {
            None => Ok(None),
            Some(Node::Table(table)) => Ok(Some(table)),
            Some(_) => Err(self.refuse(name, &format!("expected a table, `[{}]`", self.key(name)))),
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
}

/// The declared fields of a table.
#[derive(Clone, Copy)]
pub struct Fields<'a> {
    table: &'a Table,
    declared: Declarations,
}

impl<'a> Fields<'a> {
    /// A refusal that names file, line and field.
    pub fn refuse(&self, field: &dyn Declared, why: &str) -> Error {
        self.table.refuse(field.name(), why)
    }

    /// Where a field was written; the table itself where it is absent.
    pub fn origin(&self, field: &dyn Declared) -> Origin {
        self.table.origin(field.name())
    }

    /// The value, or the refusal that the field is missing.
    pub fn need<T>(&self, field: &dyn Declared, value: Option<T>) -> Result<T> {
        value.ok_or_else(|| self.table.missing(field))
    }

    /// The value of a field, where it is given.
    pub fn find<H: Holds>(&self, knob: &Knob<H>) -> Result<Option<H::Value>> {
        match self.node(knob)? {
            None => Ok(None),
            Some(Node::Leaf(value)) if let Some(value) = knob.holds.parse(value) => Ok(Some(value)),
            Some(_) => Err(self.refuse(knob, &format!("expected {}", knob.holds.said()))),
        }
    }

    /// The value of a field, or its default.
    pub fn read<H: Holds>(&self, knob: &Knob<H>) -> Result<H::Value> {
        let value = self.find(knob)?.or_else(|| knob.constant());
        self.need(knob, value)
    }

    /// A table below this one.
    pub fn table(&self, field: &dyn Declared) -> Result<Option<&'a Table>> {
        self.node(field)?;
        self.table.table(field.name())
    }

    /// The table below this one where the field holds one; a value, or nothing, is no mistake here.
    pub fn inner(&self, field: &dyn Declared) -> Result<Option<&'a Table>> {
        match self.node(field)? {
            Some(Node::Table(table)) => Ok(Some(table)),
            _ => Ok(None),
        }
    }

    /// Spec keys in a table below this one; none where it is absent.
    pub fn tree(&self, field: &dyn Declared) -> Result<Tree> {
        let table = self.table(field)?;
        table.map_or_else(|| Ok(Tree::default()), Table::tree)
    }

    /// The rows of an array of tables; none where it is absent.
    pub fn rows(&self, field: &dyn Declared) -> Result<&'a [Table]> {
        match self.node(field)? {
            None => Ok(&[]),
            Some(Node::Rows(rows)) => Ok(rows),
            Some(_) => {
                let key = self.table.key(field.name());
                Err(self.refuse(field, &format!("expected rows, `[[{key}]]`")))
            }
        }
    }

    fn node(&self, field: &dyn Declared) -> Result<Option<&'a Node>> {
        let (name, table) = (field.name(), self.table);
        // What nothing lists can be neither explained nor completed, so it cannot be read either.
        if !self.declared.iter().any(|known| known.name() == name) {
            let message = format!(
                "{} is read, but is not among the declared fields",
                table.key(name)
            );
            return Err(Error::internal(message));
        }
        Ok(table.field(name).map(|field| &field.node))
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
