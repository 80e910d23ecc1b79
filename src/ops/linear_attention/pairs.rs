//! Products of the tokens of a chunk with one another: `p_ij = sum_d a_id b_jd exp(G_id - G_jd)` for j up to i, or before i, where G
//! sums the logarithms of the decays up to a token.
//!
//! With one decay for a head the sum is a matrix product times a mask. With one for each channel it is not, and `b exp(-G)` alone
//! overflows: blocks of [`BLOCK`] tokens meet earlier ones at the sum where the block begins, so that both factors are at most one
//! (Yang et al. 2023, arXiv:2312.06635, section 4.3), and within a block every pair is taken for itself.

use super::super::counted;
use super::super::cpu::matmul::{Before, Matrix, MatrixMut, multiply};
use super::super::cpu::real::Real;
use super::super::cpu::simd::simd;
use crate::ops::cpu::isa::Isa;
use gemm::Parallelism;

/// Tokens whose pairs are taken one by one where every channel has its own decay.
const BLOCK: usize = 16;

/// Numbers of one register, and of a sum that is kept in order.
const LANES: usize = 8;

/// `exp(x)`, and 0 where that is too small to matter: a product with a subnormal number takes a hundred times as long.
#[inline(always)]
pub(super) fn factor<S: Isa, F: Real>(x: F) -> F {
    if x < F::of(-46.0) {
        F::ZERO
    } else {
        x.exp::<S>()
    }
}

/// Which pairs of a chunk count.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// A token and those up to itself.
    Through,
    /// A token and those before it.
    Before,
}

impl Which {
    /// Pairs of a chunk of n tokens that do not count, of all n x n.
    pub fn left_out(self, n: usize) -> usize {
        match self {
            Which::Through => n * (n - 1) / 2,
            Which::Before => n * (n + 1) / 2,
        }
    }
}

/// `out = scale a b`, or added to it, on this thread: heads run in parallel.
pub(super) fn put<F: Real>(out: &mut MatrixMut<F>, scale: F, factors: (Matrix<F>, Matrix<F>)) {
    multiply(out, Before::Overwritten, scale, factors, Parallelism::None);
}

/// `out += scale a b` on this thread.
pub(super) fn add<F: Real>(out: &mut MatrixMut<F>, scale: F, factors: (Matrix<F>, Matrix<F>)) {
    multiply(out, Before::AddedTo, scale, factors, Parallelism::None);
}

/// Rows one behind the other.
pub(super) fn flat<F: Real>(x: &[F], width: usize) -> Matrix<'_, F> {
    Matrix::new(x, x.len() / width, width, width)
}

/// The same to write.
pub(super) fn flat_mut<F: Real>(x: &mut [F], width: usize) -> MatrixMut<'_, F> {
    let rows = x.len() / width;
    MatrixMut::new(x, rows, width, width)
}

/// Takes off the count what products with `width` numbers a pair compute of pairs that do not count.
pub(super) fn take_off(products: usize, pairs: usize, width: usize) {
    counted::add(-((2 * products * pairs * width) as i64));
}

simd! {
    /// `exp(G_i - G_j)` for j up to i and 0 beyond; ones where nothing decays.
    pub(super) fn mask<S, F>(sums: &[F], n: usize, out: &mut [F]) {
        for (i, row) in out.chunks_exact_mut(n).enumerate() {
            let (seen, rest) = row.split_at_mut(i + 1);
            if sums.is_empty() {
                seen.fill(F::ONE);
            } else {
                let own = sums[i];
                for (m, &sum) in seen.iter_mut().zip(sums) {
                    *m = factor::<S, F>(own - sum);
                }
            }
            rest.fill(F::ZERO);
        }
    }
}

simd! {
    /// Products times the mask, and 0 on the diagonal where a token does not meet itself.
    fn masked<S, F>(x: &mut [F], mask: &[F], n: usize, strict: bool) {
        for (x, &m) in x.iter_mut().zip(mask) {
            *x *= m;
        }
        if strict {
            for i in 0..n {
                x[i * n + i] = F::ZERO;
            }
        }
    }
}

