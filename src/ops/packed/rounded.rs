//! Rows of x rounded to whole numbers of eight bits, each 32 with a scale of their own.
//!
//! `x = d q` with q from -127 to 127 and d the largest magnitude of the 32 over 127, as ggml rounds what it multiplies by packed rows
//! (its `q8_0`; there d is a half, here it is f32). The products of whole numbers are exact, and each 32 of them bring one number to the
//! sum: whatever rows are multiplied beside it, a row's result has the same bits.

use crate::ops::cpu::rows::chunks;
use crate::ops::cpu::simd::{simd, sum};
use rayon::prelude::*;

/// Numbers that share a scale.
pub(super) const SHARED: usize = 32;

/// Rows of x as they are, and of each 32 of their numbers the sum.
#[derive(Clone, Copy)]
pub(super) struct Plain<'a> {
    pub x: &'a [f32],
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    pub sums: &'a [f32],
    /// Moved for [`eights`](super::eights), where this processor reads those.
    #[cfg(target_arch = "x86_64")]
    pub shifted: &'a [f32],
}

simd! {
    /// Sums of each 32 numbers.
    pub(super) fn sums<S, F>(x: &[F], sums: &mut [F]) {
        for (x, to) in x.as_chunks::<SHARED>().0.iter().zip(sums) {
            *to = sum(x);
        }
    }
}

/// Blocks that one task takes.
const BLOCKS_PER_TASK: usize = 256;

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
        let each = BLOCKS_PER_TASK;
        if blocks <= 4 * each {
            round::<f32>(x, &mut q, &mut scale, &mut sums);
        } else {
            let factors = scale.par_chunks_mut(each).zip(sums.par_chunks_mut(each));
            let tasks = q.par_chunks_mut(each * SHARED).zip(factors);
            let tasks = tasks.zip(x.par_chunks(each * SHARED));
            tasks.for_each(|((q, (scale, sums)), x)| round::<f32>(x, q, scale, sums));
        }
        Self { q, scale, sums }
    }

    /// The numbers that it stands for.
    pub(super) fn numbers(&self) -> Vec<f32> {
        let mut numbers = vec![0.0; self.q.len()];
        let (size, work) = (BLOCKS_PER_TASK * SHARED, numbers.len());
        chunks(&mut numbers, size, work, |i, numbers| {
            let (q, scale) = (&self.q[i * size..], &self.scale[i * BLOCKS_PER_TASK..]);
            unround::<f32>(q, scale, numbers);
        });
        numbers
    }

    /// Row `j` of K numbers.
    pub(super) fn row(&self, j: usize, k: usize) -> Row<'_> {
        let (numbers, blocks) = (j * k..(j + 1) * k, j * k / SHARED..(j + 1) * k / SHARED);
        Row {
            q: &self.q[numbers],
            scale: &self.scale[blocks],
        }
    }
}

/// One row, rounded.
#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    pub q: &'a [i8],
    pub scale: &'a [f32],
}

simd! {
    fn unround<S, F>(q: &[i8], scale: &[f32], numbers: &mut [f32]) {
        let (q, numbers) = (q.as_chunks::<SHARED>().0, numbers.as_chunks_mut::<SHARED>().0);
        for ((numbers, q), &d) in numbers.iter_mut().zip(q).zip(scale) {
            *numbers = q.map(|q| d * f32::from(q));
        }
    }
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
            // Of the eight bits that stay, also where a number is none.
            let (first, last) = q.split_at(SHARED / 2);
            *sums = [first, last].map(|half| half.iter().map(|&q| i32::from(q)).sum());
            *scale = d;
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
        // What is no number spoils nothing but its own place, and no sum goes beyond what eight bits can be.
        let mut odd = vec![1.0; 64];
        (odd[3], odd[40]) = (f32::NAN, f32::INFINITY);
        for sums in Rounded::of(&odd).sums {
            assert!(sums.iter().all(|sum| sum.abs() <= 16 * 128));
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
