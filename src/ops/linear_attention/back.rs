//! One head of one window backwards, its chunks from the last to the first: see [`head`](super::head).

use super::super::cpu::matmul::{Matrix, MatrixMut, Shared};
use super::super::cpu::real::Real;
use super::super::cpu::simd::{dot, simd};
use super::axes::LinearAxes;
use super::head::{BLOCK, Chunk, Given, Kept, Place, Side, count_block};
use super::kernels::{add_times, errors_back, fade, features_back, gather, times, weigh};
use super::pairs::{Which, add, flat, flat_mut, put, take_off};
use std::ops::Range;

/// Where gradients go.
pub(super) struct Slopes<'a, F> {
    pub qkv: Shared<'a, F>,
    pub gates: Shared<'a, F>,
    /// Of the factor of what passes by the state, of each window and head.
    pub skip: Shared<'a, F>,
}

/// Gradients of a chunk, and room to compute in: made once for a head.
struct Back<F> {
    /// Of the state after the chunk.
    state: Vec<F>,
    u: Vec<F>,
    pairs: Vec<F>,
    q: Vec<F>,
    /// Of keys as they read from the state, and as they write to it.
    read: Vec<F>,
    write: Vec<F>,
    x: Vec<F>,
    sums: Vec<F>,
    beta: Vec<F>,
    room: Vec<F>,
}

impl<F: Real> Back<F> {
    fn new(axes: LinearAxes) -> Self {
        Self {
            state: vec![F::ZERO; axes.state()],
            u: Vec::new(),
            pairs: Vec::new(),
            q: Vec::new(),
            read: Vec::new(),
            write: Vec::new(),
            x: Vec::new(),
            sums: Vec::new(),
            beta: Vec::new(),
            room: Vec::new(),
        }
    }

    /// As long as a chunk of so many tokens, where it is added to all zeros.
    fn fit(&mut self, axes: LinearAxes, n: usize) {
        let (keys, values) = (n * axes.key_width, n * axes.value_width);
        for (x, count) in [
            (&mut self.u, values),
            (&mut self.pairs, n * n),
            (&mut self.q, keys),
            (&mut self.read, keys),
            (&mut self.write, keys),
            (&mut self.x, keys),
            (&mut self.sums, n * axes.decay_width()),
            (&mut self.beta, n),
            (&mut self.room, 2 * keys),
        ] {
            x.clear();
            x.resize(count, F::ZERO);
        }
    }
}

/// A chunk backwards: what it was made of, and the gradient of its output.
struct Step<'a, F> {
    given: Given<'a, F>,
    place: Place,
    range: Range<usize>,
    /// The state before it, where there was one.
    before: Option<&'a [F]>,
    /// The state after it, where a later chunk read it.
    after: Option<&'a [F]>,
    g: &'a [F],
}

impl<'a, F: Real> Step<'a, F> {
    fn axes(&self) -> LinearAxes {
        self.given.axes
    }

    fn n(&self) -> usize {
        self.range.len()
    }