simd! {
    /// `x exp(sign (at - G))`, row by row.
    fn seen_from<S, F>(x: &[F], sums: &[F], at: &[F], sign: F, y: &mut [F]) {
        let rows = x.chunks_exact(at.len()).zip(sums.chunks_exact(at.len()));
        for (y, (x, sums)) in y.chunks_exact_mut(at.len()).zip(rows) {
            for (((y, &x), &sum), &at) in y.iter_mut().zip(x).zip(sums).zip(at) {
                *y = x * factor::<S, F>(sign * (at - sum));
            }
        }
    }
}

simd! {
    /// `y += x exp(sign (at - G))`, row by row.
    fn back_from<S, F>(x: &[F], sums: &[F], at: &[F], sign: F, y: &mut [F]) {
        let rows = x.chunks_exact(at.len()).zip(sums.chunks_exact(at.len()));
        for (y, (x, sums)) in y.chunks_exact_mut(at.len()).zip(rows) {
            for (((y, &x), &sum), &at) in y.iter_mut().zip(x).zip(sums).zip(at) {
                *y += x * factor::<S, F>(sign * (at - sum));
            }
        }
    }
}

/// The sum of `a b exp(x - y)`, in an order that does not depend on the instruction set.
#[inline(always)]
fn weighted<S: Isa, F: Real>(a: &[F], b: &[F], x: &[F], y: &[F]) -> F {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let ((x, x_rest), (y, y_rest)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
    let mut lanes = [F::ZERO; LANES];
    for ((a, b), (x, y)) in a.iter().zip(b).zip(x.iter().zip(y)) {
        let values = a.iter().zip(b).zip(x.iter().zip(y));
        for (lane, ((&a, &b), (&x, &y))) in lanes.iter_mut().zip(values) {
            *lane = (a * b).fma::<S>(factor::<S, F>(x - y), *lane);
        }
    }
    let mut sum = F::ZERO;
    for lane in lanes {
        sum += lane;
    }
    let rest = a_rest.iter().zip(b_rest).zip(x_rest.iter().zip(y_rest));
    for ((&a, &b), (&x, &y)) in rest {
        sum += a * b * factor::<S, F>(x - y);
    }
    sum
}

/// Some tokens of a chunk of n whose pairs with one another are taken one by one.
#[derive(Clone, Copy)]
struct Block {
    n: usize,
    from: usize,
    to: usize,
    /// 1 where a token does not meet itself.
    strict: usize,
}

simd! {
    /// The pairs of a block.
    fn within<S, F>(a: &[F], b: &[F], sums: &[F], block: Block, out: &mut [F]) {
        let Block { n, from, to, strict } = block;
        let d = a.len() / n;
        for i in from..to {
            for j in from..i + 1 - strict {
                let (of_i, of_j) = (i * d..i * d + d, j * d..j * d + d);
                out[i * n + j] = weighted::<S, F>(
                    &a[of_i.clone()], &b[of_j.clone()], &sums[of_i], &sums[of_j],
                );
            }
        }
    }
}

simd! {
    /// The same backwards: from the gradients of the pairs to those of a and b, added to.
    fn within_back<S, F>(
        g: &[F],
        a: &[F],
        b: &[F],
        sums: &[F],
        block: Block,
        da: &mut [F],
        db: &mut [F],
    ) {
        let Block { n, from, to, strict } = block;
        let d = a.len() / n;
        for i in from..to {
            for j in from..i + 1 - strict {
                let g = g[i * n + j];
                let (of_i, of_j) = (i * d..i * d + d, j * d..j * d + d);
                let (a, x) = (&a[of_i.clone()], &sums[of_i.clone()]);
                let (b, y) = (&b[of_j.clone()], &sums[of_j.clone()]);
                let (da, db) = (&mut da[of_i], &mut db[of_j]);
                let values = a.iter().zip(b).zip(x.iter().zip(y));
                for ((da, db), ((&a, &b), (&x, &y))) in da.iter_mut().zip(db).zip(values) {
                    let m = g * factor::<S, F>(x - y);
                    *da += m * b;
                    *db += m * a;
                }
            }
        }
    }
}

/// What the pairs of a chunk are weighted by.
#[derive(Clone, Copy)]
pub(super) struct Weights<'a, F> {
    /// (n, n): exp(G_i - G_j), where a head has one decay or none.
    pub mask: &'a [F],
    /// (n, D): G, where every channel has its own.
    pub sums: &'a [F],
    /// Tokens.
    pub n: usize,
}

