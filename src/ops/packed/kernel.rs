//! Packed rows times a few rows of numbers, each weight unpacked in registers where it is multiplied.
//!
//! A sum runs in the order of [`tile`](crate::ops::cpu::tile), over numbers that are rounded as those that
//! [`unpack`](super::format) writes: the result is the same to the bit.

use super::format::Format;
use crate::ops::cpu::matmul::MatrixMut;

/// Rows of x that are multiplied in registers; of more it pays to unpack a weight once into memory.
pub(super) const MOST_ROWS: usize = 4;

/// Whether `blocks`, some packed rows of `k` numbers, were multiplied with `x`, a few rows of as many: written to (rows of x, rows of
/// W). Not where this processor has no kernel for it.
pub(super) fn multiplied(
    format: Format,
    blocks: &[u8],
    x: &[f32],
    k: usize,
    out: &mut MatrixMut<'_, f32>,
) -> bool {
    let of_row = k / format.numbers() * format.bytes();
    assert!(k.is_multiple_of(format.numbers()) && x.len().is_multiple_of(k));
    assert!(of_row > 0 && blocks.len().is_multiple_of(of_row));
    if x.len() / k > MOST_ROWS {
        return false;
    }
    #[cfg(target_arch = "x86_64")]
    {
        use crate::ops::cpu::isa::{Level, level};
        match level() {
            Level::Avx512 => {
                // SAFETY: `level` found these instructions on this CPU.
                unsafe { avx512::all(format, blocks, x, k, out) };
                return true;
            }
            Level::Avx2 => {
                // SAFETY: as above.
                unsafe { avx2::all(format, blocks, x, k, out) };
                return true;
            }
            Level::Baseline => {}
        }
    }
    let _ = out;
    false
}

