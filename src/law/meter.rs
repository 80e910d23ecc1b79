//! Energy meters: what they say on this machine, and on one without any.

use std::path::PathBuf;
use std::sync::Arc;

use super::rule::{Outcome, Rule, broken, expect, is_listed};
use crate::config::Broken;
use crate::measure::energy::account::{Account, MOST_W};
use crate::measure::energy::meter::{Found, Gpus, Law, Meter, MeterKind, Missing, Place, Value};
use crate::measure::energy::session::EVERY;
use crate::measure::virtualization;
use crate::trial::Registry;

/// The rules that the meter of that name breaks, on this machine.
pub fn meter(registry: &Registry, name: &str) -> Vec<Broken> {
    let mut found = is_listed(&registry.meters, name);
    if let Some(kind) = registry.meters.find(name) {
        found.extend(broken(&RULES, kind));
    }
    found
}

type Kind = Arc<dyn MeterKind>;

const RULES: [Rule<Kind>; 4] = [
    (
        "what is missing has a reason and a remedy",
        missing_says_why,
    ),
    ("an open meter says what it is", open_says_what_it_is),
    ("a counter rises", a_counter_rises),
    ("a wrap is told from a reset", a_wrap_is_told),
];

fn place(root: &str) -> Place {
    Place {
        root: PathBuf::from(root),
        is_virtual: virtualization::is_virtual(),
        gpus: Gpus::All,
    }
}

/// On this machine.
fn open(kind: &Kind) -> Vec<Box<dyn Meter>> {
    let found = kind.find(&place("/")).into_iter();
    found
        .filter_map(|found| match found {
            Found::Open(meter) => Some(meter),
            Found::Missing(_) => None,
        })
        .collect()
}

/// Here, and where there is nothing at all: an empty root, no GPU.
fn missing_says_why(kind: &Kind) -> Outcome {
    let nothing = |is_virtual| Place {
        is_virtual,
        gpus: Gpus::None,
        ..place("/nonexistent")
    };
    for place in [place("/"), nothing(true), nothing(false)] {
        for found in kind.find(&place) {
            let Found::Missing(missing) = found else {
                expect(
                    place.gpus != Gpus::None,
                    "no open meter where there is none",
                    "one",
                )?;
                continue;
            };
            let Missing {
                id,
                component,
                source,
                why,
                remedy,
                ..
            } = &missing;
            let said = [id.as_str(), component, source, why, remedy];
            expect(
                said.iter().all(|word| !word.trim().is_empty()),
                "which meter is missing, why, and what would change it",
                format!("{missing:?}"),
            )?;
            expect(
                !why.ends_with('.'),
                "a reason without a full stop",
                format!("\"{why}\""),
            )?;
        }
    }
    Ok(())
}

fn open_says_what_it_is(kind: &Kind) -> Outcome {
    for mut meter in open(kind) {
        let about = meter.about().clone();
        let words = [
            about.id.as_str(),
            about.component,
            about.source,
            &about.scope,
        ];
        let positive = |x: f64| x.is_finite() && x > 0.0;
        let steps = match about.law {
            Law::Counter { per_joule, .. } => positive(per_joule),
            Law::Power => true,
        };
        expect(
            words.iter().all(|word| !word.trim().is_empty())
                && steps
                && positive(about.update_s)
                && about.least_s >= about.update_s,
            "words, steps and times that make sense",
            format!("{about:?}"),
        )?;
        let value = meter.read();
        let fits = match (about.law, value) {
            (Law::Counter { wraps_at, .. }, Ok(Value::Count(count))) => {
                wraps_at.is_none_or(|range| count <= range)
            }
            (Law::Power, Ok(Value::Watts(watts))) => watts.is_finite() && watts >= 0.0,
            (_, Err(_)) => true,
            _ => false,
        };
        expect(
            fits,
            format!("values of {:?}", about.law),
            format!("{value:?}"),
        )?;
    }
    Ok(())
}

/// Read at once, again and again: it never falls by more than a wrap, and never by what no power explains.
fn a_counter_rises(kind: &Kind) -> Outcome {
    const READS: usize = 100;
    for mut meter in open(kind) {
        let Law::Counter {
            wraps_at,
            per_joule,
        } = meter.about().law
        else {
            continue;
        };
        let mut last = None;
        for _ in 0..READS {
            let Ok(Value::Count(now)) = meter.read() else {
                continue;
            };
            if let Some(before) = last.filter(|before| now < *before) {
                let wrapped = wraps_at.map(|range| range - before + now);
                let most = MOST_W * per_joule * EVERY.as_secs_f64();
                expect(
                    wrapped.is_some_and(|steps| steps as f64 <= most),
                    "a counter that rises, or wraps at its range",
                    format!("{now} after {before}"),
                )?;
            }
            last = Some(now);
        }
    }
    Ok(())
}

/// Joules across a wrap, read as often as a trial reads: an account of its law must find them.
fn a_wrap_is_told(kind: &Kind) -> Outcome {
    const WATTS: f64 = 10.0;
    for meter in open(kind) {
        let about = meter.about();
        let Law::Counter {
            per_joule,
            wraps_at: Some(range),
        } = about.law
        else {
            continue;
        };
        let mut account = Account::new(about.law, about.update_s, about.least_s);
        let reads = (about.least_s / EVERY.as_secs_f64()).ceil() as u64 + 1;
        let steps = WATTS * EVERY.as_secs_f64() * per_joule;
        for read in 0..=reads {
            // The first read is one step before the range's end.
            let count = (read as f64 * steps) as u64 + range - steps as u64 / 2;
            let at_s = read as f64 * EVERY.as_secs_f64();
            account.read(
                at_s,
                Ok(Value::Count(count % range.saturating_add(1).max(1))),
            );
        }
        let joules = WATTS * reads as f64 * EVERY.as_secs_f64();
        let found = account.energy_j();
        expect(
            found.is_ok_and(|found| (found / joules - 1.0).abs() < 0.01),
            format!("{joules} J across the end of {}'s range", about.id),
            format!("{found:?}"),
        )?;
    }
    Ok(())
}
