//! How a suite looks for learning rates before anything is judged.

use super::fields::{AT, FIRST_TRIED_SEED, MISSING, SEEDS, TIMES, TRIED, TUNE_FIELDS};
use crate::config::knob::{Knob, List, Number};
use crate::config::names::width_of;
use crate::config::rate::{LR, four_digits};
use crate::config::table::{Fields, Table};
use crate::config::variant::Variant;
use crate::error::{Error, Result};

/// A sweep that every arm gets before it is judged: equal trials for every arm, on seeds and windows that judge nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Tune {
    /// Which rates each arm is tried at.
    pub tried: Tried,
    /// Where every arm is swept; empty where each judged cell is.
    pub at: Vec<SweptAt>,
    /// Only arms that no shipped sweep speaks for are swept: others' data, widths or lengths, variants of one's own.
    pub missing: bool,
    /// Seeds that each rate is tried with.
    pub repeats: u64,
    /// The first of them.
    pub first_seed: u64,
}

/// The learning rates of a sweep, ascending.
#[derive(Debug, Clone, PartialEq)]
pub enum Tried {
    /// The same for every arm.
    Rates(Vec<f64>),
    /// Multiples of the arm's own: as many, around a rate of the size that its optimizer wants.
    Times(Vec<f64>),
}

impl Tried {
    /// The rates of a variant; refused where multiples of its own rate are asked for and its file says none.
    pub fn rates(&self, variant: &Variant) -> Result<Vec<f64>> {
        let times = match self {
            Self::Rates(rates) => return Ok(rates.clone()),
            Self::Times(times) => times,
        };
        let own = variant.tree.get(LR).and_then(|entry| entry.value.as_f64());
        let Some(own) = own else {
            let message = format!(
                "variant `{}` says no {LR} for `times` to multiply",
                variant.name
            );
            return Err(Error::input(message)
                .hint("`lr` in the suite's `tune`, or a rate in the variant's file"));
        };
        Ok(times.iter().map(|times| four_digits(times * own)).collect())
    }
}

/// A place of a sweep: `w32@400`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SweptAt {
    /// A width.
    pub scale: String,
    /// Optimizer steps.
    pub steps: u64,
}

impl Tried {
    fn parse(fields: &Fields) -> Result<Self> {
        let ascending = |field: &'static Knob<List<Number>>, mut list: Vec<f64>| {
            list.sort_by(f64::total_cmp);
            list.dedup();
            let few =
                "expected at least three rates, so that the best has a neighbour on each side";
            match list.len() {
                0..3 => Err(fields.refuse(field, few)),
                _ => Ok(list),
            }
        };
        match (fields.find(&TRIED)?, fields.find(&TIMES)?) {
            (Some(_), Some(_)) => Err(fields.refuse(&TIMES, "`lr` says already what is tried")),
            (None, Some(times)) => ascending(&TIMES, times).map(Self::Times),
            (rates, None) => ascending(&TRIED, fields.need(&TRIED, rates)?).map(Self::Rates),
        }
    }
}

impl Tune {
    pub(super) fn parse(table: &Table) -> Result<Self> {
        let fields = table.fields(TUNE_FIELDS)?;
        let tried = Tried::parse(&fields)?;
        let at = fields.find(&AT)?.unwrap_or_default();
        let place = |text: &String| {
            let (scale, steps) = text.split_once('@')?;
            let steps = steps.parse().ok().filter(|steps| *steps > 0)?;
            width_of(scale).map(|_| SweptAt {
                scale: scale.to_owned(),
                steps,
            })
        };
        let unlike = || {
            fields
                .refuse(&AT, "expected widths with steps")
                .hint("for example [\"w32@200\", \"w64@1600\"]")
        };
        let at = at
            .iter()
            .map(|text| place(text).ok_or_else(unlike))
            .collect::<Result<_>>()?;
        Ok(Self {
            tried,
            at,
            missing: fields.read(&MISSING)?,
            repeats: fields.read(&SEEDS)? as u64,
            first_seed: fields.read(&FIRST_TRIED_SEED)? as u64,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::suite::Suite;

    #[test]
    fn rates_or_multiples_of_rates_are_said_and_at_least_three() {
        let check = |tune: &str, want: &str| {
            let cells = "[[cells]]\nvariants = [\"gpt2\"]\nscales = [\"w32\"]\nsteps = [400]\n";
            let text = format!("about = \"x.\"\ntune = {{ {tune} }}\n{cells}");
            let found = Suite::parse("s".to_owned(), "s.toml", &text, Path::new("")).unwrap_err();
            assert_eq!(found.to_string(), want);
        };
        check(
            "times = [1, 2]",
            "s.toml:2: tune.times = [1,2]: expected at least three rates, so that the best has a neighbour on each side",
        );
        check(
            "lr = [1, 2, 4], times = [1, 2, 4]",
            "s.toml:2: tune.times = [1,2,4]: `lr` says already what is tried",
        );
        check("at = [\"w32@400\"]", "s.toml:2: `tune.lr` is missing");
    }
}
