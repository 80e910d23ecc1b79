//! What went wrong, said to a person: one sentence, a hint, and the kind that decides the exit code.

use std::fmt;

/// The crate's result.
pub type Result<T> = std::result::Result<T, Error>;

/// Whose fault it was; `cli` turns it into an exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Usage, unreadable or invalid input: exit code 2.
    Input,
    /// A confirmed regression: exit code 1.
    Regression,
    /// Nothing can be told, and conclusiveness was required: exit code 3.
    Inconclusive,
    /// The two sides cannot be compared: exit code 4.
    NotComparable,
    /// Some trials failed or are invalid: exit code 5.
    Trials,
    /// The user interrupted: exit code 130.
    Interrupted,
    /// The program or the machine: anything that should not happen. Exit code 2 as well, but no hint can help.
    Internal,
}

/// An error message for a person: what was found, where, and what would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// Decides the exit code.
    pub kind: Kind,
    /// One sentence without a full stop: file, key, what was found.
    pub message: String,
    /// What would do.
    pub hint: Option<String>,
}

impl Error {
    /// A mistake in the input.
    pub fn input(message: impl Into<String>) -> Self {
        Self {
            kind: Kind::Input,
            message: message.into(),
            hint: None,
        }
    }

    /// A failure of the program or the machine.
    pub fn internal(message: impl Into<String>) -> Self {
        Self {
            kind: Kind::Internal,
            message: message.into(),
            hint: None,
        }
    }

    /// Adds the remedy.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds "did you mean ...", or the list of what there is when nothing is near.
    #[must_use]
    pub fn suggest<'a>(self, found: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        let known: Vec<&str> = known.into_iter().collect();
        match near(found, known.iter().copied()) {
            Some(name) => self.hint(format!("did you mean `{name}`?")),
            None if known.is_empty() => self,
            None if known.len() > MOST_LISTED => {
                self.hint("`effbench show VARIANT` prints every key with its value")
            }
            None => self.hint(format!("there is: {}", known.join(", "))),
        }
    }
}

/// Names of one kind, changes the most, are all listed in a hint; keys of a spec are more.
const MOST_LISTED: usize = 80;

/// A word of a command that a hint names, quoted for a shell where it must be.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=.,/:@#~+%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// Names that a message lists, and characters of each.
const LISTED: (usize, usize) = (40, 60);

/// Names for a sentence: of many the first, of a long one the beginning.
pub fn listed(names: &[String], between: &str) -> String {
    let short = |name: &String| name.escape_debug().take(LISTED.1).collect::<String>();
    let list: Vec<String> = names.iter().take(LISTED.0).map(short).collect();
    let more = names.len().saturating_sub(LISTED.0);
    match more {
        0 => list.join(between),
        more => format!("{}{between}and {more} more", list.join(between)),
    }
}

/// The one of `known` that was meant, where one is written almost alike (Jaro and Winkler's similarity above 0.8).
pub fn near<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let scored = known
        .into_iter()
        .map(|name| (strsim::jaro_winkler(found, name), name));
    scored
        .filter(|(score, _)| *score > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

/// The system's sentence without its error number.
pub(crate) fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error")
        .next()
        .unwrap_or(&text)
        .to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_name_is_suggested_and_a_far_one_gets_the_list() {
        let near = Error::input("unknown suite `quik`").suggest("quik", ["quick", "ci"]);
        assert_eq!(near.hint.as_deref(), Some("did you mean `quick`?"));
        let far = Error::input("unknown suite `zzz`").suggest("zzz", ["quick", "ci"]);
        assert_eq!(far.hint.as_deref(), Some("there is: quick, ci"));
    }
}
