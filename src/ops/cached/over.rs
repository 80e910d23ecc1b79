//! New queries over all keys so far, one query after the other.

use crate::ops::axes::Axes;
use crate::ops::counted;
use crate::ops::cpu::matmul::MatrixMut;
use crate::ops::cpu::rows::chunks;
use crate::ops::cpu::simd::{max, simd, sum};
use crate::ops::cpu::tile::FewRows;
use half::f16;
use half::slice::HalfFloatSliceExt;
use std::ops::Range;

simd! {
    /// Scores of one query as `exp(scale s - top)`, those behind the first `keys` as they are; what they sum to.
    fn weights<S, F>(scores: &mut [F], keys: usize, scale: F) -> F {
        for score in &mut scores[..keys] {
            *score *= scale;
        }
        let top = max(scores);
        for score in scores.iter_mut() {
            *score = (*score - top).exp::<S>();
        }
        sum(scores)
    }
}

/// Numbers of a sum that stay in registers while values go by.
const AT_ONCE: usize = 64;

simd! {
    /// `y += p v`, of values that begin `stride` numbers apart.
    pub(super) fn weigh<S, F>(p: &[F], v: &[F], stride: usize, y: &mut [F]) {
        let (whole, rest) = y.as_chunks_mut::<AT_ONCE>();
        let from = whole.len() * AT_ONCE;
        for (c, y) in whole.iter_mut().enumerate() {
            let mut sums = *y;
            for (&p, v) in p.iter().zip(v.chunks(stride)) {
                if let Some(v) = v[c * AT_ONCE..].first_chunk::<AT_ONCE>() {
                    for (sum, &v) in sums.iter_mut().zip(v) {
                        *sum = p.fma::<S>(v, *sum);
                    }
                }
            }
            *y = sums;
        }
        if rest.is_empty() {
            return;
        }
        for (&p, v) in p.iter().zip(v.chunks(stride)) {
            for (y, &v) in rest.iter_mut().zip(&v[from..]) {
                *y = p.fma::<S>(v, *y);
            }
        }
    }
}

/// What keys and values are kept as: numbers to compute with, or such as are widened to them when they are looked at.
pub(super) trait Kept<F>: Sync {
    /// Some of them as numbers to compute with, in `scratch` where they are none yet.
    fn widened<'a>(kept: &'a [Self], scratch: &'a mut Vec<F>) -> &'a [F]
    where
        Self: Sized;
}

impl Kept<f32> for f32 {
    fn widened<'a>(kept: &'a [f32], _: &'a mut Vec<f32>) -> &'a [f32] {
        kept
    }
}

impl Kept<f64> for f64 {
    fn widened<'a>(kept: &'a [f64], _: &'a mut Vec<f64>) -> &'a [f64] {
        kept
    }
}

impl Kept<f32> for f16 {
    fn widened<'a>(kept: &'a [f16], scratch: &'a mut Vec<f32>) -> &'a [f32] {
        scratch.resize(kept.len(), 0.0);
        kept.convert_to_f32_slice(scratch);
        scratch
    }
}

/// What new queries look at.
pub(super) struct Over<'a, F, K> {
    pub axes: Axes,
    pub keys: &'a [K],
    pub values: &'a [K],
    /// From one value to the next.
    pub of_value: usize,
    /// None, or one of each query head.
    pub sinks: &'a [F],
    /// Tokens that a cache has room for.
    pub room: usize,
    pub offset: usize,
}

impl<F: FewRows, K: Kept<F>> Over<'_, F, K> {
    /// The output of all queries, query by query.
    pub fn attended(&self, qkv: &[F]) -> Vec<F> {
        let axes = self.axes;
        let (heads, width, of_values) = (axes.heads, axes.head_width, axes.of_values());
        let mut y = vec![F::ZERO; axes.rows() * axes.width()];
        let seen = self.offset + axes.time;
        let work = axes.rows() * heads * seen * (width + of_values);
        let keys = |query: usize| axes.first_seen(query)..query + 1;
        let of_head = (self.offset..seen).map(|query| keys(query).len());
        let pairs = axes.batch * heads * of_head.sum::<usize>();
        counted::add((2 * pairs * (width + of_values)) as i64);
        let together = self.together();
        chunks(&mut y, together * of_values, work, |i, y| {
            let (row, head) = (i * together / heads, i * together % heads);
            let (window, keys) = (row / axes.time, keys(self.offset + row % axes.time));
            let of_cache = window * axes.kv_heads + head / (heads / axes.kv_heads);
            let tokens = of_cache * self.room + keys.start..of_cache * self.room + keys.end;
            let queries = &qkv[row * axes.packed_width() + head * width..][..together * width];
            self.look(queries, head, tokens, y);
        });
        y
    }

    /// Keys that the last new query sees.
    pub fn longest(&self) -> usize {
        let last = self.offset + self.axes.time - 1;
        last + 1 - self.axes.first_seen(last)
    }

    /// Query heads that look at the same keys side by side: all that share them, where there are enough of such for the threads.
    fn together(&self) -> usize {
        let shared = self.axes.rows() * self.axes.kv_heads;
        match shared >= 4 * rayon::current_num_threads() {
            true => self.axes.heads / self.axes.kv_heads,
            false => 1,
        }
    }

    /// Some queries, the first of a head, over the same keys.
    fn look(&self, queries: &[F], head: usize, tokens: Range<usize>, y: &mut [F]) {
        let (width, of_values) = (self.axes.head_width, self.axes.of_values());
        let (heads, keys) = (queries.len() / width, tokens.len());
        let each = keys + usize::from(!self.sinks.is_empty());
        let mut scores = vec![F::ZERO; heads * each];
        let mut scratch = Vec::new();
        let kept = &self.keys[tokens.start * width..tokens.end * width];
        F::rows_by_rows(
            queries,
            K::widened(kept, &mut scratch),
            width,
            &mut MatrixMut::new(&mut scores, heads, keys, each),
        );
        let scale = F::of(self.axes.score_scale());
        let mut sums = vec![F::ZERO; heads];
        for (h, scores) in scores.chunks_mut(each).enumerate() {
            if let Some(&sink) = self.sinks.get(head + h) {
                scores[keys] = sink;
            }
            sums[h] = weights(scores, keys, scale);
        }
        // Some values at a time, which the first-level cache holds while all queries weigh them.
        for from in (0..keys).step_by(VALUES_AT_ONCE) {
            let to = (from + VALUES_AT_ONCE).min(keys);
            let [first, end] = [from, to].map(|at| (tokens.start + at) * self.of_value);
            let values = K::widened(&self.values[first..end], &mut scratch);
            for (scores, y) in scores.chunks(each).zip(y.chunks_mut(of_values)) {
                weigh(&scores[from..to], values, self.of_value, y);
            }
        }
        for (sum, y) in sums.into_iter().zip(y.chunks_mut(of_values)) {
            let factor = F::ONE / sum;
            y.iter_mut().for_each(|y| *y *= factor);
        }
    }
}

/// Values that all queries weigh before the next.
pub(super) const VALUES_AT_ONCE: usize = 64;
