//! Products of a few rows with many: `w x^T` for a handful of rows x, as decoding several sequences asks for.
//!
//! A tile of rows of w and rows of x is multiplied at once, its sums in registers, so that w is read from memory once however many
//! rows x has, and nothing is packed. Each number is summed in one order, whatever else is in its tile: what a row gives does not
//! depend on how many others are multiplied beside it.

use super::isa::Baseline;
use super::matmul::MatrixMut;
use super::real::Real;
use super::simd::dot;

/// A number whose rows can be multiplied a few at a time.
pub(in crate::ops) trait FewRows: Real {
    /// Of rows `k` numbers long, every row of w times every row of x: written to (rows of x, rows of w).
    fn rows_by_rows(x: &[Self], w: &[Self], k: usize, out: &mut MatrixMut<'_, Self>) {
        one_by_one(x, w, k, out);
    }
}

impl FewRows for f64 {}

impl FewRows for f32 {
    fn rows_by_rows(x: &[f32], w: &[f32], k: usize, out: &mut MatrixMut<'_, f32>) {
        tiled(x, w, k, out);
    }
}

fn tiled(x: &[f32], w: &[f32], k: usize, out: &mut MatrixMut<'_, f32>) {
    assert!(k > 0 && x.len().is_multiple_of(k) && w.len().is_multiple_of(k));
    #[cfg(target_arch = "x86_64")]
    {
        use super::isa::{Level, level};
        match level() {
            // SAFETY: `level` found these instructions on this CPU.
            Level::Avx512 => return unsafe { avx512::all(x, w, k, out) },
            // SAFETY: as above.
            Level::Avx2 => return unsafe { avx2::all(x, w, k, out) },
            Level::Baseline => {}
        }
    }
    one_by_one(x, w, k, out);
}

fn one_by_one<F: Real>(x: &[F], w: &[F], k: usize, out: &mut MatrixMut<'_, F>) {
    for (j, x) in x.chunks_exact(k).enumerate() {
        for (y, w) in out.row(j).iter_mut().zip(w.chunks_exact(k)) {
            *y = dot::<Baseline, F>(x, w);
        }
    }
}

/// The sum of the eight numbers of a register, pair by pair.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
#[inline]
pub(in crate::ops) fn sum_of_eight(x: std::arch::x86_64::__m256) -> f32 {
    use std::arch::x86_64::*;
    let half = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
    let quarter = _mm_add_ps(half, _mm_movehl_ps(half, half));
    _mm_cvtss_f32(_mm_add_ss(quarter, _mm_movehdup_ps(quarter)))
}

