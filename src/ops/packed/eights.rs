//! [Sixteen rows side by side](super::interleaved) in registers of eight lanes (AVX2), first those of the first eight rows and then
//! those of the last, and their products with a few rows of numbers, as they are or rounded to eight bits.

use super::codes::by_format;
use super::few::{Few, ask_ahead};
use super::format::Format;
use super::interleaved::{Fields, Interleaved, PIECE, REGISTER, SIDE, zero};
use super::rounded::{Plain, Rounded, SHARED};
use crate::ops::cpu::transpose::transpose_eight;
use std::arch::x86_64::*;

/// Rows for registers of eight lanes.
#[derive(Clone, Copy)]
pub(super) struct Narrow<X>(pub X);

/// Rows of a register.
const EIGHT: usize = 8;
const _: () = assert!(2 * EIGHT == SIDE);

/// What makes numbers of the codes of a piece: `scale (q - zero) - offset`, the scale of its first and its last sixteen numbers.
#[derive(Clone, Copy)]
struct Scales {
    scale: [__m256; 2],
    offset: __m256,
}

/// Scales and offset of piece `p`, a row a lane.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn scales<P: Interleaved>(block: &[u8], p: usize, half: usize) -> Scales {
    let both = |field: usize| halves(block, field, half);
    let zero = _mm256_setzero_ps();
    match P::KIND {
        Fields::Scale => Scales {
            scale: [both(0); 2],
            offset: zero,
        },
        Fields::ScaleAndLeast => Scales {
            scale: [both(0); 2],
            offset: _mm256_sub_ps(zero, both(1)),
        },
        Fields::OfParts => {
            let [s, m] =
                of_part(block, p, half).map(|x| _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(x)));
            Scales {
                scale: [_mm256_mul_ps(both(0), s); 2],
                offset: _mm256_mul_ps(both(1), m),
            }
        }
        Fields::OfSixteens => {
            let d = both(0);
            let scale = [2 * p, 2 * p + 1].map(|i| {
                let s = _mm256_cvtepi8_epi32(small(block, 1, i, half));
                _mm256_mul_ps(d, _mm256_cvtepi32_ps(s))
            });
            Scales {
                scale,
                offset: zero,
            }
        }
    }
}

/// Field `i` of two bytes.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn halves(block: &[u8], i: usize, half: usize) -> __m256 {
    let bytes = &block[2 * SIDE * i + 2 * EIGHT * half..][..2 * EIGHT];
    // SAFETY: the slice has sixteen bytes.
    _mm256_cvtph_ps(unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) })
}

/// Field `i` of one byte, behind so many of two.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn small(block: &[u8], halves: usize, i: usize, half: usize) -> __m128i {
    let bytes = &block[SIDE * (2 * halves + i) + EIGHT * half..][..EIGHT];
    // SAFETY: the slice has eight bytes.
    unsafe { _mm_loadl_epi64(bytes.as_ptr().cast()) }
}

/// Six bits of scale and of offset, the upper two of the last four parts apart.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn of_part(block: &[u8], p: usize, half: usize) -> [__m128i; 2] {
    let byte = |i: usize| small(block, 2, i, half);
    let low = |x: __m128i, bits: i8| _mm_and_si128(x, _mm_set1_epi8(bits));
    if p < 4 {
        return [low(byte(p), 63), low(byte(p + 4), 63)];
    }
    let upper = |x: __m128i| _mm_slli_epi16::<4>(low(_mm_srli_epi16::<6>(x), 3));
    let lower = byte(p + 4);
    [
        _mm_or_si128(low(lower, 15), upper(byte(p - 4))),
        _mm_or_si128(low(_mm_srli_epi16::<4>(lower), 15), upper(byte(p))),
    ]
}

