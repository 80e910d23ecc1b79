//! Causal attention, `softmax(Q K^T / sqrt(D)) V` with every query looking at its own and earlier positions (Vaswani et al.
//! 2017, arXiv:1706.03762), several query heads sharing a key head where there are fewer of those (Ainslie et al. 2023,
//! arXiv:2305.13245).
//!
//! As in FlashAttention (Dao et al. 2022, arXiv:2205.14135) no T x T matrix outlives a block: [`BLOCK`] queries of one head are
//! multiplied with the keys up to the last of them, and what is kept for the backward pass is one number per query and head,
//! `l = ln sum exp(scores)`. Backwards the probabilities are `P = exp(scores - l)` again, and with g the output's gradient
//! `dV = P^T g`, `dS = P * (g V^T - rowsum(g * y))`, `dQ = dS K / sqrt(D)`, `dK = dS^T Q / sqrt(D)`.
//!
//! With a window (Beltagy et al. 2020, arXiv:2004.05150) a query sees that many tokens, itself the last of them, and a block is
//! multiplied with the keys from the first that any of its queries sees.
//!
//! Windows and heads run in parallel, each with single-threaded matrix products. The gradients of a shared key head are summed
//! over its query heads in order.

pub(super) mod gpu;

use super::axes::Axes;
use super::cpu::matmul::{Before, Matrix, MatrixMut, Shared, multiply};
use super::cpu::real::{Real, typed};
use super::cpu::rows::{build, chunks, numbers, tensor, with_numbers};
use super::cpu::simd::{accumulate, dot, max, simd, sum};
use super::tape::{Tape, apply1};
use candle_core::{CpuStorage, CustomOp1, D, Device, Layout, Result, Shape, Tensor, bail};
use gemm::Parallelism;
use rayon::prelude::*;
use std::ops::Range;
use std::sync::OnceLock;

/// Queries that go through the keys together.
const BLOCK: usize = 64;

pub(super) fn reference(qkv: &Tensor, axes: Axes) -> Result<Tensor> {
    let Axes {
        batch,
        time,
        heads,
        kv_heads,
        head_width,
        ..
    } = axes;
    let group = heads / kv_heads;
    let part = |first: usize, count: usize| {
        qkv.narrow(1, first * head_width, count * head_width)?
            .reshape((batch, time, count, head_width))?
            .transpose(1, 2)?
            .contiguous()
    };
    let repeated = |x: Tensor| match group {
        1 => Ok(x),
        _ => x
            .unsqueeze(2)?
            .broadcast_as((batch, kv_heads, group, time, head_width))?
            .contiguous()?
            .reshape((batch, heads, time, head_width)),
    };
    let q_bhtd = (part(0, heads)? * axes.score_scale())?;
    let (k_bhtd, v_bhtd) = (
        repeated(part(heads, kv_heads)?)?,
        repeated(part(heads + kv_heads, kv_heads)?)?,
    );
    let mask: Vec<f32> = (0..time * time)
        .map(|i| {
            let (query, key) = (i / time, i % time);
            if key > query || key < axes.first_seen(query) {
                f32::NEG_INFINITY
            } else {
                0.0
            }
        })
        .collect();
    let mask = Tensor::from_vec(mask, (time, time), &Device::Cpu)?
        .to_dtype(qkv.dtype())?
        .to_device(qkv.device())?;
    let scores = q_bhtd.matmul(&k_bhtd.t()?)?.broadcast_add(&mask)?;
    let y_bhtd = candle_nn::ops::softmax(&scores, D::Minus1)?.matmul(&v_bhtd)?;
    y_bhtd.transpose(1, 2)?.reshape((axes.rows(), axes.width()))
}

pub(super) fn fused(tape: Option<&Tape>, qkv: &Tensor, axes: Axes) -> Result<Tensor> {
    let qkv = qkv.contiguous()?;
    typed!(qkv, F => apply1(tape, Attention::<F> { axes, lse: OnceLock::new() }, &qkv))
}

struct Attention<F> {
    axes: Axes,
    /// ln sum exp of the scores: (B, H, T).
    lse: OnceLock<Vec<F>>,
}

