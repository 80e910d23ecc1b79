//! One head of one window, chunk by chunk, forwards and backwards.
//!
//! Forwards, with S the state before the chunk, G the sums of the logarithms of the decays, and P the [pairs](super::pairs) of
//! queries and keys: `O = P U + (Q e^G) S` and `S <- e^(G_n) S + (K e^(G_n - G))^T U`. What is written is `U = beta V`, or with the
//! delta rule `U = beta E` where the errors `E = V - (K e^G) S - A U`, A the pairs of keys and earlier keys, are found one after the
//! other (Yang et al. 2024, arXiv:2406.06484, eq. 8, without its inverse: a window's chunks come one behind the other here).
//!
//! Backwards, with g and D the gradients of O and of the state after the chunk: `dU = P^T g + (K e^(G_n - G)) D`, `dP = g U^T`; from
//! the last error to the first `dE_i = beta_i dU_i`, `dbeta_i = dU_i . E_i`, and `dU_j -= A_ij dE_i` of earlier ones; `dA = -dE U^T`,
//! `dV = dE`, and the state before the chunk gets `e^(G_n) D + (Q e^G)^T g - (K e^G)^T dE`. G appears only in factors e^G of
//! queries and of keys that read, and e^-G of keys that write, so that `dG = q dq + k dk_read - k dk_write`, and what the state
//! after the chunk gives its last token.

use super::super::counted;
use super::super::cpu::matmul::{Matrix, Shared};
use super::super::cpu::real::Real;
use super::axes::{Decay, LinearAxes};
use super::kernels::{add_times, decays, errors, fade, times, weigh, with_features};
use super::pairs::{Weights, Which, add, flat, flat_mut, mask, put, take_off};
use std::ops::Range;

/// Tokens whose errors are found one by one, before they meet later ones in a matrix product.
pub(super) const BLOCK: usize = 16;

/// What linear attention gets.
#[derive(Clone, Copy)]
pub(super) struct Given<'a, F> {
    pub axes: LinearAxes,
    pub qkv: &'a [F],
    pub gates: &'a [F],
    /// What of a value passes by the state, a factor for each head; or nothing.
    pub skip: &'a [F],
}

/// A window and a head.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub window: usize,
    pub head: usize,
}

/// Queries or keys.
#[derive(Clone, Copy)]
pub(super) enum Side {
    Query,
    Key,
}

impl<'a, F: Real> Given<'a, F> {
    /// Where a head's queries or keys begin in a row.
    pub fn column(&self, side: Side, head: usize) -> usize {
        let LinearAxes {
            heads, key_heads, ..
        } = self.axes;
        let own = head / (heads / key_heads);
        let first = match side {
            Side::Query => 0,
            Side::Key => key_heads,
        };
        (first + own) * self.axes.key_width
    }

    /// Where a head's values begin in a row.
    pub fn value_column(&self, head: usize) -> usize {
        2 * self.axes.key_heads * self.axes.key_width + head * self.axes.value_width
    }

    /// Numbers from a column on, of a time of a window on.
    fn from(&self, place: Place, time: usize, column: usize) -> &'a [F] {
        let row = place.window * self.axes.time + time;
        &self.qkv[row * self.axes.packed_width() + column..]
    }

    /// Queries or keys without features.
    pub fn raw(&self, place: Place, time: usize, side: Side) -> &'a [F] {
        self.from(place, time, self.column(side, place.head))
    }

    /// Values.
    pub fn values(&self, place: Place, time: usize) -> &'a [F] {
        self.from(place, time, self.value_column(place.head))
    }

    /// Logarithms of decays, and write gates; nothing where there are none.
    pub fn gates(&self, place: Place, time: usize) -> [&'a [F]; 2] {
        let (axes, width) = (self.axes, self.axes.gates_width());
        let row = &self.gates[(place.window * axes.time + time) * width..];
        let decays = axes.heads * axes.decay_width();
        let of_decay = match axes.decay_width() {
            0 => &row[..0],
            decay => &row[place.head * decay..],
        };
        let of_write = match axes.writes {
            true => &row[decays + place.head..],
            false => &row[..0],
        };
        [of_decay, of_write]
    }

    pub fn skip(&self, head: usize) -> Option<F> {
        self.skip.get(head).copied()
    }
}

