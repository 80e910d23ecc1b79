//! The typed reading of a [`Tree`]: every knob asked for is checked, defaulted and written into the settled spec;
//! what nobody asked for is refused.

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::tree::Tree;
use crate::error::{Error, Result};

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
        for (key, value) in &self.0 {
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

/// A number that is whole, however it was written: `1e6` is one.
pub fn whole(value: &Value) -> Option<u64> {
    const EXACT: f64 = 9_007_199_254_740_992.0; // 2^53: every whole f64 up to here is exact
    value.as_u64().or_else(|| {
        value
            .as_f64()
            .filter(|v| v.fract() == 0.0 && (0.0..=EXACT).contains(v))
            .map(|v| v as u64)
    })
}

/// Reads knobs below a prefix of a tree.
pub struct Knobs<'a> {
    tree: &'a Tree,
    prefix: String,
    settled: &'a RefCell<Settled>,
}

/// Settles a tree: `build` reads its knobs, then every key that nothing read is refused with a suggestion.
pub fn settle<T>(tree: &Tree, build: impl FnOnce(&Knobs) -> Result<T>) -> Result<(T, Settled)> {
    let settled = RefCell::new(Settled::default());
    let built = build(&Knobs {
        tree,
        prefix: String::new(),
        settled: &settled,
    })?;
    let settled = settled.into_inner();
    for (key, entry) in tree.iter() {
        if !settled.0.contains_key(key) {
            let error = Error::input(format!("{}: unknown key `{key}`", entry.origin));
            let known = settled.0.keys().map(String::as_str);
            // `train.lr` means `train.optimizer.lr`: a leaf that exists elsewhere is a better guess than a near spelling.
            let leaf = |key: &'_ str| key.rsplit('.').next().map(str::to_owned);
            let elsewhere: Vec<&str> = known
                .clone()
                .filter(|known| leaf(known) == leaf(key))
                .collect();
            return Err(if elsewhere.len() == 1 {
                error.suggest(elsewhere[0], elsewhere)
            } else {
                error.suggest(key, known)
            });
        }
    }
    Ok((built, settled))
}

