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
//! With sinks (Xiao et al. 2023, arXiv:2309.17453, section 3.3, as logits: gpt-oss, arXiv:2508.10925) every query head has one more
//! key, whose score z is a parameter and whose value is 0: exp(z) is added to the sum of exponentials and so to l, which the way
//! back takes as it is; `dz = -sum exp(z - l) rowsum(g * y)` over its queries.
//!
//! Values may be of another width than queries and keys.
//!
//! Windows and heads run in parallel, each with single-threaded matrix products. The gradients of a shared key head are summed
//! over its query heads in order.

mod reference;
pub(super) mod gpu;

use super::axes::Axes;
use super::cpu::factors::Factors;
use super::cpu::matmul::{Before, Matrix, MatrixMut, Shared};
use super::cpu::real::{Real, typed};
use super::cpu::rows::{build, chunks, numbers, tensor, with_numbers};
use super::cpu::simd::{accumulate, dot, max, simd, sum};
use super::tape::{Tape, apply1, apply2};
use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor, bail};
use gemm::Parallelism;
use rayon::prelude::*;
use std::ops::Range;
use std::sync::OnceLock;

pub(super) use reference::reference;

/// Queries that go through the keys together.
const BLOCK: usize = 64;

pub(super) fn fused(
    tape: Option<&Tape>,
    factors: Factors,
    qkv: &Tensor,
    sinks: Option<&Tensor>,
    axes: Axes,
) -> Result<Tensor> {
    let qkv = qkv.contiguous()?;
    typed!(qkv, F => {
        let op = Attention::<F> { factors, axes, lse: OnceLock::new() };
        match sinks {
            None => apply1(tape, op, &qkv),
            Some(sinks) => apply2(tape, op, [&qkv, &sinks.contiguous()?]),
        }
    })
}

struct Attention<F> {
    factors: Factors,
    axes: Axes,
    /// ln sum exp of the scores: (B, H, T).
    lse: OnceLock<Vec<F>>,
}

simd! {
    /// Rows of `keys` scores, of queries that see up to so many of them and one more each, become probabilities; beyond those, and
    /// before the `window` last of those, 0. What the sink takes is nobody's.
    fn softmax<S, F>(
        scores: &mut [F],
        keys: usize,
        first: usize,
        window: usize,
        sink: F,
        lse: &mut [F],
    ) {
        for (i, (row, lse)) in scores.chunks_exact_mut(keys).zip(lse).enumerate() {
            let seen = first + i + 1;
            row[seen..].fill(F::LOWEST);
            row[..seen.saturating_sub(window)].fill(F::LOWEST);
            let top = max(row);
            let top = if sink > top { sink } else { top };
            for score in row.iter_mut() {
                *score = (*score - top).exp::<S>();
            }
            let total = sum(row) + (sink - top).exp::<S>();
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

simd! {
    /// The gradient of a sink: of each query its share and the mean of the gradient of the probabilities.
    fn of_sink<S, F>(sink: F, lse: &[F], means: &[F]) -> F {
        let mut total = F::ZERO;
        for (&lse, &mean) in lse.iter().zip(means) {
            total += -(sink - lse).exp::<S>() * mean;
        }
        total
    }
}

/// The packed input seen from one query head of one window.
#[derive(Clone, Copy)]
struct Head<'a, F> {
    axes: Axes,
    qkv: &'a [F],
    window: usize,
    head: usize,
    /// The score of the key that is not there; minus infinity where there is none.
    sink: F,
}

impl<'a, F: Real> Head<'a, F> {
    fn kv_head(&self) -> usize {
        self.head / (self.axes.heads / self.axes.kv_heads)
    }

    /// `times` of so many columns of the packed row.
    fn part(&self, times: Range<usize>, columns: Range<usize>) -> Matrix<'a, F> {
        let (axes, stride) = (self.axes, self.axes.packed_width());
        rows_of(self.qkv, stride, self.window * axes.time, times, columns)
    }

    fn q(&self, times: Range<usize>) -> Matrix<'a, F> {
        let width = self.axes.head_width;
        self.part(times, self.head * width..(self.head + 1) * width)
    }

    fn k(&self, times: Range<usize>) -> Matrix<'a, F> {
        let width = self.axes.head_width;
        let head = self.axes.heads + self.kv_head();
        self.part(times, head * width..(head + 1) * width)
    }

    fn v(&self, times: Range<usize>) -> Matrix<'a, F> {
        let width = self.axes.of_values();
        let start = self.axes.before_values() + self.kv_head() * width;
        self.part(times, start..start + width)
    }
}

