//! What a key may hold: how it is checked, said in words, and described to programs.

use serde_json::{Map, Value, json};

/// What a key may hold.
pub trait Holds: Copy + Sync + 'static {
    /// A default, as it is declared.
    type Const: Copy + Sync + 'static;
    /// What reading gives.
    type Value;

    /// A default as it is read.
    fn value(default: Self::Const) -> Self::Value;
    /// The value, where it is one of those that the key may hold.
    fn parse(&self, value: &Value) -> Option<Self::Value>;
    /// The value as a settled spec holds it.
    fn json(value: &Self::Value) -> Value;
    /// What the key may hold, in words that follow "expected".
    fn said(&self) -> String;
    /// The only words that it may hold; none where it holds something else.
    fn words(&self) -> &'static [&'static str] {
        &[]
    }
    /// What it may hold, as a JSON Schema.
    fn schema(&self) -> Map<String, Value>;
}

/// A finite number within bounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Number {
    pub(super) low: f64,
    pub(super) high: f64,
    /// Whether it must be above `low`, which it may reach otherwise.
    pub(super) above: bool,
}

/// A whole number within bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Whole {
    pub(super) low: usize,
    pub(super) high: usize,
}

/// True or false.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flag;

/// One of a few words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word(pub(super) &'static [&'static str]);

/// Any text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Text {
    pub(super) examples: &'static [&'static str],
}

/// A list of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct List<H> {
    pub(super) of: H,
    /// How many; at least one where nothing says so, and then a single one may stand without brackets.
    pub(super) exactly: Option<usize>,
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

/// A JSON Schema of a type with bounds, as far as there are any.
fn bounded(kind: &str, low: Option<Value>, high: Option<Value>) -> Map<String, Value> {
    let bounds = [("minimum", low), ("maximum", high)];
    let bounds = bounds
        .into_iter()
        .filter_map(|(name, bound)| Some((name.to_owned(), bound?)));
    std::iter::once(("type".to_owned(), json!(kind)))
        .chain(bounds)
        .collect()
}

impl Holds for Number {
    type Const = f64;
    type Value = f64;

    fn value(default: f64) -> f64 {
        default
    }

    fn parse(&self, value: &Value) -> Option<f64> {
        let within = |v: &f64| (self.low..=self.high).contains(v);
        value
            .as_f64()
            .filter(|v| v.is_finite() && within(v) && !(self.above && *v == self.low))
    }

    fn json(value: &f64) -> Value {
        json!(value)
    }

    fn said(&self) -> String {
        // A bound of many digits is said by its power of ten.
        let short = |v: f64| {
            if v != 0.0 && !(1e-4..1e6).contains(&v.abs()) {
                format!("{v:e}")
            } else {
                v.to_string()
            }
        };
        let (low, high) = (short(self.low), short(self.high));
        match (self.low.is_finite(), self.high.is_finite(), self.above) {
            (true, true, false) => format!("a number from {low} to {high}"),
            (true, true, true) => format!("a number above {low} and up to {high}"),
            (true, false, false) => format!("a number of at least {low}"),
            (true, false, true) => format!("a number above {low}"),
            (false, ..) => "a finite number".to_owned(),
        }
    }

    fn schema(&self) -> Map<String, Value> {
        let bound = |v: f64| v.is_finite().then(|| json!(v));
        let mut schema = bounded("number", bound(self.low), bound(self.high));
        if let Some(low) = self.above.then(|| schema.remove("minimum")).flatten() {
            schema.insert("exclusiveMinimum".to_owned(), low);
        }
        schema
    }
}

impl Holds for Whole {
    type Const = usize;
    type Value = usize;

    fn value(default: usize) -> usize {
        default
    }

    fn parse(&self, value: &Value) -> Option<usize> {
        let value = usize::try_from(whole(value)?).ok()?;
        (self.low..=self.high).contains(&value).then_some(value)
    }

    fn json(value: &usize) -> Value {
        json!(value)
    }

    fn said(&self) -> String {
        match (self.low, self.high) {
            (0, usize::MAX) => "a whole number".to_owned(),
            (low, usize::MAX) => format!("a whole number of at least {low}"),
            (low, high) => format!("a whole number from {low} to {high}"),
        }
    }

    fn schema(&self) -> Map<String, Value> {
        let high = (self.high < usize::MAX).then(|| json!(self.high));
        bounded("integer", Some(json!(self.low)), high)
    }
}

impl Holds for Flag {
    type Const = bool;
    type Value = bool;

    fn value(default: bool) -> bool {
        default
    }

    fn parse(&self, value: &Value) -> Option<bool> {
        value.as_bool()
    }

    fn json(value: &bool) -> Value {
        json!(value)
    }

    fn said(&self) -> String {
        "true or false".to_owned()
    }

    fn schema(&self) -> Map<String, Value> {
        bounded("boolean", None, None)
    }
}

impl Holds for Word {
    type Const = &'static str;
    type Value = &'static str;

    fn value(default: &'static str) -> &'static str {
        default
    }

    fn parse(&self, value: &Value) -> Option<&'static str> {
        let word = value.as_str()?;
        self.0.iter().copied().find(|known| *known == word)
    }

    fn json(value: &&'static str) -> Value {
        json!(value)
    }

    fn said(&self) -> String {
        one_of(self.0)
    }

