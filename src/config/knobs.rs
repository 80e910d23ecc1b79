//! The typed reading of a [`Tree`]: every key asked for is declared, checked, defaulted and written into the settled spec;
//! what nobody asked for is refused.

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::keys::{Key, Section, refuse};
use super::knob::{Declarations, Declared, Holds, Knob};
use super::tree::Tree;
use crate::error::{Error, Result, near};

/// A spec with every default written out: dotted keys in order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Settled(BTreeMap<String, Value>);

impl Settled {
    /// The value of a dotted key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key)
    }

    /// As the nested object that result files hold and [`Tree::from_json`] reads back.
    pub fn to_json(&self) -> Value {
        let mut root = Map::new();
        for (key, value) in self.0.iter().filter(|(_, value)| !value.is_null()) {
            let mut table = &mut root;
            let mut parts: Vec<&str> = key.split('.').collect();
            let leaf = parts.pop().unwrap_or_default();
            for part in parts {
                let slot = table
                    .entry(part)
                    .or_insert_with(|| Value::Object(Map::new()));
                let Value::Object(inner) = slot else {
                    unreachable!("a knob cannot also be a table")
                };
                table = inner;
            }
            table.insert(leaf.to_owned(), value.clone());
        }
        Value::Object(root)
    }
}

/// A tree being settled: its tables are opened here, each with the keys that it declares.
pub struct Spec<'a> {
    tree: &'a Tree,
    settled: &'a RefCell<Settled>,
    /// The table that holds all of it, with a dot behind; nothing where it is the whole.
    within: String,
}

/// Reads the declared keys of one table, or of one and of others that say something else for a part of a model.
pub struct Knobs<'a> {
    tree: &'a Tree,
    /// The nearest first; what none of them gives is written into the last.
    tables: Vec<String>,
    declared: Declarations,
    settled: &'a RefCell<Settled>,
}

/// Settles a tree: `build` reads its keys, then every key that nothing read is refused with what `known` ones may be meant.
pub fn settle<T>(
    tree: &Tree,
    known: impl Fn() -> Vec<Key>,
    build: impl FnOnce(&Spec) -> Result<T>,
) -> Result<(T, Settled)> {
    let settled = RefCell::new(Settled::default());
    let built = build(&Spec {
        tree,
        settled: &settled,
        within: String::new(),
    })?;
    let settled = settled.into_inner();
    match tree.iter().find(|(key, _)| !settled.0.contains_key(*key)) {
        None => Ok((built, settled)),
        Some((key, entry)) => {
            let kind_of = |table: &str| settled.get(&format!("{table}.kind"))?.as_str();
            let kind_of = |table: &str| kind_of(table).map(str::to_owned);
            Err(refuse(key, entry, &known(), kind_of))
        }
    }
}