simd! {
    /// Rows of `keys` scores, of queries that see up to so many of them and one more each, become probabilities; beyond those, and
    /// before the `window` last of those, 0.
    fn softmax<S, F>(scores: &mut [F], keys: usize, first: usize, window: usize, lse: &mut [F]) {
        for (i, (row, lse)) in scores.chunks_exact_mut(keys).zip(lse).enumerate() {
            let seen = first + i + 1;
            row[seen..].fill(F::LOWEST);
            row[..seen.saturating_sub(window)].fill(F::LOWEST);
            let top = max(row);
            for score in row.iter_mut() {
                *score = (*score - top).exp::<S>();
            }
            let total = sum(row);
            let scale = F::ONE / total;
            for p in row.iter_mut() {
                *p *= scale;
            }
            *lse = top + total.ln();
        }
    }
}

simd! {
    /// Backwards: scores become probabilities again, and the gradients of those the gradients of the scores.
    fn grads<S, F>(
        scores: &mut [F],
        grads: &mut [F],
        keys: usize,
        first: usize,
        window: usize,
        lse: &[F],
        means: &[F],
    ) {
        let rows = scores.chunks_exact_mut(keys).zip(grads.chunks_exact_mut(keys));
        let rows = rows.zip(lse.iter().zip(means));
        for (i, ((row, grads), (&lse, &mean))) in rows.enumerate() {
            let seen = first + i + 1;
            row[seen..].fill(F::LOWEST);
            row[..seen.saturating_sub(window)].fill(F::LOWEST);
            for (p, grad) in row.iter_mut().zip(grads) {
                *p = (*p - lse).exp::<S>();
                *grad = *p * (*grad - mean);
            }
        }
    }
}

simd! {
    /// The inner products of the first `width` numbers of each row of x and y, rows `stride` apart.
    fn inner_products<S, F>(x: &[F], y: &[F], stride: usize, width: usize, out: &mut [F]) {
        for (out, (x, y)) in out.iter_mut().zip(x.chunks(stride).zip(y.chunks(stride))) {
            *out = dot::<S, F>(&x[..width], &y[..width]);
        }
    }
}

/// The packed input seen from one query head of one window.
#[derive(Clone, Copy)]
struct Head<'a, F> {
    axes: Axes,
    qkv: &'a [F],
    window: usize,
    head: usize,
}

impl<'a, F: Real> Head<'a, F> {
    fn kv_head(&self) -> usize {
        self.head / (self.axes.heads / self.axes.kv_heads)
    }

    /// `times` of a head, counted in the packed row.
    fn part(&self, times: Range<usize>, head: usize) -> Matrix<'a, F> {
        rows_of(
            self.qkv,
            self.axes.packed_width(),
            self.axes,
            self.window,
            times,
            head,
        )
    }

    fn q(&self, times: Range<usize>) -> Matrix<'a, F> {
        self.part(times, self.head)
    }

    fn k(&self, times: Range<usize>) -> Matrix<'a, F> {
        self.part(times, self.axes.heads + self.kv_head())
    }

    fn v(&self, times: Range<usize>) -> Matrix<'a, F> {
        self.part(times, self.axes.heads + self.axes.kv_heads + self.kv_head())
    }
}

/// One head at some times of a window, of rows of `stride` numbers that hold one head behind the other.
fn rows_of<F: Real>(
    x: &[F],
    stride: usize,
    axes: Axes,
    window: usize,
    times: Range<usize>,
    head: usize,
) -> Matrix<'_, F> {
    let start = (window * axes.time + times.start) * stride + head * axes.head_width;
    Matrix::new(&x[start..], times.len(), axes.head_width, stride)
}

/// Blocks of query positions.
fn blocks(time: usize) -> impl DoubleEndedIterator<Item = Range<usize>> {
    (0..time.div_ceil(BLOCK)).map(move |i| i * BLOCK..((i + 1) * BLOCK).min(time))
}

/// `out = scale a b` on this thread: heads run in parallel.
fn put<F: Real>(out: &mut MatrixMut<F>, scale: F, factors: (Matrix<F>, Matrix<F>)) {
    multiply(out, Before::Overwritten, scale, factors, Parallelism::None);
}