/// The codes of a piece as bytes without a sign, of each row the numbers `4 t` to `4 t + 3`. What has a sign is 128 more.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn code<P: Interleaved>(block: &[u8], p: usize, half: usize, t: usize) -> __m256i {
    let piece = &block[P::FIELDS + p * P::BYTES_OF_PIECE..][..P::BYTES_OF_PIECE];
    let register = |i: usize| {
        let bytes = &piece[i * REGISTER + half * REGISTER / 2..][..REGISTER / 2];
        // SAFETY: the slice has 32 bytes.
        unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
    };
    if P::BITS == 8 {
        return register(t);
    }
    let both = register(t / 2);
    let four = match t % 2 {
        0 => both,
        _ => _mm256_srli_epi16::<4>(both),
    };
    let four = _mm256_and_si256(four, _mm256_set1_epi8(15));
    match P::BITS {
        5 => {
            let upper = register(4);
            let moved = match t {
                0..4 => _mm256_sll_epi32(upper, _mm_cvtsi32_si128(4 - t as i32)),
                _ => _mm256_srl_epi32(upper, _mm_cvtsi32_si128(t as i32 - 4)),
            };
            _mm256_or_si256(four, _mm256_and_si256(moved, _mm256_set1_epi8(16)))
        }
        6 => {
            let upper = register(4 + t / 4);
            let moved = match t % 4 {
                0 => _mm256_slli_epi32::<4>(upper),
                1 => _mm256_slli_epi32::<2>(upper),
                2 => upper,
                _ => _mm256_srli_epi32::<2>(upper),
            };
            _mm256_or_si256(four, _mm256_and_si256(moved, _mm256_set1_epi8(48)))
        }
        _ => four,
    }
}

/// All of them.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn codes<P: Interleaved>(block: &[u8], p: usize, half: usize) -> [__m256i; 8] {
    let mut codes = [_mm256_setzero_si256(); 8];
    for (t, codes) in codes.iter_mut().enumerate() {
        *codes = code::<P>(block, p, half, t);
    }
    codes
}

/// The numbers of sixteen rows, a row behind the other.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn unpack(format: Format, rows: &[u8], columns: usize, out: &mut [f32]) {
    by_format!(format, unpack_rows, rows, columns, out)
}

#[target_feature(enable = "avx2,fma,f16c")]
fn unpack_rows<P: Interleaved>(rows: &[u8], columns: usize, out: &mut [f32]) {
    let (zero, byte) = (_mm256_set1_epi32(zero::<P>()), _mm256_set1_epi32(255));
    for (b, block) in rows.chunks_exact(SIDE * P::BYTES).enumerate() {
        for (p, half) in (0..P::NUMBERS / PIECE).flat_map(|p| [(p, 0), (p, 1)]) {
            let (codes, scales) = (codes::<P>(block, p, half), scales::<P>(block, p, half));
            for (g, codes) in codes.as_chunks::<2>().0.iter().enumerate() {
                let mut numbers = [_mm256_setzero_ps(); EIGHT];
                for (i, numbers) in numbers.iter_mut().enumerate() {
                    let by = _mm_cvtsi32_si128(8 * (i as i32 % 4));
                    let q = _mm256_and_si256(_mm256_srl_epi32(codes[i / 4], by), byte);
                    let q = _mm256_cvtepi32_ps(_mm256_sub_epi32(q, zero));
                    let scaled = _mm256_mul_ps(scales.scale[g / 2], q);
                    *numbers = _mm256_sub_ps(scaled, scales.offset);
                }
                let at = b * P::NUMBERS + p * PIECE + g * EIGHT;
                for (r, numbers) in transpose_eight(numbers).into_iter().enumerate() {
                    let to = &mut out[(EIGHT * half + r) * columns + at..][..EIGHT];
                    // SAFETY: the slice has eight numbers.
                    unsafe { _mm256_storeu_ps(to.as_mut_ptr(), numbers) };
                }
            }
        }
    }
}

/// What each of four numbers is multiplied by before products ([`shift`]): byte i of a lane is a whole number where it is, that is 256^i
/// times itself, but for the last, which would have a sign there and is moved.
const SHIFTED: [f32; 4] = [1.0, 1.0 / 256.0, 1.0 / 65536.0, 1.0];

/// Numbers as products with bytes that stay in their place take them.
pub(super) fn shift(x: &[f32]) -> Vec<f32> {
    let by = SHIFTED.iter().cycle();
    x.iter().zip(by).map(|(x, by)| x * by).collect()
}

/// What is below zero in codes is taken off each product, as sums of large products would lose digits that small ones have; of one scale
/// and few bits it is taken off their sum.
const fn is_taken_off_sums<P: Interleaved>() -> bool {
    P::SCALES == 1 && !P::SIGNED
}

