//! Rows of x rounded to whole numbers of eight bits, each 32 with a scale of their own.
//!
//! `x = d q` with q from -127 to 127 and d the largest magnitude of the 32 over 127, as ggml rounds what it multiplies by packed rows
//! (its `q8_0`; there d is a half, here it is f32). The products of whole numbers are exact, and each 32 of them bring one number to the
//! sum: whatever rows are multiplied beside it, a row's result has the same bits.

use crate::ops::cpu::simd::{simd, sum};

/// Numbers that share a scale.
pub(super) const SHARED: usize = 32;

/// Rows of x as they are, and of each 32 of their numbers the sum.
#[derive(Clone, Copy)]
pub(super) struct Plain<'a> {
    pub x: &'a [f32],
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    pub sums: &'a [f32],
}

simd! {
    /// Sums of each 32 numbers.
    pub(super) fn sums<S, F>(x: &[F], sums: &mut [F]) {
        for (x, to) in x.as_chunks::<SHARED>().0.iter().zip(sums) {
            *to = sum(x);
        }
    }
}

/// 1.5 times 2^23.
const NEAREST: f32 = 12_582_912.0;

/// Some rows, rounded.
pub(super) struct Rounded {
    pub q: Vec<i8>,
    /// Of each 32.
    pub scale: Vec<f32>,
    /// Of each 32 the sums of the first and the last sixteen whole numbers.
    pub sums: Vec<[i32; 2]>,
}

impl Rounded {
    /// Rounds rows of a multiple of 32 numbers.
    pub(super) fn of(x: &[f32]) -> Self {
        let (mut q, blocks) = (vec![0; x.len()], x.len() / SHARED);
        let (mut scale, mut sums) = (vec![0.0; blocks], vec![[0; 2]; blocks]);
        round::<f32>(x, &mut q, &mut scale, &mut sums);
        Self { q, scale, sums }
    }

    /// The numbers that it stands for.
    pub(super) fn numbers(&self) -> Vec<f32> {
        let blocks = self.q.as_chunks::<SHARED>().0.iter().zip(&self.scale);
        let numbers = blocks.flat_map(|(q, &d)| q.iter().map(move |&q| d * f32::from(q)));
        numbers.collect()
    }

    /// Row `j` of K numbers.
    pub(super) fn row(&self, j: usize, k: usize) -> Row<'_> {
        let (numbers, blocks) = (j * k..(j + 1) * k, j * k / SHARED..(j + 1) * k / SHARED);
        Row {
            q: &self.q[numbers],
            scale: &self.scale[blocks.clone()],
            sums: &self.sums[blocks],
        }
    }
}

/// One row, rounded.
#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    pub q: &'a [i8],
    pub scale: &'a [f32],
    pub sums: &'a [[i32; 2]],
}

simd! {
    fn round<S, F>(x: &[f32], q: &mut [i8], scale: &mut [f32], sums: &mut [[i32; 2]]) {
        let (x, q) = (x.as_chunks::<SHARED>().0, q.as_chunks_mut::<SHARED>().0);
        for (((x, q), scale), sums) in x.iter().zip(q).zip(scale).zip(sums) {
            let largest = x.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
            let (d, by) = (largest / 127.0, if largest > 0.0 { 127.0 / largest } else { 0.0 });
            // Beside this number the spacing of f32 is 1: the last bits of a sum with it are the nearest whole number, ties to even. A
            // cast would be one number at a time.
            let whole: [i32; SHARED] = std::array::from_fn(|i| {
                (x[i] * by + NEAREST).to_bits().cast_signed() - NEAREST.to_bits().cast_signed()
            });
            *q = whole.map(|whole| whole as i8);
            let (first, last) = whole.split_at(SHARED / 2);
            let halves = [first, last].map(|half| half.iter().sum::<i32>());
            *scale = d;
            *sums = halves;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::check::random;
    use candle_core::{DType, Result};

    #[test]
    fn numbers_are_rounded_to_the_nearest_of_their_32() -> Result<()> {
        let mut x = random(&[3 * 64], DType::F32, 1)?.to_vec1::<f32>()?;
        x[64..96].fill(0.0);
        x[100] = -40.0;
        let rounded = Rounded::of(&x);
        let numbers = rounded.numbers();
        for (k, (x, y)) in x.iter().zip(&numbers).enumerate() {
            let step = rounded.scale[k / SHARED];
            assert!((x - y).abs() <= 0.5001 * step, "{x} {y} {step}");
        }
        assert!(numbers[64..96].iter().all(|&y| y == 0.0) && (numbers[100] + 40.0).abs() < 1e-5);
        for (block, sums) in rounded.q.chunks(SHARED).zip(&rounded.sums) {
            for (half, sum) in block.chunks(16).zip(sums) {
                assert_eq!(half.iter().map(|&q| i32::from(q)).sum::<i32>(), *sum);
            }
        }
        Ok(())
    }
}
