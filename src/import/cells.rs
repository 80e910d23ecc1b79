//! One cell of a log as what its role needs: a name, an amount, a count, a loss. Every refusal names file, line and column.

use std::cell::RefCell;

use super::mapping::Bound;
use super::role::Role;
use super::unfit;
use crate::error::{Error, Result};
use crate::import::columns;
use crate::import::delimited::{Passed, Table};
use crate::import::figures;
use crate::import::quantity;
use crate::record::LossUnit;

/// Above this f64 does not hold every whole number.
const WHOLE: f64 = 9_007_199_254_740_992.0;

/// Below this a count with a fraction is one of thousands, millions or billions.
const SMALL: f64 = 1000.0;

/// Letters of a file that are enough to know it by.
const BEGINNING: usize = 60;

/// Whether a file's name is that of what a program prints.
fn is_log(file: &str) -> bool {
    [".log", ".txt", ".out", ".err"]
        .iter()
        .any(|end| file.ends_with(end))
}

/// A table whose columns have roles.
pub struct Cells<'a> {
    /// The log.
    pub table: &'a Table,
    /// What its columns mean.
    pub bound: Bound<'a>,
    /// Cells of figures that nobody asked for and that are none.
    pub unread: RefCell<Passed>,
    /// Whether a program printed it, so that nobody can name another column.
    pub printed: bool,
}

impl Cells<'_> {
    /// Refuses a log of which nobody says what a role is.
    pub fn need(&self, role: Role, how: &str) -> Result<()> {
        if self.bound.has(role) {
            return Ok(());
        }
        if let Some(error) = unfit::why(self.table).filter(|_| role == Role::Loss) {
            return Err(error);
        }
        Err(Error::input(format!(
            "{}: nothing says what the {} is",
            self.table.file,
            role.name()
        ))
        .hint(match role == Role::Loss && is_log(&self.table.file) {
            true => format!(
                "lines that name a step and a loss are read as well, such as `step 100, loss 3.2`: this log has none. A table's column \
                 is named by --map loss=COLUMN; it begins: {}",
                self.table.names().chars().take(BEGINNING).collect::<String>()
            ),
            false => format!("{how}. The file has: {}", self.table.names()),
        }))
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

    /// The figures of a measure: one, or several that stand between semicolons.
    pub fn samples(&self, role: Role, row: usize) -> Result<Vec<f64>> {
        let Some(text) = self.bound.text(role, self.table, row) else {
            return Ok(Vec::new());
        };
        let mut samples = Vec::new();
        for part in text.split(';') {
            match self.figure_of(part.trim(), role, row)? {
                Some(value) if value.is_finite() && value >= 0.0 => samples.push(value),
                Some(value) if self.bound.is_asked(role) => {
                    return Err(self.at(role, row, &format!("{value} is no amount")));
                }
                _ => {}
            }
        }
        match samples
            .iter()
            .find(|share| role == Role::Accuracy && **share > 1.0)
        {
            Some(_) if !self.bound.is_asked(role) => {
                self.unread.borrow_mut().add(self.table.line(row));
                Ok(Vec::new())
            }
            Some(share) => Err(self
                .at(role, row, &format!("{share} is no share"))
                .hint("a share is between 0 and 1, or written with its sign: 41%")),
            None => Ok(samples),
        }
    }

    /// A seed of any 64 bits, which a real number would round.
    pub fn seed(&self, row: usize) -> Result<Option<u64>> {
        let text = self.bound.text(Role::Seed, self.table, row);
        match text.and_then(|text| text.parse().ok()) {
            Some(seed) => Ok(Some(seed)),
            None => self.whole(Role::Seed, row),
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
            Some(value) if value > 0.0 && value < SMALL && value.fract() != 0.0 => {
                let error = self.at(role, row, &format!("{value} is no count"));
                Err(error.hint("if it is in millions or billions, `1.5B` or a column called `tokens_b` says so"))
            }
            Some(value) if value < u64::MAX as f64 => Ok(Some(value.round() as u64)),
            Some(value) => Err(self.at(role, row, &format!("{value:e} is too large for a count"))),
            None => Ok(None),
        }
    }

    /// A count that must be written as one.
    pub fn whole(&self, role: Role, row: usize) -> Result<Option<u64>> {
        match self.figure(role, row)? {
            Some(value) if value.fract() == 0.0 && value <= WHOLE => Ok(Some(value as u64)),
            Some(value) if value > WHOLE => {
                let error = self.at(role, row, &format!("{value:e} is too large for a count"));
                let column = self.bound.column(role, self.table);
                Err(match role {
                    Role::Budget => error.hint(format!(
                        "planned steps are meant; FLOPs are read with --map flops=\"{}\"",
                        column.escape_debug()
                    )),
                    _ => error,
                })
            }
            Some(value) => Err(self.at(role, row, &format!("{value} is not a whole number"))),
            None => Ok(None),
        }
    }

    fn number(&self, role: Role, row: usize) -> Result<Option<f64>> {
        let Some(text) = self.bound.text(role, self.table, row) else {
            return Ok(None);
        };
        self.figure_of(&text, role, row)
    }

    fn figure_of(&self, text: &str, role: Role, row: usize) -> Result<Option<f64>> {
        let marks = self.bound.marks(role, self.table);
        // A bare figure is in the column's unit, one with a unit of its own in joules.
        let bare = (role == Role::Joules).then(|| figures::number(text, marks));
        if let Some(bare) = bare.flatten() {
            return Ok(Some(bare * self.bound.joules()));
        }
        if role == Role::Watts
            && let Some(bare) = figures::number(text, marks)
        {
            return Ok(Some(
                bare * columns::power_unit(self.bound.column(role, self.table)),
            ));
        }
        let unit = columns::name_unit(self.bound.column(role, self.table), role.quantity());
        let bare = unit.and_then(|unit| Some(unit * figures::number(text, marks)?));
        let Some(value) = bare.or_else(|| quantity::read(text, marks, role.quantity())) else {
            if role.is_measure() && !self.bound.is_asked(role) {
                self.unread.borrow_mut().add(self.table.line(row));
                return Ok(None);
            }
            let error = self.at(
                role,
                row,
                &format!("`{}` is not a number", text.escape_debug()),
            );
            return Err(error.hint(figures::hint(text)));
        };
        Ok(Some(value))
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