/// `out += scale a b` on this thread.
fn add<F: Real>(out: &mut MatrixMut<F>, scale: F, factors: (Matrix<F>, Matrix<F>)) {
    multiply(out, Before::AddedTo, scale, factors, Parallelism::None);
}

impl<F: Real> Attention<F> {
    /// What scores are multiplied by.
    fn root(&self) -> F {
        F::of(self.axes.score_scale())
    }

    /// The keys that any query of a block sees.
    fn keys(&self, times: &Range<usize>) -> Range<usize> {
        self.axes.first_seen(times.start)..times.end
    }

    /// Numbers of a block's scores.
    fn scores(&self) -> usize {
        let Axes { time, window, .. } = self.axes;
        let keys = window.map_or(time, |window| time.min(window.saturating_add(BLOCK)));
        BLOCK.min(time) * keys
    }

    /// The output of one head, and its ln sum exp.
    fn forward(&self, head: Head<'_, F>, out: &Shared<'_, F>, lse: &mut [F]) {
        let axes = self.axes;
        let window = axes.window.unwrap_or(usize::MAX);
        let mut scratch = vec![F::ZERO; self.scores()];
        for times in blocks(axes.time) {
            let range = self.keys(&times);
            let (n, keys) = (times.len(), range.len());
            beyond_the_mask(2, &times, &range, axes);
            let mut scores = MatrixMut::new(&mut scratch, n, keys, keys);
            let qk = (head.q(times.clone()), head.k(range.clone()).t());
            put(&mut scores, self.root(), qk);
            softmax(
                &mut scratch[..n * keys],
                keys,
                times.start - range.start,
                window,
                &mut lse[times.clone()],
            );
            let corner = (
                head.window * axes.time + times.start,
                head.head * axes.head_width,
            );
            // SAFETY: no other task, and no other block of this one, writes this head at these times.
            let mut y = unsafe { out.part(corner, n, axes.head_width) };
            let pv = (Matrix::new(&scratch, n, keys, keys), head.v(range));
            put(&mut y, F::ONE, pv);
        }
    }

    /// Writes the gradient of one head's queries into `d`; returns those of its keys and values, (T, D) behind each other.
    fn backward(
        &self,
        head: Head<'_, F>,
        y: &[F],
        g: &[F],
        lse: &[F],
        d: &Shared<'_, F>,
    ) -> Vec<F> {
        let axes = self.axes;
        let (time, width) = (axes.time, axes.head_width);
        let mut d_kv = vec![F::ZERO; 2 * time * width];
        let (mut dk, mut dv) = halves(&mut d_kv, width);
        let (size, window) = (self.scores(), axes.window.unwrap_or(usize::MAX));
        let mut scratch = vec![F::ZERO; 2 * size];
        let (p, ds) = scratch.split_at_mut(size);
        let mut means = [F::ZERO; BLOCK];
        for times in blocks(time) {
            let range = self.keys(&times);
            let (n, keys) = (times.len(), range.len());
            beyond_the_mask(5, &times, &range, axes);
            let queries = head.q(times.clone());
            let g_rows = rows_of(g, axes.width(), axes, head.window, times.clone(), head.head);
            let mut scores = MatrixMut::new(p, n, keys, keys);
            let mut score_slopes = MatrixMut::new(ds, n, keys, keys);
            let qk = (queries, head.k(range.clone()).t());
            put(&mut scores, self.root(), qk);
            let gv = (g_rows, head.v(range.clone()).t());
            put(&mut score_slopes, F::ONE, gv);
            let at = (head.window * time + times.start) * axes.width() + head.head * width;
            inner_products(&g[at..], &y[at..], axes.width(), width, &mut means[..n]);
            grads(
                &mut p[..n * keys],
                &mut ds[..n * keys],
                keys,
                times.start - range.start,
                window,
                &lse[times.clone()],
                &means,
            );
            let (p, ds) = (
                Matrix::new(p, n, keys, keys),
                Matrix::new(ds, n, keys, keys),
            );
            add(&mut dv.some(range.clone()), F::ONE, (p.t(), g_rows));
            add(&mut dk.some(range.clone()), self.root(), (ds.t(), queries));
            // SAFETY: no other task, and no other block of this one, writes this head's queries at these times.
            let mut dq = unsafe {
                d.part(
                    (head.window * time + times.start, head.head * width),
                    n,
                    width,
                )
            };
            put(&mut dq, self.root(), (ds, head.k(range)));
        }
        d_kv
    }

