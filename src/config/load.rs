//! TOML (<https://toml.io>, version 1.1) in, plain tables out: every field remembers its line, and what a spec cannot
//! hold (dates, infinities, tables among values) is refused where it stands.

use std::sync::Arc;

use serde_json::{Number, Value};
use toml_edit::{Document, Item, TableLike};

use super::table::{Field, Node, Table, join};
use super::tree::Origin;
use crate::error::{Error, Result};

/// Parses a whole file; `file` is its name in messages.
pub fn parse(file: &str, text: &str) -> Result<Table> {
    let lines = Lines {
        file: file.into(),
        text,
    };
    let document = Document::parse(text).map_err(|error| {
        let at = lines.at(error.span());
        Error::input(format!(
            "{at}: not valid TOML: {}",
            one_line(error.message())
        ))
        .hint("fields are `name = value`, strings stand in quotes, tables open with `[name]`")
    })?;
    lines.table("", Origin::named(file), document.as_table())
}

/// Reads one `KEY=VALUE` of the command line: the value as TOML, a bare word as a string.
pub fn parse_set(text: &str) -> Result<(String, Value)> {
    let refuse = |why: &str| Error::input(format!("--set {text}: {why}"));
    let Some((key, value)) = text.split_once('=') else {
        return Err(refuse("expected KEY=VALUE").hint("for example --set train.optimizer.lr=3e-4"));
    };
    let (key, value) = (key.trim(), value.trim());
    let plain = |part: &str| {
        !part.is_empty()
            && part
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
    };
    if !key.split('.').all(plain) {
        return Err(
            refuse("the key is not dotted words").hint("for example --set train.optimizer.lr=3e-4")
        );
    }
    if value.is_empty() {
        return Err(
            refuse("the value is missing").hint(format!("for an empty string: --set {key}='\"\"'"))
        );
    }
    let word = || Value::String(value.to_owned());
    let value = match value.parse::<toml_edit::Value>() {
        Ok(toml_edit::Value::Datetime(_)) => word(),
        Ok(parsed) => leaf(&parsed).map_err(|why| refuse(&why))?,
        Err(error) if value.starts_with(['[', '{', '"', '\'']) => {
            return Err(refuse(&format!(
                "not valid TOML: {}",
                one_line(error.message())
            )));
        }
        // `.5` is no number in TOML, but nobody means a word by it.
        Err(_) if value.starts_with('.') => value
            .parse()
            .ok()
            .and_then(Number::from_f64)
            .map_or_else(word, Value::from),
        Err(_) => word(),
    };
    Ok((key.to_owned(), value))
}

fn one_line(message: &str) -> String {
    message.lines().collect::<Vec<_>>().join("; ")
}

/// A value without tables; the reason where it has something else.
fn leaf(value: &toml_edit::Value) -> std::result::Result<Value, String> {
    Ok(match value {
        toml_edit::Value::String(v) => Value::String(v.value().clone()),
        toml_edit::Value::Integer(v) => Value::from(*v.value()),
        toml_edit::Value::Float(v) => Number::from_f64(*v.value())
            .map(Value::Number)
            .ok_or("expected a finite number")?,
        toml_edit::Value::Boolean(v) => Value::Bool(*v.value()),
        toml_edit::Value::Array(values) => Value::Array(
            values
                .iter()
                .map(leaf)
                .collect::<std::result::Result<_, _>>()?,
        ),
        toml_edit::Value::Datetime(v) => {
            return Err(format!(
                "{} is a date; as a string it stands in quotes",
                v.value()
            ));
        }
        toml_edit::Value::InlineTable(_) => {
            return Err("expected a value, found a table".to_owned());
        }
    })
}

/// Byte offsets of one file as lines.
struct Lines<'a> {
    file: Arc<str>,
    text: &'a str,
}

