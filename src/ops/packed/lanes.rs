//! Products of [sixteen rows side by side](super::interleaved) with a few rows of numbers, as they are or rounded to eight bits
//! (AVX-512 with VNNI). A lane sums for a row of W, piece by piece in their order: however many rows are multiplied beside it, a row's
//! result has the same bits.

use super::codes::by_format;
use super::format::Format;
use super::interleaved::{Interleaved, SIDE, codes, zero};
use super::rounded::{Plain, Rounded, SHARED};
use crate::ops::cpu::matmul::MatrixMut;
use std::arch::x86_64::*;

/// How far ahead of what is multiplied memory is asked for: the processor's own guesses stop at every page.
const AHEAD: usize = 4096;

/// Asks for piece `p` of a block some blocks ahead.
#[inline(always)]
fn ask_ahead<P: Interleaved>(block: &[u8], p: usize) {
    let lines = (SIDE * P::BYTES / LINE).div_ceil(P::NUMBERS / SHARED);
    for line in p * lines..(p + 1) * lines {
        let at = block.as_ptr().wrapping_add(AHEAD + line * LINE);
        // SAFETY: a hint, which any address may be given to.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) };
    }
}

/// Bytes that memory is read in.
const LINE: usize = 64;

/// Rows that kernels multiply.
pub(super) trait Few: Copy {
    /// Rows that are multiplied at once, at most: one, two, four or eight.
    fn most(self) -> usize;
    /// Numbers of all rows.
    fn len(self) -> usize;
    /// Sixteen rows of W with `C` rows from `j` on.
    ///
    /// # Safety
    /// The processor has AVX-512 with VNNI, `block`s are whole, and there are so many rows of `k` numbers.
    unsafe fn some<P: Interleaved, const C: usize>(
        self,
        rows: &[u8],
        k: usize,
        j: usize,
    ) -> [__m512; C];
}

/// Some rows of W, a multiple of sixteen side by side, with all of x: written to (rows of x, rows of W).
pub(super) fn multiply(
    format: Format,
    rows: &[u8],
    x: impl Few,
    k: usize,
    out: &mut MatrixMut<'_, f32>,
) {
    let of_all = SIDE * format.bytes_of_row(k);
    assert!(k.is_multiple_of(format.numbers()) && x.len().is_multiple_of(k));
    assert!(of_all > 0 && rows.len().is_multiple_of(of_all));
    for (i, rows) in rows.chunks_exact(of_all).enumerate() {
        by_format!(format, sixteen, rows, x, k, i, out);
    }
}

fn sixteen<P: Interleaved>(
    rows: &[u8],
    x: impl Few,
    k: usize,
    i: usize,
    out: &mut MatrixMut<'_, f32>,
) {
    let (mut j, all) = (0, x.len() / k);
    while j < all {
        j += match (all - j).min(x.most()) {
            1 => write::<P, 1>(rows, x, k, (i, j), out),
            2 | 3 => write::<P, 2>(rows, x, k, (i, j), out),
            4..8 => write::<P, 4>(rows, x, k, (i, j), out),
            _ => write::<P, 8>(rows, x, k, (i, j), out),
        };
    }
}

/// Sixteen rows of W with `C` rows of x, written; how many of those are done.
fn write<P: Interleaved, const C: usize>(
    rows: &[u8],
    x: impl Few,
    k: usize,
    (i, j): (usize, usize),
    out: &mut MatrixMut<'_, f32>,
) -> usize {
    // SAFETY: rows lie side by side only where the processor has the instructions; `multiply` and `sixteen` saw to the lengths.
    let sums = unsafe { x.some::<P, C>(rows, k, j) };
    for (c, sums) in sums.into_iter().enumerate() {
        let to = &mut out.row(j + c)[SIDE * i..][..SIDE];
        // SAFETY: the slice has sixteen numbers.
        unsafe { to.as_mut_ptr().cast::<__m512>().write_unaligned(sums) };
    }
    C
}

impl Few for Plain<'_> {
    fn most(self) -> usize {
        4
    }

    fn len(self) -> usize {
        self.x.len()
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
    #[inline]
    unsafe fn some<P: Interleaved, const C: usize>(
        self,
        rows: &[u8],
        k: usize,
        j: usize,
    ) -> [__m512; C] {
        let x = &self.x[j * k..][..C * k];
        let sums = &self.sums[j * (k / SHARED)..][..C * (k / SHARED)];
        let table = Table::of::<P>();
        let mut y = [_mm512_setzero_ps(); C];
        for (b, block) in rows.chunks_exact(SIDE * P::BYTES).enumerate() {
            for p in 0..P::NUMBERS / SHARED {
                ask_ahead::<P>(block, p);
                let (codes, scales) = (codes::<P>(block, p), P::scales(block, p));
                let at = b * P::NUMBERS + p * SHARED;
                let mut of_halves = [[_mm512_setzero_ps(); 2]; C];
                for (t, codes) in codes.into_iter().enumerate() {
                    for (i, w) in table.numbers::<P>(codes).into_iter().enumerate() {
                        for (c, sums) in of_halves.iter_mut().enumerate() {
                            // SAFETY: at + 32 <= k and c < C: the slice has C k numbers.
                            let x = unsafe { *x.get_unchecked(c * k + at + 4 * t + i) };
                            sums[t / 4] = _mm512_fmadd_ps(w, _mm512_set1_ps(x), sums[t / 4]);
                        }
                    }
                }
                for (c, [first, last]) in of_halves.into_iter().enumerate() {
                    if P::SCALES == 1 {
                        let both = _mm512_add_ps(first, last);
                        y[c] = _mm512_fmadd_ps(scales.scale[0], both, y[c]);
                    } else {
                        y[c] = _mm512_fmadd_ps(scales.scale[0], first, y[c]);
                        y[c] = _mm512_fmadd_ps(scales.scale[1], last, y[c]);
                    }
                    if P::ZERO == 0.0 && !P::SIGNED {
                        let sum = _mm512_set1_ps(sums[c * (k / SHARED) + at / SHARED]);
                        y[c] = _mm512_fnmadd_ps(scales.offset, sum, y[c]);
                    }
                }
            }
        }
        y
    }
}