/// The kernel for one width of registers. `$wide` makes of sixteen bytes as many numbers, in `$parts` registers.
#[cfg(target_arch = "x86_64")]
macro_rules! kernel {
    ($level:ident, $features:literal, $numbers:literal, $parts:literal, $rows:literal,
     $most:literal, $vector:ident, $zero:ident, $load:ident, $set:ident, $mul:ident, $sub:ident,
     $fma:ident, $sum:ident, $wide:item, $wide_signed:item) => {
        mod $level {
            use crate::ops::cpu::matmul::MatrixMut;
            #[allow(unused_imports, reason = "AVX-512 has an intrinsic for it")]
            use crate::ops::cpu::tile::sum_of_eight;
            use crate::ops::packed::codes::{Codes, Packed, by_format};
            use crate::ops::packed::format::Format;
            use std::arch::x86_64::*;

            /// Registers of a piece: 32 numbers.
            const PIECE: usize = 2 * $parts;

            type Piece = [$vector; PIECE];

            $wide
            $wide_signed

            /// The numbers that codes stand for.
            #[target_feature(enable = $features)]
            #[inline]
            fn numbers<P: Packed>(codes: &Codes) -> Piece {
                let [low, high] = codes.q;
                let (low, high) = match P::SIGNED {
                    true => (wide_signed(low), wide_signed(high)),
                    false => (wide(low), wide(high)),
                };
                let scales = [$set(codes.scale[0]), $set(codes.scale[1])];
                let (zero, offset) = ($set(P::ZERO), $set(codes.offset));
                let mut piece = [$zero(); PIECE];
                for i in 0..$parts {
                    piece[i] = $sub($mul(scales[0], $sub(low[i], zero)), offset);
                    piece[$parts + i] = $sub($mul(scales[1], $sub(high[i], zero)), offset);
                }
                piece
            }

            #[target_feature(enable = $features)]
            pub fn all(
                format: Format,
                blocks: &[u8],
                x: &[f32],
                k: usize,
                out: &mut MatrixMut<'_, f32>,
            ) {
                by_format!(format, rows, blocks, x, k, out)
            }

            /// One row of x leaves registers for more of W, whose sums then do not wait for each other.
            #[target_feature(enable = $features)]
            #[inline]
            fn rows<P: Packed>(blocks: &[u8], x: &[f32], k: usize, out: &mut MatrixMut<'_, f32>) {
                match x.len() == k {
                    true => rows_by::<P, 4>(blocks, x, k, out),
                    false => rows_by::<P, $rows>(blocks, x, k, out),
                }
            }

            #[target_feature(enable = $features)]
            #[inline]
            fn rows_by<P: Packed, const R: usize>(
                blocks: &[u8],
                x: &[f32],
                k: usize,
                out: &mut MatrixMut<'_, f32>,
            ) {
                let of_row = k / P::NUMBERS * P::BYTES;
                let (mut i, rows) = (0, blocks.len() / of_row);
                while i + R <= rows {
                    some::<P, R>(&blocks[i * of_row..], x, k, i, out);
                    i += R;
                }
                while i < rows {
                    some::<P, 1>(&blocks[i * of_row..], x, k, i, out);
                    i += 1;
                }
            }

            #[target_feature(enable = $features)]
            #[inline]
            fn some<P: Packed, const R: usize>(
                blocks: &[u8],
                x: &[f32],
                k: usize,
                i: usize,
                out: &mut MatrixMut<'_, f32>,
            ) {
                let (mut j, rows) = (0, x.len() / k);
                while j < rows {
                    let x = &x[j * k..];
                    j += match (rows - j).min($most) {
                        1 => one::<P, R, 1>(blocks, x, k, (i, j), out),
                        2 => one::<P, R, 2>(blocks, x, k, (i, j), out),
                        3 => one::<P, R, 3>(blocks, x, k, (i, j), out),
                        _ => one::<P, R, 4>(blocks, x, k, (i, j), out),
                    };
                }
            }

            /// `R` packed rows with `C` rows of x; how many of those are done.
            #[target_feature(enable = $features)]
            #[inline]
            fn one<P: Packed, const R: usize, const C: usize>(
                blocks: &[u8],
                x: &[f32],
                k: usize,
                (i, j): (usize, usize),
                out: &mut MatrixMut<'_, f32>,
            ) -> usize {
                let (of_row, pieces) = (k / P::NUMBERS * P::BYTES, P::NUMBERS / 32);
                assert!(x.len() >= C * k && blocks.len() >= R * of_row);
                let mut sums = [[$zero(); C]; R];
                for b in 0..k / P::NUMBERS {
                    for p in 0..pieces {
                        let at = b * P::NUMBERS + 32 * p;
                        for (r, sums) in sums.iter_mut().enumerate() {
                            let block = &blocks[r * of_row + b * P::BYTES..][..P::BYTES];
                            let piece = numbers::<P>(&P::codes(block, p));
                            for (c, sum) in sums.iter_mut().enumerate() {
                                for (v, w) in piece.iter().enumerate() {
                                    // SAFETY: c < C, and at + 32 <= k: this ends within C k numbers, which x has.
                                    let x = unsafe {
                                        $load(x.as_ptr().add(c * k + at + v * $numbers))
                                    };
                                    *sum = $fma(*w, x, *sum);
                                }
                            }
                        }
                    }
                }
                for c in 0..C {
                    let row = out.row(j + c);
                    for (r, sums) in sums.iter().enumerate() {
                        row[i + r] = $sum(sums[c]);
                    }
                }
                C
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
kernel!(
    avx512,
    "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c",
    16,
    1,
    4,
    4,
    __m512,
    _mm512_setzero_ps,
    _mm512_loadu_ps,
    _mm512_set1_ps,
    _mm512_mul_ps,
    _mm512_sub_ps,
    _mm512_fmadd_ps,
    _mm512_reduce_add_ps,
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
    #[inline]
    fn wide(bytes: __m128i) -> [__m512; 1] {
        [_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes))]
    },
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
    #[inline]
    fn wide_signed(bytes: __m128i) -> [__m512; 1] {
        [_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes))]
    }
);
#[cfg(target_arch = "x86_64")]
kernel!(
    avx2,
    "avx2,fma,f16c",
    8,
    2,
    2,
    2,
    __m256,
    _mm256_setzero_ps,
    _mm256_loadu_ps,
    _mm256_set1_ps,
    _mm256_mul_ps,
    _mm256_sub_ps,
    _mm256_fmadd_ps,
    sum_of_eight,
    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    fn wide(bytes: __m128i) -> [__m256; 2] {
        let upper = _mm_srli_si128::<8>(bytes);
        [bytes, upper].map(|half| _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(half)))
    },
    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    fn wide_signed(bytes: __m128i) -> [__m256; 2] {
        let upper = _mm_srli_si128::<8>(bytes);
        [bytes, upper].map(|half| _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(half)))
    }
);

#[cfg(test)]
mod tests {
    /// A processor with the widest registers has the narrower ones too.
    #[cfg(target_arch = "x86_64")]
    #[test]
    fn narrower_registers_hold_the_same_products() -> candle_core::Result<()> {
        use super::*;
        use crate::ops::check::random;
        use candle_core::DType;
        use candle_core::quantized::QTensor;
        let has = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        if !(has && is_x86_feature_detected!("f16c")) {
            return Ok(());
        }
        let (weights, x) = (
            random(&[5, 512], DType::F32, 1)?,
            random(&[4, 512], DType::F32, 2)?,
        );
        for format in Format::ALL {
            let packed = QTensor::quantize(&weights, format.of_candle())?;
            let numbers = packed.dequantize(weights.device())?;
            let truth = x.matmul(&numbers.t()?)?.flatten_all()?.to_vec1::<f32>()?;
            let blocks = packed.data()?;
            for n in 1..=MOST_ROWS {
                let x = x.narrow(0, 0, n)?.flatten_all()?.to_vec1::<f32>()?;
                let mut y = vec![f32::NAN; n * 5];
                let out = &mut MatrixMut::new(&mut y, n, 5, 5);
                // SAFETY: the instructions are there.
                unsafe { avx2::all(format, &blocks, &x, 512, out) };
                for (seen, best) in y.iter().zip(&truth) {
                    assert!((seen - best).abs() < 1e-3, "{format:?} {n}: {seen} {best}");
                }
            }
        }
        Ok(())
    }
}
