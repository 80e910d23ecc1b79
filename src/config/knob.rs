//! What a key is, declared once beside what reads it: its name, one sentence about it, what it may hold, and its default.
//!
//! ```
//! use effbench::config::knob::{Declarations, Knob, Number, Word};
//!
//! const LR: Knob<Number> = Knob::number("lr", "Learning rate at the schedule's peak.")
//!     .within(0.0, 1e9)
//!     .default(3e-3);
//! const MODE: Knob<Word> = Knob::word("mode", "How gates open.", &["soft", "hard"]).default("soft");
//! const KNOBS: Declarations = &[&LR, &MODE];
//! # assert_eq!(KNOBS.len(), 2);
//! ```

use serde::Serialize;
use serde_json::{Map, Value};

pub use super::holds::{Flag, Holds, List, Number, Text, Whole, Word};

/// The keys of one kind, or of one table.
pub type Declarations = &'static [&'static dyn Declared];

/// What holds where nobody gives a key.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fallback<C> {
    /// Nothing: the key must be given.
    Required,
    /// Nothing: the key may be absent.
    Absent,
    /// This.
    Is(C),
    /// What follows from other keys, by this rule.
    Follows(&'static str),
}

/// A declared key.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Knob<H: Holds> {
    name: &'static str,
    about: &'static str,
    unit: Option<&'static str>,
    pub(super) holds: H,
    default: Fallback<H::Const>,
}

impl Knob<Number> {
    /// A finite number that must be given, until [`default`](Knob::default) or its like says otherwise.
    pub const fn number(name: &'static str, about: &'static str) -> Self {
        let holds = Number {
            low: f64::NEG_INFINITY,
            high: f64::INFINITY,
            above: false,
        };
        Self::new(name, about, holds)
    }

    /// At least this.
    #[must_use]
    pub const fn at_least(self, low: f64) -> Self {
        self.within(low, f64::INFINITY)
    }

    /// More than this.
    #[must_use]
    pub const fn above(self, low: f64) -> Self {
        let holds = Number {
            low,
            high: self.holds.high,
            above: true,
        };
        Self { holds, ..self }
    }

    /// With both bounds, which it may reach.
    #[must_use]
    pub const fn within(self, low: f64, high: f64) -> Self {
        let holds = Number {
            low,
            high,
            above: false,
        };
        Self { holds, ..self }
    }
}

impl Knob<Whole> {
    /// A whole number of at least 1.
    pub const fn count(name: &'static str, about: &'static str) -> Self {
        Self::whole(name, about).within(1, usize::MAX)
    }

    /// A whole number, 0 allowed.
    pub const fn whole(name: &'static str, about: &'static str) -> Self {
        let holds = Whole {
            low: 0,
            high: usize::MAX,
        };
        Self::new(name, about, holds)
    }

    /// With both bounds, which it may reach.
    #[must_use]
    pub const fn within(self, low: usize, high: usize) -> Self {
        let holds = Whole { low, high };
        Self { holds, ..self }
    }

    /// At most this.
    #[must_use]
    pub const fn at_most(self, high: usize) -> Self {
        let low = self.holds.low;
        self.within(low, high)
    }
}

impl Knob<Flag> {
    /// True or false.
    pub const fn flag(name: &'static str, about: &'static str) -> Self {
        Self::new(name, about, Flag)
    }
}

impl Knob<Word> {
    /// One of a few words.
    pub const fn word(
        name: &'static str,
        about: &'static str,
        words: &'static [&'static str],
    ) -> Self {
        Self::new(name, about, Word(words))
    }
}

impl Knob<Text> {
    /// Any text.
    pub const fn text(name: &'static str, about: &'static str) -> Self {
        let examples = &[];
        Self::new(name, about, Text { examples })
    }

    /// Texts that it often holds, for editors that complete them.
    #[must_use]
    pub const fn such_as(self, examples: &'static [&'static str]) -> Self {
        let holds = Text { examples };
        Self { holds, ..self }
    }
}

impl<H: Holds> Knob<H> {
    const fn new(name: &'static str, about: &'static str, holds: H) -> Self {
        Self {
            name,
            about,
            unit: None,
            holds,
            default: Fallback::Required,
        }
    }

    /// What holds where nobody gives it.
    #[must_use]
    pub const fn default(self, value: H::Const) -> Self {
        let default = Fallback::Is(value);
        Self { default, ..self }
    }

    /// Its default follows from other keys, by this rule in a few words.
    #[must_use]
    pub const fn follows(self, rule: &'static str) -> Self {
        let default = Fallback::Follows(rule);
        Self { default, ..self }
    }

    /// It may be absent, and then nothing stands in the settled spec.
    #[must_use]
    pub const fn optional(self) -> Self {
        let default = Fallback::Absent;
        Self { default, ..self }
    }

    /// A list of at least one such value, or a single one.
    #[must_use]
    pub const fn list(self) -> Knob<List<H>> {
        self.listed(None)
    }

    /// A list of so many such values.
    #[must_use]
    pub const fn exactly(self, count: usize) -> Knob<List<H>> {
        self.listed(Some(count))
    }

    const fn listed(self, exactly: Option<usize>) -> Knob<List<H>> {
        let holds = List {
            of: self.holds,
            exactly,
        };
        Knob {
            name: self.name,
            about: self.about,
            unit: self.unit,
            holds,
            default: Fallback::Required,
        }
    }

    /// The same under another name.
    #[must_use]
    pub const fn named(self, name: &'static str) -> Self {
        Self { name, ..self }
    }

    /// What it is measured in.
    #[must_use]
    pub const fn unit(self, unit: &'static str) -> Self {
        let unit = Some(unit);
        Self { unit, ..self }
    }

    /// Its default, where that is one value.
    pub(super) fn constant(&self) -> Option<H::Value> {
        match self.default {
            Fallback::Is(value) => Some(H::value(value)),
            _ => None,
        }
    }
}

/// A declared key, whatever it holds.
pub trait Declared: Sync {
    /// Its name in its table.
    fn name(&self) -> &'static str;
    /// What lists and schemas say of it.
    fn facts(&self) -> Facts;
}

/// What lists and schemas say of a key.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Facts {
    /// What it means, in one sentence.
    pub about: String,
    /// What it may hold, in words.
    pub holds: String,
    /// What it is measured in.
    pub unit: Option<&'static str>,
    /// Whether it must be given.
    pub required: bool,
    /// What holds where nobody gives it.
    pub default: Option<Value>,
    /// How that follows from other keys.
    pub default_rule: Option<&'static str>,
    /// What it may hold, as a JSON Schema.
    pub schema: Map<String, Value>,
}

impl<H: Holds> Declared for Knob<H> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn facts(&self) -> Facts {
        Facts {
            about: self.about.to_owned(),
            holds: self.holds.said(),
            unit: self.unit,
            required: matches!(self.default, Fallback::Required),
            default: self.constant().map(|value| H::json(&value)),
            default_rule: match self.default {
                Fallback::Follows(rule) => Some(rule),
                _ => None,
            },
            schema: self.holds.schema(),
        }
    }
}
