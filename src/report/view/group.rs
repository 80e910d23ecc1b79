//! Which group of runs a sentence is about.

use crate::analysis::fit::points::UNNAMED;

/// A sentence about a group: a group's name keeps its spelling, and nothing but our own words is written large.
pub(super) fn about(group: &str, text: &str) -> String {
    if group == UNNAMED {
        capital(text)
    } else {
        format!("{group}: {text}")
    }
}

/// Words of ours at a sentence's beginning.
pub(super) fn capital(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(char::to_uppercase);
    first.into_iter().flatten().chain(letters).collect()
}