/// What makes numbers `q - zero` of codes: up to five bits are looked up, others computed.
struct Table {
    /// Of codes up to 15, and from there to 31.
    looked_up: [__m512; 2],
    /// 2^23 in bits, whose last bits then are a whole number, and 2^23 + zero.
    big: (__m512i, __m512),
}

impl Table {
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
    #[inline]
    fn of<P: Interleaved>() -> Self {
        let first: [f32; SIDE] = std::array::from_fn(|q| q as f32 - P::ZERO);
        // SAFETY: there are sixteen numbers.
        let first = unsafe { _mm512_loadu_ps(first.as_ptr()) };
        let big = 8_388_608.0_f32;
        Self {
            looked_up: [first, _mm512_add_ps(first, _mm512_set1_ps(16.0))],
            big: (
                _mm512_set1_epi32(big.to_bits().cast_signed()),
                _mm512_set1_ps(big + zero::<P>() as f32),
            ),
        }
    }

    /// The numbers of the four bytes of each lane.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
    #[inline]
    fn numbers<P: Interleaved>(&self, codes: __m512i) -> [__m512; 4] {
        let [low, high] = self.looked_up;
        let bytes = [
            codes,
            _mm512_srli_epi32::<8>(codes),
            _mm512_srli_epi32::<16>(codes),
            _mm512_srli_epi32::<24>(codes),
        ];
        match P::BITS {
            // Only as many bits of a lane are looked at as a table has places.
            4 => bytes.map(|q| _mm512_permutexvar_ps(q, low)),
            5 => bytes.map(|q| _mm512_permutex2var_ps(low, q, high)),
            _ => bytes.map(|q| {
                let (big, zero) = self.big;
                // (q & 255) | big
                let whole = _mm512_ternarylogic_epi32::<0xea>(q, _mm512_set1_epi32(255), big);
                _mm512_sub_ps(_mm512_castsi512_ps(whole), zero)
            }),
        }
    }
}

impl Few for &Rounded {
    fn most(self) -> usize {
        8
    }

    fn len(self) -> usize {
        self.q.len()
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
    #[inline]
    unsafe fn some<P: Interleaved, const C: usize>(
        self,
        rows: &[u8],
        k: usize,
        j: usize,
    ) -> [__m512; C] {
        let each = k / SHARED;
        let q = &self.q[j * k..][..C * k];
        let (scale, sums) = (
            &self.scale[j * each..][..C * each],
            &self.sums[j * each..][..C * each],
        );
        let mut y = [_mm512_setzero_ps(); C];
        for (b, block) in rows.chunks_exact(SIDE * P::BYTES).enumerate() {
            for p in 0..P::NUMBERS / SHARED {
                ask_ahead::<P>(block, p);
                let (codes, scales) = (codes::<P>(block, p), P::scales(block, p));
                let at = b * (P::NUMBERS / SHARED) + p;
                for (c, y) in y.iter_mut().enumerate() {
                    let (of_x, sums) = (scale[c * each + at], sums[c * each + at]);
                    // What codes are above whole numbers is taken off before.
                    let mut halves = sums.map(|sum| _mm512_set1_epi32(-zero::<P>() * sum));
                    for (t, codes) in codes.into_iter().enumerate() {
                        // SAFETY: 32 at + 32 <= k and c < C: the slice has C k numbers.
                        let four = unsafe { q.as_ptr().add(c * k + at * SHARED + 4 * t) };
                        // SAFETY: four of those, which need not be aligned.
                        let four = unsafe { four.cast::<i32>().read_unaligned() };
                        let four = _mm512_set1_epi32(four);
                        halves[t / 4] = _mm512_dpbusd_epi32(halves[t / 4], codes, four);
                    }
                    let of_x = _mm512_set1_ps(of_x);
                    let [first, last] = scales.scale.map(|scale| _mm512_mul_ps(scale, of_x));
                    if P::SCALES == 1 {
                        let both = _mm512_add_epi32(halves[0], halves[1]);
                        *y = _mm512_fmadd_ps(first, _mm512_cvtepi32_ps(both), *y);
                    } else {
                        *y = _mm512_fmadd_ps(first, _mm512_cvtepi32_ps(halves[0]), *y);
                        *y = _mm512_fmadd_ps(last, _mm512_cvtepi32_ps(halves[1]), *y);
                    }
                    if P::ZERO == 0.0 && !P::SIGNED {
                        let sum = _mm512_cvtepi32_ps(_mm512_set1_epi32(sums[0] + sums[1]));
                        *y = _mm512_fnmadd_ps(scales.offset, _mm512_mul_ps(of_x, sum), *y);
                    }
                }
            }
        }
        y
    }
}
