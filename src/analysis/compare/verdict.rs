//! What is said of one metric in one cell, and how verdicts join: the worst stands for all.

use schemars::JsonSchema;
use serde::Serialize;

/// From the best to the worst; the greatest of several is their join, so that joining is a matter of order and never of the
/// order in which cells stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Within the margin for sure, or the same bits.
    Equivalent,
    /// Better by more than the margin.
    Improved,
    /// Cannot tell.
    Inconclusive,
    /// The two sides are not alike enough for a comparison.
    NotComparable,
    /// Worse by more than the margin.
    Regressed,
}

impl Verdict {
    /// All of them, the worst first: the order in which they are told.
    pub const ALL: [Self; 5] = [
        Self::Regressed,
        Self::NotComparable,
        Self::Inconclusive,
        Self::Improved,
        Self::Equivalent,
    ];

    /// The verdict over both.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        self.max(other)
    }

    /// Over any number: of nothing there is nothing to complain about.
    pub fn of_all(verdicts: impl IntoIterator<Item = Self>) -> Self {
        verdicts.into_iter().fold(Self::Equivalent, Self::join)
    }

    /// For prose.
    pub fn words(self) -> &'static str {
        match self {
            Self::Equivalent => "equivalent",
            Self::Improved => "improved",
            Self::Inconclusive => "cannot tell",
            Self::NotComparable => "not comparable",
            Self::Regressed => "regressed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_join_as_a_lattice() {
        for a in Verdict::ALL {
            assert_eq!((a.join(a), a.join(Verdict::Equivalent)), (a, a));
            for b in Verdict::ALL {
                assert_eq!(a.join(b), b.join(a));
                for c in Verdict::ALL {
                    assert_eq!(a.join(b).join(c), a.join(b.join(c)));
                }
            }
        }
        assert_eq!(
            Verdict::of_all([
                Verdict::Improved,
                Verdict::Regressed,
                Verdict::NotComparable
            ]),
            Verdict::Regressed
        );
        assert_eq!(Verdict::of_all([]), Verdict::Equivalent);
    }
}
