//! Two builds against each other: the words that those who run them and those who judge them have in common.

use schemars::JsonSchema;
use serde::Serialize;

/// How the arm of the other build is called.
pub const BASE: &str = "base";
/// And this build's.
pub const HEAD: &str = "head";

/// Fresh repeats of what looked worse.
pub const CONFIRM_REPEATS: u64 = 8;

/// What the exit code is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    /// Only a confirmed regression fails.
    #[default]
    Regress,
    /// What cannot be told, or not compared, fails too.
    Conclusive,
    /// Everything must be shown to be equivalent or better.
    Equivalent,
}

impl Gate {
    /// The word that asks for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Regress => "regress",
            Self::Conclusive => "conclusive",
            Self::Equivalent => "equivalent",
        }
    }
}
