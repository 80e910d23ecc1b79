//! One cell of a log as what its role needs: a name, an amount, a count, a loss. Every refusal names file, line and column.

use super::mapping::Bound;
use super::role::Role;
use crate::error::{Error, Result};
use crate::import::delimited::Table;
use crate::import::figures;
use crate::record::LossUnit;

/// Above this f64 does not hold every whole number.
const WHOLE: f64 = 9_007_199_254_740_992.0;

/// A table whose columns have roles.
pub struct Cells<'a> {
    /// The log.
    pub table: &'a Table,
    /// What its columns mean.
    pub bound: Bound<'a>,
}

impl Cells<'_> {
    /// Refuses a log of which nobody says what a role is.
    pub fn need(&self, role: Role, how: &str) -> Result<()> {
        if self.bound.has(role) {
            return Ok(());
        }
        Err(Error::input(format!(
            "{}: nothing says what the {} is",
            self.table.file,
            role.name()
        ))
        .hint(format!("{how}. The file has: {}", self.table.names())))
    }

    /// A name, without control characters.
    pub fn name(&self, role: Role, row: usize) -> Result<Option<String>> {
        let text = self.bound.text(role, self.table, row);
        match text {
            Some(text) if text.chars().any(char::is_control) => {
                Err(self.at(role, row, "holds a control character"))
            }
            Some(text) => Ok(Some(text.into_owned())),
            None => match self.bound.unlike(role, self.table, row) {
                Some((cell, pattern)) => {
                    let cell = cell.escape_debug();
                    Err(self.at(
                        role,
                        row,
                        &format!("`{cell}` does not look like `{pattern}`"),
                    ))
                }
                None => Ok(None),
            },
        }
    }

    /// A figure that is finite and not below zero.
    pub fn figure(&self, role: Role, row: usize) -> Result<Option<f64>> {
        match self.number(role, row)? {
            Some(value) if value.is_finite() && value >= 0.0 => Ok(Some(value)),
            Some(value) => Err(self.at(role, row, &format!("{value} is no amount"))),
            None => Ok(None),
        }
    }

    /// A loss, in nats: not below zero, but it may have diverged.
    pub fn loss(&self, role: Role, row: usize) -> Result<Option<f64>> {
        let Some(value) = self.number(role, row)? else {
            return Ok(None);
        };
        let unit = self.bound.unit(role);
        let nats = unit.to_nats(value);
        let sound = nats >= 0.0 || value.is_nan() || value.is_infinite();
        match unit {
            _ if sound => Ok(Some(nats)),
            LossUnit::Perplexity => {
                Err(self.at(role, row, &format!("{value}: a perplexity is not below 1")))
            }
            unit => Err(self.at(
                role,
                row,
                &format!("{value}: a loss in {} is not below zero", unit.name()),
            )),
        }
    }

    /// A count that may be written as a real number, such as tokens computed from FLOPs.
    pub fn rounded(&self, role: Role, row: usize) -> Result<Option<u64>> {
        match self.figure(role, row)? {
            Some(value) if value < u64::MAX as f64 => Ok(Some(value.round() as u64)),
            Some(value) => Err(self.at(role, row, &format!("{value:e} is too large for a count"))),
            None => Ok(None),
        }
    }

    /// A count that must be written as one.
    pub fn whole(&self, role: Role, row: usize) -> Result<Option<u64>> {
        match self.figure(role, row)? {
            Some(value) if value.fract() == 0.0 && value <= WHOLE => Ok(Some(value as u64)),
            Some(value) => Err(self.at(role, row, &format!("{value} is not a whole number"))),
            None => Ok(None),
        }
    }

    fn number(&self, role: Role, row: usize) -> Result<Option<f64>> {
        let Some(text) = self.bound.text(role, self.table, row) else {
            return Ok(None);
        };
        let (figure, unit_s) = match role {
            Role::Seconds => seconds(&text),
            _ => (text.as_ref(), 1.0),
        };
        let Some(value) = figures::number(figure, self.bound.marks(role, self.table)) else {
            let error = self.at(
                role,
                row,
                &format!("`{}` is not a number", text.escape_debug()),
            );
            return Err(error.hint(figures::hint(&text)));
        };
        Ok(Some(value * unit_s))
    }

    /// `file:line: column `x` (role) ...`.
    pub fn at(&self, role: Role, row: usize, what: &str) -> Error {
        let column = self
            .bound
            .column(role, self.table)
            .escape_debug()
            .to_string();
        let role = if column == role.name() {
            String::new()
        } else {
            format!(" ({})", role.name())
        };
        Error::input(format!(
            "{}:{}: column `{column}`{role}: {what}",
            self.table.file,
            self.table.line(row)
        ))
    }
}

/// A duration's figure and its unit in seconds.
fn seconds(text: &str) -> (&str, f64) {
    let units = [("ms", 1e-3), ("s", 1.0), ("min", 60.0), ("h", 3600.0)];
    let found = units
        .into_iter()
        .find_map(|(unit, unit_s)| Some((text.strip_suffix(unit)?.trim_end(), unit_s)));
    found.unwrap_or((text, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        let rows = [
            ("387ms", 0.387),
            ("12.5", 12.5),
            ("12.5 s", 12.5),
            ("2min", 120.0),
            ("1.5h", 5400.0),
        ];
        for (text, expected) in rows {
            let (figure, unit_s) = seconds(text);
            assert_eq!(figure.parse::<f64>().unwrap() * unit_s, expected, "{text}");
        }
    }
}