    /// The output's gradient from the chunk's first token on.
    fn g_rows(&self) -> &'a [F] {
        let axes = self.axes();
        let row = self.place.window * axes.time + self.range.start;
        &self.g[row * axes.width() + self.place.head * axes.value_width..]
    }

    fn g(&self) -> Matrix<'a, F> {
        let axes = self.axes();
        Matrix::new(self.g_rows(), self.n(), axes.value_width, axes.width())
    }

    /// What is read: queries of pairs and of the state before, and what was written.
    fn outputs(&self, chunk: &mut Chunk<F>, back: &mut Back<F>) {
        let (axes, n) = (self.axes(), self.n());
        let (dk, dv) = (axes.key_width, axes.value_width);
        let pairs = flat(&chunk.pairs, n);
        put(
            &mut flat_mut(&mut back.u, dv),
            F::ONE,
            (pairs.t(), self.g()),
        );
        let of_pairs = (self.g(), flat(&chunk.u, dv).t());
        put(&mut flat_mut(&mut back.pairs, n), F::ONE, of_pairs);
        take_off(2, Which::Through.left_out(n), dv);
        if self.after.is_some() {
            times(&chunk.k, &chunk.until, dk, &mut chunk.x);
            let written = (flat(&chunk.x, dk), flat(&back.state, dv));
            add(&mut flat_mut(&mut back.u, dv), F::ONE, written);
        }
        let (q, k) = (&chunk.q[..], &chunk.k[..]);
        chunk.weights(axes).backward(
            &mut back.pairs,
            (q, k),
            Which::Through,
            &mut back.room,
            (&mut back.q, &mut back.write),
        );
        if let Some(before) = self.before {
            let read = (self.g(), flat(before, dv).t());
            put(&mut flat_mut(&mut back.x, dk), F::ONE, read);
            add_times(&back.x, &chunk.since, dk, &mut back.q);
        }
    }

    /// What the state after the chunk gives its keys and its decay, and the state before it.
    fn states(&self, chunk: &mut Chunk<F>, back: &mut Back<F>) {
        let axes = self.axes();
        let (dk, dv, w) = (axes.key_width, axes.value_width, axes.decay_width());
        if let Some(after) = self.after {
            let written = (flat(&chunk.u, dv), flat(&back.state, dv).t());
            put(&mut flat_mut(&mut back.x, dk), F::ONE, written);
            add_times(&back.x, &chunk.until, dk, &mut back.write);
            let last = back.sums.len() - w;
            let row = if w == 1 { axes.state() } else { dv };
            gather(&back.state, after, F::ONE, row, &mut back.sums[last..]);
        }
        if self.before.is_some() {
            times(&chunk.q, &chunk.since, dk, &mut chunk.x);
            let read = (flat(&chunk.x, dk).t(), self.g());
            let mut state = flat_mut(&mut back.state, dv);
            if self.after.is_some() {
                fade(&mut back.state, chunk.whole(axes), dv);
                add(&mut flat_mut(&mut back.state, dv), F::ONE, read);
            } else {
                put(&mut state, F::ONE, read);
            }
        }
    }

    /// From the gradients of what was written to those of errors, in their place, and on to keys that read.
    fn errors(&self, chunk: &mut Chunk<F>, back: &mut Back<F>) {
        let (axes, n) = (self.axes(), self.n());
        let (dk, dv) = (axes.key_width, axes.value_width);
        chunk.load_key_pairs(axes);
        for from in (0..n).step_by(BLOCK).rev() {
            let to = (from + BLOCK).min(n);
            let (a, beta, e) = (&chunk.key_pairs, &chunk.beta, &chunk.e);
            errors_back(a, (from, to), beta, dv, e, &mut back.u, &mut back.beta);
            count_block(to - from, dv);
            if from > 0 {
                let a = Matrix::new(&a[from * n..], to - from, from, n);
                let (early, late) = back.u.split_at_mut(from * dv);
                let late = flat(&late[..(to - from) * dv], dv);
                add(&mut flat_mut(early, dv), -F::ONE, (a.t(), late));
            }
        }
        let of_pairs = (flat(&back.u, dv), flat(&chunk.u, dv).t());
        put(&mut flat_mut(&mut back.pairs, n), -F::ONE, of_pairs);
        take_off(1, Which::Before.left_out(n), dv);
        let k = &chunk.k[..];
        chunk.weights(axes).backward(
            &mut back.pairs,
            (k, k),
            Which::Before,
            &mut back.room,
            (&mut back.read, &mut back.write),
        );
        if let Some(before) = self.before {
            let read = (flat(&back.u, dv), flat(before, dv).t());
            put(&mut flat_mut(&mut back.x, dk), -F::ONE, read);
            add_times(&back.x, &chunk.since, dk, &mut back.read);
            times(&chunk.k, &chunk.since, dk, &mut chunk.x);
            let read = (flat(&chunk.x, dk).t(), flat(&back.u, dv));
            add(&mut flat_mut(&mut back.state, dv), -F::ONE, read);
        }
    }

    /// Without the delta rule: from the gradients of what was written to those of write gates and, in their place, of values.
    fn gates(&self, chunk: &Chunk<F>, back: &mut Back<F>) {
        let axes = self.axes();
        let (dv, stride) = (axes.value_width, axes.packed_width());
        let values = self.given.values(self.place, self.range.start);
        gated_back(values, stride, &chunk.beta, dv, &mut back.u, &mut back.beta);
    }

    /// Writes the gradients of the gates.
    fn put_gates(&self, chunk: &Chunk<F>, back: &mut Back<F>, out: &Shared<F>) {
        let (axes, n) = (self.axes(), self.n());
        let (dk, w) = (axes.key_width, axes.decay_width());
        let (row, head) = (
            self.place.window * axes.time + self.range.start,
            self.place.head,
        );
        if w > 0 {
            gather(&chunk.q, &back.q, F::ONE, dk, &mut back.sums);
            gather(&chunk.k, &back.read, F::ONE, dk, &mut back.sums);
            gather(&chunk.k, &back.write, -F::ONE, dk, &mut back.sums);
            // A decay is in the sum of its token and of all later ones.
            for i in (0..(n - 1) * w).rev() {
                back.sums[i] = back.sums[i] + back.sums[i + w];
            }
            // SAFETY: no other task, and no other chunk of this one, writes this head's gates at these times.
            let mut part = unsafe { out.part((row, head * w), n, w) };
            for (t, sums) in back.sums.chunks_exact(w).enumerate() {
                part.row(t).copy_from_slice(sums);
            }
        }
        if axes.writes {
            // SAFETY: as above.
            let mut part = unsafe { out.part((row, axes.heads * w + head), n, 1) };
            for (t, &beta) in back.beta.iter().enumerate() {
                part.row(t)[0] = beta;
            }
        }
    }

    /// Writes the gradients of values, and adds those of queries and keys, which several heads may share.
    fn put_qkv(&self, back: &mut Back<F>, skip: &mut F, out: &Shared<F>) {
        let (axes, n) = (self.axes(), self.n());
        let (dk, dv) = (axes.key_width, axes.value_width);
        let (place, start) = (self.place, self.range.start);
        let row = place.window * axes.time + start;
        // SAFETY: no other task writes this window's key head and its value heads.
        let part = |column, width| unsafe { out.part((row, column), n, width) };
        let mut of_values: MatrixMut<F> = part(self.given.value_column(place.head), dv);
        for (t, du) in back.u.chunks_exact(dv).enumerate() {
            of_values.row(t).copy_from_slice(du);
        }
        if let Some(factor) = self.given.skip(place.head) {
            let values = self.given.values(place, start).chunks(axes.packed_width());
            let both = values.zip(self.g_rows().chunks(axes.width())).take(n);
            for (t, (v, g)) in both.enumerate() {
                add_times(&g[..dv], &[factor], dv, of_values.row(t));
                gather(&v[..dv], &g[..dv], F::ONE, dv, std::slice::from_mut(skip));
            }
        }
        for (read, write) in back.read.iter_mut().zip(&back.write) {
            *read += *write;
        }
        for (side, scale, d) in [
            (Side::Query, F::of(axes.scale), &back.q),
            (Side::Key, F::ONE, &back.read),
        ] {
            let raw = self
                .given
                .raw(place, start, side)
                .chunks(axes.packed_width());
            let mut part = part(self.given.column(side, place.head), dk);
            for (t, (x, d)) in raw.zip(d.chunks_exact(dk)).enumerate() {
                features_back(&x[..dk], axes.features, scale, d, part.row(t));
            }
        }
    }
}

