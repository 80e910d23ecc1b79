//! What logs would be read as, before anything is written.

use serde::Serialize;

use super::log::Log;
use super::mapping::{Mapping, Named};
use super::role::{ROLES, Role};
use crate::error::Result;

/// One log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Preview {
    /// The file, as it was given.
    pub file: String,
    /// What it was read as.
    pub dialect: &'static str,
    /// Rows of figures in it.
    pub rows: usize,
    /// Lines that hold none.
    pub passed: usize,
    /// The roles that are taken from it.
    pub roles: Vec<Taken>,
    /// Columns that nothing is taken from.
    pub unused: Vec<String>,
}

/// A role, and what it is in a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Taken {
    /// The role.
    pub role: &'static str,
    /// A column, a pattern, or what was said on the command line.
    pub source: String,
    /// The first value that is there; `None` where no row has one.
    pub first: Option<String>,
}

/// How a log is read.
///
/// # Errors
///
/// A column that the log does not have, two that could be a role.
pub fn preview(log: &Log, mapping: &Mapping) -> Result<Preview> {
    let table = &log.table;
    let named = Named {
        stem: &log.stem,
        path: &log.path,
    };
    let bound = mapping.bind(table, named)?;
    let document = mapping.document(table);
    let said = |kind: &str, role: &str| {
        let text = document[kind][role].as_str()?;
        Some(text.to_owned())
    };
    let mut roles = Vec::new();
    for (name, role, _) in ROLES {
        let Some(source) = said("columns", name).or_else(|| said("constants", name)) else {
            continue;
        };
        // A training loss beside no other is judged, and stands there.
        let judged = role == Role::TrainLoss && bound.judges_training();
        let role = if judged { Role::Loss } else { role };
        let first = (0..table.rows()).find_map(|row| bound.text(role, table, row));
        roles.push(Taken {
            role: if judged { role.name() } else { name },
            source,
            first: first.map(|text| text.into_owned()),
        });
    }
    let used = |column: &&String| {
        let mut parts = roles.iter().flat_map(|taken| taken.source.split('+'));
        parts.any(|part| part.trim() == column.as_str())
            || roles.iter().any(|t| t.source == **column)
    };
    let unused = table.columns.iter().filter(|column| !used(column));
    Ok(Preview {
        file: log.path.clone(),
        dialect: log.dialect,
        rows: table.rows(),
        passed: log.passed.count,
        unused: unused.cloned().collect(),
        roles,
    })
}