impl<'a> Knobs<'a> {
    /// The knobs one table deeper: `knobs.at("optimizer")`.
    #[must_use]
    pub fn at(&self, table: &str) -> Knobs<'a> {
        Knobs {
            tree: self.tree,
            prefix: self.key(table),
            settled: self.settled,
        }
    }

    /// The full dotted key of a knob here.
    pub fn key(&self, name: &str) -> String {
        if self.prefix.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.prefix)
        }
    }

    /// A refusal that names file, line and key.
    pub fn refuse(&self, name: &str, why: &str) -> Error {
        let key = self.key(name);
        let error = match self.tree.get(&key) {
            Some(entry) => {
                Error::input(format!("{}: {key} = {}: {why}", entry.origin, entry.value))
            }
            None => {
                let settled = self.settled.borrow();
                let value = settled
                    .get(&key)
                    .map(|v| format!(" = {v} (its default)"))
                    .unwrap_or_default();
                Error::input(format!("{key}{value}: {why}"))
            }
        };
        error.hint("`effbench show gpt2` prints every key with a value that works")
    }

    /// Whether the user or a file gave this knob.
    pub fn given(&self, name: &str) -> bool {
        self.tree.get(&self.key(name)).is_some()
    }

    fn read<T>(
        &self,
        name: &str,
        default: Option<T>,
        want: &str,
        parse: impl Fn(&Value) -> Option<T>,
        write: impl Fn(&T) -> Value,
    ) -> Result<T> {
        let key = self.key(name);
        let value = match (self.tree.get(&key), default) {
            (Some(entry), _) => {
                parse(&entry.value).ok_or_else(|| self.refuse(name, &format!("expected {want}")))?
            }
            (None, Some(default)) => default,
            (None, None) => {
                return Err(Error::input(format!("`{key}` is missing: expected {want}")));
            }
        };
        self.write(name, write(&value));
        Ok(value)
    }

    /// Writes a settled value outright, for facts that follow from others (a data file's hash).
    pub fn write(&self, name: &str, value: Value) {
        self.settled.borrow_mut().0.insert(self.key(name), value);
    }

    /// A whole number of at least 1.
    pub fn count(&self, name: &str, default: usize) -> Result<usize> {
        let value = self.usize(name, default)?;
        if value == 0 {
            Err(self.refuse(name, "expected at least 1"))
        } else {
            Ok(value)
        }
    }

    /// A whole number, 0 allowed.
    pub fn usize(&self, name: &str, default: usize) -> Result<usize> {
        self.read(
            name,
            Some(default),
            "a whole number",
            |v| whole(v)?.try_into().ok(),
            |v| json!(v),
        )
    }

    /// A whole number, or absent (written as `null`).
    pub fn optional_usize(&self, name: &str) -> Result<Option<usize>> {
        if self.given(name) {
            self.usize(name, 0).map(Some)
        } else {
            self.write(name, Value::Null);
            Ok(None)
        }
    }

    /// A finite number.
    pub fn f64(&self, name: &str, default: f64) -> Result<f64> {
        self.read(
            name,
            Some(default),
            "a finite number",
            |v| v.as_f64().filter(|v| v.is_finite()),
            |v| json!(v),
        )
    }

    /// A finite number within `low..=high`.
    pub fn f64_in(&self, name: &str, default: f64, low: f64, high: f64) -> Result<f64> {
        let value = self.f64(name, default)?;
        if (low..=high).contains(&value) {
            Ok(value)
        } else {
            Err(self.refuse(name, &format!("expected a number from {low} to {high}")))
        }
    }

    /// True or false.
    pub fn bool(&self, name: &str, default: bool) -> Result<bool> {
        self.read(name, Some(default), "true or false", Value::as_bool, |v| {
            json!(v)
        })
    }

    /// A string.
    pub fn text(&self, name: &str, default: &str) -> Result<String> {
        self.read(
            name,
            Some(default.to_owned()),
            "a string",
            |v| v.as_str().map(str::to_owned),
            |v| json!(v),
        )
    }

    /// A string that must be given.
    pub fn required_text(&self, name: &str) -> Result<String> {
        self.read(
            name,
            None,
            "a string",
            |v| v.as_str().map(str::to_owned),
            |v| json!(v),
        )
    }

    /// One of a few words.
    pub fn choice(&self, name: &str, default: &str, options: &[&str]) -> Result<String> {
        let value = self.text(name, default)?;
        if options.contains(&value.as_str()) {
            Ok(value)
        } else {
            Err(self
                .refuse(name, "not a choice here")
                .suggest(&value, options.iter().copied()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Origin;

    fn build(knobs: &Knobs) -> Result<usize> {
        let (model, train) = (knobs.at("model"), knobs.at("train"));
        model.choice("kind", "small", &["small", "large"])?;
        train.at("optimizer").f64_in("lr", 1e-3, 0.0, 10.0)?;
        model.count("width", 32)
    }

    #[test]
    fn what_is_given_is_checked_and_what_is_not_is_written_out() {
        let check = |given: Value, want: std::result::Result<usize, &str>| {
            let tree = Tree::from_json(
                &given,
                &Origin {
                    file: "v.toml".into(),
                    line: 3,
                },
            )
            .unwrap();
            let found = settle(&tree, build);
            match want {
                Ok(width) => {
                    let (built, settled) = found.unwrap();
                    assert_eq!(built, width);
                    assert_eq!(settled.to_json()["model"]["kind"], "small");
                    let again = Tree::from_json(&settled.to_json(), &Origin::named("settled spec"))
                        .unwrap();
                    assert_eq!(settle(&again, build).unwrap().1, settled);
                }
                Err(message) => {
                    let found = found.unwrap_err().to_string();
                    assert!(found.starts_with(message), "{found}\nis not\n{message}");
                }
            }
        };
        check(json!({}), Ok(32));
        check(json!({"model": {"width": 64}}), Ok(64));
        check(json!({"model": {"width": 1e6}}), Ok(1_000_000));
        check(
            json!({"model": {"width": 0}}),
            Err("v.toml:3: model.width = 0: expected at least 1"),
        );
        check(
            json!({"model": {"width": 1.5}}),
            Err("v.toml:3: model.width = 1.5: expected a whole number"),
        );
        check(
            json!({"model": {"wdith": 4}}),
            Err("v.toml:3: unknown key `model.wdith`\nhint: did you mean `model.width`?"),
        );
        check(
            json!({"train": {"lr": 4}}),
            Err("v.toml:3: unknown key `train.lr`\nhint: did you mean `train.optimizer.lr`?"),
        );
        check(
            json!({"model": {"kind": "larg"}}),
            Err("v.toml:3: model.kind = \"larg\": not a choice here\nhint: did you mean `large`?"),
        );
        check(
            json!({"train": {"optimizer": {"lr": 11}}}),
            Err("v.toml:3: train.optimizer.lr = 11: expected a number from 0 to 10"),
        );
    }
}