impl<'a> Spec<'a> {
    /// A table whose keys every spec has.
    pub fn at(&self, section: &Section) -> Knobs<'a> {
        self.open(vec![section.path.to_owned()], section.knobs)
    }

    /// A spec that stands within this one, below a table of this name: another model's, or other data.
    #[must_use]
    pub fn within(&self, table: &str) -> Self {
        Self {
            tree: self.tree,
            settled: self.settled,
            within: format!("{}{table}.", self.within),
        }
    }

    fn path(&self, table: &str) -> String {
        format!("{}{table}", self.within)
    }

    /// A table that has no kind, and whose name only its reader knows.
    pub fn in_table(&self, table: &str, declared: Declarations) -> Knobs<'a> {
        self.open(vec![table.to_owned()], declared)
    }

    /// The keys of one kind, in tables of which the nearest stands first.
    pub(super) fn open(&self, tables: Vec<String>, declared: Declarations) -> Knobs<'a> {
        Knobs {
            tree: self.tree,
            tables: tables.iter().map(|table| self.path(table)).collect(),
            declared,
            settled: self.settled,
        }
    }

    /// What has been settled of a key until now.
    pub fn settled(&self, key: &str) -> Option<Value> {
        self.settled.borrow().get(&self.path(key)).cloned()
    }

    /// Whether anything is given in a table.
    pub fn has_any(&self, table: &str) -> bool {
        let table = self.path(table);
        let inside = |key: &str| {
            let rest = key.strip_prefix(table.as_str());
            rest.is_some_and(|rest| rest.starts_with('.'))
        };
        self.tree.iter().any(|(key, _)| inside(key))
    }

    /// The kind that a table names, among `known` ones; `None` where it names none.
    pub(super) fn kind_in<K: Clone>(
        &self,
        table: &str,
        what: &str,
        known: &[(&'static str, K)],
    ) -> Result<Option<K>> {
        let key = format!("{}.kind", self.path(table));
        let knobs = self.open(vec![table.to_owned()], &[]);
        let Some(entry) = self.tree.get(&key) else {
            return Ok(None);
        };
        let Some(name) = entry.value.as_str() else {
            return Err(knobs.refuse_kind("expected a string"));
        };
        match known.iter().find(|(known, _)| *known == name) {
            Some((_, kind)) => {
                self.write_kind(table, name);
                Ok(Some(kind.clone()))
            }
            None => {
                let names: Vec<&str> = known.iter().map(|(known, _)| *known).collect();
                let meant = near(name, names.iter().copied());
                let meant = meant.map(|meant| format!("did you mean `{meant}`? "));
                Err(knobs
                    .refuse_kind(&format!("not one of the {what}"))
                    .hint(format!(
                        "{}there is: {}",
                        meant.unwrap_or_default(),
                        names.join(", ")
                    )))
            }
        }
    }

    /// Writes the kind of a table that names none.
    pub(super) fn write_kind(&self, table: &str, name: &str) {
        let mut settled = self.settled.borrow_mut();
        settled
            .0
            .insert(format!("{}.kind", self.path(table)), name.into());
    }
}

impl Knobs<'_> {
    fn key(&self, knob: &dyn Declared) -> String {
        let key = |table: &String| format!("{table}.{}", knob.name());
        let mut keys = self.tables.iter().map(key);
        let given = keys.find(|key| self.tree.get(key).is_some());
        given.unwrap_or_else(|| format!("{}.{}", self.table(), knob.name()))
    }

    /// Where defaults are written.
    fn table(&self) -> &str {
        self.tables.last().map_or("", String::as_str)
    }

    /// A refusal that names file, line and key.
    pub fn refuse(&self, knob: &dyn Declared, why: &str) -> Error {
        self.refuse_key(&self.key(knob), why)
    }

    /// A refusal of the kind that reads here.
    pub fn refuse_kind(&self, why: &str) -> Error {
        self.refuse_key(&format!("{}.kind", self.table()), why)
    }

    fn refuse_key(&self, key: &str, why: &str) -> Error {
        let error = match self.tree.get(key) {
            Some(entry) => {
                Error::input(format!("{}: {key} = {}: {why}", entry.origin, entry.value))
            }
            None => {
                let settled = self.settled.borrow();
                let value = settled
                    .get(key)
                    .map(|v| format!(" = {v} (its default)"))
                    .unwrap_or_default();
                Error::input(format!("{key}{value}: {why}"))
            }
        };
        error.hint(format!(
            "`effbench list keys {}` says what it may hold",
            self.table()
        ))
    }

    /// Whether the user or a file gave this key.
    pub fn given(&self, knob: &dyn Declared) -> bool {
        self.tree.get(&self.key(knob)).is_some()
    }

    /// Writes a settled value outright, for facts that follow from others (a data file's hash).
    pub fn write(&self, knob: &dyn Declared, value: Value) {
        self.settled.borrow_mut().0.insert(self.key(knob), value);
    }

    /// The value of a key, or its default.
    pub fn read<H: Holds>(&self, knob: &Knob<H>) -> Result<H::Value> {
        match self.parsed(knob)?.or_else(|| knob.constant()) {
            Some(value) => {
                self.write(knob, H::json(&value));
                Ok(value)
            }
            None => Err(Error::input(format!(
                "`{}` is missing: expected {}",
                self.key(knob),
                knob.holds.said()
            ))),
        }
    }

    /// The value of a key, or one that follows from others.
    pub fn read_or<H: Holds>(&self, knob: &Knob<H>, default: H::Value) -> Result<H::Value> {
        if let Some(value) = self.parsed(knob)? {
            self.write(knob, H::json(&value));
            return Ok(value);
        }
        self.write(knob, H::json(&default));
        match knob.holds.parse(&H::json(&default)) {
            Some(value) => Ok(value),
            None => Err(self.unlike(knob)),
        }
    }

    /// The value of a key, where it is given.
    pub fn find<H: Holds>(&self, knob: &Knob<H>) -> Result<Option<H::Value>> {
        let found = self.parsed(knob)?;
        if let Some(value) = &found {
            self.write(knob, H::json(value));
        }
        Ok(found)
    }

    /// The same where one value means what an absent key means: nothing is written of it then, so that a spec is the same with and
    /// without it.
    pub fn find_other_than<H: Holds>(
        &self,
        knob: &Knob<H>,
        absent: &H::Value,
    ) -> Result<Option<H::Value>> {
        let found = self.find(knob)?;
        match found {
            Some(value) if H::json(&value) == H::json(absent) => {
                self.write(knob, Value::Null);
                Ok(None)
            }
            found => Ok(found),
        }
    }

    /// The same for a part that others wrap without declaring all of its keys: what is not given is not read.
    pub fn if_given<H: Holds>(&self, knob: &Knob<H>) -> Result<Option<H::Value>> {
        match self.given(knob) {
            true => self.find(knob),
            false => Ok(None),
        }
    }

    fn parsed<H: Holds>(&self, knob: &Knob<H>) -> Result<Option<H::Value>> {
        let key = self.key(knob);
        // What nothing lists can be neither explained nor completed, so it cannot be read either.
        if !self.declared.iter().any(|it| it.name() == knob.name()) {
            return Err(Error::internal(format!(
                "{key} is read, but is not among the keys that its kind or table declares"
            )));
        }
        let Some(entry) = self.tree.get(&key) else {
            return Ok(None);
        };
        match knob.holds.parse(&entry.value) {
            Some(value) => Ok(Some(value)),
            None => Err(self.unlike(knob)),
        }
    }

    fn unlike<H: Holds>(&self, knob: &Knob<H>) -> Error {
        let (words, key) = (knob.holds.words(), self.key(knob));
        let given = self.tree.get(&key).and_then(|entry| entry.value.as_str());
        match given {
            Some(word) if !words.is_empty() => self
                .refuse(knob, "not a choice here")
                .suggest(word, words.iter().copied()),
            _ => self.refuse(knob, &format!("expected {}", knob.holds.said())),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::Origin;
    use crate::config::knob::{Number, Whole, Word};

    const KIND: Knob<Word> = Knob::word("size", "How large.", &["small", "large"]).default("small");
    const WIDTH: Knob<Whole> = Knob::count("width", "Channels.").default(32);
    const DEPTH: Knob<Whole> = Knob::count("depth", "Layers.").follows("half the width");
    const LR: Knob<Number> = Knob::number("lr", "Rate.").within(0.0, 10.0).default(1e-3);
    const SECRET: Knob<Whole> = Knob::count("secret", "Declared nowhere.").default(1);

    const MODEL: Section = Section {
        path: "model",
        knobs: &[&KIND, &WIDTH, &DEPTH],
    };
    const OPTIMIZER: Section = Section {
        path: "train.optimizer",
        knobs: &[&LR],
    };

    fn build(spec: &Spec) -> Result<usize> {
        let model = spec.at(&MODEL);
        model.read(&KIND)?;
        spec.at(&OPTIMIZER).read(&LR)?;
        let width = model.read(&WIDTH)?;
        model.read_or(&DEPTH, width / 2)?;
        Ok(width)
    }

    fn settled(given: &Value) -> Result<(usize, Settled)> {
        let origin = Origin {
            file: "v.toml".into(),
            line: 3,
        };
        let known = || MODEL.keys().chain(OPTIMIZER.keys()).collect();
        settle(&Tree::from_json(given, &origin)?, known, build)
    }

    #[test]
    fn what_is_given_is_checked_and_what_is_not_is_written_out() {
        let check = |given: Value, want: usize| {
            let (built, spec) = settled(&given).unwrap();
            assert_eq!(built, want);
            assert_eq!(spec.to_json()["model"]["size"], "small");
            assert_eq!(settled(&spec.to_json()).unwrap().1, spec);
        };
        check(json!({}), 32);
        check(json!({"model": {"width": 64}}), 64);
        check(json!({"model": {"width": 1e6}}), 1_000_000);
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_place() {
        let check = |given: Value, message: &str| {
            let found = settled(&given).unwrap_err().to_string();
            assert!(found.starts_with(message), "{found}\nis not\n{message}");
        };
        let of_model = |given: Value, message: &str| check(json!({"model": given}), message);
        let count = "expected a whole number of at least 1";
        of_model(
            json!({"width": 0}),
            &format!("v.toml:3: model.width = 0: {count}"),
        );
        of_model(
            json!({"width": 1.5}),
            &format!("v.toml:3: model.width = 1.5: {count}"),
        );
        of_model(
            json!({"width": 1}),
            &format!("model.depth = 0 (its default): {count}"),
        );
        of_model(
            json!({"size": "larg"}),
            "v.toml:3: model.size = \"larg\": not a choice here\nhint: did you mean `large`?",
        );
        of_model(
            json!({"size": 3}),
            "v.toml:3: model.size = 3: expected `small` or `large`",
        );
        check(
            json!({"train": {"optimizer": {"lr": 11}}}),
            "v.toml:3: train.optimizer.lr = 11: expected a number from 0 to 10",
        );
    }

    #[test]
    fn a_key_that_nothing_reads_is_refused_with_those_that_may_be_meant() {
        let check = |given: Value, message: &str, hint: &str| {
            let found = settled(&given).unwrap_err();
            assert_eq!(found.message, format!("v.toml:3: {message}"));
            assert_eq!(found.hint.as_deref(), Some(hint));
        };
        check(
            json!({"model": {"wdith": 4}}),
            "unknown key `model.wdith`",
            "did you mean `model.width`? `model` has: width, size, depth",
        );
        check(
            json!({"train": {"lr": 4}}),
            "unknown key `train.lr`",
            "did you mean `train.optimizer.lr`? `train` has: optimizer",
        );
        check(
            json!({"train": {"optimizer": {"foo": 4}}}),
            "unknown key `train.optimizer.foo`",
            "`train.optimizer` has: lr",
        );
        check(
            json!({"modle": {"foo": 4}}),
            "unknown key `modle.foo`",
            "did you mean `model`? a spec has the tables: model, train",
        );
    }

    #[test]
    fn what_is_not_declared_cannot_be_read() {
        let read = settle(&Tree::default(), Vec::new, |spec| {
            spec.at(&MODEL).read(&SECRET)
        });
        let refused = read.unwrap_err();
        assert_eq!(refused.kind, crate::error::Kind::Internal);
        assert!(refused.message.contains("model.secret"), "{refused}");
    }
}