/// The kernel for one width of registers: `$rows` rows of w by up to four of x.
#[cfg(target_arch = "x86_64")]
macro_rules! tiles {
    ($level:ident, $features:literal, $numbers:literal, $rows:literal,
     $zero:ident, $load:ident, $fma:ident, $sum:ident) => {
        mod $level {
            use super::MatrixMut;
            #[allow(unused_imports, reason = "AVX-512 has an intrinsic for it")]
            use super::sum_of_eight;
            use std::arch::x86_64::*;

            #[target_feature(enable = $features)]
            pub fn all(x: &[f32], w: &[f32], k: usize, out: &mut MatrixMut<'_, f32>) {
                let (mut i, rows) = (0, w.len() / k);
                while i + $rows <= rows {
                    some::<$rows>(x, &w[i * k..][..$rows * k], k, i, out);
                    i += $rows;
                }
                while i < rows {
                    some::<1>(x, &w[i * k..][..k], k, i, out);
                    i += 1;
                }
            }

            /// `R` rows of w with all rows of x, from column `i` on.
            #[target_feature(enable = $features)]
            #[inline]
            fn some<const R: usize>(
                x: &[f32],
                w: &[f32],
                k: usize,
                i: usize,
                out: &mut MatrixMut<'_, f32>,
            ) {
                let (mut j, rows) = (0, x.len() / k);
                while j < rows {
                    let x = &x[j * k..];
                    j += match rows - j {
                        1 => one::<R, 1>(x, w, k, (i, j), out),
                        2 => one::<R, 2>(x, w, k, (i, j), out),
                        3 => one::<R, 3>(x, w, k, (i, j), out),
                        _ => one::<R, 4>(x, w, k, (i, j), out),
                    };
                }
            }

            /// One tile; how many rows of x are done.
            #[target_feature(enable = $features)]
            #[inline]
            fn one<const R: usize, const C: usize>(
                x: &[f32],
                w: &[f32],
                k: usize,
                (i, j): (usize, usize),
                out: &mut MatrixMut<'_, f32>,
            ) -> usize {
                assert!(x.len() >= C * k && w.len() >= R * k);
                let mut sums = [[$zero(); C]; R];
                let whole = k / $numbers * $numbers;
                let mut at = 0;
                while at < whole {
                    let mut of_x = [$zero(); C];
                    for (c, x_c) in of_x.iter_mut().enumerate() {
                        // SAFETY: c < C and at + $numbers <= k, so this ends within C k numbers, which x has.
                        *x_c = unsafe { $load(x.as_ptr().add(c * k + at)) };
                    }
                    for (r, sums) in sums.iter_mut().enumerate() {
                        // SAFETY: the same of R rows of w.
                        let of_w = unsafe { $load(w.as_ptr().add(r * k + at)) };
                        for (sum, x_c) in sums.iter_mut().zip(of_x) {
                            *sum = $fma(of_w, x_c, *sum);
                        }
                    }
                    at += $numbers;
                }
                for c in 0..C {
                    let row = out.row(j + c);
                    for (r, sums) in sums.iter().enumerate() {
                        let rest = (whole..k).fold($sum(sums[c]), |sum, at| {
                            w[r * k + at].mul_add(x[c * k + at], sum)
                        });
                        row[i + r] = rest;
                    }
                }
                C
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
tiles!(
    avx512,
    "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma",
    16,
    4,
    _mm512_setzero_ps,
    _mm512_loadu_ps,
    _mm512_fmadd_ps,
    _mm512_reduce_add_ps
);
#[cfg(target_arch = "x86_64")]
tiles!(
    avx2,
    "avx2,fma",
    8,
    2,
    _mm256_setzero_ps,
    _mm256_loadu_ps,
    _mm256_fmadd_ps,
    sum_of_eight
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::stream;

    fn numbers(count: usize, seed: u64) -> Vec<f32> {
        let mut stream = stream("tile", seed, 0);
        (0..count).map(|_| stream.normal() as f32).collect()
    }

    fn product(x: &[f32], w: &[f32], k: usize) -> Vec<f32> {
        let (n, m) = (x.len() / k, w.len() / k);
        let mut y = vec![f32::NAN; n * m];
        f32::rows_by_rows(x, w, k, &mut MatrixMut::new(&mut y, n, m, m));
        y
    }

    #[test]
    fn tiles_of_any_shape_hold_inner_products() {
        for (n, m, k) in [
            (1, 1, 1),
            (1, 9, 16),
            (2, 5, 15),
            (3, 4, 17),
            (4, 7, 40),
            (5, 3, 64),
            (13, 11, 33),
            (32, 6, 100),
        ] {
            let (x, w) = (numbers(n * k, 1), numbers(m * k, 2));
            for (at, y) in product(&x, &w, k).into_iter().enumerate() {
                let (x, w) = (&x[at / m * k..][..k], &w[at % m * k..][..k]);
                let truth = |x: &f32, w: &f32| f64::from(*x) * f64::from(*w);
                let sum: f64 = x.iter().zip(w).map(|(x, w)| truth(x, w)).sum();
                let size: f64 = x.iter().zip(w).map(|(x, w)| truth(x, w).abs()).sum();
                let error = (f64::from(y) - sum).abs() / size.max(1e-3);
                assert!(error < 1e-6, "{n} {m} {k}: {error:e}");
            }
        }
    }

    /// A processor with the widest registers has the narrower ones too.
    #[cfg(target_arch = "x86_64")]
    #[test]
    fn narrower_registers_hold_the_same_products() {
        if !(is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")) {
            return;
        }
        for (n, m, k) in [(1, 3, 7), (3, 5, 8), (5, 4, 41), (9, 7, 64)] {
            let (x, w) = (numbers(n * k, 1), numbers(m * k, 2));
            let mut y = vec![f32::NAN; n * m];
            // SAFETY: the instructions are there.
            unsafe { avx2::all(&x, &w, k, &mut MatrixMut::new(&mut y, n, m, m)) };
            for (seen, best) in y.iter().zip(product(&x, &w, k)) {
                assert!((seen - best).abs() < 1e-4, "{n} {m} {k}: {seen} {best}");
            }
        }
    }

    /// Decoding a sequence gives the same whether or not others are decoded beside it.
    #[test]
    fn a_row_does_not_depend_on_the_rows_beside_it() {
        let (k, m) = (77, 10);
        let (x, w) = (numbers(9 * k, 1), numbers(m * k, 2));
        let alone: Vec<f32> = x.chunks(k).flat_map(|row| product(row, &w, k)).collect();
        for n in 1..=9 {
            assert_eq!(product(&x[..n * k], &w, k), alone[..n * m], "{n} rows");
        }
    }
}
