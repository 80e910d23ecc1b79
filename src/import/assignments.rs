//! What stands behind `--map` and `--let`: `ROLE=COLUMN,ROLE=COLUMN`.

use super::role::Role;
use crate::error::{Error, Result};

/// The pairs of a list; what does not begin with a role and `=` belongs to the pair before it, as a column's name may hold commas
/// and equals signs.
pub(super) fn pairs(list: &str) -> Vec<String> {
    let begins = |part: &str| {
        part.split_once('=')
            .is_some_and(|(role, _)| Role::of(role.trim()).is_ok())
    };
    let mut pairs: Vec<String> = Vec::new();
    for part in list.split(',') {
        match pairs.last_mut() {
            Some(last) if !begins(part) => last.extend([",", part]),
            _ => pairs.push(part.to_owned()),
        }
    }
    pairs
}

/// The role and the rest of `ROLE=REST`.
pub(super) fn assignment<'a>(flag: &str, what: &str, text: &'a str) -> Result<(Role, &'a str)> {
    match text
        .split_once('=')
        .map(|(role, source)| (role.trim(), source.trim()))
    {
        Some((role, source)) if !role.is_empty() && !source.is_empty() => {
            Ok((Role::of(role)?, source))
        }
        _ => Err(Error::input(format!(
            "{flag} {}: expected ROLE={what}",
            text.escape_debug()
        ))
        .hint(format!(
            "such as {flag} loss={}",
            if what == "COLUMN" {
                "validation_loss"
            } else {
                "3.2"
            }
        ))),
    }
}
