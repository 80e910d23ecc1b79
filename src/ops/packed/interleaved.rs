//! Sixteen packed rows side by side, for registers of sixteen lanes: what a kernel reads at once is one block of each of them, and a
//! lane sums for a row, so that no sum is taken across a register. As many bytes as the rows have one below the other.
//!
//! A block of sixteen rows has first what makes numbers of codes, field by field, of each field sixteen rows' (two bytes or one);
//! then its pieces of 32 numbers. A lane of four bytes holds numbers `4 t` to `4 t + 3` of its row for t from 0 to 7: of eight bits in
//! a register for each t; of less, the lower four bits with an even t in the lower and its neighbour in the upper half of each
//! byte, four registers, and behind them the upper bits of all t, in one register (one bit more) or two.

use super::codes::{Packed, by_format};
use super::format::Format;
use crate::ops::cpu::isa::{Level, level};
use crate::ops::cpu::transpose::transpose;
use std::arch::x86_64::*;

/// Rows side by side.
pub(super) const SIDE: usize = 16;
/// Numbers of a piece.
const PIECE: usize = 32;
/// Bytes of a register.
const REGISTER: usize = 64;

/// Whether this processor has the kernels that read rows side by side: AVX-512 with products of whole numbers (VNNI).
pub(super) fn is_read_here() -> bool {
    level() == Level::Avx512 && is_x86_feature_detected!("avx512vnni")
}

/// What the sixteen rows of a format have in front of their codes, and how many bits those have.
pub(super) trait Interleaved: Packed {
    /// Where a block has its fields of two bytes.
    const HALVES: &'static [usize];
    /// Where it has fields of one byte, one behind the other.
    const SMALL: std::ops::Range<usize>;
    /// Of a code.
    const BITS: usize;
    /// Scales of a piece.
    const SCALES: usize;
    /// Bytes of the fields of sixteen rows.
    const FIELDS: usize = SIDE * (2 * Self::HALVES.len() + Self::SMALL.end - Self::SMALL.start);
    /// Bytes of a piece of sixteen rows.
    const BYTES_OF_PIECE: usize = SIDE * PIECE * Self::BITS / 8;
    /// Scales and offset of piece `p`, a row a lane. Only for a processor with AVX-512.
    fn scales(block: &[u8], p: usize) -> Scales;
}

/// What makes numbers of the codes of a piece: `scale (q - zero) - offset`, the scale of its first and its last sixteen numbers.
#[derive(Clone, Copy)]
pub(super) struct Scales {
    pub scale: [__m512; 2],
    pub offset: __m512,
}

macro_rules! interleaved {
    ($(
        $name:ident: [$($half:literal),*], $small:expr, $bits:literal, $scales:literal, $one:ident;
    )*) => {$(
        impl Interleaved for super::codes::$name {
            const HALVES: &'static [usize] = &[$($half),*];
            const SMALL: std::ops::Range<usize> = $small;
            const BITS: usize = $bits;
            const SCALES: usize = $scales;
            #[inline(always)]
            fn scales(block: &[u8], p: usize) -> Scales {
                // SAFETY: only kernels get here, whose callers found the instructions.
                unsafe { $one(block, p) }
            }
        }
    )*};
}
interleaved! {
    OfQ8_0: [0], 0..0, 8, 1, scaled;
    OfQ4_0: [0], 0..0, 4, 1, scaled;
    OfQ4_1: [0, 2], 0..0, 4, 1, moved;
    OfQ5_0: [0], 0..0, 5, 1, scaled;
    OfQ5_1: [0, 2], 0..0, 5, 1, moved;
    OfQ4K: [0, 2], 4..16, 4, 1, of_part;
    OfQ5K: [0, 2], 4..16, 5, 1, of_part;
    OfQ6K: [208], 192..208, 6, 2, of_sixteens;
}

/// Field `i` of two bytes.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
#[inline]
fn halves(block: &[u8], i: usize) -> __m512 {
    let bytes = &block[2 * SIDE * i..][..2 * SIDE];
    // SAFETY: the slice has 32 bytes.
    _mm512_cvtph_ps(unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) })
}

