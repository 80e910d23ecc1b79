//! Many new queries over a cache, as a prompt is read: blocks of them are multiplied as matrices with a stretch of keys after the
//! other, and sums of exponentials go along (Milakov and Gimelshein 2018, arXiv:1805.02867; FlashAttention, Dao et al. 2022,
//! arXiv:2205.14135).

use super::over::{Kept, Over};
use crate::ops::counted;
use crate::ops::cpu::factors::Factors;
use crate::ops::cpu::matmul::{Before, Matrix, MatrixMut, Shared};
use crate::ops::cpu::real::Real;
use crate::ops::cpu::rows::build;
use crate::ops::cpu::simd::{max, simd, sum};
use gemm::Parallelism;
use rayon::prelude::*;
use std::ops::Range;

/// New tokens of a window from which on matrix products are faster than query by query.
pub(super) const FEWEST: usize = 16;
/// New tokens whose queries go through the keys together, those of all heads that share them.
const BLOCK: usize = 64;
/// Keys of a stretch: the scores of a block stay in the second-level cache.
const KEYS: usize = 512;

simd! {
    /// Scores of one query as exponentials, those that it sees, and all others as 0; the largest score so far was `top`. Returns the
    /// largest now, what all that was summed before is to be multiplied by, and the sum of these.
    pub(super) fn exponentials<S, F>(
        scores: &mut [F],
        from: usize,
        to: usize,
        top: F,
    ) -> (F, F, F) {
        scores[..from].fill(F::ZERO);
        scores[to..].fill(F::ZERO);
        if from == to {
            return (top, F::ONE, F::ZERO);
        }
        let seen = &mut scores[from..to];
        let largest = max(seen);
        let new = if largest > top { largest } else { top };
        for score in seen.iter_mut() {
            *score = (*score - new).exp::<S>();
        }
        (new, (top - new).exp::<S>(), sum(seen))
    }
}

/// What a block has summed so far, a row for each head and token.
struct Sums<F> {
    top: Vec<F>,
    total: Vec<F>,
    values: Vec<F>,
}

impl<F: Real, K: Kept<F>> Over<'_, F, K> {
    /// The output of all queries.
    pub(super) fn by_blocks(&self, qkv: &[F], factors: Factors) -> Vec<F> {
        let axes = self.axes;
        let mut y = build(axes.rows(), axes.width(), |_, _| {});
        let out = Shared::new(&mut y, axes.width());
        let blocks = axes.time.div_ceil(BLOCK);
        let tasks = (0..axes.batch * axes.kv_heads * blocks).into_par_iter();
        tasks.for_each(|task| {
            let (of_cache, block) = (task / blocks, task % blocks);
            let times = block * BLOCK..((block + 1) * BLOCK).min(axes.time);
            self.block(qkv, of_cache, times, factors, &out);
        });
        y
    }

    /// The queries of some new tokens, of the heads that share a key head of a window.
    fn block(
        &self,
        qkv: &[F],
        of_cache: usize,
        times: Range<usize>,
        factors: Factors,
        out: &Shared<'_, F>,
    ) {
        let axes = self.axes;
        let (window, kv_head) = (of_cache / axes.kv_heads, of_cache % axes.kv_heads);
        let (group, width, of_values) = (
            axes.heads / axes.kv_heads,
            axes.head_width,
            axes.of_values(),
        );
        let heads = kv_head * group..(kv_head + 1) * group;
        let first_row = window * axes.time + times.start;
        let mut queries = Vec::with_capacity(group * times.len() * width);
        for head in heads.clone() {
            for row in first_row..first_row + times.len() {
                let start = row * axes.packed_width() + head * width;
                queries.extend_from_slice(&qkv[start..start + width]);
            }
        }
        let sums = self.sums(&queries, of_cache, &times, factors);
        for (h, head) in heads.enumerate() {
            // SAFETY: no other task writes these heads at these times.
            let mut y = unsafe { out.part((first_row, head * of_values), times.len(), of_values) };
            for i in 0..times.len() {
                let at = h * times.len() + i;
                let values = &sums.values[at * of_values..][..of_values];
                let by = F::ONE / sums.total[at];
                for (y, &value) in y.row(i).iter_mut().zip(values) {
                    *y = by * value;
                }
            }
        }
    }

    /// The sums of a block's queries over all keys that any of them sees.
    fn sums(
        &self,
        queries: &[F],
        of_cache: usize,
        times: &Range<usize>,
        factors: Factors,
    ) -> Sums<F> {
        let axes = self.axes;
        let (width, of_values) = (axes.head_width, axes.of_values());
        let (n, rows) = (times.len(), queries.len() / width);
        let group = axes.heads / axes.kv_heads;
        let sink = |row: usize| {
            let head = of_cache % axes.kv_heads * group + row / n;
            self.sinks.get(head).copied()
        };
        let mut sums = Sums {
            top: (0..rows)
                .map(|row| sink(row).unwrap_or(F::LOWEST))
                .collect(),
            // exp(sink - sink), whose value is 0.
            total: (0..rows)
                .map(|row| sink(row).map_or(F::ZERO, |_| F::ONE))
                .collect(),
            values: vec![F::ZERO; rows * of_values],
        };
        let queries = Matrix::new(queries, rows, width, width);
        let seen = |row: usize| {
            let query = self.offset + times.start + row % n;
            axes.first_seen(query)..query + 1
        };
        let mut scratch = vec![F::ZERO; rows * KEYS];
        let mut wide = Vec::new();
        let mut not_seen = 0;
        for start in (seen(0).start..seen(n - 1).end).step_by(KEYS) {
            let keys = start..(start + KEYS).min(seen(n - 1).end);
            let scores = &mut scratch[..rows * keys.len()];
            let at = of_cache * self.room + start;
            let kept = &self.keys[at * width..(at + keys.len()) * width];
            let of_keys = Matrix::new(K::widened(kept, &mut wide), keys.len(), width, width);
            let mut product = MatrixMut::new(scores, rows, keys.len(), keys.len());
            let scale = F::of(axes.score_scale());
            let put = (Before::Overwritten, scale);
            let one = Parallelism::None;
            factors.multiply(&mut product, put.0, put.1, (queries, of_keys.t()), one);
            for (row, scores) in scores.chunks_exact_mut(keys.len()).enumerate() {
                let [from, to] = [seen(row).start, seen(row).end]
                    .map(|at| at.clamp(keys.start, keys.end) - start);
                let (top, by, total) = exponentials(scores, from, to, sums.top[row]);
                sums.top[row] = top;
                sums.total[row] = sums.total[row] * by + total;
                if by != F::ONE {
                    let values = &mut sums.values[row * of_values..][..of_values];
                    values.iter_mut().for_each(|value| *value *= by);
                }
                not_seen += keys.len() - (to - from);
            }
            let kept = &self.values[at * self.of_value..(at + keys.len()) * self.of_value];
            let values = K::widened(kept, &mut wide);
            let values = Matrix::new(values, keys.len(), of_values, self.of_value);
            let mut product = MatrixMut::new(&mut sums.values, rows, of_values, of_values);
            let scores = Matrix::new(scores, rows, keys.len(), keys.len());
            factors.multiply(&mut product, Before::AddedTo, F::ONE, (scores, values), one);
        }
        counted::add(-((2 * not_seen * (width + of_values)) as i64));
        sums
    }
}