impl Lines<'_> {
    fn at(&self, span: Option<std::ops::Range<usize>>) -> Origin {
        let line = span.map_or(0, |span| {
            let before = &self.text.as_bytes()[..span.start.min(self.text.len())];
            1 + before.iter().filter(|byte| **byte == b'\n').count()
        });
        Origin {
            file: self.file.clone(),
            line,
        }
    }

    fn table(&self, path: &str, origin: Origin, table: &dyn TableLike) -> Result<Table> {
        let mut fields = Vec::new();
        for (name, item) in table.iter() {
            let span = table
                .key(name)
                .and_then(toml_edit::Key::span)
                .or_else(|| item.span());
            let origin = self.at(span);
            if name.is_empty() || name.contains('.') {
                let message = format!(
                    "{origin}: the quoted name \"{}\" is no key",
                    name.escape_debug()
                );
                return Err(Error::input(message)
                    .hint("names are words; a dot outside quotes opens a table"));
            }
            let key = join(path, name);
            let node = self.node(&key, &origin, item)?;
            fields.push(Field {
                name: name.to_owned(),
                origin,
                node,
            });
        }
        Ok(Table {
            path: path.to_owned(),
            origin,
            fields,
        })
    }

    fn node(&self, key: &str, origin: &Origin, item: &Item) -> Result<Node> {
        if let Some(table) = item.as_table_like() {
            return Ok(Node::Table(self.table(key, origin.clone(), table)?));
        }
        if let Some(rows) = item.as_array_of_tables() {
            let rows = rows
                .iter()
                .map(|row| self.table(key, self.at(row.span()), row));
            return Ok(Node::Rows(rows.collect::<Result<_>>()?));
        }
        if let Some(array) = item.as_array()
            && array.iter().any(toml_edit::Value::is_inline_table)
        {
            let rows = array.iter().map(|value| match value.as_inline_table() {
                Some(row) => self.table(key, self.at(value.span()), row),
                None => Err(Error::input(format!(
                    "{}: {key}: tables and values are mixed",
                    self.at(value.span())
                ))),
            });
            return Ok(Node::Rows(rows.collect::<Result<_>>()?));
        }
        let refuse = |why: String| Error::input(format!("{origin}: {key}: {why}"));
        let value = item
            .as_value()
            .ok_or_else(|| refuse("expected a value".to_owned()))?;
        Ok(Node::Leaf(leaf(value).map_err(refuse)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn a_setting_of_the_command_line_is_a_key_and_a_toml_value_or_a_word() {
        let check = |text: &str, want: std::result::Result<(&str, Value), &str>| {
            let found = parse_set(text).map_err(|error| error.to_string());
            let want = want
                .map(|(key, value)| (key.to_owned(), value))
                .map_err(str::to_owned);
            assert_eq!(found, want);
        };
        check(
            "train.optimizer.lr=3e-4",
            Ok(("train.optimizer.lr", json!(3e-4))),
        );
        check(" train.steps = 400", Ok(("train.steps", json!(400))));
        check("train.clip=.5", Ok(("train.clip", json!(0.5))));
        check("model.bias=false", Ok(("model.bias", json!(false))));
        check(
            "model.norm.kind=rmsnorm",
            Ok(("model.norm.kind", json!("rmsnorm"))),
        );
        check("data.path='a b.txt'", Ok(("data.path", json!("a b.txt"))));
        check("data.path=./a=b.txt", Ok(("data.path", json!("./a=b.txt"))));
        check(
            "data.path=2024-01-31",
            Ok(("data.path", json!("2024-01-31"))),
        );
        check("x.list=[1, 2.5]", Ok(("x.list", json!([1, 2.5]))));
        let example = "hint: for example --set train.optimizer.lr=3e-4";
        let pair = format!("--set train.lr: expected KEY=VALUE\n{example}");
        check("train.lr", Err(&pair));
        let words = format!("--set train..lr=1: the key is not dotted words\n{example}");
        check("train..lr=1", Err(&words));
        check(
            "a.b=",
            Err("--set a.b=: the value is missing\nhint: for an empty string: --set a.b='\"\"'"),
        );
        check("a.b=inf", Err("--set a.b=inf: expected a finite number"));
        check(
            "a.b={c = 1}",
            Err("--set a.b={c = 1}: expected a value, found a table"),
        );
        check(
            "a.b=[1",
            Err("--set a.b=[1: not valid TOML: unclosed array, expected `]`"),
        );
    }

    #[test]
    fn what_a_spec_cannot_hold_is_refused_with_its_line() {
        let check = |text: &str, want: &str| {
            let tree = parse("mine.toml", text).and_then(|table| table.spec_tree());
            assert_eq!(tree.unwrap_err().message, want, "{text}");
        };
        check(
            "about = \"x\"\n[model\nwidth = 3",
            "mine.toml:2: not valid TOML: unclosed table, expected `]`",
        );
        check(
            "[model]\nwidth = 3\nwidth = 4",
            "mine.toml:3: not valid TOML: duplicate key",
        );
        check(
            "model.since = 2024-01-31",
            "mine.toml:1: model.since: 2024-01-31 is a date; as a string it stands in quotes",
        );
        check(
            "[model]\n\nclip = nan",
            "mine.toml:3: model.clip: expected a finite number",
        );
        check(
            "\n\"model.width\" = 3",
            "mine.toml:2: the quoted name \"model.width\" is no key",
        );
        check(
            "[model]\nx = [1, {y = 2}]",
            "mine.toml:2: model.x: tables and values are mixed",
        );
        check(
            "[[model.x]]\ny = 1",
            "mine.toml:1: model.x: a spec key holds a value, not rows",
        );
        check(
            "model = 3",
            "mine.toml:1: model = 3: expected a table, `[model]`",
        );
        check(
            "[model]\nx = [[{}]]",
            "mine.toml:2: model.x: expected a value, found a table",
        );
    }

    #[test]
    fn every_value_knows_its_line_however_it_is_written() {
        let text = "[model]\nwidth = 32\nnorm = { kind = \"rmsnorm\",\n  place = \"pre\" }\n[train.optimizer]\nlr = 1e-3\n";
        let tree = parse("v.toml", text).unwrap().spec_tree().unwrap();
        let lines: Vec<(&str, usize)> = tree
            .iter()
            .map(|(key, entry)| (key, entry.origin.line))
            .collect();
        let want = [
            ("model.norm.kind", 3),
            ("model.norm.place", 4),
            ("model.width", 2),
            ("train.optimizer.lr", 6),
        ];
        assert_eq!(lines, want);
    }

    /// Text that is often nearly a file of ours.
    fn nearly_toml() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "about",
            "base",
            "tuned",
            "cells",
            "set",
            "model",
            "shapes",
            "headline",
            "lr",
            "=",
            "=",
            ".",
            "[",
            "]",
            "[[",
            "]]",
            "{",
            "}",
            ",",
            "\n",
            "\n",
            "\"gpt2\"",
            "\"w32\"",
            "1",
            "-7",
            "3e-3",
            "nan",
            "true",
            "1979-05-27",
            "'",
            "\"",
            "\u{feff}",
            "\u{e9}",
            "#",
            "\r",
        ]);
        prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.join(" "))
    }

    proptest! {
        #[test]
        fn no_text_makes_the_loader_panic(text in prop_oneof![any::<String>(), nearly_toml()]) {
            let folder = std::path::Path::new("");
            let _ = crate::config::Variant::parse("v".to_owned(), "v.toml", &text);
            let _ = crate::config::Suite::parse("s".to_owned(), "s.toml", &text, folder);
            let _ = crate::config::Price::parse("p".to_owned(), "p.toml", &text, None);
            let _ = parse_set(&text);
            let _ = parse_set(&format!("a.b={text}"));
        }
    }
}
