//! Packed numbers as whole ones with what makes numbers of them, in registers: what the kernels of any width begin with.

use super::format::{Format, of_part};
use std::arch::x86_64::*;

/// 32 numbers, `scale (q - zero) - offset`, with the zero of their format: two registers of sixteen bytes, each with its scale.
pub(super) struct Codes {
    pub q: [__m128i; 2],
    pub scale: [f32; 2],
    pub offset: f32,
}

/// A format's pieces of 32 numbers.
pub(super) trait Packed {
    const NUMBERS: usize;
    const BYTES: usize;
    /// Whether bytes are from -128 to 127.
    const SIGNED: bool;
    const ZERO: f32;
    /// Piece `p` of a block. Only for a processor with AVX2, FMA and F16C.
    fn codes(block: &[u8], p: usize) -> Codes;
}

macro_rules! packed {
    ($name:ident, $format:ident, $one:ident, $signed:literal, $zero:literal) => {
        pub(super) struct $name;
        impl Packed for $name {
            const NUMBERS: usize = Format::$format.numbers();
            const BYTES: usize = Format::$format.bytes();
            const SIGNED: bool = $signed;
            const ZERO: f32 = $zero;
            #[inline(always)]
            fn codes(block: &[u8], p: usize) -> Codes {
                // SAFETY: only kernels get here, whose callers found the instructions.
                unsafe { $one(block, p) }
            }
        }
    };
}
packed!(OfQ8_0, Q8_0, q8_0, true, 0.0);
packed!(OfQ4_0, Q4_0, q4_0, false, 8.0);
packed!(OfQ4_1, Q4_1, q4_1, false, 0.0);
packed!(OfQ5_0, Q5_0, q5_0, false, 16.0);
packed!(OfQ5_1, Q5_1, q5_1, false, 0.0);
packed!(OfQ4K, Q4K, q4_k, false, 0.0);
packed!(OfQ5K, Q5K, q5_k, false, 0.0);
packed!(OfQ6K, Q6K, q6_k, false, 32.0);

/// Calls a function of a [`Packed`] by its format.
macro_rules! by_format {
    ($format:expr, $rows:ident, $($with:expr),*) => {{
        use $crate::ops::packed::codes::*;
        match $format {
            Format::Q8_0 => $rows::<OfQ8_0>($($with),*),
            Format::Q4_0 => $rows::<OfQ4_0>($($with),*),
            Format::Q4_1 => $rows::<OfQ4_1>($($with),*),
            Format::Q5_0 => $rows::<OfQ5_0>($($with),*),
            Format::Q5_1 => $rows::<OfQ5_1>($($with),*),
            Format::Q4K => $rows::<OfQ4K>($($with),*),
            Format::Q5K => $rows::<OfQ5K>($($with),*),
            Format::Q6K => $rows::<OfQ6K>($($with),*),
        }
    }};
}
pub(super) use by_format;

