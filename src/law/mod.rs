//! What every kind in a catalog must obey, whether it ships or comes from another crate.
//!
//! A catalog's row promises more than its trait says: that it learns, that it does not look ahead, that the work and the memory
//! it claims are those it takes. Here each promise is a rule with a name, and a function per catalog says which of them a kind
//! breaks. `tests/law.rs` applies them to every row of every catalog; a crate with kinds of its own does the same in a test:
//!
//! ```no_run
//! # let registry = effbench::trial::Registry::builtin();
//! assert_eq!(effbench::law::mixer(&registry, "attention"), []);
//! ```
//!
//! Models here are tiny, so that a law holds in seconds without optimisation. What it finds is a fault; that it finds nothing is
//! no proof. In the order of reading: [`recipe`] is what any whole model obeys, the others put one kind in its place.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::config::{Catalog, Named};
use crate::error::Error;
use crate::trial::Registry;

mod recipe;
mod slots;

pub use crate::config::Broken;
pub use recipe::recipe;
pub use slots::{feed_forward, mixer, norm, position};

/// How a rule was broken.
struct Fault {
    expected: String,
    found: String,
}

type Outcome = Result<(), Fault>;

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
fn expect(holds: bool, expected: impl Into<String>, found: impl Into<String>) -> Outcome {
    if holds {
        return Ok(());
    }
    Err(Fault {
        expected: expected.into(),
        found: found.into(),
    })
}

/// A rule by its name.
type Rule<S> = (&'static str, fn(&S) -> Outcome);

/// The rules that a subject breaks, each by its first fault. A panic is a fault too.
fn broken<S>(rules: &[Rule<S>], subject: &S) -> Vec<Broken> {
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
fn is_listed<K: Named + ?Sized>(catalog: &Catalog<K>, name: &str) -> Vec<Broken> {
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
    Vec::new()
}

/// Every row of every catalog with the rules that it breaks; a row that breaks none is not among them.
pub fn catalogs(registry: &Registry) -> Vec<(String, Vec<Broken>)> {
    fn rows<K: Named + ?Sized>(
        registry: &Registry,
        catalog: &Catalog<K>,
        law: fn(&Registry, &str) -> Vec<Broken>,
    ) -> Vec<(String, Vec<Broken>)> {
        let of_row = |name: &str| (format!("{}: {name}", catalog.what), law(registry, name));
        catalog.iter().map(|row| of_row(row.name())).collect()
    }
    let slots = &registry.slots;
    let mut all = rows(registry, &slots.mixers, mixer);
    all.extend(rows(registry, &slots.ffns, feed_forward));
    all.extend(rows(registry, &slots.norms, norm));
    all.extend(rows(registry, &slots.positions, position));
    all.retain(|(_, broken)| !broken.is_empty());
    all
}