/// What a chunk is made of, and room to compute in: made once for a head.
pub(super) struct Chunk<F> {
    pub q: Vec<F>,
    pub k: Vec<F>,
    pub sums: Vec<F>,
    /// e to the sums, from the chunk's begin, and from a token to the chunk's end.
    pub since: Vec<F>,
    pub until: Vec<F>,
    pub beta: Vec<F>,
    pub mask: Vec<F>,
    pub pairs: Vec<F>,
    pub key_pairs: Vec<F>,
    /// What is written.
    pub u: Vec<F>,
    pub e: Vec<F>,
    pub x: Vec<F>,
    pub room: Vec<F>,
}

impl<F: Real> Chunk<F> {
    pub fn new(axes: LinearAxes) -> Self {
        let n = axes.chunk.min(axes.time);
        let (keys, values) = (n * axes.key_width, n * axes.value_width);
        let decays = n * axes.decay_width();
        let of = |count: usize| vec![F::ZERO; count];
        Self {
            q: of(keys),
            k: of(keys),
            sums: of(decays),
            since: of(decays),
            until: of(decays),
            beta: vec![F::ONE; n],
            mask: of(n * n),
            pairs: of(n * n),
            key_pairs: of(n * n),
            u: of(values),
            e: of(values),
            x: of(keys),
            room: of(2 * keys),
        }
    }

    /// Shortens everything to so many tokens: a window's last chunk, or, backwards, its first.
    fn fit(&mut self, axes: LinearAxes, n: usize) {
        let (keys, values) = (n * axes.key_width, n * axes.value_width);
        let decays = n * axes.decay_width();
        for (x, count) in [
            (&mut self.q, keys),
            (&mut self.k, keys),
            (&mut self.sums, decays),
            (&mut self.since, decays),
            (&mut self.until, decays),
            (&mut self.beta, n),
            (&mut self.mask, n * n),
            (&mut self.pairs, n * n),
            (&mut self.key_pairs, n * n),
            (&mut self.u, values),
            (&mut self.e, values),
            (&mut self.x, keys),
            (&mut self.room, 2 * keys),
        ] {
            x.resize(count, F::ONE);
        }
    }

    /// Features, sums of decays, gates and the pairs of queries and keys.
    pub fn load(&mut self, given: Given<F>, place: Place, times: &Range<usize>) {
        let axes = given.axes;
        let (dk, w, n) = (axes.key_width, axes.decay_width(), times.len());
        self.fit(axes, n);
        for (side, scale, to) in [
            (Side::Query, F::of(axes.scale), &mut self.q),
            (Side::Key, F::ONE, &mut self.k),
        ] {
            let x = given.raw(place, times.start, side);
            with_features(x, axes.packed_width(), axes.features, scale, dk, to);
        }
        let [of_decay, of_write] = given.gates(place, times.start);
        let stride = axes.gates_width();
        if w > 0 {
            let (since, until) = (&mut self.since, &mut self.until);
            decays(of_decay, stride, w, &mut self.sums, since, until);
        }
        for (beta, &gate) in self
            .beta
            .iter_mut()
            .zip(of_write.iter().step_by(stride.max(1)))
        {
            *beta = gate;
        }
        if w <= 1 {
            mask(&self.sums, n, &mut self.mask);
        }
        let weights = weights(axes, &self.mask, &self.sums, n);
        let both = (&self.q[..], &self.k[..]);
        weights.forward(both, Which::Through, &mut self.room, &mut self.pairs);
    }