    fn words(&self) -> &'static [&'static str] {
        self.0
    }

    fn schema(&self) -> Map<String, Value> {
        Map::from_iter([("enum".to_owned(), json!(self.0))])
    }
}

impl Holds for Text {
    type Const = &'static str;
    type Value = String;

    fn value(default: &'static str) -> String {
        default.to_owned()
    }

    fn parse(&self, value: &Value) -> Option<String> {
        value.as_str().map(str::to_owned)
    }

    fn json(value: &String) -> Value {
        json!(value)
    }

    fn said(&self) -> String {
        "a string".to_owned()
    }

    fn schema(&self) -> Map<String, Value> {
        let mut schema = bounded("string", None, None);
        if !self.examples.is_empty() {
            schema.insert("examples".to_owned(), json!(self.examples));
        }
        schema
    }
}

impl<H: Holds> Holds for List<H> {
    type Const = &'static [H::Const];
    type Value = Vec<H::Value>;

    fn value(default: Self::Const) -> Self::Value {
        default.iter().copied().map(H::value).collect()
    }

    fn parse(&self, value: &Value) -> Option<Self::Value> {
        let values: Option<Vec<H::Value>> = match value {
            Value::Array(values) => values.iter().map(|value| self.of.parse(value)).collect(),
            single => self.of.parse(single).map(|value| vec![value]),
        };
        values.filter(|values| match self.exactly {
            Some(count) => values.len() == count,
            None => !values.is_empty(),
        })
    }

    fn json(value: &Self::Value) -> Value {
        value.iter().map(H::json).collect()
    }

    fn said(&self) -> String {
        let one = self.of.said();
        let one = one.strip_prefix("a ").unwrap_or(&one);
        let many = one.replacen("finite number", "number", 1);
        let many = many.replacen("number", "numbers", 1);
        let many = many.replacen("string", "strings", 1);
        match self.exactly {
            Some(count) => format!("{count} {many}"),
            None => format!("a list of {many}"),
        }
    }

    fn schema(&self) -> Map<String, Value> {
        let of = self.of.schema();
        let least = json!(self.exactly.unwrap_or(1));
        let most = self.exactly.map(|count| json!(count));
        let mut list = bounded("array", None, None);
        list.insert("items".to_owned(), json!(of));
        list.insert("minItems".to_owned(), least);
        list.extend(most.map(|most| ("maxItems".to_owned(), most)));
        if self.exactly.is_some() {
            return list;
        }
        Map::from_iter([("anyOf".to_owned(), json!([of, list]))])
    }
}

/// Words to choose from: "`a`, `b` or `c`".
pub(super) fn one_of(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::knob::{Declared, Knob};

    fn check<H: Holds>(knob: Knob<H>, said: &str, good: &[Value], bad: &[Value]) {
        assert_eq!(knob.holds.said(), said);
        let schema = Value::Object(knob.facts().schema);
        for value in good {
            assert!(knob.holds.parse(value).is_some(), "{said}: {value}");
            assert!(jsonschema::is_valid(&schema, value), "{schema}: {value}");
        }
        for value in bad {
            assert!(knob.holds.parse(value).is_none(), "{said}: {value}");
            assert!(!jsonschema::is_valid(&schema, value), "{schema}: {value}");
        }
    }

    const NUMBER: Knob<Number> = Knob::number("x", "A number.");

    #[test]
    fn numbers_are_checked_said_and_described_alike() {
        let others = [json!("a"), json!(true), json!(null), json!([])];
        check(
            NUMBER,
            "a finite number",
            &[json!(-1), json!(1e300)],
            &others,
        );
        check(
            NUMBER.within(0.0, 0.5),
            "a number from 0 to 0.5",
            &[json!(0), json!(0.5)],
            &[json!(-0.1), json!(0.6), json!("a")],
        );
        check(
            NUMBER.within(0.0, 1.0).above(0.0),
            "a number above 0 and up to 1",
            &[json!(0.1), json!(1)],
            &[json!(0), json!(1.1)],
        );
        let at_least = NUMBER.at_least(1.0);
        check(
            at_least,
            "a number of at least 1",
            &[json!(1)],
            &[json!(0.9)],
        );
        check(
            Knob::count("x", "A count."),
            "a whole number of at least 1",
            &[json!(1), json!(1e6)],
            &[json!(0), json!(1.5), json!("a")],
        );
        check(
            Knob::whole("x", "A number.").at_most(4),
            "a whole number from 0 to 4",
            &[json!(0), json!(4)],
            &[json!(5), json!(-1)],
        );
    }

    #[test]
    fn words_and_lists_are_checked_said_and_described_alike() {
        let flag = Knob::flag("x", "A flag.");
        check(
            flag,
            "true or false",
            &[json!(true)],
            &[json!("a"), json!(0)],
        );
        check(
            Knob::word("x", "A word.", &["a", "b", "c"]),
            "`a`, `b` or `c`",
            &[json!("a")],
            &[json!("d"), json!(true)],
        );
        check(
            Knob::text("x", "A text."),
            "a string",
            &[json!("a"), json!("")],
            &[json!(true), json!(1)],
        );
        check(
            Knob::count("x", "Counts.").list(),
            "a list of whole numbers of at least 1",
            &[json!([1, 2]), json!(3)],
            &[json!([]), json!([0]), json!("a")],
        );
        check(
            NUMBER.exactly(2),
            "2 numbers",
            &[json!([1, 2])],
            &[json!([1]), json!(1), json!([1, "a"])],
        );
    }
}
