//! What a known tool's table is, and how its cells are read.

use crate::import::delimited::Table;
use crate::import::role::Role;

/// A tool's table.
#[derive(Clone, Copy)]
pub struct Shape {
    /// The tool.
    pub name: &'static str,
    /// Columns by which it is known.
    pub(super) needs: &'static [&'static str],
    /// What they mean.
    pub(super) roles: &'static [(Role, From)],
    /// Whether each row is a run; else the rows of one run follow it, and the last of them is its result.
    pub by_row: bool,
    /// The unit of its energies, in joules.
    pub energy_j: f64,
    /// What has to be said of its figures.
    pub note: Option<&'static str>,
}

/// Where a role of a known table comes from.
#[derive(Clone, Copy)]
pub enum From {
    /// A column as it stands.
    Column(&'static str),
    /// Made of a row; `None` where the row says nothing of it.
    Made(fn(&Table, usize) -> Option<String>),
    /// Made of all rows at once, a text a row: what differs between rows is found once.
    Whole(fn(&Table) -> Vec<String>),
}

impl Shape {
    /// Where a role comes from.
    pub fn source(&self, role: Role) -> Option<From> {
        let found = self.roles.iter().find(|(known, _)| *known == role);
        found.map(|(_, from)| *from)
    }
}

/// A cell by its column; `None` where it is empty.
pub(super) fn cell<'t>(table: &'t Table, row: usize, name: &str) -> Option<&'t str> {
    let place = table.columns.iter().position(|column| column == name)?;
    Some(table.cell(row, place)).filter(|cell| !cell.is_empty())
}

/// Of every row the settings that are not the same in all of them: `, n_batch 512, n_threads 8`.
pub(super) fn differing(table: &Table, is_setting: impl Fn(&str) -> bool) -> Vec<String> {
    let rows = 0..table.rows();
    let differs = |name: &&String| {
        let first = cell(table, 0, name);
        is_setting(name) && rows.clone().any(|row| cell(table, row, name) != first)
    };
    let settings: Vec<&String> = table.columns.iter().filter(differs).collect();
    let set = |row: usize| {
        let set = settings.iter().filter_map(|name| {
            let value = cell(table, row, name)?;
            Some(format!(", {name} {value}"))
        });
        set.collect()
    };
    rows.clone().map(set).collect()
}