impl<F: Real> Weights<'_, F> {
    fn by_channel(&self) -> bool {
        !self.sums.is_empty()
    }

    fn block(&self, from: usize, which: Which) -> Block {
        Block {
            n: self.n,
            from,
            to: (from + BLOCK).min(self.n),
            strict: usize::from(which == Which::Before),
        }
    }

    /// Products of a and b, both (n, D), to (n, n); `room` has n D numbers twice.
    pub fn forward(&self, (a, b): (&[F], &[F]), which: Which, room: &mut [F], out: &mut [F]) {
        let (n, d) = (self.n, a.len() / self.n);
        if !self.by_channel() {
            put(&mut flat_mut(out, n), F::ONE, (flat(a, d), flat(b, d).t()));
            take_off(1, which.left_out(n), d);
            masked(out, self.mask, n, which == Which::Before);
            return;
        }
        out.fill(F::ZERO);
        let (early, late) = room.split_at_mut(n * d);
        for from in (0..n).step_by(BLOCK) {
            let to = (from + BLOCK).min(n);
            if from > 0 {
                let (at, own) = (&self.sums[from * d..][..d], from * d..to * d);
                let (early, late) = (&mut early[..from * d], &mut late[own.clone()]);
                seen_from(&b[..from * d], &self.sums[..from * d], at, F::ONE, early);
                seen_from(&a[own.clone()], &self.sums[own], at, -F::ONE, late);
                let mut out = MatrixMut::new(&mut out[from * n..], to - from, from, n);
                put(&mut out, F::ONE, (flat(late, d), flat(early, d).t()));
            }
            within(a, b, self.sums, self.block(from, which), out);
            count_within(1, to - from, which, d);
        }
    }

    /// From the gradients of the pairs, of which those that do not count may be anything, to those of a and b, added to.
    pub fn backward(
        &self,
        g: &mut [F],
        (a, b): (&[F], &[F]),
        which: Which,
        room: &mut [F],
        (da, db): (&mut [F], &mut [F]),
    ) {
        let (n, d) = (self.n, a.len() / self.n);
        if !self.by_channel() {
            masked(g, self.mask, n, which == Which::Before);
            add(&mut flat_mut(da, d), F::ONE, (flat(g, n), flat(b, d)));
            add(&mut flat_mut(db, d), F::ONE, (flat(g, n).t(), flat(a, d)));
            take_off(2, which.left_out(n), d);
            return;
        }
        let (early, late) = room.split_at_mut(n * d);
        for from in (0..n).step_by(BLOCK) {
            let to = (from + BLOCK).min(n);
            if from > 0 {
                let (at, own) = (&self.sums[from * d..][..d], from * d..to * d);
                let (past, sums) = (&self.sums[..from * d], &self.sums[own.clone()]);
                let of_pairs = Matrix::new(&g[from * n..], to - from, from, n);
                let (early, late) = (&mut early[..from * d], &mut late[own.clone()]);
                seen_from(&b[..from * d], past, at, F::ONE, early);
                put(&mut flat_mut(late, d), F::ONE, (of_pairs, flat(early, d)));
                back_from(late, sums, at, -F::ONE, &mut da[own.clone()]);
                seen_from(&a[own], sums, at, -F::ONE, late);
                put(
                    &mut flat_mut(early, d),
                    F::ONE,
                    (of_pairs.t(), flat(late, d)),
                );
                back_from(early, past, at, F::ONE, &mut db[..from * d]);
            }
            within_back(g, a, b, self.sums, self.block(from, which), da, db);
            count_within(2, to - from, which, d);
        }
    }
}

/// Counts the pairs that no matrix product takes.
fn count_within(products: usize, tokens: usize, which: Which, width: usize) {
    let pairs = tokens * tokens - which.left_out(tokens);
    counted::add((2 * products * pairs * width) as i64);
}
