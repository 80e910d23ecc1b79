//! What a rule is, and how a kind breaks one.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::config::knob::Declared;
use crate::config::{Broken, Catalog, Named};
use crate::error::Error;

/// How a rule was broken.
pub(super) struct Fault {
    pub expected: String,
    pub found: String,
}

/// Whether a rule is kept.
pub(super) type Outcome = Result<(), Fault>;

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self {
            expected: "no error".to_owned(),
            found: error.to_string(),
        }
    }
}

impl From<candle_core::Error> for Fault {
    fn from(error: candle_core::Error) -> Self {
        Error::from(error).into()
    }
}

/// Breaks the rule unless `holds`.
pub(super) fn expect(
    holds: bool,
    expected: impl Into<String>,
    found: impl Into<String>,
) -> Outcome {
    if holds {
        return Ok(());
    }
    Err(Fault {
        expected: expected.into(),
        found: found.into(),
    })
}

/// A rule by its name.
pub(super) type Rule<S> = (&'static str, fn(&S) -> Outcome);

/// The rules that a subject breaks, each by its first fault. A panic is a fault too.
pub(super) fn broken<S>(rules: &[Rule<S>], subject: &S) -> Vec<Broken> {
    let panicked = || Fault {
        expected: "no panic".to_owned(),
        found: "one".to_owned(),
    };
    let of_rule = |(rule, keeps): &Rule<S>| {
        let outcome = catch_unwind(AssertUnwindSafe(|| keeps(subject)));
        let fault = outcome.unwrap_or_else(|_| Err(panicked())).err()?;
        Some(Broken {
            rule,
            expected: fault.expected,
            found: fault.found,
        })
    };
    rules.iter().filter_map(of_rule).collect()
}

/// The rule that a kind is in the catalog once, under a name that a file can hold, with a sentence about itself.
pub(super) fn is_listed<K: Named + ?Sized>(catalog: &Catalog<K>, name: &str) -> Vec<Broken> {
    let fault = |expected: &str, found: String| {
        vec![Broken {
            rule: "a row has a name and a sentence",
            expected: expected.to_owned(),
            found,
        }]
    };
    let named: Vec<_> = catalog.iter().filter(|row| row.name() == name).collect();
    let [row] = named.as_slice() else {
        let found = format!("{} of {} rows", named.len(), catalog.iter().count());
        return fault(&format!("`{name}` once among the {}", catalog.what), found);
    };
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-.".contains(c);
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(plain) {
        return fault(
            "a name of small letters, digits, `_`, `-` and `.`",
            format!("`{name}`"),
        );
    }
    let about = row.about();
    if about.split_whitespace().count() < 3 || about.ends_with('.') || about.contains('\n') {
        return fault(
            "one sentence about it without a full stop",
            format!("\"{about}\""),
        );
    }
    let unexplained = |knob: &&&'static dyn Declared| {
        let about = knob.facts().about;
        about.split_whitespace().count() < 3 || !about.ends_with('.') || about.contains('\n')
    };
    row.knobs()
        .iter()
        .find(unexplained)
        .map_or_else(Vec::new, |knob| {
            vec![Broken {
                rule: "every key has a sentence",
                expected: format!(
                    "a sentence about `{}` that ends in a full stop",
                    knob.name()
                ),
                found: format!("\"{}\"", knob.facts().about),
            }]
        })
}
