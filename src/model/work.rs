//! What a part costs: the matrix products that are executed, forwards and backwards each counted.

use std::iter::Sum;
use std::ops::Add;

/// Tokens of one window that go through a part at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Tokens of the window before them.
    pub seen: u64,
    /// Their number.
    pub new: u64,
    /// Whether a gradient is asked of what goes into the part. It is not where everything before it is frozen.
    pub learns: bool,
}

impl Span {
    /// A whole window, as training has it.
    pub fn window(time: usize) -> Self {
        Self {
            seen: 0,
            new: time as u64,
            learns: true,
        }
    }

    /// One more token, as decoding has it.
    pub fn token_after(seen: usize) -> Self {
        Self {
            seen: seen as u64,
            new: 1,
            learns: false,
        }
    }

    /// The same, whether or not a gradient is asked of what goes in.
    #[must_use]
    pub fn with_gradient(self, learns: bool) -> Self {
        Self { learns, ..self }
    }

    /// Pairs of a query and a key that a causal mask leaves, of which a query sees at most `window`, itself among them.
    pub fn pairs(self, window: Option<u64>) -> u64 {
        // Queries before which there are fewer tokens than a window has: each sees one more key than the last.
        let window = window.unwrap_or(u64::MAX);
        let last = self.seen + self.new;
        let growing = last.min(window).saturating_sub(self.seen);
        let first = self.seen + 1;
        let of_growing = growing * first + growing * growing.saturating_sub(1) / 2;
        of_growing + (self.new - growing).saturating_mul(window.min(last))
    }

    /// Pairs without a mask: what PaLM's convention counts.
    pub fn square(self, window: Option<u64>) -> u64 {
        let keys = self.seen + self.new;
        self.new * window.map_or(keys, |window| keys.min(window))
    }
}

/// FLOPs of the matrix products of one window; a multiply-add is two. Look-ups, norms and activations are not counted.
///
/// Executed means what the fused operations need: of attention the pairs that the mask leaves, and backwards also what is
/// computed a second time. That an operation goes by tiles, and throws away what of a tile lies beyond the mask, is the
/// machine's affair and not counted: the figure is the same everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Work {
    /// Forwards.
    pub forward: u64,
    /// Backwards, with what is computed again.
    pub backward: u64,
    /// Both by PaLM's convention (Chowdhery et al. 2022, arXiv 2204.02311, appendix B): attention over the full square of
    /// pairs, backwards twice the forward, nothing counted again. For comparison with figures published elsewhere.
    pub full_square: u64,
}

impl Work {
    /// Of products with weights that take `multiply_adds` forwards. Backwards there are up to two of the same size: for the
    /// gradient of the input, where `learns` says that one is asked for, and for that of the weights, where they train.
    pub fn of_product(multiply_adds: u64, learns: bool, trains: bool) -> Self {
        let backward = u64::from(learns) + u64::from(trains);
        Self {
            forward: 2 * multiply_adds,
            backward: 2 * multiply_adds * backward,
            full_square: 6 * multiply_adds,
        }
    }

    /// Of products with weights that train, in a part that gradients go through: both products backwards.
    pub fn of_weights(multiply_adds: u64) -> Self {
        Self::of_product(multiply_adds, true, true)
    }

    /// Of softmax attention over so many `pairs` of a query and a key, where a full square of the window has `square`, with
    /// `channels` = H D numbers a query. Forwards the products are Q K^T and P V. Backwards, where `learns` says that gradients
    /// go through, they are five: Q K^T again, since no probabilities are kept (FlashAttention, Dao et al. 2022, arXiv
    /// 2205.14135, algorithm 4), then those for dV, dP, dQ, dK.
    pub fn of_attention(pairs: u64, square: u64, channels: u64, learns: bool) -> Self {
        Self::of_scores(pairs, square, [channels, channels], learns)
    }

    /// The same where queries and keys have other widths than values: so many numbers a query of either, all heads together. Of the
    /// five products backwards three are over the width of a key, two over that of a value.
    pub fn of_scores(pairs: u64, square: u64, [keys, values]: [u64; 2], learns: bool) -> Self {
        let backward = 2 * pairs * (3 * keys + 2 * values);
        Self {
            forward: 2 * pairs * (keys + values),
            backward: if learns { backward } else { 0 },
            full_square: 3 * 2 * square * (keys + values),
        }
    }

    /// Forwards and backwards.
    pub fn train(&self) -> u64 {
        self.forward + self.backward
    }
}

impl Add for Work {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            forward: self.forward + other.forward,
            backward: self.backward + other.backward,
            full_square: self.full_square + other.full_square,
        }
    }
}

impl Sum for Work {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Add::add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_those_that_a_mask_leaves() {
        for seen in 0..6 {
            for new in 0..6 {
                for window in [None, Some(1), Some(2), Some(4), Some(5), Some(20)] {
                    let sees = |query: u64| (query + 1).min(window.unwrap_or(u64::MAX));
                    let counted: u64 = (seen..seen + new).map(sees).sum();
                    let span = Span {
                        seen,
                        new,
                        learns: true,
                    };
                    assert_eq!(span.pairs(window), counted, "{span:?} {window:?}");
                    assert!(span.square(window) >= counted, "{span:?} {window:?}");
                }
            }
        }
    }
}
