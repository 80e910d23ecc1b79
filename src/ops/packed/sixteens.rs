//! [Sixteen rows side by side](super::interleaved) in registers of sixteen lanes (AVX-512 with VNNI), and their products with a few rows
//! of numbers, as they are or rounded to eight bits.

use super::codes::by_format;
use super::few::{Few, ask_ahead};
use super::format::Format;
use super::interleaved::{Fields, Interleaved, PIECE, REGISTER, SIDE, zero};
use super::rounded::{Plain, Rounded, SHARED};
use crate::ops::cpu::transpose::transpose;
use std::arch::x86_64::*;

/// Rows for registers of sixteen lanes.
#[derive(Clone, Copy)]
pub(super) struct Wide<X>(pub X);

/// What makes numbers of the codes of a piece: `scale (q - zero) - offset`, the scale of its first and its last sixteen numbers.
#[derive(Clone, Copy)]
struct Scales {
    scale: [__m512; 2],
    offset: __m512,
}

/// Scales and offset of piece `p`, a row a lane.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
#[inline]
fn scales<P: Interleaved>(block: &[u8], p: usize) -> Scales {
    match P::KIND {
        Fields::Scale => scaled(block),
        Fields::ScaleAndLeast => moved(block),
        Fields::OfParts => of_part(block, p),
        Fields::OfSixteens => of_sixteens(block, p),
    }
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
fn scaled(block: &[u8]) -> Scales {
    Scales {
        scale: [halves(block, 0); 2],
        offset: _mm512_setzero_ps(),
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
#[inline]
fn moved(block: &[u8]) -> Scales {
    Scales {
        scale: [halves(block, 0); 2],
        offset: _mm512_sub_ps(_mm512_setzero_ps(), halves(block, 1)),
    }
}

/// Six bits each, the upper two of the last four parts apart.
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
fn codes<P: Interleaved>(block: &[u8], p: usize) -> [__m512i; 8] {
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

/// The numbers of sixteen rows, a row behind the other.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
pub(super) fn unpack(format: Format, rows: &[u8], columns: usize, out: &mut [f32]) {
    by_format!(format, unpack_rows, rows, columns, out)
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
fn unpack_rows<P: Interleaved>(rows: &[u8], columns: usize, out: &mut [f32]) {
    let zero = _mm512_set1_epi32(zero::<P>());
    let byte = _mm512_set1_epi32(255);
    for (b, block) in rows.chunks_exact(SIDE * P::BYTES).enumerate() {
        for p in 0..P::NUMBERS / PIECE {
            let (codes, scales) = (codes::<P>(block, p), scales::<P>(block, p));
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

impl Few for Wide<Plain<'_>> {
    fn most(self) -> usize {
        4
    }

    fn len(self) -> usize {
        self.0.x.len()
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
    #[inline]
    unsafe fn some<P: Interleaved, const C: usize>(
        self,
        rows: &[u8],
        k: usize,
        j: usize,
    ) -> [[f32; SIDE]; C] {
        let x = &self.0.x[j * k..][..C * k];
        let sums = &self.0.sums[j * (k / SHARED)..][..C * (k / SHARED)];
        let table = Table::of::<P>();
        let mut y = [_mm512_setzero_ps(); C];
        for (b, block) in rows.chunks_exact(SIDE * P::BYTES).enumerate() {
            for p in 0..P::NUMBERS / SHARED {
                ask_ahead::<P>(block, p);
                let (codes, scales) = (codes::<P>(block, p), scales::<P>(block, p));
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
        written(y)
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

/// The numbers of registers.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
#[inline]
fn written<const C: usize>(y: [__m512; C]) -> [[f32; SIDE]; C] {
    // SAFETY: a register is sixteen numbers, of which every pattern is valid.
    y.map(|y| unsafe { std::mem::transmute::<__m512, [f32; SIDE]>(y) })
}

impl Few for Wide<&Rounded> {
    fn most(self) -> usize {
        8
    }

    fn len(self) -> usize {
        self.0.q.len()
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
    #[inline]
    unsafe fn some<P: Interleaved, const C: usize>(
        self,
        rows: &[u8],
        k: usize,
        j: usize,
    ) -> [[f32; SIDE]; C] {
        let each = k / SHARED;
        let q = &self.0.q[j * k..][..C * k];
        let (scale, sums) = (
            &self.0.scale[j * each..][..C * each],
            &self.0.sums[j * each..][..C * each],
        );
        let mut y = [_mm512_setzero_ps(); C];
        for (b, block) in rows.chunks_exact(SIDE * P::BYTES).enumerate() {
            for p in 0..P::NUMBERS / SHARED {
                ask_ahead::<P>(block, p);
                let (codes, scales) = (codes::<P>(block, p), scales::<P>(block, p));
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
        written(y)
    }
}
