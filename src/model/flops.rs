//! What training one window costs: the matrix products that are executed, forwards and backwards each counted.

use std::iter::Sum;
use std::ops::Add;

/// FLOPs of the matrix products of one window; a multiply-add is two. Look-ups, norms and activations are not counted.
///
/// Executed means what the fused operations need: of attention the pairs that the mask leaves, and backwards also what is
/// computed a second time. That an operation goes by tiles, and throws away what of a tile lies beyond the mask, is the
/// machine's affair and not counted: the figure is the same everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WindowFlops {
    /// Forwards.
    pub forward: u64,
    /// Backwards, with what is computed again.
    pub backward: u64,
    /// Both by PaLM's convention (Chowdhery et al. 2022, arXiv 2204.02311, appendix B): attention over the full square of
    /// pairs, backwards twice the forward, nothing counted again. For comparison with figures published elsewhere.
    pub full_square: u64,
}

impl WindowFlops {
    /// Of products with weights that take `multiply_adds` forwards. Backwards there are two of the same size: for the gradient
    /// of the input and for that of the weights.
    pub fn of_weights(multiply_adds: u64) -> Self {
        Self {
            forward: 2 * multiply_adds,
            backward: 4 * multiply_adds,
            full_square: 6 * multiply_adds,
        }
    }

    /// Of softmax attention over so many `pairs` of a query and a key, where a full square of the window has `square`, with
    /// `channels` = H D numbers a query. Forwards the products are Q K^T and P V. Backwards they are five: Q K^T again, since
    /// no probabilities are kept (FlashAttention, Dao et al. 2022, arXiv 2205.14135, algorithm 4), then those for dV, dP, dQ, dK.
    pub fn of_attention(pairs: u64, square: u64, channels: u64) -> Self {
        let product = |pairs: u64| 2 * pairs * channels;
        Self {
            forward: 2 * product(pairs),
            backward: 5 * product(pairs),
            full_square: 3 * 2 * product(square),
        }
    }

    /// Forwards and backwards.
    pub fn train(&self) -> u64 {
        self.forward + self.backward
    }
}

impl Add for WindowFlops {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            forward: self.forward + other.forward,
            backward: self.backward + other.backward,
            full_square: self.full_square + other.full_square,
        }
    }
}

impl Sum for WindowFlops {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Add::add)
    }
}

/// Pairs of a query and a key that a causal mask leaves of a window of `time` tokens.
pub fn causal_pairs(time: u64) -> u64 {
    time * (time + 1) / 2
}
