//! Formats of packed weights, as GGUF has them: blocks of numbers that share a scale.
//!
//! - q8_0: 32 numbers, `d q` with q from -128 to 127: 34 bytes.
//! - q4_0: 32 numbers, `d (q - 8)` with q from 0 to 15: 18 bytes. q4_1: `d q + m`, 20 bytes.
//! - q5_0: 32 numbers, `d (q - 16)` with q from 0 to 31, whose fifth bits stand apart: 22 bytes. q5_1: `d q + m`, 24 bytes.
//! - q4_k: 256 numbers in eight parts, `d s q - e m` with q from 0 to 15 and six bits for each s and m: 144 bytes. q5_k: the same
//!   with q from 0 to 31: 176 bytes.
//! - q6_k: 256 numbers in sixteen parts, `d s (q - 32)` with q from 0 to 63 and a byte for each s: 210 bytes.
//!
//! Halves (d, e, m of 32) are IEEE 754 binary16, little-endian. The layouts are those of ggml (`ggml-common.h`), as published with llama.cpp.

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
    /// 5 bits a number.
    Q4_1,
    /// 5.5 bits a number.
    Q5_0,
    /// 6 bits a number.
    Q5_1,
    /// 4.5 bits a number, finer scales.
    Q4K,
    /// 5.5 bits a number, finer scales.
    Q5K,
    /// 6.5625 bits a number.
    Q6K,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Q8_0,
        Self::Q6K,
        Self::Q5K,
        Self::Q5_1,
        Self::Q5_0,
        Self::Q4K,
        Self::Q4_1,
        Self::Q4_0,
    ];

    /// As a spec spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Q8_0 => "q8_0",
            Self::Q4_0 => "q4_0",
            Self::Q4_1 => "q4_1",
            Self::Q5_0 => "q5_0",
            Self::Q5_1 => "q5_1",
            Self::Q4K => "q4_k",
            Self::Q5K => "q5_k",
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
            Self::Q8_0 | Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 => 32,
            Self::Q4K | Self::Q5K | Self::Q6K => 256,
        }
    }

    /// Bytes of a block.
    pub const fn bytes(self) -> usize {
        match self {
            Self::Q8_0 => 34,
            Self::Q4_0 => 18,
            Self::Q4_1 => 20,
            Self::Q5_0 => 22,
            Self::Q5_1 => 24,
            Self::Q4K => 144,
            Self::Q5K => 176,
            Self::Q6K => 210,
        }
    }

    /// Bytes of a row of whole blocks.
    pub const fn bytes_of_row(self, columns: usize) -> usize {
        columns / self.numbers() * self.bytes()
    }

    pub(super) fn of_candle(self) -> GgmlDType {
        match self {
            Self::Q8_0 => GgmlDType::Q8_0,
            Self::Q4_0 => GgmlDType::Q4_0,
            Self::Q4_1 => GgmlDType::Q4_1,
            Self::Q5_0 => GgmlDType::Q5_0,
            Self::Q5_1 => GgmlDType::Q5_1,
            Self::Q4K => GgmlDType::Q4K,
            Self::Q5K => GgmlDType::Q5K,
            Self::Q6K => GgmlDType::Q6K,
        }
    }
}

#[inline(always)]
fn half_at(bytes: &[u8], at: usize) -> f32 {
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

#[inline(always)]
fn q4_1(block: &[u8; 20], out: &mut [f32; 32]) {
    let (d, m) = (half_at(block, 0), half_at(block, 2));
    let q: [u8; 16] = std::array::from_fn(|i| block[4 + i]);
    let (low, high) = out.split_at_mut(16);
    moved(q.map(|q| q & 15), d, -m, low);
    moved(q.map(|q| q >> 4), d, -m, high);
}

/// Sixteen numbers and sixteen more of five bits: four of each at `at`, the fifth of all in the four bytes before that.
#[inline(always)]
fn five_bits(block: &[u8], at: usize) -> [[u8; 16]; 2] {
    let fifth = u32::from_le_bytes(std::array::from_fn(|i| block[at - 4 + i]));
    let bit = |i: usize| (((fifth >> i) & 1) << 4) as u8;
    [
        std::array::from_fn(|i| (block[at + i] & 15) | bit(i)),
        std::array::from_fn(|i| (block[at + i] >> 4) | bit(16 + i)),
    ]
}

#[inline(always)]
fn q5_0(block: &[u8; 22], out: &mut [f32; 32]) {
    let (d, [first, second]) = (half_at(block, 0), five_bits(block, 6));
    let (low, high) = out.split_at_mut(16);
    scaled(first, d, 16.0, low);
    scaled(second, d, 16.0, high);
}

#[inline(always)]
fn q5_1(block: &[u8; 24], out: &mut [f32; 32]) {
    let (d, m, [first, second]) = (half_at(block, 0), half_at(block, 2), five_bits(block, 8));
    let (low, high) = out.split_at_mut(16);
    moved(first, d, -m, low);
    moved(second, d, -m, high);
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

/// Pair `J` of parts, of four: their fifth bits are bits 2 J and 2 J + 1 of the same 32 bytes.
#[inline(always)]
fn pair<const J: usize>(block: &[u8; 176], [d, e]: [f32; 2], out: &mut [f32]) {
    let q: [u8; 32] = std::array::from_fn(|i| block[48 + 32 * J + i]);
    let fifth: [u8; 32] = std::array::from_fn(|i| block[16 + i] >> (2 * J));
    let low: [u8; 32] = std::array::from_fn(|i| (q[i] & 15) | ((fifth[i] & 1) << 4));
    let high: [u8; 32] = std::array::from_fn(|i| (q[i] >> 4) | ((fifth[i] & 2) << 3));
    let scales = &block[4..16];
    let ((s0, m0), (s1, m1)) = (of_part(scales, 2 * J), of_part(scales, 2 * J + 1));
    moved(low, d * s0, e * m0, &mut out[..32]);
    moved(high, d * s1, e * m1, &mut out[32..]);
}

#[inline(always)]
fn q5_k(block: &[u8; 176], out: &mut [f32; 256]) {
    let of_all = [half_at(block, 0), half_at(block, 2)];
    pair::<0>(block, of_all, &mut out[..64]);
    pair::<1>(block, of_all, &mut out[64..128]);
    pair::<2>(block, of_all, &mut out[128..192]);
    pair::<3>(block, of_all, &mut out[192..]);
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
            Format::Q4_1 => each!(blocks, out, q4_1),
            Format::Q5_0 => each!(blocks, out, q5_0),
            Format::Q5_1 => each!(blocks, out, q5_1),
            Format::Q5K => each!(blocks, out, q5_k),
            Format::Q4K => each!(blocks, out, q4_k),
            Format::Q6K => each!(blocks, out, q6_k),
        }
    }
}
