//! The tile unit in plain Rust, to the bit: what a processor without one is tested by.
//!
//! By Intel's manual (Architecture Instruction Set Extensions Programming Reference, TDPBF16PS): of each pair the first numbers are
//! summed apart from the second, both by fused multiply-adds from 0, then added, then added to what was there. What is too small
//! to be normal is 0, before and after each operation; rounding is to the nearest, of two to the even one.

use super::tiles::{Block, PANEL, SIDE, Start, Tile};

/// Subnormal numbers are zeros of their sign.
fn normal(x: f32) -> f32 {
    if x.is_subnormal() {
        0f32.copysign(x)
    } else {
        x
    }
}

/// The nearest bf16, of two the even one; subnormal numbers are zeros, as for the instruction that rounds pairs (VCVTNE2PS2BF16).
pub fn rounded(x: f32) -> u16 {
    let bits = normal(x).to_bits();
    if x.is_nan() {
        return (bits >> 16) as u16 | 0x40;
    }
    ((bits + 0x7fff + (bits >> 16 & 1)) >> 16) as u16
}

/// One tile times one tile, added to 16 x 16 sums.
fn multiply(left: &Tile, right: &Tile, sums: &mut [[f32; PANEL]], column: usize) {
    let halves = |pair: u32| {
        let [low, high] = [pair << 16, pair & 0xffff_0000];
        [normal(f32::from_bits(low)), normal(f32::from_bits(high))]
    };
    for (row, sums) in sums.iter_mut().enumerate() {
        for c in 0..SIDE {
            let mut of_pairs = [0f32; 2];
            for p in 0..SIDE {
                let a = halves(left.0[row * SIDE + p]);
                let b = halves(right.0[p * SIDE + c]);
                for (sum, (a, b)) in of_pairs.iter_mut().zip(a.into_iter().zip(b)) {
                    *sum = normal(a.mul_add(b, *sum));
                }
            }
            let sum = &mut sums[column + c];
            *sum = normal(normal(*sum) + normal(of_pairs[0] + of_pairs[1]));
        }
    }
}

/// A block's sums over all chunks of a left and a right panel.
///
/// # Safety
/// The block's 32 rows of 32 numbers can be read and written.
pub unsafe fn block(left: &[Tile], right: &[Tile], start: Start<'_>, out: Block) {
    let mut sums = [[0f32; PANEL]; PANEL];
    // SAFETY: the caller's.
    let row =
        |i: usize| unsafe { std::slice::from_raw_parts_mut(out.start.add(i * out.stride), PANEL) };
    match start {
        Start::Zero => {}
        Start::There => (0..PANEL).for_each(|i| sums[i].copy_from_slice(row(i))),
        Start::Row(first) => sums = [*first; PANEL],
    }
    for (left, right) in left.chunks_exact(2).zip(right.chunks_exact(2)) {
        let (top, bottom) = sums.split_at_mut(SIDE);
        for (left, rows) in left.iter().zip([top, bottom]) {
            multiply(left, &right[0], rows, 0);
            multiply(left, &right[1], rows, SIDE);
        }
    }
    (0..PANEL).for_each(|i| row(i).copy_from_slice(&sums[i]));
}