    /// The gradient of one key head of one window and of the query heads that share it.
    fn backward_group(
        &self,
        window: usize,
        kv_head: usize,
        arguments: [&[F]; 4],
        d: &Shared<'_, F>,
    ) {
        let [qkv, y, g, lse] = arguments;
        let axes = self.axes;
        let (time, width, group) = (axes.time, axes.head_width, axes.heads / axes.kv_heads);
        let of_head = |head: usize| {
            let lse = &lse[(window * axes.heads + head) * time..][..time];
            self.backward(
                Head {
                    axes,
                    qkv,
                    window,
                    head,
                },
                y,
                g,
                lse,
                d,
            )
        };
        let first = kv_head * group;
        let mut parts: Vec<Vec<F>> = (first..first + group)
            .into_par_iter()
            .map(of_head)
            .collect();
        let (total, others) = parts.split_at_mut(1);
        others
            .iter()
            .for_each(|part| accumulate(&mut total[0], part));
        for (i, rows) in total[0].chunks_exact(time * width).enumerate() {
            let column = (axes.heads + i * axes.kv_heads + kv_head) * width;
            // SAFETY: no other task writes this key or value head of this window.
            let mut out = unsafe { d.part((window * time, column), time, width) };
            rows.chunks_exact(width)
                .enumerate()
                .for_each(|(t, row)| out.row(t).copy_from_slice(row));
        }
    }
}

/// Takes off the count what the products of a block of queries compute for keys that these may not see.
fn beyond_the_mask(products: usize, queries: &Range<usize>, keys: &Range<usize>, axes: Axes) {
    let seen = |query: usize| query + 1 - axes.first_seen(query);
    let pairs = queries.len() * keys.len() - queries.clone().map(seen).sum::<usize>();
    super::counted::add(-((products * 2 * axes.head_width * pairs) as i64));
}

/// The gradients of keys and values, both (T, D).
fn halves<F: Real>(d_kv: &mut [F], width: usize) -> (MatrixMut<'_, F>, MatrixMut<'_, F>) {
    let half = d_kv.len() / 2;
    let (dk, dv) = d_kv.split_at_mut(half);
    (
        MatrixMut::new(dk, half / width, width, width),
        MatrixMut::new(dv, half / width, width, width),
    )
}

impl<F: Real> CustomOp1 for Attention<F> {
    fn name(&self) -> &'static str {
        "causal attention"
    }

    fn cpu_fwd(&self, qkv: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (axes, qkv) = (self.axes, numbers::<F>(qkv, layout)?);
        let mut y = build(axes.rows(), axes.width(), |_, _| {});
        let mut lse = vec![F::ZERO; axes.batch * axes.heads * axes.time];
        let out = Shared::new(&mut y, axes.width());
        let work = lse.len() * axes.time;
        chunks(&mut lse, axes.time, work, |i, lse| {
            self.forward(
                Head {
                    axes,
                    qkv,
                    window: i / axes.heads,
                    head: i % axes.heads,
                },
                &out,
                lse,
            );
        });
        self.lse.get_or_init(|| lse);
        Ok((
            F::to_cpu_storage_owned(y),
            Shape::from((axes.rows(), axes.width())),
        ))
    }

    fn bwd(&self, qkv: &Tensor, y: &Tensor, g: &Tensor) -> Result<Option<Tensor>> {
        let axes = self.axes;
        let Some(lse) = self.lse.get() else {
            bail!("attention: backward before forward")
        };
        let mut d = build(axes.rows(), axes.packed_width(), |_, _| {});
        let out = Shared::new(&mut d, axes.packed_width());
        with_numbers::<F, _, 3>([qkv, y, &g.contiguous()?], |[qkv, y, g]| {
            (0..axes.batch * axes.kv_heads)
                .into_par_iter()
                .for_each(|i| {
                    self.backward_group(
                        i / axes.kv_heads,
                        i % axes.kv_heads,
                        [qkv, y, g, lse],
                        &out,
                    );
                });
        })?;
        Ok(Some(tensor(d, qkv.shape())?))
    }
}

#[cfg(test)]
mod tests;