simd! {
    /// Gradients of what was written become those of values, rows of which lie `stride` apart, and beside them those of their gates.
    fn gated_back<S, F>(
        v: &[F],
        stride: usize,
        beta: &[F],
        width: usize,
        du: &mut [F],
        dbeta: &mut [F],
    ) {
        let rows = du.chunks_exact_mut(width).zip(v.chunks(stride));
        for ((du, v), (&beta, dbeta)) in rows.zip(beta.iter().zip(dbeta)) {
            *dbeta = dot::<S, F>(du, &v[..width]);
            for d in du.iter_mut() {
                *d *= beta;
            }
        }
    }
}

/// The gradients of one head, from that of the output.
pub(super) fn backward<F: Real>(
    given: Given<F>,
    place: Place,
    g: &[F],
    kept: &Kept<F>,
    out: &Slopes<F>,
) {
    let axes = given.axes;
    let (dv, size) = (axes.value_width, axes.state());
    let (mut chunk, mut back) = (Chunk::new(axes), Back::new(axes));
    let mut skip = F::ZERO;
    let state = |i: usize| &kept.states[i * size..(i + 1) * size];
    for (i, range) in axes.chunks().rev() {
        let step = Step {
            given,
            place,
            before: (i > 0).then(|| state(i - 1)),
            after: (range.end < axes.time).then(|| state(i)),
            range: range.clone(),
            g,
        };
        back.fit(axes, range.len());
        chunk.load(given, place, &range);
        if axes.delta {
            let errors = &kept.errors[range.start * dv..range.end * dv];
            chunk.e.copy_from_slice(errors);
            weigh(errors, dv, &chunk.beta, dv, &mut chunk.u);
        } else {
            chunk.write(given, place, range.start, None);
        }
        step.outputs(&mut chunk, &mut back);
        step.states(&mut chunk, &mut back);
        if axes.delta {
            step.errors(&mut chunk, &mut back);
        } else {
            step.gates(&chunk, &mut back);
        }
        step.put_gates(&chunk, &mut back, &out.gates);
        step.put_qkv(&mut back, &mut skip, &out.qkv);
    }
    if given.skip(place.head).is_some() {
        // SAFETY: no other task writes this window's head.
        let mut part = unsafe { out.skip.part((place.window, place.head), 1, 1) };
        part.row(0)[0] = skip;
    }
}
