//! Reading tensors as rows of numbers and writing new ones, in parallel and in a fixed order.
//!
//! Every result has the same bits whatever the number of threads: what a thread writes depends on nothing another thread
//! does, and sums over rows are taken over chunks of [`CHUNK`] rows, whose partial sums are added in order.

use super::real::Real;
use super::simd::accumulate;
use candle_core::{CpuStorage, Device, InplaceOp2, Layout, Result, Shape, Storage, Tensor, bail};
use rayon::prelude::*;
use std::mem::MaybeUninit;
use std::ops::Range;

/// Rows whose sum is one partial sum.
const CHUNK: usize = 64;

/// Numbers written at a time: 16 KiB of f32, which stay in the first-level cache between clearing and filling.
const BLOCK: usize = 4096;

/// Numbers below which waking threads costs more than they save.
const SERIAL: usize = 32 * 1024;

/// The numbers of a contiguous argument of a forward pass.
pub(in crate::ops) fn numbers<'a, T: candle_core::WithDType>(
    storage: &'a CpuStorage,
    layout: &Layout,
) -> Result<&'a [T]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&T::cpu_storage_as_slice(storage)?[start..end]),
        None => bail!("a fused op got a tensor that is not contiguous: {layout:?}"),
    }
}

/// Runs `f` on the numbers of tensors on the CPU, all contiguous, in a backward pass.
pub(in crate::ops) fn with_numbers<F: Real, R, const N: usize>(
    tensors: [&Tensor; N],
    f: impl FnOnce([&[F]; N]) -> R,
) -> Result<R> {
    let held = tensors.map(Tensor::storage_and_layout);
    let mut slices: [&[F]; N] = [&[]; N];
    for (slice, (storage, layout)) in slices.iter_mut().zip(&held) {
        match &**storage {
            Storage::Cpu(storage) => *slice = numbers(storage, layout)?,
            other => bail!("a fused op got a tensor on {:?}", other.device().location()),
        }
    }
    Ok(f(slices))
}

/// Runs `f` on half-precision numbers of tensors on the CPU, all contiguous.
pub(in crate::ops) fn with_halves<R, const N: usize>(
    tensors: [&Tensor; N],
    f: impl FnOnce([&[half::f16]; N]) -> R,
) -> Result<R> {
    let held = tensors.map(Tensor::storage_and_layout);
    let mut slices: [&[half::f16]; N] = [&[]; N];
    for (slice, (storage, layout)) in slices.iter_mut().zip(&held) {
        match &**storage {
            Storage::Cpu(storage) => *slice = numbers(storage, layout)?,
            other => bail!("a fused op got a tensor on {:?}", other.device().location()),
        }
    }
    Ok(f(slices))
}

/// A tensor on the CPU that takes over the vector.
pub(in crate::ops) fn tensor<F: Real>(numbers: Vec<F>, shape: impl Into<Shape>) -> Result<Tensor> {
    Tensor::from_vec(numbers, shape.into(), &Device::Cpu)
}

/// Clears memory just before it is filled, while that is cheap, so that no code sees what was in it.
fn cleared<F: Real>(memory: &mut [MaybeUninit<F>]) -> &mut [F] {
    // SAFETY: the bytes are the slice's own, and all bits 0 are the number 0.
    unsafe { memory.as_mut_ptr().write_bytes(0, memory.len()) };
    // SAFETY: every element was just written.
    unsafe { memory.assume_init_mut() }
}

/// A vector of `rows` x `width` numbers. `fill` gets the first row's index and some whole rows, all zeros.
pub(in crate::ops) fn build<F: Real>(
    rows: usize,
    width: usize,
    fill: impl Fn(usize, &mut [F]) + Sync,
) -> Vec<F> {
    let mut out = Vec::with_capacity(rows * width);
    let step = (BLOCK / width.max(1)).max(1);
    let memory = &mut out.spare_capacity_mut()[..rows * width];
    chunks(memory, step * width, rows * width, |i, memory| {
        fill(i * step, cleared(memory))
    });
    // SAFETY: `cleared` initialised each chunk, and the chunks are all of the memory.
    unsafe { out.set_len(rows * width) };
    out
}

/// Runs `f` on every chunk of `size` elements and its index, in parallel if `work` (numbers touched in all) is worth it.
pub(in crate::ops) fn chunks<T: Send>(
    data: &mut [T],
    size: usize,
    work: usize,
    f: impl Fn(usize, &mut [T]) + Sync,
) {
    if data.is_empty() {
        return;
    }
    if work <= SERIAL {
        data.chunks_mut(size)
            .enumerate()
            .for_each(|(i, chunk)| f(i, chunk));
    } else {
        data.par_chunks_mut(size)
            .enumerate()
            .for_each(|(i, chunk)| f(i, chunk));
    }
}