/// Some columns of rows of `stride` numbers, at some times of the window that begins at row `from`.
fn rows_of<F: Real>(
    x: &[F],
    stride: usize,
    from: usize,
    times: Range<usize>,
    columns: Range<usize>,
) -> Matrix<'_, F> {
    let start = (from + times.start) * stride + columns.start;
    Matrix::new(&x[start..], times.len(), columns.len(), stride)
}

/// Blocks of query positions.
fn blocks(time: usize) -> impl DoubleEndedIterator<Item = Range<usize>> {
    (0..time.div_ceil(BLOCK)).map(move |i| i * BLOCK..((i + 1) * BLOCK).min(time))
}

impl<F: Real> Attention<F> {
    /// `out = scale a b` on this thread: heads run in parallel.
    fn put(&self, out: &mut MatrixMut<F>, scale: F, product: (Matrix<F>, Matrix<F>)) {
        self.factors
            .multiply(out, Before::Overwritten, scale, product, Parallelism::None);
    }

    /// `out += scale a b` on this thread.
    fn add(&self, out: &mut MatrixMut<F>, scale: F, product: (Matrix<F>, Matrix<F>)) {
        self.factors
            .multiply(out, Before::AddedTo, scale, product, Parallelism::None);
    }

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
            beyond_the_mask([1, 1], &times, &range, axes);
            let mut scores = MatrixMut::new(&mut scratch, n, keys, keys);
            let qk = (head.q(times.clone()), head.k(range.clone()).t());
            self.put(&mut scores, self.root(), qk);
            softmax(
                &mut scratch[..n * keys],
                keys,
                times.start - range.start,
                window,
                head.sink,
                &mut lse[times.clone()],
            );
            let width = axes.of_values();
            let corner = (head.window * axes.time + times.start, head.head * width);
            // SAFETY: no other task, and no other block of this one, writes this head at these times.
            let mut y = unsafe { out.part(corner, n, width) };
            let pv = (Matrix::new(&scratch, n, keys, keys), head.v(range));
            self.put(&mut y, F::ONE, pv);
        }
    }

    /// Writes the gradient of one head's queries into `d`; returns those of its keys and values, a row of each token behind each other,
    /// and of its sink.
    fn backward(
        &self,
        head: Head<'_, F>,
        y: &[F],
        g: &[F],
        lse: &[F],
        d: &Shared<'_, F>,
    ) -> (Vec<F>, F) {
        let axes = self.axes;
        let (time, width, of_values) = (axes.time, axes.head_width, axes.of_values());
        let mut d_kv = vec![F::ZERO; time * (width + of_values)];
        let (dk, dv) = d_kv.split_at_mut(time * width);
        let mut dk = MatrixMut::new(dk, time, width, width);
        let mut dv = MatrixMut::new(dv, time, of_values, of_values);
        let mut d_sink = F::ZERO;
        let (size, window) = (self.scores(), axes.window.unwrap_or(usize::MAX));
        let mut scratch = vec![F::ZERO; 2 * size];
        let (p, ds) = scratch.split_at_mut(size);
        let mut means = [F::ZERO; BLOCK];
        for times in blocks(time) {
            let range = self.keys(&times);
            let (n, keys) = (times.len(), range.len());
            beyond_the_mask([3, 2], &times, &range, axes);
            let queries = head.q(times.clone());
            let columns = head.head * of_values..(head.head + 1) * of_values;
            let from = head.window * time;
            let g_rows = rows_of(g, axes.width(), from, times.clone(), columns.clone());
            let mut scores = MatrixMut::new(p, n, keys, keys);
            let mut score_slopes = MatrixMut::new(ds, n, keys, keys);
            let qk = (queries, head.k(range.clone()).t());
            self.put(&mut scores, self.root(), qk);
            let gv = (g_rows, head.v(range.clone()).t());
            self.put(&mut score_slopes, F::ONE, gv);
            let at = (from + times.start) * axes.width() + columns.start;
            inner_products(&g[at..], &y[at..], axes.width(), of_values, &mut means[..n]);
            d_sink += of_sink(head.sink, &lse[times.clone()], &means[..n]);
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
            self.add(&mut dv.some(range.clone()), F::ONE, (p.t(), g_rows));
            self.add(&mut dk.some(range.clone()), self.root(), (ds.t(), queries));
            // SAFETY: no other task, and no other block of this one, writes this head's queries at these times.
            let mut dq = unsafe { d.part((from + times.start, head.head * width), n, width) };
            self.put(&mut dq, self.root(), (ds, head.k(range)));
        }
        (d_kv, d_sink)
    }

    /// The gradient of one key head of one window and of the query heads that share it; those of their sinks are returned.
    fn backward_group(
        &self,
        (window, kv_head): (usize, usize),
        given: &Given<'_, F>,
        lse: &[F],
        d: &Shared<'_, F>,
    ) -> Vec<F> {
        let axes = self.axes;
        let (time, group) = (axes.time, axes.heads / axes.kv_heads);
        let of_head = |head: usize| {
            let i = window * axes.heads + head;
            let lse = &lse[i * time..][..time];
            self.backward(given.head(axes, i), given.y, given.g, lse, d)
        };
        let first = kv_head * group;
        let mut parts: Vec<(Vec<F>, F)> = (first..first + group)
            .into_par_iter()
            .map(of_head)
            .collect();
        let (total, others) = parts.split_at_mut(1);
        let total = &mut total[0].0;
        others.iter().for_each(|(part, _)| accumulate(total, part));
        let (dk, dv) = total.split_at(time * axes.head_width);
        let of_keys = (axes.heads + kv_head) * axes.head_width;
        let of_values = axes.before_values() + kv_head * axes.of_values();
        for (rows, column, width) in [
            (dk, of_keys, axes.head_width),
            (dv, of_values, axes.of_values()),
        ] {
            // SAFETY: no other task writes this key or value head of this window.
            let mut out = unsafe { d.part((window * time, column), time, width) };
            rows.chunks_exact(width)
                .enumerate()
                .for_each(|(t, row)| out.row(t).copy_from_slice(row));
        }
        parts.into_iter().map(|(_, sink)| sink).collect()
    }

    /// The output of all heads.
    fn outputs(&self, qkv: &[F], sinks: Option<&[F]>) -> (CpuStorage, Shape) {
        let axes = self.axes;
        let given = Given {
            qkv,
            sinks,
            y: &[],
            g: &[],
        };
        let mut y = build(axes.rows(), axes.width(), |_, _| {});
        let mut lse = vec![F::ZERO; axes.batch * axes.heads * axes.time];
        let out = Shared::new(&mut y, axes.width());
        let work = lse.len() * axes.time;
        chunks(&mut lse, axes.time, work, |i, lse| {
            self.forward(given.head(axes, i), &out, lse);
        });
        self.lse.get_or_init(|| lse);
        let shape = Shape::from((axes.rows(), axes.width()));
        (F::to_cpu_storage_owned(y), shape)
    }

    /// The gradients of the packed input and of the sinks.
    fn slopes(&self, given: &Given<'_, F>) -> Result<(Tensor, Vec<F>)> {
        let axes = self.axes;
        let Some(lse) = self.lse.get() else {
            bail!("attention: backward before forward")
        };
        let mut d = build(axes.rows(), axes.packed_width(), |_, _| {});
        let out = Shared::new(&mut d, axes.packed_width());
        let groups = (0..axes.batch * axes.kv_heads).into_par_iter();
        let of_sinks: Vec<Vec<F>> = groups
            .map(|i| {
                let group = (i / axes.kv_heads, i % axes.kv_heads);
                self.backward_group(group, given, lse, &out)
            })
            .collect();
        let mut d_sinks = vec![F::ZERO; axes.heads];
        let of_sinks = of_sinks.concat();
        of_sinks
            .chunks_exact(axes.heads)
            .for_each(|of_window| accumulate(&mut d_sinks, of_window));
        Ok((tensor(d, (axes.rows(), axes.packed_width()))?, d_sinks))
    }
}

