//! Packed numbers as whole ones: `scale (q - zero) - offset` with the q that are here.

use super::format::Format;

/// Numbers of a piece.
const PIECE: usize = 32;

/// A format's pieces of 32 numbers.
pub(super) trait Packed {
    const NUMBERS: usize;
    const BYTES: usize;
    /// Whether bytes are from -128 to 127.
    const SIGNED: bool;
    const ZERO: f32;
    /// Piece `p` of a block.
    fn codes(block: &[u8], p: usize) -> [u8; PIECE];
}

macro_rules! packed {
    ($name:ident, $format:ident, $one:ident, $signed:literal, $zero:literal) => {
        pub(super) struct $name;
        impl Packed for $name {
            const NUMBERS: usize = Format::$format.numbers();
            const BYTES: usize = Format::$format.bytes();
            const SIGNED: bool = $signed;
            const ZERO: f32 = $zero;
            #[inline]
            fn codes(block: &[u8], p: usize) -> [u8; PIECE] {
                std::array::from_fn($one(block, p))
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

fn q8_0(block: &[u8], _p: usize) -> impl Fn(usize) -> u8 {
    |i| block[2 + i]
}

fn q4_0(block: &[u8], _p: usize) -> impl Fn(usize) -> u8 {
    |i| halves(&block[2..], i)
}

fn q4_1(block: &[u8], _p: usize) -> impl Fn(usize) -> u8 {
    |i| halves(&block[4..], i)
}

fn q5_0(block: &[u8], _p: usize) -> impl Fn(usize) -> u8 {
    |i| five_bits(block, 6, i)
}

fn q5_1(block: &[u8], _p: usize) -> impl Fn(usize) -> u8 {
    |i| five_bits(block, 8, i)
}

fn q4_k(block: &[u8], p: usize) -> impl Fn(usize) -> u8 {
    move |i| four_bits(block, 16, p, i)
}

/// The fifth bits of all pieces stand together, a byte for the same number of each.
fn q5_k(block: &[u8], p: usize) -> impl Fn(usize) -> u8 {
    move |i| four_bits(block, 48, p, i) | (block[16 + i] >> p & 1) << 4
}

/// Halves of 128 numbers: four bits of 64 of them in the lower and of 64 in the upper half of bytes, two bits of four pieces in another.
fn q6_k(block: &[u8], p: usize) -> impl Fn(usize) -> u8 {
    let (half, stretch) = (p / 4, p % 4);
    let (low, high) = (64 * half + 32 * (stretch % 2), 128 + 32 * half);
    move |i| {
        let four = block[low + i] >> (4 * (stretch / 2)) & 15;
        four | (block[high + i] >> (2 * stretch) & 3) << 4
    }
}

/// The first sixteen numbers are the lower halves of bytes.
fn halves(bytes: &[u8], i: usize) -> u8 {
    bytes[i % 16] >> (i / 16 * 4) & 15
}

/// Numbers of five bits: four of each at `at`, the fifth of all in the four bytes before.
fn five_bits(block: &[u8], at: usize, i: usize) -> u8 {
    halves(&block[at..], i) | (block[at - 4 + i / 8] >> (i % 8) & 1) << 4
}

/// The four bits of piece `p` of those at `at`: low ones of even pieces, high ones of odd.
fn four_bits(block: &[u8], at: usize, p: usize, i: usize) -> u8 {
    block[at + 32 * (p / 2) + i] >> (p % 2 * 4) & 15
}