/// [`build`], with sums over all rows beside it: `fill` gets a row's index, the row (zeros), and `sums` numbers to add to.
pub(in crate::ops) fn build_and_sum<F: Real>(
    rows: usize,
    width: usize,
    sums: usize,
    fill: impl Fn(usize, &mut [F], &mut [F]) + Sync,
) -> (Vec<F>, Vec<F>) {
    let mut out = Vec::with_capacity(rows * width);
    let mut partial = vec![F::ZERO; rows.div_ceil(CHUNK) * sums];
    let memory = &mut out.spare_capacity_mut()[..rows * width];
    let chunk = |(i, (memory, sums)): (usize, (&mut [MaybeUninit<F>], &mut [F]))| {
        for (j, row) in memory.chunks_mut(width).enumerate() {
            fill(i * CHUNK + j, cleared(row), sums);
        }
    };
    if rows * width <= SERIAL {
        memory
            .chunks_mut(CHUNK * width)
            .zip(partial.chunks_mut(sums))
            .enumerate()
            .for_each(chunk);
    } else {
        memory
            .par_chunks_mut(CHUNK * width)
            .zip(partial.par_chunks_mut(sums))
            .enumerate()
            .for_each(chunk);
    }
    // SAFETY: `cleared` initialised each row, and the rows are all of the memory.
    unsafe { out.set_len(rows * width) };
    (out, in_order(&partial, sums))
}

/// Adds a tensor to another of its shape and type, in place. The first must be contiguous and its numbers nobody else's.
pub(in crate::ops) fn add_into(sum: &Tensor, x: &Tensor) -> Result<()> {
    sum.inplace_op2(&x.contiguous()?, &AddInto)
}

struct AddInto;

impl InplaceOp2 for AddInto {
    fn name(&self) -> &'static str {
        "add in place"
    }

    fn cpu_fwd(
        &self,
        sum: &mut CpuStorage,
        sum_layout: &Layout,
        x: &CpuStorage,
        layout: &Layout,
    ) -> Result<()> {
        let Some((start, end)) = sum_layout.contiguous_offsets() else {
            bail!("a sum that is not contiguous")
        };
        if sum_layout.shape() != layout.shape() {
            bail!(
                "{:?} cannot be added to {:?}",
                layout.shape(),
                sum_layout.shape()
            );
        }
        fn add<F: Real>(sum: &mut [F], x: &[F]) {
            let work = x.len();
            chunks(sum, BLOCK, work, |i, sum| {
                accumulate(sum, &x[i * BLOCK..][..sum.len()])
            });
        }
        match sum {
            CpuStorage::F32(sum) => add(&mut sum[start..end], numbers::<f32>(x, layout)?),
            CpuStorage::F64(sum) => add(&mut sum[start..end], numbers::<f64>(x, layout)?),
            _ => bail!("gradients are f32 or f64"),
        }
        Ok(())
    }
}

/// The sum of the rows of a matrix.
pub(in crate::ops) fn column_sums<F: Real>(x: &[F], width: usize) -> Vec<F> {
    let rows = x.len() / width;
    let mut partial = vec![F::ZERO; rows.div_ceil(CHUNK) * width];
    chunks(&mut partial, width, x.len(), |i, sums| {
        let Range { start, end } = i * CHUNK..((i + 1) * CHUNK).min(rows);
        x[start * width..end * width]
            .chunks_exact(width)
            .for_each(|row| accumulate(sums, row));
    });
    in_order(&partial, width)
}

fn in_order<F: Real>(partial: &[F], width: usize) -> Vec<F> {
    let mut total = vec![F::ZERO; width];
    partial
        .chunks_exact(width)
        .for_each(|sums| accumulate(&mut total, sums));
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_filled_once_and_summed() {
        for (rows, width) in [
            (1, 1),
            (1, 5000),
            (63, 7),
            (64, 7),
            (65, 7),
            (700, 100),
            (0, 3),
        ] {
            let row_of =
                |row: usize, out: &mut [f64]| out.iter_mut().for_each(|x| *x += row as f64);
            let built = build(rows, width, |first, block: &mut [f64]| {
                block
                    .chunks_exact_mut(width)
                    .enumerate()
                    .for_each(|(i, row)| row_of(first + i, row));
            });
            let truth: Vec<f64> = (0..rows * width).map(|i| (i / width) as f64).collect();
            assert_eq!(built, truth, "{rows} x {width}");
            let (built, sums) = build_and_sum(rows, width, width, |i, row, sums: &mut [f64]| {
                row_of(i, row);
                row_of(i, sums);
            });
            assert_eq!(built, truth, "{rows} x {width}");
            assert_eq!(
                sums,
                vec![(0..rows).sum::<usize>() as f64; width],
                "{rows} x {width}"
            );
            assert_eq!(column_sums(&built, width), sums, "{rows} x {width}");
        }
    }
}
