//! A few new queries over long caches: keys are split into stretches of one length, so that threads have enough to do and the query heads
//! that share a key read it once, and what each stretch sums is put together in their order (as in Flash-Decoding, Dao et al. 2023).
//! The number of threads changes no bit.

use super::blocks::exponentials;
use super::over::{Kept, Over, VALUES_AT_ONCE, weigh};
use crate::ops::counted;
use crate::ops::cpu::matmul::MatrixMut;
use crate::ops::cpu::rows::chunks;
use crate::ops::cpu::tile::FewRows;
use std::ops::Range;

/// Keys of a stretch.
const SPLIT: usize = 256;
/// Keys from which on they are split.
pub(super) const FEWEST: usize = 2 * SPLIT;

/// A stretch of what one token's queries of a key head see.
struct Split {
    row: usize,
    kv_head: usize,
    keys: Range<usize>,
}

impl<F: FewRows, K: Kept<F>> Over<'_, F, K> {
    /// The output of all queries.
    pub(super) fn by_splits(&self, qkv: &[F]) -> Vec<F> {
        let axes = self.axes;
        let (width, of_values) = (axes.head_width, axes.of_values());
        let group = axes.heads / axes.kv_heads;
        let seen = |row: usize| {
            let query = self.offset + row % axes.time;
            axes.first_seen(query)..query + 1
        };
        let mut splits = Vec::new();
        for (row, kv_head) in
            (0..axes.rows()).flat_map(|row| (0..axes.kv_heads).map(move |h| (row, h)))
        {
            let all = seen(row);
            splits.extend(all.clone().step_by(SPLIT).map(|start| Split {
                row,
                kv_head,
                keys: start..(start + SPLIT).min(all.end),
            }));
        }
        let pairs: usize = splits.iter().map(|split| group * split.keys.len()).sum();
        counted::add((2 * pairs * (width + of_values)) as i64);
        // Of each query of a split its values, their sum of weights, and the largest score.
        let of_query = of_values + 2;
        let mut sums = vec![F::ZERO; splits.len() * group * of_query];
        chunks(&mut sums, group * of_query, pairs * width, |i, sums| {
            self.split(qkv, &splits[i], sums);
        });
        let mut y = vec![F::ZERO; axes.rows() * axes.width()];
        let sums: Vec<&[F]> = sums.chunks(group * of_query).collect();
        let mut rest = &sums[..];
        for (i, y) in y.chunks_mut(group * of_values).enumerate() {
            let (mine, after) = rest.split_at(seen(i / axes.kv_heads).len().div_ceil(SPLIT));
            rest = after;
            for (h, y) in y.chunks_mut(of_values).enumerate() {
                let of_head = mine.iter().map(|sums| &sums[h * of_query..][..of_query]);
                let sink = self.sinks.get(i % axes.kv_heads * group + h).copied();
                together(of_head, sink, y);
            }
        }
        y
    }

    /// The sums of one split.
    fn split(&self, qkv: &[F], split: &Split, sums: &mut [F]) {
        let axes = self.axes;
        let (width, of_values) = (axes.head_width, axes.of_values());
        let group = axes.heads / axes.kv_heads;
        let start = split.row * axes.packed_width() + split.kv_head * group * width;
        let queries = &qkv[start..start + group * width];
        let of_cache = split.row / axes.time * axes.kv_heads + split.kv_head;
        let (at, keys) = (of_cache * self.room + split.keys.start, split.keys.len());
        let mut scores = vec![F::ZERO; group * keys];
        let mut scratch = Vec::new();
        F::rows_by_rows(
            queries,
            K::widened(&self.keys[at * width..(at + keys) * width], &mut scratch),
            width,
            &mut MatrixMut::new(&mut scores, group, keys, keys),
        );
        let scale = F::of(axes.score_scale());
        for (scores, sums) in scores.chunks_mut(keys).zip(sums.chunks_mut(of_values + 2)) {
            scores.iter_mut().for_each(|score| *score *= scale);
            let (top, _, total) = exponentials(scores, 0, keys, F::LOWEST);
            sums[of_values..].copy_from_slice(&[total, top]);
        }
        for from in (0..keys).step_by(VALUES_AT_ONCE) {
            let to = (from + VALUES_AT_ONCE).min(keys);
            let values = &self.values[(at + from) * self.of_value..(at + to) * self.of_value];
            let values = K::widened(values, &mut scratch);
            for (scores, sums) in scores.chunks(keys).zip(sums.chunks_mut(of_values + 2)) {
                let y = &mut sums[..of_values];
                weigh(&scores[from..to], values, self.of_value, y);
            }
        }
    }
}

/// The output of a query from the sums of its splits, and the score of the key that is not there.
fn together<'a, F: FewRows>(
    splits: impl Iterator<Item = &'a [F]> + Clone,
    sink: Option<F>,
    y: &mut [F],
) {
    let n = y.len();
    let larger = |a: F, b: F| if b > a { b } else { a };
    let top = splits.clone().map(|sums| sums[n + 1]);
    let top = top.fold(sink.unwrap_or(F::LOWEST), larger);
    let exp = |score: F| F::of((score - top).to_f64().exp());
    let mut total = sink.map_or(F::ZERO, exp);
    for sums in splits {
        let by = exp(sums[n + 1]);
        total += by * sums[n];
        for (y, &value) in y.iter_mut().zip(sums) {
            *y += by * value;
        }
    }
    let by = F::ONE / total;
    y.iter_mut().for_each(|y| *y *= by);
}
