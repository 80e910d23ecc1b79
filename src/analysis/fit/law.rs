//! The catalog of laws: a law is one file with one row here.

use crate::error::{Error, Result};

use super::form::Law;
use super::{chinchilla, data_constrained, isoflop, joint, over_training, power, rate};

/// Every law there is.
pub const CATALOG: [&Law; 7] = [
    &power::LAW,
    &chinchilla::LAW,
    &isoflop::LAW,
    &joint::LAW,
    &over_training::LAW,
    &data_constrained::LAW,
    &rate::LAW,
];

/// The law of that name.
pub fn find(name: &str) -> Result<&'static Law> {
    let known = CATALOG.iter().find(|law| law.name == name).copied();
    known.ok_or_else(|| {
        Error::input(format!("unknown law `{name}`")).suggest(name, CATALOG.map(|law| law.name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::fit::additive::Start;
    use crate::analysis::fit::{Form, Point};

    #[test]
    fn every_law_says_what_it_is_and_names_are_unique() {
        for (k, law) in CATALOG.iter().enumerate() {
            assert!(
                CATALOG[..k].iter().all(|other| other.name != law.name),
                "{} stands twice",
                law.name
            );
            assert!(
                law.about.ends_with('.') && !law.formula.is_empty() && !law.source.is_empty(),
                "{}",
                law.name
            );
            assert_eq!(find(law.name).unwrap().name, law.name);
        }
        assert_eq!(
            find("chinchila").unwrap_err().hint.as_deref(),
            Some("did you mean `chinchilla`?")
        );
    }

    #[test]
    fn every_law_has_places_to_start_from() {
        let point = |k: f64| Point {
            params: Some(1e6 * k),
            tokens: Some(2e7 * k),
            ..Point::new("a".to_owned(), 1e14 * k, 3.0 / k.sqrt())
        };
        let points: Vec<Point> = [1.0, 2.0, 4.0].map(point).to_vec();
        for law in CATALOG {
            if let Form::Additive(additive) = &law.form {
                assert!((1..=2).contains(&additive.terms.len()), "{}", law.name);
                let starts = (additive.starts)(&points);
                let finite = |s: &Start| {
                    s.irreducible.is_finite()
                        && s.terms[0].0.is_finite()
                        && s.terms[1].1.is_finite()
                };
                assert!(
                    starts.len() > 10 && starts.iter().all(finite),
                    "{}",
                    law.name
                );
            }
        }
    }
}