/// One instruction, where the library's is a call.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn half_at(bytes: &[u8], at: usize) -> f32 {
    let half = i32::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
    _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(half)))
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn sixteen(bytes: &[u8]) -> __m128i {
    let bytes = &bytes[..16];
    // SAFETY: the slice has sixteen bytes.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn lower_half(bytes: __m128i) -> __m128i {
    _mm_and_si128(bytes, _mm_set1_epi8(15))
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn upper_half(bytes: __m128i) -> __m128i {
    lower_half(_mm_srli_epi16::<4>(bytes))
}

/// `scale (q - zero)`
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn scaled(q: [__m128i; 2], scale: [f32; 2]) -> Codes {
    Codes {
        q,
        scale,
        offset: 0.0,
    }
}

/// `scale q - offset`
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn moved(q: [__m128i; 2], scale: f32, offset: f32) -> Codes {
    Codes {
        q,
        scale: [scale; 2],
        offset,
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn q8_0(block: &[u8], _p: usize) -> Codes {
    let q = [sixteen(&block[2..]), sixteen(&block[18..])];
    scaled(q, [half_at(block, 0); 2])
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn q4_0(block: &[u8], _p: usize) -> Codes {
    let q = sixteen(&block[2..]);
    let q = [lower_half(q), upper_half(q)];
    scaled(q, [half_at(block, 0); 2])
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn q4_1(block: &[u8], _p: usize) -> Codes {
    let q = sixteen(&block[4..]);
    let q = [lower_half(q), upper_half(q)];
    moved(q, half_at(block, 0), -half_at(block, 2))
}

/// 16 where a bit is 1: of sixteen bits, one a byte.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn fifth(bits: [u8; 2]) -> __m128i {
    const EVERY_BYTE: u64 = 0x0101_0101_0101_0101;
    let low = (u64::from(bits[0]) * EVERY_BYTE).cast_signed();
    let high = (u64::from(bits[1]) * EVERY_BYTE).cast_signed();
    let each = _mm_set1_epi64x(0x8040_2010_0804_0201_u64.cast_signed());
    let found = _mm_and_si128(_mm_set_epi64x(high, low), each);
    _mm_and_si128(_mm_cmpeq_epi8(found, each), _mm_set1_epi8(16))
}

/// Numbers of five bits: four of each at `at`, the fifth of all in the four bytes before.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn five_bits(block: &[u8], at: usize) -> [__m128i; 2] {
    let q = sixteen(&block[at..]);
    let low = fifth([block[at - 4], block[at - 3]]);
    let high = fifth([block[at - 2], block[at - 1]]);
    [
        _mm_or_si128(lower_half(q), low),
        _mm_or_si128(upper_half(q), high),
    ]
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn q5_0(block: &[u8], _p: usize) -> Codes {
    scaled(five_bits(block, 6), [half_at(block, 0); 2])
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn q5_1(block: &[u8], _p: usize) -> Codes {
    moved(five_bits(block, 8), half_at(block, 0), -half_at(block, 2))
}

/// The four bits of piece `p` of those at `at`: low ones of even pieces, high ones of odd.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn four_bits(block: &[u8], at: usize, p: usize) -> [__m128i; 2] {
    let at = at + 32 * (p / 2);
    let (low, high) = (sixteen(&block[at..]), sixteen(&block[at + 16..]));
    if p.is_multiple_of(2) {
        [lower_half(low), lower_half(high)]
    } else {
        [upper_half(low), upper_half(high)]
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn q4_k(block: &[u8], p: usize) -> Codes {
    let (d, e) = (half_at(block, 0), half_at(block, 2));
    let (s, m) = of_part(&block[4..16], p);
    moved(four_bits(block, 16, p), d * s, e * m)
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn q5_k(block: &[u8], p: usize) -> Codes {
    let (d, e) = (half_at(block, 0), half_at(block, 2));
    let (s, m) = of_part(&block[4..16], p);
    let mut q = four_bits(block, 48, p);
    let by = _mm_cvtsi32_si128(p as i32);
    for (k, q) in q.iter_mut().enumerate() {
        let bits = _mm_srl_epi16(sixteen(&block[16 + 16 * k..]), by);
        let fifth = _mm_slli_epi16::<4>(_mm_and_si128(bits, _mm_set1_epi8(1)));
        *q = _mm_or_si128(*q, fifth);
    }
    moved(q, d * s, e * m)
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn q6_k(block: &[u8], p: usize) -> Codes {
    let (half, stretch) = (p / 4, p % 4);
    let d = half_at(block, 208);
    let scale = |k: usize| d * f32::from(block[192 + 2 * p + k].cast_signed());
    let (of_low, of_high) = (64 * half + 32 * (stretch % 2), 128 + 32 * half);
    let two = _mm_cvtsi32_si128(2 * stretch as i32);
    let mut q = [_mm_setzero_si128(); 2];
    for (k, q) in q.iter_mut().enumerate() {
        let (low, high) = (
            sixteen(&block[of_low + 16 * k..]),
            sixteen(&block[of_high + 16 * k..]),
        );
        let low = if stretch < 2 {
            lower_half(low)
        } else {
            upper_half(low)
        };
        let high = _mm_and_si128(_mm_srl_epi16(high, two), _mm_set1_epi8(3));
        *q = _mm_or_si128(low, _mm_slli_epi16::<4>(high));
    }
    scaled(q, [scale(0), scale(1)])
}
