//! From matrices of f32 to panels of bf16 pairs, each number rounded to the nearest.

use super::super::matmul::Matrix;
#[cfg(target_arch = "x86_64")]
use super::super::transpose::transpose;
use super::emulated::rounded;
use super::tiles::{CHUNK, PANEL, SIDE, Tile, tiles};
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{
    __m512bh, __m512i, __mmask16, _mm512_cvtne2ps_pbh, _mm512_maskz_loadu_ps,
    _mm512_permutexvar_epi16, _mm512_set_epi16, _mm512_setzero_si512, _mm512_store_si512,
};
use std::ops::Range;

/// Which factor of a product: rows of a left one's tiles are its rows, of a right one's tiles pairs of its rows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Left,
    Right,
}

/// A factor by its outer dimension, which the product keeps, and its inner one, which it sums over.
#[derive(Clone, Copy)]
pub struct Factor<'a> {
    numbers: &'a [f32],
    pub outer: usize,
    inner: usize,
    /// Numbers from one outer index to the next, and from one inner index to the next: one of them is 1.
    strides: (usize, usize),
    side: Side,
}

impl<'a> Factor<'a> {
    pub fn new(side: Side, matrix: Matrix<'a, f32>) -> Self {
        let matrix = match side {
            Side::Left => matrix,
            Side::Right => matrix.t(),
        };
        Self {
            numbers: matrix.numbers,
            outer: matrix.rows,
            inner: matrix.columns,
            strides: matrix.strides,
            side,
        }
    }

    /// Whether numbers beside each other are those of one outer index.
    pub fn inner_is_together(&self) -> bool {
        self.strides.1 == 1
    }

    pub fn panels(&self) -> usize {
        self.outer.div_ceil(PANEL)
    }

    /// Packs one panel's share of the inner dimension by scalar code: for any processor.
    pub fn pack(&self, panel: usize, inner: &Range<usize>, out: &mut [Tile]) {
        assert!(inner.end <= self.inner && out.len() == tiles(inner.len()));
        let number = |o: usize, k: usize| match o < self.outer && k < inner.end {
            true => rounded(self.numbers[o * self.strides.0 + k * self.strides.1]),
            false => 0,
        };
        for (i, tile) in out.iter_mut().enumerate() {
            let (first, k) = (panel * PANEL + i % 2 * SIDE, inner.start + i / 2 * CHUNK);
            for (at, pair) in tile.0.iter_mut().enumerate() {
                let (o, p) = match self.side {
                    Side::Left => (at / SIDE, at % SIDE),
                    Side::Right => (at % SIDE, at / SIDE),
                };
                let [low, high] = [0, 1].map(|i| number(first + o, k + 2 * p + i));
                *pair = u32::from(high) << 16 | u32::from(low);
            }
        }
    }

    /// The same by AVX-512, the same bits.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    pub fn pack_by_vectors(&self, panel: usize, inner: &Range<usize>, out: &mut [Tile]) {
        assert!(inner.end <= self.inner && out.len() == tiles(inner.len()));
        for (i, tile) in out.iter_mut().enumerate() {
            let (first, k) = (panel * PANEL + i % 2 * SIDE, inner.start + i / 2 * CHUNK);
            let outer = first..(first + SIDE).min(self.outer);
            let along = k..(k + CHUNK).min(inner.end);
            let by_outer = self.strides.1 == 1;
            let mut rows = match by_outer {
                true => self.pairs_of_outers(outer, &along),
                false => self.outers_of_pairs(outer, &along),
            };
            if by_outer != (self.side == Side::Left) {
                transpose(&mut rows);
            }
            for (row, to) in rows.into_iter().zip(tile.0.chunks_exact_mut(SIDE)) {
                // SAFETY: 16 pairs of a tile, whose rows begin at multiples of 64 bytes.
                unsafe { _mm512_store_si512(to.as_mut_ptr().cast(), row) };
            }
        }
    }

    /// Of each outer index 16 pairs along the inner dimension, whose numbers lie beside each other.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    fn pairs_of_outers(&self, outer: Range<usize>, along: &Range<usize>) -> [__m512i; SIDE] {
        let mut rows = [_mm512_setzero_si512(); SIDE];
        let (low, high) = (first(along.len()), first(along.len().saturating_sub(SIDE)));
        for (row, o) in rows.iter_mut().zip(outer) {
            let at = self
                .numbers
                .as_ptr()
                .wrapping_add(o * self.strides.0 + along.start);
            // SAFETY: what is not masked out are numbers of the factor, which `Matrix` made sure lie in the slice.
            let [a, b] = unsafe {
                let b = _mm512_maskz_loadu_ps(high, at.wrapping_add(SIDE));
                [_mm512_maskz_loadu_ps(low, at), b]
            };
            // SAFETY: both are 64 bytes, of which every pattern is valid.
            *row = unsafe { std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(b, a)) };
        }
        rows
    }

    /// Of each pair along the inner dimension 16 outer indices, whose numbers lie beside each other.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    fn outers_of_pairs(&self, outer: Range<usize>, along: &Range<usize>) -> [__m512i; SIDE] {
        let interleaved = _mm512_set_epi16(
            31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5, 20,
            4, 19, 3, 18, 2, 17, 1, 16, 0,
        );
        let mut rows = [_mm512_setzero_si512(); SIDE];
        let all = first(outer.len());
        for (row, k) in rows.iter_mut().zip(along.clone().step_by(2)) {
            let at = self
                .numbers
                .as_ptr()
                .wrapping_add(k * self.strides.1 + outer.start);
            let second = if k + 1 < along.end { all } else { 0 };
            // SAFETY: what is not masked out are numbers of the factor, which `Matrix` made sure lie in the slice.
            let [a, b] = unsafe {
                let b = _mm512_maskz_loadu_ps(second, at.wrapping_add(self.strides.1));
                [_mm512_maskz_loadu_ps(all, at), b]
            };
            // SAFETY: both are 64 bytes, of which every pattern is valid.
            let both =
                unsafe { std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(b, a)) };
            *row = _mm512_permutexvar_epi16(interleaved, both);
        }
        rows
    }
}

/// The mask of the first `n` of 16.
#[cfg(target_arch = "x86_64")]
fn first(n: usize) -> __mmask16 {
    if n >= SIDE { u16::MAX } else { (1 << n) - 1 }
}
