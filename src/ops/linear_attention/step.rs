//! One token of one head, as decoding has it: `S <- a S`, with the delta rule `u = beta (v - S^T k)`, else `u = beta v`;
//! `S <- S + k u^T`, `o = S^T q`. Each number of the state is read and written once or twice.

use super::super::cpu::real::Real;
use super::super::cpu::simd::simd;
use super::kernels::fade;

simd! {
    /// `out = S^T x`, rows of S as wide as `out`.
    fn read<S, F>(state: &[F], x: &[F], out: &mut [F]) {
        out.fill(F::ZERO);
        for (row, &x) in state.chunks_exact(out.len()).zip(x) {
            for (out, &s) in out.iter_mut().zip(row) {
                *out = x.fma::<S>(s, *out);
            }
        }
    }
}

simd! {
    /// `S += k u^T`, `out = S^T q`.
    fn write_and_read<S, F>(k: &[F], u: &[F], q: &[F], state: &mut [F], out: &mut [F]) {
        out.fill(F::ZERO);
        for ((row, &k), &q) in state.chunks_exact_mut(u.len()).zip(k).zip(q) {
            for ((s, &u), out) in row.iter_mut().zip(u).zip(&mut *out) {
                *s = k.fma::<S>(u, *s);
                *out = q.fma::<S>(*s, *out);
            }
        }
    }
}

/// A token of a head: queries and keys with their features.
pub(super) struct Token<'a, F> {
    pub q: &'a [F],
    pub k: &'a [F],
    pub v: &'a [F],
    /// Factors of the state.
    pub decay: &'a [F],
    pub beta: F,
    pub delta: bool,
}

impl<F: Real> Token<'_, F> {
    /// Takes the state over the token; `u` is room for a value.
    pub fn advance(&self, state: &mut [F], u: &mut [F], out: &mut [F]) {
        if !self.decay.is_empty() {
            fade(state, self.decay, self.v.len());
        }
        if self.delta {
            read(state, self.k, u);
            for (u, &v) in u.iter_mut().zip(self.v) {
                *u = self.beta * (v - *u);
            }
        } else {
            for (u, &v) in u.iter_mut().zip(self.v) {
                *u = self.beta * v;
            }
        }
        write_and_read(self.k, u, self.q, state, out);
    }
}