    /// How its pairs are weighted.
    pub fn weights(&self, axes: LinearAxes) -> Weights<'_, F> {
        weights(axes, &self.mask, &self.sums, self.beta.len())
    }

    /// The pairs of keys and earlier keys.
    pub fn load_key_pairs(&mut self, axes: LinearAxes) {
        let weights = weights(axes, &self.mask, &self.sums, self.beta.len());
        let both = (&self.k[..], &self.k[..]);
        weights.forward(both, Which::Before, &mut self.room, &mut self.key_pairs);
    }

    /// What a state loses over the chunk.
    pub fn whole(&self, axes: LinearAxes) -> &[F] {
        &self.since[self.since.len() - axes.decay_width()..]
    }

    /// What the tokens write, and with the delta rule their errors over the state before them, where there is one.
    pub fn write(&mut self, given: Given<F>, place: Place, start: usize, before: Option<&[F]>) {
        let axes = given.axes;
        let (dk, dv, n) = (axes.key_width, axes.value_width, self.beta.len());
        let (v, stride) = (given.values(place, start), axes.packed_width());
        if !axes.delta {
            weigh(v, stride, &self.beta, dv, &mut self.u);
            return;
        }
        for (e, v) in self.e.chunks_exact_mut(dv).zip(v.chunks(stride)) {
            e.copy_from_slice(&v[..dv]);
        }
        if let Some(state) = before {
            times(&self.k, &self.since, dk, &mut self.x);
            let read = (flat(&self.x, dk), flat(state, dv));
            add(&mut flat_mut(&mut self.e, dv), -F::ONE, read);
        }
        self.load_key_pairs(axes);
        for from in (0..n).step_by(BLOCK) {
            let to = (from + BLOCK).min(n);
            if from > 0 {
                let a = Matrix::new(&self.key_pairs[from * n..], to - from, from, n);
                let mut e = flat_mut(&mut self.e[from * dv..to * dv], dv);
                add(&mut e, -F::ONE, (a, flat(&self.u[..from * dv], dv)));
            }
            let (a, beta) = (&self.key_pairs, &self.beta);
            errors(a, (from, to), beta, dv, &mut self.e, &mut self.u);
            count_block(to - from, dv);
        }
    }

    /// Takes the state over the chunk, from nothing where there was none.
    fn carry(&mut self, axes: LinearAxes, begun: bool, state: &mut [F]) {
        let (dk, dv) = (axes.key_width, axes.value_width);
        times(&self.k, &self.until, dk, &mut self.x);
        let written = (flat(&self.x, dk).t(), flat(&self.u, dv));
        if begun {
            fade(state, self.whole(axes), dv);
            add(&mut flat_mut(state, dv), F::ONE, written);
        } else {
            put(&mut flat_mut(state, dv), F::ONE, written);
        }
    }
}

/// How the pairs of a chunk are weighted.
fn weights<'a, F: Real>(
    axes: LinearAxes,
    mask: &'a [F],
    sums: &'a [F],
    n: usize,
) -> Weights<'a, F> {
    let by_channel = axes.decay == Decay::Channel;
    Weights {
        mask,
        sums: if by_channel { sums } else { &[] },
        n,
    }
}

/// Counts what the errors of a block take that no matrix product makes.
pub(super) fn count_block(tokens: usize, width: usize) {
    counted::add((tokens * (tokens - 1) * width) as i64);
}

/// What the way back needs of a head's way forward.
#[derive(Debug, Clone, Default)]
pub(super) struct Kept<F> {
    /// The state before each chunk but the first, one behind the other.
    pub states: Vec<F>,
    /// With the delta rule the errors, (T, dv).
    pub errors: Vec<F>,
}

/// A state that is carried on, whether it holds anything before, and whether it is asked for after.
pub(super) struct Carried<'a, F> {
    pub state: &'a mut [F],
    pub begun: bool,
    pub ends: bool,
}

/// The output of one head, and where `keeps` what its way back needs.
pub(super) fn forward<F: Real>(
    given: Given<F>,
    place: Place,
    carried: Carried<F>,
    y: &Shared<F>,
    keeps: bool,
) -> Kept<F> {
    let axes = given.axes;
    let (dk, dv) = (axes.key_width, axes.value_width);
    let Carried { state, begun, ends } = carried;
    let mut chunk = Chunk::new(axes);
    let mut kept = Kept {
        states: Vec::new(),
        errors: Vec::new(),
    };
    for (i, range) in axes.chunks() {
        let n = range.len();
        let has_state = begun || i > 0;
        chunk.load(given, place, &range);
        chunk.write(given, place, range.start, has_state.then_some(&*state));
        if keeps && i > 0 {
            kept.states.extend_from_slice(state);
        }
        if keeps && axes.delta {
            kept.errors.extend_from_slice(&chunk.e);
        }
        let corner = (place.window * axes.time + range.start, place.head * dv);
        // SAFETY: no other task, and no other chunk of this one, writes this head at these times.
        let mut y = unsafe { y.part(corner, n, dv) };
        let read = (flat(&chunk.pairs, n), flat(&chunk.u, dv));
        put(&mut y, F::ONE, read);
        take_off(1, Which::Through.left_out(n), dv);
        if has_state {
            times(&chunk.q, &chunk.since, dk, &mut chunk.x);
            add(&mut y, F::ONE, (flat(&chunk.x, dk), flat(state, dv)));
        }
        if let Some(skip) = given.skip(place.head) {
            let values = given.values(place, range.start);
            for (t, v) in values.chunks(axes.packed_width()).take(n).enumerate() {
                add_times(&v[..dv], &[skip], dv, y.row(t));
            }
        }
        if ends || range.end < axes.time {
            chunk.carry(axes, has_state, state);
        }
    }
    kept
}
