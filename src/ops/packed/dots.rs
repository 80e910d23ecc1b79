//! Products of packed rows with rows of eight bits, by whole numbers (AVX2): 32 products in two instructions.

use super::codes::{Codes, Packed, by_format};
use super::format::Format;
use super::rounded::{Rounded, Row, SHARED};
use crate::ops::cpu::matmul::MatrixMut;
use crate::ops::cpu::tile::sum_of_eight;
use std::arch::x86_64::*;

/// Rows of x that are multiplied with the same codes.
const ROWS_OF_X: usize = 4;

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn all(
    format: Format,
    blocks: &[u8],
    x: &Rounded,
    k: usize,
    out: &mut MatrixMut<'_, f32>,
) {
    by_format!(format, rows, blocks, x, k, out)
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn rows<P: Packed>(blocks: &[u8], x: &Rounded, k: usize, out: &mut MatrixMut<'_, f32>) {
    let of_row = k / P::NUMBERS * P::BYTES;
    let (mut i, rows) = (0, blocks.len() / of_row);
    while i + 2 <= rows {
        some::<P, 2>(&blocks[i * of_row..], x, k, i, out);
        i += 2;
    }
    while i < rows {
        some::<P, 1>(&blocks[i * of_row..], x, k, i, out);
        i += 1;
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn some<P: Packed, const R: usize>(
    blocks: &[u8],
    x: &Rounded,
    k: usize,
    i: usize,
    out: &mut MatrixMut<'_, f32>,
) {
    let (mut j, rows) = (0, x.q.len() / k);
    while j < rows {
        j += match (rows - j).min(ROWS_OF_X) {
            1 => one::<P, R, 1>(blocks, x, k, (i, j), out),
            2 => one::<P, R, 2>(blocks, x, k, (i, j), out),
            3 => one::<P, R, 3>(blocks, x, k, (i, j), out),
            _ => one::<P, R, 4>(blocks, x, k, (i, j), out),
        };
    }
}

/// `R` packed rows with `C` rows of x; how many of those are done.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn one<P: Packed, const R: usize, const C: usize>(
    blocks: &[u8],
    x: &Rounded,
    k: usize,
    (i, j): (usize, usize),
    out: &mut MatrixMut<'_, f32>,
) -> usize {
    let (of_row, pieces) = (k / P::NUMBERS * P::BYTES, P::NUMBERS / SHARED);
    assert!(blocks.len() >= R * of_row);
    let x: [Row; C] = std::array::from_fn(|c| x.row(j + c, k));
    let mut sums = [[_mm256_setzero_ps(); C]; R];
    let mut less = [[0.0_f32; C]; R];
    for b in 0..k / P::NUMBERS {
        for p in 0..pieces {
            let at = b * pieces + p;
            for r in 0..R {
                let block = &blocks[r * of_row + b * P::BYTES..][..P::BYTES];
                let codes = P::codes(block, p);
                for c in 0..C {
                    let (q, scale) = (&x[c].q[at * SHARED..][..SHARED], x[c].scale[at]);
                    // SAFETY: the slice has 32 bytes.
                    let q = unsafe { _mm256_loadu_si256(q.as_ptr().cast()) };
                    let scales = scaled(&codes, scale);
                    sums[r][c] = _mm256_fmadd_ps(scales, fours::<P>(&codes, q), sums[r][c]);
                    let sums = x[c].sums[at].map(|sum| scale * sum as f32);
                    less[r][c] += below::<P>(&codes, sums);
                }
            }
        }
    }
    for c in 0..C {
        let row = out.row(j + c);
        for r in 0..R {
            row[i + r] = sum_of_eight(sums[r][c]) - less[r][c];
        }
    }
    C
}

/// Sums of four products each: the first four of the first sixteen.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn fours<P: Packed>(codes: &Codes, x: __m256i) -> __m256 {
    let w = _mm256_set_m128i(codes.q[1], codes.q[0]);
    // One factor must have no sign: at most 255 times 127 twice would not fit sixteen bits, but these are at most 63, or 128.
    let (w, x) = match P::SIGNED {
        true => (_mm256_abs_epi8(w), _mm256_sign_epi8(x, w)),
        false => (w, x),
    };
    let twos = _mm256_maddubs_epi16(w, x);
    _mm256_cvtepi32_ps(_mm256_madd_epi16(twos, _mm256_set1_epi16(1)))
}

/// The scales of both factors.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn scaled(codes: &Codes, of_x: f32) -> __m256 {
    let [low, high] = codes.scale.map(|scale| _mm_set1_ps(scale * of_x));
    _mm256_set_m128(high, low)
}

/// What products of codes are too large by: `(scale zero + offset) sum x`.
#[inline(always)]
fn below<P: Packed>(codes: &Codes, sums: [f32; 2]) -> f32 {
    if P::SIGNED {
        0.0
    } else if P::ZERO == 0.0 {
        codes.offset * (sums[0] + sums[1])
    } else {
        P::ZERO * (codes.scale[0] * sums[0] + codes.scale[1] * sums[1])
    }
}