/// What the op was given, and backwards its output and that output's gradient.
struct Given<'a, F> {
    qkv: &'a [F],
    sinks: Option<&'a [F]>,
    y: &'a [F],
    g: &'a [F],
}

impl<'a, F: Real> Given<'a, F> {
    /// A query head of a window: the i-th of all.
    fn head(&self, axes: Axes, i: usize) -> Head<'a, F> {
        let (window, head) = (i / axes.heads, i % axes.heads);
        Head {
            axes,
            qkv: self.qkv,
            window,
            head,
            sink: self.sinks.map_or(F::LOWEST, |sinks| sinks[head]),
        }
    }
}

/// Takes off the count what the products of a block of queries compute for keys that these may not see: so many products over the width
/// of a key, and so many over that of a value.
fn beyond_the_mask(products: [usize; 2], queries: &Range<usize>, keys: &Range<usize>, axes: Axes) {
    let seen = |query: usize| query + 1 - axes.first_seen(query);
    let pairs = queries.len() * keys.len() - queries.clone().map(seen).sum::<usize>();
    let widths = products[0] * axes.head_width + products[1] * axes.of_values();
    super::counted::add(-((2 * widths * pairs) as i64));
}

impl<F: Real> CustomOp1 for Attention<F> {
    fn name(&self) -> &'static str {
        "causal attention"
    }

    fn cpu_fwd(&self, qkv: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok(self.outputs(numbers::<F>(qkv, layout)?, None))
    }

    fn bwd(&self, qkv: &Tensor, y: &Tensor, g: &Tensor) -> Result<Option<Tensor>> {
        let given = [qkv, y, &g.contiguous()?];
        let (d, _) = with_numbers::<F, _, 3>(given, |[qkv, y, g]| {
            let sinks = None;
            self.slopes(&Given { qkv, sinks, y, g })
        })??;
        Ok(Some(d))
    }
}

/// With sinks, (H).
impl<F: Real> CustomOp2 for Attention<F> {
    fn name(&self) -> &'static str {
        "causal attention with sinks"
    }

    fn cpu_fwd(
        &self,
        qkv: &CpuStorage,
        layout: &Layout,
        sinks: &CpuStorage,
        of_sinks: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let sinks = numbers::<F>(sinks, of_sinks)?;
        Ok(self.outputs(numbers::<F>(qkv, layout)?, Some(sinks)))
    }

    fn bwd(
        &self,
        qkv: &Tensor,
        sinks: &Tensor,
        y: &Tensor,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let given = [qkv, sinks, y, &g.contiguous()?];
        let (d, d_sinks) = with_numbers::<F, _, 4>(given, |[qkv, sinks, y, g]| {
            let sinks = Some(sinks);
            self.slopes(&Given { qkv, sinks, y, g })
        })??;
        Ok((Some(d), Some(tensor(d_sinks, sinks.shape())?)))
    }
}

#[cfg(test)]
mod tests;
