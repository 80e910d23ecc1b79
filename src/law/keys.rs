//! The keys of a kind: each is explained, and each is read.

use serde_json::{Map, Value, json};

use super::recipe::Recipe;
use super::rule::{Outcome, expect};
use crate::config::Key;
use crate::trial::keys;

/// Every key that a kind of this spec declares is read, by default or beside some choice among its other keys. Texts are left
/// out: what they name may have to be there.
pub(super) fn every_key_is_read(recipe: &Recipe) -> Outcome {
    let spec = recipe.settled(&json!({}))?.spec;
    let own = |key: &Key| {
        let kind = at(&spec, &format!("{}.kind", key.table)).and_then(Value::as_str);
        kind.is_some_and(|kind| key.kinds.contains(&kind))
    };
    let own: Vec<Key> = keys(&recipe.registry).into_iter().filter(own).collect();
    let is_text = |key: &&Key| key.facts.schema.get("type") == Some(&json!("string"));
    let mut unread: Vec<&Key> = own
        .iter()
        .filter(|key| !is_text(key) && at(&spec, &key.key).is_none())
        .collect();
    for (key, choice) in own.iter().flat_map(choices) {
        if unread.is_empty() {
            break;
        }
        if let Ok(prepared) = recipe.settled(&nested(&key.key, choice)) {
            unread.retain(|key| at(&prepared.spec, &key.key).is_none());
        }
    }
    let names: Vec<&str> = unread.iter().map(|key| key.key.as_str()).collect();
    expect(
        names.is_empty(),
        "every declared key to be read",
        format!("that nothing reads {}", names.join(", ")),
    )
}

/// What a key may hold, of many values one.
fn choices(key: &Key) -> Vec<(&Key, Value)> {
    let schema = &key.facts.schema;
    let words = schema.get("enum").or_else(|| schema.get("examples"));
    let words = words.and_then(Value::as_array);
    let flags =
        (schema.get("type") == Some(&json!("boolean"))).then(|| [json!(true), json!(false)]);
    let words = words.into_iter().flatten().cloned();
    // The lowest of a number that is silent unless it is given.
    let words = words.chain(schema.get("minimum").cloned());
    words
        .chain(flags.into_iter().flatten())
        .map(|value| (key, value))
        .collect()
}

fn at<'a>(spec: &'a Value, key: &str) -> Option<&'a Value> {
    spec.pointer(&format!("/{}", key.replace('.', "/")))
}

fn nested(key: &str, value: Value) -> Value {
    key.rsplit('.').fold(value, |inner, name| {
        Value::Object(Map::from_iter([(name.to_owned(), inner)]))
    })
}