impl Few for Narrow<Plain<'_>> {
    fn most(self) -> usize {
        8
    }

    fn len(self) -> usize {
        self.0.x.len()
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    unsafe fn some<P: Interleaved, const C: usize>(
        self,
        rows: &[u8],
        k: usize,
        j: usize,
    ) -> [[f32; SIDE]; C] {
        let x = &self.0.shifted[j * k..][..C * k];
        let sums = &self.0.sums[j * (k / SHARED)..][..C * (k / SHARED)];
        let mut y = [[_mm256_setzero_ps(); 2]; C];
        for (b, block) in rows.chunks_exact(SIDE * P::BYTES).enumerate() {
            for p in 0..P::NUMBERS / SHARED {
                ask_ahead::<P>(block, p);
                let at = b * P::NUMBERS + p * SHARED;
                // With few rows a number of x that was loaded multiplies both halves; of more the sums would not fit registers.
                for first in (0..2).step_by(at_once(C)) {
                    let parts = [
                        part::<P, C>(block, p, first, 0, x, k, at),
                        part::<P, C>(block, p, first, 1, x, k, at),
                    ];
                    for h in 0..at_once(C) {
                        let Scales { scale, mut offset } = scales::<P>(block, p, first + h);
                        if is_taken_off_sums::<P>() {
                            let zero = _mm256_set1_ps(zero::<P>() as f32);
                            offset = _mm256_fmadd_ps(scale[0], zero, offset);
                        }
                        for c in 0..C {
                            let y = &mut y[c][first + h];
                            let [one, other] = [parts[0][c][h], parts[1][c][h]];
                            if P::SCALES == 1 {
                                *y = _mm256_fmadd_ps(scale[0], _mm256_add_ps(one, other), *y);
                            } else {
                                *y = _mm256_fmadd_ps(scale[0], one, *y);
                                *y = _mm256_fmadd_ps(scale[1], other, *y);
                            }
                            if is_taken_off_sums::<P>() {
                                let sum = _mm256_set1_ps(sums[c * (k / SHARED) + at / SHARED]);
                                *y = _mm256_fnmadd_ps(offset, sum, *y);
                            }
                        }
                    }
                }
            }
        }
        written(y)
    }
}

/// Halves whose products are summed side by side.
const fn at_once(rows: usize) -> usize {
    if rows > 4 { 1 } else { 2 }
}

/// Products of one half of a piece's numbers with those of x at `at`: of the first or the last sixteen, which may have scales of their
/// own, else of every second four, so that sums wait less for one another.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn part<P: Interleaved, const C: usize>(
    block: &[u8],
    p: usize,
    first: usize,
    part: usize,
    x: &[f32],
    k: usize,
    at: usize,
) -> [[__m256; 2]; C] {
    assert!(x.len() == C * k && at + SHARED <= k);
    let byte = [255, 255 << 8, 255 << 16].map(|bits| _mm256_set1_epi32(bits));
    let zeros = SHIFTED.map(|by| _mm256_set1_ps(zero::<P>() as f32 / by));
    let mut sums = [[_mm256_setzero_ps(); 2]; C];
    for j in 0..4 {
        let t = match P::SCALES {
            1 => 2 * j + part,
            _ => 4 * part + j,
        };
        let mut q = [_mm256_setzero_si256(); 2];
        for (h, q) in q.iter_mut().take(at_once(C)).enumerate() {
            *q = code::<P>(block, p, first + h, t);
        }
        for i in 0..4 {
            let mut w = [_mm256_setzero_ps(); 2];
            for h in 0..at_once(C) {
                let whole = match i {
                    3 => _mm256_srli_epi32::<24>(q[h]),
                    _ => _mm256_and_si256(q[h], byte[i]),
                };
                w[h] = _mm256_cvtepi32_ps(whole);
                if !is_taken_off_sums::<P>() {
                    w[h] = _mm256_sub_ps(w[h], zeros[i]);
                }
            }
            for (c, sums) in sums.iter_mut().enumerate() {
                // SAFETY: at + 32 <= k and c < C: there are C k numbers.
                let x = unsafe { *x.get_unchecked(c * k + at + 4 * t + i) };
                let x = _mm256_set1_ps(x);
                for h in 0..at_once(C) {
                    sums[h] = _mm256_fmadd_ps(w[h], x, sums[h]);
                }
            }
        }
    }
    sums
}

