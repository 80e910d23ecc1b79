//! What is asked of a run, and why it may have no answer.

use std::fmt;

use crate::record::{ResultFile, Trial};

/// What is asked: what is this variant worth over the base, at this scale and budget?
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The variant whose compute is the currency.
    pub base: String,
    /// The variant in question.
    pub variant: String,
    /// At this scale ...
    pub scale: String,
    /// ... and this budget of the variant, in steps; `None` where the cells carry none.
    pub budget: Option<u64>,
}

impl Question {
    /// The one that a suite fixed before anything ran.
    pub fn of(file: &ResultFile) -> Result<Self, Unanswered> {
        let (Some(headline), Some(base)) = (&file.run.headline, file.run.base.clone()) else {
            return Err(Unanswered::NoQuestion);
        };
        let (variant, scale) = (headline.variant.clone(), headline.scale.clone());
        Ok(Self {
            base,
            variant,
            scale,
            budget: Some(headline.budget),
        })
    }

    /// The cell in question: `modern/w32@400`.
    pub fn cell(&self) -> String {
        let budget = self
            .budget
            .map(|budget| format!("@{budget}"))
            .unwrap_or_default();
        format!("{}/{}{budget}", self.variant, self.scale)
    }

    /// Whether a trial is of the cell in question; a suite with one budget does not name it.
    pub(super) fn is_variant(&self, trial: &Trial) -> bool {
        let budget = trial
            .budget
            .is_none_or(|budget| self.budget.is_none_or(|asked| asked == budget));
        trial.scale == self.scale && trial.variant == self.variant && budget
    }

    /// The base may have any size: spending more on it may make it larger.
    pub(super) fn is_base(&self, trial: &Trial) -> bool {
        trial.variant == self.base
    }
}

/// Why a run answers no question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unanswered {
    /// The suite asks none.
    NoQuestion,
    /// The variant is the base.
    SameVariant(String),
    /// This cell has no finished trial with a loss.
    NoTrial(String),
    /// No repeat has both the variant and the base.
    NoPair,
    /// One cell ran in several builds, so that it has several answers.
    SeveralBuilds {
        /// The first such cell.
        cell: String,
        /// What tells the builds apart.
        builds: Vec<String>,
    },
    /// Trials of one name are of different things.
    SeveralSettings {
        /// The first such cell.
        cell: String,
        /// The keys in which they differ, with the values.
        keys: Vec<String>,
    },
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoQuestion => write!(f, "nothing says which variant is the base"),
            Self::SameVariant(name) => {
                write!(f, "the variant in question, {name}, is the base itself")
            }
            Self::NoTrial(cell) => write!(f, "{cell} has no finished trial"),
            Self::NoPair => write!(f, "no repeat finished both the variant and the base"),
            Self::SeveralBuilds { cell, builds } => {
                write!(
                    f,
                    "{cell} ran in {} builds ({}), and a gain is of one",
                    builds.len(),
                    builds.join("; ")
                )
            }
            Self::SeveralSettings { cell, keys } => {
                write!(
                    f,
                    "trials named {cell} differ in their settings: {}",
                    keys.join(", ")
                )
            }
        }
    }
}

impl Unanswered {
    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoQuestion => Some(
                "`--base VARIANT` says whose compute gains are counted in; `effbench summary FILE` lists the variants",
            ),
            Self::SeveralBuilds { .. } => Some(
                "give the files of one build at a time; `effbench compare` says what differs between builds",
            ),
            Self::SeveralSettings { .. } => {
                Some("give the files one at a time, or name the variants apart")
            }
            _ => None,
        }
    }
}
