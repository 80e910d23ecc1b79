//! Products of a few windows' rows with one matrix, token after token: it is packed once, into strips that are read in order.

use crate::ops::cpu::isa::Isa;
use crate::ops::cpu::real::Real;
use crate::ops::cpu::simd::simd;

/// Columns of a product that are summed at once.
const COLUMNS: usize = 16;

/// A matrix as the products here read it: strips of [`COLUMNS`] columns, one behind the other, each row by row; what a last strip
/// has beyond the matrix is 0.
pub(super) struct Strips<F> {
    numbers: Vec<[F; COLUMNS]>,
    columns: usize,
}

impl<F: Real> Strips<F> {
    /// Of so many rows and columns, of which `at` gives the numbers.
    pub(super) fn of(rows: usize, columns: usize, at: impl Fn(usize, usize) -> F) -> Self {
        let mut numbers = vec![[F::ZERO; COLUMNS]; rows * columns.div_ceil(COLUMNS)];
        for (strip, of_strip) in numbers.chunks_mut(rows).enumerate() {
            for (i, row) in of_strip.iter_mut().enumerate() {
                let from = strip * COLUMNS;
                let columns = from..columns.min(from + COLUMNS);
                row.iter_mut().zip(columns).for_each(|(x, j)| *x = at(i, j));
            }
        }
        Self { numbers, columns }
    }

    /// `out += a m`: `windows` rows of a, as long as m has rows, which begin `from` numbers apart, to rows of out, as long as those
    /// of m, which begin `to` numbers apart.
    pub(super) fn add_product(
        &self,
        windows: usize,
        (a, from): (&[F], usize),
        (out, to): (&mut [F], usize),
    ) {
        add_product(windows, a, from, &self.numbers, self.columns, out, to);
    }
}

simd! {
    fn add_product<S, F>(
        windows: usize,
        a: &[F],
        from: usize,
        m: &[[F; COLUMNS]],
        columns: usize,
        out: &mut [F],
        to: usize,
    ) {
        match windows {
            4 => add_rows::<S, F, 4>(a, from, m, columns, out, to),
            3 => add_rows::<S, F, 3>(a, from, m, columns, out, to),
            2 => add_rows::<S, F, 2>(a, from, m, columns, out, to),
            _ => add_rows::<S, F, 1>(a, from, m, columns, out, to),
        }
    }
}

/// A strip of all rows at a time, from the first to the last row of m, its sums in registers.
#[inline(always)]
fn add_rows<S: Isa, F: Real, const R: usize>(
    a: &[F],
    from: usize,
    m: &[[F; COLUMNS]],
    columns: usize,
    out: &mut [F],
    to: usize,
) {
    let inner = m.len() / columns.div_ceil(COLUMNS);
    let mut rows = [&a[..inner]; R];
    for (r, row) in rows.iter_mut().enumerate() {
        *row = &a[r * from..][..inner];
    }
    for (strip, m) in m.chunks_exact(inner).enumerate() {
        let mut sums = [[F::ZERO; COLUMNS]; R];
        for k in 0..inner {
            for r in 0..R {
                let x = rows[r][k];
                for j in 0..COLUMNS {
                    sums[r][j] = x.fma::<S>(m[k][j], sums[r][j]);
                }
            }
        }
        let (first, end) = (strip * COLUMNS, columns.min((strip + 1) * COLUMNS));
        for (r, sums) in sums.iter().enumerate() {
            let out = &mut out[r * to + first..r * to + end];
            for (out, &sum) in out.iter_mut().zip(sums) {
                *out += sum;
            }
        }
    }
}
