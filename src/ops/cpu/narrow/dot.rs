//! Dot products of pairs by AVX-512 (AVX512-BF16), for processors that have those and no tile unit.

use super::tiles::{Block, PANEL, SIDE, Start, Tile};
use std::arch::x86_64::{
    __m512bh, _mm512_dpbf16_ps, _mm512_load_si512, _mm512_loadu_ps, _mm512_set1_epi32,
    _mm512_setzero_ps, _mm512_storeu_ps,
};

/// Rows whose sums are in registers at once: with two columns of 16, half of all.
const ROWS: usize = 8;

/// A block's sums over all chunks of a left and a right panel.
///
/// # Safety
/// The block's 32 rows of 32 numbers can be read and written.
#[target_feature(enable = "avx512f,avx512bf16")]
pub unsafe fn block(left: &[Tile], right: &[Tile], start: Start<'_>, out: Block) {
    for first in (0..PANEL).step_by(ROWS) {
        let mut sums = [[_mm512_setzero_ps(); 2]; ROWS];
        // SAFETY: within the block.
        let row = |i: usize| unsafe { out.start.add((first + i) * out.stride) };
        for (i, [a, b]) in sums.iter_mut().enumerate() {
            let first: *const f32 = match start {
                Start::Zero => break,
                Start::There => row(i),
                Start::Row(first) => first.as_ptr(),
            };
            // SAFETY: 32 numbers, of a row of the block or of the first.
            unsafe {
                *a = _mm512_loadu_ps(first);
                *b = _mm512_loadu_ps(first.add(SIDE));
            }
        }
        let (half, within) = (first / SIDE, first % SIDE);
        for (left, right) in left.chunks_exact(2).zip(right.chunks_exact(2)) {
            let rows = &left[half].0[within * SIDE..][..ROWS * SIDE];
            for p in 0..SIDE {
                let [a, b] = [pairs(&right[0], p), pairs(&right[1], p)];
                for (i, sums) in sums.iter_mut().enumerate() {
                    let x = _mm512_set1_epi32(rows[i * SIDE + p] as i32);
                    // SAFETY: both are 64 bytes, of which every pattern is valid.
                    let x: __m512bh = unsafe { std::mem::transmute(x) };
                    sums[0] = _mm512_dpbf16_ps(sums[0], x, a);
                    sums[1] = _mm512_dpbf16_ps(sums[1], x, b);
                }
            }
        }
        for (i, [a, b]) in sums.into_iter().enumerate() {
            // SAFETY: 32 numbers of a row of the block.
            unsafe {
                _mm512_storeu_ps(row(i), a);
                _mm512_storeu_ps(row(i).add(SIDE), b);
            }
        }
    }
}

/// One row of a tile.
#[target_feature(enable = "avx512f,avx512bf16")]
fn pairs(tile: &Tile, row: usize) -> __m512bh {
    let pairs = &tile.0[row * SIDE..][..SIDE];
    // SAFETY: 16 pairs, which begin at a multiple of 64 bytes, as tiles and their rows do; every pattern is valid.
    unsafe { std::mem::transmute(_mm512_load_si512(pairs.as_ptr().cast())) }
}
