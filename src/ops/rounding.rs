//! Which factors of products are rounded, and what is kept of weights that were.

use super::cpu::factors::{Factors, Rounded};
use super::narrowed::Narrowed;
use super::{Ops, Runs};

impl<'t> Ops<'t> {
    /// The same with the factors of matrix products on a CPU rounded: those of weights and of attention. Sums, activations between
    /// products, states of recurrences and products of up to 32 rows, unless their weights are [kept](Ops::keeping), stay f32.
    #[must_use]
    pub fn with_factors(self, factors: Factors) -> Self {
        Self { factors, ..self }
    }

    /// The same with weights that stay as they are, so that each is narrowed to the type of activations once.
    #[must_use]
    pub fn keeping<'u>(self, narrowed: &'u Narrowed) -> Ops<'u>
    where
        't: 'u,
    {
        Ops {
            narrowed: Some(narrowed),
            ..self
        }
    }

    /// The same with weights that are made anew for each product: nothing is kept of them.
    #[must_use]
    pub fn keeping_nothing(self) -> Self {
        Self {
            narrowed: None,
            ..self
        }
    }

    /// Whether the factors of products on a CPU are rounded.
    pub fn rounds_factors(self) -> bool {
        matches!(self.runs, Runs::Cpu) && self.factors != Factors::F32
    }

    /// What factors of products on a CPU are rounded to, and what was packed of them before.
    pub(super) fn rounding(self) -> Rounded {
        let kept = self.narrowed.filter(|_| self.factors != Factors::F32);
        Rounded {
            factors: self.factors,
            kept: kept.map(|narrowed| narrowed.on_cpu.clone()),
        }
    }
}
