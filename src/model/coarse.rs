//! Products that round their factors, and how coarsely.

/// How a product rounds its factors: two sums of the same numbers in another order may fall on two sides of a step, which is far more
/// than the rounding of f32.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Coarse {
    /// How far rounding may move a number, as a share of it or of the largest that shares its scale: the largest such share among the
    /// factors whose numbers change from pass to pass.
    pub step: f64,
    /// Whether the scale of a token's numbers depends on other tokens, later ones and those of other windows among them.
    pub mixes_tokens: bool,
}

impl Coarse {
    /// Of two, each property of the coarser.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            step: self.step.max(other.step),
            mixes_tokens: self.mixes_tokens || other.mixes_tokens,
        }
    }
}
