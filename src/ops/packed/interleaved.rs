//! Sixteen packed rows side by side: what a kernel reads at once is one block of each of them, and a lane sums for a row, so that no sum
//! is taken across a register. Registers of sixteen lanes ([`sixteens`](super::sixteens)) hold all rows, those of eight
//! ([`eights`](super::eights)) the first or the last of them. As many bytes as the rows have one below the other.
//!
//! A block of sixteen rows has first what makes numbers of codes, field by field, of each field sixteen rows' (two bytes or one);
//! then its pieces of 32 numbers. A lane of four bytes holds numbers `4 t` to `4 t + 3` of its row for t from 0 to 7: of eight bits in
//! a register for each t; of less, the lower four bits with an even t in the lower and its neighbour in the upper half of each
//! byte, four registers, and behind them the upper bits of all t, in one register (one bit more) or two.

use super::codes::{Packed, by_format};
use super::format::Format;
use crate::ops::cpu::isa::{Level, level};
use std::sync::OnceLock;

/// Rows side by side.
pub(super) const SIDE: usize = 16;
/// Numbers of a piece.
pub(super) const PIECE: usize = 32;
/// Bytes of one of a piece's registers: four of each row.
pub(super) const REGISTER: usize = 64;

/// Lanes of the registers that read rows side by side here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lanes {
    /// AVX-512 with products of whole numbers (VNNI).
    Sixteen,
    /// AVX2.
    Eight,
}

/// The lanes of this processor, looked up once; none where it has neither.
pub(super) fn lanes() -> Option<Lanes> {
    static LANES: OnceLock<Option<Lanes>> = OnceLock::new();
    *LANES.get_or_init(|| match level() {
        Level::Baseline => None,
        Level::Avx512 if is_x86_feature_detected!("avx512vnni") => Some(Lanes::Sixteen),
        Level::Avx512 | Level::Avx2 => Some(Lanes::Eight),
    })
}

/// What is in front of the codes of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fields {
    /// A scale.
    Scale,
    /// A scale and a least number.
    ScaleAndLeast,
    /// Of both one for all, and six bits for each 32 numbers, as [`of_part`](super::format::of_part) has them.
    OfParts,
    /// A scale of all, and eight bits for each sixteen numbers.
    OfSixteens,
}

/// What the sixteen rows of a format have in front of their codes, and how many bits those have.
pub(super) trait Interleaved: Packed {
    /// Where a block has its fields of two bytes.
    const HALVES: &'static [usize];
    /// Where it has fields of one byte, one behind the other.
    const SMALL: std::ops::Range<usize>;
    /// Of a code.
    const BITS: usize;
    const KIND: Fields;
    /// Scales of a piece.
    const SCALES: usize = match Self::KIND {
        Fields::OfSixteens => 2,
        _ => 1,
    };
    /// Bytes of the fields of sixteen rows.
    const FIELDS: usize = SIDE * (2 * Self::HALVES.len() + Self::SMALL.end - Self::SMALL.start);
    /// Bytes of a piece of sixteen rows.
    const BYTES_OF_PIECE: usize = SIDE * PIECE * Self::BITS / 8;
}

macro_rules! interleaved {
    ($($name:ident: [$($half:literal),*], $small:expr, $bits:literal, $kind:ident;)*) => {$(
        impl Interleaved for super::codes::$name {
            const HALVES: &'static [usize] = &[$($half),*];
            const SMALL: std::ops::Range<usize> = $small;
            const BITS: usize = $bits;
            const KIND: Fields = Fields::$kind;
        }
    )*};
}
interleaved! {
    OfQ8_0: [0], 0..0, 8, Scale;
    OfQ4_0: [0], 0..0, 4, Scale;
    OfQ4_1: [0, 2], 0..0, 4, ScaleAndLeast;
    OfQ5_0: [0], 0..0, 5, Scale;
    OfQ5_1: [0, 2], 0..0, 5, ScaleAndLeast;
    OfQ4K: [0, 2], 4..16, 4, OfParts;
    OfQ5K: [0, 2], 4..16, 5, OfParts;
    OfQ6K: [208], 192..208, 6, OfSixteens;
}

/// What codes side by side are above the whole numbers that scales multiply.
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
    let q: [[u8; PIECE]; SIDE] =
        std::array::from_fn(|r| P::codes(block[r], p).map(|q| q ^ flipped));
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
