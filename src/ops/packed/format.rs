//! Formats of packed weights, as GGUF has them: blocks of numbers that share a scale.
//!
//! - q8_0: 32 numbers, `d q` with q from -128 to 127: 34 bytes.
//! - q4_0: 32 numbers, `d (q - 8)` with q from 0 to 15: 18 bytes.
//! - q4_k: 256 numbers in eight parts, `d s q - e m` with q from 0 to 15 and six bits for each s and m: 144 bytes.
//! - q6_k: 256 numbers in sixteen parts, `d s (q - 32)` with q from 0 to 63 and a byte for each s: 210 bytes.
//!
//! Halves (d, e) are IEEE 754 binary16, little-endian. The layouts are those of ggml (`ggml-common.h`), as published with llama.cpp.

use super::super::cpu::simd::simd;
use candle_core::quantized::GgmlDType;
use half::f16;

/// A layout of packed numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// 8.5 bits a number.
    Q8_0,
    /// 4.5 bits a number.
    Q4_0,
    /// 4.5 bits a number, finer scales.
    Q4K,
    /// 6.5625 bits a number.
    Q6K,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Q8_0, Self::Q6K, Self::Q4K, Self::Q4_0];

    /// As a spec spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Q8_0 => "q8_0",
            Self::Q4_0 => "q4_0",
            Self::Q4K => "q4_k",
            Self::Q6K => "q6_k",
        }
    }

    /// The format of that name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    /// Numbers of a block.
    pub const fn numbers(self) -> usize {
        match self {
            Self::Q8_0 | Self::Q4_0 => 32,
            Self::Q4K | Self::Q6K => 256,
        }
    }

    /// Bytes of a block.
    pub const fn bytes(self) -> usize {
        match self {
            Self::Q8_0 => 34,
            Self::Q4_0 => 18,
            Self::Q4K => 144,
            Self::Q6K => 210,
        }
    }

    pub(super) fn of_candle(self) -> GgmlDType {
        match self {
            Self::Q8_0 => GgmlDType::Q8_0,
            Self::Q4_0 => GgmlDType::Q4_0,
            Self::Q4K => GgmlDType::Q4K,
            Self::Q6K => GgmlDType::Q6K,
        }
    }
}

#[inline(always)]
pub(super) fn half_at(bytes: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([bytes[at], bytes[at + 1]]).to_f32()
}

/// `scale (q - zero)`: arrays of a known length, since the compiler vectorises those.
#[inline(always)]
fn scaled<const N: usize>(q: [u8; N], scale: f32, zero: f32, out: &mut [f32]) {
    for (y, q) in out[..N].iter_mut().zip(q) {
        *y = scale * (f32::from(q) - zero);
    }
}

/// `scale q - offset`
#[inline(always)]
fn moved<const N: usize>(q: [u8; N], scale: f32, offset: f32, out: &mut [f32]) {
    for (y, q) in out[..N].iter_mut().zip(q) {
        *y = scale * f32::from(q) - offset;
    }
}

#[inline(always)]
fn q8_0(block: &[u8; 34], out: &mut [f32; 32]) {
    let d = half_at(block, 0);
    for (y, &q) in out.iter_mut().zip(&block[2..]) {
        *y = d * f32::from(q.cast_signed());
    }
}

#[inline(always)]
fn q4_0(block: &[u8; 18], out: &mut [f32; 32]) {
    let d = half_at(block, 0);
    let q: [u8; 16] = std::array::from_fn(|i| block[2 + i]);
    let (low, high) = out.split_at_mut(16);
    scaled(q.map(|q| q & 15), d, 8.0, low);
    scaled(q.map(|q| q >> 4), d, 8.0, high);
}

/// Scale and offset of part `j` of eight: six bits each, the upper two of the last four parts apart.
#[inline(always)]
pub(super) fn of_part(scales: &[u8], j: usize) -> (f32, f32) {
    let (s, m) = if j < 4 {
        (scales[j] & 63, scales[j + 4] & 63)
    } else {
        (
            (scales[j + 4] & 15) | ((scales[j - 4] >> 6) << 4),
            (scales[j + 4] >> 4) | ((scales[j] >> 6) << 4),
        )
    };
    (f32::from(s), f32::from(m))
}

#[inline(always)]
fn q4_k(block: &[u8; 144], out: &mut [f32; 256]) {
    let (d, e, scales) = (half_at(block, 0), half_at(block, 2), &block[4..16]);
    for j in 0..4 {
        let q: [u8; 32] = std::array::from_fn(|i| block[16 + 32 * j + i]);
        let ((s0, m0), (s1, m1)) = (of_part(scales, 2 * j), of_part(scales, 2 * j + 1));
        moved(q.map(|q| q & 15), d * s0, e * m0, &mut out[64 * j..]);
        moved(q.map(|q| q >> 4), d * s1, e * m1, &mut out[64 * j + 32..]);
    }
}

/// Stretch `S` of 32 numbers, of the four in a half: its shifts are known to the compiler.
#[inline(always)]
fn stretch<const S: usize>(block: &[u8; 210], d: f32, half: usize, out: &mut [f32]) {
    let (low, high) = (64 * half + 32 * (S % 2), 128 + 32 * half);
    let low: [u8; 32] = std::array::from_fn(|i| (block[low + i] >> (4 * (S / 2))) & 15);
    let high: [u8; 32] = std::array::from_fn(|i| (block[high + i] >> (2 * S)) & 3);
    let q: [u8; 32] = std::array::from_fn(|i| low[i] | (high[i] << 4));
    let (first, second) = q.split_at(16);
    for (k, q) in [first, second].into_iter().enumerate() {
        let scale = d * f32::from(block[192 + 8 * half + 2 * S + k].cast_signed());
        let q: [u8; 16] = std::array::from_fn(|i| q[i]);
        scaled(q, scale, 32.0, &mut out[16 * k..]);
    }
}

#[inline(always)]
fn q6_k(block: &[u8; 210], out: &mut [f32; 256]) {
    let d = half_at(block, 208);
    for (half, out) in out.as_chunks_mut::<128>().0.iter_mut().enumerate() {
        stretch::<0>(block, d, half, &mut out[..32]);
        stretch::<1>(block, d, half, &mut out[32..64]);
        stretch::<2>(block, d, half, &mut out[64..96]);
        stretch::<3>(block, d, half, &mut out[96..]);
    }
}

/// Each block of `N` bytes as the `M` numbers that it stands for. A loop, no chain of iterators: those are compiled apart, without
/// the instructions that the caller has.
macro_rules! each {
    ($blocks:ident, $out:ident, $one:ident) => {
        for (block, out) in $blocks.as_chunks().0.iter().zip($out.as_chunks_mut().0) {
            $one(block, out);
        }
    };
}

simd! {
    /// Whole blocks as the numbers that they stand for.
    pub(super) fn unpack<S, F>(format: Format, blocks: &[u8], out: &mut [f32]) {
        match format {
            Format::Q8_0 => each!(blocks, out, q8_0),
            Format::Q4_0 => each!(blocks, out, q4_0),
            Format::Q4K => each!(blocks, out, q4_k),
            Format::Q6K => each!(blocks, out, q6_k),
        }
    }
}