/// The numbers of registers.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn written<const C: usize>(y: [[__m256; 2]; C]) -> [[f32; SIDE]; C] {
    // SAFETY: two registers are sixteen numbers, of which every pattern is valid.
    y.map(|y| unsafe { std::mem::transmute::<[__m256; 2], [f32; SIDE]>(y) })
}

/// Registers of codes whose products with eight bits are added in sixteen bits before they would not fit: `2 t (2^bits - 1) 128` is
/// below 2^15.
const fn together<P: Interleaved>() -> usize {
    match P::BITS {
        4 => 8,
        5 => 4,
        6 => 2,
        _ => 1,
    }
}

/// Products of codes with 32 whole numbers, in lanes: of the first sixteen and of the last, or of all where they share a scale.
///
/// # Safety
/// There are 32 bytes at `x`.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
unsafe fn whole<P: Interleaved>(codes: &[__m256i; 8], x: *const i8) -> [__m256i; 2] {
    let ones = _mm256_set1_epi16(1);
    let mut sums = [_mm256_setzero_si256(); 2];
    for from in (0..8).step_by(together::<P>()) {
        let mut twos = _mm256_setzero_si256();
        for (t, codes) in codes.iter().enumerate().skip(from).take(together::<P>()) {
            // SAFETY: the caller's, four of them, which need not be aligned.
            let x = unsafe { x.add(4 * t).cast::<i32>().read_unaligned() };
            let (mut q, mut x) = (*codes, _mm256_set1_epi32(x));
            if P::SIGNED {
                // One factor must have no sign.
                let signed = _mm256_xor_si256(q, _mm256_set1_epi8(-128));
                (q, x) = (_mm256_abs_epi8(signed), _mm256_sign_epi8(x, signed));
            }
            twos = _mm256_add_epi16(twos, _mm256_maddubs_epi16(q, x));
        }
        let sum = &mut sums[if P::SCALES == 1 { 0 } else { from / 4 }];
        *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(twos, ones));
    }
    sums
}

impl Few for Narrow<&Rounded> {
    fn most(self) -> usize {
        8
    }

    fn len(self) -> usize {
        self.0.q.len()
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    unsafe fn some<P: Interleaved, const C: usize>(
        self,
        rows: &[u8],
        k: usize,
        j: usize,
    ) -> [[f32; SIDE]; C] {
        let each = k / SHARED;
        let q = &self.0.q[j * k..][..C * k];
        let (of_x, of_sums) = (
            &self.0.scale[j * each..][..C * each],
            &self.0.sums[j * each..][..C * each],
        );
        let mut y = [[_mm256_setzero_ps(); 2]; C];
        for (b, block) in rows.chunks_exact(SIDE * P::BYTES).enumerate() {
            for p in 0..P::NUMBERS / SHARED {
                ask_ahead::<P>(block, p);
                let at = b * (P::NUMBERS / SHARED) + p;
                for half in 0..2 {
                    let codes = codes::<P>(block, p, half);
                    let Scales { scale, offset } = scales::<P>(block, p, half);
                    for (c, y) in y.iter_mut().enumerate() {
                        // SAFETY: 32 at + 32 <= k and c < C: the slice has C k numbers.
                        let sums =
                            unsafe { whole::<P>(&codes, q.as_ptr().add(c * k + at * SHARED)) };
                        let d = of_x[c * each + at];
                        let [first, last] = of_sums[c * each + at];
                        let y = &mut y[half];
                        let by = _mm256_set1_ps(d);
                        // Whole numbers, so that what codes are above zero is taken off exactly.
                        let above = |sum: i32| _mm256_set1_epi32(P::ZERO as i32 * sum);
                        let add = |y: &mut __m256, scale: __m256, sum: __m256i, above: __m256i| {
                            let sum = _mm256_cvtepi32_ps(_mm256_sub_epi32(sum, above));
                            *y = _mm256_fmadd_ps(_mm256_mul_ps(scale, by), sum, *y);
                        };
                        if P::SCALES == 1 {
                            add(y, scale[0], sums[0], above(first + last));
                        } else {
                            add(y, scale[0], sums[0], above(first));
                            add(y, scale[1], sums[1], above(last));
                        }
                        if P::ZERO == 0.0 && !P::SIGNED {
                            let sum = _mm256_set1_ps(d * (first + last) as f32);
                            *y = _mm256_fnmadd_ps(offset, sum, *y);
                        }
                    }
                }
            }
        }
        written(y)
    }
}