/// Field `i` of one byte, behind so many of two.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
#[inline]
fn small(block: &[u8], halves: usize, i: usize) -> __m128i {
    let bytes = &block[SIDE * (2 * halves + i)..][..SIDE];
    // SAFETY: the slice has sixteen bytes.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
#[inline]
fn scaled(block: &[u8], _p: usize) -> Scales {
    Scales {
        scale: [halves(block, 0); 2],
        offset: _mm512_setzero_ps(),
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
#[inline]
fn moved(block: &[u8], _p: usize) -> Scales {
    Scales {
        scale: [halves(block, 0); 2],
        offset: _mm512_sub_ps(_mm512_setzero_ps(), halves(block, 1)),
    }
}

/// As [`of_part`](super::format::of_part) has them: six bits each, the upper two of the last four parts apart.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
#[inline]
fn of_part(block: &[u8], p: usize) -> Scales {
    let byte = |i: usize| small(block, 2, i);
    let low = |x: __m128i, bits: i8| _mm_and_si128(x, _mm_set1_epi8(bits));
    let (s, m) = if p < 4 {
        (low(byte(p), 63), low(byte(p + 4), 63))
    } else {
        let upper = |x: __m128i| _mm_slli_epi16::<4>(low(_mm_srli_epi16::<6>(x), 3));
        (
            _mm_or_si128(low(byte(p + 4), 15), upper(byte(p - 4))),
            _mm_or_si128(low(_mm_srli_epi16::<4>(byte(p + 4)), 15), upper(byte(p))),
        )
    };
    let [s, m] = [s, m].map(|x| _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(x)));
    Scales {
        scale: [_mm512_mul_ps(halves(block, 0), s); 2],
        offset: _mm512_mul_ps(halves(block, 1), m),
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
#[inline]
fn of_sixteens(block: &[u8], p: usize) -> Scales {
    let d = halves(block, 0);
    let scale = [2 * p, 2 * p + 1].map(|i| {
        let s = _mm512_cvtepi8_epi32(small(block, 1, i));
        _mm512_mul_ps(d, _mm512_cvtepi32_ps(s))
    });
    Scales {
        scale,
        offset: _mm512_setzero_ps(),
    }
}

/// The codes of a piece as bytes without a sign: register t has numbers `4 t` to `4 t + 3` of a row in each lane. What has a sign
/// is 128 more.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
#[inline]
pub(super) fn codes<P: Interleaved>(block: &[u8], p: usize) -> [__m512i; 8] {
    let piece = &block[P::FIELDS + p * P::BYTES_OF_PIECE..][..P::BYTES_OF_PIECE];
    let register = |i: usize| {
        let bytes = &piece[i * REGISTER..][..REGISTER];
        // SAFETY: the slice has 64 bytes.
        unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
    };
    let mut codes = [_mm512_setzero_si512(); 8];
    if P::BITS == 8 {
        for (t, codes) in codes.iter_mut().enumerate() {
            *codes = register(t);
        }
        return codes;
    }
    let four = _mm512_set1_epi8(15);
    for t in 0..4 {
        let both = register(t);
        codes[2 * t] = _mm512_and_si512(both, four);
        codes[2 * t + 1] = _mm512_and_si512(_mm512_srli_epi16::<4>(both), four);
    }
    match P::BITS {
        5 => {
            let (upper, bit) = (register(4), _mm512_set1_epi8(16));
            for (t, codes) in codes.iter_mut().enumerate() {
                let moved = match t {
                    0..4 => _mm512_sll_epi32(upper, _mm_cvtsi32_si128(4 - t as i32)),
                    _ => _mm512_srl_epi32(upper, _mm_cvtsi32_si128(t as i32 - 4)),
                };
                *codes = _mm512_or_si512(*codes, _mm512_and_si512(moved, bit));
            }
        }
        6 => {
            let (upper, bits) = ([register(4), register(5)], _mm512_set1_epi8(48));
            for (t, codes) in codes.iter_mut().enumerate() {
                let upper = upper[t / 4];
                let moved = match t % 4 {
                    0 => _mm512_slli_epi32::<4>(upper),
                    1 => _mm512_slli_epi32::<2>(upper),
                    2 => upper,
                    _ => _mm512_srli_epi32::<2>(upper),
                };
                *codes = _mm512_or_si512(*codes, _mm512_and_si512(moved, bits));
            }
        }
        _ => {}
    }
    codes
}

/// What [`codes`] are above the whole numbers that scales multiply.
pub(super) const fn zero<P: Packed>() -> i32 {
    if P::SIGNED { 128 } else { P::ZERO as i32 }
}

/// The same rows, a multiple of sixteen, side by side.
pub(super) fn interleave(format: Format, rows: &[u8], columns: usize) -> Vec<u8> {
    /// Some rows.
    fn of<P: Interleaved>(rows: &[u8], columns: usize) -> Vec<u8> {
        let blocks = columns / P::NUMBERS;
        let mut all = Vec::with_capacity(rows.len());
        for rows in rows.chunks_exact(SIDE * blocks * P::BYTES) {
            for b in 0..blocks {
                let block: [&[u8]; SIDE] =
                    std::array::from_fn(|r| &rows[(r * blocks + b) * P::BYTES..][..P::BYTES]);
                for &at in P::HALVES {
                    block
                        .iter()
                        .for_each(|row| all.extend_from_slice(&row[at..at + 2]));
                }
                for at in P::SMALL {
                    all.extend(block.iter().map(|row| row[at]));
                }
                for p in 0..P::NUMBERS / PIECE {
                    piece::<P>(&block, p, &mut all);
                }
            }
        }
        all
    }
    by_format!(format, of, rows, columns)
}

/// One piece of sixteen rows.
fn piece<P: Interleaved>(block: &[&[u8]; SIDE], p: usize, all: &mut Vec<u8>) {
    let flipped = if P::SIGNED { 128 } else { 0 };
    let q: [[u8; PIECE]; SIDE] = std::array::from_fn(|r| {
        let codes = P::codes(block[r], p).q;
        // SAFETY: both are 32 bytes, of which every pattern is valid.
        let q = unsafe { std::mem::transmute::<[__m128i; 2], [u8; PIECE]>(codes) };
        q.map(|q| q ^ flipped)
    });
    let mut registers = |count: usize, byte: &dyn Fn(&[u8; PIECE], usize, usize) -> u8| {
        for i in 0..count {
            for row in &q {
                all.extend([0, 1, 2, 3].map(|j| byte(row, i, j)));
            }
        }
    };
    if P::BITS == 8 {
        return registers(8, &|q, t, j| q[4 * t + j]);
    }
    registers(4, &|q, i, j| q[8 * i + j] & 15 | q[8 * i + 4 + j] << 4);
    match P::BITS {
        5 => registers(1, &|q, _, j| (0..8).map(|t| (q[4 * t + j] >> 4) << t).sum()),
        6 => registers(2, &|q, i, j| {
            (0..4)
                .map(|t| (q[16 * i + 4 * t + j] >> 4) << (2 * t))
                .sum()
        }),
        _ => {}
    }
}

/// The numbers of sixteen rows, a row behind the other, to the bit those that the rows stand for.
pub(super) fn unpack(format: Format, rows: &[u8], columns: usize, out: &mut [f32]) {
    assert!(rows.len() == SIDE * format.bytes_of_row(columns) && out.len() == SIDE * columns);
    // SAFETY: rows lie side by side only where the processor has the instructions.
    unsafe { unpack_by_format(format, rows, columns, out) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
fn unpack_by_format(format: Format, rows: &[u8], columns: usize, out: &mut [f32]) {
    by_format!(format, unpack_rows, rows, columns, out)
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
fn unpack_rows<P: Interleaved>(rows: &[u8], columns: usize, out: &mut [f32]) {
    let zero = _mm512_set1_epi32(zero::<P>());
    let byte = _mm512_set1_epi32(255);
    for (b, block) in rows.chunks_exact(SIDE * P::BYTES).enumerate() {
        for p in 0..P::NUMBERS / PIECE {
            let (codes, scales) = (codes::<P>(block, p), P::scales(block, p));
            for (half, codes) in codes.as_chunks::<4>().0.iter().enumerate() {
                let mut numbers = [_mm512_setzero_si512(); SIDE];
                for (i, numbers) in numbers.iter_mut().enumerate() {
                    let by = _mm_cvtsi32_si128(8 * (i as i32 % 4));
                    let q = _mm512_and_si512(_mm512_srl_epi32(codes[i / 4], by), byte);
                    let q = _mm512_cvtepi32_ps(_mm512_sub_epi32(q, zero));
                    let scaled = _mm512_mul_ps(scales.scale[half], q);
                    *numbers = _mm512_castps_si512(_mm512_sub_ps(scaled, scales.offset));
                }
                transpose(&mut numbers);
                let at = b * P::NUMBERS + p * PIECE + half * SIDE;
                for (r, numbers) in numbers.into_iter().enumerate() {
                    let to = &mut out[r * columns + at..][..SIDE];
                    // SAFETY: the slice has sixteen numbers.
                    unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), numbers) };
                }
            }
        }
    }
}
